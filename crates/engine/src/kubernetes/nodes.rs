//! What the pods of one task that is spread over nodes need to find each other: a name for each, and leave to talk.

use super::{
    Options,
    names::{self, MANAGED_BY, TASK},
};
use crate::Task;
use serde_json::{Value, json};

/// The first pod, as the others reach it: the name that the Job gives it, within the Service of the task.
pub fn first(task: &Task) -> String {
    format!("{0}-0.{0}", task.name)
}

/// Makes names for the pods, and nothing else: without an address of its own. Also for those that are not ready: nobody is before all are.
pub fn service(task: &Task, options: &Options) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": task.name, "namespace": options.namespace(&task.tenant), "labels": names::labels(task) },
        "spec": { "clusterIP": "None", "publishNotReadyAddresses": true, "selector": pods(task) },
    })
}

/// The pods of this task among themselves, on any port: what the trainer speaks between them is neither encrypted nor asks who calls.
pub fn policy(task: &Task, options: &Options) -> Value {
    let each_other = json!([{ "podSelector": { "matchLabels": pods(task) } }]);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": task.name, "namespace": options.namespace(&task.tenant), "labels": names::labels(task) },
        "spec": {
            "podSelector": { "matchLabels": pods(task) },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "from": each_other }],
            "egress": [{ "to": each_other }],
        },
    })
}

fn pods(task: &Task) -> Value {
    json!({ MANAGED_BY: names::FIELD_MANAGER, TASK: task.name })
}
