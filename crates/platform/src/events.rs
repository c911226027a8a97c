//! What changed, for open pages and for the controllers: written with the change, read once by each process, told to whoever listens to
//! that tenant.

use crate::{Platform, access::Scope, problem::Doing, store};
use domain::{event::Event, name::Name, policy::Action, problem::Problem};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::broadcast;

/// Events that are read at once.
const BATCH: i64 = 500;
/// Events that wait for a listener that is slow; one that is slower reads them from the database.
const WAITING: usize = 256;
/// After a reading that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// What a place in the stream of events is sealed for.
const PLACE: &str = "a place in the events of";

/// Who listens in this process.
pub(crate) struct Listeners {
    /// Of every tenant.
    all: broadcast::Sender<Arc<Event>>,
    /// Held by the one that reads for everybody.
    reading: tokio::sync::Mutex<()>,
    tenants: Mutex<HashMap<Name, broadcast::Sender<Arc<Event>>>>,
    /// The newest event's number, as far as this process has seen.
    latest: std::sync::atomic::AtomicI64,
}

impl Listeners {
    pub(crate) fn new(latest: i64) -> Self {
        Self { all: broadcast::Sender::new(WAITING), reading: Default::default(), tenants: Mutex::default(), latest: latest.into() }
    }

    fn tell(&self, event: Event) {
        self.latest.store(event.seq, std::sync::atomic::Ordering::Release);
        let event = Arc::new(event);
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.get(&event.tenant).is_some_and(|listening| listening.send(event.clone()).is_err()) {
            // The last of the tenant's listeners is gone.
            tenants.remove(&event.tenant);
        }
        drop(tenants);
        // An error means that nobody listens.
        let _ = self.all.send(event);
    }

    fn of(&self, tenant: &Name) -> broadcast::Receiver<Arc<Event>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(tenant.clone()).or_insert_with(|| broadcast::Sender::new(WAITING)).subscribe()
    }
}

impl Platform {
    /// The tenant's events after `seq`, oldest first, at most `limit`.
    pub async fn events_after(&self, scope: &Scope, seq: i64, limit: u32) -> Result<Vec<Event>, Problem> {
        scope.permit(Action::TenantRead)?;
        self.store().events_after(scope.tenant_name(), seq, i64::from(limit.clamp(1, 1000))).await.doing("reading events")
    }

    /// Number of the newest event that this process has seen.
    pub fn latest_event(&self) -> i64 {
        self.inner.listeners.latest.load(std::sync::atomic::Ordering::Acquire)
    }

    /// The tenant's events as they happen, from now on; fed by [`Platform::watch_events`]. Whoever lags behind reads [`Platform::events_after`].
    pub fn listen(&self, scope: &Scope) -> Result<broadcast::Receiver<Arc<Event>>, Problem> {
        scope.permit(Action::TenantRead)?;
        Ok(self.inner.listeners.of(scope.tenant_name()))
    }

    /// Events of all tenants, for the controllers.
    pub(crate) fn listen_to_all(&self) -> broadcast::Receiver<Arc<Event>> {
        self.inner.listeners.all.subscribe()
    }

    /// A place in the events as browsers get it: it tells nothing of how much happens in other tenants, and opens for this one alone.
    pub fn seal_place(&self, tenant: &Name, seq: i64) -> String {
        self.inner.token_key.seal(&format!("{PLACE} {tenant}"), &seq.to_string())
    }

    /// `None` when it was not sealed here for this tenant.
    pub fn open_place(&self, tenant: &Name, place: &str) -> Option<i64> {
        self.inner.token_key.open(&format!("{PLACE} {tenant}"), place)?.parse().ok()
    }

    /// Reads what happens and tells it, until `shutdown` ends. A database that is away is asked again; pages then are late, not wrong.
    /// Called more than once, one reads and the others stand by. Ends by itself when changes are no longer read at all.
    pub async fn watch_events(&self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let ended = self.store().reading_ended();
        tokio::pin!(ended);
        let _reading = tokio::select! {
            () = &mut shutdown => return,
            () = &mut ended => return tracing::error!("changes of the database are no longer read"),
            reading = self.inner.listeners.reading.lock() => reading,
        };
        let mut revisions = self.store().revisions();
        // What happened before this process started concerns nobody here.
        let (mut seen, mut rights) = (self.latest_event(), None);
        loop {
            let now = *revisions.borrow_and_update();
            let read = async {
                while now.checked > 0 && seen < now.events {
                    let events = self.store().all_events_after(seen, BATCH).await?;
                    // Without any, those that are counted were forgotten already: too late for everybody.
                    seen = events.last().map_or(now.events, |e| e.seq);
                    events.into_iter().for_each(|e| self.inner.listeners.tell(e));
                }
                if now.checked > 0 {
                    let before = *rights.get_or_insert(now.rights);
                    if before != now.rights {
                        self.tell_rights_changes(before, now.rights).await?;
                        rights = Some(now.rights);
                    }
                }
                store::Result::Ok(())
            };
            let again = match read.await {
                Ok(()) => None,
                Err(e) => {
                    tracing::warn!(error = %e, "events cannot be read now; trying again");
                    Some(AGAIN)
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                () = &mut ended => return tracing::error!("changes of the database are no longer read"),
                changed = revisions.changed(), if again.is_none() => if changed.is_err() { return },
                () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
            }
        }
    }
}
