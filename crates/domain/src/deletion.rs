//! A tenant that is being deleted: what will go, and how far it has come.

use serde::{Deserialize, Serialize};

/// What goes with a tenant, counted before somebody decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WillGo {
    pub runs: u64,
    /// Of those, what is queued or at work and is stopped.
    pub open_runs: u64,
    pub endpoints: u64,
    pub models: u64,
    pub datasets: u64,
    /// That are not revoked.
    pub keys: u64,
    pub members: u64,
    /// In the artefact store.
    pub bytes: u64,
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    pub stage: Stage,
    /// Why the stage is not over, in the words of whoever keeps it; empty while it only takes its time.
    #[serde(default)]
    pub why: String,
}

/// In this order. Each is begun anew as often as it takes, and what is over stays over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Runs and endpoints end.
    Workloads,
    /// What stands around them where they ran: on a cluster the namespace.
    Place,
    /// Files, and the key that opens them.
    Store,
    /// Everything that the database knows, but the audit log.
    Records,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Workloads, Self::Place, Self::Store, Self::Records];

    pub const fn said(self) -> &'static str {
        match self {
            Self::Workloads => "Runs and endpoints are being stopped.",
            Self::Place => "The place where they ran is being removed.",
            Self::Store => "Files and their key are being removed.",
            Self::Records => "The records are being removed; the audit log stays.",
        }
    }
}
