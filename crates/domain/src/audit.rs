//! The audit record: who did what, on what, when, from where, with which result.
//!
//! Records stand in chains ([`chain`]): one of each tenant, one of the platform, and the closed first segment ([`first_segment`]), which
//! was one chain of everything. A [`tree`] over each chain gives the root that a signed [`checkpoint`] names.

pub mod chain;
pub mod checkpoint;
mod detail;
pub mod first_segment;
mod row;
pub mod tree;

pub use chain::{Broken, FIRST_PREV, Verification, Verified};
pub use detail::{Detail, SessionEnd};

use crate::{name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Person,
    Key,
    /// A controller or the command line on the server itself.
    System,
}

worded!(ActorKind);

/// What happened, before it has a place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub actor_kind: ActorKind,
    /// Id of the actor; `system` for the system.
    pub actor: String,
    pub actor_name: String,
    /// None for actions on the platform itself.
    pub tenant: Option<Name>,
    /// `run.launch`, `key.revoke`...: the word of `policy::Action`, or an action of the system.
    pub action: String,
    /// `run`, `dataset_version`...
    pub object_kind: String,
    pub object: String,
    pub object_name: String,
    /// `done` or `refused`.
    pub result: String,
    /// What else there is to say; never a secret.
    pub detail: Detail,
    pub request_id: String,
    pub from_ip: String,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `platform`, `tenants/NAME` or `first-segment`; see [`chain`].
    pub chain: String,
    /// 1, 2, 3... without gaps in its chain.
    pub seq: i64,
    pub entry: Entry,
    pub hash: String,
}
