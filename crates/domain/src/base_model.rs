//! Base models: what runs start from and endpoints serve. Registered from a folder by the platform admin, usable by every tenant.

use crate::{ids::BaseModelId, name::Name, reason::base_model::BaseModelReason, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum BaseModelState {
    /// Files are being copied into the store and hashed.
    Registering,
    Ready,
    /// A file is missing or its digest changed; `reason` names it.
    Broken,
}

worded!(BaseModelState);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to the folder.
    pub path: String,
    pub bytes: u64,
    /// BLAKE3, hex.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseModel {
    pub id: BaseModelId,
    /// Also the model id at the gateway.
    pub name: Name,
    pub state: BaseModelState,
    pub reason: Option<BaseModelReason>,
    /// `architectures[0]` of config.json: `LlamaForCausalLM`.
    pub architecture: String,
    /// From the sizes in the safetensors headers; 0 when unknown.
    pub parameters: u64,
    /// `max_position_embeddings`, tokens.
    pub context: u32,
    /// LLaMA-Factory's template name that renders what the model's chat template renders.
    pub template: String,
    pub licence: String,
    /// BLAKE3 over the sorted list of files with their digests, hex.
    pub digest: String,
    pub files: Vec<StoredFile>,
    pub created_at: Timestamp,
}
