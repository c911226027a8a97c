//! Makes and keeps what a tenant's tasks need around them. What others changed of it is put right, and told.

use super::{Halt, Leader, deletion};
use crate::{audit, problem::Doing};
use domain::{
    audit::Detail,
    name::Name,
    problem::{Problem, ProblemKind},
    tenant::TenantState,
    tenant_objects::{self, TenantObject},
};
use engine::{PendingCause, Place};
use std::time::Duration;

/// Looks at all of it, and puts right what differs; takes away what is to be deleted. Says how soon to look again.
pub(super) async fn reconcile(leader: Leader, name: Name) -> Result<Option<Duration>, Halt> {
    let Some(tenant) = leader.platform.store().tenant(&name).await.doing("reading a tenant")? else { return Ok(None) };
    if tenant.state == TenantState::Deleting {
        return deletion::bring_forward(&leader, &name).await;
    }
    let place = leader.platform.place(&tenant).await?;
    match put_right(&leader, place).await? {
        None => Ok(None),
        Some(TenantObject { kind, name: object, refused, .. }) => {
            let said = refused.unwrap_or_default();
            let sentence = format!("The cluster refuses the {kind} {object} of the tenant “{name}”: {said}");
            Err(Problem::new(ProblemKind::Unavailable, sentence).into())
        }
    }
}

/// Before something of the tenant starts: once a term, and again after each change. The inner error is why nothing of it can start.
pub(super) async fn ready(leader: &Leader, name: &Name) -> Result<Result<(), PendingCause>, Halt> {
    let Some(tenant) = leader.platform.store().tenant(name).await.doing("reading a tenant")? else { return Ok(Ok(())) };
    if tenant.state == TenantState::Deleting {
        return Ok(Err(PendingCause::Admission { why: "the tenant is being deleted".to_owned() }));
    }
    let place = leader.platform.place(&tenant).await?;
    if leader.memory(|m| m.places.get(name) == Some(&place)) {
        return Ok(Ok(()));
    }
    let refused = put_right(leader, place).await?.filter(TenantObject::guards);
    Ok(refused.map_or(Ok(()), |object| {
        let why = format!("the {} {} of the tenant is refused: {}", object.kind, object.name, object.refused.unwrap_or_default());
        Err(PendingCause::Admission { why: why.trim_end_matches('.').to_owned() })
    }))
}

/// The first object that the cluster refuses; those that guard something first.
async fn put_right(leader: &Leader, place: Place) -> Result<Option<TenantObject>, Halt> {
    let seen = leader.effects().await?.ensure_tenant(&place).await.doing("making what a tenant’s tasks need")?;
    tell(leader, &place.tenant, &seen).await?;
    let mut refused: Vec<_> = seen.into_iter().filter(|o| o.refused.is_some()).collect();
    refused.sort_by_key(|o| !o.guards());
    if refused.first().is_none_or(|o| !o.guards()) {
        leader.memory(|m| m.places.insert(place.tenant.clone(), place));
    }
    Ok(refused.into_iter().next())
}

/// Only what is new is written: nothing while all is in order.
async fn tell(leader: &Leader, tenant: &Name, seen: &[TenantObject]) -> Result<(), Halt> {
    if seen.is_empty() {
        return Ok(());
    }
    let known = leader.platform.store().object_changes(tenant).await.doing("reading what happened to a tenant’s objects")?;
    let outcome = tenant_objects::outcome(seen, &known, leader.platform.now());
    if outcome.changes.is_empty() {
        return Ok(());
    }
    let doing = "writing what happened to a tenant’s objects";
    let mut tx = leader.begin().await?;
    for change in &outcome.changes {
        tx.put_object_change(tenant, change).await.doing(doing)?;
    }
    if !outcome.repaired.is_empty() {
        let mut entry = audit::by_system(tx.at(), Some(tenant), "tenant.objects_repaired", "tenant", tenant, tenant);
        entry.detail = Detail::ObjectsRepaired { objects: outcome.repaired };
        audit::append(&mut tx, entry).await.doing(doing)?;
    }
    tx.commit().await.doing(doing)?;
    Ok(())
}
