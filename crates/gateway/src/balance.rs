//! Which copy of a model server takes the next call: the one with the fewest calls of this gateway under way, of those that can be
//! reached. A copy that cannot, or that takes calls and answers none, is left out for a while, so that not every call has to find that out.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// For how long a copy is left out that could not be reached once; doubled with each further time
const OUT_AT_FIRST: Duration = Duration::from_secs(1);
/// up to this.
const OUT_AT_MOST: Duration = Duration::from_secs(30);
/// So many calls in a row that a copy took and did not begin to answer in time, and it counts as one that cannot be reached. One alone may have
/// been a very long prompt.
const SILENCES: u32 = 3;
/// Silences that are older are forgotten with their copy.
const SILENT_FOR: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(crate) struct Balance {
    copies: Mutex<HashMap<String, ServerCopy>>,
    /// Where the search begins, so that copies with as many calls take turns.
    turn: AtomicUsize,
}

/// Known as long as it has calls or troubles.
#[derive(Default)]
struct ServerCopy {
    under_way: u32,
    out: Option<Out>,
    /// Calls in a row that it did not begin to answer in time, and when the last was given up.
    silences: Option<(u32, Instant)>,
}

#[derive(Clone, Copy)]
struct Out {
    until: Instant,
    failures: u32,
}

/// One call at one copy; counted there until it is dropped.
pub(crate) struct AtCopy {
    balance: Arc<Balance>,
    address: String,
}

impl Balance {
    /// The copy for one more call; none when all of `addresses` are in `tried`. When all that are left were unreachable lately, the one
    /// that was so for the longest time: it may be back.
    pub(crate) fn choose(self: &Arc<Self>, addresses: &[String], tried: &[String]) -> Option<AtCopy> {
        self.choose_at(addresses, tried, Instant::now())
    }

    fn choose_at(self: &Arc<Self>, addresses: &[String], tried: &[String], now: Instant) -> Option<AtCopy> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        let in_turn = addresses[turn..].iter().chain(&addresses[..turn]).filter(|a| !tried.contains(a));
        let address = in_turn.min_by_key(|address| {
            let copy = copies.get(*address);
            let out = copy.and_then(|c| c.out).map(|out| out.until).filter(|until| *until > now);
            (out, copy.map_or(0, |c| c.under_way))
        })?;
        copies.entry(address.clone()).or_default().under_way += 1;
        Some(AtCopy { balance: self.clone(), address: address.clone() })
    }

    fn change(&self, address: &str, change: impl FnOnce(&mut ServerCopy)) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(copy) = copies.get_mut(address) else { return };
        change(copy);
        if copy.under_way == 0 && copy.out.is_none() && copy.silences.is_none() {
            copies.remove(address);
        }
    }
}

impl AtCopy {
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// It has begun to answer.
    pub(crate) fn answered(&self) {
        self.balance.change(&self.address, |copy| (copy.out, copy.silences) = (None, None));
    }

    /// It took the call, and has not begun to answer within the time that it had.
    pub(crate) fn silent(&self) {
        self.silent_at(Instant::now());
    }

    fn silent_at(&self, now: Instant) {
        let mut hangs = false;
        self.balance.change(&self.address, |copy| {
            let silences = copy.silences.map_or(0, |(n, _)| n) + 1;
            copy.silences = Some((silences, now));
            hangs = silences >= SILENCES;
        });
        if hangs {
            tracing::warn!(upstream = %self.address, "a copy of a model server takes calls and answers none");
            self.failed_at(now);
        }
    }

    /// It could not be reached, or broke off before it answered.
    pub(crate) fn failed(&self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        self.balance.change(&self.address, |copy| {
            // Many calls may find out at once: that is one time.
            if copy.out.is_some_and(|out| out.until > now) {
                return;
            }
            let failures = copy.out.map_or(0, |out| out.failures);
            let pause = OUT_AT_FIRST.saturating_mul(1 << failures.min(5)).min(OUT_AT_MOST);
            copy.out = Some(Out { until: now + pause, failures: failures + 1 });
        });
        // Addresses of copies that are gone for good come never again: they are forgotten some time after they were left out.
        let mut copies = self.balance.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|_, c| {
            let silent = c.silences.is_some_and(|(_, at)| now < at + SILENT_FOR);
            c.under_way > 0 || silent || c.out.is_some_and(|out| now < out.until + OUT_AT_MOST)
        });
    }
}

impl Drop for AtCopy {
    fn drop(&mut self) {
        self.balance.change(&self.address, |copy| copy.under_way = copy.under_way.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(n: usize) -> Vec<String> {
        (1..=n).map(|n| format!("http://10.0.0.{n}:8000")).collect()
    }

    #[test]
    fn a_call_goes_to_the_copy_with_the_fewest_and_equals_take_turns() {
        let (balance, all) = (Arc::new(Balance::default()), addresses(3));
        let under_way: Vec<_> = (0..9).map(|_| balance.choose(&all, &[]).unwrap()).collect();
        for address in &all {
            assert_eq!(under_way.iter().filter(|c| c.address() == address).count(), 3, "{address}");
        }
        let mut under_way = under_way;
        under_way.retain(|c| c.address() != all[1]);
        for _ in 0..3 {
            let next = balance.choose(&all, &[]).unwrap();
            assert_eq!(next.address(), all[1], "it has none");
            under_way.push(next);
        }
        drop(under_way);
        assert!(balance.copies.lock().unwrap().is_empty(), "nothing is kept of copies at rest");
        let alone: Vec<_> = (0..6).map(|_| balance.choose(&all, &[]).unwrap().address().to_owned()).collect();
        assert!(all.iter().all(|a| alone.iter().filter(|b| a == *b).count() == 2), "one call after the other: {alone:?}");
    }

    #[test]
    fn a_copy_that_cannot_be_reached_is_left_out_for_longer_each_time_until_it_answers() {
        let (balance, all, now) = (Arc::new(Balance::default()), addresses(2), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let first = || balance.choose_at(&all[..1], &[], at(0)).unwrap();
        first().failed_at(at(0));
        let chosen = |now| balance.choose_at(&all, &[], now).unwrap().address().to_owned();
        assert!((0..4).all(|_| chosen(at(0)) == all[1]));
        assert!((0..4).any(|_| chosen(at(1)) == all[0]), "after a second it is tried again");
        first().failed_at(at(1));
        assert!((0..4).all(|_| chosen(at(2)) == all[1]), "then it is left out for two");
        assert!((0..4).any(|_| chosen(at(3)) == all[0]));
        (0..20).for_each(|_| first().failed_at(at(3)));
        assert!((0..4).all(|_| chosen(at(6)) == all[1]) && (0..4).any(|_| chosen(at(7)) == all[0]), "twenty at once count as one");
        (1..20).for_each(|n| first().failed_at(at(100 * n)));
        assert!((0..4).all(|_| chosen(at(1_929)) == all[1]) && (0..4).any(|_| chosen(at(1_930)) == all[0]), "for half a minute at most");
        first().answered();
        assert!((0..4).any(|_| chosen(at(1_901)) == all[0]));
    }

    #[test]
    fn when_all_are_left_out_the_one_that_was_so_first_is_tried_and_each_once() {
        let (balance, all, now) = (Arc::new(Balance::default()), addresses(3), Instant::now());
        for (n, address) in all.iter().enumerate() {
            let only = std::slice::from_ref(address);
            balance.choose_at(only, &[], now).unwrap().failed_at(now + Duration::from_millis(10 * n as u64));
        }
        let mut tried = Vec::new();
        while let Some(copy) = balance.choose_at(&all, &tried, now) {
            tried.push(copy.address().to_owned());
        }
        assert_eq!(tried, all);
        assert!(balance.choose(&[], &[]).is_none());
    }

    #[test]
    fn a_copy_that_takes_calls_and_answers_none_is_left_out_after_the_third_in_a_row() {
        let (balance, all, now) = (Arc::new(Balance::default()), addresses(2), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let first = || balance.choose_at(&all[..1], &[], at(0)).unwrap();
        let chosen = |now| balance.choose_at(&all, &[], now).unwrap().address().to_owned();
        for _ in 0..2 {
            first().silent_at(at(0));
        }
        first().answered();
        for _ in 0..2 {
            first().silent_at(at(0));
            assert!((0..4).any(|_| chosen(at(0)) == all[0]), "a long prompt may be silent for long");
        }
        first().silent_at(at(0));
        assert!((0..4).all(|_| chosen(at(0)) == all[1]));
        assert!((0..4).any(|_| chosen(at(1)) == all[0]), "it is tried again");
        first().silent_at(at(1));
        assert!((0..4).all(|_| chosen(at(2)) == all[1]), "one more silence is enough then, and for longer");
        first().answered();
        assert!((0..4).any(|_| chosen(at(2)) == all[0]));
        assert!(balance.copies.lock().unwrap().is_empty());
    }

    #[test]
    fn copies_that_are_gone_for_good_are_forgotten() {
        let (balance, now) = (Arc::new(Balance::default()), Instant::now());
        for address in addresses(50) {
            balance.choose_at(&[address], &[], now).unwrap().failed_at(now);
        }
        assert_eq!(balance.copies.lock().unwrap().len(), 50);
        let later = now + OUT_AT_FIRST + OUT_AT_MOST;
        balance.choose_at(&addresses(1), &[], later).unwrap().failed_at(later);
        assert_eq!(balance.copies.lock().unwrap().len(), 1);
    }
}
