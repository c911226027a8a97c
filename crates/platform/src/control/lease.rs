//! Who leads the controllers: a lease in the database, renewed several times as often as it would end. Each term of a leader has a number
//! (the fence), which every commit checks and which the engine knows too.

use super::{Leader, term::Term};
use crate::{
    Platform,
    store::leases::{Fence, Held},
};
use domain::time::SECOND;
use std::time::{Duration, Instant};

/// The lease that the leading controller holds.
const LEASE: &str = "controller";
/// Milliseconds that a lease holds without being renewed.
const LEASE_LASTS: i64 = 5 * SECOND;
const RENEW_EVERY: Duration = Duration::from_millis(1500);
/// After so long without being renewed a lease counts as left, whatever its end: see [`Platform::end_if_left`].
const LEFT: Duration = Duration::from_secs(10);

impl Platform {
    /// Leads whenever the lease is to be had, until it is dropped. `fence` is the term that it holds now.
    pub(super) async fn lead(&self, holder: &str, fence: &mut Option<Fence>) {
        let mut term: Option<Term> = None;
        let mut renew_at = Instant::now();
        let mut of_another = None;
        // Its age counts from here on, also when it can never be asked for.
        self.inner.freshness.lease_seen(self.now());
        loop {
            if Instant::now() >= renew_at {
                renew_at = Instant::now() + RENEW_EVERY;
                let now = self.now();
                let taken = self.store().take_lease(LEASE, holder, now, now.plus(LEASE_LASTS)).await;
                if taken.is_ok() {
                    self.inner.freshness.lease_seen(self.now());
                }
                match taken {
                    Ok(Some(mine)) => {
                        if term.as_ref().is_none_or(|t| t.leader.fence != mine) {
                            term = self.begin_term(holder, &mine).await;
                        }
                        *fence = Some(mine);
                    }
                    Ok(None) => {
                        // Dropping the term ends everything that it had under way.
                        term = None;
                        *fence = None;
                        if let Err(e) = self.end_if_left(&mut of_another).await {
                            tracing::warn!(error = %e, "the lease cannot be read now");
                        }
                    }
                    // Perhaps the lease is still ours; every commit asks.
                    Err(e) => tracing::warn!(error = %e, "the lease cannot be renewed now"),
                }
            }
            let work = async {
                match &mut term {
                    Some(term) => term.work().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = work => {}
                () = tokio::time::sleep_until(renew_at.into()) => {}
            }
        }
    }

    /// Whoever led with a clock that was ahead and is gone, would hold the lease until then: an hour, or years. So whoever waits goes by how
    /// long it has seen the lease as it stands, by a clock that nobody sets.
    async fn end_if_left(&self, seen: &mut Option<(Held, Instant)>) -> Result<(), sqlx::Error> {
        let Some(held) = self.store().held_lease(LEASE).await? else { return Ok(()) };
        match seen {
            Some((before, since)) if *before == held => {
                if since.elapsed() >= LEFT {
                    tracing::warn!("nobody renews the lease, and its end is far away: a clock was set back; ending it");
                    self.store().end_lease(LEASE, held, self.now()).await?;
                }
            }
            _ => *seen = Some((held, Instant::now())),
        }
        Ok(())
    }

    /// Ends the terms before this one in the engine; without that nothing is begun. `None` = tried again at the next renewal.
    async fn begin_term(&self, holder: &str, mine: &Fence) -> Option<Term> {
        let leader = Leader::new(self, mine.clone());
        match leader.engine.begin_term().await {
            Ok(()) => {
                tracing::info!(holder, fence = mine.number, "leads the controllers");
                return Some(Term::new(leader));
            }
            // The database is younger than what runs: restored from a backup, or made anew. Its terms go on after the engine's.
            Err(engine::Error::Outdated { current, .. }) => {
                tracing::warn!(fence = mine.number, current, "the engine knows a later term than the database; going on after it");
                if let Err(e) = self.store().raise_fence(mine, current + 1, self.now()).await {
                    tracing::warn!(error = %e, "the lease cannot be changed now");
                }
            }
            Err(e) => tracing::warn!(error = %e, "the engine cannot be taken over now"),
        }
        None
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
