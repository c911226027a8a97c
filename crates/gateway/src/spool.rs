//! The way out for metered calls: an append-only spool on this machine's disk. A call's place in it is held before the call is
//! forwarded, and its record has been handed to the kernel before the last byte of its answer goes out: a killed process loses none,
//! and a database that is away stops nobody until the spool is full.
//!
//! A record is a line with a checksum ([`line`]). Files ([`segment`]) are locked by the process that writes them, so several gateways
//! may share a folder; a file that nobody locks was left by a process that is gone, and whoever finds it reads it out ([`receiver`]).
//! What was read out but not confirmed comes again after a restart: records may come twice, and count once by their id.

mod line;
mod receiver;
mod segment;
#[cfg(test)]
mod tests;

pub use receiver::UsageReceiver;

use domain::{time::Timestamp, usage::Call};
use segment::Segment;
use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Bytes that a record takes at most, and that are held for each call under way.
pub const RECORD_BYTES: u64 = 4096;
/// Between two lines in the log about a spool that takes no more.
const REMIND: Duration = Duration::from_secs(30);

/// Where the spool lies and how large it may grow.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Made if it is not there. Several gateways of one machine may use the same.
    pub folder: PathBuf,
    /// Bytes of records that wait for the database, those of calls under way included ([`RECORD_BYTES`] each); beyond it calls are
    /// refused with 503. On the disk it may be two files more. 1 GiB holds about two million calls.
    pub max_bytes: u64,
    /// A file that has so many bytes is closed and another begun; it is removed when all of it is in the database.
    pub segment_bytes: u64,
    /// At most so long after a record was written it is on the disk itself: what a machine that loses power may lose.
    pub sync_every: Duration,
}

impl SpoolConfig {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, max_bytes: 1 << 30, segment_bytes: 1 << 20, sync_every: Duration::from_secs(1) }
    }
}

/// Where the gateway puts metered calls; a cheap clone.
#[derive(Clone)]
pub struct UsageSink {
    spool: Arc<Spool>,
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Records that wait for the database.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// See [`SpoolConfig::max_bytes`].
    pub max_bytes: u64,
    /// When the oldest call ended that is on its way into the database; none when nothing waits for longer than a moment.
    pub oldest: Option<Timestamp>,
}

/// A place in the spool, held by one call from before it is forwarded until it is recorded.
pub(crate) struct Slot {
    spool: Arc<Spool>,
}

struct Spool {
    config: SpoolConfig,
    state: Mutex<State>,
    /// A record was written.
    told: Notify,
    /// The same, for whoever brings it to the disk.
    dirty: Notify,
}

#[derive(Default)]
struct State {
    /// Files of this process that are not wholly in the database, oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    /// Calls under way.
    held: u64,
    /// Bytes of records that wait for the database.
    waiting: u64,
    /// The same, counted; nearly, where a file of a process that is gone is damaged.
    records: u64,
    /// When the oldest call ended that is handed out and not confirmed.
    oldest: Option<Timestamp>,
    /// Records that the disk did not take, against all expectation; tried again before anything else.
    refused: VecDeque<Vec<u8>>,
    reminded: Option<Instant>,
}

impl UsageSink {
    /// Opens the spool. What processes that are gone left in the folder comes out first. Needs a Tokio runtime only once it is used.
    pub fn open(config: SpoolConfig) -> io::Result<(UsageSink, UsageReceiver)> {
        std::fs::create_dir_all(&config.folder)?;
        let spool = Arc::new(Spool { config, state: Mutex::default(), told: Notify::new(), dirty: Notify::new() });
        let receiver = UsageReceiver::new(spool.clone())?;
        Ok((UsageSink { spool }, receiver))
    }

    /// Bytes of records that wait for the database.
    pub fn waiting_bytes(&self) -> u64 {
        self.spool.state().waiting
    }

    /// As of now.
    pub fn status(&self) -> SpoolStatus {
        let state = self.spool.state();
        SpoolStatus { records: state.records, bytes: state.waiting, max_bytes: self.spool.config.max_bytes, oldest: state.oldest }
    }

    /// None when the spool is full, or the disk under it.
    pub(crate) fn reserve(&self) -> Option<Slot> {
        let mut state = self.spool.state();
        match state.hold(&self.spool.config) {
            Ok(()) => Some(Slot { spool: self.spool.clone() }),
            Err(why) => {
                if state.reminded.is_none_or(|at| at.elapsed() >= REMIND) {
                    state.reminded = Some(Instant::now());
                    tracing::error!(
                        spool = %self.spool.config.folder.display(), waiting_bytes = state.waiting, max_bytes = self.spool.config.max_bytes, why,
                        "calls are refused, because they could not be recorded: the database must take what waits in the spool, or the disk needs space"
                    );
                }
                None
            }
        }
    }
}

impl Spool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hold(&mut self, config: &SpoolConfig) -> Result<(), String> {
        self.write_refused().map_err(|e| e.to_string())?;
        let needed = (self.held + 1) * RECORD_BYTES;
        if self.waiting + needed > config.max_bytes {
            return Err("the spool is full".into());
        }
        // Taken from the disk now, so that no record finds it full later.
        match self.segments.back_mut().filter(|s| s.written() < config.segment_bytes) {
            Some(segment) => segment.make_room(needed),
            None => Segment::create(&config.folder, needed).map(|segment| self.segments.push_back(segment)),
        }
        .map_err(|e| e.to_string())?;
        self.held += 1;
        Ok(())
    }

    fn append(&mut self, line: Vec<u8>) {
        self.waiting += line.len() as u64;
        self.records += 1;
        self.refused.push_back(line);
        if let Err(e) = self.write_refused() {
            tracing::error!(error = %e, records = self.refused.len(), "the spool's disk took no record; they are kept in memory and tried again");
        }
    }

    fn write_refused(&mut self) -> io::Result<()> {
        while let Some(line) = self.refused.front() {
            let segment = self.segments.back_mut().ok_or(io::ErrorKind::NotFound)?;
            segment.append(line)?;
            self.refused.pop_front();
        }
        Ok(())
    }
}

impl Slot {
    /// When it returns, the record survives this process.
    pub(crate) fn record(self, call: Call) {
        let line = line::write(&call.cleaned());
        self.spool.state().append(line);
        self.spool.told.notify_one();
        self.spool.dirty.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.spool.state();
        state.held = state.held.saturating_sub(1);
    }
}
