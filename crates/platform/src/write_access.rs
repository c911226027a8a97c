//! What it takes to begin a transaction that writes: the store asks for it, and only `change.rs` makes one. In a file of its own, so that
//! neither of the two imports the other for it.

/// Proof that whoever begins a transaction is `crate::change`.
pub(crate) struct WriteAccess(());

impl WriteAccess {
    /// For `crate::change` alone; a test reads the sources for any other call.
    pub(crate) fn of_change() -> Self {
        Self(())
    }
}
