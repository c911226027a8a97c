//! This gateway's share of one limit that several gateways keep together, and the count that stays within it.

use crate::window::{Gauge, Window};
use domain::limit_shares::{LimitOf, Others, ShareAsk, kept};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// Without a round for so long, in milliseconds, nothing that was given counts any more: others may have it. Well below the time after which
/// the database gives the shares of a silent gateway away.
pub(crate) const STALE_MS: u64 = 90_000;
/// A share that nobody called with for so long is given back.
const IDLE_MS: u64 = 60_000;
/// A wish that no call came back for is dropped.
const WISH_MS: u64 = 3_000;
/// For so long it is believed that all is used up, as the last round said.
const BELIEVED_MS: u64 = 1_000;
/// What the others are told of the use is at most so old.
const TOLD_MS: u64 = 2_000;
/// After which a refused client may try again, where only other gateways know when there is room.
const TRY_AGAIN_MS: u64 = 2_000;
pub(crate) const NEVER: u64 = u64::MAX;

/// What wakes the rounds, and who waits for them.
pub(crate) struct Rounds {
    pub(crate) wake: Notify,
    /// Grows with each round.
    pub(crate) answered: watch::Sender<u64>,
    pub(crate) last_ms: AtomicU64,
    pub(crate) asked_ms: AtomicU64,
    /// Since when nobody answers, or [`NEVER`].
    pub(crate) missing_since_ms: AtomicU64,
    pub(crate) gateways: AtomicU64,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            wake: Notify::new(),
            answered: watch::Sender::new(0),
            last_ms: AtomicU64::new(0),
            asked_ms: AtomicU64::new(0),
            missing_since_ms: AtomicU64::new(NEVER),
            gateways: AtomicU64::new(1),
        }
    }
}

impl Rounds {
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn stale(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms.load(Ordering::Relaxed)) > STALE_MS
    }

    pub(crate) fn done(&self, now_ms: u64) {
        self.last_ms.store(now_ms, Ordering::Relaxed);
        self.answered.send_modify(|round| *round += 1);
    }
}

/// One limit's count, and the share of it.
#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) window: Window,
    pub(crate) share: Share,
}

/// Of one limit.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) limit: u64,
    pub(crate) held: u64,
    pub(crate) wants: u64,
    pub(crate) others: Others,
    /// None = nothing was heard since the share was last given back.
    pub(crate) heard_ms: Option<u64>,
    pub(crate) told: u64,
    /// Nothing is held here any more, and no answer has said yet that the others know.
    pub(crate) gives_back: bool,
    called_ms: u64,
    missed_ms: u64,
}

impl Share {
    /// Whether there is something to ask or to say of it.
    pub(crate) fn is_held(&self) -> bool {
        self.held > 0 || self.wants > 0 || self.gives_back
    }

    /// Nothing that was given counts any more. Said until it was heard: what nobody hears of stays held, and other gateways lack it.
    pub(crate) fn give_back(&mut self) {
        self.gives_back |= self.held > 0;
        self.held = 0;
        self.others = Others::default();
        self.heard_ms = None;
    }

    /// What this gateway says of it now, if there is anything to say; lowers it first where others lack something.
    pub(crate) fn ask(&mut self, of: LimitOf, used: u64, now_ms: u64) -> Option<ShareAsk> {
        if !self.is_held() {
            return None;
        }
        if used == 0 && now_ms.saturating_sub(self.called_ms) > IDLE_MS {
            self.give_back();
        }
        if now_ms.saturating_sub(self.missed_ms) > WISH_MS {
            self.wants = self.wants.min(self.held);
        }
        if self.gives_back && self.wants == 0 {
            return Some(ShareAsk { of, limit: self.limit, held: 0, used: 0, wants: 0 });
        }
        let kept = kept(self.limit, self.held, used, &self.others);
        let lowered = kept < self.held;
        self.held = kept;
        self.wants = self.wants.max(self.held);
        let heard_ms = self.heard_ms.map_or(u64::MAX, |at| now_ms.saturating_sub(at));
        let news = lowered || self.wants > self.held || (used != self.told && heard_ms > TOLD_MS);
        news.then_some(ShareAsk { of, limit: self.limit, held: self.held, used, wants: self.wants })
    }
}

impl Counter {
    /// Milliseconds until `needed` fits, and, where it does not fit now, whether a larger share may come in a moment.
    pub(crate) fn fits_in_share(&mut self, needed: u64, limit: u64, rounds: &Rounds, now_ms: u64) -> (Option<u64>, bool) {
        let (share, window) = (&mut self.share, &self.window);
        if rounds.stale(now_ms) {
            share.give_back();
        }
        share.limit = limit;
        share.called_ms = now_ms;
        if window.fits_in_ms(needed, share.held.min(limit), now_ms) == Some(0) {
            return (Some(0), false);
        }
        if needed > limit {
            return (None, false);
        }
        // Not call by call: the next ones find their room there already.
        share.wants = share.wants.max(window.total() + needed).max(limit.div_ceil(4)).max(share.held.saturating_mul(2)).min(limit);
        share.missed_ms = now_ms;
        let believed = share.heard_ms.is_some_and(|at| now_ms.saturating_sub(at) <= BELIEVED_MS);
        let used_up = window.total() + share.others.used + needed > limit;
        let own = window.fits_in_ms(needed, limit.saturating_sub(share.others.used), now_ms);
        (Some(own.unwrap_or(TRY_AGAIN_MS).max(1)), !(believed && used_up))
    }

    /// Asks for more before the share is used up; whether that is news.
    pub(crate) fn wants_more(&mut self) -> bool {
        let share = &mut self.share;
        if share.held == 0 || share.held >= share.limit || self.window.total() * 4 < share.held * 3 {
            return false;
        }
        let before = share.wants;
        share.wants = before.max(share.held.saturating_mul(2)).min(share.limit);
        // A wish as any other: it is dropped when nothing comes of it.
        share.missed_ms = share.called_ms;
        share.wants > before
    }

    pub(crate) fn gauge(&self, limit: u32, now_ms: u64) -> Gauge {
        self.window.gauge(limit, self.share.others.used, now_ms)
    }
}
