//! How a process that is gone ended, in words; and what a verdict means.

use domain::{report::Verdict, run::Failure};
use engine::TaskState;

/// The failure that a verdict tells of; `None` = it succeeded.
pub(super) fn failure_of(verdict: &Verdict) -> Option<Failure> {
    match verdict {
        Verdict::Succeeded(_) => None,
        Verdict::Failed { exit, cause, sentence, next_step, evidence } => Some(Failure {
            cause: cause.clone(),
            sentence: sentence.clone(),
            next_step: next_step.clone(),
            evidence: evidence.iter().rev().take(20).rev().cloned().collect(),
            exit: Some(exit.clone()),
        }),
        Verdict::Stopped => Some(Failure {
            cause: "stopped".into(),
            sentence: "The process was told to stop from outside the portal.".into(),
            next_step: "If the machine was being shut down, clone the run and launch it again.".into(),
            evidence: Vec::new(),
            exit: None,
        }),
    }
}

/// A process that ended without a verdict, neither printed nor stored. `evidence`: the last lines of its log.
pub(super) fn failure_without_verdict(state: &TaskState, evidence: Vec<String>) -> Failure {
    let again = "Clone the run and launch it again.";
    let (cause, sentence, next_step, exit) = match state {
        TaskState::Signalled { signal: 9 } => (
            "killed",
            "The process was killed by the kernel, usually because the machine ran out of memory.".to_owned(),
            "Use a smaller batch or a shorter cut-off, or a machine with more memory; then launch a clone.",
            Some("signal 9".to_owned()),
        ),
        TaskState::Signalled { signal } => (
            "killed",
            format!("The process was ended by signal {signal} from outside the portal."),
            again,
            Some(format!("signal {signal}")),
        ),
        TaskState::Exited { code } => (
            "unknown",
            format!("The process ended with status {code} without saying why."),
            "Read the last lines of the log; if they do not say it, show them to whoever runs this portal.",
            Some(format!("exit {code}")),
        ),
        TaskState::Lost | TaskState::Running => {
            ("lost", "The machine restarted while the run was working, and its process is gone.".to_owned(), again, None)
        }
    };
    Failure { cause: cause.into(), sentence, next_step: next_step.into(), evidence, exit }
}

/// The same for a model server, as half a sentence: `it was killed by the kernel, ...`.
pub(super) fn server_end(state: Option<&TaskState>) -> String {
    match state {
        Some(TaskState::Exited { code }) => format!("it ended with status {code}"),
        Some(TaskState::Signalled { signal: 9 }) => {
            "it was killed by the kernel or a person (signal 9), often because memory ran out".into()
        }
        Some(TaskState::Signalled { signal }) => format!("it was ended by signal {signal}"),
        Some(TaskState::Lost) | None => "it is gone; the machine may have restarted".into(),
        Some(TaskState::Running) => "it does not answer".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_without_a_verdict_has_its_own_sentence() {
        let said = |state| failure_without_verdict(&state, Vec::new());
        assert!(said(TaskState::Signalled { signal: 9 }).sentence.contains("out of memory"));
        assert_eq!(said(TaskState::Exited { code: 3 }).exit.as_deref(), Some("exit 3"));
        assert!(said(TaskState::Lost).sentence.contains("restarted"));
        assert!(said(TaskState::Signalled { signal: 15 }).sentence.contains("15"));
    }
}
