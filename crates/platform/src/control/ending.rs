//! How a process that is gone ended, in words; and what a verdict means.

use domain::{report::Verdict, run::Failure};
use engine::End;

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
pub(super) fn failure_without_verdict(end: &End, evidence: Vec<String>) -> Failure {
    let again = "Clone the run and launch it again.";
    let (cause, sentence, next_step, exit) = match end {
        End::Signalled { signal: 9 } => (
            "killed",
            "The process was killed by the kernel, usually because the machine ran out of memory.".to_owned(),
            "Use a smaller batch or a shorter cut-off, or a machine with more memory; then launch a clone.",
            Some("signal 9".to_owned()),
        ),
        End::OutOfMemory => (
            "out_of_memory",
            "The process reached its memory limit and was ended.".to_owned(),
            "Use a smaller batch or a shorter cut-off, or ask whoever runs this portal for a higher limit; then launch a clone.",
            None,
        ),
        End::Deadline => (
            "deadline",
            "The process took longer than a run may take on this portal, and was ended.".to_owned(),
            "Use fewer epochs or less data, or ask whoever runs this portal for a longer limit; then launch a clone.",
            None,
        ),
        End::Evicted { why } => ("evicted", format!("The machine needed its room, so the process was ended ({why})."), again, None),
        End::Signalled { signal } => (
            "killed",
            format!("The process was ended by signal {signal} from outside the portal."),
            again,
            Some(format!("signal {signal}")),
        ),
        End::Exited { status: code } => (
            "unknown",
            format!("The process ended with status {code} without saying why."),
            "Read the last lines of the log; if they do not say it, show them to whoever runs this portal.",
            Some(format!("exit {code}")),
        ),
        End::NodeLost => ("lost", "The machine restarted while the run was working, and its process is gone.".to_owned(), again, None),
        End::Removed => ("removed", "The processes of the run were killed from outside the portal.".to_owned(), again, None),
    };
    Failure { cause: cause.into(), sentence, next_step: next_step.into(), evidence, exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_without_a_verdict_has_its_own_sentence() {
        let said = |end| failure_without_verdict(&end, Vec::new());
        assert!(said(End::Signalled { signal: 9 }).sentence.contains("out of memory"));
        assert!(said(End::OutOfMemory).sentence.contains("memory limit"));
        assert!(said(End::Deadline).sentence.contains("longer"));
        assert_eq!(said(End::Exited { status: 3 }).exit.as_deref(), Some("exit 3"));
        assert!(said(End::NodeLost).sentence.contains("restarted"));
        assert!(said(End::Removed).sentence.contains("killed"));
        assert!(said(End::Signalled { signal: 15 }).sentence.contains("15"));
    }
}
