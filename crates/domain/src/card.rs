//! The model card: every field has a value, an origin and a time. Gaps are shown as gaps.

use crate::{ids::PersonId, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Taken from a record: `run facts-lora-7`, `dataset lumenta-facts v3`.
    Evidence { source: String },
    /// Written by a person; `replaced` keeps what evidence had said.
    Person { person: PersonId, name: String, replaced: Option<String> },
    /// Nobody and nothing has filled it.
    Missing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub key: String,
    pub label: String,
    pub value: String,
    pub origin: Origin,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub fields: Vec<Field>,
    /// Counts every change; an edit that was made on an older one is refused.
    pub revision: u32,
}

/// The fields of every card in their order: key, label, and whether people fill it.
pub const FIELDS: [(&str, &str, bool); 15] = [
    ("summary", "What it is", true),
    ("intended_use", "Intended use", true),
    ("limits", "Limits and risks", true),
    ("base_model", "Base model", false),
    ("method", "Method", false),
    ("dataset", "Training data", false),
    ("personal_data", "Personal data", false),
    ("evaluation", "Evaluation", false),
    ("training", "Training", false),
    ("compute", "Compute", false),
    ("software", "Software", false),
    ("digest", "Digest", false),
    ("licence", "Licence", true),
    ("languages", "Languages", true),
    ("contact", "Contact", true),
];

impl Card {
    pub fn get(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.key == key)
    }
    pub fn gaps(&self) -> usize {
        self.fields.iter().filter(|f| f.origin == Origin::Missing).count()
    }
}
