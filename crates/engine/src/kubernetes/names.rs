//! Names that join objects to tasks. Whoever writes policies or dashboards relies on them: they do not change.

use crate::{Error, Task, is_task_name};
use serde_json::{Value, json};

/// Who writes our fields (server-side apply).
pub const FIELD_MANAGER: &str = "atelier";
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const TENANT: &str = "atelier.dev/tenant";
pub const TASK: &str = "atelier.dev/task";

/// [`Task::hash`] of what an object was built from.
pub const HASH: &str = "atelier.dev/hash";
/// On a task that somebody asked to end: so its end is no surprise, and it never starts again.
pub const STOPPED: &str = "atelier.dev/stopped";
/// On a task that does not start yet: the secret that it waits for.
pub const WAITS_FOR_SECRET: &str = "atelier.dev/waits-for-secret";
/// On pods: changes with the files beside the spec, and so makes the node hand them over at once instead of after a minute.
pub const FILES: &str = "atelier.dev/files";

/// The number of a pod of an indexed Job, from 0, as Kubernetes labels it.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// On a Job: the queue of Kueue in which it waits. On a Workload of Kueue: the Job that it stands for.
pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";
pub const JOB_UID: &str = "kueue.x-k8s.io/job-uid";

/// The container that does the work; the others only prepare.
pub const MAIN: &str = "main";
/// The init container that brings the program.
pub const PROGRAM: &str = "program";

/// Where a model server listens in its pod.
pub const PORT: u16 = 8000;
/// Where the program beside it says whether it takes calls.
pub const READY_PORT: u16 = 8001;

/// The API group of roles and bindings.
pub const RBAC: &str = "rbac.authorization.k8s.io";

/// The ResourceQuota of a tenant's namespace.
pub const QUOTA: &str = "atelier";

/// Everything that this engine has made.
pub fn all() -> String {
    format!("{MANAGED_BY}={FIELD_MANAGER},{TASK}")
}

pub fn of_task(name: &str) -> String {
    format!("{MANAGED_BY}={FIELD_MANAGER},{TASK}={name}")
}

pub fn labels(task: &Task) -> Value {
    json!({ MANAGED_BY: FIELD_MANAGER, TENANT: task.tenant.as_str(), TASK: task.name })
}

/// A name that is none could mean another object.
pub fn check(name: &str) -> Result<(), Error> {
    if is_task_name(name) { Ok(()) } else { Err(Error::BadName(name.chars().take(80).collect())) }
}

/// The Secret that holds a tenant's secret of this name.
pub fn secret(name: &str) -> String {
    format!("atelier-{name}")
}
