//! A batch task as a Job: one pod, once, or one for each of its nodes, all or none. Kubernetes never tries again by itself; the controller of the portal decides that.

use super::{
    Options,
    names::{self, HASH, QUEUE, WAITS_FOR_SECRET},
    pod,
};
use crate::Task;
use serde_json::{Value, json};

/// `waits_for`: a secret that is not there yet; the Job is then made without a pod. `queue`: the one of Kueue in which it waits, from when
/// it waits for nothing else: Kueue then lets it begin, and may take its place away again.
pub fn job(task: &Task, options: &Options, products: &[String], waits_for: Option<&str>, queue: Option<&str>) -> Value {
    let queue = queue.filter(|_| waits_for.is_none());
    let mut object = json!({
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
            "suspend": waits_for.is_some() || queue.is_some(),
            "template": pod::template(task, options, products),
        },
    });
    if let Some(queue) = queue {
        object["metadata"]["labels"][QUEUE] = json!(queue);
    }
    if task.nodes() > 1 {
        let spec = &mut object["spec"];
        // With `backoffLimit: 0`, one that fails is the end of all.
        spec["completionMode"] = json!("Indexed");
        (spec["completions"], spec["parallelism"]) = (json!(task.nodes()), json!(task.nodes()));
    }
    object
}

pub fn annotations(task: &Task, waits_for: Option<&str>) -> Value {
    match waits_for {
        Some(secret) => json!({ HASH: task.hash(), WAITS_FOR_SECRET: secret }),
        None => json!({ HASH: task.hash() }),
    }
}
