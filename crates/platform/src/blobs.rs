//! Artefacts: large, immutable, named by paths that `domain::artefacts` makes. Nothing here or above assumes a local path.

mod disk;

pub use disk::OnDisk;

use bytes::Bytes;
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    problem::Outage,
};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use std::{ops::Range, sync::Arc};
use storage::{OpenError, Patience, Storage, Writer};

/// Bytes that are read at once from a folder.
const READ: u64 = 1024 * 1024;

/// Requests that remove objects side by side.
const DELETES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("“{path}” is not in the artefact store")]
    Missing { path: String },
    #[error("“{path}” is not a path of the artefact store")]
    BadPath { path: String },
    #[error("the artefact store: {source}")]
    Store { outage: Outage, source: object_store::Error },
}

impl From<object_store::Error> for BlobError {
    fn from(source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { path, .. } if storage::is_missing(&source) => Self::Missing { path },
            source => Self::Store { outage: storage::outage(&source), source },
        }
    }
}

#[derive(Clone)]
pub struct Blobs {
    storage: Storage,
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub path: String,
    pub bytes: u64,
}

impl Blobs {
    /// Opens the store; a local folder is made when it is not there. `key`: of buckets.
    pub fn open(location: &ArtefactStore, key: Option<&StoreKey>) -> Result<Self, OpenError> {
        if let ArtefactStore::Local { root } = location {
            let failed = |source: std::io::Error| object_store::Error::Generic { store: "local folder", source: Box::new(source) };
            std::fs::create_dir_all(root).map_err(failed)?;
        }
        Ok(Self { storage: Storage::open(location, key, Patience::PORTAL)? })
    }

    fn of(&self, path: &str) -> Result<(Arc<dyn ObjectStore>, Path), BlobError> {
        let at = at(path)?;
        Ok((self.storage.of(at.as_ref())?, at))
    }

    /// Puts a small object at once; replaces what is there.
    pub async fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<(), BlobError> {
        let (store, at) = self.of(path)?;
        store.put(&at, PutPayload::from_bytes(bytes.into())).await?;
        Ok(())
    }

    /// For writing an object of any size; nothing is seen of it before [`BlobWriter::finish`].
    pub async fn writer(&self, path: &str) -> Result<BlobWriter, BlobError> {
        Ok(BlobWriter(self.storage.writer(&at(path)?).await?))
    }

    /// Streams into an object; returns its size in bytes. When the stream fails, nothing is left.
    pub async fn put_stream<E: From<BlobError>>(
        &self,
        path: &str,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<u64, E> {
        let mut writer = self.writer(path).await?;
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => writer.write(&chunk).await?,
                Err(e) => {
                    writer.abort().await;
                    return Err(e);
                }
            }
        }
        Ok(writer.finish().await?)
    }

    /// The whole object, for small ones.
    pub async fn bytes(&self, path: &str) -> Result<Bytes, BlobError> {
        let (store, at) = self.of(path)?;
        Ok(store.get(&at).await?.bytes().await?)
    }

    /// The whole object, or `None` when it is not there.
    pub async fn bytes_if_any(&self, path: &str) -> Result<Option<Bytes>, BlobError> {
        match self.bytes(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BlobError::Missing { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The whole object, piece by piece.
    pub async fn stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let (store, at) = self.of(path)?;
        if self.storage.root().is_none() {
            return Ok(store.get(&at).await?.into_stream().map_err(BlobError::from).boxed());
        }
        // A folder's own stream comes in pieces of 8 KB, each by way of another thread.
        let size = store.head(&at).await?.size;
        let pieces = (0..size.div_ceil(READ)).map(move |i| i * READ..((i + 1) * READ).min(size));
        let read = move |range| {
            let (store, at) = (store.clone(), at.clone());
            async move { Ok(store.get_range(&at, range).await?) }
        };
        Ok(stream::iter(pieces).then(read).boxed())
    }

    /// Bytes `range.start .. range.end`, cut at the end of the object.
    pub async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, BlobError> {
        let (store, at) = self.of(path)?;
        Ok(store.get_range(&at, range).await?)
    }

    /// Size in bytes, or `None` when it is not there.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, BlobError> {
        let (store, at) = self.of(path)?;
        match store.head(&at).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Everything below a folder, sorted by path.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, BlobError> {
        let (store, at) = self.of(folder)?;
        let mut all: Vec<Listed> =
            store.list(Some(&at)).map_ok(|m| Listed { path: m.location.to_string(), bytes: m.size }).try_collect().await?;
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// Removes one object; fine when it is not there.
    pub async fn delete(&self, path: &str) -> Result<(), BlobError> {
        let (store, at) = self.of(path)?;
        match store.delete(&at).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes everything below a folder.
    pub async fn delete_folder(&self, folder: &str) -> Result<(), BlobError> {
        let objects = self.list(folder).await?;
        stream::iter(objects).map(Ok).try_for_each_concurrent(DELETES, async |object: Listed| self.delete(&object.path).await).await
    }

    pub async fn copy(&self, from: &str, to: &str) -> Result<(), BlobError> {
        Ok(self.storage.copy(&at(from)?, &at(to)?).await?)
    }
}

/// Writes one object part by part. Dropped without `finish` it leaves nothing.
pub struct BlobWriter(Writer);

impl BlobWriter {
    /// May return before the bytes have arrived; then a later call says that they did not.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        Ok(self.0.write(bytes).await?)
    }

    /// Makes the object visible; returns its size in bytes.
    pub async fn finish(self) -> Result<u64, BlobError> {
        Ok(self.0.finish().await?)
    }

    /// Leaves nothing behind; an error in doing so is only logged, the caller has one already.
    pub async fn abort(self) {
        self.0.abort().await;
    }
}

fn at(path: &str) -> Result<Path, BlobError> {
    Path::parse(path).map_err(|_| BlobError::BadPath { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Doing;
    use domain::problem::ProblemKind;

    /// Bytes of an object that is written in parts.
    const LARGE: usize = 17 * 1024 * 1024 + 5;

    fn open(folder: &std::path::Path) -> Blobs {
        Blobs::open(&ArtefactStore::Local { root: folder.display().to_string() }, None).unwrap()
    }

    #[tokio::test]
    async fn a_folder_does_what_a_store_must() {
        let folder = tempfile::TempDir::new().unwrap();
        every_store(open(folder.path())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn buckets_do_what_a_store_must() {
        let Some(garage) = testing::garage::start() else { return };
        let key = garage.key("portal");
        for bucket in ["house-platform", "house-acme"] {
            garage.bucket(bucket);
            garage.allow(bucket, &key, &["--read", "--write"]);
        }
        let location = ArtefactStore::S3 {
            endpoint: garage.endpoint.clone(),
            region: testing::garage::REGION.into(),
            bucket_prefix: "house-".into(),
            path_style: true,
            ca: None,
        };
        let (access_key_id, secret_access_key) = key;
        let blobs = Blobs::open(&location, Some(&StoreKey { access_key_id, secret_access_key })).unwrap();
        every_store(blobs.clone()).await;
        let failed: Result<(), _> = blobs.put("t/nobody/x", "x").await;
        let problem = failed.doing("storing").unwrap_err();
        assert_eq!((problem.kind, problem.outage), (ProblemKind::Unavailable, Some(Outage::StoreBucketMissing)));
        assert_eq!(blobs.on_disk("t/nobody").await.unwrap(), []);
    }

    /// What is seen of objects, whole and unfinished ones, in any store.
    async fn every_store(blobs: Blobs) {
        let mut writer = blobs.writer("a/b").await.unwrap();
        writer.write(&vec![7; LARGE]).await.unwrap();
        assert_eq!((blobs.size("a/b").await.unwrap(), blobs.list("a").await.unwrap().len()), (None, 0));
        assert_eq!(writer.finish().await.unwrap(), LARGE as u64);
        assert_eq!(blobs.size("a/b").await.unwrap(), Some(LARGE as u64));
        assert_eq!(blobs.range("a/b", LARGE as u64 - 5..LARGE as u64 + 99).await.unwrap().as_ref(), [7; 5]);
        blobs.writer("a/empty").await.unwrap().finish().await.unwrap();
        assert_eq!(blobs.bytes("a/empty").await.unwrap().len(), 0);
        let thrown = blobs.writer("a/thrown").await.unwrap();
        thrown.abort().await;
        blobs.copy("a/b", "c/d").await.unwrap();
        blobs.delete_folder("a").await.unwrap();
        blobs.delete("a/b").await.unwrap();
        let left: Vec<String> = blobs.list("c").await.unwrap().into_iter().map(|l| l.path).collect();
        assert_eq!((left, blobs.list("a").await.unwrap().len()), (vec!["c/d".to_owned()], 0));
        assert!(matches!(blobs.bytes("a/b").await, Err(BlobError::Missing { .. })));
        assert_eq!(blobs.bytes_if_any("a/b").await.unwrap(), None);

        // What belongs to a tenant.
        blobs.put("t/acme/datasets/1/original", "rows").await.unwrap();
        blobs.put("t/acme/datasets/1/j1/train.jsonl", "{}").await.unwrap();
        blobs.put("t/acme/datasets/2/original", "other").await.unwrap();
        let streamed: Vec<Bytes> = blobs.stream("c/d").await.unwrap().try_collect().await.unwrap();
        assert_eq!(streamed.iter().map(Bytes::len).sum::<usize>(), LARGE);
        assert!(matches!(blobs.stream("a/b").await.err(), Some(BlobError::Missing { .. })));
        let found = blobs.on_disk("t/acme").await.unwrap();
        let found: Vec<(&str, u64)> = found.iter().map(|f| (f.path.as_str(), f.bytes)).collect();
        assert_eq!(found, [("t/acme/datasets/1/j1/train.jsonl", 2), ("t/acme/datasets/1/original", 4), ("t/acme/datasets/2/original", 5)]);
        assert_eq!(blobs.folders("t/acme/datasets/1").await.unwrap(), ["j1"]);
        blobs.copy("t/acme/datasets/1/original", "t/acme/models/1/original").await.unwrap();
        blobs.erase("t/acme/datasets/1").await.unwrap();
        blobs.erase("t/acme/datasets/1").await.unwrap();
        blobs.remove_from_disk("t/acme/datasets/2/original").await.unwrap();
        let left: Vec<String> = blobs.list("t/acme").await.unwrap().into_iter().map(|l| l.path).collect();
        assert_eq!(left, ["t/acme/models/1/original"]);
    }

    /// Runs this one test again under a library that writes down every `fsync` and `rename`, and looks at their order.
    #[test]
    fn what_the_portal_stores_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_is_told() {
        if std::env::var_os("RECORDED_SYNCS").is_some() {
            let root = std::env::var("STORE_ROOT").unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            return runtime.block_on(async {
                let blobs = open(std::path::Path::new(&root));
                blobs.put("t/a/small", "{}").await.unwrap();
                let mut writer = blobs.writer("t/a/large").await.unwrap();
                writer.write(&vec![7; LARGE]).await.unwrap();
                writer.finish().await.unwrap();
                blobs.copy("t/a/large", "t/b/published").await.unwrap();
            });
        }
        let root = tempfile::TempDir::new().unwrap();
        let root = root.path().canonicalize().unwrap();
        let name = "blobs::tests::what_the_portal_stores_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_is_told";
        let said = testing::syncs::of_test(name, &[("STORE_ROOT", root.display().to_string())]);
        let place = |what: &str| said.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("no {what}: {said:#?}"));
        for (folder, file, written) in [("t/a", "small", true), ("t/a", "large", true), ("t/b", "published", false)] {
            let folder = root.join(folder).display().to_string();
            let named = place(&format!("rename {folder}/{file}#"));
            // What is published is the same file under a second name.
            assert!(!written || place(&format!("fsync {folder}/{file}#")) < named, "{file}: {said:#?}");
            let kept = said[named..].contains(&format!("fsync {folder}"));
            assert!(kept, "{file}: {said:#?}");
        }
    }

    #[tokio::test]
    async fn no_path_leads_out_of_the_store() {
        let folder = tempfile::TempDir::new().unwrap();
        let blobs = open(&folder.path().join("store"));
        for path in ["../out", "a/../../out", "a//b"] {
            assert!(blobs.put(path, "x").await.is_err(), "{path}");
        }
        assert!(!folder.path().join("out").exists());
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
            let source = Box::new(std::io::Error::new(kind, "no room"));
            let failed: Result<(), _> = Err(BlobError::from(object_store::Error::Generic { store: "local", source }));
            let problem = failed.doing("storing").unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Unavailable);
            assert!(problem.sentence.contains("store is full"), "{problem}");
        }
        let other: Result<(), _> = Err(BlobError::from(object_store::Error::Generic { store: "local", source: "no".into() }));
        assert!(!other.doing("storing").unwrap_err().sentence.contains("full"));
    }
}
