//! A server task as a Deployment of one pod, and a Service before it.

use super::{
    Options, job,
    names::{self, MANAGED_BY, PORT, TASK},
    pod,
};
use crate::Task;
use serde_json::{Value, json};

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
            "replicas": u32::from(waits_for.is_none()),
            // Another task is another Deployment: this one's pods never change.
            "strategy": { "type": "Recreate" },
            "revisionHistoryLimit": 0,
            "selector": { "matchLabels": { TASK: task.name } },
            "template": pod::template(task, options, products),
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
