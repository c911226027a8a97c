//! Buckets and keys of tenants in an artefact store in S3: made where Garage lets the portal make them, and handed to the engine before
//! anything of the tenant starts.

use super::{Halt, Leader, tasks};
use crate::{audit, problem::Doing};
use domain::{
    artefacts::STORE_SECRET,
    audit::Detail,
    name::Name,
    reason::store_key::NoStoreKey,
    tenant::TenantState,
    time::{MINUTE, Timestamp},
};
use engine::{Observation, TaskState};
use std::time::Duration;
use storage::{AdminError, GarageAdmin};

/// How soon what could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How soon it is looked again whether a key that was replaced is still in use.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// What starts so soon after a change may still have got the key before it: by a reconciliation under way, or from a node that keeps Secrets
/// for a moment. Milliseconds.
const SETTLED: i64 = 2 * MINUTE;

/// Gives the engine the tenant's key, as it is now: also after a change, or when the engine has lost it. The inner error is why nothing
/// of the tenant can start. A folder has no keys.
pub(super) async fn hand_over(leader: &Leader, tenant: &Name) -> Result<Result<(), NoStoreKey>, Halt> {
    if leader.platform.location().platform_bucket().is_none() {
        return Ok(Ok(()));
    }
    let key = match leader.platform.store_key(tenant).await? {
        Ok(key) => key,
        Err(why) => return Ok(Err(leader.memory(|m| m.no_store_key.get(tenant).cloned()).unwrap_or(why))),
    };
    let text = crate::store::json(&key);
    leader.effects().await?.put_secret(tenant, STORE_SECRET, &text).await.doing("handing over a key of the store")?;
    Ok(Ok(()))
}

/// Makes buckets and keys for all tenants that have none. Says how soon to try again what could not be made.
pub(super) async fn make_missing(leader: Leader) -> Result<Option<Duration>, Halt> {
    let Some(garage) = leader.platform.garage() else { return Ok(None) };
    let missing = leader.platform.store().tenants_without_store_key().await.doing("reading which tenants have no key of the store")?;
    let shared = match shared(&leader, garage).await? {
        Ok(shared) => shared,
        Err(why) => {
            for tenant in missing {
                not_made(&leader, tenant, why.clone());
            }
            return Ok(Some(AGAIN));
        }
    };
    let mut all_made = true;
    for tenant in missing {
        match make(&leader, garage, &shared, &tenant).await? {
            Ok(()) => drop(leader.memory(|m| m.no_store_key.remove(&tenant))),
            Err(why) => {
                all_made = false;
                not_made(&leader, tenant, why);
            }
        }
    }
    let ending = end_replaced(&leader, garage).await?;
    Ok(if all_made { ending } else { Some(AGAIN) })
}

/// Keys that were replaced end when nothing of their tenant works any more that started with them. Says how soon to look again.
async fn end_replaced(leader: &Leader, garage: &GarageAdmin) -> Result<Option<Duration>, Halt> {
    let doing = "ending a key of the store";
    let store = leader.platform.store();
    let ending = store.store_keys_ending().await.doing(doing)?;
    if ending.is_empty() {
        return Ok(None);
    }
    let mut at_work: Vec<(Name, Timestamp)> = Vec::new();
    for prefix in ["run-", "ep-"] {
        for seen in leader.platform.engine().list(prefix).await.doing(doing)? {
            let of_run = match tasks::run_of(&seen.name) {
                Some(run) => store.tenant_of_run(run).await.doing(doing)?,
                None => None,
            };
            let owner = match tasks::endpoint_of(&seen.name) {
                Some((endpoint, _)) => store.tenant_of_endpoint(endpoint).await.doing(doing)?,
                None => of_run,
            };
            if let (Some(tenant), Some(since)) = (owner, at_work_since(&seen)) {
                at_work.push((tenant, since));
            }
        }
    }
    let mut left = false;
    for (tenant, id, replaced_at) in ending {
        // What starts from now on has the new one, also where a mark was only just missed.
        let _ = hand_over(leader, &tenant).await?;
        let settled = replaced_at.plus(SETTLED);
        let in_use = at_work.iter().any(|(of, since)| *of == tenant && *since < settled);
        if in_use || leader.platform.now() < settled {
            left = true;
            continue;
        }
        leader.effects().await?;
        if let Err(e) = garage.remove_key(&id).await {
            tracing::warn!(%tenant, key = id, error = %e, "a key of the store that was replaced could not be ended yet");
            left = true;
            continue;
        }
        let mut tx = leader.begin().await?;
        tx.forget_ended_store_key(&tenant, &id).await.doing(doing)?;
        let mut entry = audit::by_system(tx.at(), Some(&tenant), "tenant.store_key_ended", "tenant", &tenant, &tenant);
        entry.detail = Detail::StoreKeyEnded { access_key_id: id };
        audit::append(&mut tx, entry).await.doing(doing)?;
        tx.commit().await.doing(doing)?;
    }
    Ok(left.then_some(LOOK_AGAIN))
}

/// Since when a task has worked with the key that it found at its start; `None`: it does not work, and finds its key when it starts.
/// Of a server with several replicas since when the oldest has.
fn at_work_since(seen: &Observation) -> Option<Timestamp> {
    match &seen.state {
        TaskState::Running { since, .. } => seen.replicas.iter().filter_map(|r| r.since).chain([Timestamp(*since)]).min(),
        TaskState::Pending(_) | TaskState::Ended(_) => None,
    }
}

fn not_made(leader: &Leader, tenant: Name, why: NoStoreKey) {
    if leader.memory(|m| m.no_store_key.insert(tenant.clone(), why.clone())) != Some(why.clone()) {
        tracing::warn!(%tenant, why = why.said(), "a tenant has no key of the store yet");
    }
}

/// The id of the platform's bucket, made once a term.
async fn shared(leader: &Leader, garage: &GarageAdmin) -> Result<Result<String, NoStoreKey>, Halt> {
    if let Some(known) = leader.memory(|m| m.platform_bucket.clone()) {
        return Ok(Ok(known));
    }
    let name = leader.platform.location().platform_bucket().unwrap_or_default();
    leader.effects().await?;
    let made = async {
        let bucket = garage.bucket(&name).await?;
        if let Some(portal) = leader.platform.portals_store_key() {
            garage.allow(&bucket, &portal.access_key_id, true).await?;
        }
        Ok(bucket)
    };
    Ok(match made.await {
        Ok(bucket) => {
            leader.memory(|m| m.platform_bucket = Some(bucket.clone()));
            Ok(bucket)
        }
        Err(e) => Err(trouble(e)),
    })
}

/// Everything may have been made by an earlier try: it is found again by its name.
async fn make(leader: &Leader, garage: &GarageAdmin, shared: &str, tenant: &Name) -> Result<Result<(), NoStoreKey>, Halt> {
    let platform = &leader.platform;
    if let Some(sentence) = platform.location().refuses(tenant) {
        return Ok(Err(NoStoreKey::Name { sentence }));
    }
    let name = platform.location().bucket(tenant).unwrap_or_default();
    leader.effects().await?;
    let made = async {
        let bucket = garage.bucket(&name).await?;
        let key = garage.key(&name).await?;
        garage.allow(&bucket, &key.access_key_id, true).await?;
        garage.allow(shared, &key.access_key_id, false).await?;
        if let Some(portal) = platform.portals_store_key() {
            garage.allow(&bucket, &portal.access_key_id, true).await?;
        }
        Ok(key)
    };
    let key = match made.await {
        Ok(key) => key,
        Err(e) => return Ok(Err(trouble(e))),
    };
    let doing = "writing a tenant’s key of the store";
    let mut tx = leader.begin().await?;
    if tx.tenant(tenant).await.doing(doing)?.is_none_or(|t| t.state == TenantState::Deleting) {
        drop(tx);
        // Its deletion was asked for meanwhile, and may have looked for a bucket already.
        return Ok(garage.remove(&name).await.map_err(trouble));
    }
    tx.set_store_key(tenant, &key.access_key_id, &platform.seal_store_key(tenant, &key)).await.doing(doing)?;
    let mut entry = audit::by_system(tx.at(), Some(tenant), "tenant.store_key", "tenant", tenant, tenant);
    entry.detail = Detail::StoreKeySet { access_key_id: key.access_key_id, by_garage: true };
    audit::append(&mut tx, entry).await.doing(doing)?;
    tx.commit().await.doing(doing)?;
    Ok(Ok(()))
}

fn trouble(e: AdminError) -> NoStoreKey {
    match e {
        AdminError::Away(_) => NoStoreKey::MakerAway,
        AdminError::TokenRefused => NoStoreKey::MakerRefusesToken,
        AdminError::Refused { message, .. } => NoStoreKey::MakerRefuses { message },
    }
}
