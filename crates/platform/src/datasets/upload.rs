//! The upload of one version: the row exists before the first byte, the bytes stream to the store while they are hashed,
//! and the end of the file, the audit record, the event and the job that judges it commit together.
//!
//! While bytes arrive this process holds that job. When the process dies, its claim ends, and whoever takes the job finds a
//! version that never arrived and clears it up.

use super::Datasets;
use crate::{
    Platform,
    access::Permit,
    change::{Change, Unaudited},
    jobs::{self, Claimed, Job},
    problem::Doing,
    tenants::storage_used_up,
};
use bytes::Bytes;
use domain::{
    artefacts,
    audit::Detail,
    base_model::BaseModelState,
    dataset::{Dataset, DatasetVersion, Documentation, VersionState},
    ids::{BaseModelId, DatasetId, DatasetVersionId},
    name::Name,
    policy::Action,
    problem::{FieldProblem, Problem, ProblemKind},
    reason::dataset::DatasetReason,
    size,
};
use futures::{Stream, StreamExt};

/// How far ahead of what has arrived room is promised to an upload, bytes; near the quota, only what has arrived is.
const AHEAD: u64 = 8 * 1024 * 1024;

/// What comes with the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewUpload {
    /// Of the dataset; a version is appended when it exists.
    pub name: String,
    /// As the person's machine called the file; display only.
    pub file_name: String,
    /// 0 to 50.
    pub held_out_percent: u8,
    /// Name of the base model whose tokenizer counts.
    pub tokenizer: Option<String>,
    pub documentation: Documentation,
    /// Where the client said it: then a file that does not fit is refused before it is sent.
    pub expected_bytes: Option<u64>,
}

impl Datasets<'_> {
    /// Takes the file and returns the version in state `checking`. On every failure nothing is left: no row, no bytes.
    pub async fn upload<E>(&self, new: NewUpload, body: impl Stream<Item = Result<Bytes, E>> + Unpin) -> Result<DatasetVersion, Problem>
    where
        E: std::fmt::Display,
    {
        let permit = self.scope.permit(Action::DatasetWrite)?;
        let (name, tokenizer) = self.check(&new).await?;
        let platform = self.scope.platform();
        let (version, job) = self.begin(&permit, &new, &name, tokenizer).await?;
        let arrived = tokio::select! {
            arrived = self.receive(&permit, &version, body) => arrived,
            () = platform.keep_claim(&job) => Err(Problem::conflict("The upload stalled for more than a minute and was cancelled.").next("Upload the file again.")),
        };
        let done = match arrived {
            Ok((bytes, digest)) => self.commit(&permit, &version, &job, bytes, digest).await,
            Err(problem) => Err(problem),
        };
        if done.is_err() {
            clear_up(platform, &version, &job).await;
        }
        done
    }

    /// Every field that is wrong, at once.
    async fn check(&self, new: &NewUpload) -> Result<(Name, Option<BaseModelId>), Problem> {
        let mut wrong = new.documentation.check();
        let name: Result<Name, _> = new.name.trim().parse();
        if let Err(bad) = &name {
            let mut field = bad.in_field("name");
            field.suggestion = field.suggestion.or_else(|| Name::suggest(&new.file_name).map(String::from));
            wrong.push(field);
        }
        if new.held_out_percent > 50 {
            wrong.push(FieldProblem::new("held_out_percent", "Hold out at most 50 percent.").suggesting("10"));
        }
        let mut tokenizer = None;
        if let Some(text) = new.tokenizer.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
            let model = match text.parse::<Name>() {
                Ok(name) => self.scope.platform().store().base_model_by_name(&name).await.doing("reading the base model")?,
                Err(_) => None,
            };
            match model {
                Some(model) if model.state == BaseModelState::Ready => tokenizer = Some(model.id),
                Some(_) => wrong.push(FieldProblem::new("tokenizer", format!("The base model “{text}” is not ready."))),
                None => wrong.push(FieldProblem::new("tokenizer", format!("There is no base model “{}”.", crate::access::shortened(text)))),
            }
        }
        match name {
            Ok(name) if wrong.is_empty() => Ok((name, tokenizer)),
            _ => Err(Problem::invalid(wrong)),
        }
    }

    /// Makes the rows, when the file fits as far as it is known.
    async fn begin(
        &self,
        permit: &Permit<'_>,
        new: &NewUpload,
        name: &Name,
        tokenizer: Option<BaseModelId>,
    ) -> Result<(DatasetVersion, Claimed), Problem> {
        let doing = "beginning an upload";
        let (platform, tenant, person) = (self.scope.platform(), self.scope.tenant_name(), self.scope.person());
        let expected = new.expected_bytes.unwrap_or(0);
        if expected > platform.inner.upload_bytes {
            return Err(too_large(platform));
        }
        let mut tx = Change::begin(platform, permit).await?;
        let stored = tx.stored_bytes(tenant).await.doing(doing)?;
        let quota = tx.tenant(tenant).await.doing(doing)?.map_or(0, |t| t.quota.storage_bytes);
        if stored.saturating_add(expected.max(1)) > quota {
            return Err(over_quota(tenant, stored, expected, quota));
        }
        let dataset = match tx.dataset(tenant, name).await.doing(doing)? {
            Some(dataset) => dataset,
            None => {
                let id = DatasetId::from_uuid(platform.fresh_uuid());
                let dataset = Dataset { id, tenant: tenant.clone(), name: name.clone(), created_by: person.id, created_at: tx.at() };
                tx.insert_dataset(&dataset).await.doing(doing)?;
                dataset
            }
        };
        let version = DatasetVersion {
            id: DatasetVersionId::from_uuid(platform.fresh_uuid()),
            tenant: tenant.clone(),
            dataset: dataset.id,
            dataset_name: dataset.name,
            number: tx.last_version_number(tenant, dataset.id).await.doing(doing)? + 1,
            state: VersionState::Uploading,
            reason: Some(DatasetReason::Arriving),
            file_name: shown_file_name(&new.file_name),
            // Counts against the quota from the start, so that two uploads cannot both take the last room.
            bytes: expected,
            digest: None,
            judgement: None,
            judged_bytes: 0,
            erased_at: None,
            same_as: None,
            format: None,
            container: None,
            held_out_percent: new.held_out_percent,
            tokenizer,
            report: None,
            documentation: new.documentation.clone(),
            created_by: person.id,
            created_by_name: person.name.clone(),
            created_at: tx.at(),
        };
        tx.insert_dataset_version(&version).await.doing(doing)?;
        let job = jobs::enqueue_held(&mut tx, &Job::Inspect { tenant: tenant.clone(), version: version.id }).await.doing(doing)?;
        tx.commit_unaudited(Unaudited::UploadArriving).await.doing(doing)?;
        Ok((version, job))
    }

    /// Streams the file into the store; returns its size and BLAKE3.
    async fn receive<E: std::fmt::Display>(
        &self,
        permit: &Permit<'_>,
        version: &DatasetVersion,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(u64, String), Problem> {
        let doing = "storing an upload";
        let platform = self.scope.platform();
        let mut writer = platform.blobs().writer(&artefacts::dataset_original(&version.tenant, version.id)).await.doing(doing)?;
        let mut hash = blake3::Hasher::new();
        let (mut bytes, mut promised) = (0u64, version.bytes);
        while let Some(piece) = body.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(e) => {
                    tracing::info!(version = %version.id, bytes, cause = %e, "an upload broke off");
                    writer.abort().await;
                    return Err(Problem::new(
                        ProblemKind::Invalid,
                        format!("The upload was interrupted after {}; nothing was stored.", size::bytes(bytes)),
                    )
                    .next("Send the file again."));
                }
            };
            bytes += piece.len() as u64;
            if bytes > platform.inner.upload_bytes {
                writer.abort().await;
                return Err(too_large(platform));
            }
            if bytes > promised {
                match self.promise(permit, version, bytes).await {
                    Ok(more) => promised = more,
                    Err(problem) => {
                        writer.abort().await;
                        return Err(problem);
                    }
                }
            }
            hash.update(&piece);
            if let Err(e) = writer.write(&piece).await {
                writer.abort().await;
                return Err(e).doing(doing);
            }
        }
        if bytes == 0 {
            writer.abort().await;
            return Err(Problem::field("file", "The file is empty.").next("Choose a JSON or JSONL file with at least one row."));
        }
        writer.finish().await.doing(doing)?;
        Ok((bytes, hash.finalize().to_hex().to_string()))
    }

    /// Room for `bytes` of the file and a little more, so that however many uploads arrive at once, what they write never passes the
    /// quota. Returns how much it is.
    async fn promise(&self, permit: &Permit<'_>, version: &DatasetVersion, bytes: u64) -> Result<u64, Problem> {
        let doing = "making room for an upload";
        let tenant = self.scope.tenant_name();
        let mut tx = Change::begin(self.scope.platform(), permit).await?;
        let mine = tx.dataset_version(tenant, version.id).await.doing(doing)?.map_or(0, |v| v.bytes);
        let others = tx.stored_bytes(tenant).await.doing(doing)?.saturating_sub(mine);
        let quota = tx.tenant(tenant).await.doing(doing)?.map_or(0, |t| t.quota.storage_bytes);
        let room = quota.saturating_sub(others);
        if bytes > room {
            return Err(over_quota(tenant, others, bytes, quota));
        }
        let promised = if bytes.saturating_add(AHEAD) > room { bytes } else { bytes + AHEAD };
        tx.set_arriving_bytes(version, promised).await.doing(doing)?;
        tx.commit_unaudited(Unaudited::UploadArriving).await.doing(doing)?;
        Ok(promised)
    }

    async fn commit(
        &self,
        permit: &Permit<'_>,
        version: &DatasetVersion,
        job: &Claimed,
        bytes: u64,
        digest: String,
    ) -> Result<DatasetVersion, Problem> {
        let doing = "finishing an upload";
        let tenant = self.scope.tenant_name();
        let mut tx = Change::begin(self.scope.platform(), permit).await?;
        let mine = tx.dataset_version(tenant, version.id).await.doing(doing)?.map_or(0, |v| v.bytes);
        let others = tx.stored_bytes(tenant).await.doing(doing)?.saturating_sub(mine);
        let quota = tx.tenant(tenant).await.doing(doing)?.map_or(0, |t| t.quota.storage_bytes);
        if others.saturating_add(bytes) > quota {
            return Err(over_quota(tenant, others, bytes, quota));
        }
        if !jobs::hand_over(&mut tx, job).await.doing(doing)? {
            return Err(Problem::conflict("The upload stalled for more than a minute and was cancelled.").next("Upload the file again."));
        }
        let reason = Some(DatasetReason::Checking);
        let version = DatasetVersion { state: VersionState::Checking, reason, bytes, digest: Some(digest), ..version.clone() };
        tx.update_dataset_version(&version).await.doing(doing)?;
        let mut entry = tx.entry("dataset_version", version.id, super::called(&version));
        entry.detail = Detail::DatasetUploaded { file: version.file_name.clone(), bytes };
        tx.commit(entry).await.doing(doing)?;
        Ok(version)
    }
}

/// Best effort: what cannot be removed now is removed by whoever takes the job after its claim has ended. The bytes go only
/// when the row is gone: a commit whose answer was lost may have succeeded.
async fn clear_up(platform: &Platform, version: &DatasetVersion, job: &Claimed) {
    let doing = "clearing up after an upload";
    let cleared: Result<(), Problem> = async {
        let mut tx = Change::by_system(platform).await?;
        if jobs::finish(&mut tx, job).await.doing(doing)? {
            tx.delete_dataset_version(version).await.doing(doing)?;
            tx.commit_unaudited(Unaudited::UploadCleared).await.doing(doing)?;
        } else {
            drop(tx);
        }
        if platform.store().dataset_version(&version.tenant, version.id).await.doing(doing)?.is_none() {
            platform.blobs().erase(&artefacts::dataset_version(&version.tenant, version.id)).await.doing(doing)?;
        }
        Ok(())
    }
    .await;
    if let Err(problem) = cleared {
        tracing::warn!(version = %version.id, %problem, "an upload is cleared up later");
    }
}

/// Display only: no path, no control characters, 120 characters.
fn shown_file_name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).take(120).collect();
    if clean.trim().is_empty() { "upload".into() } else { clean }
}

fn too_large(platform: &Platform) -> Problem {
    Problem::field(
        "file",
        format!("The file is larger than {}, the most that one file may have.", size::bytes(platform.inner.upload_bytes)),
    )
    .next("Split it into several files.")
}

fn over_quota(tenant: &Name, stored: u64, bytes: u64, quota: u64) -> Problem {
    if bytes == 0 {
        return storage_used_up(tenant, stored, quota);
    }
    let sentence = format!(
        "The file has {} or more, and the tenant “{tenant}” uses {} of its {} of storage.",
        size::bytes(bytes),
        size::bytes(stored),
        size::bytes(quota)
    );
    Problem::new(ProblemKind::QuotaExceeded, sentence).next("Upload a smaller file, or ask the platform admin for more storage.")
}
