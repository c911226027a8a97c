//! The files that a task reads: its spec, and beside it what changes while it runs.

use super::{Options, names};
use crate::Task;
use serde_json::{Value, json};

pub const SPEC: &str = "spec.json";

/// As it is when the task is made. Files that come later are added by others than the one who applies this, and so stay.
pub fn config_map(task: &Task, options: &Options) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": task.name, "namespace": options.namespace(&task.tenant), "labels": names::labels(task) },
        "data": { SPEC: task.spec },
    })
}
