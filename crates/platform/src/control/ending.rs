//! What the end of a process says that left no verdict.

use domain::reason::failure::{Cause, Failure};
use engine::End;
use std::time::Duration;

/// Lines of evidence that are kept.
const EVIDENCE: usize = 20;

/// With the last lines of its evidence only.
pub(super) fn short(mut failure: Failure) -> Failure {
    let extra = failure.evidence.len().saturating_sub(EVIDENCE);
    failure.evidence.drain(..extra);
    failure
}

/// A process that ended without a verdict, neither printed nor stored. `allowed`: its deadline. `evidence`: the last lines of its log.
pub(super) fn without_verdict(end: &End, allowed: Option<Duration>, evidence: Vec<String>) -> Failure {
    let failure = match end {
        End::Signalled { signal } => Failure::of(Cause::Killed { signal: *signal, by_kernel: true }).with_exit(format!("signal {signal}")),
        End::Exited { status } => Failure::of(Cause::Ended { status: *status }).with_exit(format!("exit {status}")),
        End::OutOfMemory => Failure::of(Cause::MemoryLimit),
        End::Deadline => {
            let allowed = allowed.and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or_default();
            Failure::of(Cause::DeadlineExceeded { allowed })
        }
        End::Evicted { why } => Failure::of(Cause::Evicted { why: why.clone() }),
        End::NodeLost => Failure::of(Cause::Lost),
        End::Removed => Failure::of(Cause::Removed),
    };
    short(failure.with_evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_without_a_verdict_has_its_own_sentence() {
        let of = |end| without_verdict(&end, Some(Duration::from_secs(3600)), Vec::new());
        let said = |end| of(end).said().sentence;
        assert!(said(End::Signalled { signal: 9 }).contains("out of memory"));
        assert!(said(End::OutOfMemory).contains("memory limit"));
        assert!(said(End::Deadline).contains("longer than the 1 h"));
        assert_eq!(of(End::Exited { status: 3 }).exit.as_deref(), Some("exit 3"));
        assert!(said(End::NodeLost).contains("restarted"));
        assert!(said(End::Removed).contains("killed"));
        assert!(said(End::Evicted { why: "disk pressure".into() }).contains("disk pressure"));
        assert!(said(End::Signalled { signal: 15 }).contains("15"));
    }

    #[test]
    fn the_newest_lines_are_the_evidence_that_is_kept() {
        let failure = without_verdict(&End::NodeLost, None, (0..30).map(|n| n.to_string()).collect());
        assert_eq!((failure.evidence.len(), failure.evidence[0].as_str()), (20, "10"));
    }
}
