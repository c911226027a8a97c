//! Models and their immutable versions, each the result of one run.

use crate::{
    base_model::StoredFile,
    card::Card,
    ids::{BaseModelId, DatasetVersionId, ModelId, ModelVersionId, PersonId, RunId},
    name::Name,
    run::evaluation::Scores,
    settings::RunSettings,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Candidate,
    Approved,
    Archived,
}

worded!(Stage);

impl Stage {
    pub const ALL: [Stage; 3] = [Self::Candidate, Self::Approved, Self::Archived];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum WeightsKind {
    #[default]
    /// LoRA: loads onto a running server of its base.
    Adapter,
    /// Full weights: needs a server of its own.
    Merged,
}

worded!(WeightsKind);

impl WeightsKind {
    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Merged => "full weights",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub id: ModelId,
    pub tenant: Name,
    /// Also the model id at the gateway.
    pub name: Name,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    pub id: ModelVersionId,
    pub tenant: Name,
    pub model: ModelId,
    pub model_name: Name,
    pub number: u32,
    pub stage: Stage,
    pub kind: WeightsKind,
    /// BLAKE3 over the sorted list of files with their digests, hex.
    pub digest: String,
    pub files: Vec<StoredFile>,
    pub run: RunId,
    pub run_name: Name,
    pub base_model: BaseModelId,
    pub base_model_name: Name,
    pub base_model_digest: String,
    pub dataset_version: DatasetVersionId,
    pub dataset_name: Name,
    pub dataset_number: u32,
    pub settings: RunSettings,
    pub scores: Option<Scores>,
    pub card: Card,
    pub author: PersonId,
    pub author_name: String,
    pub created_at: Timestamp,
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelOverview {
    pub model: Model,
    pub latest: ModelVersion,
    pub versions: u32,
    /// Names of endpoints that serve any version now.
    pub endpoints: Vec<Name>,
}
