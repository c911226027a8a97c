//! What the controllers are to look at, by key: one that is added twice is looked at once, one key is never looked at twice at a time, and
//! trouble puts it back with a growing delay. Decides only, and is told the time; [`super::Term`] does the work.
//! The rules are those of client-go's `workqueue`, which Kubernetes' own controllers use.

use domain::{
    ids::{EndpointId, IsolationCheckId, RunId},
    name::Name,
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

/// After the first trouble with a key; doubled with each further one in a row.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// Everything that is live: repairs what nobody told of.
    FullPass,
    /// Free slots and queued runs.
    Admission,
    Run(Name, RunId),
    Endpoint(Name, EndpointId),
    /// A check whether a tenant is apart from the others.
    Isolation(Name, IsolationCheckId),
    /// What a tenant's tasks need around them.
    Tenant(Name),
    /// What the engine holds of things that are over.
    Sweep,
    /// Files in the artefact store that nobody owns.
    Leftovers,
    /// Buckets and keys of tenants in the artefact store.
    StoreKeys,
    /// Signed states of the audit chains.
    Checkpoints,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FullPass => f.write_str("full pass"),
            Self::Admission => f.write_str("admission"),
            Self::Run(tenant, id) => write!(f, "run/{tenant}/{id}"),
            Self::Endpoint(tenant, id) => write!(f, "endpoint/{tenant}/{id}"),
            Self::Isolation(tenant, id) => write!(f, "isolation/{tenant}/{id}"),
            Self::Tenant(name) => write!(f, "tenant/{name}"),
            Self::Sweep => f.write_str("sweep"),
            Self::Leftovers => f.write_str("leftovers"),
            Self::StoreKeys => f.write_str("keys of the store"),
            Self::Checkpoints => f.write_str("checkpoints"),
        }
    }
}

#[derive(Default)]
pub(super) struct WorkQueue {
    /// When each key that waits is due; the same in two orders.
    due: HashMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
    begun: HashSet<Key>,
    /// Added while it was being looked at: when it is due again.
    again: HashMap<Key, Instant>,
    troubles: HashMap<Key, u32>,
}

impl WorkQueue {
    /// Due at this time, or earlier if it was to be earlier already.
    pub(super) fn add(&mut self, key: Key, at: Instant) {
        if self.begun.contains(&key) {
            let due = self.again.entry(key).or_insert(at);
            *due = at.min(*due);
            return;
        }
        match self.due.get(&key) {
            Some(due) if *due <= at => return,
            Some(due) => {
                self.order.remove(&(*due, key.clone()));
            }
            None => {}
        }
        self.order.insert((at, key.clone()));
        self.due.insert(key, at);
    }

    /// When the first of those that wait is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// A key that is due now; it counts as begun until [`WorkQueue::end`].
    pub(super) fn begin(&mut self, now: Instant) -> Option<Key> {
        if self.next_due()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        self.begun.insert(key.clone());
        Some(key)
    }

    /// It was looked at. `next`: how soon it is to be looked at again if nothing wakes it; `None` = not before something does.
    pub(super) fn end(&mut self, key: Key, next: Option<Duration>, now: Instant) {
        self.troubles.remove(&key);
        self.put_back(key, next.map(|pause| now + pause));
    }

    /// It could not be brought forward.
    pub(super) fn end_in_trouble(&mut self, key: Key, now: Instant) {
        let troubles = self.troubles.entry(key.clone()).or_default();
        *troubles += 1;
        let delay = FIRST_DELAY.saturating_mul(1 << (*troubles - 1).min(16)).min(LONGEST_DELAY);
        // Whatever woke it meanwhile waits as well: the same trouble would meet it.
        self.again.remove(&key);
        self.put_back(key, Some(now + delay));
    }

    fn put_back(&mut self, key: Key, at: Option<Instant>) {
        self.begun.remove(&key);
        let at = match (at, self.again.remove(&key)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if let Some(at) = at {
            self.add(key, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_key_that_is_added_twice_is_looked_at_once_and_as_early_as_asked() {
        let (mut queue, now) = (WorkQueue::default(), Instant::now());
        queue.add(Key::Sweep, now + seconds(9));
        queue.add(Key::Sweep, now + seconds(3));
        queue.add(Key::Sweep, now + seconds(5));
        assert_eq!((queue.next_due(), queue.begin(now)), (Some(now + seconds(3)), None));
        assert_eq!(queue.begin(now + seconds(3)), Some(Key::Sweep));
        assert_eq!((queue.next_due(), queue.begin(now + seconds(60))), (None, None));
    }

    #[test]
    fn a_key_is_never_begun_twice_at_a_time_and_what_woke_it_meanwhile_counts() {
        let (mut queue, now) = (WorkQueue::default(), Instant::now());
        queue.add(Key::Admission, now);
        let key = queue.begin(now).unwrap();
        queue.add(Key::Admission, now);
        assert_eq!(queue.begin(now), None);
        queue.end(key, Some(seconds(60)), now);
        assert_eq!(queue.begin(now), Some(Key::Admission));
        queue.end(Key::Admission, Some(seconds(60)), now);
        assert_eq!(queue.next_due(), Some(now + seconds(60)));
        queue.add(Key::Admission, now);
        queue.begin(now).unwrap();
        queue.end(Key::Admission, None, now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn trouble_puts_a_key_back_later_each_time_until_it_goes_well() {
        let (mut queue, mut now) = (WorkQueue::default(), Instant::now());
        queue.add(Key::FullPass, now);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let key = queue.begin(now).unwrap();
            // Woken meanwhile: no reason to hurry.
            queue.add(Key::FullPass, now);
            queue.end_in_trouble(key, now);
            assert_eq!(queue.next_due(), Some(now + seconds(expected)));
            now += seconds(expected);
        }
        let key = queue.begin(now).unwrap();
        queue.end(key, Some(seconds(5)), now);
        now += seconds(5);
        let key = queue.begin(now).unwrap();
        queue.end_in_trouble(key, now);
        assert_eq!(queue.next_due(), Some(now + seconds(1)));
    }
}
