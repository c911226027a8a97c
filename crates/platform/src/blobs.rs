//! Artefacts: large, immutable, named by paths that `domain::artefacts` makes. Nothing here or above assumes a local path.

mod disk;

pub use disk::OnDisk;

use bytes::{Bytes, BytesMut};
use domain::{artefacts::ArtefactStore, causes::causes};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem, path::Path};
use std::{ops::Range, path::PathBuf, sync::Arc};

/// Bytes of one part of a streamed upload. Into a folder: large enough that the call costs nothing beside the copy, small enough
/// that four writers side by side stay small. (An object store will want at least 5 MiB.)
const PART: usize = 1024 * 1024;
/// Bytes that are read at once.
const READ: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("“{path}” is not in the artefact store")]
    Missing { path: String },
    #[error("“{path}” is not a path of the artefact store")]
    BadPath { path: String },
    #[error("the artefact store is full: {source}")]
    Full { source: object_store::Error },
    #[error("the artefact store: {source}")]
    Store { source: object_store::Error },
}

impl From<object_store::Error> for BlobError {
    fn from(source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { path, .. } => Self::Missing { path },
            source if is_full(&source) => Self::Full { source },
            source => Self::Store { source },
        }
    }
}

fn is_full(e: &object_store::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let io = causes(e).find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded))
}

#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// The folder in which it lies.
    root: PathBuf,
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub path: String,
    pub bytes: u64,
}

impl Blobs {
    /// Opens the store; a local folder is made when it is not there.
    pub fn open(location: &ArtefactStore) -> Result<Self, BlobError> {
        let ArtefactStore::Local { root } = location;
        let store = |source: std::io::Error| BlobError::Store {
            source: object_store::Error::Generic { store: "local folder", source: Box::new(source) },
        };
        std::fs::create_dir_all(root).map_err(store)?;
        let local = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true).with_fsync(true);
        Ok(Self { store: Arc::new(local), root: PathBuf::from(root) })
    }

    /// Puts a small object at once; replaces what is there.
    pub async fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<(), BlobError> {
        let bytes: Bytes = bytes.into();
        self.store.put(&at(path)?, PutPayload::from_bytes(bytes)).await?;
        Ok(())
    }

    /// For writing an object of any size; nothing is seen of it before [`BlobWriter::finish`].
    pub async fn writer(&self, path: &str) -> Result<BlobWriter, BlobError> {
        let upload = self.store.put_multipart(&at(path)?).await?;
        Ok(BlobWriter { upload, part: BytesMut::new(), written: 0 })
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
        Ok(self.store.get(&at(path)?).await?.bytes().await?)
    }

    /// The whole object, or `None` when it is not there.
    pub async fn bytes_if_any(&self, path: &str) -> Result<Option<Bytes>, BlobError> {
        match self.bytes(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BlobError::Missing { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The whole object in pieces of a megabyte. (The store's own stream comes in pieces of 8 KB, each by way of another thread.)
    pub async fn stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let (store, at) = (self.store.clone(), at(path)?);
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
        Ok(self.store.get_range(&at(path)?, range).await?)
    }

    /// Size in bytes, or `None` when it is not there.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, BlobError> {
        match self.store.head(&at(path)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Everything below a folder, sorted by path.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, BlobError> {
        let mut all: Vec<Listed> =
            self.store.list(Some(&at(folder)?)).map_ok(|m| Listed { path: m.location.to_string(), bytes: m.size }).try_collect().await?;
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// Removes one object; fine when it is not there.
    pub async fn delete(&self, path: &str) -> Result<(), BlobError> {
        match self.store.delete(&at(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes everything below a folder.
    pub async fn delete_folder(&self, folder: &str) -> Result<(), BlobError> {
        for object in self.list(folder).await? {
            self.delete(&object.path).await?;
        }
        Ok(())
    }

    pub async fn copy(&self, from: &str, to: &str) -> Result<(), BlobError> {
        Ok(self.store.copy(&at(from)?, &at(to)?).await?)
    }
}

/// Writes one object part by part. Dropped without `finish` it leaves nothing.
pub struct BlobWriter {
    upload: Box<dyn MultipartUpload>,
    part: BytesMut,
    written: u64,
}

impl BlobWriter {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.written += bytes.len() as u64;
        self.part.extend_from_slice(bytes);
        while self.part.len() >= PART {
            let part = self.part.split_to(PART).freeze();
            self.upload.put_part(PutPayload::from_bytes(part)).await?;
        }
        Ok(())
    }

    /// Makes the object visible; returns its size in bytes.
    pub async fn finish(mut self) -> Result<u64, BlobError> {
        if !self.part.is_empty() || self.written == 0 {
            let part = std::mem::take(&mut self.part).freeze();
            self.upload.put_part(PutPayload::from_bytes(part)).await?;
        }
        self.upload.complete().await?;
        Ok(self.written)
    }

    /// Leaves nothing behind; an error in doing so is only logged, the caller has one already.
    pub async fn abort(mut self) {
        if let Err(e) = self.upload.abort().await {
            tracing::warn!(error = %e, "an unfinished object could not be removed");
        }
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

    fn open(folder: &std::path::Path) -> Blobs {
        Blobs::open(&ArtefactStore::Local { root: folder.display().to_string() }).unwrap()
    }

    #[tokio::test]
    async fn an_object_is_seen_when_it_is_whole_and_not_before() {
        let folder = tempfile::TempDir::new().unwrap();
        let blobs = open(folder.path());
        let mut writer = blobs.writer("a/b").await.unwrap();
        writer.write(&vec![7; PART + 5]).await.unwrap();
        assert_eq!((blobs.size("a/b").await.unwrap(), blobs.list("a").await.unwrap().len()), (None, 0));
        assert_eq!(writer.finish().await.unwrap(), PART as u64 + 5);
        assert_eq!(blobs.size("a/b").await.unwrap(), Some(PART as u64 + 5));
        assert_eq!(blobs.range("a/b", PART as u64..PART as u64 + 99).await.unwrap().as_ref(), [7; 5]);
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
                writer.write(&vec![7; PART + 5]).await.unwrap();
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
            assert!(problem.sentence.contains("disk") && problem.sentence.contains("full"), "{problem}");
        }
        let other: Result<(), _> = Err(BlobError::from(object_store::Error::Generic { store: "local", source: "no".into() }));
        assert!(!other.doing("storing").unwrap_err().sentence.contains("full"));
    }
}
