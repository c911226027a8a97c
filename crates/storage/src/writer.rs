//! Writes one object part by part.

use bytes::BytesMut;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result, path::Path};
use std::sync::Arc;
use tokio::{runtime::Handle, task::JoinSet};

/// Bytes of one part. Into a folder: large enough that the call costs nothing beside the copy, small enough that several writers side by
/// side stay small.
const FOLDER_PART: usize = 1024 * 1024;
/// Of one that is sent. S3 wants at least 5 MiB of all but the last, and allows 10,000: 80 GiB in one object.
const SENT_PART: usize = 8 * 1024 * 1024;
/// Parts that are on their way at once; with the one that is being filled, what a writer holds in memory.
const IN_FLIGHT: usize = 4;

/// Nothing is seen of the object before [`Writer::finish`]; dropped without it, it leaves nothing.
pub struct Writer {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// `None` = not begun: what is smaller than a part goes out in one request.
    upload: Option<Box<dyn MultipartUpload>>,
    sent: bool,
    in_flight: JoinSet<Result<()>>,
    part: BytesMut,
    written: u64,
}

impl Writer {
    /// Each part after the one before it.
    pub(crate) async fn one_by_one(store: Arc<dyn ObjectStore>, path: Path) -> Result<Self> {
        let upload = store.put_multipart(&path).await?;
        let mut writer = Self::side_by_side(store, path);
        (writer.upload, writer.sent) = (Some(upload), false);
        Ok(writer)
    }

    /// Several parts at a time.
    pub(crate) fn side_by_side(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { store, path, upload: None, sent: true, in_flight: JoinSet::new(), part: BytesMut::new(), written: 0 }
    }

    fn part_size(&self) -> usize {
        if self.sent { SENT_PART } else { FOLDER_PART }
    }

    /// May return before the bytes have arrived; then a later call says that they did not.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.part.extend_from_slice(bytes);
        while self.part.len() >= self.part_size() {
            let part = self.part.split_to(self.part_size()).freeze();
            self.put(PutPayload::from_bytes(part)).await?;
        }
        Ok(())
    }

    async fn put(&mut self, part: PutPayload) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.arrived().await?;
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.store.put_multipart(&self.path).await?),
        };
        let put = upload.put_part(part);
        if !self.sent {
            return put.await;
        }
        self.in_flight.spawn(put);
        Ok(())
    }

    /// Waits for one of the parts that are on their way.
    async fn arrived(&mut self) -> Result<()> {
        match self.in_flight.join_next().await {
            Some(Ok(arrived)) => arrived,
            Some(Err(broke_off)) => Err(object_store::Error::JoinError { source: broke_off }),
            None => Ok(()),
        }
    }

    /// Makes the object visible; returns its size in bytes.
    pub async fn finish(mut self) -> Result<u64> {
        let last = PutPayload::from_bytes(std::mem::take(&mut self.part).freeze());
        if self.upload.is_none() {
            self.store.put(&self.path, last).await?;
            return Ok(self.written);
        }
        if last.content_length() > 0 || self.written == 0 {
            self.put(last).await?;
        }
        while !self.in_flight.is_empty() {
            self.arrived().await?;
        }
        if let Some(upload) = &mut self.upload {
            upload.complete().await?;
        }
        self.upload = None;
        Ok(self.written)
    }

    /// Leaves nothing behind; an error in doing so is only logged, the caller has one already.
    pub async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            abort(upload, std::mem::take(&mut self.in_flight)).await;
        }
    }
}

async fn abort(mut upload: Box<dyn MultipartUpload>, mut in_flight: JoinSet<Result<()>>) {
    // A part that arrives later would stay.
    in_flight.shutdown().await;
    if let Err(e) = upload.abort().await {
        tracing::warn!(error = %e, "an unfinished object could not be removed");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A folder's upload clears up when it is dropped itself.
        if let Some(upload) = self.upload.take().filter(|_| self.sent)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(abort(upload, std::mem::take(&mut self.in_flight)));
        }
    }
}
