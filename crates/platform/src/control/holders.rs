//! Who has what something waits for, as people know it.

use super::{Halt, Leader};
use domain::name::Name;
use engine::{Observation, PendingCause, ReplicaState, TaskState};
use std::collections::BTreeSet;

/// The sentence names a few; more are not read.
const MOST: usize = 20;

/// In all that is seen of a task and its replicas.
pub(super) async fn named_in(leader: &Leader, tenant: &Name, mut seen: Observation) -> Result<Observation, Halt> {
    if let TaskState::Pending(cause) = seen.state {
        seen.state = TaskState::Pending(named(leader, tenant, cause).await?);
    }
    for replica in &mut seen.replicas {
        if let ReplicaState::Waiting { cause } = &mut replica.state {
            *cause = named(leader, tenant, cause.clone()).await?;
        }
    }
    Ok(seen)
}

pub(super) async fn named(leader: &Leader, tenant: &Name, cause: PendingCause) -> Result<PendingCause, Halt> {
    let PendingCause::Quota { what, short, holders } = cause else { return Ok(cause) };
    let mut names = BTreeSet::new();
    for task in holders.into_iter().take(MOST) {
        names.insert(leader.platform.name_of_task(tenant, &task).await?);
    }
    Ok(PendingCause::Quota { what, short, holders: names.into_iter().collect() })
}
