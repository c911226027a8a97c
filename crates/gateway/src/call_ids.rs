//! Ids of calls: UUIDs of version 7 without asking the kernel for randomness with every call.

use domain::time::Timestamp;
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};
use uuid::Uuid;

/// A counter behind a keyed hash: within one process no two ids are alike, and two processes differ by their random keys.
/// The ids are names, not secrets.
#[derive(Default)]
pub(crate) struct CallIds {
    keys: RandomState,
    count: AtomicU64,
}

impl CallIds {
    pub(crate) fn next(&self, at: Timestamp) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 10];
        random[..2].copy_from_slice(&(count as u16).to_be_bytes());
        random[2..].copy_from_slice(&self.keys.hash_one(count).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(at.0.max(0).unsigned_abs(), &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_of_version_seven_sorted_by_time_and_never_alike() {
        let (one, two) = (CallIds::default(), CallIds::default());
        let ids: HashSet<_> = (0..100_000).flat_map(|_| [one.next(Timestamp(5)), two.next(Timestamp(5))]).collect();
        assert_eq!(ids.len(), 200_000);
        let later = one.next(Timestamp(6));
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && *id < later));
    }
}
