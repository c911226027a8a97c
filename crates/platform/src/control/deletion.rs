//! Takes away a tenant that is to be deleted. Level-triggered: each round looks at what is still there, so it does not matter who was killed
//! when; what is gone is found gone.

use super::{Halt, Leader, sweep, tasks, tasks::GRACE};
use crate::{audit, blobs::BlobError, problem::Doing};
use domain::{
    audit::Detail,
    deletion::{Deletion, Stage},
    endpoint::EndpointEvent,
    name::Name,
    problem::Outage,
    reason::endpoint::EndpointReason,
};
use std::time::Duration;

/// How soon to look again while something is on its way out.
const AGAIN: Duration = Duration::from_secs(1);
/// The same while somebody refuses to take it away.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);
/// Pieces of rows that are deleted before others get their turn.
const PIECES: usize = 200;
/// Who stops what is at work.
const BY: &str = "the platform admin";

/// Says how soon to look again; `None` = nothing is left.
pub(super) async fn bring_forward(leader: &Leader, tenant: &Name) -> Result<Option<Duration>, Halt> {
    // Its own controller sees that the tenant is on its way out, and ends it.
    if leader.platform.store().has_open_isolation_check(tenant).await.doing("reading the checks of isolation")? {
        note(leader, tenant, Stage::Workloads, String::new()).await?;
        return Ok(Some(AGAIN));
    }
    if !stop_workloads(leader, tenant).await? || !end_jobs(leader, tenant).await? || !remove_tasks(leader, tenant).await? {
        note(leader, tenant, Stage::Workloads, String::new()).await?;
        return Ok(Some(AGAIN));
    }
    let left = match leader.effects().await?.remove_tenant(tenant).await {
        // Asked again, it says the same: the admin's page tells it.
        Err(engine::Error::Cluster { doing, said }) => Some((format!("{doing}: {said}"), AFTER_REFUSAL)),
        left => left.doing("removing what stands around a tenant’s tasks")?.map(|why| (why, AGAIN)),
    };
    if let Some((why, next)) = left {
        note(leader, tenant, Stage::Place, why).await?;
        return Ok(Some(next));
    }
    if let Some(why) = empty_store(leader, tenant).await? {
        note(leader, tenant, Stage::Store, why).await?;
        return Ok(Some(AFTER_REFUSAL));
    }
    note(leader, tenant, Stage::Records, String::new()).await?;
    let doing = "removing the records of a tenant";
    for _ in 0..PIECES {
        let mut tx = leader.begin().await?;
        if tx.delete_piece(tenant).await.doing(doing)? {
            tx.commit().await.doing(doing)?;
            continue;
        }
        tx.delete_tenant(tenant).await.doing(doing)?;
        // Into the tenant's own chain, which stays: its last record says that there is nothing else.
        let mut entry = audit::by_system(tx.at(), Some(tenant), "tenant.deleted", "tenant", tenant, tenant);
        entry.detail = Detail::TenantDeleted;
        audit::append(&mut tx, entry).await.doing("writing the audit record")?;
        tx.commit().await.doing(doing)?;
        leader.memory(|m| {
            m.places.remove(tenant);
            m.no_store_key.remove(tenant);
        });
        return Ok(None);
    }
    Ok(Some(Duration::ZERO))
}

/// Only what changed is written.
async fn note(leader: &Leader, tenant: &Name, stage: Stage, why: String) -> Result<(), Halt> {
    let doing = "noting how far a deletion has come";
    let now = Deletion { stage, why };
    if leader.platform.store().deletion(tenant).await.doing(doing)?.as_ref() == Some(&now) {
        return Ok(());
    }
    let mut tx = leader.begin().await?;
    tx.set_deletion(tenant, &now).await.doing(doing)?;
    Ok(tx.commit().await.doing(doing)?)
}

/// True when none is left that has not ended. A run that publishes cannot be stopped any more, and is waited for.
async fn stop_workloads(leader: &Leader, tenant: &Name) -> Result<bool, Halt> {
    let store = leader.platform.store();
    let mut all_ended = true;
    for open in store.open_runs().await.doing("reading the runs")?.into_iter().filter(|r| r.tenant == *tenant) {
        all_ended = false;
        let mut tx = leader.begin().await?;
        let Some(mut run) = tx.run(tenant, open.id).await.doing("reading a run")? else { continue };
        if run.cancel(BY, tx.at()).is_ok() {
            tx.save_run(&run).await.doing("writing a run")?;
            tx.commit().await.doing("writing a run")?;
        }
    }
    for (_, id) in store.open_endpoints().await.doing("reading the endpoints")?.into_iter().filter(|(of, _)| of == tenant) {
        let mut tx = leader.begin().await?;
        let Some(mut record) = tx.endpoint(tenant, id).await.doing("reading an endpoint")? else { continue };
        // Nothing of ours runs for somebody else's server.
        if !record.endpoint.capabilities().runs_here {
            continue;
        }
        all_ended = false;
        if let Ok(state) = record.endpoint.state.next(EndpointEvent::Stop) {
            record.endpoint.state = state;
            record.endpoint.reason = EndpointReason::StopAsked { by: BY.into() };
            record.retry_at = None;
            tx.save_endpoint(&record).await.doing("writing an endpoint")?;
            tx.commit().await.doing("writing an endpoint")?;
        }
    }
    Ok(all_ended)
}

/// True when nobody is at work on a job of the tenant: one that is would write files where none are to be left.
async fn end_jobs(leader: &Leader, tenant: &Name) -> Result<bool, Halt> {
    let doing = "ending the jobs of a tenant";
    let mut tx = leader.begin().await?;
    let held = tx.delete_free_jobs(tenant).await.doing(doing)?;
    tx.commit().await.doing(doing)?;
    Ok(held == 0)
}

/// What the engine still holds of them. True when nothing is left.
async fn remove_tasks(leader: &Leader, tenant: &Name) -> Result<bool, Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    let mut seen = engine.list("run-").await.doing("listing processes")?;
    seen.extend(engine.list("ep-").await.doing("listing processes")?);
    let mut none_left = true;
    for task in seen {
        let ours = if let Some(run) = tasks::run_of(&task.name) {
            store.run(tenant, run).await.doing("reading a run")?.is_some()
        } else if let Some((endpoint, _)) = tasks::endpoint_of(&task.name) {
            store.endpoint(tenant, endpoint).await.doing("reading an endpoint")?.is_some()
        } else {
            false
        };
        if !ours {
            continue;
        }
        none_left = false;
        if task.state.is_running() {
            leader.stop(&task.name, GRACE).await?;
        } else {
            sweep::remove(leader, &task.name).await?;
        }
    }
    Ok(none_left)
}

/// Why it cannot be taken away now. A bucket that an admin made by hand is emptied and stays: only its maker can take it away.
async fn empty_store(leader: &Leader, tenant: &Name) -> Result<Option<String>, Halt> {
    let (platform, folder, doing) = (&leader.platform, format!("t/{tenant}"), "removing a tenant’s files");
    // The look at the lease comes right before.
    leader.effects().await?;
    let Some(bucket) = platform.location().bucket(tenant) else {
        platform.blobs().erase(&folder).await.doing(doing)?;
        return Ok(None);
    };
    // Without a key nobody has ever written into the bucket, and the portal itself may not look into it.
    if platform.store().sealed_store_key(tenant).await.doing("reading a tenant’s key of the store")?.is_some() {
        match platform.blobs().erase(&folder).await {
            // Taken away by a round before this one.
            Err(BlobError::Store { outage: Outage::StoreBucketMissing, .. }) => {}
            done => done.doing(doing)?,
        }
    }
    let Some(garage) = platform.garage() else { return Ok(None) };
    Ok(garage.remove(&bucket).await.err().map(|e| e.to_string()))
}
