//! Weights on the tenant's own volume, so that a second start of a model server does not fetch them again. A file is there under its digest,
//! from the moment at which it was whole, checked and on the disk. It is read and hashed before each use: what was cut off or changed since is
//! fetched anew. Trouble with the volume is told and stops nobody: then the pod's own disk takes the file.

use crate::{
    failure::TaskError,
    reporter::{Reporter, size},
    transfer::Artefacts,
};
use domain::{base_model::StoredFile, run::LogLevel};
use futures::StreamExt;
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        statvfs::statvfs,
        time::TimeSpec,
    },
};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Who uses a file says so this often,
const USED: Duration = Duration::from_secs(3600);
/// and one of which nobody has said it for so long may go when room is wanted.
const UNUSED: Duration = Duration::from_secs(24 * 3600);
/// What was begun and not written to for so long belongs to a pod that is gone.
const ABANDONED: Duration = Duration::from_secs(3600);
/// So many are hashed at a time: a network's disk gives more to several.
const AT_A_TIME: usize = 4;

/// Makes links to the volume's files in `to`, for those of `files` that it holds or can take. The others are left to whoever fetches the folder.
pub async fn bring(artefacts: &Artefacts, reporter: &Reporter, from: &str, to: &Path, files: &[StoredFile]) -> Result<(), TaskError> {
    match Cache::of_this_pod() {
        Some(cache) if !files.is_empty() => cache.bring(artefacts, reporter, from, to, files).await,
        _ => Ok(()),
    }
}

/// Says that these are used, as long as it is awaited. Never ends.
pub async fn keep(files: &[StoredFile]) {
    loop {
        tokio::time::sleep(USED).await;
        let Some(cache) = Cache::of_this_pod() else { continue };
        let places: Vec<_> = files.iter().map(|file| cache.place(file)).collect();
        // One that is on the pod's own disk is not there.
        let _ = off_the_thread(move || places.iter().try_for_each(|place| gone(used(place)))).await;
    }
}

#[derive(Clone)]
struct Cache {
    folder: PathBuf,
    /// The name of this pod. What begins with it and is not whole was left by a process of before.
    replica: String,
}

impl Cache {
    fn of_this_pod() -> Option<Self> {
        let folder = std::env::var_os("ATELIER_WEIGHTS_CACHE").filter(|folder| !folder.is_empty())?;
        Some(Self { folder: folder.into(), replica: std::env::var("ATELIER_REPLICA").ok()? })
    }

    fn place(&self, file: &StoredFile) -> PathBuf {
        self.folder.join("blake3").join(&file.digest)
    }

    async fn bring(
        &self,
        artefacts: &Artefacts,
        reporter: &Reporter,
        from: &str,
        to: &Path,
        files: &[StoredFile],
    ) -> Result<(), TaskError> {
        let began = Instant::now();
        // A digest that is none would be another path.
        let files: Vec<_> = files.iter().filter(|f| is_digest(&f.digest) && is_inside(&f.path)).collect();
        let wanted = Wanted::default();
        let looks = futures::stream::iter(files.iter().map(|file| {
            let (place, file, wanted) = (self.place(file), StoredFile::clone(file), wanted.0.clone());
            off_the_thread(move || holds(&place, &file, &wanted))
        }));
        let held: Vec<io::Result<bool>> = looks.buffered(AT_A_TIME).collect().await;
        let (mut found, mut stored, mut left, mut trouble) = ((0_u64, 0_u64), (0_u64, 0_u64), 0_u64, None);
        for (file, held) in files.iter().zip(held) {
            let place = self.place(file);
            let done = match held {
                Ok(true) => {
                    found = (found.0 + 1, found.1 + file.bytes);
                    link(&place, &to.join(&file.path))
                }
                Ok(false) if trouble.is_none() => match self.fetch(artefacts, &format!("{from}/{}", file.path), file).await? {
                    Ok(()) => {
                        stored = (stored.0 + 1, stored.1 + file.bytes);
                        link(&place, &to.join(&file.path))
                    }
                    Err(e) => Err(e),
                },
                Ok(false) => {
                    left += file.bytes;
                    continue;
                }
                Err(e) => Err(e),
            };
            if let Err(e) = done {
                left += file.bytes;
                trouble.get_or_insert(e);
            }
        }
        let (of_found, of_stored, took) = (size(found.1), size(stored.1), began.elapsed().as_secs_f64());
        let checked = format!("Weights on the tenant's volume: {} files, {of_found}, checked", found.0);
        reporter.log(LogLevel::Info, format!("{checked}; {} files, {of_stored}, fetched onto it; {took:.1} s.", stored.0));
        if let Some(e) = trouble {
            let what = size(left);
            reporter.log(
                LogLevel::Warning,
                format!("The tenant's volume for weights does not take {what}: {e}. They are fetched onto the pod's own disk."),
            );
        }
        Ok(())
    }

    /// Outer error: of the store, which would say the same again. Inner: of the volume.
    async fn fetch(&self, artefacts: &Artefacts, from: &str, file: &StoredFile) -> Result<io::Result<()>, TaskError> {
        let (cache, bytes) = (self.clone(), file.bytes);
        let part = match off_the_thread(move || cache.begin(bytes)).await {
            Ok(part) => part,
            Err(e) => return Ok(Err(e)),
        };
        let digest = match artefacts.bring(from, &part.path).await {
            Ok((_, digest)) => digest,
            Err(TaskError::Io { source, .. }) => return Ok(Err(source)),
            Err(e) => return Err(e),
        };
        if digest.to_hex().as_str() != file.digest {
            return Err(TaskError::Altered(from.to_owned()));
        }
        let place = self.place(file);
        Ok(off_the_thread(move || part.becomes(&place)).await)
    }

    /// A file of this pod's own, with room for so many bytes. Two pods that fetch the same do not meet before the end, which is one rename.
    fn begin(&self, bytes: u64) -> io::Result<Part> {
        let parts = self.folder.join("parts");
        fs::create_dir_all(&parts)?;
        fs::create_dir_all(self.folder.join("blake3"))?;
        let mine = format!("{}.", self.replica);
        let part = Part { path: parts.join(format!("{mine}{}", another())) };
        // What time it is, the volume says: pods on other nodes may think otherwise.
        let now = File::create_new(&part.path)?.metadata()?.modified()?;
        for (path, written) in all(&parts)? {
            let of_before = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&mine)) && path != part.path;
            if of_before || age(now, written) > ABANDONED {
                gone(fs::remove_file(path))?;
            }
        }
        self.make_room(bytes, now)?;
        Ok(part)
    }

    /// Takes away what nobody has used for longest until there is room.
    fn make_room(&self, bytes: u64, now: SystemTime) -> io::Result<()> {
        if self.free()? >= bytes {
            return Ok(());
        }
        let mut unused = all(&self.folder.join("blake3"))?;
        unused.retain(|(_, used)| age(now, *used) > UNUSED);
        unused.sort_by_key(|(_, used)| *used);
        for (path, _) in unused {
            // Somebody may have begun to use it meanwhile.
            if fs::metadata(&path).and_then(|m| m.modified()).is_ok_and(|used| age(now, used) > UNUSED) {
                gone(fs::remove_file(path))?;
                if self.free()? >= bytes {
                    return Ok(());
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, "it is full, and what is on it was used within a day"))
    }

    fn free(&self) -> io::Result<u64> {
        let of = statvfs(&self.folder)?;
        Ok(of.blocks_available().saturating_mul(of.fragment_size()))
    }
}

/// A file that is not whole yet; dropped, it goes.
struct Part {
    path: PathBuf,
}

impl Part {
    /// Whole and on the disk, before it has the name under which others find it.
    fn becomes(self, place: &Path) -> io::Result<()> {
        let file = File::open(&self.path)?;
        file.set_permissions(fs::Permissions::from_mode(0o444))?;
        file.sync_all()?;
        fs::rename(&self.path, place)?;
        place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Dropped, it ends the hashing that was begun for it.
#[derive(Default)]
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether the file is there, whole and as it was stored. It counts as used from now on. `dropped`: nobody waits for the answer any more.
fn holds(place: &Path, wanted: &StoredFile, dropped: &AtomicBool) -> io::Result<bool> {
    let mut file = match File::open(place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let found = file.metadata()?;
    if found.len() != wanted.bytes {
        return Ok(false);
    }
    used(place)?;
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 1024 * 1024]);
    while !dropped.load(Ordering::Relaxed) {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        };
    }
    // Somebody may have made room with it meanwhile.
    let is_there = fs::metadata(place).is_ok_and(|now| now.ino() == found.ino());
    Ok(is_there && hasher.finalize().to_hex().as_str() == wanted.digest)
}

/// By the volume's clock.
fn used(place: &Path) -> io::Result<()> {
    let now = TimeSpec::UTIME_NOW;
    Ok(utimensat(AT_FDCWD, place, &now, &now, UtimensatFlags::FollowSymlink)?)
}

fn link(place: &Path, at: &Path) -> io::Result<()> {
    at.parent().map_or(Ok(()), fs::create_dir_all)?;
    symlink(place, at)
}

/// The files of a folder with the times at which they were last written or used.
fn all(folder: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // One that goes at this moment is none any more.
        if let Ok(at) = entry.metadata().and_then(|m| m.modified()) {
            out.push((entry.path(), at));
        }
    }
    Ok(out)
}

fn age(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

/// Gone already: fine.
fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A name that no other process of this pod has had.
fn another() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", since.as_nanos(), MADE.fetch_add(1, Ordering::Relaxed))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// A network's disk may keep one waiting, and this thread also says whether the server is ready.
async fn off_the_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
