//! Gives free slots to queued runs, and tells the others what they wait for. What an admitted run does is [`super::steps`]'.

use super::{Halt, Leader, queue};
use crate::{problem::Doing, store::Tx};
use domain::{name::Name, run::RunState};
use std::collections::BTreeMap;

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
                        commit(tx).await?;
                    }
                }
                queue::Turn::Start => {
                    let mut tx = leader.begin().await?;
                    let Some(mut run) = tx.run(&name, queued.id).await.doing("reading a run")? else { continue };
                    if run.admit(tx.at()).is_err() {
                        continue;
                    }
                    tx.save_run(&run).await.doing("starting a run")?;
                    commit(tx).await?;
                }
            }
        }
    }
    Ok(())
}

/// Commits a change of a run.
pub(super) async fn commit(tx: Tx) -> Result<(), Halt> {
    Ok(tx.commit().await.doing("writing a run")?)
}
