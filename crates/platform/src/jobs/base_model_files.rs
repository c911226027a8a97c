//! The job that copies a base model's files into the artefact store and hashes them. May run twice: it writes the same again.

use crate::{
    Platform, audit,
    change::{Change, Unaudited},
    jobs::{self, Claimed},
    models::files_digest,
    problem::Doing,
};
use domain::{
    artefacts,
    audit::Detail,
    base_model::{BaseModel, BaseModelState, StoredFile},
    ids::BaseModelId,
    problem::Problem,
    reason::base_model::BaseModelReason,
};
use std::path::Path;
use tokio::io::AsyncReadExt;

pub(super) async fn work(platform: &Platform, job: &Claimed, id: BaseModelId, folder: &Path, files: &[String]) -> Result<(), Problem> {
    let Some(mut model) = platform.store().base_model(id).await.doing("reading the base model")? else {
        return close(platform, job, None).await;
    };
    if model.state != BaseModelState::Registering {
        return close(platform, job, None).await;
    }
    match copy(platform, folder, files, &artefacts::base_model(id)).await {
        Ok(files) => {
            model.digest = files_digest(&files);
            model.files = files;
            model.state = BaseModelState::Ready;
            model.reason = None;
        }
        // The artefact store may come back; a file that cannot be read will not.
        Err(Trouble::Store(problem)) if job.attempts < jobs::MOST_ATTEMPTS => return Err(problem),
        Err(trouble) => {
            model.state = BaseModelState::Broken;
            model.reason = Some(match trouble {
                Trouble::Folder(reason) => reason,
                Trouble::Store(problem) => {
                    problem.outage.map_or(BaseModelReason::CopyFailed, |outage| BaseModelReason::PartAway { outage })
                }
            });
        }
    }
    close(platform, job, Some(model)).await
}

/// The result and the end of the job, in one transaction.
async fn close(platform: &Platform, job: &Claimed, model: Option<BaseModel>) -> Result<(), Problem> {
    let mut tx = Change::by_system(platform).await?;
    let mut recorded = None;
    if let Some(m) = model
        && tx.finish_base_model(&m).await.doing("writing the base model")?
    {
        let mut entry = audit::by_system(tx.at(), None, "base_model.registered", "base_model", m.id, &m.name);
        entry.detail = match m.reason {
            Some(reason) => Detail::BaseModelBroken { reason },
            None => Detail::BaseModelRegistered { files: m.files.len() as u64, digest: m.digest },
        };
        recorded = Some(entry);
    }
    if !jobs::finish(&mut tx, job).await.doing("ending the job")? {
        return Ok(());
    }
    match recorded {
        Some(entry) => tx.commit(entry).await.doing("ending the job"),
        None => tx.commit_unaudited(Unaudited::JobBookkeeping).await.doing("ending the job"),
    }
}

enum Trouble {
    Store(Problem),
    Folder(BaseModelReason),
}

async fn copy(platform: &Platform, folder: &Path, files: &[String], to: &str) -> Result<Vec<StoredFile>, Trouble> {
    let mut out = Vec::new();
    let mut buffer = vec![0; 1024 * 1024];
    for name in files {
        let unreadable = |e: std::io::Error| Trouble::Folder(BaseModelReason::FileUnreadable { file: name.clone(), error: e.to_string() });
        let mut file = tokio::fs::File::open(folder.join(name)).await.map_err(unreadable)?;
        let doing = "copying a base model’s file";
        let mut writer = platform.blobs().writer(&format!("{to}/{name}")).await.doing(doing).map_err(Trouble::Store)?;
        let mut hasher = blake3::Hasher::new();
        loop {
            let read = file.read(&mut buffer).await.map_err(unreadable)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            writer.write(&buffer[..read]).await.doing(doing).map_err(Trouble::Store)?;
        }
        let bytes = writer.finish().await.doing(doing).map_err(Trouble::Store)?;
        out.push(StoredFile { path: name.clone(), bytes, digest: hasher.finalize().to_hex().to_string() });
    }
    Ok(out)
}
