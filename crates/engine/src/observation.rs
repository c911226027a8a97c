//! What the engine sees.

pub use domain::{
    reason::task::{Amount, End, PendingCause, Shortage},
    replica::{Replica, ReplicaState},
};

/// What the engine sees under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub name: String,
    /// Hash of the task as it was applied.
    pub hash: String,
    pub state: TaskState,
    /// Of a server: each of its processes that there is. What they have loaded, the engine does not know.
    pub replicas: Vec<Replica>,
    /// Of a server: how many there should be.
    pub wanted: u32,
}

impl Observation {
    /// Where calls may go.
    pub fn ready(&self) -> Vec<String> {
        self.replicas.iter().filter(|r| r.is_ready()).filter_map(|r| r.address.clone()).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Accepted, but it cannot start. Applying it again starts it as soon as it can.
    Pending(PendingCause),
    Running {
        /// Milliseconds since 1970.
        since: i64,
        /// The machine's name.
        node: String,
    },
    Ended(End),
}

impl TaskState {
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
    pub const fn end(&self) -> Option<&End> {
        match self {
            Self::Ended(end) => Some(end),
            _ => None,
        }
    }
}

/// How far a task's output was read. Only the engine that made it knows what is in it; keep it, and give it back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The beginning of everything.
    pub const fn start() -> Self {
        Self(String::new())
    }
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// To be stored; empty at the beginning.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A piece of what a task printed: whole lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub bytes: Vec<u8>,
    /// From where to read on; the same as before when there was nothing new.
    pub next: Cursor,
}

/// Whether the engine really holds tasks to what they may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    /// `Err`: why memory limits are not held here, a sentence for whoever runs the machine.
    pub memory: Result<(), String>,
}
