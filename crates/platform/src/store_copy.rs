//! Moves an installation's artefacts from one store to another: each object is copied, read back and compared. May be broken off and begun
//! again at any time: what lies there already, with the same bytes, is not copied again. The source is only read.

use crate::{blobs::BlobError, problem::Doing};
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    problem::Problem,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use std::collections::BTreeSet;
use storage::{GarageAdmin, Patience, Storage};

/// Objects that are on their way at once.
const SIDE_BY_SIDE: usize = 4;

/// Where to.
pub struct Target<'a> {
    pub location: &'a ArtefactStore,
    pub key: Option<&'a StoreKey>,
    /// Makes buckets that are missing; without it they must be there.
    pub garage: Option<&'a GarageAdmin>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects of the source, all of which are in the target now.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Of the objects: those that were there before.
    pub found: u64,
}

/// `told` hears after each object what was done so far. Objects that nobody finished are not copied.
pub async fn copy(from: &ArtefactStore, to: Target<'_>, mut told: impl FnMut(&Copied)) -> Result<Copied, Problem> {
    let doing = "copying the artefact store";
    let open = |location, key| Storage::open(location, key, Patience::TASK).map_err(|e| crate::problem::internal(&e, "opening a store"));
    let (source, target) = (open(from, None)?, open(to.location, to.key)?);
    let failed = |e: storage::Error| Err::<(), _>(BlobError::from(e)).doing(doing).err().unwrap_or_else(|| Problem::conflict(doing));
    let everything: Vec<_> = source.of("").map_err(failed)?.list(None).try_collect().await.map_err(failed)?;
    make_buckets(&to, everything.iter().map(|object| object.location.as_ref())).await?;
    let mut copied = Copied::default();
    let one = async |object: object_store::ObjectMeta| {
        let found = bring(&source, &target, &object.location, object.size).await?;
        Ok::<_, Failed>((object.size, found))
    };
    let mut under_way = stream::iter(everything).map(one).buffer_unordered(SIDE_BY_SIDE);
    while let Some(done) = under_way.next().await {
        let (bytes, found) = done.map_err(|e| match e {
            Failed::Store(e) => failed(e),
            Failed::Differs(path) => {
                Problem::conflict(format!("“{path}” was copied, and what lies in the target is not what lies in the source."))
                    .next("Make sure that nobody writes into the source, then run this again.")
            }
        })?;
        copied.objects += 1;
        copied.bytes += bytes;
        copied.found += u64::from(found);
        told(&copied);
    }
    Ok(copied)
}

async fn make_buckets(to: &Target<'_>, paths: impl Iterator<Item = &str>) -> Result<(), Problem> {
    let Some(garage) = to.garage else { return Ok(()) };
    let buckets: BTreeSet<String> = paths.filter_map(|path| to.location.bucket_of(path)).collect();
    for bucket in buckets {
        let made = async {
            let id = garage.bucket(&bucket).await?;
            match to.key {
                Some(key) => garage.allow(&id, &key.access_key_id, true).await,
                None => Ok(()),
            }
        };
        made.await.map_err(|e| Problem::conflict(format!("The bucket {bucket} cannot be made: {e}.")))?;
    }
    Ok(())
}

enum Failed {
    Store(storage::Error),
    Differs(String),
}

impl From<storage::Error> for Failed {
    fn from(e: storage::Error) -> Self {
        Self::Store(e)
    }
}

/// True when the object was there already.
async fn bring(source: &Storage, target: &Storage, path: &Path, bytes: u64) -> Result<bool, Failed> {
    let there = match target.of(path.as_ref())?.head(path).await {
        Err(e) if storage::is_missing(&e) => None,
        there => Some(there?.size),
    };
    if there == Some(bytes) && digest(source, path).await? == digest(target, path).await? {
        return Ok(true);
    }
    let mut body = source.of(path.as_ref())?.get(path).await?.into_stream();
    let (mut writer, mut hasher) = (target.writer(path).await?, blake3::Hasher::new());
    while let Some(piece) = body.try_next().await? {
        hasher.update(&piece);
        writer.write(&piece).await?;
    }
    writer.finish().await?;
    match digest(target, path).await? == hasher.finalize() {
        true => Ok(false),
        false => Err(Failed::Differs(path.to_string())),
    }
}

async fn digest(storage: &Storage, path: &Path) -> Result<blake3::Hash, storage::Error> {
    let mut body = storage.of(path.as_ref())?.get(path).await?.into_stream();
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = body.try_next().await? {
        hasher.update(&piece);
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_becomes_buckets_and_a_second_time_copies_only_what_is_new() {
        let Some(mut garage) = testing::garage::start() else { return };
        let (access_key_id, secret_access_key) = garage.key("portal");
        let key = StoreKey { access_key_id, secret_access_key };
        let admin = GarageAdmin::new(&garage.admin, &garage.admin_token, None).unwrap();
        let location = ArtefactStore::S3 {
            endpoint: garage.endpoint.clone(),
            region: testing::garage::REGION.into(),
            bucket_prefix: "house-".into(),
            path_style: true,
            ca: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let from = ArtefactStore::Local { root: folder.path().display().to_string() };
        let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        let put = |path: &str, bytes: &[u8]| {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        };
        put("base-models/b/model.safetensors", &large);
        put("t/acme/datasets/1/original", b"rows");
        put("t/velkor/models/1/empty", b"");
        put("t/acme/datasets/2/original#1", b"never finished");
        let target = || Target { location: &location, key: Some(&key), garage: Some(&admin) };
        let mut said = 0;
        let copied = copy(&from, target(), |_| said += 1).await.unwrap();
        assert_eq!((copied, said), (Copied { objects: 3, bytes: 20_000_004, found: 0 }, 3));
        let blobs = crate::blobs::Blobs::open(&location, Some(&key)).unwrap();
        assert!(blobs.bytes("base-models/b/model.safetensors").await.unwrap() == large);
        assert_eq!(blobs.bytes("t/acme/datasets/1/original").await.unwrap().as_ref(), b"rows");
        assert_eq!(blobs.size("t/velkor/models/1/empty").await.unwrap(), Some(0));

        // Broken off, and half of an object of another time is there.
        garage.stop();
        let nothing_there = Storage::open(&location, Some(&key), Patience { repeats: 0, ..Patience::PORTAL }).unwrap();
        assert!(nothing_there.probe("t/acme").await.is_err());
        garage.run();
        blobs.put("t/acme/datasets/1/original", "rowz").await.unwrap();
        put("t/acme/datasets/3/original", b"new");
        let copied = copy(&from, target(), |_| ()).await.unwrap();
        assert_eq!(copied, Copied { objects: 4, bytes: 20_000_007, found: 2 });
        assert_eq!(blobs.bytes("t/acme/datasets/1/original").await.unwrap().as_ref(), b"rows");
    }
}
