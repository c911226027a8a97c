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
