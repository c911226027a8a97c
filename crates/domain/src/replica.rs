//! One process of a model server: on a cluster a pod, on one machine the process.

use crate::{
    ids::ModelVersionId,
    reason::task::{End, PendingCause},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The pod's name; on one machine the task's. Empty: the cluster does not let it be made.
    pub name: String,
    pub state: ReplicaState,
    /// The machine's name; empty = none is chosen yet.
    pub node: String,
    /// Since when it is in this state, where that is known.
    pub since: Option<Timestamp>,
    /// Times that it ended and was started anew in its place.
    pub restarts: u32,
    /// It runs with the settings of before the last change; another takes its place.
    pub outdated: bool,
    /// `http://10.244.0.7:8000`; never shown to people.
    #[serde(skip)]
    pub address: Option<String>,
    /// Adapters that it says it has loaded, by the names that it knows them under: ids of model versions.
    #[serde(default)]
    pub adapters: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ReplicaState {
    /// It does not run yet.
    Waiting { cause: PendingCause },
    /// It runs and does not answer yet, or does not any more.
    Loading,
    /// It takes calls.
    Ready,
    /// It takes no new calls, and ends when those under way are answered.
    Draining,
    /// It has ended; it is started again, or another in its place.
    Failed { end: End },
}

impl Replica {
    pub const fn is_ready(&self) -> bool {
        matches!(self.state, ReplicaState::Ready)
    }
    /// What tells it from its siblings: `x7k2p` of `ep-0123-1-6d9f-x7k2p`.
    pub fn short(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or(&self.name)
    }
    /// Whether a call for this adapter may go there.
    pub fn has_loaded(&self, version: ModelVersionId) -> bool {
        self.adapters.iter().any(|a| *a == version.to_string())
    }
}
