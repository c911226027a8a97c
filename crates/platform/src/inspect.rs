//! The inspection of an uploaded dataset: every row is judged while the file streams by; verdicts, training rows and
//! held-out rows stream into the store; then report, state, audit and event commit together.
//!
//! May be killed and begun again at any time: it writes the same files to the same places, and only the last commit counts.

mod count;
mod judge;
mod split;
mod tally;

use crate::{
    Platform, audit,
    blobs::{BlobError, BlobWriter, Blobs},
    events,
    jobs::{self, Claimed, MOST_ATTEMPTS},
    problem::{Doing, internal},
};
use count::TokenCounter;
use domain::{
    dataset::{DatasetVersion, VersionState},
    event::Topic,
    ids::DatasetVersionId,
    inspect::{Finding, Report, rules::Rule},
    name::Name,
    problem::{Problem, ProblemKind},
    store_location,
};
use futures::StreamExt;
use judge::{Judge, Outcome, Split, Written, refusal};

/// The kind of these jobs; their object is the dataset version.
pub(crate) const JOB: &str = "inspect";
/// Bytes that are judged in one go on a thread that may block.
const PIECE: usize = 1024 * 1024;

/// Does one job: judges the version, or clears up after an upload whose portal died.
pub(crate) async fn work(platform: &Platform, job: &Claimed) -> Result<(), Problem> {
    let lost = || Problem::new(ProblemKind::Internal, format!("The job {} does not name a dataset version.", job.id));
    let tenant = job.tenant.as_ref().ok_or_else(lost)?;
    let id: DatasetVersionId = job.object.parse().map_err(|_| lost())?;
    let version = platform.store().dataset_version(tenant, id).await.doing("reading the dataset version")?;
    match version {
        Some(version) if version.state == VersionState::Checking => {
            let (report, reason) = if job.attempts > MOST_ATTEMPTS {
                (
                    None,
                    Some("The file could not be checked; whoever runs this portal finds the cause in the log. Upload it again.".to_owned()),
                )
            } else {
                let report = check(platform, tenant, &version).await?;
                let reason = refusal(&report);
                (Some(report), reason)
            };
            commit(platform, job, version, report, reason).await
        }
        Some(version) if version.state == VersionState::Uploading => abandon(platform, job, version).await,
        // Done already by somebody whose last word was lost, or gone.
        _ => {
            let mut tx = platform.begin().await?;
            jobs::finish(&mut tx, job).await.doing("finishing a job")?;
            tx.commit().await.doing("finishing a job")
        }
    }
}

async fn check(platform: &Platform, tenant: &Name, version: &DatasetVersion) -> Result<Report, Problem> {
    let mut context = 0;
    let mut counter = None;
    let mut no_tokenizer: Option<Finding> = None;
    if let Some(id) = version.tokenizer {
        let model = platform.store().base_model(id).await.doing("reading the base model")?;
        context = model.map_or(0, |m| m.context);
        match TokenCounter::load(platform.blobs(), id).await.doing("reading the tokenizer")? {
            Ok(loaded) => counter = Some(loaded),
            Err(sentence) => no_tokenizer = Some(Rule::NoTokenizer.finding(sentence)),
        }
    }
    let mut split = Split { percent: version.held_out_percent, ..Split::default() };
    // At most two passes: the second with exceptions that leave no side empty.
    loop {
        let mut judge = Judge::new(counter, context, split);
        if let Some(finding) = &no_tokenizer {
            judge.note(finding);
        }
        let (judge, outcome) = pass(platform.blobs(), tenant, version.id, judge).await?;
        match outcome.better_split.filter(|better| *better != split) {
            Some(better) => {
                split = better;
                counter = judge.into_counter();
            }
            None => return Ok(outcome.report),
        }
    }
}

/// The whole file once.
async fn pass(blobs: &Blobs, tenant: &Name, id: DatasetVersionId, mut judge: Judge) -> Result<(Judge, Outcome), Problem> {
    let doing = "checking a dataset";
    let mut files = Files::open(blobs, tenant, id).await.doing(doing)?;
    let mut original = blobs.stream(&store_location::dataset_original(tenant, id)).await.doing(doing)?;
    let mut refused = None;
    let mut ended = false;
    while !ended && refused.is_none() {
        let mut piece = Vec::with_capacity(PIECE);
        while piece.len() < PIECE {
            match original.next().await {
                Some(bytes) => piece.extend_from_slice(&bytes.doing(doing)?),
                None => {
                    ended = true;
                    break;
                }
            }
        }
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
    files.finish().await.doing(doing)?;
    Ok((judge, outcome))
}

/// The three files that an inspection writes.
struct Files {
    verdicts: BlobWriter,
    train: BlobWriter,
    held_out: BlobWriter,
}

impl Files {
    async fn open(blobs: &Blobs, tenant: &Name, id: DatasetVersionId) -> Result<Self, BlobError> {
        Ok(Self {
            verdicts: blobs.writer(&store_location::dataset_verdicts(tenant, id)).await?,
            train: blobs.writer(&store_location::dataset_train(tenant, id)).await?,
            held_out: blobs.writer(&store_location::dataset_held_out(tenant, id)).await?,
        })
    }

    async fn write(&mut self, written: &mut Written) -> Result<(), BlobError> {
        let Written { verdicts, train, held_out } = std::mem::take(written);
        self.verdicts.write(&verdicts).await?;
        self.train.write(&train).await?;
        self.held_out.write(&held_out).await
    }

    async fn finish(self) -> Result<(), BlobError> {
        self.verdicts.finish().await?;
        self.train.finish().await?;
        self.held_out.finish().await?;
        Ok(())
    }
}

async fn commit(
    platform: &Platform,
    job: &Claimed,
    version: DatasetVersion,
    report: Option<Report>,
    reason: Option<String>,
) -> Result<(), Problem> {
    let doing = "writing down a dataset's report";
    let mut tx = platform.begin().await?;
    // Read again: its documentation may have been edited meanwhile.
    let mut version = tx.dataset_version(&version.tenant, version.id).await.doing(doing)?.unwrap_or(version);
    let mine = jobs::finish(&mut tx, job).await.doing(doing)?;
    if !mine || version.state != VersionState::Checking {
        return Ok(());
    }
    version.state = if reason.is_some() { VersionState::Rejected } else { VersionState::Ready };
    version.format = report.as_ref().and_then(|r| r.format);
    version.container = report.as_ref().and_then(|r| r.container);
    let name = format!("{} v{}", version.dataset_name, version.number);
    let mut entry = audit::by_system(tx.at(), Some(&version.tenant), "dataset.checked", "dataset_version", version.id, name);
    entry.detail = match (&reason, &report) {
        (Some(reason), _) => format!("rejected: {reason}"),
        (None, Some(r)) => format!("{} of {} rows accepted", r.accepted, r.rows),
        (None, None) => String::new(),
    };
    version.reason = reason;
    version.report = report;
    tx.update_dataset_version(&version).await.doing(doing)?;
    audit::append(&mut tx, entry).await.doing(doing)?;
    events::tell(&mut tx, &version.tenant, Topic::DatasetVersion, version.id).await.doing(doing)?;
    tx.commit().await.doing(doing)
}

/// The portal that took the upload is gone: nothing arrived, so nothing is kept.
async fn abandon(platform: &Platform, job: &Claimed, version: DatasetVersion) -> Result<(), Problem> {
    let doing = "clearing up after an upload that broke off";
    platform.blobs().delete(&store_location::dataset_original(&version.tenant, version.id)).await.doing(doing)?;
    let mut tx = platform.begin().await?;
    if !jobs::finish(&mut tx, job).await.doing(doing)? {
        return Ok(());
    }
    tx.delete_dataset_version(&version).await.doing(doing)?;
    let name = format!("{} v{}", version.dataset_name, version.number);
    let mut entry = audit::by_system(tx.at(), Some(&version.tenant), "dataset.upload_abandoned", "dataset_version", version.id, name);
    entry.detail = "the portal stopped while the file was arriving".into();
    audit::append(&mut tx, entry).await.doing(doing)?;
    events::tell(&mut tx, &version.tenant, Topic::DatasetVersion, version.id).await.doing(doing)?;
    tx.commit().await.doing(doing)
}
