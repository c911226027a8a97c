//! Who has what something waits for, as people know it.

use super::{Halt, Leader};
use domain::name::Name;
use engine::PendingCause;
use std::collections::BTreeSet;

/// The sentence names a few; more are not read.
const MOST: usize = 20;

pub(super) async fn named(leader: &Leader, tenant: &Name, cause: PendingCause) -> Result<PendingCause, Halt> {
    let PendingCause::Quota { what, short, holders } = cause else { return Ok(cause) };
    let mut names = BTreeSet::new();
    for task in holders.into_iter().take(MOST) {
        names.insert(leader.platform.name_of_task(tenant, &task).await?);
    }
    Ok(PendingCause::Quota { what, short, holders: names.into_iter().collect() })
}
