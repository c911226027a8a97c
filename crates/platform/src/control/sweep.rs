//! Removes what the engine still holds of runs that have ended and of servers that were replaced.
//! Everything worth keeping is in the store by then. Tasks of owners that this database does not know are left alone.

use super::{Halt, Leader, tasks};
use crate::problem::Doing;
use domain::endpoint::EndpointState;

pub(super) async fn sweep(leader: Leader) -> Result<(), Halt> {
    let (store, engine) = (leader.platform.store(), leader.platform.engine());
    for seen in engine.list("run-").await.doing("listing processes")? {
        let Some(run) = tasks::run_of(&seen.name) else { continue };
        if store.run_state_anywhere(run).await.doing("reading a run")?.is_some_and(|s| s.is_final()) {
            remove(&leader, &seen.name).await?;
        }
    }
    for seen in engine.list("ep-").await.doing("listing processes")? {
        let Some((endpoint, launch)) = tasks::endpoint_of(&seen.name) else { continue };
        let Some((state, current)) = store.endpoint_state_anywhere(endpoint).await.doing("reading an endpoint")? else { continue };
        // A stopping one is its own controller's business.
        let over =
            matches!(state, EndpointState::Stopped | EndpointState::Failed) || (launch < current && state != EndpointState::Stopping);
        if over && seen.state.is_running() {
            leader.stop(&seen.name, tasks::GRACE).await?;
        } else if over {
            remove(&leader, &seen.name).await?;
        }
    }
    // Not at every round: what lies a while longer harms nobody.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(())
}

pub(super) async fn remove(leader: &Leader, task: &str) -> Result<(), Halt> {
    leader.effects().await?.remove(task).await.doing("removing a finished process’s folder")?;
    leader.memory(|m| {
        m.stopping.remove(task);
        m.adapters.remove(task);
        m.refused.remove(task);
    });
    Ok(())
}

/// Files in the artefact store that nobody owns any more.
pub(super) async fn leftovers(leader: Leader) -> Result<(), Halt> {
    leader.platform.sweep_store().await?;
    Ok(())
}
