//! Why a task did not succeed, in the words of the person who started it.

use domain::report::Verdict;

/// A task that does not go on.
#[derive(Debug)]
pub enum Halt {
    /// It was told to stop.
    Stopped,
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `exit 1`, `signal 9`; empty when no program ended.
    pub exit: String,
    pub cause: String,
    pub sentence: String,
    pub next_step: String,
    pub evidence: Vec<String>,
}

impl Failure {
    pub fn new(cause: &str, sentence: impl Into<String>, next_step: &str) -> Self {
        Self { exit: String::new(), cause: cause.into(), sentence: sentence.into(), next_step: next_step.into(), evidence: Vec::new() }
    }
    pub fn with_exit(mut self, exit: impl std::fmt::Display) -> Self {
        self.exit = exit.to_string();
        self
    }
    pub fn with_evidence(mut self, lines: Vec<String>) -> Self {
        self.evidence = lines;
        self
    }
    pub fn verdict(self) -> Verdict {
        Verdict::Failed { exit: self.exit, cause: self.cause, sentence: self.sentence, next_step: self.next_step, evidence: self.evidence }
    }
}

/// Something around the trainer failed: files, store, starting a program.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("{0} is not in the store")]
    Missing(String),
    #[error("{0} was stored, and what lies on the disk is not what was written")]
    Altered(String),
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
        let mut evidence = vec![error.to_string()];
        let mut source = std::error::Error::source(&error);
        while let Some(e) = source {
            evidence.push(e.to_string());
            source = e.source();
        }
        let failure = if evidence.iter().any(|e| e.contains("No space left on device") || e.contains("Disk quota exceeded")) {
            Self::new("disk_full", "The disk is full.", "Ask the platform admin for room, then clone the run.")
        } else if let TaskError::Missing(what) = &error {
            Self::new("input_missing", format!("{what} is not in the store."), "Ask the platform admin; it may have been deleted.")
        } else {
            Self::new(
                "platform",
                "The platform could not read or write the files of this run.",
                "Clone the run; if it fails again, show the evidence to the platform admin.",
            )
        };
        failure.with_evidence(evidence)
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
        assert_eq!(failure.cause, "disk_full");
        assert!(failure.evidence[0].starts_with("writing train.jsonl"), "{:?}", failure.evidence);
        assert_eq!(Failure::from(TaskError::io("x")(std::io::Error::from_raw_os_error(13))).cause, "platform");
    }
}
