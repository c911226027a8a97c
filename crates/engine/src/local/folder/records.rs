//! What the files in a task's folder hold.

use crate::{End, Resources, SecretRef, Task, local::process};
use domain::name::Name;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

/// `task.json`: what was applied, whole.
#[derive(Serialize)]
pub struct Applying<'a> {
    pub hash: String,
    pub task: &'a Task,
}

/// What is read of `task.json` later. An earlier version of the program wrote fewer fields, and its tasks go on.
#[derive(Deserialize)]
pub struct Applied {
    pub hash: String,
    pub task: AppliedTask,
}

#[derive(Deserialize)]
pub struct AppliedTask {
    /// Whose it is; not in folders of earlier versions.
    #[serde(default)]
    pub tenant: Option<Name>,
    pub args: Vec<String>,
    #[serde(default)]
    pub resources: Resources,
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
    #[serde(default)]
    pub deadline: Option<Duration>,
    #[serde(default = "usual_grace")]
    pub grace: Duration,
    /// Only in folders of the version before `launch.json` had it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// When nobody said.
fn usual_grace() -> Duration {
    Duration::from_secs(10)
}

#[derive(Serialize, Deserialize)]
pub struct Launch {
    pub program: PathBuf,
    pub port: Option<u16>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The supervisor, and so the session; 0 = stopped before it started.
    pub pid: i32,
    /// Clock ticks since the machine started.
    pub start_time: u64,
    pub boot: String,
}

impl Started {
    pub fn nobody() -> Self {
        Self { pid: 0, start_time: 0, boot: String::new() }
    }
    pub fn myself() -> io::Result<Self> {
        let pid = std::process::id().cast_signed();
        let stat = process::stat(pid).ok_or_else(|| io::Error::other("/proc does not show this process"))?;
        Ok(Self { pid, start_time: stat.start_time, boot: process::boot_id() })
    }
    pub fn same_boot(&self) -> bool {
        self.boot == process::boot_id()
    }
    pub fn is_alive(&self) -> bool {
        self.pid != 0 && self.same_boot() && process::stat(self.pid).is_some_and(|s| s.start_time == self.start_time && !s.is_dead())
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// Why it ended, where code and signal do not tell.
    #[serde(default)]
    pub because: Option<Because>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    OutOfMemory,
    Deadline,
}

impl Exit {
    pub fn end(&self) -> End {
        match (self.because, self.code, self.signal) {
            (Some(Because::OutOfMemory), ..) => End::OutOfMemory,
            (Some(Because::Deadline), ..) => End::Deadline,
            (None, Some(status), _) => End::Exited { status },
            (None, None, Some(signal)) => End::Signalled { signal },
            (None, None, None) => End::Removed,
        }
    }
}

/// The control group that holds the task to its memory.
#[derive(Serialize, Deserialize)]
pub struct InGroup {
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
pub struct Stop {
    pub grace_ms: u64,
}
