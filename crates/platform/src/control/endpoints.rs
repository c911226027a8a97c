//! Keeps model servers as they are wanted: starts them, follows what they say, hands them their adapters, brings them back.

use super::{
    Halt, Leader,
    endpoint_output::{self, Beside},
    external, holders, output, places, store_keys, sweep,
    tasks::{self, GRACE, TaskBuilder},
};
use crate::{
    audit,
    problem::Doing,
    store::{self, Tx, endpoints::EndpointRecord},
};
use domain::{
    audit::Detail,
    base_model::StoredFile,
    endpoint::{AdapterState, EndpointEvent, EndpointState},
    ids::{EndpointId, ModelVersionId},
    name::Name,
    problem::Problem,
    reason::endpoint::{EndpointReason, ServerEnd},
    run::LogLevel,
    task_spec::{WantedAdapter, WantedAdapters},
    tenant::TenantState,
    time::SECOND,
};
use engine::{Cursor, End, Error as EngineError, Observation, TaskState};
use std::time::Duration;

/// Bytes of output that are read and committed at once.
const CHUNK: usize = 256 * 1024;
/// Deaths in a row after which a server that never answered is given up.
const MOST_DEATHS: u32 = 5;
/// How soon an endpoint is looked at again that is on its way somewhere, and one that is ready, if nothing wakes it.
const UNSETTLED: Duration = Duration::from_secs(1);
const SETTLED: Duration = Duration::from_secs(60);
/// The same where the engine tells of no output: what a server logs is read this late.
const SETTLED_UNTOLD: Duration = Duration::from_secs(10);
/// Milliseconds of answering after which earlier deaths no longer count.
const WELL_AGAIN: i64 = 60 * SECOND;

/// Says how soon the endpoint is to be looked at again if nothing wakes it: a retry may be due.
pub(super) async fn reconcile(leader: Leader, tenant: Name, id: EndpointId) -> Result<Option<Duration>, Halt> {
    let Some(record) = leader.platform.store().endpoint(&tenant, id).await.doing("reading an endpoint")? else { return Ok(None) };
    if !record.endpoint.capabilities().runs_here {
        return external::reconcile(&leader, &record).await;
    }
    let next = match record.endpoint.state {
        EndpointState::Wanted | EndpointState::Degraded | EndpointState::Starting | EndpointState::Stopping => Some(UNSETTLED),
        // An adapter that is being loaded is told ready by a line of output, of which not every engine tells.
        EndpointState::Ready if record.endpoint.attachments.iter().any(|a| a.state == AdapterState::Loading) => Some(UNSETTLED),
        EndpointState::Ready if leader.platform.engine().tells_of_output() => Some(SETTLED),
        EndpointState::Ready => Some(SETTLED_UNTOLD),
        EndpointState::Stopped | EndpointState::Failed => None,
    };
    bring_forward(&leader, &record).await?;
    Ok(next)
}

async fn bring_forward(leader: &Leader, record: &EndpointRecord) -> Result<(), Halt> {
    let (tenant, state) = (&record.endpoint.tenant, record.endpoint.state);
    let owner = leader.platform.store().tenant(tenant).await.doing("reading a tenant")?;
    if owner.is_some_and(|t| t.state == TenantState::Suspended) && state.wants_server() {
        return hold(leader, record).await;
    }
    match state {
        EndpointState::Wanted | EndpointState::Degraded => launch(leader, record).await,
        EndpointState::Starting | EndpointState::Ready => follow(leader, record).await,
        EndpointState::Stopping => stop(leader, record).await,
        EndpointState::Stopped | EndpointState::Failed => Ok(()),
    }
}

/// Writes the endpoint with what changed around it.
async fn save(mut tx: Tx, record: &EndpointRecord) -> Result<(), Halt> {
    tx.save_endpoint(record).await.doing("writing an endpoint")?;
    Ok(tx.commit().await.doing("writing an endpoint")?)
}

/// Decides on the next start. The process itself is started from the state that is written here.
async fn launch(leader: &Leader, seen: &EndpointRecord) -> Result<(), Halt> {
    let e = &seen.endpoint;
    if seen.retry_at.is_some_and(|at| leader.platform.now() < at) {
        return Ok(());
    }
    // An earlier server may still hold the memory that the next one needs.
    for task in leader.platform.engine().list(&tasks::endpoint_prefix(e.id)).await.doing("listing processes")? {
        if task.state.is_running() {
            return leader.stop(&task.name, GRACE).await;
        }
    }
    let rank = needed_rank(leader, seen).await?;
    let unheld = leader.platform.unheld_limits();
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(&e.tenant, e.id).await.doing("reading an endpoint")? else { return Ok(()) };
    let Ok(state) = now.endpoint.state.next(EndpointEvent::Launched) else { return Ok(()) };
    now.endpoint.state = state;
    now.endpoint.reason = EndpointReason::Starting;
    now.endpoint.addresses.clear();
    now.endpoint.ready_at = None;
    now.launch += 1;
    now.max_lora_rank = rank;
    now.output = Cursor::start();
    now.log_before = tx.last_endpoint_line(&e.tenant, e.id).await.doing("reading a server’s log")?;
    now.retry_at = None;
    let mut lines = vec![(tx.at(), LogLevel::Info, format!("Starting the model server, time {}.", now.launch))];
    lines.extend(unheld.map(|text| (tx.at(), LogLevel::Warning, text)));
    tx.append_endpoint_log(&e.tenant, e.id, &lines).await.doing("writing a server’s log")?;
    save(tx, &now).await?;
    Ok(())
}

async fn needed_rank(leader: &Leader, record: &EndpointRecord) -> Result<u32, Halt> {
    if record.endpoint.merged_version.is_some() {
        return Ok(0);
    }
    let mut ranks = Vec::new();
    for a in &record.endpoint.attachments {
        let version = leader.platform.store().model_version(&record.endpoint.tenant, a.version).await.doing("reading a model version")?;
        ranks.extend(version.map(|v| v.settings.lora_rank()));
    }
    Ok(tasks::max_lora_rank(ranks))
}

async fn follow(leader: &Leader, record: &EndpointRecord) -> Result<(), Halt> {
    let engine = leader.platform.engine();
    let e = &record.endpoint;
    let name = tasks::endpoint_task(e.id, record.launch);
    let seen = engine.observe(&name).await.doing("looking at a model server")?;
    let Some(seen) = seen else {
        if e.state == EndpointState::Ready || record.output != Cursor::start() {
            return died(leader, record, None).await;
        }
        return start(leader, record, &name).await;
    };
    if let TaskState::Pending(cause) = seen.state {
        // Applied again, it starts as soon as it can.
        start(leader, record, &name).await?;
        let cause = holders::named(leader, &e.tenant, cause).await?;
        return say(leader, record, EndpointReason::Pending { cause }).await;
    }
    if seen.state.is_running() {
        let rank = needed_rank(leader, record).await?;
        if rank > record.max_lora_rank {
            return restart_for_rank(leader, record, rank).await;
        }
        put_adapters(leader, record, &name).await?;
    }
    read(leader, record, &name).await?;
    moved(leader, record, &name, ready(&seen)).await?;
    match seen.state.end() {
        Some(end) => died(leader, record, Some(ServerEnd::Ended(end.clone()))).await,
        None => Ok(()),
    }
}

async fn start(leader: &Leader, record: &EndpointRecord, name: &str) -> Result<(), Halt> {
    let e = &record.endpoint;
    let base = match &e.base {
        Some(base) => leader.platform.store().base_model(base.id).await.doing("reading the base model")?,
        None => None,
    };
    let base = base.ok_or_else(|| Problem::not_found("The base model"))?;
    let tasks = TaskBuilder { location: leader.platform.location(), limits: leader.platform.task_limits() };
    let files = match e.merged_version {
        Some(version) => files_of(leader, &e.tenant, version).await?,
        None => base.files.clone(),
    };
    let task = tasks.serve(record, &base, &files);
    if let Err(cause) = places::ready(leader, &e.tenant).await? {
        return say(leader, record, EndpointReason::Pending { cause }).await;
    }
    if let Err(why) = store_keys::hand_over(leader, &e.tenant).await? {
        return say(leader, record, EndpointReason::WaitsForStoreKey { why }).await;
    }
    match leader.effects().await?.apply(&task).await {
        Ok(()) | Err(EngineError::Different { .. }) => put_adapters(leader, record, name).await,
        // It says nothing about the server.
        Err(err @ EngineError::Away { .. }) => Err::<(), _>(err).doing("starting a model server").map_err(Halt::from),
        Err(err) => {
            tracing::error!(endpoint = %e.id, error = %err, "a model server could not be started");
            died(leader, record, Some(ServerEnd::NotStarted { error: err.to_string() })).await
        }
    }
}

async fn files_of(leader: &Leader, tenant: &Name, version: ModelVersionId) -> Result<Vec<StoredFile>, Halt> {
    let version = leader.platform.store().model_version(tenant, version).await.doing("reading a model version")?;
    Ok(version.map(|v| v.files).unwrap_or_default())
}

/// Says why an endpoint is still in its state.
async fn say(leader: &Leader, seen: &EndpointRecord, reason: EndpointReason) -> Result<(), Halt> {
    if seen.endpoint.reason == reason {
        return Ok(());
    }
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(&seen.endpoint.tenant, seen.endpoint.id).await.doing("reading an endpoint")? else { return Ok(()) };
    if now.endpoint.state != seen.endpoint.state || now.launch != seen.launch {
        return Ok(());
    }
    now.endpoint.reason = reason;
    save(tx, &now).await
}

/// Hands the server the adapters that it should have, whenever they differ from what it was handed last.
async fn put_adapters(leader: &Leader, record: &EndpointRecord, task: &str) -> Result<(), Halt> {
    if record.endpoint.merged_version.is_some() {
        return Ok(());
    }
    let tasks = TaskBuilder { location: leader.platform.location(), limits: leader.platform.task_limits() };
    let mut adapters = Vec::new();
    for a in &record.endpoint.attachments {
        let files = match tasks.fetches() {
            true => files_of(leader, &record.endpoint.tenant, a.version).await?,
            false => Vec::new(),
        };
        adapters.push(WantedAdapter { name: a.version.to_string(), version: a.version, files });
    }
    let wanted = store::json(&WantedAdapters { adapters }).into_bytes();
    if leader.memory(|m| m.adapters.get(task) == Some(&wanted)) {
        return Ok(());
    }
    leader.effects().await?.put_file(task, "adapters.json", &wanted).await.doing("handing adapters to a model server")?;
    leader.memory(|m| m.adapters.insert(task.to_owned(), wanted));
    Ok(())
}

/// Reads on in the server's output; what was read and how far commit together.
async fn read(leader: &Leader, record: &EndpointRecord, task: &str) -> Result<(), Halt> {
    let (tenant, id) = (&record.endpoint.tenant, record.endpoint.id);
    loop {
        let Some(known) = leader.platform.store().endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
        let read = leader.platform.engine().output(task, &known.output, CHUNK).await.doing("reading a server’s output")?;
        if read.next == known.output || known.launch != record.launch {
            return Ok(());
        }
        // After its output: who says that he is ready listens by then.
        let seen = leader.platform.engine().observe(task).await.doing("looking at a model server")?;
        let mut tx = leader.begin().await?;
        let Some(before) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
        if (before.launch, &before.output) != (known.launch, &known.output) {
            return Err(Halt::LeaseLost);
        }
        let mut now = before;
        let mut beside = Beside::default();
        let at = tx.at();
        for line in read.bytes.split(|b| *b == b'\n').filter_map(|raw| output::line(raw, at)) {
            endpoint_output::apply(&mut now, line, &mut beside);
        }
        now.output = read.next;
        if now.endpoint.state == EndpointState::Ready {
            now.endpoint.addresses = seen.as_ref().map(ready).unwrap_or_default();
        }
        tx.append_endpoint_log(tenant, id, &beside.log).await.doing("writing a server’s log")?;
        for (version, state, reason) in &beside.adapters {
            tx.set_attachment(tenant, id, *version, *state, reason.as_ref()).await.doing("writing an adapter’s state")?;
        }
        save(tx, &now).await?;
    }
}

/// Where calls may go.
fn ready(seen: &Observation) -> Vec<String> {
    seen.addresses.iter().filter(|a| a.ready).map(|a| a.url.clone()).collect()
}

/// Copies of a server that answers have come or gone.
async fn moved(leader: &Leader, seen: &EndpointRecord, task: &str, mut now_ready: Vec<String>) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    if now_ready.is_empty() {
        // It may have said that it is ready after it was looked at.
        let again = leader.platform.engine().observe(task).await.doing("looking at a model server")?;
        now_ready = again.as_ref().map(ready).unwrap_or_default();
    }
    let Some(known) = leader.platform.store().endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
    let is_news =
        |r: &EndpointRecord| r.launch == seen.launch && r.endpoint.state == EndpointState::Ready && r.endpoint.addresses != now_ready;
    if !is_news(&known) {
        return Ok(());
    }
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")?.filter(is_news) else { return Ok(()) };
    now.endpoint.addresses = now_ready.clone();
    save(tx, &now).await
}

/// Nobody answers any more. All that was attached has to be loaded again.
async fn no_longer_serves(tx: &mut Tx, record: &mut EndpointRecord) -> Result<(), Halt> {
    record.endpoint.addresses.clear();
    for a in &record.endpoint.attachments {
        tx.set_attachment(&record.endpoint.tenant, record.endpoint.id, a.version, AdapterState::Loading, None)
            .await
            .doing("writing an adapter’s state")?;
    }
    Ok(())
}

/// The server ended without being told to.
async fn died(leader: &Leader, seen: &EndpointRecord, how: Option<ServerEnd>) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
    if now.launch != seen.launch || now.endpoint.state.next(EndpointEvent::Died).is_err() {
        return Ok(());
    }
    let at = tx.at();
    let how = how.unwrap_or(ServerEnd::Ended(End::NodeLost));
    let last_error = tx.last_endpoint_error(tenant, id, now.log_before).await.doing("reading a server’s log")?;
    let answered = now.endpoint.ready_at;
    if answered.is_some_and(|since| at.since(since) >= WELL_AGAIN) {
        now.endpoint.restarts = 0;
    }
    now.endpoint.restarts += 1;
    let deaths = now.endpoint.restarts;
    let given_up = answered.is_none() && deaths >= MOST_DEATHS;
    let event = if given_up { EndpointEvent::GiveUp } else { EndpointEvent::Died };
    let Ok(state) = now.endpoint.state.next(event) else { return Ok(()) };
    now.endpoint.state = state;
    if given_up {
        now.endpoint.reason = EndpointReason::GivenUp { starts: deaths, how: how.clone(), last_error };
        let mut entry = audit::by_system(at, Some(tenant), "endpoint.failed", "endpoint", id, &now.endpoint.name);
        entry.detail = Detail::EndpointGivenUp { reason: now.endpoint.reason.clone() };
        audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    } else {
        let wait = backoff(deaths);
        now.retry_at = Some(at.plus(wait));
        now.endpoint.reason = EndpointReason::Restarting { seconds: wait / SECOND, how: how.clone(), last_error };
    }
    let line = (at, LogLevel::Error, format!("The model server is gone: {}.", how.said()));
    tx.append_endpoint_log(tenant, id, &[line]).await.doing("writing a server’s log")?;
    no_longer_serves(&mut tx, &mut now).await?;
    now.endpoint.ready_at = None;
    save(tx, &now).await?;
    if given_up {
        // As soon as why it ended is written down: it can be removed from now on.
        let found = leader.platform.engine().list(&tasks::endpoint_prefix(id)).await.doing("listing processes")?;
        cleared(leader, found).await?;
    }
    Ok(())
}

/// 1, 2, 4 .. 30 s.
fn backoff(deaths: u32) -> i64 {
    (SECOND << deaths.saturating_sub(1).min(5)).min(30 * SECOND)
}

async fn restart_for_rank(leader: &Leader, seen: &EndpointRecord, rank: u32) -> Result<(), Halt> {
    let had = seen.max_lora_rank;
    put_aside(leader, seen, EndpointReason::NeedsRank { needs: rank, had }).await
}

/// While its tenant is suspended, a server runs no more and its memory is free for others; it comes back when the tenant does.
async fn hold(leader: &Leader, seen: &EndpointRecord) -> Result<(), Halt> {
    for task in leader.platform.engine().list(&tasks::endpoint_prefix(seen.endpoint.id)).await.doing("listing processes")? {
        // One that waits would start as soon as it can.
        if task.state.end().is_none() {
            leader.stop(&task.name, GRACE).await?;
        }
    }
    match seen.endpoint.state {
        EndpointState::Starting | EndpointState::Ready => put_aside(leader, seen, EndpointReason::TenantSuspended).await,
        _ if seen.endpoint.reason != EndpointReason::TenantSuspended => {
            let mut tx = leader.begin().await?;
            let Some(mut now) = tx.endpoint(&seen.endpoint.tenant, seen.endpoint.id).await.doing("reading an endpoint")? else {
                return Ok(());
            };
            if !now.endpoint.state.wants_server() {
                return Ok(());
            }
            now.endpoint.reason = EndpointReason::TenantSuspended;
            save(tx, &now).await
        }
        _ => Ok(()),
    }
}

/// The server of this launch is to end without being at fault; the next launch ends what still runs of it.
async fn put_aside(leader: &Leader, seen: &EndpointRecord, reason: EndpointReason) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
    let Ok(state) = now.endpoint.state.next(EndpointEvent::Died) else { return Ok(()) };
    now.endpoint.state = state;
    now.endpoint.reason = reason;
    now.retry_at = None;
    let line = (tx.at(), LogLevel::Warning, now.endpoint.reason.said());
    tx.append_endpoint_log(tenant, id, &[line]).await.doing("writing a server’s log")?;
    no_longer_serves(&mut tx, &mut now).await?;
    now.endpoint.ready_at = None;
    save(tx, &now).await?;
    Ok(())
}

async fn stop(leader: &Leader, seen: &EndpointRecord) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let found = leader.platform.engine().list(&tasks::endpoint_prefix(id)).await.doing("listing processes")?;
    let current = tasks::endpoint_task(id, seen.launch);
    if found.iter().any(|task| task.name == current) {
        read(leader, seen, &current).await?;
    }
    // Before it counts as stopped: from then on it can be removed, and nobody would know whose folders these are.
    if !cleared(leader, found).await? {
        return Ok(());
    }
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
    let Ok(state) = now.endpoint.state.next(EndpointEvent::Gone) else { return Ok(()) };
    now.endpoint.state = state;
    now.endpoint.reason = EndpointReason::Stopped;
    now.endpoint.ready_at = None;
    no_longer_serves(&mut tx, &mut now).await?;
    save(tx, &now).await
}

/// Asks what still runs of an endpoint to end, and removes what has ended. True = nothing is left in the engine.
async fn cleared(leader: &Leader, found: Vec<Observation>) -> Result<bool, Halt> {
    let mut clear = true;
    for task in found {
        if task.state.is_running() {
            leader.stop(&task.name, GRACE).await?;
            clear = false;
        } else {
            sweep::remove(leader, &task.name).await?;
        }
    }
    Ok(clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_before_a_restart_doubles_up_to_half_a_minute() {
        assert_eq!([1, 2, 3, 4, 5, 6, 50].map(backoff), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }
}
