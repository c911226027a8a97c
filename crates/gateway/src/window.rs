//! A sliding window of 60 s, kept in steps of one second; a step leaves it when its last millisecond is 60 s old.

use std::collections::VecDeque;

const WINDOW_S: u64 = 60;

/// What a client may know of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gauge {
    pub limit: u32,
    pub remaining: u32,
    /// Milliseconds until nothing is counted any more.
    pub reset_ms: u64,
}

/// Counts of the last 60 seconds, by second.
#[derive(Default)]
pub(crate) struct Window {
    steps: VecDeque<(u64, u64)>,
    total: u64,
}

impl Window {
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn forget_old(&mut self, now_ms: u64) {
        while let Some(&(second, count)) = self.steps.front() {
            if leaves_at_ms(second) > now_ms {
                break;
            }
            self.total -= count;
            self.steps.pop_front();
        }
    }

    pub(crate) fn add(&mut self, now_ms: u64, count: u64) {
        let second = now_ms / 1_000;
        self.total += count;
        match self.steps.back_mut() {
            // A clock read before the lock was taken may be a little behind: the later second is the stricter one.
            Some(last) if last.0 >= second => last.1 += count,
            _ => self.steps.push_back((second, count)),
        }
    }

    /// Returns what was taken in `second` or just after, as far as it is still counted.
    pub(crate) fn take_back(&mut self, second: u64, mut count: u64) {
        for step in self.steps.iter_mut().filter(|s| s.0 >= second) {
            let back = count.min(step.1);
            step.1 -= back;
            self.total -= back;
            count -= back;
            if count == 0 {
                break;
            }
        }
    }

    /// Milliseconds until `needed` fits under `limit`; none when it never does.
    pub(crate) fn fits_in_ms(&self, needed: u64, limit: u64, now_ms: u64) -> Option<u64> {
        if needed > limit {
            return None;
        }
        let mut total = self.total;
        let mut wait = 0;
        for &(second, count) in &self.steps {
            if total + needed <= limit {
                break;
            }
            total -= count;
            wait = leaves_at_ms(second).saturating_sub(now_ms);
        }
        Some(wait)
    }

    /// `elsewhere`: what other gateways have counted.
    pub(crate) fn gauge(&self, limit: u32, elsewhere: u64, now_ms: u64) -> Gauge {
        let remaining = u64::from(limit).saturating_sub(self.total).saturating_sub(elsewhere) as u32;
        let reset_ms = self.steps.iter().rev().find(|s| s.1 > 0).map_or(0, |s| leaves_at_ms(s.0).saturating_sub(now_ms));
        Gauge { limit, remaining, reset_ms }
    }
}

const fn leaves_at_ms(second: u64) -> u64 {
    (second + 1 + WINDOW_S) * 1_000
}
