//! Runs as lists and headings tell of them.

use super::RunState;
use crate::{ids::RunId, name::Name};

/// How many runs there are in the states that lists show together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    pub active: u64,
    pub succeeded: u64,
    pub failed: u64,
}

impl RunCounts {
    pub fn add(&mut self, state: RunState, runs: u64) {
        match state {
            RunState::Queued | RunState::Running | RunState::Cancelling => self.active += runs,
            RunState::Succeeded => self.succeeded += runs,
            RunState::Failed | RunState::Cancelled => self.failed += runs,
        }
    }
    pub fn all(&self) -> u64 {
        self.active + self.succeeded + self.failed
    }
}

/// A run as the page of its dataset lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOnData {
    pub id: RunId,
    pub name: Name,
    pub state: RunState,
}
