//! The artefact store as a task uses it: folders in, files with digests out.

use crate::failure::TaskError;
use bytes::Bytes;
use domain::{artefacts::ArtefactStore, base_model::StoredFile};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path as ObjectPath};
use std::{
    os::fd::AsFd,
    path::{Component, Path, PathBuf},
    sync::Arc,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PART: usize = 8 * 1024 * 1024;

pub struct Artefacts {
    objects: Arc<dyn ObjectStore>,
    /// Where the objects are files of this machine.
    root: Option<PathBuf>,
}

/// What came with a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub files: u64,
    pub bytes: u64,
}

impl Artefacts {
    pub fn open(location: &ArtefactStore) -> Result<Self, TaskError> {
        match location {
            ArtefactStore::Local { root } => {
                let doing = format!("opening the store {root}");
                let root = std::path::absolute(root).map_err(TaskError::io(doing.clone()))?;
                // With `fsync`, of each file and of the folder that names it: the verdict says that the weights are there, and it
                // must still be true after a power cut.
                let objects = LocalFileSystem::new_with_prefix(&root).map_err(TaskError::store(doing))?.with_fsync(true);
                Ok(Self { objects: Arc::new(objects), root: Some(root) })
            }
        }
    }

    /// One object into a file. Returns its bytes.
    pub async fn fetch(&self, from: &str, to: &Path) -> Result<u64, TaskError> {
        let doing = || format!("fetching {from}");
        let got = match self.objects.get(&ObjectPath::from(from)).await {
            Err(object_store::Error::NotFound { .. }) => return Err(TaskError::Missing(from.to_owned())),
            other => other.map_err(TaskError::store(doing()))?,
        };
        let mut file = tokio::fs::File::create(to).await.map_err(TaskError::io(doing()))?;
        let mut stream = got.into_stream();
        let mut bytes = 0;
        while let Some(part) = stream.try_next().await.map_err(TaskError::store(doing()))? {
            bytes += part.len() as u64;
            file.write_all(&part).await.map_err(TaskError::io(doing()))?;
        }
        file.flush().await.map_err(TaskError::io(doing()))?;
        Ok(bytes)
    }

    /// A folder of the store as a folder here. `what` names it in the error when there is nothing.
    pub async fn fetch_folder(&self, prefix: &str, to: &Path, what: &str) -> Result<Fetched, TaskError> {
        let doing = || format!("fetching {prefix}");
        let base = ObjectPath::from(prefix);
        let objects: Vec<_> = self.objects.list(Some(&base)).try_collect().await.map_err(TaskError::store(doing()))?;
        let mut fetched = Fetched::default();
        for object in objects {
            let Some(relative) = object.location.as_ref().strip_prefix(base.as_ref()).map(|r| r.trim_start_matches('/')) else { continue };
            let relative = PathBuf::from(relative);
            if relative.as_os_str().is_empty() || relative.components().any(|c| !matches!(c, Component::Normal(_))) {
                continue;
            }
            let target = to.join(&relative);
            if let Some(parent) = target.parent() {
                tokio::fs::create_dir_all(parent).await.map_err(TaskError::io(doing()))?;
            }
            match self.root.as_ref().filter(|_| relative.extension().is_some_and(|e| e == "safetensors")) {
                // Weights are gigabytes, never change in the store, and are only read: a link instead of a copy.
                // A symbolic one, because the store may lie on another disk, and because deleting the task's folder then
                // cannot reach the weights.
                Some(root) => {
                    tokio::fs::symlink(root.join(object.location.as_ref()), &target).await.map_err(TaskError::io(doing()))?;
                }
                None => {
                    self.fetch(object.location.as_ref(), &target).await?;
                }
            }
            fetched.files += 1;
            fetched.bytes += object.size;
        }
        if fetched.files == 0 { Err(TaskError::Missing(what.to_owned())) } else { Ok(fetched) }
    }

    /// A file into the store, part by part, hashed on the way, and read back: when this returns, what lies on the disk has the
    /// digest that is returned. The object is there complete or not at all.
    pub async fn put_file(&self, from: &Path, to: &str) -> Result<StoredFile, TaskError> {
        let (bytes, digest) = self.send(from, to).await?;
        self.confirm(to, digest).await?;
        let path = to.rsplit('/').next().unwrap_or(to).to_owned();
        Ok(StoredFile { path, bytes, digest: digest.to_hex().to_string() })
    }

    async fn send(&self, from: &Path, to: &str) -> Result<(u64, blake3::Hash), TaskError> {
        let doing = || format!("storing {to}");
        let mut file = tokio::fs::File::open(from).await.map_err(TaskError::io(doing()))?;
        let upload = self.objects.put_multipart(&ObjectPath::from(to)).await.map_err(TaskError::store(doing()))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 1024 * 1024];
        loop {
            let read = match file.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) => {
                    let _ = upload.abort().await;
                    return Err(TaskError::io(doing())(e));
                }
            };
            hasher.update(&buffer[..read]);
            bytes += read as u64;
            upload.wait_for_capacity(2).await.map_err(TaskError::store(doing()))?;
            upload.write(&buffer[..read]);
        }
        upload.finish().await.map_err(TaskError::store(doing()))?;
        Ok((bytes, hasher.finalize()))
    }

    /// Whether an object has this digest as it was stored, not as it still lies in memory.
    async fn confirm(&self, path: &str, digest: blake3::Hash) -> Result<(), TaskError> {
        let doing = || format!("reading {path} back");
        if let Some(root) = &self.root {
            let file = root.join(path);
            let forgotten = tokio::task::spawn_blocking(move || forget_cached(&file)).await.map_err(std::io::Error::other);
            forgotten.and_then(|done| done).map_err(TaskError::io(doing()))?;
        }
        let got = self.objects.get(&ObjectPath::from(path)).await.map_err(TaskError::store(doing()))?;
        let (mut stream, mut hasher) = (got.into_stream(), blake3::Hasher::new());
        while let Some(part) = stream.try_next().await.map_err(TaskError::store(doing()))? {
            hasher.update(&part);
        }
        if hasher.finalize() == digest { Ok(()) } else { Err(TaskError::Altered(path.to_owned())) }
    }

    pub async fn put(&self, to: &str, contents: Vec<u8>) -> Result<(), TaskError> {
        self.objects.put(&ObjectPath::from(to), Bytes::from(contents).into()).await.map_err(TaskError::store(format!("storing {to}")))?;
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
        assert_eq!(store.fetch_folder("base-models/b", &to, "The base model").await.unwrap(), Fetched { files: 2, bytes: 9 });
        assert!(std::fs::symlink_metadata(to.join("model.safetensors")).unwrap().is_symlink());
        assert!(std::fs::symlink_metadata(to.join("config.json")).unwrap().is_file());
        assert_eq!(std::fs::read_to_string(to.join("model.safetensors")).unwrap(), "weights");
        std::fs::remove_dir_all(here.path()).unwrap();
        assert!(root.path().join("base-models/b/model.safetensors").exists(), "deleting the task's folder reached the store");
    }

    #[tokio::test]
    async fn what_is_not_there_is_missing_and_named() {
        let root = tempfile::tempdir().unwrap();
        let store = artefacts(root.path());
        let error = store.fetch_folder("base-models/none", &root.path().join("x"), "The base model").await.unwrap_err();
        assert_eq!(error.to_string(), "The base model is not in the store");
        assert!(matches!(store.fetch("t/a/none", &root.path().join("y")).await, Err(TaskError::Missing(_))));
    }

    #[tokio::test]
    async fn a_stored_file_has_the_size_and_digest_of_its_bytes() {
        let (root, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes: Vec<u8> = (0..PART * 2 + 17).map(|i| (i % 251) as u8).collect();
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
        store.confirm("t/a/runs/r/w.bin", digest).await.unwrap();
        std::fs::write(root.path().join("t/a/runs/r/w.bin"), "weighty").unwrap();
        let error = store.confirm("t/a/runs/r/w.bin", digest).await.unwrap_err();
        assert!(error.to_string().contains("is not what was written"), "{error}");
    }
}
