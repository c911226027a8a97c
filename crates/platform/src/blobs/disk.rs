//! What really lies on the disk below a folder of the store: whole objects, and what writers that were killed left of others
//! (`name#1`), which the store itself never shows.

use super::{BlobError, Blobs};
use domain::time::Timestamp;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file below the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// As in [`super::Listed`]; with `#` and a number at its end when the object was never finished.
    pub path: String,
    /// Bytes that it has.
    pub bytes: u64,
    pub modified: Timestamp,
    /// Two paths with the same number are one file that is on the disk once.
    pub inode: (u64, u64),
}

impl OnDisk {
    /// A part of an object whose writer has not come to its end.
    pub fn is_unfinished(&self) -> bool {
        self.path.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl Blobs {
    /// All files below a folder, sorted by path; empty when there is no such folder.
    pub async fn on_disk(&self, folder: &str) -> Result<Vec<OnDisk>, BlobError> {
        let (root, folder) = (self.root.clone(), self.file_path(folder)?);
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
        let folder = self.file_path(folder)?;
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
        let file = self.file_path(path)?;
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
        let folder = self.file_path(folder)?;
        blocking(move || gone_is_fine(std::fs::remove_dir_all(folder))).await
    }

    /// A path below the root: plain names only, so that nothing leads out of the store.
    fn file_path(&self, path: &str) -> Result<PathBuf, BlobError> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
        if !path.split('/').all(plain) {
            return Err(BlobError::BadPath { path: path.to_owned() });
        }
        Ok(self.root.join(path))
    }
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
            found.push(OnDisk { path: name.to_owned(), bytes: meta.len(), modified, inode: (meta.dev(), meta.ino()) });
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
