//! What changed, for open pages: told in the transaction of the change, read after a number, watched by polling one counter.

use crate::{
    Platform,
    access::Scope,
    problem::Doing,
    store::{self, Tx},
};
use domain::{
    event::{Event, Topic},
    name::Name,
    policy::Action,
    problem::Problem,
};
use std::{future::Future, time::Duration};
use tokio::sync::watch;

/// How soon a change that another replica made is seen here.
const EVERY: Duration = Duration::from_millis(200);

/// Says, with the change itself, that `object` changed.
pub(crate) async fn tell(tx: &mut Tx, tenant: &Name, topic: Topic, object: impl ToString) -> store::Result<()> {
    tx.changed(tenant, topic, object);
    Ok(())
}

impl Platform {
    /// The tenant's events after `seq`, oldest first, at most `limit`.
    pub async fn events_after(&self, scope: &Scope, seq: i64, limit: u32) -> Result<Vec<Event>, Problem> {
        scope.permit(Action::TenantRead)?;
        self.store().events_after(scope.tenant_name(), seq, i64::from(limit.clamp(1, 1000))).await.doing("reading events")
    }

    /// Number of the newest event that this process has seen.
    pub fn latest_event(&self) -> i64 {
        *self.inner.events.borrow()
    }

    /// Changes whenever anything changed anywhere; fed by [`Platform::watch_events`].
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.inner.events.subscribe()
    }

    /// Runs until `shutdown` ends. A database that is away is asked again; pages then are late, not wrong.
    pub async fn watch_events(&self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut away = false;
        // What happened before this process started concerns nobody here.
        let mut rights = None;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            match self.store().marks().await {
                Ok((latest, latest_rights)) => {
                    away = false;
                    let seen = *rights.get_or_insert(latest_rights);
                    if seen != latest_rights && self.tell_rights_changes(seen, latest_rights).await.is_ok() {
                        rights = Some(latest_rights);
                    }
                    self.inner.events.send_if_modified(|seen| std::mem::replace(seen, latest) != latest);
                }
                Err(e) if !away => {
                    away = true;
                    tracing::warn!(error = %e, "events cannot be read now; trying again");
                }
                Err(_) => {}
            }
        }
    }
}
