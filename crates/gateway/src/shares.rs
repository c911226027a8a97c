//! This gateway's share of each limit, where several gateways keep limits together: what it asks for, and what it was given.
//!
//! Rounds of asking go on beside the calls ([`LimitShares`]). A call waits for one only where its share does not hold it although the limit
//! may: the first after a while, and one whose share other gateways have to give up first.

use crate::{
    limits::{Account, Ledger, OverLimit, Subject},
    share::{Counter, NEVER},
};
use domain::limit_shares::{Counted, LimitOf, ShareAsk, SharesGiven, kept};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How long a call waits for a larger share.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two rounds while a share is held: so late it is given up where another gateway lacks it.
const HOLDING: Duration = Duration::from_secs(1);
/// The same while calls wait for one.
const WAITING: Duration = Duration::from_millis(250);
/// Calls that come together ask together.
const TOGETHER: Duration = Duration::from_millis(2);
/// An answer that is older, in milliseconds, is none.
const STOOD_STILL_MS: u64 = 30_000;
/// So long without an answer, in milliseconds, the database is away and not slow.
const AWAY_MS: u64 = 10_000;
/// Limits in one round.
const ROUND: usize = 500;

impl Ledger {
    /// Tries again after each round, while a larger share may come; at last what was said last.
    pub(crate) async fn with_a_share<T>(&self, mut reserve: impl FnMut() -> Result<T, Box<OverLimit>>) -> Result<T, Box<OverLimit>> {
        let Some(rounds) = &self.rounds else { return reserve() };
        let patience = tokio::time::Instant::now() + PATIENCE;
        // From before the first try: no round is missed.
        let mut answers = rounds.answered.subscribe();
        loop {
            let over = match reserve() {
                Err(over) if over.may_come => over,
                done => return done,
            };
            if !matches!(tokio::time::timeout_at(patience, answers.changed()).await, Ok(Ok(()))) {
                return Err(over);
            }
        }
    }
}

impl Account {
    fn of(&mut self, counted: Counted) -> &mut Counter {
        match counted {
            Counted::Requests => &mut self.requests,
            Counted::Tokens => &mut self.tokens,
        }
    }
}

fn subject(of: &LimitOf) -> Subject {
    of.key.map_or_else(|| Subject::Tenant(of.tenant.clone()), Subject::Key)
}

/// For whoever joins the gateway to the database: the next round's questions, and where its answers go.
pub struct LimitShares {
    ledger: Arc<Ledger>,
}

impl LimitShares {
    /// None where this gateway counts for itself.
    pub(crate) fn of(ledger: &Arc<Ledger>) -> Option<Self> {
        ledger.rounds.is_some().then(|| Self { ledger: ledger.clone() })
    }

    /// When the next round is due: what this gateway asks for; nothing when it only listens. Pends while no call came for a while.
    pub async fn next(&self) -> Vec<ShareAsk> {
        let Some(rounds) = &self.ledger.rounds else { return std::future::pending().await };
        loop {
            let pause = self.pause();
            tokio::select! {
                () = rounds.wake.notified() => tokio::time::sleep(TOGETHER).await,
                () = async { match pause { Some(pause) => tokio::time::sleep(pause).await, None => std::future::pending().await } } => {}
            }
            let now_ms = self.ledger.now_ms();
            rounds.asked_ms.store(now_ms, Ordering::Relaxed);
            let asks = self.asks(now_ms);
            if !asks.is_empty() || self.pause().is_some() {
                return asks;
            }
        }
    }

    fn pause(&self) -> Option<Duration> {
        let mut pause = None;
        self.ledger.each_shard(|shard| {
            for share in shard.accounts.values().flat_map(|a| [&a.requests.share, &a.tokens.share]).filter(|s| s.is_held()) {
                let next = if share.wants > share.held { WAITING } else { HOLDING };
                pause = Some(pause.map_or(next, |p: Duration| p.min(next)));
            }
        });
        pause
    }

    fn asks(&self, now_ms: u64) -> Vec<ShareAsk> {
        let mut asks = Vec::new();
        let stale = self.ledger.rounds.as_ref().is_some_and(|rounds| rounds.stale(now_ms));
        self.each(|of, counter| {
            counter.window.forget_old(now_ms);
            if stale {
                counter.share.give_back();
            }
            if asks.len() < ROUND {
                asks.extend(counter.share.ask(of, counter.window.total(), now_ms));
            }
        });
        asks
    }

    /// The answer to what [`next`](Self::next) returned.
    pub fn given(&self, answer: SharesGiven) {
        self.take(answer, self.ledger.now_ms());
    }

    fn take(&self, answer: SharesGiven, now_ms: u64) {
        let Some(rounds) = &self.ledger.rounds else { return };
        rounds.missing_since_ms.store(NEVER, Ordering::Relaxed);
        // The process stood still meanwhile: who knows what was given away since.
        if now_ms.saturating_sub(rounds.asked_ms.load(Ordering::Relaxed)) > STOOD_STILL_MS {
            self.each(|_, counter| counter.share.give_back());
            rounds.done(now_ms);
            return;
        }
        for given in answer.given {
            self.ledger.with_account(&given.of.tenant, &subject(&given.of), |account| {
                let counter = account.of(given.of.counted);
                let share = &mut counter.share;
                // Given back meanwhile, or asked for: a limit with neither has no share.
                if share.is_held() {
                    share.held = given.held;
                    share.others = given.others;
                    share.heard_ms = Some(now_ms);
                    share.told = counter.window.total();
                    share.gives_back = false;
                }
            });
        }
        let mut lowers = false;
        for (of, others) in answer.missed {
            self.ledger.with_account(&of.tenant, &subject(&of), |account| {
                let counter = account.of(of.counted);
                counter.share.others = others;
                lowers |= kept(counter.share.limit, counter.share.held, counter.window.total(), &others) < counter.share.held;
            });
        }
        rounds.gateways.store(answer.gateways.max(1), Ordering::Relaxed);
        rounds.done(now_ms);
        if lowers {
            rounds.wake();
        }
    }

    /// Nobody answered. What was given holds on. After some time of it, what is asked for is a fair part among the gateways that were there
    /// last: calls go on without the database, but not past the limit while it is only slow.
    pub fn unanswered(&self) {
        self.miss(self.ledger.now_ms());
    }

    fn miss(&self, now_ms: u64) {
        let Some(rounds) = &self.ledger.rounds else { return };
        let since = match rounds.missing_since_ms.load(Ordering::Relaxed) {
            NEVER => {
                rounds.missing_since_ms.store(now_ms, Ordering::Relaxed);
                return;
            }
            since => since,
        };
        if now_ms.saturating_sub(since) < AWAY_MS {
            return;
        }
        let gateways = rounds.gateways.load(Ordering::Relaxed);
        self.ledger.each_shard(|shard| {
            for share in shard.accounts.values_mut().flat_map(|a| [&mut a.requests.share, &mut a.tokens.share]) {
                if share.wants > share.held {
                    share.held = share.held.max(share.wants.min(share.limit / gateways));
                }
            }
        });
        rounds.done(now_ms);
    }

    /// At the end: only what was used stays held, until it has left every window.
    pub fn last(&self) -> Vec<ShareAsk> {
        let now_ms = self.ledger.now_ms();
        let mut asks = Vec::new();
        self.each(|of, counter| {
            counter.window.forget_old(now_ms);
            let used = counter.window.total();
            if counter.share.is_held() {
                asks.push(ShareAsk { of, limit: counter.share.limit, held: used, used, wants: used });
            }
        });
        asks
    }

    /// Each limit under which calls were counted.
    fn each(&self, mut with: impl FnMut(LimitOf, &mut Counter)) {
        self.ledger.each_shard(|shard| {
            for (subject, account) in &mut shard.accounts {
                let Some(tenant) = account.tenant.clone() else { continue };
                let key = match subject {
                    Subject::Key(key) => Some(*key),
                    Subject::Tenant(_) => None,
                };
                for counted in Counted::ALL {
                    with(LimitOf { tenant: tenant.clone(), key, counted }, account.of(counted));
                }
            }
        });
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
