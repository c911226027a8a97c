//! The way to the artefact store, for the portal and for its tasks: a folder, or buckets of an S3-compatible store. What is asked of it, how
//! long one waits, how often a request is repeated, and how its refusals are told apart, is the same for both, and said here once.

mod garage;
mod s3;
mod trouble;
mod writer;

pub use garage::{AdminError, GarageAdmin};
pub use object_store::Error;
pub use s3::Patience;
pub use trouble::{is_missing, outage};
pub use writer::Writer;

use domain::artefacts::{ArtefactStore, StoreKey};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use std::{path::PathBuf, sync::Arc};

/// Why a store cannot be opened. It was not asked anything yet.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no key for the artefact store was given")]
    NoKey,
    #[error("the certificate authorities for the artefact store are no PEM text with certificates")]
    BadAuthorities,
    #[error("the client for the artefact store: {0}")]
    Client(#[from] reqwest::Error),
    #[error("the artefact store: {0}")]
    Store(#[from] object_store::Error),
}

/// An opened store. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Storage(Kind);

#[derive(Clone)]
enum Kind {
    Folder { objects: Arc<dyn ObjectStore>, root: PathBuf },
    S3(Arc<s3::Buckets>),
}

impl Storage {
    /// `key`: for buckets; a folder needs none. The folder must be there.
    pub fn open(location: &ArtefactStore, key: Option<&StoreKey>, patience: Patience) -> Result<Self, OpenError> {
        match location {
            ArtefactStore::Local { root } => {
                // With `fsync`, of each file and of the folder that names it: what is told as stored must still be there after a power cut.
                let objects = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true).with_fsync(true);
                Ok(Self(Kind::Folder { objects: Arc::new(objects), root: PathBuf::from(root) }))
            }
            ArtefactStore::S3 { .. } => {
                let buckets = s3::Buckets::open(location, key.ok_or(OpenError::NoKey)?, patience)?;
                Ok(Self(Kind::S3(Arc::new(buckets))))
            }
        }
    }

    /// Where the object of this path lies, or is to lie: a path means the same in it.
    pub fn of(&self, path: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        match &self.0 {
            Kind::Folder { objects, .. } => Ok(objects.clone()),
            Kind::S3(buckets) => buckets.of(path),
        }
    }

    /// Where objects are files of this machine.
    pub fn root(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Kind::Folder { root, .. } => Some(root),
            Kind::S3(_) => None,
        }
    }

    /// For writing an object of any size; nothing is seen of it before [`Writer::finish`].
    pub async fn writer(&self, path: &Path) -> Result<Writer, object_store::Error> {
        let store = self.of(path.as_ref())?;
        match &self.0 {
            Kind::Folder { .. } => Writer::one_by_one(store, path.clone()).await,
            Kind::S3(_) => Ok(Writer::side_by_side(store, path.clone())),
        }
    }

    /// Writes, reads and deletes a small object in this folder, and says what went wrong first.
    pub async fn probe(&self, folder: &str) -> Result<(), object_store::Error> {
        // Two that try at once do not see each other's.
        let path = Path::from(format!("{folder}/.probe-{}", std::process::id()));
        let store = self.of(path.as_ref())?;
        store.put(&path, "probe".into()).await?;
        store.get(&path).await?.bytes().await?;
        store.delete(&path).await
    }

    /// Whether this folder may be read, whatever is in it.
    pub async fn can_list(&self, folder: &str) -> Result<(), object_store::Error> {
        let at = Path::from(folder);
        self.of(at.as_ref())?.list_with_delimiter(Some(&at)).await.map(drop)
    }

    /// Copies an object within what belongs to one tenant, or to the platform.
    pub async fn copy(&self, from: &Path, to: &Path) -> Result<(), object_store::Error> {
        let (store, target) = (self.of(from.as_ref())?, self.of(to.as_ref())?);
        let within = match &self.0 {
            Kind::Folder { .. } => true,
            Kind::S3(buckets) => buckets.share(from.as_ref(), to.as_ref()) && store.head(from).await?.size <= s3::LARGEST_COPY,
        };
        if within {
            return store.copy(from, to).await;
        }
        let mut body = store.get(from).await?.into_stream();
        let mut writer = match &self.0 {
            Kind::Folder { .. } => Writer::one_by_one(target, to.clone()).await?,
            Kind::S3(_) => Writer::side_by_side(target, to.clone()),
        };
        while let Some(piece) = body.try_next().await? {
            writer.write(&piece).await?;
        }
        writer.finish().await.map(drop)
    }
}
