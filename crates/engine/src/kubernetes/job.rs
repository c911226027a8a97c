//! A batch task as a Job: one pod, once. Kubernetes never tries again by itself; the controller of the portal decides that.

use super::{
    Options,
    names::{self, HASH, WAITS_FOR_SECRET},
    pod,
};
use crate::Task;
use serde_json::{Value, json};

/// `waits_for`: a secret that is not there yet; the Job is then made without a pod.
pub fn job(task: &Task, options: &Options, products: &[String], waits_for: Option<&str>) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": task.name,
            "namespace": options.namespace(&task.tenant),
            "labels": names::labels(task),
            "annotations": annotations(task, waits_for),
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            // So that the Job itself remembers that its pod was taken away, when the pod is gone.
            "podFailurePolicy": { "rules": [{ "action": "FailJob", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] }] },
            "suspend": waits_for.is_some(),
            "template": pod::template(task, options, products),
        },
    })
}

pub fn annotations(task: &Task, waits_for: Option<&str>) -> Value {
    match waits_for {
        Some(secret) => json!({ HASH: task.hash(), WAITS_FOR_SECRET: secret }),
        None => json!({ HASH: task.hash() }),
    }
}
