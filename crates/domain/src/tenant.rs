//! A tenant is a team: later one Kubernetes namespace, always one prefix in the artefact store.

use crate::{compute::Compute, name::Name, problem::FieldProblem, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    Active,
    /// Nothing new starts, keys stop answering; what is stored stays.
    Suspended,
    /// All of it is being taken away; there is no way back. Only its audit log stays.
    Deleting,
}

worded!(TenantState);

/// What a tenant may hold at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Runs that train at the same time; further ones wait in the queue. 0 to 1000.
    pub concurrent_runs: u32,
    /// Bytes in the artefact store.
    pub storage_bytes: u64,
    /// Endpoints that are wanted at the same time.
    pub endpoints: u32,
    /// Of the machines; audit records of before there were such limits have none.
    #[serde(default, skip_serializing_if = "Compute::is_unlimited")]
    pub compute: Compute,
}

impl Default for Quota {
    fn default() -> Self {
        Self { concurrent_runs: 1, storage_bytes: 20 * crate::size::GB, endpoints: 2, compute: Compute::default() }
    }
}

impl Quota {
    /// Of runs and of endpoints.
    pub const MOST: u32 = 1000;

    pub fn check(&self) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        let most = Self::MOST;
        if self.concurrent_runs > most {
            out.push(FieldProblem::new("concurrent_runs", format!("At most {most} runs at once.")).suggesting(most.to_string()));
        }
        if self.endpoints > most {
            out.push(FieldProblem::new("endpoints", format!("At most {most} endpoints.")).suggesting(most.to_string()));
        }
        if self.storage_bytes > i64::MAX as u64 {
            out.push(FieldProblem::new("storage_bytes", "That is more storage than can be counted."));
        }
        out.extend(self.compute.check());
        out
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Also namespace suffix and artefact prefix; never changes.
    pub name: Name,
    pub title: String,
    pub state: TenantState,
    pub quota: Quota,
    pub created_at: Timestamp,
}

impl Tenant {
    /// Characters of a title, at most.
    pub const TITLE_CHARS: usize = 80;
}

/// How much of its quota a tenant holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub runs_active: u32,
    pub runs_queued: u32,
    pub storage_bytes: u64,
    pub endpoints: u32,
    pub members: u32,
}

/// A row of the admin's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantOverview {
    pub tenant: Tenant,
    pub holding: Holding,
}

/// What the first page of a tenant and the rail of every page show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantHome {
    pub holding: Holding,
    pub counts: RailCounts,
}

/// How many things of each kind a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RailCounts {
    pub datasets: u32,
    pub runs: u32,
    pub models: u32,
    pub endpoints: u32,
    /// Keys that are not revoked.
    pub keys: u32,
}
