//! How this process learns of commits: its own at once, those of other processes by PostgreSQL's `NOTIFY`, or on SQLite by a file that
//! each of them touches. So nobody polls, and a portal at rest asks the database nothing.
//!
//! One task a [`Store`] reads the counters after each wake-up and tells them to everybody who waits ([`Store::revisions`]). A lost
//! notification is made up for at the next look ([`LOOK_EVERY`]).

mod folder;
mod postgres;

use super::{Pool, Result, Store, answered};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The longest time for which PostgreSQL is believed to have told everything: a connection may be dead without a sign.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Between two readings, so that a hundred commits in a moment are read once.
const GATHER: Duration = Duration::from_millis(20);
/// After a reading that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Where the counters stand, as far as this process knows. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revisions {
    /// The number of the newest event.
    pub events: i64,
    /// The number of the newest change of somebody's rights.
    pub rights: i64,
    pub directory: i64,
    /// How often this process heard of new jobs.
    pub jobs: u64,
    /// How often the others were found to be current, whether they had changed or not.
    pub checked: u64,
}

/// What a commit tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Events, rights or the directory.
    pub counters: bool,
    pub jobs: bool,
}

impl Told {
    pub(super) const EVERYTHING: Self = Self { counters: true, jobs: true };

    pub(super) const fn is_nothing(self) -> bool {
        !self.counters && !self.jobs
    }

    /// As it is sent: `counters`, `jobs`, or both with a blank between.
    const fn words(self) -> &'static str {
        match (self.counters, self.jobs) {
            (true, true) => "counters jobs",
            (true, false) => "counters",
            (false, true) => "jobs",
            (false, false) => "",
        }
    }

    /// Words of a later version are left alone.
    fn parse(words: &str) -> Self {
        let has = |word: &str| words.split(' ').any(|w| w == word);
        Self { counters: has("counters"), jobs: has("jobs") }
    }
}

/// The waking side; cheap to clone. With the last one ends the task that reads.
#[derive(Clone)]
pub(super) struct Wakeups {
    inner: Arc<Inner>,
    _end: Arc<DropGuard>,
}

struct Inner {
    /// Names this process among those that use the database.
    me: String,
    told: Mutex<Told>,
    wake: Notify,
    revisions: watch::Sender<Revisions>,
    reading: AtomicBool,
    stop: CancellationToken,
    /// Cancelled when the task that reads has ended, also when it panicked.
    ended: CancellationToken,
    /// Where processes that share a database file tell each other; none on PostgreSQL and in memory.
    folder: Option<folder::Folder>,
}

impl Wakeups {
    /// `url` is that of the database.
    pub(super) fn new(url: &str) -> Self {
        let stop = CancellationToken::new();
        let me = hex::encode(crate::random::<8>());
        let folder = folder::Folder::of_database(url, &me);
        let end = Arc::new(stop.clone().drop_guard());
        let inner = Inner {
            me,
            told: Mutex::default(),
            wake: Notify::new(),
            revisions: watch::Sender::default(),
            reading: AtomicBool::new(false),
            stop,
            ended: CancellationToken::new(),
            folder,
        };
        Self { inner: Arc::new(inner), _end: end }
    }

    /// After a commit of this process.
    pub(super) fn committed(&self, told: Told) {
        if told.is_nothing() {
            return;
        }
        self.inner.wake(told);
        if let Some(folder) = &self.inner.folder {
            folder.tell();
        }
    }

    /// What PostgreSQL sends to the other processes with a commit: channel and text.
    pub(super) fn notification(&self, told: Told) -> (&'static str, String) {
        (postgres::CHANNEL, format!("{} {}", self.inner.me, told.words()))
    }
}

impl Inner {
    fn wake(&self, told: Told) {
        let mut waiting = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Told { counters: waiting.counters || told.counters, jobs: waiting.jobs || told.jobs };
        self.wake.notify_one();
    }
}

impl Store {
    /// Changes with every commit anywhere that tells something. The first that asks starts the task that reads; it ends with the store.
    pub(crate) fn revisions(&self) -> watch::Receiver<Revisions> {
        let inner = &self.wakeups.inner;
        if !inner.reading.swap(true, Ordering::AcqRel) {
            let (db, reader, ended) = (self.db.clone(), inner.clone(), inner.ended.clone().drop_guard());
            tokio::spawn(async move {
                let _ended = ended;
                read_until_the_end(db, reader).await;
            });
        }
        inner.revisions.subscribe()
    }

    /// Returns when nobody reads any more what others commit. Then this process must not go on: it would never know that a key was revoked.
    pub(crate) async fn reading_ended(&self) {
        self.wakeups.inner.ended.cancelled().await;
    }

    /// As if the task that reads had panicked.
    #[cfg(test)]
    pub(crate) fn end_reading(&self) {
        self.wakeups.inner.stop.cancel();
    }
}

async fn read_until_the_end(db: Pool, inner: Arc<Inner>) {
    let listening = async {
        match &db {
            Pool::Postgres(pool) => postgres::listen(pool, &inner).await,
            Pool::Sqlite(_) => folder::listen(&inner).await,
        }
    };
    tokio::select! {
        () = inner.stop.cancelled() => {}
        () = listening => {}
        () = read(&db, &inner) => {}
    }
}

async fn read(db: &Pool, inner: &Inner) {
    let mut away = false;
    // What is there at the start is read once.
    let mut told = Told::EVERYTHING;
    loop {
        if told.is_nothing() && matches!(db, Pool::Sqlite(_)) {
            // Every commit of everybody is told here, and nothing was.
            inner.revisions.send_modify(|now| now.checked += 1);
        } else {
            match counters(db).await {
                Ok((events, rights, directory)) => {
                    away = false;
                    inner.revisions.send_modify(|now| {
                        *now = Revisions { events, rights, directory, jobs: now.jobs + u64::from(told.jobs), checked: now.checked + 1 };
                    });
                }
                Err(e) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(error = %e, "changes cannot be read now; trying again");
                    }
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
            tokio::time::sleep(GATHER).await;
        }
        tokio::select! {
            () = inner.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        told = std::mem::take(&mut *inner.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn counters(db: &Pool) -> Result<(i64, i64, i64)> {
    let sql = "SELECT (SELECT value FROM counters WHERE name = 'events'), (SELECT value FROM counters WHERE name = 'rights'), \
        (SELECT value FROM counters WHERE name = 'directory')";
    match db {
        Pool::Sqlite(pool) => sqlx::query_as(sql).fetch_one(pool).await,
        Pool::Postgres(pool) => answered(sqlx::query_as(sql).fetch_one(pool)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again_and_words_of_a_later_version_are_left_alone() {
        for told in [Told::EVERYTHING, Told { counters: true, jobs: false }, Told { counters: false, jobs: true }, Told::default()] {
            assert_eq!(Told::parse(told.words()), told);
        }
        assert_eq!(Told::parse("quotas jobs"), Told { counters: false, jobs: true });
    }
}
