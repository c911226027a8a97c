//! How old what this process knows is: for `/readyz` and metrics. A loop that hangs is seen by its age, whatever it hangs in.

use crate::Platform;
use domain::time::Timestamp;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// 0 = this process does not do that.
#[derive(Default)]
pub(crate) struct Freshness {
    directory: AtomicI64,
    lease: AtomicI64,
}

/// Since something was last known for sure. None = this process has no part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Since the gateway's directory was last compared with the database.
    pub directory: Option<Duration>,
    /// Since the controllers' lease was last taken, renewed, or seen with another holder.
    pub lease: Option<Duration>,
}

impl Freshness {
    pub(crate) fn directory_seen(&self, now: Timestamp) {
        self.directory.store(now.0, Ordering::Relaxed);
    }
    pub(crate) fn lease_seen(&self, now: Timestamp) {
        self.lease.store(now.0, Ordering::Relaxed);
    }

    fn ages(&self, now: Timestamp) -> Ages {
        let age = |seen: &AtomicI64| match seen.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_millis(u64::try_from(now.0 - at).unwrap_or(0))),
        };
        Ages { directory: age(&self.directory), lease: age(&self.lease) }
    }
}

impl Platform {
    /// As of now.
    pub fn ages(&self) -> Ages {
        self.inner.freshness.ages(self.now())
    }
}

/// Connections of this process to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabasePool {
    pub open: u32,
    /// Those of them that nobody uses now.
    pub idle: u32,
    pub most: u32,
}

impl Platform {
    /// As of now.
    pub fn database_pool(&self) -> DatabasePool {
        self.store().pool()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_grows_from_when_it_was_last_seen_and_clocks_that_jump_back_make_no_sense_of_it() {
        let freshness = Freshness::default();
        assert_eq!(freshness.ages(Timestamp(5_000)), Ages { directory: None, lease: None });
        freshness.directory_seen(Timestamp(5_000));
        freshness.lease_seen(Timestamp(9_000));
        let ages = freshness.ages(Timestamp(7_500));
        assert_eq!((ages.directory, ages.lease), (Some(Duration::from_millis(2_500)), Some(Duration::ZERO)));
    }
}
