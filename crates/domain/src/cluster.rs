//! The machines of a cluster, and who has what of them.

use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// As the engine sees it now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Of the API server: `v1.36.3`.
    pub version: String,
    /// By name.
    pub machines: Vec<Machine>,
    /// What the tasks of each tenant have or wait for: what a quota counts.
    pub used: BTreeMap<Name, Amounts>,
    /// Whether pods of others than this portal's tenants are among the holders: not where the portal may look into its tenants'
    /// namespaces only.
    pub with_others: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: String,
    pub state: MachineState,
    /// Of its GPUs, as the driver names them.
    pub product: Option<String>,
    /// What tasks may have of it, all together.
    pub has: Amounts,
    /// What runs there, or is about to; those with GPUs first.
    pub holders: Vec<Holder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    Ready,
    /// It takes nothing new; what is there goes on.
    Closed,
    /// It does not answer, or says that it cannot work.
    NotReady,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// `None` = not of this portal.
    pub tenant: Option<Name>,
    /// What people call it: `run facts-6`; of others, namespace and pod.
    pub what: String,
    pub has: Amounts,
}

/// So much of what a machine gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub gpus: u32,
    /// Slices of GPUs by their profile: `1g.10gb`.
    pub mig: BTreeMap<String, u32>,
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
}

impl Amounts {
    pub fn add(&mut self, other: &Self) {
        self.gpus = self.gpus.saturating_add(other.gpus);
        for (profile, count) in &other.mig {
            let sum = self.mig.entry(profile.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.cpu_milli = self.cpu_milli.saturating_add(other.cpu_milli);
        self.memory = self.memory.saturating_add(other.memory);
    }

    pub fn has_gpus(&self) -> bool {
        self.gpus > 0 || self.mig.values().any(|n| *n > 0)
    }
}

impl Machine {
    /// What is in use of it.
    pub fn used(&self) -> Amounts {
        self.holders.iter().fold(Amounts::default(), |mut sum, holder| {
            sum.add(&holder.has);
            sum
        })
    }
}

/// What waits, of whatever tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub tenant: Name,
    /// `run facts-6`, `endpoint support`
    pub what: String,
    pub why: String,
}
