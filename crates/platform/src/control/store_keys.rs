//! Buckets and keys of tenants in an artefact store in S3: made where Garage lets the portal make them, and handed to the engine before
//! anything of the tenant starts.

use super::{Halt, Leader};
use crate::{audit, problem::Doing};
use domain::{artefacts::STORE_SECRET, audit::Detail, name::Name, reason::store_key::NoStoreKey};
use std::time::Duration;
use storage::{AdminError, GarageAdmin};

/// How soon what could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(10);

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
    Ok((!all_made).then_some(AGAIN))
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
