//! What really lies below a folder of the store: whole objects and, on a disk, what writers that were killed left of others (`name#1`),
//! which the store itself never shows.

use super::{BlobError, Blobs};
use domain::{problem::Outage, time::Timestamp};
use futures::TryStreamExt;
use object_store::ObjectStore;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file below the store, or an object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// As in [`super::Listed`]; with `#` and a number at its end when it is unfinished.
    pub path: String,
    /// Bytes that it has.
    pub bytes: u64,
    pub modified: Timestamp,
    /// Two paths with the same number are one file that is on the disk once. `None` in a bucket, where each object is its own.
    pub inode: Option<(u64, u64)>,
    /// A part of an object whose writer has not come to its end.
    pub is_unfinished: bool,
}

fn is_unfinished(path: &str) -> bool {
    path.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

impl Blobs {
    /// All files below a folder, sorted by path; empty when there is no such folder.
    pub async fn on_disk(&self, folder: &str) -> Result<Vec<OnDisk>, BlobError> {
        let Some(root) = self.storage.root().map(Path::to_owned) else { return self.in_bucket(folder).await };
        let folder = file_path(&root, folder)?;
        blocking(move || {
            let mut found = Vec::new();
            walk(&root, &folder, &mut found)?;
            found.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(found)
        })
        .await
    }

    /// Names of the folders right below a folder; empty when there is no such folder.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, BlobError> {
        let Some(root) = self.storage.root() else {
            let (store, at) = self.of(folder)?;
            let below = store.list_with_delimiter(Some(&at)).await?.common_prefixes;
            return Ok(below.iter().filter_map(|path| path.filename().map(str::to_owned)).collect());
        };
        let folder = file_path(root, folder)?;
        blocking(move || {
            let entries = match std::fs::read_dir(folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
            Ok(folders.filter_map(|e| e.file_name().into_string().ok()).collect())
        })
        .await
    }

    /// Removes one file of [`Blobs::on_disk`], finished or not, and its folder when that is empty now; fine when it is gone.
    pub async fn remove_from_disk(&self, path: &str) -> Result<(), BlobError> {
        let Some(root) = self.storage.root() else { return self.delete(path).await };
        let file = file_path(root, path)?;
        blocking(move || {
            gone_is_fine(std::fs::remove_file(&file))?;
            // Not empty is the usual case; a writer that needs it makes it again.
            file.parent().map(std::fs::remove_dir);
            Ok(())
        })
        .await
    }

    /// Removes a folder with everything in it, unfinished objects too; fine when it is gone.
    pub async fn erase(&self, folder: &str) -> Result<(), BlobError> {
        let Some(root) = self.storage.root() else { return self.delete_folder(folder).await };
        let folder = file_path(root, folder)?;
        blocking(move || gone_is_fine(std::fs::remove_dir_all(folder))).await
    }

    async fn in_bucket(&self, folder: &str) -> Result<Vec<OnDisk>, BlobError> {
        let (store, at) = self.of(folder)?;
        let of = |m: object_store::ObjectMeta| OnDisk {
            path: m.location.to_string(),
            bytes: m.size,
            modified: Timestamp(m.last_modified.timestamp_millis()),
            inode: None,
            is_unfinished: false,
        };
        let mut found: Vec<OnDisk> = match store.list(Some(&at)).map_ok(of).try_collect().await {
            // Of a tenant that has none yet.
            Err(e) if storage::outage(&e) == Outage::StoreBucketMissing => Vec::new(),
            found => found?,
        };
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

/// A path below the root: plain names only, so that nothing leads out of the store.
fn file_path(root: &Path, path: &str) -> Result<PathBuf, BlobError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    if !path.split('/').all(plain) {
        return Err(BlobError::BadPath { path: path.to_owned() });
    }
    Ok(root.join(path))
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<OnDisk>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        // Removed while we look.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let meta = match entry.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        let path = entry.path();
        if meta.is_dir() {
            walk(root, &path, found)?;
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            let modified = Timestamp(meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000);
            found.push(OnDisk {
                path: name.to_owned(),
                bytes: meta.len(),
                modified,
                inode: Some((meta.dev(), meta.ino())),
                is_unfinished: is_unfinished(name),
            });
        }
    }
    Ok(())
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|source| BlobError::from(object_store::Error::Generic { store: "local folder", source: Box::new(source) }))
}
