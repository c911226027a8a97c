//! Where work runs. The engine takes a [`Task`] (a command with files and environment), makes it so, and tells what it sees.
//! It knows nothing of users, runs or databases. Names come from the caller's ids, so whatever is asked twice happens once:
//! `apply` of a name that exists with the same hash changes nothing, and a restarted portal finds its tasks by name.

pub mod local;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What should run. Everything that would change the result is in here, and so in its [`Task::hash`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// From our ids: `run-<32 hex>-train`, `ep-<32 hex>`; lower-case letters, digits and `-`, at most 63.
    pub name: String,
    pub kind: TaskKind,
    /// Arguments for the `atelier` program in the process or pod, without the program: `["task", "run"]`.
    /// The engine adds `--spec FILE` (and for servers `--port PORT`).
    pub args: Vec<String>,
    /// Goes into the file that `--spec` names: `domain::task_spec::TaskSpec` as JSON.
    pub spec: String,
    /// The whole environment beside the engine's own `PATH`, `HOME` (the task's folder) and `TMPDIR`.
    pub env: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Runs to its end, never restarted by the engine.
    Job,
    /// Listens on a port that the engine chooses; restarted by the controller, never by the engine.
    Server,
}

impl Task {
    /// BLAKE3 of the task as JSON, hex: what "the same task" means.
    pub fn hash(&self) -> String {
        blake3::hash(&serde_json::to_vec(self).unwrap_or_default()).to_hex().to_string()
    }
}

/// What the engine sees under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub name: String,
    /// Hash of the task as it was applied.
    pub hash: String,
    pub state: TaskState,
    /// Servers: `http://127.0.0.1:43121`, as soon as a port is given.
    pub address: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    Running,
    /// Ended by itself with this status.
    Exited {
        code: i32,
    },
    /// Ended by a signal: 9 is the kernel or a person.
    Signalled {
        signal: i32,
    },
    /// It ran, it is gone, and nobody saw how (the machine restarted).
    Lost,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("task {name} already exists with other contents")]
    Different { name: String },
    #[error("task {0} does not exist")]
    Unknown(String),
    #[error("“{0}” is not a task name")]
    BadName(String),
    /// The caller's term is over: somebody with a later one works here by now. Nothing was done.
    #[error("term {mine} is over, term {current} has begun")]
    Outdated { mine: i64, current: i64 },
    #[error("{doing}: {source}")]
    Io { doing: String, source: std::io::Error },
}

/// The engines, behind one set of calls. A second one (Kubernetes) adds a variant.
#[derive(Clone)]
pub enum Engine {
    Local(local::LocalEngine),
}

impl Engine {
    /// The same engine in the hands of one term of leadership; terms are numbers that grow. Whatever changes something through it
    /// is refused with [`Error::Outdated`] once [`Engine::begin_term`] was called with a higher number, however late it comes.
    pub fn in_term(&self, term: i64) -> Self {
        match self {
            Self::Local(e) => Self::Local(e.in_term(term)),
        }
    }
    /// Ends all earlier terms. To be called before anything else is done in a term.
    pub async fn begin_term(&self) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.begin_term().await,
        }
    }
    /// Makes the task run, once: the same name and hash again changes nothing, whatever its state.
    pub async fn apply(&self, task: &Task) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.apply(task).await,
        }
    }
    /// `None` = nothing is known under this name.
    pub async fn observe(&self, name: &str) -> Result<Option<Observation>, Error> {
        match self {
            Self::Local(e) => e.observe(name).await,
        }
    }
    /// Every task whose name starts with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Observation>, Error> {
        match self {
            Self::Local(e) => e.list(prefix).await,
        }
    }
    /// Asks the task to end (SIGTERM to `atelier task`, which stops what it started), then kills it after the grace time.
    /// Returns at once; observe it to see it gone. Of a task that is not there: fine.
    pub async fn stop(&self, name: &str, grace: std::time::Duration) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.stop(name, grace).await,
        }
    }
    /// Forgets an ended task and its folder. Refuses nothing: a running one is killed first.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.remove(name).await,
        }
    }
    /// What the task printed, from a byte offset on, at most `limit` bytes and only whole lines.
    /// Returns the bytes and the next offset.
    pub async fn output(&self, name: &str, offset: u64, limit: usize) -> Result<(Vec<u8>, u64), Error> {
        match self {
            Self::Local(e) => e.output(name, offset, limit).await,
        }
    }
    /// Puts a file beside the spec that may change while the task runs (`adapters.json`); replaced atomically.
    pub async fn put_file(&self, name: &str, file: &str, contents: &[u8]) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.put_file(name, file, contents).await,
        }
    }
}
