//! Limits per key and per tenant: requests and tokens per minute.
//!
//! A sliding window, not GCRA, because the promise is "in **any** window of 60 s": GCRA with a burst of the whole limit lets
//! nearly twice the limit through in some minutes. The window is kept in steps of one second and a step leaves it when its
//! last millisecond is 60 s old: a limit is never exceeded, and is at most one second stricter than it says.
//!
//! Tokens are reserved before the call (estimate of the prompt + the most that may be answered) and settled after it with
//! the real counts: what was reserved too much returns at once to the second that it was taken in, what was too little is
//! added at the second of settling. Key and tenant are looked at and charged under one lock.
//!
//! Where several gateways keep one limit together, each stays within its share of it (`shares`); the windows are the same.

use crate::{
    share::{Counter, Rounds},
    window::Gauge,
};
use domain::{ids::KeyId, key::Limits, name::Name};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

const SHARDS: usize = 16;
/// Reservations in a shard between two sweeps of subjects that have been silent for a minute.
const SWEEP_EVERY: u32 = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Key(KeyId),
    Tenant(Name),
}

#[derive(Default)]
pub(crate) struct Account {
    /// Whose key it is.
    pub(crate) tenant: Option<Name>,
    pub(crate) requests: Counter,
    pub(crate) tokens: Counter,
}

#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) accounts: HashMap<Subject, Account>,
    until_sweep: u32,
}

/// Every key's and tenant's windows.
pub(crate) struct Ledger {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    start: Instant,
    /// Where limits are kept together with other gateways.
    pub(crate) rounds: Option<Rounds>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new(), start: Instant::now(), rounds: None }
    }
}

/// The tighter of the key's and the tenant's limits; none where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateLimits {
    pub requests: Option<Gauge>,
    pub tokens: Option<Gauge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Key,
    Tenant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Requests,
    Tokens,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OverLimit {
    pub whose: Whose,
    pub what: What,
    pub limit: u32,
    pub needed: u64,
    /// None: it never fits, however long one waits.
    pub wait_ms: Option<u64>,
    /// Whether it may fit in a moment: by what other gateways do not need.
    pub may_come: bool,
    pub rate_limits: RateLimits,
}

/// What one call asks of the ledger.
pub(crate) struct Ask<'a> {
    pub tenant: &'a Name,
    pub tenant_limits: Limits,
    pub key: Option<(KeyId, Limits)>,
    /// The most that the call can use.
    pub tokens: u64,
}

impl Ask<'_> {
    /// The lowest limit of tokens that it falls under.
    pub(crate) fn tightest(&self) -> Option<u32> {
        let of_key = self.key.and_then(|(_, limits)| limits.tokens_per_minute);
        of_key.into_iter().chain(self.tenant_limits.tokens_per_minute).min()
    }
}

/// Tokens held for a call under way. Dropping it returns them all.
pub(crate) struct Reservation {
    ledger: Arc<Ledger>,
    shard: usize,
    subjects: Vec<Subject>,
    second: u64,
    tokens: u64,
}

impl Ledger {
    pub(crate) fn new(shared: bool) -> Self {
        Self { rounds: shared.then(Rounds::default), ..Self::default() }
    }

    /// Milliseconds since this gateway began; a steady clock, so that setting the machine's time moves no limit.
    pub(crate) fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Charges one request and the reserved tokens to key and tenant, or neither.
    pub(crate) fn reserve(self: &Arc<Self>, ask: &Ask, now_ms: u64) -> Result<(Option<Reservation>, RateLimits), Box<OverLimit>> {
        let mut wanted = Vec::with_capacity(2);
        if let Some((id, limits)) = ask.key.filter(|(_, l)| is_limited(l)) {
            wanted.push((Subject::Key(id), limits, Whose::Key));
        }
        if is_limited(&ask.tenant_limits) {
            wanted.push((Subject::Tenant(ask.tenant.clone()), ask.tenant_limits, Whose::Tenant));
        }
        if wanted.is_empty() {
            return Ok((None, RateLimits::default()));
        }
        let tokens = ask.tokens;
        let number = self.shard_of(ask.tenant);
        let mut shard = self.lock(number);
        shard.sweep(now_ms);
        let mut refused = None;
        let mut may_come = true;
        for (subject, limits, whose) in &wanted {
            // Not through an entry, which would copy the tenant's name with every call.
            if !shard.accounts.contains_key(subject) {
                shard.accounts.insert(subject.clone(), Account::default());
            }
            let Some(account) = shard.accounts.get_mut(subject) else { continue };
            if account.tenant.is_none() {
                account.tenant = Some(ask.tenant.clone());
            }
            for (what, counter, limit, needed) in [
                (What::Requests, &mut account.requests, limits.requests_per_minute, 1),
                (What::Tokens, &mut account.tokens, limits.tokens_per_minute, tokens),
            ] {
                counter.window.forget_old(now_ms);
                let Some(limit) = limit else { continue };
                let (wait_ms, by_a_share) = match &self.rounds {
                    None => (counter.window.fits_in_ms(needed, u64::from(limit), now_ms), false),
                    Some(rounds) => counter.fits_in_share(needed, u64::from(limit), rounds, now_ms),
                };
                if wait_ms == Some(0) {
                    continue;
                }
                may_come &= by_a_share;
                if refused.as_ref().is_none_or(|(_, _, _, _, w)| longer(wait_ms, *w)) {
                    refused = Some((*whose, what, limit, needed, wait_ms));
                }
            }
        }
        if let Some((whose, what, limit, needed, wait_ms)) = refused {
            let rate_limits = shard.rate_limits(&wanted, now_ms);
            // Not for each call that is refused anyway: rounds stand in the writers' line.
            if let Some(rounds) = self.rounds.as_ref().filter(|_| may_come) {
                rounds.wake();
            }
            return Err(Box::new(OverLimit { whose, what, limit, needed, wait_ms, may_come, rate_limits }));
        }
        for (subject, ..) in &wanted {
            if let Some(account) = shard.accounts.get_mut(subject) {
                for (counter, count) in [(&mut account.requests, 1), (&mut account.tokens, tokens)] {
                    counter.window.add(now_ms, count);
                    if let Some(rounds) = &self.rounds
                        && counter.wants_more()
                    {
                        rounds.wake();
                    }
                }
            }
        }
        let rate_limits = shard.rate_limits(&wanted, now_ms);
        let subjects = wanted.into_iter().map(|w| w.0).collect();
        Ok((Some(Reservation { ledger: self.clone(), shard: number, subjects, second: now_ms / 1_000, tokens }), rate_limits))
    }

    /// Each shard in turn, under its lock.
    pub(crate) fn each_shard(&self, mut with: impl FnMut(&mut Shard)) {
        (0..SHARDS).for_each(|number| with(&mut self.lock(number)));
    }

    /// The account of this limit, if anything is counted there.
    pub(crate) fn with_account<T>(&self, tenant: &Name, subject: &Subject, with: impl FnOnce(&mut Account) -> T) -> Option<T> {
        self.lock(self.shard_of(tenant)).accounts.get_mut(subject).map(with)
    }

    fn shard_of(&self, tenant: &Name) -> usize {
        (self.hasher.hash_one(tenant) % SHARDS as u64) as usize
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // Nothing that can panic runs under the lock; if it did, counts that are off are better than a gateway that is down.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_limited(limits: &Limits) -> bool {
    limits.requests_per_minute.is_some() || limits.tokens_per_minute.is_some()
}

fn longer(a: Option<u64>, b: Option<u64>) -> bool {
    a.unwrap_or(u64::MAX) > b.unwrap_or(u64::MAX)
}

impl Shard {
    fn sweep(&mut self, now_ms: u64) {
        if self.until_sweep > 0 {
            self.until_sweep -= 1;
            return;
        }
        self.until_sweep = SWEEP_EVERY;
        self.accounts.retain(|_, a| {
            [&mut a.requests, &mut a.tokens].into_iter().any(|counter| {
                counter.window.forget_old(now_ms);
                !counter.window.is_empty() || counter.share.is_held()
            })
        });
    }

    fn rate_limits(&self, wanted: &[(Subject, Limits, Whose)], now_ms: u64) -> RateLimits {
        let tighter = |a: Option<Gauge>, b: Gauge| Some(a.filter(|a| a.remaining <= b.remaining).unwrap_or(b));
        let mut rate_limits = RateLimits::default();
        for (subject, limits, _) in wanted {
            let Some(account) = self.accounts.get(subject) else { continue };
            if let Some(limit) = limits.requests_per_minute {
                rate_limits.requests = tighter(rate_limits.requests, account.requests.gauge(limit, now_ms));
            }
            if let Some(limit) = limits.tokens_per_minute {
                rate_limits.tokens = tighter(rate_limits.tokens, account.tokens.gauge(limit, now_ms));
            }
        }
        rate_limits
    }
}

impl Reservation {
    /// Ends the reservation with what was really used.
    pub(crate) fn settle(mut self, used: u64) {
        let now_ms = self.ledger.now_ms();
        self.apply(used, now_ms);
    }

    fn apply(&mut self, used: u64, now_ms: u64) {
        let subjects = std::mem::take(&mut self.subjects);
        if subjects.is_empty() || used == self.tokens {
            return;
        }
        let mut shard = self.ledger.lock(self.shard);
        for subject in subjects {
            // An account that was swept meanwhile counts nothing any more; only use beyond the reservation is news.
            let tokens = &mut shard.accounts.entry(subject).or_default().tokens.window;
            tokens.forget_old(now_ms);
            if used < self.tokens {
                tokens.take_back(self.second, self.tokens - used);
            } else {
                tokens.add(now_ms, used - self.tokens);
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let now_ms = self.ledger.now_ms();
        self.apply(0, now_ms);
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
