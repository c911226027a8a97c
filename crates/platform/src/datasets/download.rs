//! The files of a version, as they are stored.

use super::{Datasets, called};
use crate::{blobs::BlobError, problem::Doing};
use bytes::Bytes;
use domain::{
    artefacts,
    dataset::{Container, DatasetFile, DatasetVersion},
    problem::Problem,
};
use futures::stream::BoxStream;

/// A file on its way out.
pub struct Download {
    /// `facts-v3-train.jsonl`: plain characters only.
    pub file_name: String,
    pub bytes: u64,
    pub body: BoxStream<'static, Result<Bytes, BlobError>>,
}

impl Datasets<'_> {
    pub async fn download(&self, name: &str, number: Option<u32>, file: DatasetFile) -> Result<Download, Problem> {
        let version = self.version(name, number).await?;
        if !version.has(file) {
            let next = match version.erased_at {
                Some(_) => "Its rows were erased.",
                None => "It is there once the file has arrived and was checked.",
            };
            return Err(Problem::not_found(format!("The {} of {}", file.label().to_lowercase(), called(&version))).next(next));
        }
        let judgement = version.judgement.as_deref();
        let path = match file {
            DatasetFile::Original => artefacts::dataset_original(&version.tenant, version.id),
            DatasetFile::Verdicts => artefacts::dataset_verdicts(&version.tenant, version.id, judgement),
            DatasetFile::Train => artefacts::dataset_train(&version.tenant, version.id, judgement),
            DatasetFile::HeldOut => artefacts::dataset_held_out(&version.tenant, version.id, judgement),
        };
        let doing = "reading a file of a dataset";
        let blobs = self.scope.platform().blobs();
        let bytes = blobs.size(&path).await.doing(doing)?.unwrap_or(0);
        Ok(Download { file_name: file_name(&version, file), bytes, body: blobs.stream(&path).await.doing(doing)? })
    }
}

fn file_name(version: &DatasetVersion, file: DatasetFile) -> String {
    let ending = match (file, version.container) {
        (DatasetFile::Original, Some(Container::Json)) => "json",
        // What it is instead is told by nobody better than by the one who uploaded it.
        (DatasetFile::Original, None) => version.file_name.rsplit_once('.').map_or("bin", |(_, ending)| ending),
        _ => "jsonl",
    };
    let ending: String = ending.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{}-v{}-{}.{ending}", version.dataset_name, version.number, file.word())
}
