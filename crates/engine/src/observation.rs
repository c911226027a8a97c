//! What the engine sees.

pub use domain::reason::task::{Amount, End, PendingCause, Shortage};

/// What the engine sees under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub name: String,
    /// Hash of the task as it was applied.
    pub hash: String,
    pub state: TaskState,
    /// Of a server that runs, one for each copy of it; empty as long as none has a place.
    pub addresses: Vec<Address>,
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

/// Where one copy of a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http://127.0.0.1:43121`
    pub url: String,
    /// It takes connections.
    pub ready: bool,
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
