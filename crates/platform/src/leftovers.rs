//! What writers that were killed left in the artefact store, and files whose owner is gone: counted against the tenant's storage as
//! long as they lie there, and removed once nobody can be writing them any more.
//!
//! Who may still be writing is told by the owner: the row that a path names. Age alone decides only where there is no owner to ask.

use crate::{Platform, blobs::OnDisk, problem::Doing};
use domain::{
    artefacts,
    base_model::BaseModelState,
    dataset::{DatasetVersion, VersionState},
    ids::RunId,
    name::Name,
    page::Cursor,
    problem::Problem,
    run::RunState,
    tenant::TenantOverview,
    time::{DAY, HOUR, MINUTE},
};
use std::collections::{HashMap, HashSet};

/// How long a file without a living owner lies before it goes: a writer that has lost its claim may be in its last write.
const AFTER: i64 = 10 * MINUTE;
/// How long an unfinished file lies that names no owner.
const UNKNOWN_AFTER: i64 = 24 * HOUR;

/// How long the checkpoints of a run that failed or was stopped are kept for another try.
const CHECKPOINT_AFTER: i64 = 14 * DAY;

/// How long parts of an upload to a bucket lie that was never finished: no file takes so long to arrive.
const UPLOAD_AFTER: i64 = 48 * HOUR;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub files: u64,
    pub bytes: u64,
}

impl Platform {
    /// Goes through the whole store once: removes what nobody owns any more, and measures what each tenant has on the disk.
    pub async fn sweep_store(&self) -> Result<Swept, Problem> {
        let doing = "looking for leftovers in the artefact store";
        let mut swept = Swept::default();
        let mut after = Some(Cursor::default());
        while let Some(from) = after {
            let page = self.store().tenants("", &from).await.doing(doing)?;
            for TenantOverview { tenant, .. } in page.rows {
                let settled = self.store().settled_bytes(&tenant.name).await.doing(doing)?;
                let files = self.blobs().on_disk(&format!("t/{}", tenant.name)).await.doing(doing)?;
                let mut owners = Owners { platform: self, tenant: &tenant.name, versions: HashMap::new(), runs: HashMap::new() };
                let (mut measured, mut inodes) = (0, HashSet::new());
                for file in files {
                    let fate = owners.fate(&file).await?;
                    if fate.kept_for().is_some_and(|age| self.is_old(&file, age)) {
                        self.blobs().remove_from_disk(&file.path).await.doing(doing)?;
                        swept.files += 1;
                        swept.bytes += file.bytes;
                    } else if fate != Fate::Promised && file.inode.is_none_or(|inode| inodes.insert(inode)) {
                        measured += file.bytes;
                    }
                }
                // What was published or judged meanwhile counts at the next sweep.
                if self.store().settled_bytes(&tenant.name).await.doing(doing)? == settled {
                    self.store().set_other_bytes(&tenant.name, measured.saturating_sub(settled), self.now()).await.doing(doing)?;
                }
            }
            after = page.next;
        }
        self.remove_unfinished_uploads().await;
        for file in self.blobs().on_disk("base-models").await.doing(doing)? {
            if file.is_unfinished && self.is_old(&file, AFTER) && !self.is_registering(&file).await? {
                self.blobs().remove_from_disk(&file.path).await.doing(doing)?;
                swept.files += 1;
                swept.bytes += file.bytes;
            }
        }
        if swept.files > 0 {
            tracing::info!(files = swept.files, bytes = swept.bytes, "removed what killed writers had left in the artefact store");
        }
        Ok(swept)
    }

    /// In buckets they are seen by the store alone, so it is asked to remove them: Garage by its admin API, any other S3 by its own rule
    /// (docs/s3.md). Trouble is only told: nothing depends on it, and the next sweep comes.
    async fn remove_unfinished_uploads(&self) {
        let Some(garage) = self.garage() else { return };
        let removed = async {
            let mut removed = 0;
            for bucket in self.buckets().await? {
                let id = garage.bucket(&bucket).await.map_err(|e| e.to_string())?;
                removed += garage.remove_unfinished(&id, (UPLOAD_AFTER / 1000).cast_unsigned()).await.map_err(|e| e.to_string())?;
            }
            Ok::<_, String>(removed)
        };
        match removed.await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(uploads, "removed uploads that were never finished"),
            Err(why) => tracing::warn!(why, "unfinished uploads could not be looked for"),
        }
    }

    /// Those that are known to be there.
    async fn buckets(&self) -> Result<Vec<String>, String> {
        let with_key = self.store().tenants_with_store_key().await.map_err(|e| e.to_string())?;
        let location = self.location();
        Ok(with_key.iter().filter_map(|tenant| location.bucket(tenant)).chain(location.platform_bucket()).collect())
    }

    fn is_old(&self, file: &OnDisk, age: i64) -> bool {
        self.now().since(file.modified) >= age
    }

    async fn is_registering(&self, file: &OnDisk) -> Result<bool, Problem> {
        let Some(Ok(id)) = file.path.split('/').nth(1).map(str::parse) else { return Ok(false) };
        let model = self.store().base_model(id).await.doing("reading a base model")?;
        Ok(model.is_some_and(|m| m.state == BaseModelState::Registering))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Somebody owns it.
    Kept,
    /// It is arriving, and counted as what was promised to its upload.
    Promised,
    /// Whoever wrote it has ended, or what it belonged to is gone.
    Over,
    /// Another try of its run would go on from it.
    ForAnotherTry,
    /// Unfinished, and nobody to ask.
    Unknown,
}

impl Fate {
    /// At what age it goes; `None` = it stays.
    const fn kept_for(self) -> Option<i64> {
        match self {
            Self::Kept | Self::Promised => None,
            Self::Over => Some(AFTER),
            Self::ForAnotherTry => Some(CHECKPOINT_AFTER),
            Self::Unknown => Some(UNKNOWN_AFTER),
        }
    }
}

/// The rows that paths name, each read once.
struct Owners<'p> {
    platform: &'p Platform,
    tenant: &'p Name,
    versions: HashMap<String, Option<DatasetVersion>>,
    runs: HashMap<RunId, Option<RunState>>,
}

impl Owners<'_> {
    async fn fate(&mut self, file: &OnDisk) -> Result<Fate, Problem> {
        let mut parts = file.path.split('/').skip(2);
        let unfinished = |otherwise| if file.is_unfinished { otherwise } else { Fate::Kept };
        match (parts.next(), parts.next()) {
            (Some("datasets"), Some(id)) => {
                let version = self.version(id).await?;
                Ok(of_version(version.as_ref(), &parts.collect::<Vec<_>>(), file.is_unfinished))
            }
            (Some("runs"), Some(id)) => {
                let of_checkpoint = parts.nth(1) == Some(artefacts::CHECKPOINTS);
                if !of_checkpoint && !file.is_unfinished {
                    return Ok(Fate::Kept);
                }
                let Ok(id) = id.parse() else { return Ok(unfinished(Fate::Unknown)) };
                let state = self.run_state(id).await?;
                Ok(of_run(state, of_checkpoint && !file.is_unfinished))
            }
            _ => Ok(unfinished(Fate::Unknown)),
        }
    }

    async fn run_state(&mut self, id: RunId) -> Result<Option<RunState>, Problem> {
        if let Some(known) = self.runs.get(&id) {
            return Ok(*known);
        }
        let found = self.platform.store().run_state_anywhere(id).await.doing("reading a run")?;
        self.runs.insert(id, found);
        Ok(found)
    }

    async fn version(&mut self, id: &str) -> Result<Option<DatasetVersion>, Problem> {
        if let Some(known) = self.versions.get(id) {
            return Ok(known.clone());
        }
        let found = match id.parse() {
            Ok(parsed) => self.platform.store().dataset_version(self.tenant, parsed).await.doing("reading a dataset version")?,
            Err(_) => None,
        };
        self.versions.insert(id.to_owned(), found.clone());
        Ok(found)
    }
}

/// A file of a checkpoint, or an unfinished one.
fn of_run(state: Option<RunState>, of_checkpoint: bool) -> Fate {
    match state {
        Some(RunState::Failed | RunState::Cancelled) if of_checkpoint => Fate::ForAnotherTry,
        Some(state) if !state.is_final() => Fate::Kept,
        _ => Fate::Over,
    }
}

/// `below`: the parts of the path below the version's folder.
fn of_version(version: Option<&DatasetVersion>, below: &[&str], unfinished: bool) -> Fate {
    let Some(version) = version.filter(|v| v.erased_at.is_none()) else { return Fate::Over };
    match (version.state, below) {
        (VersionState::Uploading, _) => Fate::Promised,
        // A judge is at work, and begins by clearing up after the one before.
        (VersionState::Checking, _) => Fate::Kept,
        (VersionState::Ready | VersionState::Rejected, _) if unfinished => Fate::Over,
        (_, [_original_or_judged_before_judgings_had_names]) => Fate::Kept,
        (_, [judgement, _]) if version.judgement.as_deref() == Some(judgement) => Fate::Kept,
        _ => Fate::Over,
    }
}

/// How often the store is gone through.
pub(crate) const EVERY: std::time::Duration = std::time::Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_stay_as_long_as_a_try_may_need_them() {
        let kept = |state| of_run(state, true).kept_for();
        for state in [RunState::Queued, RunState::Running, RunState::Cancelling] {
            assert_eq!(kept(Some(state)), None, "{state:?}");
        }
        for state in [RunState::Failed, RunState::Cancelled] {
            assert_eq!(kept(Some(state)), Some(14 * DAY), "{state:?}");
            assert_eq!(of_run(Some(state), false), Fate::Over, "an unfinished file of it");
        }
        assert_eq!([kept(Some(RunState::Succeeded)), kept(None)], [Some(AFTER); 2]);
    }
}
