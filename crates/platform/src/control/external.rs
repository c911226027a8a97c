//! Endpoints at servers that somebody else runs: nothing is started; they are asked for their models from time to time, and what they
//! answer is their state.

use super::{Halt, Leader};
use crate::{endpoints::opened_key, problem::Doing, store::endpoints::EndpointRecord};
use domain::{
    endpoint::{EndpointEvent, EndpointState},
    external::{Availability, Checked, Listed},
    reason::endpoint::{EndpointReason, OutsideTrouble},
    run::LogLevel,
    tenant::TenantState,
    time::{SECOND, Timestamp},
};
use std::time::Duration;

/// Between two questions to a server that answers,
const WELL: Duration = Duration::from_secs(30);
/// and to one that does not.
const AWAY: Duration = Duration::from_secs(10);
/// Milliseconds for which a look says how the server is: longer, and nobody has looked meanwhile.
const LOOKED_AFTER: i64 = 2 * 30 * SECOND;
/// Milliseconds by which a question may come early: clock and timer do not agree to the last of them.
const EARLY: i64 = SECOND;

/// Says when to look again if nothing wakes it.
pub(super) async fn reconcile(leader: &Leader, record: &EndpointRecord) -> Result<Option<Duration>, Halt> {
    let e = &record.endpoint;
    match e.state {
        EndpointState::Stopping => stop(leader, record).await.map(|()| None),
        EndpointState::Starting | EndpointState::Stopped | EndpointState::Failed => Ok(None),
        EndpointState::Wanted | EndpointState::Ready | EndpointState::Degraded => {
            let wait = record.retry_at.map_or(0, |at| at.since(leader.platform.now()));
            if wait > EARLY {
                return Ok(Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(WELL)));
            }
            let tenant = leader.platform.store().tenant(&e.tenant).await.doing("reading a tenant")?;
            if tenant.is_some_and(|t| t.state != TenantState::Active) {
                // Nobody can call it then, so nobody need know.
                return Ok(Some(WELL));
            }
            let found = ask(leader, record).await;
            let next = if found.is_ok() { WELL } else { AWAY };
            note(leader, record, found, next).await?;
            Ok(Some(next))
        }
    }
}

async fn ask(leader: &Leader, record: &EndpointRecord) -> Result<(Vec<Listed>, u32), OutsideTrouble> {
    let platform = &leader.platform;
    let Some(external) = &record.endpoint.external else { return Err(OutsideTrouble::NoSuchHost) };
    let key = match &record.sealed_key {
        Some(sealed) => Some(opened_key(&platform.inner.token_key, record.endpoint.id, sealed).ok_or(OutsideTrouble::KeyLost)?),
        None => None,
    };
    platform.outside().models(&external.address, key.as_deref()).await
}

/// Writes down what was found. Whoever changed the endpoint meanwhile is not overwritten: it is read again.
async fn note(
    leader: &Leader,
    seen: &EndpointRecord,
    found: Result<(Vec<Listed>, u32), OutsideTrouble>,
    next: Duration,
) -> Result<(), Halt> {
    let (tenant, id) = (&seen.endpoint.tenant, seen.endpoint.id);
    let mut tx = leader.begin().await?;
    let Some(before) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { return Ok(()) };
    if before.sealed_key != seen.sealed_key {
        // It was asked with a key that is no longer the one; the next question is due at once.
        return Ok(());
    }
    let mut now = before.clone();
    let at = tx.at();
    let Some(external) = &mut now.endpoint.external else { return Ok(()) };
    let answered_ms = found.as_ref().ok().map(|(_, ms)| *ms);
    if let Some(last) = external.checked.replace(Checked { at, answered_ms }) {
        let known = Availability::between(&last, at, LOOKED_AFTER);
        tx.add_availability(tenant, id, at, known).await.doing("adding up how long a server could be used")?;
    }
    // Another process may have seen it: what is known stays until another end is.
    external.certificate_until = leader.platform.outside().certificate_until(&external.address).or(external.certificate_until);
    let (event, reason) = match found {
        Ok((listed, _)) => {
            external.listed(listed, at);
            (EndpointEvent::Answers, EndpointReason::Answers)
        }
        Err(trouble) => (EndpointEvent::Unusable, EndpointReason::Unusable { trouble }),
    };
    now.endpoint.addresses = vec![external.address.clone()];
    now.endpoint.state = match now.endpoint.state.next(event) {
        Ok(state) => state,
        // One that answers stays so.
        Err(_) if now.endpoint.state == EndpointState::Ready => EndpointState::Ready,
        Err(_) => return Ok(()),
    };
    now.retry_at = Some(at.plus(i64::try_from(next.as_millis()).unwrap_or(i64::MAX)));
    if now.endpoint.state != EndpointState::Ready {
        now.endpoint.ready_at = None;
    } else if before.endpoint.state != EndpointState::Ready {
        now.endpoint.ready_at = Some(at);
    }
    if reason != before.endpoint.reason {
        let level = if reason == EndpointReason::Answers { LogLevel::Info } else { LogLevel::Warning };
        tx.append_endpoint_log(tenant, id, &[(at, level, reason.said())]).await.doing("writing an endpoint’s log")?;
        now.endpoint.reason = reason;
    }
    // Somebody who asked waits for the answer, whatever it is.
    if before.retry_at.is_none() || is_news(&before, &now) {
        tx.save_endpoint(&now).await.doing("writing an endpoint")?;
    } else {
        tx.save_look(&now).await.doing("writing an endpoint")?;
    }
    Ok(tx.commit().await.doing("writing an endpoint")?)
}

/// Whether anything else than the time of the look and that of the answer has changed: those are no reason to draw a page again.
fn is_news(before: &EndpointRecord, now: &EndpointRecord) -> bool {
    let shown = |record: &EndpointRecord| {
        let mut endpoint = record.endpoint.clone();
        if let Some(external) = &mut endpoint.external {
            external.checked = external.checked.map(|c| Checked { at: Timestamp(0), answered_ms: c.answered_ms.map(|_| 0) });
        }
        endpoint
    };
    shown(before) != shown(now)
}

async fn stop(leader: &Leader, seen: &EndpointRecord) -> Result<(), Halt> {
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.endpoint(&seen.endpoint.tenant, seen.endpoint.id).await.doing("reading an endpoint")? else { return Ok(()) };
    let Ok(state) = now.endpoint.state.next(EndpointEvent::Gone) else { return Ok(()) };
    now.endpoint.state = state;
    now.endpoint.reason = EndpointReason::Stopped;
    now.endpoint.addresses.clear();
    (now.endpoint.ready_at, now.retry_at) = (None, None);
    tx.save_endpoint(&now).await.doing("writing an endpoint")?;
    Ok(tx.commit().await.doing("writing an endpoint")?)
}
