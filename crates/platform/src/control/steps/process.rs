//! Steps that are the work of a process: it is started once, found again after a restart, read to its end, and its end decides.

use super::{begin, too_long};
use crate::{
    control::{
        Halt, Leader, ending,
        failing::{fail, fail_as, same_try},
        holders, output, places,
        runs::commit,
        store_keys, tasks,
        tasks::STEP_GRACE,
        work,
    },
    problem::Doing,
    store::Tx,
};
use domain::{
    artefacts,
    reason::failure::{Cause, Failure},
    report::Verdict,
    run::{Reason, Run, RunState, Step, StepId, StepState, Work},
    time::SECOND,
};
use engine::{End, Error as EngineError, Output, TaskState};
use std::collections::BTreeSet;

/// Bytes of output that are read and committed at once.
const CHUNK: usize = 256 * 1024;
/// Milliseconds for which starting a process is tried again.
const START_PATIENCE: i64 = 30 * SECOND;

/// `step`: where the unit is.
pub(super) async fn work(leader: &Leader, run: &Run, step: &Step) -> Result<(), Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    if step.state == StepState::Pending {
        if let Some(other) = still_running(leader, run, step).await? {
            return leader.stop(&other, STEP_GRACE).await;
        }
        if !begin(leader, run, step).await? {
            return Ok(());
        }
    }
    let folder = step.folder();
    let name = tasks::run_task(run.id, &folder);
    engine.belongs_to(&name, &run.tenant);
    let read_to = store.output_cursor(&run.tenant, run.id, &folder).await.doing("reading where the output was left")?;
    let seen = engine.observe(&name).await.doing("looking at a process")?;
    if let Some(TaskState::Pending(cause)) = seen.as_ref().map(|o| &o.state) {
        // Applied again, it starts as soon as it can.
        start(leader, run, step).await?;
        let cause = holders::named(leader, &run.tenant, cause.clone()).await?;
        return tell(leader, run, step, Reason::WaitsForMachine { cause }).await;
    }
    match (read_to, seen) {
        (None, None) => start(leader, run, step).await,
        // It was started, and whoever did was killed before saying so.
        (None, Some(_)) => begin_reading(leader, run, step).await,
        // Its place was taken away, and it has one again: what it may take counts anew, as what it has done may be lost.
        (Some(_), Some(seen)) if seen.state.is_running() && matches!(step.reason, Reason::WaitsForMachine { .. }) => {
            runs_again(leader, run, step).await
        }
        (Some(_), Some(seen)) => {
            // What ended before this look has said everything that it will.
            let decided = read(leader, run, step.unit(), &folder).await?;
            match seen.state.end() {
                _ if decided => Ok(()),
                Some(end) => conclude(leader, run, step, end).await,
                None if step.is_overdue(leader.platform.now()) => leader.stop(&name, STEP_GRACE).await,
                None => Ok(()),
            }
        }
        (Some(_), None) => conclude(leader, run, step, &End::Removed).await,
    }
}

/// A process of this run that has said its last word and still runs: two with the model in memory may be one too many.
async fn still_running(leader: &Leader, run: &Run, step: &Step) -> Result<Option<String>, Halt> {
    let mut over = BTreeSet::new();
    for other in run.steps.iter().filter(|s| matches!(s.work, Work::Process { .. })) {
        let tries = 1..other.attempt + u32::from(other.state.is_final() && other.unit() != step.unit());
        over.extend(tries.map(|attempt| Step { attempt, ..other.clone() }.folder()));
    }
    for folder in over {
        let name = tasks::run_task(run.id, &folder);
        leader.platform.engine().belongs_to(&name, &run.tenant);
        let seen = leader.platform.engine().observe(&name).await.doing("looking at a process")?;
        if seen.is_some_and(|o| o.state.is_running()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn start(leader: &Leader, run: &Run, step: &Step) -> Result<(), Halt> {
    let task = work::task(leader, run, step).await?;
    if let Err(cause) = places::ready(leader, &run.tenant).await? {
        return tell(leader, run, step, Reason::WaitsForMachine { cause }).await;
    }
    if let Err(why) = store_keys::hand_over(leader, &run.tenant).await? {
        return tell(leader, run, step, Reason::WaitsForStoreKey { why }).await;
    }
    match leader.effects().await?.apply(&task).await {
        // Under our name there is only ever our task; another text comes from another version of this program.
        Ok(()) | Err(EngineError::Different { .. }) => {
            let seen = leader.platform.engine().observe(&task.name).await.doing("looking at a process")?;
            match seen.map(|o| o.state) {
                // Looked at again in the next round.
                Some(TaskState::Pending(_)) => Ok(()),
                _ => begin_reading(leader, run, step).await,
            }
        }
        // It says nothing about the task, however long it takes.
        Err(e @ EngineError::Away { .. }) => Err::<(), _>(e).doing("starting a process").map_err(Halt::from),
        Err(e) => {
            let now = leader.platform.now();
            if now.since(step.started_at.unwrap_or(now)) < START_PATIENCE {
                return Err(Err::<(), _>(e).doing("starting a process").map_or_else(Halt::from, |()| Halt::LeaseLost));
            }
            let failure = Failure::of(Cause::NotStarted { error: e.to_string() });
            fail(leader.begin().await?, run, step.unit(), failure).await
        }
    }
}

/// Lets a step at work say something of itself.
async fn tell(leader: &Leader, run: &Run, step: &Step, reason: Reason) -> Result<(), Halt> {
    let mut tx = leader.begin().await?;
    let Some(before) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    let mut now = before.clone();
    now.tell(step.unit(), reason);
    if now == before {
        return Ok(());
    }
    tx.save_run(&now).await.doing("writing a run")?;
    commit(tx).await
}

async fn begin_reading(leader: &Leader, run: &Run, step: &Step) -> Result<(), Halt> {
    let mut tx = leader.begin().await?;
    tx.begin_reading(&run.tenant, run.id, &step.folder()).await.doing("noting a started process")?;
    let Some(mut run) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    run.runs(step.unit(), tx.at());
    tx.save_run(&run).await.doing("writing a run")?;
    commit(tx).await?;
    Ok(())
}

async fn runs_again(leader: &Leader, run: &Run, step: &Step) -> Result<(), Halt> {
    let mut tx = leader.begin().await?;
    let Some(mut run) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    run.runs(step.unit(), tx.at());
    tx.save_run(&run).await.doing("writing a run")?;
    commit(tx).await
}

/// Reads on in a process's output. What was read and how far commit together, so no line is lost or doubled, whoever is killed when.
/// True when its verdict was among it, and acted on.
pub(super) async fn read(leader: &Leader, run: &Run, unit: &StepId, folder: &str) -> Result<bool, Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    let (tenant, id, name) = (&run.tenant, run.id, tasks::run_task(run.id, folder));
    let mut in_line = false;
    loop {
        let Some(from) = store.output_cursor(tenant, id, folder).await.doing("reading where the output was left")? else {
            return Ok(false);
        };
        let Output { bytes, next: to } = engine.output(&name, &from, CHUNK).await.doing("reading a process’s output")?;
        if to == from {
            return Ok(false);
        }
        // What only adds to log and curves is written beside the writers' line, unless the run has moved on since it was looked at.
        let beside = !std::mem::take(&mut in_line) && only_telemetry(leader, run, unit, &bytes).await?;
        let mut tx = if beside { leader.beside().await? } else { leader.begin().await? };
        if !tx.advance_reading(tenant, id, folder, &from, &to).await.doing("noting how far the output was read")? {
            return Err(Halt::LeaseLost);
        }
        let Some(before) = tx.run(tenant, id).await.doing("reading a run")? else { return Ok(true) };
        let mut now = before.clone();
        let (mut lines, mut points, mut verdict) = (Vec::new(), Vec::new(), None);
        let at = tx.at();
        for line in bytes.split(|b| *b == b'\n').filter_map(|raw| output::line(raw, at)) {
            let beside = output::apply(&mut now, unit, line);
            lines.extend(beside.log);
            points.extend(beside.metric);
            verdict = beside.verdict.or(verdict);
        }
        if beside && (now != before || verdict.is_some()) {
            in_line = true;
            continue;
        }
        if !lines.is_empty() {
            let last = tx.last_log_number(tenant, id).await.doing("reading the log’s length")?;
            for (line, number) in lines.iter_mut().zip(last + 1..) {
                line.number = number;
            }
            tx.append_log(tenant, id, &lines).await.doing("writing the log")?;
        }
        tx.put_metrics(tenant, id, &points).await.doing("writing the curves")?;
        // One that does not know why it ended is not asked: how it ended, decides.
        if let Some(verdict) = verdict.filter(|v| v.is_last_word() && same_try(&before, run, unit)) {
            decide(tx, now, unit, verdict).await?;
            return Ok(true);
        }
        if (&now.state, &now.steps, &now.reason) != (&before.state, &before.steps, &before.reason) {
            tx.save_run(&now).await.doing("writing a run")?;
        } else if now.progress != before.progress {
            tx.save_progress(&now).await.doing("writing how far a run has come")?;
        }
        commit(tx).await?;
    }
}

/// Whether this output says nothing but lines and points: it changes nothing of the run, and ends nothing.
async fn only_telemetry(leader: &Leader, run: &Run, unit: &StepId, bytes: &[u8]) -> Result<bool, Halt> {
    let Some(before) = leader.platform.store().run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(false) };
    let (mut now, at) = (before.clone(), leader.platform.now());
    let mut lines = bytes.split(|b| *b == b'\n').filter_map(|raw| output::line(raw, at));
    Ok(lines.all(|line| output::apply(&mut now, unit, line).verdict.is_none()) && now == before)
}

/// What follows from a verdict, in the transaction in which it was read.
async fn decide(mut tx: Tx, mut run: Run, unit: &StepId, verdict: Verdict) -> Result<(), Halt> {
    let Some(step) = run.part(unit).cloned() else { return Ok(()) };
    let outcome = match verdict {
        Verdict::Succeeded(outcome) => outcome,
        Verdict::Failed(failure) => return fail_as(tx, run, unit, ending::short(failure)).await,
        Verdict::Stopped if step.is_overdue(tx.at()) => return fail_as(tx, run, unit, too_long(&step)).await,
        Verdict::Stopped => return fail_as(tx, run, unit, Failure::of(Cause::StoppedFromOutside)).await,
    };
    let at = tx.at();
    let reason = work::done(&run, &step, &outcome, at);
    if run.done(unit, reason, outcome.scores, at).is_err() {
        return Ok(());
    }
    let mut results = tx.run_results(&run.tenant, run.id).await.doing("reading a run’s results")?;
    results.insert(unit.to_string(), outcome);
    tx.save_run_results(&run.tenant, run.id, &results).await.doing("writing a run’s results")?;
    tx.save_run(&run).await.doing("writing a run")?;
    commit(tx).await
}

/// The process is gone and its output is read. Its stored verdict decides; without one, the way it ended.
async fn conclude(leader: &Leader, run: &Run, step: &Step, end: &End) -> Result<(), Halt> {
    let path = artefacts::run_verdict(&run.tenant, run.id, &step.folder());
    let stored = leader.platform.blobs().bytes_if_any(&path).await.doing("reading a verdict")?;
    let verdict: Option<Verdict> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let last = leader.platform.store().last_log_lines(&run.tenant, run.id, 20).await.doing("reading the log")?;
    let mut tx = leader.begin().await?;
    let Some(now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    if now.state != RunState::Running || !same_try(&now, run, step.unit()) {
        return Ok(());
    }
    // Evicted, or killed by somebody: it was told to stop all the same, or lost its connection to one that was, and says no more than that.
    let verdict = verdict.filter(|v| !v.is_explained_by(end));
    match verdict {
        Some(verdict) => decide(tx, now, step.unit(), verdict).await,
        None if step.is_overdue(tx.at()) => fail_as(tx, now, step.unit(), too_long(step)).await,
        None => {
            let allowed = tasks::deadline(run, step, leader.platform.task_limits());
            fail_as(tx, now, step.unit(), ending::without_verdict(end, allowed, last)).await
        }
    }
}
