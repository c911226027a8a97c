//! Where artefacts lie, as plain data that also travels to tasks. Paths inside are made in one place, here,
//! so that portal and task can never disagree.

use crate::{
    ids::{BaseModelId, DatasetVersionId, ModelVersionId, RunId},
    name::Name,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StoreLocation {
    /// A folder on this machine or on a shared volume.
    Local { root: String },
}

/// `t/{tenant}/datasets/{version}/original`: the bytes as uploaded.
pub fn dataset_original(tenant: &Name, version: DatasetVersionId) -> String {
    format!("t/{tenant}/datasets/{version}/original")
}
/// Accepted rows that are trained on, as OpenAI messages, one JSON object a line.
pub fn dataset_train(tenant: &Name, version: DatasetVersionId) -> String {
    format!("t/{tenant}/datasets/{version}/train.jsonl")
}
/// Accepted rows that are kept back for the evaluation.
pub fn dataset_held_out(tenant: &Name, version: DatasetVersionId) -> String {
    format!("t/{tenant}/datasets/{version}/held_out.jsonl")
}
/// The verdict on every row (`inspect::RowVerdict`), one JSON object a line, in file order.
pub fn dataset_verdicts(tenant: &Name, version: DatasetVersionId) -> String {
    format!("t/{tenant}/datasets/{version}/verdicts.jsonl")
}
/// Folder with the files of a base model (`config.json`, weights, tokenizer).
pub fn base_model(id: BaseModelId) -> String {
    format!("base-models/{id}")
}
/// Folder of what one task of a run wrote: `task` is `train` or `evaluate`.
pub fn run_task(tenant: &Name, run: RunId, task: &str) -> String {
    format!("t/{tenant}/runs/{run}/{task}")
}
/// Folder of the weights that a run's training left; what a model version is made of.
pub fn run_output(tenant: &Name, run: RunId) -> String {
    format!("{}/output", run_task(tenant, run, "train"))
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
pub fn run_evaluated_rows(tenant: &Name, run: RunId) -> String {
    format!("{}/evaluated.jsonl", run_task(tenant, run, "evaluate"))
}
/// Folder with the published files of a model version (adapter or full weights).
pub fn model_version(tenant: &Name, version: ModelVersionId) -> String {
    format!("t/{tenant}/models/{version}")
}
