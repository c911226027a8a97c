//! Where artefacts lie, as plain data that also travels to tasks. Paths inside are made in one place, here,
//! so that portal and task can never disagree.

use crate::{
    ids::{BaseModelId, DatasetVersionId, ModelVersionId, RunId},
    name::Name,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ArtefactStore {
    /// A folder on this machine or on a shared volume.
    Local { root: String },
    /// Buckets of an S3-compatible store. Whoever opens them needs a [`StoreKey`], which is never in here.
    S3 {
        /// `https://s3.example.org`; no slash at the end.
        endpoint: String,
        region: String,
        /// Of the names of all buckets: `{bucket_prefix}{tenant}`, and `{bucket_prefix}platform`.
        bucket_prefix: String,
        /// `https://host/bucket/key`, not `https://bucket.host/key`.
        path_style: bool,
        /// Certificate authorities of the house, PEM: the text itself, because tasks run on other machines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
    },
}

/// The part of a bucket's name that says "belongs to no tenant"; so no tenant of a store in S3 may have it as its name.
const PLATFORM: &str = "platform";

/// How long S3 allows the name of a bucket to be.
const LONGEST_BUCKET: usize = 63;

impl ArtefactStore {
    /// The bucket in which the object of this path lies, under the whole path as its key: a tenant's own for everything below
    /// `t/{tenant}/`, the platform's for the rest. `None` in a folder.
    pub fn bucket_of(&self, path: &str) -> Option<String> {
        let tenant = path.strip_prefix("t/").and_then(|rest| rest.split('/').next()).filter(|tenant| !tenant.is_empty());
        self.named(tenant.unwrap_or(PLATFORM))
    }

    /// The bucket of everything below `t/{tenant}/`.
    pub fn bucket(&self, tenant: &Name) -> Option<String> {
        self.named(tenant.as_str())
    }

    /// The bucket of what belongs to no tenant: base models, checkpoints of the audit log. Every tenant may read it.
    pub fn platform_bucket(&self) -> Option<String> {
        self.named(PLATFORM)
    }

    fn named(&self, of: &str) -> Option<String> {
        match self {
            Self::Local { .. } => None,
            Self::S3 { bucket_prefix, .. } => Some(format!("{bucket_prefix}{of}")),
        }
    }

    /// Why a tenant of this name cannot have a bucket here, in a sentence. `None` = it can.
    pub fn refuses(&self, tenant: &Name) -> Option<String> {
        let bucket = self.bucket(tenant)?;
        if tenant.as_str() == PLATFORM {
            return Some(format!("The bucket “{bucket}” holds what all tenants share, so no tenant can be called “{PLATFORM}”."));
        }
        (bucket.len() > LONGEST_BUCKET).then(|| {
            let most = LONGEST_BUCKET.saturating_sub(bucket.len() - tenant.as_str().len());
            format!("At most {most} characters: the tenant's bucket is “{bucket}”, and S3 allows {LONGEST_BUCKET}.")
        })
    }
}

/// Under this name the engine knows a tenant's [`StoreKey`], and tasks find it in a file of this name in the folder of their secrets.
pub const STORE_SECRET: &str = "store";

/// Opens buckets. A tenant's key reads the platform's bucket, reads and writes its own, and nothing else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreKey({}, hidden)", self.access_key_id)
    }
}

/// `t/{tenant}/datasets/{version}/original`: the bytes as uploaded.
pub fn dataset_original(tenant: &Name, version: DatasetVersionId) -> String {
    format!("t/{tenant}/datasets/{version}/original")
}
/// Folder of everything that belongs to one version of a dataset.
pub fn dataset_version(tenant: &Name, version: DatasetVersionId) -> String {
    format!("t/{tenant}/datasets/{version}")
}
/// Folder of what one judging of a version wrote. Each judging has its own, and the version's row names the one that counts: one
/// that was frozen and succeeded by another writes where nobody looks. `None` = judged before judgings had names.
pub fn dataset_judgement(tenant: &Name, version: DatasetVersionId, judgement: Option<&str>) -> String {
    let folder = dataset_version(tenant, version);
    match judgement {
        Some(judgement) => format!("{folder}/{judgement}"),
        None => folder,
    }
}
/// Accepted rows that are trained on, as OpenAI messages, one JSON object a line.
pub fn dataset_train(tenant: &Name, version: DatasetVersionId, judgement: Option<&str>) -> String {
    format!("{}/train.jsonl", dataset_judgement(tenant, version, judgement))
}
/// Accepted rows that are kept back for the evaluation.
pub fn dataset_held_out(tenant: &Name, version: DatasetVersionId, judgement: Option<&str>) -> String {
    format!("{}/held_out.jsonl", dataset_judgement(tenant, version, judgement))
}
/// The verdict on every row (`inspect::RowVerdict` without its texts), one JSON object a line, in file order.
pub fn dataset_verdicts(tenant: &Name, version: DatasetVersionId, judgement: Option<&str>) -> String {
    format!("{}/verdicts.jsonl", dataset_judgement(tenant, version, judgement))
}
/// Where in the verdicts each block of rows starts, and what is in it, one JSON object a line.
pub fn dataset_verdict_index(tenant: &Name, version: DatasetVersionId, judgement: Option<&str>) -> String {
    format!("{}/verdicts.index.jsonl", dataset_judgement(tenant, version, judgement))
}
/// Folder with the files of a base model (`config.json`, weights, tokenizer).
pub fn base_model(id: BaseModelId) -> String {
    format!("base-models/{id}")
}
/// Folder of what one task of a run wrote: `task` is a `run::Step::folder`, such as `train`, or `train-2` for its second try.
pub fn run_task(tenant: &Name, run: RunId, task: &str) -> String {
    format!("t/{tenant}/runs/{run}/{task}")
}
/// Folder of the weights that a task of a run left; what a model version is made of.
pub fn run_output(tenant: &Name, run: RunId, task: &str) -> String {
    format!("{}/output", run_task(tenant, run, task))
}
/// Folder of the checkpoints of a training, of one try of it.
pub fn run_checkpoints(tenant: &Name, run: RunId, task: &str) -> String {
    format!("{}/{CHECKPOINTS}", run_task(tenant, run, task))
}
/// Folder of what the trainer needs to go on from this step.
pub fn run_checkpoint(tenant: &Name, run: RunId, task: &str, step: u64) -> String {
    format!("{}/{step}", run_checkpoints(tenant, run, task))
}
/// Which files a checkpoint has, with digests; written after them: without it there is no checkpoint.
pub fn run_checkpoint_manifest(tenant: &Name, run: RunId, task: &str, step: u64) -> String {
    format!("{}.json", run_checkpoint(tenant, run, task, step))
}
/// The name of [`run_checkpoints`] in the folder of its task.
pub const CHECKPOINTS: &str = "checkpoints";
/// The task's last word (`report::Verdict`), written after everything else.
pub fn run_verdict(tenant: &Name, run: RunId, task: &str) -> String {
    format!("{}/verdict.json", run_task(tenant, run, task))
}
/// The full log of a task, one `report::Line` a line, kept after the process is gone.
pub fn run_log(tenant: &Name, run: RunId, task: &str) -> String {
    format!("{}/log.jsonl", run_task(tenant, run, task))
}
/// What base and tuned model answered to every held-out row (`run::EvaluatedRow`), one JSON object a line.
pub fn run_evaluated_rows(tenant: &Name, run: RunId, task: &str) -> String {
    format!("{}/evaluated.jsonl", run_task(tenant, run, task))
}
/// Folder with the published files of a model version (adapter or full weights).
pub fn model_version(tenant: &Name, version: ModelVersionId) -> String {
    format!("t/{tenant}/models/{version}")
}
/// Folder of the signed checkpoints of the audit log, one file each; their names sort by time.
pub fn audit_checkpoints() -> &'static str {
    "audit/checkpoints"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3() -> ArtefactStore {
        ArtefactStore::S3 {
            endpoint: "http://127.0.0.1:3900".into(),
            region: "garage".into(),
            bucket_prefix: "atelier-".into(),
            path_style: true,
            ca: None,
        }
    }

    #[test]
    fn a_tenants_paths_lie_in_its_own_bucket_and_all_others_in_the_platforms() {
        let (store, tenant) = (s3(), "acme".parse().unwrap());
        let version = DatasetVersionId::from_uuid(uuid::Uuid::nil());
        assert_eq!(store.bucket_of(&dataset_original(&tenant, version)).as_deref(), Some("atelier-acme"));
        assert_eq!(store.bucket_of("t/acme").as_deref(), Some("atelier-acme"));
        for path in [audit_checkpoints(), "base-models/x", "t", "t/", "tea/acme/x"] {
            assert_eq!(store.bucket_of(path), store.platform_bucket(), "{path}");
        }
        assert_eq!(ArtefactStore::Local { root: "/srv".into() }.bucket_of("t/acme/x"), None);
    }

    #[test]
    fn a_name_that_no_bucket_can_have_or_another_has_is_refused() {
        let store = s3();
        assert_eq!(store.refuses(&"acme".parse().unwrap()), None);
        assert!(store.refuses(&"platform".parse().unwrap()).unwrap().contains("all tenants share"));
        assert!(store.refuses(&"a".repeat(56).parse().unwrap()).unwrap().starts_with("At most 55 characters"));
        assert_eq!(store.refuses(&"a".repeat(55).parse().unwrap()), None);
        assert_eq!(ArtefactStore::Local { root: "/srv".into() }.refuses(&"platform".parse().unwrap()), None);
    }

    #[test]
    fn the_secret_of_a_key_is_in_no_log() {
        let key = StoreKey { access_key_id: "GK1".into(), secret_access_key: "much".into() };
        assert_eq!(format!("{key:?}"), "StoreKey(GK1, hidden)");
        assert_eq!(serde_json::to_string(&key).unwrap(), r#"{"access_key_id":"GK1","secret_access_key":"much"}"#);
    }

    #[test]
    fn what_earlier_versions_wrote_of_a_folder_is_read() {
        let store: ArtefactStore = serde_json::from_str(r#"{"kind":"local","root":"/srv"}"#).unwrap();
        assert_eq!(store, ArtefactStore::Local { root: "/srv".into() });
        let json = serde_json::to_string(&s3()).unwrap();
        assert_eq!(serde_json::from_str::<ArtefactStore>(&json).unwrap(), s3());
    }
}
