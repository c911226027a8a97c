//! A queue of the cluster, in which runs wait until its quota has room for them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most that a run can ever get of a queue, with nothing else at work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLimits {
    /// As the tenant knows it.
    pub name: String,
    /// `None` of these = the queue does not count it, or nobody can tell how much it lends from others.
    pub gpus: Option<u32>,
    /// Slices of GPUs by their profile; of those that are not named, the same.
    pub mig: BTreeMap<String, u32>,
    /// Whole cores.
    pub cpu: Option<u32>,
    /// Bytes.
    pub memory: Option<u64>,
}
