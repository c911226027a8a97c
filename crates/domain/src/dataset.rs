//! Datasets and their immutable versions.

pub use crate::format::{Container, Format};

use crate::{
    ids::{BaseModelId, DatasetId, DatasetVersionId, PersonId},
    inspect::Report,
    name::Name,
    problem::FieldProblem,
    reason::dataset::DatasetReason,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// Bytes are arriving.
    Uploading,
    /// Every row is being judged.
    Checking,
    /// At least one row was accepted: can be trained on.
    Ready,
    /// Nothing in it can be trained on; `reason` says why.
    Rejected,
}

worded!(VersionState);

/// What a person says about the data (mission A3). Empty strings are gaps, and are shown as gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documentation {
    /// Where the rows come from and how they were made.
    pub source: String,
    /// SPDX id where there is one: `CC-BY-4.0`, `Apache-2.0`, `proprietary`.
    pub licence: String,
    pub personal_data: PersonalData,
    /// Legal basis, when there is personal data.
    pub legal_basis: String,
    /// BCP 47 tags: `en`, `pl`, `de-CH`.
    pub languages: Vec<String>,
    /// Known gaps and biases, free text.
    pub notes: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum PersonalData {
    /// Nobody has said yet.
    #[default]
    Unknown,
    None,
    Pseudonymised,
    Yes,
}

worded!(PersonalData);

impl PersonalData {
    pub const ALL: [PersonalData; 4] = [Self::Unknown, Self::None, Self::Pseudonymised, Self::Yes];
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "not stated",
            Self::None => "none",
            Self::Pseudonymised => "pseudonymised",
            Self::Yes => "yes",
        }
    }
}

impl Documentation {
    /// The names of the fields that are still empty.
    pub fn gaps(&self) -> Vec<&'static str> {
        let mut out = Vec::new();
        if self.source.trim().is_empty() {
            out.push("source");
        }
        if self.licence.trim().is_empty() {
            out.push("licence");
        }
        match self.personal_data {
            PersonalData::Unknown => out.push("personal data"),
            PersonalData::Yes | PersonalData::Pseudonymised if self.legal_basis.trim().is_empty() => out.push("legal basis"),
            _ => {}
        }
        if self.languages.is_empty() {
            out.push("languages");
        }
        out
    }

    pub fn check(&self) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        for (field, text) in
            [("source", &self.source), ("licence", &self.licence), ("legal_basis", &self.legal_basis), ("notes", &self.notes)]
        {
            if text.chars().count() > 4000 {
                out.push(FieldProblem::new(field, "At most 4000 characters."));
            }
        }
        for tag in &self.languages {
            if tag.is_empty() || tag.len() > 35 || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                out.push(FieldProblem::new("languages", format!("“{tag}” is not a language tag.")).suggesting("en"));
            }
        }
        out
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    pub id: DatasetId,
    pub tenant: Name,
    pub name: Name,
    pub created_by: PersonId,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetVersion {
    pub id: DatasetVersionId,
    pub tenant: Name,
    pub dataset: DatasetId,
    pub dataset_name: Name,
    /// 1, 2, 3... within the dataset.
    pub number: u32,
    pub state: VersionState,
    /// For every state but `Ready`.
    pub reason: Option<DatasetReason>,
    /// As the person's machine called it; display only.
    pub file_name: String,
    pub bytes: u64,
    /// BLAKE3 of the bytes as uploaded, hex; set once they have arrived.
    pub digest: Option<String>,
    /// The judging whose files count: see `artefacts::dataset_judgement`.
    #[serde(default)]
    pub judgement: Option<String>,
    /// Bytes of those files.
    #[serde(default)]
    pub judged_bytes: u64,
    /// When its rows were erased. What is known of them (report, digest, documentation) stays; the state is `Rejected` then.
    #[serde(default)]
    pub erased_at: Option<Timestamp>,
    /// The number of the newest earlier version of the same dataset that has exactly these bytes.
    #[serde(default)]
    pub same_as: Option<u32>,
    pub format: Option<Format>,
    pub container: Option<Container>,
    /// Share of accepted rows that is kept back for the evaluation, in percent, 0 to 50.
    pub held_out_percent: u8,
    /// Whose tokenizer counts the tokens.
    pub tokenizer: Option<BaseModelId>,
    pub report: Option<Report>,
    pub documentation: Documentation,
    pub created_by: PersonId,
    pub created_by_name: String,
    pub created_at: Timestamp,
}

impl DatasetVersion {
    /// Whether this file can be downloaded now.
    pub fn has(&self, file: DatasetFile) -> bool {
        let arrived = self.digest.is_some() && self.erased_at.is_none();
        arrived && (file == DatasetFile::Original || self.report.is_some())
    }
}

/// What can be downloaded of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "kebab-case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum DatasetFile {
    /// The bytes as uploaded.
    Original,
    /// What was decided on each row.
    Verdicts,
    /// Accepted rows that are trained on, as OpenAI messages.
    Train,
    /// Accepted rows that are kept back for the evaluation, as OpenAI messages.
    HeldOut,
}

// As in addresses.
worded!(DatasetFile);

impl DatasetFile {
    pub const ALL: [DatasetFile; 4] = [Self::Original, Self::Train, Self::HeldOut, Self::Verdicts];
    pub const fn label(self) -> &'static str {
        match self {
            Self::Original => "Original file",
            Self::Verdicts => "Verdict on every row",
            Self::Train => "Training rows",
            Self::HeldOut => "Held-out rows",
        }
    }
}

/// A row of the list: a dataset and its newest version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetOverview {
    pub dataset: Dataset,
    pub latest: Option<DatasetVersion>,
    /// Runs that trained on any version.
    pub runs: u32,
}
