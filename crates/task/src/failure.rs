//! Why a task does not go on.

use domain::{
    causes::causes,
    problem::Outage,
    reason::failure::{Cause, Failure},
};

/// A task that does not go on.
#[derive(Debug)]
pub enum Halt {
    /// It was told to stop.
    Stopped,
    Failed(Failure),
}

/// Something around the trainer failed: files, store, starting a program.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("{0} is not in the store")]
    Missing(String),
    #[error("{0} was stored, and what lies there is not what was written")]
    Altered(String),
    #[error("the key of the artefact store that was put beside this task cannot be read")]
    BadStoreKey,
    #[error(transparent)]
    Closed(#[from] storage::OpenError),
    #[error("{doing}: {source}")]
    Store { doing: String, source: object_store::Error },
    #[error("{doing}: {source}")]
    Io { doing: String, source: std::io::Error },
}

impl TaskError {
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
    pub fn store(doing: impl Into<String>) -> impl FnOnce(object_store::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Store { doing, source }
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        let evidence: Vec<String> = causes(&error).map(ToString::to_string).collect();
        let cause = if evidence.iter().any(|e| e.contains("No space left on device") || e.contains("Disk quota exceeded")) {
            Cause::DiskFull
        } else {
            match &error {
                TaskError::Missing(what) => Cause::InputMissing { what: what.clone() },
                TaskError::BadStoreKey | TaskError::Closed(_) => Cause::Store { outage: Outage::StoreKeyRefused },
                TaskError::Store { source, .. } => Cause::Store { outage: storage::outage(source) },
                TaskError::Altered(_) | TaskError::Io { .. } => Cause::Platform,
            }
        };
        Self::of(cause).with_evidence(evidence)
    }
}
impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
impl From<TaskError> for Halt {
    fn from(error: TaskError) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_so_however_deep_it_is_said() {
        let full = std::io::Error::from_raw_os_error(28);
        let failure = Failure::from(TaskError::io("writing train.jsonl")(full));
        assert_eq!(failure.cause, Cause::DiskFull);
        assert!(failure.evidence[0].starts_with("writing train.jsonl"), "{:?}", failure.evidence);
        assert_eq!(Failure::from(TaskError::io("x")(std::io::Error::from_raw_os_error(13))).cause, Cause::Platform);
    }
}
