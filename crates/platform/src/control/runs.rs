//! Brings runs forward: admits queued ones, starts their tasks, reads what these say, and draws the conclusion at their end.

use super::{
    Halt, Leader, ending, hearing, publish, queue,
    tasks::{self, GRACE, Job, Place},
};
use crate::{
    audit, events,
    problem::Doing,
    runs::end_cancelled,
    store::{Tx, runs::Results},
};
use domain::{
    event::Topic,
    ids::RunId,
    name::Name,
    report::Verdict,
    run::{Failure, LogLevel, Run, RunEvent, RunState, StepKind},
    store_location,
    time::SECOND,
};
use engine::{Cursor, End, Error as EngineError, TaskState};
use std::collections::BTreeMap;

/// Bytes of output that are read and committed at once.
const CHUNK: usize = 256 * 1024;
/// Milliseconds for which starting a process is tried again.
const START_PATIENCE: i64 = 30 * SECOND;

/// Gives free slots to the oldest queued runs, and tells the others what they wait for.
pub(super) async fn admit(leader: Leader) -> Result<(), Halt> {
    let store = leader.platform.store();
    let mut by_tenant: BTreeMap<Name, Vec<_>> = BTreeMap::new();
    for run in store.open_runs().await.doing("reading the queue")? {
        by_tenant.entry(run.tenant.clone()).or_default().push(run);
    }
    for (name, open) in by_tenant {
        if open.iter().all(|r| r.state != RunState::Queued) {
            continue;
        }
        let Some(tenant) = store.tenant(&name).await.doing("reading a tenant")? else { continue };
        for (queued, turn) in queue::turns(&tenant, &open) {
            match turn {
                queue::Turn::Wait(reason) if reason == queued.reason => {}
                queue::Turn::Wait(reason) => {
                    let mut tx = leader.begin().await?;
                    if tx.set_waiting_reason(&name, queued.id, &reason).await.doing("saying why a run waits")? {
                        commit(tx, &name, queued.id, &[Topic::Run]).await?;
                    }
                }
                queue::Turn::Start => {
                    let mut tx = leader.begin().await?;
                    let Some(mut run) = tx.run(&name, queued.id).await.doing("reading a run")? else { continue };
                    let Ok(state) = run.state.next(RunEvent::Admit) else { continue };
                    run.state = state;
                    run.started_at = Some(tx.at());
                    run.reason = "The trainer is being started.".into();
                    hearing::begin(&mut run, StepKind::Prepare, "Starting the process.".into(), tx.at());
                    tx.save_run(&run).await.doing("starting a run")?;
                    commit(tx, &name, queued.id, &[Topic::Run]).await?;
                    leader.platform.wake();
                }
            }
        }
    }
    Ok(())
}

async fn commit(mut tx: Tx, tenant: &Name, run: RunId, topics: &[Topic]) -> Result<(), Halt> {
    for topic in topics {
        events::tell(&mut tx, tenant, *topic, run).await.doing("telling of a run")?;
    }
    Ok(tx.commit().await.doing("writing a run")?)
}

pub(super) async fn reconcile(leader: Leader, tenant: Name, id: RunId) -> Result<(), Halt> {
    let Some(run) = leader.platform.store().run(&tenant, id).await.doing("reading a run")? else { return Ok(()) };
    match run.state {
        RunState::Queued | RunState::Succeeded | RunState::Failed | RunState::Cancelled => Ok(()),
        RunState::Preparing | RunState::Training => work(&leader, &run, Job::Train).await,
        RunState::Evaluating => work(&leader, &run, Job::Evaluate).await,
        RunState::Publishing => publish::publish(&leader, &run).await,
        RunState::Cancelling => cancel(&leader, &run).await,
    }
}

async fn work(leader: &Leader, run: &Run, job: Job) -> Result<(), Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    let name = tasks::run_task(run.id, job);
    let read_to = store.output_offset(&run.tenant, run.id, job.word()).await.doing("reading where the output was left")?;
    let seen = engine.observe(&name).await.doing("looking at a process")?;
    if let Some(TaskState::Pending(cause)) = seen.as_ref().map(|o| &o.state) {
        // Applied again, it starts as soon as it can.
        start(leader, run, job).await?;
        return say_why_it_waits(leader, run, cause.said()).await;
    }
    match (read_to, seen) {
        (None, None) => start(leader, run, job).await,
        // It was started, and whoever did was killed before saying so.
        (None, Some(_)) => begin_reading(leader, run, job).await,
        (Some(_), Some(seen)) => {
            // What ended before this look has said everything that it will.
            let decided = read(leader, run, job).await?;
            match seen.state.end() {
                Some(end) if !decided => conclude(leader, run, job, end).await,
                _ => Ok(()),
            }
        }
        (Some(_), None) => conclude(leader, run, job, &End::Removed).await,
    }
}

async fn start(leader: &Leader, run: &Run, job: Job) -> Result<(), Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    if job == Job::Evaluate {
        // Two processes with the model in memory may be one too many.
        let trainer = tasks::run_task(run.id, Job::Train);
        if engine.observe(&trainer).await.doing("looking at a process")?.is_some_and(|o| o.state.is_running()) {
            return leader.stop(&trainer, GRACE).await;
        }
    }
    let missing = |what| Halt::Trouble(domain::problem::Problem::not_found(what));
    let base = store.base_model(run.base_model).await.doing("reading the base model")?.ok_or_else(|| missing("The base model"))?;
    let version = store
        .dataset_version(&run.tenant, run.dataset_version)
        .await
        .doing("reading the dataset")?
        .ok_or_else(|| missing("The dataset"))?;
    let place = Place { location: leader.platform.location(), limits: leader.platform.task_limits() };
    let task = match job {
        Job::Train => place.train(run, &base, &version),
        Job::Evaluate => place.evaluate(run, &version),
    };
    match leader.deeds().await?.apply(&task).await {
        // Under our name there is only ever our task; another text comes from another version of this program.
        Ok(()) | Err(EngineError::Different { .. }) => {
            let seen = engine.observe(&task.name).await.doing("looking at a process")?;
            match seen.map(|o| o.state) {
                // Looked at again in the next round.
                Some(TaskState::Pending(_)) => Ok(()),
                _ => begin_reading(leader, run, job).await,
            }
        }
        Err(e) => {
            let since = run.steps.iter().filter_map(|s| s.ended_at).max().or(run.started_at).unwrap_or(run.created_at);
            if leader.platform.now().since(since) < START_PATIENCE {
                return Err(Err::<(), _>(e).doing("starting a process").map_or_else(Halt::from, |()| Halt::Deposed));
            }
            let failure = Failure {
                cause: "not_started".into(),
                sentence: format!("The process could not be started: {e}."),
                next_step: "Whoever runs this portal must look at the machine; then launch a clone.".into(),
                evidence: Vec::new(),
                exit: None,
            };
            let tx = leader.begin().await?;
            finish_failed(tx, run, failure).await
        }
    }
}

/// The engine has taken the task and cannot start it yet.
async fn say_why_it_waits(leader: &Leader, run: &Run, why: String) -> Result<(), Halt> {
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    if now.state != run.state || now.reason == why {
        return Ok(());
    }
    now.reason = why;
    tx.save_run(&now).await.doing("writing a run")?;
    commit(tx, &run.tenant, run.id, &[Topic::Run]).await
}

async fn begin_reading(leader: &Leader, run: &Run, job: Job) -> Result<(), Halt> {
    let mut tx = leader.begin().await?;
    tx.begin_reading(&run.tenant, run.id, job.word()).await.doing("noting a started process")?;
    let Some(mut run) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    let step = if job == Job::Train { StepKind::Prepare } else { StepKind::Evaluate };
    hearing::begin(&mut run, step, "The process was started.".into(), tx.at());
    if job == Job::Evaluate {
        run.reason = "Base and tuned model answer the held-out prompts.".into();
    } else {
        run.reason = "The inputs are being prepared.".into();
    }
    tx.save_run(&run).await.doing("writing a run")?;
    commit(tx, &run.tenant, run.id, &[Topic::Run]).await?;
    leader.platform.wake();
    Ok(())
}

/// Reads on in a task's output. What was read and how far commit together, so no line is lost or doubled, whoever is killed when.
/// True when the task's verdict was among it, and acted on.
async fn read(leader: &Leader, run: &Run, job: Job) -> Result<bool, Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    let (tenant, id, name) = (&run.tenant, run.id, tasks::run_task(run.id, job));
    loop {
        let Some(from) = store.output_offset(tenant, id, job.word()).await.doing("reading where the output was left")? else {
            return Ok(false);
        };
        let read = engine.output(&name, &Cursor::from_text(from.to_string()), CHUNK).await.doing("reading a process’s output")?;
        // The table holds a number; on this machine's engine a place in the output is one.
        let (bytes, to) = (read.bytes, read.next.as_str().parse().unwrap_or(from));
        if to == from {
            return Ok(false);
        }
        let mut tx = leader.begin().await?;
        if !tx.advance_reading(tenant, id, job.word(), from, to).await.doing("noting how far the output was read")? {
            return Err(Halt::Deposed);
        }
        let Some(before) = tx.run(tenant, id).await.doing("reading a run")? else { return Ok(true) };
        let mut now = before.clone();
        let (mut number, mut verdict, mut live) = (None, None, false);
        let at = tx.at();
        for line in bytes.split(|b| *b == b'\n').filter_map(|raw| hearing::line(raw, at)) {
            let heard = hearing::hear(&mut now, job, line);
            if let Some(mut log) = heard.log {
                let last = match number {
                    Some(last) => last,
                    None => tx.last_log_number(tenant, id).await.doing("reading the log’s length")?,
                };
                log.number = last + 1;
                number = Some(log.number);
                tx.append_log(tenant, id, &log).await.doing("writing the log")?;
                live = true;
            }
            if let Some(metric) = heard.metric {
                tx.put_metric(tenant, id, &metric).await.doing("writing the curves")?;
                live = true;
            }
            verdict = heard.verdict.or(verdict);
        }
        if let Some(verdict) = verdict.filter(|_| before.state != RunState::Cancelling) {
            decide(tx, now, job, verdict).await?;
            leader.platform.wake();
            return Ok(true);
        }
        let progressed = now.progress != before.progress;
        let mut topics = Vec::new();
        if now != before {
            tx.save_run(&now).await.doing("writing a run")?;
        }
        if (&now.state, &now.steps, &now.reason) != (&before.state, &before.steps, &before.reason) {
            topics.push(Topic::Run);
        }
        if live || progressed {
            topics.push(Topic::RunLive);
        }
        commit(tx, tenant, id, &topics).await?;
    }
}

/// What follows from a verdict, in the transaction in which it was read.
async fn decide(mut tx: Tx, mut run: Run, job: Job, verdict: Verdict) -> Result<(), Halt> {
    let outcome = match (ending::failure_of(&verdict), verdict) {
        (None, Verdict::Succeeded(outcome)) => outcome,
        (failure, _) => {
            let failure = failure.unwrap_or_else(|| ending::failure_without_verdict(&End::Removed, Vec::new()));
            return finish_failed_as(tx, run, failure).await;
        }
    };
    let at = tx.at();
    let mut results: Results = tx.run_results(&run.tenant, run.id).await.doing("reading a run’s results")?;
    match job {
        Job::Train => {
            let data = tx.dataset_version(&run.tenant, run.dataset_version).await.doing("reading the dataset")?;
            let held_out = data.and_then(|v| v.report).map_or(0, |r| r.held_out_rows);
            hearing::trained(&mut run, &outcome, held_out, at);
            results.train = Some(outcome);
        }
        Job::Evaluate => {
            hearing::evaluated(&mut run, outcome.scores, at);
            results.evaluate = Some(outcome);
        }
    }
    tx.save_run_results(&run.tenant, run.id, &results).await.doing("writing a run’s results")?;
    tx.save_run(&run).await.doing("writing a run")?;
    commit(tx, &run.tenant, run.id, &[Topic::Run, Topic::RunLive]).await
}

/// The process is gone and its output is read. Its stored verdict decides; without one, the way it ended.
async fn conclude(leader: &Leader, run: &Run, job: Job, end: &End) -> Result<(), Halt> {
    let path = store_location::run_verdict(&run.tenant, run.id, job.word());
    let stored = leader.platform.blobs().bytes_if_any(&path).await.doing("reading a verdict")?;
    let verdict: Option<Verdict> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let last = leader.platform.store().last_log_lines(&run.tenant, run.id, 20).await.doing("reading the log")?;
    let mut tx = leader.begin().await?;
    let Some(now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    if now.state != run.state {
        return Ok(());
    }
    match verdict {
        Some(verdict) => decide(tx, now, job, verdict).await,
        None => finish_failed_as(tx, now, ending::failure_without_verdict(end, last)).await,
    }
}

async fn cancel(leader: &Leader, run: &Run) -> Result<(), Halt> {
    for job in Job::ALL {
        let name = tasks::run_task(run.id, job);
        let Some(seen) = leader.platform.engine().observe(&name).await.doing("looking at a process")? else { continue };
        if seen.state.is_running() {
            read(leader, run, job).await?;
            return leader.stop(&name, GRACE).await;
        }
        read(leader, run, job).await?;
    }
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    let Ok(state) = now.state.next(RunEvent::Stopped) else { return Ok(()) };
    now.state = state;
    end_cancelled(&mut now, tx.at(), "As asked; its process has ended.");
    tx.save_run(&now).await.doing("writing a run")?;
    let entry = audit::by_system(tx.at(), Some(&now.tenant), "run.cancelled", "run", now.id, &now.name);
    audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    commit(tx, &now.tenant, now.id, &[Topic::Run]).await?;
    leader.platform.wake();
    Ok(())
}

/// Ends a run as failed, if it still is where the caller saw it.
pub(super) async fn finish_failed(mut tx: Tx, seen: &Run, failure: Failure) -> Result<(), Halt> {
    match tx.run(&seen.tenant, seen.id).await.doing("reading a run")? {
        Some(now) if now.state == seen.state => finish_failed_as(tx, now, failure).await,
        _ => Ok(()),
    }
}

async fn finish_failed_as(mut tx: Tx, mut run: Run, failure: Failure) -> Result<(), Halt> {
    let last = tx.last_log_number(&run.tenant, run.id).await.doing("reading the log’s length")?;
    let step = if run.state == RunState::Evaluating { StepKind::Evaluate } else { StepKind::Train };
    let line = domain::run::LogLine { number: last + 1, at: tx.at(), step, level: LogLevel::Error, text: failure.sentence.clone() };
    tx.append_log(&run.tenant, run.id, &line).await.doing("writing the log")?;
    let mut entry = audit::by_system(tx.at(), Some(&run.tenant), "run.failed", "run", run.id, &run.name);
    entry.detail = failure.sentence.clone();
    hearing::fail(&mut run, failure, tx.at());
    tx.save_run(&run).await.doing("writing a run")?;
    audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    commit(tx, &run.tenant, run.id, &[Topic::Run, Topic::RunLive]).await
}
