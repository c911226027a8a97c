//! The inspection of an uploaded dataset: every row is judged while the file streams by; verdicts, training rows and
//! held-out rows stream into the store; then report, state, audit and event commit together.
//!
//! May be killed and begun again at any time, and frozen and succeeded: each judging writes to a folder of its own, and the commit,
//! which only the holder of the job gets, names the folder that counts.

mod count;
mod held_out_split;
pub(crate) mod index;
mod judge;
mod prompts;
mod raw_rows;
mod sampled;
mod tally;
mod verdict;

use crate::{
    Platform, audit,
    blobs::{BlobError, BlobWriter, Blobs},
    change::{Change, Unaudited},
    jobs::{self, Claimed, MOST_ATTEMPTS},
    problem::{Doing, internal},
};
use count::TokenCounter;
use domain::{
    artefacts,
    audit::Detail,
    dataset::{DatasetVersion, VersionState},
    ids::DatasetVersionId,
    inspect::Report,
    name::Name,
    problem::{Outage, Problem},
    reason::dataset::DatasetReason,
};
use futures::TryStreamExt;
use held_out_split::Split;
use judge::{Judge, Outcome};
use verdict::Written;

/// Does one job: judges the version, or clears up after an upload whose portal died.
pub(crate) async fn work(platform: &Platform, job: &Claimed, tenant: &Name, id: DatasetVersionId) -> Result<(), Problem> {
    let version = platform.store().dataset_version(tenant, id).await.doing("reading the dataset version")?;
    match version {
        Some(version) if version.state == VersionState::Checking => {
            if job.attempts > MOST_ATTEMPTS {
                return commit(platform, job, version, None, Some(DatasetReason::CheckGivenUp)).await;
            }
            match check(platform, tenant, &version).await {
                Ok(judged) => {
                    let reason = DatasetReason::of_report(&judged.report);
                    commit(platform, job, version, Some(judged), reason).await
                }
                Err(problem) => {
                    if let Some(outage) = problem.outage {
                        waits(platform, job, &version, outage).await?;
                    }
                    Err(problem)
                }
            }
        }
        Some(version) if version.state == VersionState::Uploading => abandon(platform, job, version).await,
        // Done already by somebody whose last word was lost, or gone.
        _ => {
            let mut tx = Change::by_system(platform).await?;
            jobs::finish(&mut tx, job).await.doing("finishing a job")?;
            tx.commit_unaudited(Unaudited::JobBookkeeping).await.doing("finishing a job")
        }
    }
}

/// What a judging found, and where it wrote.
struct Judged {
    report: Report,
    /// Name of its folder.
    judgement: String,
    /// Bytes of its files.
    bytes: u64,
}

async fn check(platform: &Platform, tenant: &Name, version: &DatasetVersion) -> Result<Judged, Problem> {
    let mut context = 0;
    let mut counter = None;
    let mut no_tokenizer = None;
    if let Some(id) = version.tokenizer {
        let model = platform.store().base_model(id).await.doing("reading the base model")?;
        context = model.map_or(0, |m| m.context);
        match TokenCounter::load(platform.blobs(), id).await.doing("reading the tokenizer")? {
            Ok(loaded) => counter = Some(loaded),
            Err(found) => no_tokenizer = Some(found),
        }
    }
    let judgement = format!("judged-{}", platform.fresh_uuid().simple());
    clear_attempts(platform, version).await?;
    let mut split = Split::percent(version.held_out_percent);
    // At most two passes: the second with a split that leaves no side empty.
    loop {
        let mut judge = Judge::new(counter, context, split);
        if let Some(found) = &no_tokenizer {
            judge.note(found.clone());
        }
        let (judge, outcome, bytes) = pass(platform.blobs(), tenant, version.id, &judgement, judge).await?;
        match outcome.better_split.filter(|better| *better != split) {
            Some(better) => {
                split = better;
                counter = judge.into_counter();
            }
            None => return Ok(Judged { report: outcome.report, judgement, bytes }),
        }
    }
}

/// Takes away what judgings of this version left that were killed. One that is only frozen loses its files too: it has lost its claim,
/// or this one would not be here.
async fn clear_attempts(platform: &Platform, version: &DatasetVersion) -> Result<(), Problem> {
    let doing = "clearing up after an earlier check";
    let folder = artefacts::dataset_version(&version.tenant, version.id);
    for name in platform.blobs().folders(&folder).await.doing(doing)? {
        if name.starts_with("judged-") && version.judgement.as_ref() != Some(&name) {
            platform.blobs().erase(&format!("{folder}/{name}")).await.doing(doing)?;
        }
    }
    Ok(())
}

/// The whole file once; also returns how many bytes were written.
async fn pass(
    blobs: &Blobs,
    tenant: &Name,
    id: DatasetVersionId,
    judgement: &str,
    mut judge: Judge,
) -> Result<(Judge, Outcome, u64), Problem> {
    let doing = "checking a dataset";
    let mut files = Files::open(blobs, tenant, id, judgement).await.doing(doing)?;
    let mut original = blobs.stream(&artefacts::dataset_original(tenant, id)).await.doing(doing)?;
    let mut refused = None;
    while refused.is_none()
        && let Some(piece) = original.try_next().await.doing(doing)?
    {
        // Judging and counting tokens takes the processor, which belongs to requests.
        let judged = tokio::task::spawn_blocking(move || {
            let refused = judge.push(&piece).err();
            (judge, refused)
        });
        (judge, refused) = judged.await.map_err(|e| internal(&e, doing))?;
        files.write(&mut judge.written).await.doing(doing)?;
    }
    let outcome = judge.finish(refused);
    files.write(&mut judge.written).await.doing(doing)?;
    let bytes = files.finish().await.doing(doing)?;
    Ok((judge, outcome, bytes))
}

/// The files that an inspection writes.
struct Files {
    verdicts: BlobWriter,
    index: BlobWriter,
    train: BlobWriter,
    held_out: BlobWriter,
}

impl Files {
    async fn open(blobs: &Blobs, tenant: &Name, id: DatasetVersionId, judgement: &str) -> Result<Self, BlobError> {
        let judgement = Some(judgement);
        Ok(Self {
            verdicts: blobs.writer(&artefacts::dataset_verdicts(tenant, id, judgement)).await?,
            index: blobs.writer(&artefacts::dataset_verdict_index(tenant, id, judgement)).await?,
            train: blobs.writer(&artefacts::dataset_train(tenant, id, judgement)).await?,
            held_out: blobs.writer(&artefacts::dataset_held_out(tenant, id, judgement)).await?,
        })
    }

    /// Empties the buffers and leaves them their room for the next piece.
    async fn write(&mut self, written: &mut Written) -> Result<(), BlobError> {
        let files = [
            (&mut self.verdicts, &mut written.verdicts),
            (&mut self.index, &mut written.index),
            (&mut self.train, &mut written.train),
            (&mut self.held_out, &mut written.held_out),
        ];
        for (file, bytes) in files {
            file.write(bytes).await?;
            bytes.clear();
        }
        Ok(())
    }

    /// Returns their bytes together.
    async fn finish(self) -> Result<u64, BlobError> {
        let mut bytes = 0;
        for file in [self.verdicts, self.index, self.train, self.held_out] {
            bytes += file.finish().await?;
        }
        Ok(bytes)
    }
}

/// A part that is needed is away, most often because the disk is full: said where people look, and tried again until it is back.
async fn waits(platform: &Platform, job: &Claimed, version: &DatasetVersion, outage: Outage) -> Result<(), Problem> {
    let doing = "saying why a dataset is not checked";
    let reason = DatasetReason::CheckWaits { outage };
    let mut tx = Change::by_system(platform).await?;
    let Some(mut now) = tx.dataset_version(&version.tenant, version.id).await.doing(doing)? else { return Ok(()) };
    if !jobs::holds(&mut tx, job).await.doing(doing)? || now.state != VersionState::Checking || now.reason.as_ref() == Some(&reason) {
        return Ok(());
    }
    now.reason = Some(reason);
    tx.update_dataset_version(&now).await.doing(doing)?;
    tx.commit_unaudited(Unaudited::JobBookkeeping).await.doing(doing)
}

async fn commit(
    platform: &Platform,
    job: &Claimed,
    version: DatasetVersion,
    judged: Option<Judged>,
    reason: Option<DatasetReason>,
) -> Result<(), Problem> {
    let doing = "writing down a dataset's report";
    let mut tx = Change::by_system(platform).await?;
    // Read again: its documentation may have been edited meanwhile, or it was deleted.
    let now = tx.dataset_version(&version.tenant, version.id).await.doing(doing)?;
    if !jobs::finish(&mut tx, job).await.doing(doing)? {
        return Ok(());
    }
    let Some(mut version) = now.filter(|v| v.state == VersionState::Checking) else {
        return tx.commit_unaudited(Unaudited::JobBookkeeping).await.doing(doing);
    };
    let report = judged.map(|judged| {
        version.judgement = Some(judged.judgement);
        version.judged_bytes = judged.bytes;
        judged.report
    });
    version.state = if reason.is_some() { VersionState::Rejected } else { VersionState::Ready };
    version.format = report.as_ref().and_then(|r| r.format);
    version.container = report.as_ref().and_then(|r| r.container);
    let name = format!("{} v{}", version.dataset_name, version.number);
    let mut entry = audit::by_system(tx.at(), Some(&version.tenant), "dataset.checked", "dataset_version", version.id, name);
    entry.detail = match (&reason, &report) {
        (Some(reason), _) => Detail::DatasetRejected { reason: reason.clone() },
        (None, Some(r)) => Detail::DatasetAccepted { accepted: r.accepted, rows: r.rows },
        (None, None) => Detail::None,
    };
    version.reason = reason;
    version.report = report;
    tx.update_dataset_version(&version).await.doing(doing)?;
    tx.commit(entry).await.doing(doing)
}

/// The portal that took the upload is gone: nothing arrived, so nothing is kept.
async fn abandon(platform: &Platform, job: &Claimed, version: DatasetVersion) -> Result<(), Problem> {
    let doing = "clearing up after an upload that broke off";
    platform.blobs().erase(&artefacts::dataset_version(&version.tenant, version.id)).await.doing(doing)?;
    let mut tx = Change::by_system(platform).await?;
    if !jobs::finish(&mut tx, job).await.doing(doing)? {
        return Ok(());
    }
    tx.delete_dataset_version(&version).await.doing(doing)?;
    let name = format!("{} v{}", version.dataset_name, version.number);
    let mut entry = audit::by_system(tx.at(), Some(&version.tenant), "dataset.upload_abandoned", "dataset_version", version.id, name);
    entry.detail = Detail::UploadAbandoned;
    tx.commit(entry).await.doing(doing)
}
