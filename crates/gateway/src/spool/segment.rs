//! One file of the spool. It is locked for as long as its process lives and has not put all of it into the database.

use nix::fcntl::{FallocateFlags, fallocate};
use std::{
    fs::{File, OpenOptions, TryLockError},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Names of files that hold records.
const RECORDS: &str = "calls";
/// Made, but not locked yet: nobody may take it for one that was left.
const BEGUN: &str = "begun";
/// Not all of it could be read: kept for a person.
const DAMAGED: &str = "damaged";
/// How much is taken from the disk at once.
const STEP: u64 = 256 * 1024;

pub(super) struct Segment {
    path: PathBuf,
    file: Arc<File>,
    written: u64,
    /// Bytes that the disk has promised.
    allocated: u64,
    /// Bytes that are on the disk itself.
    pub(super) synced: u64,
    pub(super) read: Progress,
}

/// How far a file has been read out.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    /// Bytes of records that are where they belong.
    pub(super) confirmed: u64,
    /// There were lines that could not be read.
    pub(super) damaged: bool,
}

impl Segment {
    pub(super) fn create(folder: &Path, room: u64) -> io::Result<Self> {
        loop {
            let name = format!("{:016x}", RandomState::new().hash_one(0_u8));
            let begun = folder.join(&name).with_extension(BEGUN);
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&begun)?;
            let path = folder.join(&name).with_extension(RECORDS);
            let mut segment = Self { path, file: Arc::new(file), written: 0, allocated: 0, synced: 0, read: Progress::default() };
            // Another process may be tidying up what was begun and left; then this one begins again.
            match segment.file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(e)) => return Err(e),
            }
            if let Err(e) = segment.make_room(room) {
                drop(std::fs::remove_file(&begun));
                return Err(e);
            }
            match std::fs::rename(&begun, &segment.path) {
                Ok(()) => return Ok(segment),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }

    pub(super) fn make_room(&mut self, room: u64) -> io::Result<()> {
        let (from, to) = (self.allocated, self.written + room);
        if to <= from {
            return Ok(());
        }
        let more = (to - from).next_multiple_of(STEP);
        let (offset, length) = (i64::try_from(from).map_err(io::Error::other)?, i64::try_from(more).map_err(io::Error::other)?);
        match fallocate(&*self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, length) {
            // A file system that promises nothing: then a full disk shows when a record is written.
            Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOSYS) => {}
            Err(e) => return Err(e.into()),
        }
        self.allocated = from + more;
        Ok(())
    }

    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all_at(line, self.written)?;
        self.written += line.len() as u64;
        Ok(())
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that a process left which is gone. Held locked, so that nobody else reads it out.
pub(super) struct Left {
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) length: u64,
    /// Line ends.
    pub(super) records: u64,
    pub(super) read: Progress,
}

/// Takes what processes that are gone have left in the folder, and removes what was begun without a record.
pub(super) fn left(folder: &Path) -> io::Result<Vec<Left>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(kind) = path.extension().and_then(|e| e.to_str()).filter(|e| [RECORDS, BEGUN].contains(e)) else { continue };
        // Gone meanwhile: somebody else has read it out.
        let Ok(file) = File::open(&path) else { continue };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(e)) => return Err(e),
        }
        if kind == BEGUN {
            remove(&path);
            continue;
        }
        let length = file.metadata()?.len();
        let records = line_ends(&file, length);
        found.push(Left { path, file: Arc::new(file), length, records, read: Progress::default() });
    }
    Ok(found)
}

/// As far as the file can be read; whoever reads it out tells what is wrong with it.
fn line_ends(file: &File, length: u64) -> u64 {
    let (mut at, mut count, mut piece) = (0, 0, vec![0; 64 * 1024]);
    while at < length {
        match file.read_at(&mut piece, at) {
            Ok(read @ 1..) => {
                count += piece[..read].iter().filter(|b| **b == b'\n').count() as u64;
                at += read as u64;
            }
            _ => break,
        }
    }
    count
}

pub(super) fn remove(path: &Path) {
    if let Err(e) = std::fs::remove_file(path)
        && e.kind() != io::ErrorKind::NotFound
    {
        // It comes again at the next start, and counts once.
        tracing::warn!(file = %path.display(), error = %e, "a file of the spool could not be removed");
    }
}

/// Lines of it could not be read: out of the way, but kept.
pub(super) fn keep_damaged(path: &Path) {
    let kept = path.with_extension(DAMAGED);
    match std::fs::rename(path, &kept) {
        Ok(()) => tracing::error!(file = %kept.display(), "records in this file of the spool are damaged; the others in it were used"),
        Err(e) => {
            tracing::error!(file = %path.display(), error = %e, "records in this file of the spool are damaged, and it could not be set aside")
        }
    }
}
