//! The artefact store as a task uses it: folders in, files with digests out.

use crate::failure::TaskError;
use bytes::Bytes;
use domain::{
    artefacts::{ArtefactStore, STORE_SECRET, StoreKey},
    base_model::StoredFile,
};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    path::{Component, Path, PathBuf},
};
use storage::{Patience, Storage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct Artefacts {
    storage: Storage,
}

/// What came with a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub files: u64,
    pub bytes: u64,
}

/// The key that the engine has put beside this task; `None` where it was given none.
pub fn key() -> Result<Option<StoreKey>, TaskError> {
    let Some(folder) = std::env::var_os("ATELIER_SECRETS") else { return Ok(None) };
    let file = Path::new(&folder).join(STORE_SECRET);
    let text = match std::fs::read(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(TaskError::io("reading the key of the artefact store"))?,
    };
    // Not the parser's own words: they quote what they read.
    serde_json::from_slice(&text).map(Some).map_err(|_| TaskError::BadStoreKey)
}

impl Artefacts {
    pub fn open(location: &ArtefactStore) -> Result<Self, TaskError> {
        let location = match location {
            ArtefactStore::Local { root } => {
                let root = std::path::absolute(root).map_err(TaskError::io(format!("opening the store {root}")))?;
                ArtefactStore::Local { root: root.to_string_lossy().into_owned() }
            }
            s3 => s3.clone(),
        };
        let key = key()?;
        Ok(Self { storage: Storage::open(&location, key.as_ref(), Patience::TASK)? })
    }

    /// One object into a file. Returns its bytes.
    pub async fn fetch(&self, from: &str, to: &Path) -> Result<u64, TaskError> {
        Ok(self.bring(from, to).await?.0)
    }

    /// The same, with its digest.
    pub async fn bring(&self, from: &str, to: &Path) -> Result<(u64, blake3::Hash), TaskError> {
        let doing = || format!("fetching {from}");
        let at = ObjectPath::from(from);
        let store = self.storage.of(at.as_ref()).map_err(TaskError::store(doing()))?;
        let got = match store.get(&at).await {
            Err(e) if storage::is_missing(&e) => return Err(TaskError::Missing(from.to_owned())),
            other => other.map_err(TaskError::store(doing()))?,
        };
        let mut file = tokio::fs::File::create(to).await.map_err(TaskError::io(doing()))?;
        let (mut stream, mut hasher, mut bytes) = (got.into_stream(), blake3::Hasher::new(), 0);
        while let Some(part) = stream.try_next().await.map_err(TaskError::store(doing()))? {
            bytes += part.len() as u64;
            hasher.update(&part);
            file.write_all(&part).await.map_err(TaskError::io(doing()))?;
        }
        file.flush().await.map_err(TaskError::io(doing()))?;
        Ok((bytes, hasher.finalize()))
    }

    /// One object into a file, which must have the digest that it was stored with. Folders on the way are made.
    pub async fn fetch_checked(&self, from: &str, to: &Path, digest: &str) -> Result<(), TaskError> {
        if let Some(parent) = to.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(TaskError::io(format!("fetching {from}")))?;
        }
        let (_, found) = self.bring(from, to).await?;
        if found.to_hex().as_str() == digest { Ok(()) } else { Err(TaskError::Altered(from.to_owned())) }
    }

    /// A small object.
    pub async fn get(&self, from: &str) -> Result<Vec<u8>, TaskError> {
        let (at, doing) = (ObjectPath::from(from), || format!("fetching {from}"));
        let store = self.storage.of(at.as_ref()).map_err(TaskError::store(doing()))?;
        match store.get(&at).await {
            Err(e) if storage::is_missing(&e) => Err(TaskError::Missing(from.to_owned())),
            got => Ok(got.map_err(TaskError::store(doing()))?.bytes().await.map_err(TaskError::store(doing()))?.to_vec()),
        }
    }

    /// The paths of all objects below a folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, TaskError> {
        let (at, doing) = (ObjectPath::from(folder), || format!("listing {folder}"));
        let store = self.storage.of(at.as_ref()).map_err(TaskError::store(doing()))?;
        store.list(Some(&at)).map_ok(|object| object.location.to_string()).try_collect().await.map_err(TaskError::store(doing()))
    }

    /// Removes an object; one that is not there: fine.
    pub async fn delete(&self, path: &str) -> Result<(), TaskError> {
        let (at, doing) = (ObjectPath::from(path), || format!("removing {path}"));
        let store = self.storage.of(at.as_ref()).map_err(TaskError::store(doing()))?;
        match store.delete(&at).await {
            Err(e) if !storage::is_missing(&e) => Err(TaskError::store(doing())(e)),
            _ => Ok(()),
        }
    }

    /// A folder of the store as a folder here. `what` names it in the error when there is nothing. `files`: what must be in it and with
    /// which digests, as far as that is known; a link to a file of this machine is not read for it. What is a link there already leads to the
    /// tenant's volume ([`crate::cache`]), and stays.
    pub async fn fetch_folder(&self, prefix: &str, to: &Path, what: &str, files: &[StoredFile]) -> Result<Fetched, TaskError> {
        let doing = || format!("fetching {prefix}");
        let base = ObjectPath::from(prefix);
        let store = self.storage.of(base.as_ref()).map_err(TaskError::store(doing()))?;
        let objects: Vec<_> = store.list(Some(&base)).try_collect().await.map_err(TaskError::store(doing()))?;
        let mut awaited: BTreeMap<&str, &str> = files.iter().map(|f| (f.path.as_str(), f.digest.as_str())).collect();
        let mut fetched = Fetched::default();
        for object in objects {
            let location = object.location.as_ref();
            let Some(name) = location.strip_prefix(base.as_ref()).map(|r| r.trim_start_matches('/')) else { continue };
            let relative = PathBuf::from(name);
            if relative.as_os_str().is_empty() || relative.components().any(|c| !matches!(c, Component::Normal(_))) {
                continue;
            }
            let target = to.join(&relative);
            if let Some(parent) = target.parent() {
                tokio::fs::create_dir_all(parent).await.map_err(TaskError::io(doing()))?;
            }
            let awaited = awaited.remove(name);
            let is_linked = tokio::fs::symlink_metadata(&target).await.is_ok_and(|found| found.is_symlink());
            match self.storage.root().filter(|_| relative.extension().is_some_and(|e| e == "safetensors")) {
                // Weights are gigabytes, never change in the store, and are only read: a link instead of a copy.
                // A symbolic one, because the store may lie on another disk, and because deleting the task's folder then
                // cannot reach the weights.
                _ if is_linked => {}
                Some(root) => {
                    tokio::fs::symlink(root.join(location), &target).await.map_err(TaskError::io(doing()))?;
                }
                None => {
                    let (_, digest) = self.bring(location, &target).await?;
                    if awaited.is_some_and(|awaited| digest.to_hex().as_str() != awaited) {
                        return Err(TaskError::Altered(location.to_owned()));
                    }
                }
            }
            fetched.files += 1;
            fetched.bytes += object.size;
        }
        match awaited.keys().next() {
            _ if fetched.files == 0 => Err(TaskError::Missing(what.to_owned())),
            Some(name) => Err(TaskError::Missing(format!("{prefix}/{name}"))),
            None => Ok(fetched),
        }
    }

    /// A file into the store, part by part, hashed on the way, and read back: when this returns, what lies on the disk has the
    /// digest that is returned. The object is there complete or not at all.
    pub async fn put_file(&self, from: &Path, to: &str) -> Result<StoredFile, TaskError> {
        let (bytes, digest) = self.send(from, to).await?;
        // A bucket is not read back: S3 has compared each part's SHA-256 with the signed one before it took it, and the portal reads and
        // hashes what it publishes.
        if let Some(root) = self.storage.root() {
            self.confirm(root, to, digest).await?;
        }
        let path = to.rsplit('/').next().unwrap_or(to).to_owned();
        Ok(StoredFile { path, bytes, digest: digest.to_hex().to_string() })
    }

    async fn send(&self, from: &Path, to: &str) -> Result<(u64, blake3::Hash), TaskError> {
        let doing = || format!("storing {to}");
        let mut file = tokio::fs::File::open(from).await.map_err(TaskError::io(doing()))?;
        let mut writer = self.storage.writer(&ObjectPath::from(to)).await.map_err(TaskError::store(doing()))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1024 * 1024];
        loop {
            let read = match file.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) => {
                    writer.abort().await;
                    return Err(TaskError::io(doing())(e));
                }
            };
            hasher.update(&buffer[..read]);
            writer.write(&buffer[..read]).await.map_err(TaskError::store(doing()))?;
        }
        let bytes = writer.finish().await.map_err(TaskError::store(doing()))?;
        Ok((bytes, hasher.finalize()))
    }

    /// Whether an object has this digest as it was stored, not as it still lies in memory.
    async fn confirm(&self, root: &Path, path: &str, digest: blake3::Hash) -> Result<(), TaskError> {
        let doing = || format!("reading {path} back");
        let file = root.join(path);
        let forgotten = tokio::task::spawn_blocking(move || forget_cached(&file)).await.map_err(std::io::Error::other);
        forgotten.and_then(|done| done).map_err(TaskError::io(doing()))?;
        let store = self.storage.of(path).map_err(TaskError::store(doing()))?;
        let got = store.get(&ObjectPath::from(path)).await.map_err(TaskError::store(doing()))?;
        let (mut stream, mut hasher) = (got.into_stream(), blake3::Hasher::new());
        while let Some(part) = stream.try_next().await.map_err(TaskError::store(doing()))? {
            hasher.update(&part);
        }
        if hasher.finalize() == digest { Ok(()) } else { Err(TaskError::Altered(path.to_owned())) }
    }

    pub async fn put(&self, to: &str, contents: Vec<u8>) -> Result<(), TaskError> {
        let (at, doing) = (ObjectPath::from(to), || format!("storing {to}"));
        let store = self.storage.of(at.as_ref()).map_err(TaskError::store(doing()))?;
        store.put(&at, Bytes::from(contents).into()).await.map_err(TaskError::store(doing()))?;
        Ok(())
    }
}

/// Drops the file's pages from the kernel's cache, so that the next read comes from the disk. Only pages that were written out
/// are dropped, which they are: the file was synced.
fn forget_cached(file: &Path) -> std::io::Result<()> {
    let file = std::fs::File::open(file)?;
    nix::fcntl::posix_fadvise(file.as_fd(), 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefacts(root: &Path) -> Artefacts {
        Artefacts::open(&ArtefactStore::Local { root: root.to_string_lossy().into_owned() }).unwrap()
    }

    #[tokio::test]
    async fn weights_are_linked_and_small_files_are_copied() {
        let (root, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = artefacts(root.path());
        for (name, text) in
            [("base-models/b/model.safetensors", "weights"), ("base-models/b/config.json", "{}"), ("base-models/b2/other.json", "{}")]
        {
            store.put(name, text.into()).await.unwrap();
        }
        let to = here.path().join("base");
        assert_eq!(store.fetch_folder("base-models/b", &to, "The base model", &[]).await.unwrap(), Fetched { files: 2, bytes: 9 });
        assert!(std::fs::symlink_metadata(to.join("model.safetensors")).unwrap().is_symlink());
        assert!(std::fs::symlink_metadata(to.join("config.json")).unwrap().is_file());
        assert_eq!(std::fs::read_to_string(to.join("model.safetensors")).unwrap(), "weights");
        std::fs::remove_dir_all(here.path()).unwrap();
        assert!(root.path().join("base-models/b/model.safetensors").exists(), "deleting the task's folder reached the store");
    }

    /// Fetches a folder of which one file is known by its digest.
    async fn fetched(store: &Artefacts, to: &Path, digest: blake3::Hash) -> Result<Fetched, TaskError> {
        let files = [StoredFile { path: "config.json".into(), bytes: 2, digest: digest.to_hex().to_string() }];
        store.fetch_folder("base-models/b", to, "The base model", &files).await
    }

    #[tokio::test]
    async fn what_is_fetched_must_have_the_digest_that_it_was_stored_with() {
        let root = tempfile::tempdir().unwrap();
        let store = artefacts(root.path());
        store.put("base-models/b/config.json", "{}".into()).await.unwrap();
        let to = root.path().join("to");
        assert_eq!(fetched(&store, &to, blake3::hash(b"{}")).await.unwrap(), Fetched { files: 1, bytes: 2 });
        let error = fetched(&store, &to, blake3::hash(b"[]")).await.unwrap_err();
        assert!(error.to_string().contains("base-models/b/config.json"), "{error}");
        store.put("base-models/b/other.json", "{}".into()).await.unwrap();
        std::fs::remove_file(root.path().join("base-models/b/config.json")).unwrap();
        let error = fetched(&store, &to, blake3::hash(b"{}")).await.unwrap_err();
        assert_eq!(error.to_string(), "base-models/b/config.json is not in the store");
    }

    #[tokio::test]
    async fn what_is_not_there_is_missing_and_named() {
        let root = tempfile::tempdir().unwrap();
        let store = artefacts(root.path());
        let error = store.fetch_folder("base-models/none", &root.path().join("x"), "The base model", &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "The base model is not in the store");
        assert!(matches!(store.fetch("t/a/none", &root.path().join("y")).await, Err(TaskError::Missing(_))));
    }

    #[tokio::test]
    async fn a_stored_file_has_the_size_and_digest_of_its_bytes() {
        let (root, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes: Vec<u8> = (0..17_000_000).map(|i| (i % 251) as u8).collect();
        let from = here.path().join("big");
        std::fs::write(&from, &bytes).unwrap();
        let stored = artefacts(root.path()).put_file(&from, "t/a/runs/r/big.bin").await.unwrap();
        assert_eq!(
            stored,
            StoredFile { path: "big.bin".into(), bytes: bytes.len() as u64, digest: blake3::hash(&bytes).to_hex().to_string() }
        );
        assert!(std::fs::read(root.path().join("t/a/runs/r/big.bin")).unwrap() == bytes);
    }

    /// Runs this one test again under a library that writes down every `fsync` and `rename`, and looks at their order.
    #[test]
    fn what_is_stored_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_is_told() {
        if std::env::var_os("RECORDED_SYNCS").is_some() {
            let root = std::env::var("STORE_ROOT").unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            return runtime.block_on(async {
                let store = artefacts(Path::new(&root));
                let from = Path::new(&root).join("from");
                std::fs::write(&from, "weights").unwrap();
                store.put_file(&from, "t/a/runs/r/model.safetensors").await.unwrap();
                store.put("t/a/runs/r/verdict.json", "{}".into()).await.unwrap();
            });
        }
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let name = "transfer::tests::what_is_stored_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_is_told";
        let said = testing::syncs::of_test(name, &[("STORE_ROOT", root.display().to_string())]);
        let folder = root.join("t/a/runs/r").display().to_string();
        for file in ["model.safetensors", "verdict.json"] {
            let at = |what: &str| said.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("no {what}: {said:#?}"));
            let written = at(&format!("fsync {folder}/{file}#"));
            let named = at(&format!("rename {folder}/{file}#"));
            let kept = said[named..].iter().position(|line| *line == format!("fsync {folder}")).map(|n| named + n);
            assert!(written < named && kept.is_some(), "{file}: {said:#?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_lies_otherwise_on_the_disk_is_not_reported_as_stored() {
        let root = tempfile::tempdir().unwrap();
        let store = artefacts(root.path());
        let from = root.path().join("from");
        std::fs::write(&from, "weights").unwrap();
        let (_, digest) = store.send(&from, "t/a/runs/r/w.bin").await.unwrap();
        store.confirm(root.path(), "t/a/runs/r/w.bin", digest).await.unwrap();
        std::fs::write(root.path().join("t/a/runs/r/w.bin"), "weighty").unwrap();
        let error = store.confirm(root.path(), "t/a/runs/r/w.bin", digest).await.unwrap_err();
        assert!(error.to_string().contains("is not what was written"), "{error}");
    }
}
