//! What should run: what it needs, not how a machine gives it.

use domain::name::Name;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What should run. Everything that would change the result is in here, and so in its [`Task::hash`]; no secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Whose it is: what it may use, and where it runs, can depend on it.
    pub tenant: Name,
    /// From our ids: `run-<32 hex>-train`, `ep-<32 hex>-1`; lower-case letters, digits and `-`, at most 63.
    pub name: String,
    pub kind: TaskKind,
    pub runtime: Runtime,
    /// Arguments for the `atelier` program in the process or pod, without the program: `["task", "run"]`.
    /// The engine adds `--spec FILE` (and for servers `--port PORT`).
    pub args: Vec<String>,
    /// Goes into the file that `--spec` names: `domain::task_spec::TaskSpec` as JSON. Shown to whoever may look at the engine.
    pub spec: String,
    pub resources: Resources,
    /// Files with these secrets lie in the folder that `ATELIER_SECRETS` names, each readable by the task alone.
    pub secrets: Vec<SecretRef>,
    /// Of a server: how many processes there are of it at once. No part of what it is: another number is the same task.
    #[serde(default = "one", skip_serializing)]
    pub replicas: u32,
    /// How long it may run from its start; `None` = as long as it likes.
    pub deadline: Option<Duration>,
    /// Between the wish that it ends (SIGTERM) and its being killed, where the engine itself ends it (deadline, eviction).
    pub grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Runs to its end, never restarted by the engine.
    #[serde(rename = "job")]
    Batch,
    /// Listens on a port that the engine chooses; restarted by the controller, never by the engine.
    Server,
}

/// What has to be installed where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// LLaMA-Factory.
    Trainer,
    Vllm,
    /// Somebody's own container image.
    Image(String),
}

/// What it needs. Nothing said = whatever there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes; also its limit: beyond it the kernel ends it ([`domain::reason::task::End::OutOfMemory`]).
    pub memory: Option<u64>,
    pub gpus: u32,
    /// As the driver names it; a part of the name is enough: `H200`.
    pub gpu_product: Option<String>,
    /// The GPUs are slices of this profile: `1g.10gb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig_profile: Option<String>,
    /// Bytes of `/dev/shm`.
    pub shared_memory: Option<u64>,
    /// Bytes that it may write where it runs.
    pub ephemeral_disk: Option<u64>,
    /// Of a batch task: over how many nodes it is spread, each with all of the above; 0 and 1 = it is not. The process of each node finds
    /// how many they are in `ATELIER_NODES`, its number from 0 in `JOB_COMPLETION_INDEX`, and the host of the first in `ATELIER_FIRST_NODE`.
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: u32,
}

const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A secret by name: its text was given to the engine with [`crate::Engine::put_secret`] and is nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// Under which the engine knows it, of the task's tenant; shaped like a task name.
    pub name: String,
    /// The file's name; shaped like a task name.
    pub file: String,
}

/// `run-<hex>-train`: lower-case letters, digits, `-`; so never a path, and always a name that a cluster takes.
pub(crate) fn is_task_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63 && name.bytes().next().is_some_and(plain) && name.bytes().all(|b| plain(b) || b == b'-')
}

const fn one() -> u32 {
    1
}

impl Task {
    /// How many processes it is.
    pub(crate) fn nodes(&self) -> u32 {
        if self.kind == TaskKind::Batch { self.resources.nodes.max(1) } else { 1 }
    }

    /// BLAKE3 of the task as JSON, hex: what "the same task" means.
    pub fn hash(&self) -> String {
        blake3::hash(&serde_json::to_vec(self).unwrap_or_default()).to_hex().to_string()
    }
}
