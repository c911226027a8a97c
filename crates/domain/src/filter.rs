//! What people narrow lists by, as use cases take it and statements hold it (decision 0025).

use crate::{model::Stage, page::Cursor};
use serde::{Deserialize, Serialize};

/// Which datasets of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetFilter {
    /// Part of the name, or of the newest version's file name, licence or author; empty = all.
    pub text: String,
    pub checks: DatasetChecks,
}

/// What the check of the newest version found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatasetChecks {
    #[default]
    All,
    /// Rows that were left out.
    Rejected,
    Warnings,
    /// Nothing worse than a hint.
    Clean,
}

/// Which runs of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub states: RunStates,
    /// Part of the name of the run, its base, its dataset, its model or its owner, or of its id; empty = all.
    pub text: String,
}

/// The states that a list shows together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunStates {
    #[default]
    All,
    /// Waiting ones too.
    Active,
    Succeeded,
    /// Or cancelled.
    Failed,
}

/// Which of the evaluated rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatedFilter {
    #[default]
    All,
    /// Right before and wrong now, or the other way.
    Flipped,
    /// Wrong now.
    Wrong,
}

/// Which models of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFilter {
    /// Part of the name, or of the base or dataset of the newest version; empty = all.
    pub text: String,
    /// Of the newest version.
    pub stage: Option<Stage>,
}

/// Which base models of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseModelFilter {
    /// Part of name, architecture or licence; empty = all.
    pub text: String,
    /// Only those that can be trained and served now.
    pub ready: bool,
}

/// Which keys of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Part of the label, the owner's name, the key's beginning or a model that it may call; empty = all.
    pub text: String,
    /// Only those that work now.
    pub working: bool,
}

/// What to show of the audit log; an empty filter shows the newest records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Id of who acted, or the beginning of the name.
    pub actor: Option<String>,
    /// `run.launch`, or the beginning of it: `run.`.
    pub action: Option<String>,
    /// Id of the thing, or the beginning of its name.
    pub object: Option<String>,
    /// Where the page begins.
    pub after: Cursor,
    /// Rows of the page, 1 to 500.
    pub limit: u32,
}
