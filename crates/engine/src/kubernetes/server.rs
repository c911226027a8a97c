//! A server task as a Deployment, and a Service before it. Its pods are replaced one by one, each after the next has answered.

use super::{
    Options, job,
    names::{self, HASH, MANAGED_BY, PORT, READY_PORT, TASK},
    pod,
};
use crate::Task;
use serde_json::{Value, json};

/// Seconds of the grace time that are left to end the model server once its calls are answered.
const ENDING: u64 = 5;

pub fn deployment(task: &Task, options: &Options, products: &[String], waits_for: Option<&str>) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": task.name,
            "namespace": options.namespace(&task.tenant),
            "labels": names::labels(task),
            "annotations": job::annotations(task, waits_for),
        },
        "spec": {
            "replicas": if waits_for.is_none() { task.replicas } else { 0 },
            // A new pod answers before an old one is asked to end. Where there is room for no more pods, the old ones go on until there is.
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "revisionHistoryLimit": 0,
            "selector": { "matchLabels": { TASK: task.name } },
            "template": template(task, options, products),
        },
    })
}

fn template(task: &Task, options: &Options, products: &[String]) -> Value {
    let mut template = pod::template(task, options, products);
    // Another task is another template, and what the pods read with it is not part of one.
    template["metadata"]["annotations"] = json!({ HASH: task.hash() });
    // So that a node that goes does not take all of them with it.
    template["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": { TASK: task.name } },
    }]);
    let main = &mut template["spec"]["containers"][0];
    let drain = task.grace.as_secs().saturating_sub(ENDING);
    if let Some(command) = main["command"].as_array_mut() {
        command.extend(["--ready-port".to_owned(), READY_PORT.to_string(), "--drain".to_owned(), drain.to_string()].map(Value::from));
    }
    if let Some(env) = main["env"].as_array_mut() {
        env.push(json!({ "name": "ATELIER_REPLICA", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }));
    }
    main["ports"] = json!([{ "name": "http", "containerPort": PORT }, { "name": "ready", "containerPort": READY_PORT }]);
    // Asked of the program beside the model server, which answers at once: the server itself may be busy with a long prompt.
    main["readinessProbe"] =
        json!({ "httpGet": { "path": "/ready", "port": "ready" }, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 2 });
    template
}

/// Keeps whoever empties nodes from taking several pods at a time. Only of a server with several: of a single one it would keep its node from
/// ever being emptied.
pub fn disruption_budget(task: &Task, options: &Options) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": { "name": task.name, "namespace": options.namespace(&task.tenant), "labels": names::labels(task) },
        "spec": {
            "maxUnavailable": 1,
            "selector": { "matchLabels": { TASK: task.name } },
            // One that does not answer keeps no node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    })
}

/// For people and for other programs of the cluster; the gateway itself goes to the pods.
pub fn service(task: &Task, options: &Options) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": task.name, "namespace": options.namespace(&task.tenant), "labels": names::labels(task) },
        "spec": {
            "selector": { MANAGED_BY: names::FIELD_MANAGER, TASK: task.name },
            "ports": [{ "name": "http", "port": PORT, "targetPort": "http" }],
        },
    })
}
