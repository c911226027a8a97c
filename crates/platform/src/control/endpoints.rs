//! Keeps model servers as they are wanted: starts them, follows what they say, hands them their adapters, brings them back.

use super::{
    Halt, Leader,
    endpoint_output::{self, Beside},
    external, holders, output, places,
    server_task::{change, files_of, needed_rank, task_of},
    store_keys, sweep,
    tasks::{self, GRACE, TaskBuilder},
};
use crate::{
    audit,
    problem::Doing,
    store::{self, Tx, endpoints::EndpointRecord},
};
use domain::{
    audit::Detail,
    endpoint::{AdapterState, EndpointEvent, EndpointState},
    ids::EndpointId,
    name::Name,
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
    if owner.is_some_and(|t| t.state != TenantState::Active) && state.wants_server() {
        return hold(leader, record).await;
    }
    match state {
        _ if record.endpoint.has_server() => follow(leader, record).await,
        EndpointState::Wanted | EndpointState::Degraded => launch(leader, record).await,
        EndpointState::Stopping => stop(leader, record).await,
        EndpointState::Starting | EndpointState::Ready | EndpointState::Stopped | EndpointState::Failed => Ok(()),
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
    now.endpoint.replicas.clear();
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

async fn follow(leader: &Leader, record: &EndpointRecord) -> Result<(), Halt> {
    let engine = leader.platform.engine();
    let e = &record.endpoint;
    let name = tasks::endpoint_task(e.id, record.launch);
    let Some(seen) = observe(leader, record, &name).await? else {
        if e.state != EndpointState::Starting || record.output != Cursor::start() {
            return died(leader, record, None).await;
        }
        return start(leader, record, &name).await;
    };
    if let TaskState::Pending(cause) = &seen.state {
        // Applied again, it starts as soon as it can.
        start(leader, record, &name).await?;
        let cause = cause.clone();
        look(leader, record, &name, seen).await?;
        // Of one that has answered, the replicas say it.
        return match e.state {
            EndpointState::Starting => say(leader, record, EndpointReason::Pending { cause }).await,
            _ => Ok(()),
        };
    }
    if seen.state.is_running() {
        let rank = needed_rank(leader, record).await?;
        if rank > record.max_lora_rank {
            return match engine.rolls() {
                true => raise_rank(leader, record, rank).await,
                false => restart_for_rank(leader, record, rank).await,
            };
        }
        if engine.rolls() {
            change(leader, record, &seen).await?;
        }
        put_adapters(leader, record, &name).await?;
    }
    read(leader, record, &name).await?;
    match seen.state.end() {
        Some(end) => died(leader, record, Some(ServerEnd::Ended(end.clone()))).await,
        None => look(leader, record, &name, seen).await,
    }
}

async fn observe(leader: &Leader, record: &EndpointRecord, task: &str) -> Result<Option<Observation>, Halt> {
    let engine = leader.platform.engine();
    engine.belongs_to(task, &record.endpoint.tenant);
    let seen = engine.observe(task).await.doing("looking at a model server")?;
    match seen {
        Some(seen) => holders::named_in(leader, &record.endpoint.tenant, seen).await.map(Some),
        None => Ok(None),
    }
}

async fn start(leader: &Leader, record: &EndpointRecord, name: &str) -> Result<(), Halt> {
    let e = &record.endpoint;
    let task = task_of(leader, record).await?;
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
    let rolls = leader.platform.engine().rolls();
    loop {
        let Some(known) = leader.platform.store().endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
        let read = leader.platform.engine().output(task, &known.output, CHUNK).await.doing("reading a server’s output")?;
        if read.next == known.output || known.launch != record.launch {
            return Ok(());
        }
        // After its output: who says that he is ready listens by then.
        let seen = observe(leader, record, task).await?;
        let mut tx = leader.begin().await?;
        let Some(before) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
        if (before.launch, &before.output) != (known.launch, &known.output) {
            return Err(Halt::LeaseLost);
        }
        let mut now = before;
        let mut beside = Beside::default();
        let at = tx.at();
        if let Some(seen) = seen.filter(|s| s.state.end().is_none()) {
            beside.take(now.endpoint.look(seen.replicas, rolls, at), at);
        }
        for line in read.bytes.split(|b| *b == b'\n').filter_map(|raw| output::line(raw, at)) {
            endpoint_output::apply(&mut now, line, &mut beside, !rolls);
        }
        now.output = read.next;
        if now.endpoint.ready_at.is_some() {
            now.endpoint.take_addresses();
        }
        write(tx, &now, &beside).await?;
    }
}

/// An endpoint with what is beside it.
async fn write(mut tx: Tx, now: &EndpointRecord, beside: &Beside) -> Result<(), Halt> {
    let (tenant, id) = (&now.endpoint.tenant, now.endpoint.id);
    tx.append_endpoint_log(tenant, id, &beside.log).await.doing("writing a server’s log")?;
    for (version, state, reason) in &beside.adapters {
        tx.set_attachment(tenant, id, *version, *state, reason.as_ref()).await.doing("writing an adapter’s state")?;
    }
    save(tx, now).await
}

/// What is to be seen of the replicas of a server: who takes calls, and what state that makes.
async fn look(leader: &Leader, seen: &EndpointRecord, task: &str, mut observed: Observation) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let engine = leader.platform.engine();
    let Some(known) = leader.platform.store().endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
    if observed.ready().len() < known.endpoint.addresses.len() || observed.ready().is_empty() {
        // It may have said that it is ready after it was looked at.
        match observe(leader, seen, task).await? {
            Some(again) => observed = again,
            None => return Ok(()),
        }
    }
    if observed.state.end().is_some() {
        return Ok(());
    }
    let same = |r: &EndpointRecord| r.launch == seen.launch && r.endpoint.has_server();
    let mut would_be = known.endpoint.clone();
    would_be.look(observed.replicas.clone(), engine.rolls(), leader.platform.now());
    if !same(&known) || would_be == known.endpoint {
        return Ok(());
    }
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")?.filter(same) else { return Ok(()) };
    let (at, mut beside) = (tx.at(), Beside::default());
    beside.take(now.endpoint.look(observed.replicas, engine.rolls(), at), at);
    write(tx, &now, &beside).await
}

/// Nobody answers any more. All that was attached has to be loaded again.
async fn no_longer_serves(tx: &mut Tx, record: &mut EndpointRecord) -> Result<(), Halt> {
    record.endpoint.addresses.clear();
    record.endpoint.replicas.clear();
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
    if now.launch != seen.launch || !now.endpoint.has_server() {
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

/// The next replicas are started for a higher rank; those that run go on until then.
async fn raise_rank(leader: &Leader, seen: &EndpointRecord, rank: u32) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let mut tx = leader.begin().await?;
    let same = |r: &EndpointRecord| r.launch == seen.launch && r.endpoint.has_server();
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")?.filter(same) else { return Ok(()) };
    let reason = EndpointReason::NeedsRank { needs: rank, had: now.max_lora_rank };
    now.max_lora_rank = rank;
    tx.append_endpoint_log(tenant, id, &[(tx.at(), LogLevel::Info, reason.said())]).await.doing("writing a server’s log")?;
    save(tx, &now).await
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
    match seen.endpoint.has_server() {
        true => put_aside(leader, seen, EndpointReason::TenantSuspended).await,
        false if seen.endpoint.reason != EndpointReason::TenantSuspended => {
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
        false => Ok(()),
    }
}

/// The server of this launch is to end without being at fault; the next launch ends what still runs of it.
async fn put_aside(leader: &Leader, seen: &EndpointRecord, reason: EndpointReason) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(tenant, id).await.doing("reading an endpoint")?.filter(|r| r.endpoint.has_server()) else {
        return Ok(());
    };
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
