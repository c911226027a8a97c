//! The other end of the spool: batches for whoever writes the calls into the database.

use super::{
    Spool, line,
    segment::{self, Left, Progress},
};
use domain::usage::Call;
use std::{
    collections::VecDeque,
    fs::File,
    future::Future,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often one looks for what other processes of this machine have left: they may have been killed since the start.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How much is read at once; longer than a record.
const READ: u64 = 256 * 1024;

/// Hands out what is in the spool, oldest file first. What was handed out comes again until it is confirmed.
pub struct UsageReceiver {
    spool: Arc<Spool>,
    left: VecDeque<Left>,
    looked: Instant,
    /// Handed out, not confirmed.
    out: Option<Batch>,
}

struct Batch {
    calls: Vec<Call>,
    /// Bytes of the file that it was read from.
    bytes: u64,
    /// Line ends among them.
    lines: u64,
    damaged: bool,
    of: Of,
}

/// Whose file: one that was left by a process that is gone (these come first), or our own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Left,
    Own,
}

/// The file that is read out now.
struct First {
    file: Arc<File>,
    path: PathBuf,
    read: Progress,
    /// Where its records end.
    end: u64,
    /// Nothing more is written to it.
    closed: bool,
    of: Of,
}

impl UsageReceiver {
    pub(super) fn new(spool: Arc<Spool>) -> io::Result<Self> {
        let mut me = Self { spool, left: VecDeque::new(), looked: Instant::now(), out: None };
        me.look()?;
        Ok(me)
    }

    /// Waits for a first call, then up to `wait` for more, and hands out at most `max` (at least 1). The same batch comes again until
    /// [`UsageReceiver::confirm`]. Cancelling it loses nothing.
    pub async fn next_batch(&mut self, max: usize, wait: Duration) -> Vec<Call> {
        while self.out.is_none() {
            if !self.has_more() {
                let spool = self.spool.clone();
                tokio::select! {
                    () = spool.told.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY.saturating_sub(self.looked.elapsed())) => {}
                }
                self.look_now_and_then();
                continue;
            }
            if self.spool.state().waiting < READ {
                tokio::time::sleep(wait).await;
            }
            self.read(max.max(1));
        }
        self.out.as_ref().map(|batch| batch.calls.clone()).unwrap_or_default()
    }

    /// The batch that was handed out last is where it belongs. Its place in the spool is free again.
    pub fn confirm(&mut self) {
        let Some(batch) = self.out.take() else { return };
        let mut state = self.spool.state();
        state.waiting = state.waiting.saturating_sub(batch.bytes);
        state.records = if state.waiting == 0 { 0 } else { state.records.saturating_sub(batch.lines) };
        state.oldest = None;
        let read = match batch.of {
            Of::Left => self.left.front_mut().map(|left| &mut left.read),
            Of::Own => state.segments.front_mut().map(|own| &mut own.read),
        };
        if let Some(read) = read {
            read.confirmed += batch.bytes;
            read.damaged |= batch.damaged;
        }
        drop(state);
        self.tidy();
        self.look_now_and_then();
    }

    /// Whether there is something to hand out now.
    pub fn has_more(&mut self) -> bool {
        if self.out.is_some() {
            return true;
        }
        self.tidy();
        self.first().is_some_and(|first| first.end > first.read.confirmed)
    }

    /// Brings records to the disk itself, soon after they were written, until it is dropped. Idle while nothing is written.
    pub fn sync(&self) -> impl Future<Output = ()> + Send + use<> {
        let spool = self.spool.clone();
        async move {
            loop {
                spool.dirty.notified().await;
                tokio::time::sleep(spool.config.sync_every).await;
                let spool = spool.clone();
                if let Err(e) = tokio::task::spawn_blocking(move || sync(&spool)).await {
                    tracing::error!(error = %e, "the spool could not be brought to the disk");
                }
            }
        }
    }

    fn read(&mut self, max: usize) {
        let Some(first) = self.first() else { return };
        let at = first.read.confirmed;
        let length = (first.end - at).min(READ);
        let mut batch = Batch { calls: Vec::new(), bytes: 0, lines: 0, damaged: false, of: first.of };
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        if let Err(e) = first.file.read_exact_at(&mut bytes, at) {
            // A sector that cannot be read, say. The rest of the file is given up, the others go on.
            tracing::error!(file = %first.path.display(), error = %e, "a file of the spool cannot be read");
            bytes.clear();
            (batch.bytes, batch.damaged) = (first.end - at, true);
        }
        for whole in bytes.split_inclusive(|b| *b == b'\n') {
            if batch.calls.len() == max {
                break;
            }
            if let Some(text) = whole.strip_suffix(b"\n") {
                match line::read(text) {
                    Some(call) => batch.calls.push(call),
                    None => batch.damaged = true,
                }
            } else if at + length == first.end {
                tracing::warn!(file = %first.path.display(), bytes = whole.len(), "the last record of a file of the spool was torn");
            } else if batch.bytes == 0 {
                // Longer than any record of ours.
                batch.damaged = true;
            } else {
                // The rest of it comes with the next read.
                break;
            }
            batch.bytes += whole.len() as u64;
            batch.lines += u64::from(whole.ends_with(b"\n"));
        }
        let nothing = batch.calls.is_empty();
        self.spool.state().oldest = batch.calls.iter().map(|call| call.at.plus(call.duration_ms.into())).min();
        self.out = Some(batch);
        if nothing {
            self.confirm();
        }
    }

    /// The file that is next, with what is in it by now.
    fn first(&self) -> Option<First> {
        if let Some(left) = self.left.front() {
            let (file, path) = (left.file.clone(), left.path.clone());
            return Some(First { file, path, read: left.read, end: left.length, closed: true, of: Of::Left });
        }
        let state = self.spool.state();
        let own = state.segments.front()?;
        let closed = state.segments.len() > 1;
        Some(First { file: own.file(), path: own.path().to_owned(), read: own.read, end: own.written(), closed, of: Of::Own })
    }

    /// Removes files that are wholly confirmed.
    fn tidy(&mut self) {
        while self.out.is_none()
            && let Some(first) = self.first().filter(|f| f.closed && f.end <= f.read.confirmed)
        {
            if first.read.damaged {
                segment::keep_damaged(&first.path);
            } else {
                segment::remove(&first.path);
            }
            // Its lock goes with it.
            match first.of {
                Of::Left => drop(self.left.pop_front()),
                Of::Own => drop(self.spool.state().segments.pop_front()),
            }
        }
    }

    fn look_now_and_then(&mut self) {
        if self.looked.elapsed() >= LOOK_EVERY
            && let Err(e) = self.look()
        {
            tracing::error!(spool = %self.spool.config.folder.display(), error = %e, "the spool's folder cannot be read");
        }
    }

    /// Takes what was left by processes that are gone.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        // What we hold already is locked by ourselves, and so not found again. What is out must stay the first.
        if self.out.is_some() {
            return Ok(());
        }
        let found = segment::left(&self.spool.config.folder)?;
        if !found.is_empty() {
            let bytes: u64 = found.iter().map(|left| left.length).sum();
            let records: u64 = found.iter().map(|left| left.records).sum();
            tracing::info!(files = found.len(), bytes, "calls that a process before could not hand on are recorded now");
            let mut state = self.spool.state();
            state.waiting += bytes;
            state.records += records;
            drop(state);
            self.left.extend(found);
        }
        Ok(())
    }
}

fn sync(spool: &Spool) {
    let dirty: Vec<_> = spool
        .state()
        .segments
        .iter()
        .filter(|s| s.synced < s.written())
        .map(|s| (s.path().to_owned(), s.file(), s.written(), s.synced == 0))
        .collect();
    for (path, file, written, new) in dirty {
        let synced = file.sync_data().and_then(|()| if new { File::open(&spool.config.folder)?.sync_all() } else { Ok(()) });
        match synced {
            Ok(()) => {
                if let Some(s) = spool.state().segments.iter_mut().find(|s| s.path() == path) {
                    s.synced = written;
                }
            }
            Err(e) => tracing::error!(file = %path.display(), error = %e, "the spool could not be brought to the disk"),
        }
    }
}
