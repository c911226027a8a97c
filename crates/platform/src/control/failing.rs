//! A step that has failed: written with its line in the log and its audit record.

use super::{Halt, runs::commit};
use crate::{audit, problem::Doing, store::Tx};
use domain::{
    audit::Detail,
    reason::failure::Failure,
    run::{LogLevel, LogLine, Run, RunState, StepId},
};

/// A unit has failed, if it is still where the caller saw it.
pub(super) async fn fail(mut tx: Tx, seen: &Run, unit: &StepId, failure: Failure) -> Result<(), Halt> {
    match tx.run(&seen.tenant, seen.id).await.doing("reading a run")? {
        Some(now) if same_try(&now, seen, unit) => fail_as(tx, now, unit, failure).await,
        _ => Ok(()),
    }
}

/// Whether the unit is at the try at which it was seen.
pub(super) fn same_try(now: &Run, seen: &Run, unit: &StepId) -> bool {
    let attempt = |run: &Run| run.steps.iter().find(|s| s.unit() == unit).map(|s| s.attempt);
    now.state == RunState::Running && attempt(now) == attempt(seen)
}

pub(super) async fn fail_as(mut tx: Tx, mut run: Run, unit: &StepId, failure: Failure) -> Result<(), Halt> {
    let Some(step) = run.part(unit).map(|s| s.id.clone()) else { return Ok(()) };
    let (cause, sentence) = (failure.cause.clone(), failure.said().sentence);
    if run.fail(unit, failure, tx.at()).is_err() {
        return Ok(());
    }
    let last = tx.last_log_number(&run.tenant, run.id).await.doing("reading the log’s length")?;
    let line = LogLine { number: last + 1, at: tx.at(), step: step.clone(), level: LogLevel::Error, text: sentence };
    tx.append_log(&run.tenant, run.id, &[line]).await.doing("writing the log")?;
    tx.save_run(&run).await.doing("writing a run")?;
    let mut entry = audit::by_system(tx.at(), Some(&run.tenant), "run.failed", "run", run.id, &run.name);
    entry.detail = Detail::RunFailed { step: step.to_string(), cause };
    audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    commit(tx).await
}
