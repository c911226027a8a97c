//! Whose rights changed: told in the transaction of the change to every replica, so that long streams of these people look again
//! at once instead of at their next turn.

use crate::{Platform, store};
use domain::ids::PersonId;
use tokio::sync::broadcast;

impl Platform {
    /// People whose rights changed anywhere; fed by [`Platform::watch_events`]. Whoever lags behind must look again too.
    pub fn rights_changes(&self) -> broadcast::Receiver<PersonId> {
        self.inner.rights.subscribe()
    }

    /// Tells what changed after `seen`, until `latest`.
    pub(crate) async fn tell_rights_changes(&self, seen: i64, latest: i64) -> store::Result<()> {
        for person in self.store().rights_changes(seen, latest).await? {
            // An error means that nobody listens.
            let _ = self.inner.rights.send(person);
        }
        Ok(())
    }
}
