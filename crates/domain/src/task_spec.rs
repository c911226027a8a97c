//! What a task is told to do: one JSON file, made by the platform, read by `atelier task`.

use crate::{
    artefacts::ArtefactStore,
    base_model::StoredFile,
    ids::{BaseModelId, DatasetVersionId, EndpointId, ModelVersionId, RunId},
    isolation::{Probe, Way},
    model::WeightsKind,
    name::Name,
    run::CustomTraining,
    serving::ParserChoice,
    settings::{FinetuningType, RunSettings},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub store: ArtefactStore,
    pub work: Work,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    Train(Train),
    Custom(Custom),
    Merge(Merge),
    Evaluate(Evaluate),
    Serve(Serve),
    CheckIsolation(CheckIsolation),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    pub tenant: Name,
    pub run: RunId,
    /// Its folder, as in `artefacts::run_task`.
    pub folder: String,
    pub base_model: BaseModelId,
    /// Its files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_files: Vec<StoredFile>,
    /// LLaMA-Factory's template name.
    pub template: String,
    pub dataset_version: DatasetVersionId,
    /// Which judging of it counts: see `artefacts::dataset_judgement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<String>,
    /// 0 = no held-out rows: then nothing is evaluated while training.
    pub held_out_rows: u64,
    pub train_rows: u64,
    pub settings: RunSettings,
    /// GPUs of each node that share the rows. Below 2: one process on each node.
    #[serde(default, skip_serializing_if = "is_one_process")]
    pub gpus: u32,
    /// Folders of the tries before this one, the last first: it goes on from their last checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
}

const fn is_one_process(gpus: &u32) -> bool {
    *gpus < 2
}

/// A training by an image of somebody's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Custom {
    pub tenant: Name,
    pub run: RunId,
    /// Its folder, as in `artefacts::run_task`.
    pub folder: String,
    pub base_model: BaseModelId,
    /// Its files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_files: Vec<StoredFile>,
    pub dataset_version: DatasetVersionId,
    /// Which judging of it counts: see `artefacts::dataset_judgement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<String>,
    /// 0 = no held-out rows.
    pub held_out_rows: u64,
    pub train_rows: u64,
    pub training: CustomTraining,
    /// What it leaves.
    pub leaves: FinetuningType,
}

/// An adapter into the weights of its base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    pub tenant: Name,
    pub run: RunId,
    /// Its folder, as in `artefacts::run_task`.
    pub folder: String,
    pub base_model: BaseModelId,
    /// Its files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_files: Vec<StoredFile>,
    /// LLaMA-Factory's template name.
    pub template: String,
    /// The folder of the task that left the adapter.
    pub adapter: String,
    /// Its files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapter_files: Vec<StoredFile>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    pub tenant: Name,
    pub run: RunId,
    /// Its folder, as in `artefacts::run_task`.
    pub folder: String,
    pub base_model: BaseModelId,
    /// Its files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_files: Vec<StoredFile>,
    pub dataset_version: DatasetVersionId,
    /// Which judging of it counts: see `artefacts::dataset_judgement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<String>,
    /// The folder of the task that left the weights, and of which kind they are.
    pub weights: String,
    /// Their files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights_files: Vec<StoredFile>,
    pub weights_kind: WeightsKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Serve {
    pub tenant: Name,
    pub endpoint: EndpointId,
    pub weights: Weights,
    /// Their files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StoredFile>,
    /// The id under which the model server knows the base.
    pub served_name: String,
    /// `--max-model-len`, tokens.
    pub context: u32,
    /// `--max-lora-rank`; 0 = started without LoRA.
    pub max_lora_rank: u32,
    /// GPUs over which the weights are spread: `--tensor-parallel-size`. Below 2: one.
    #[serde(default, skip_serializing_if = "is_one_process")]
    pub gpus: u32,
    #[serde(default)]
    pub tool_call_parser: ParserChoice,
    #[serde(default)]
    pub reasoning_parser: ParserChoice,
    /// Hosts from which pictures, sound and film may be fetched.
    #[serde(default)]
    pub media_hosts: Vec<String>,
}

/// What the pod of a check tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckIsolation {
    pub tenant: Name,
    pub tries: Vec<(Probe, Way)>,
    /// For each of them, seconds.
    pub patience: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Weights {
    Base {
        base_model: BaseModelId,
    },
    /// The result of a full fine-tune.
    Merged {
        version: ModelVersionId,
    },
}

/// The adapters that a model server should have now: desired state, a file beside the spec, may change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedAdapters {
    pub adapters: Vec<WantedAdapter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedAdapter {
    /// The name at the model server: the model version's id, so that one name never means two things.
    pub name: String,
    pub version: ModelVersionId,
    /// Its files with their digests, where they are fetched over the network; empty where the store is a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StoredFile>,
}
