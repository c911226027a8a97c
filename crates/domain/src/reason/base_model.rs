//! Why a base model cannot be used, or not yet.

use crate::problem::Outage;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum BaseModelReason {
    /// Its files are copied into the artefact store and hashed.
    Copying,
    /// `error`: what the system said.
    FileUnreadable { file: String, error: String },
    /// A part that is needed stayed away for as long as it was tried.
    PartAway { outage: Outage },
    /// Our fault; the chain of causes is in the log.
    CopyFailed,
    /// From a version of this program that stored sentences.
    Told { text: String },
}

impl BaseModelReason {
    /// What a column holds: this, or the sentence that an earlier version stored.
    pub fn stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Told { text: text.to_owned() })
    }

    pub fn said(&self) -> String {
        match self {
            Self::Copying => "Its files are being copied into the store and hashed.".into(),
            Self::FileUnreadable { file, error } => {
                format!("The file {file} cannot be read: {error}. Fix the folder and register it again under the same name.")
            }
            Self::PartAway { outage } => format!("{} Register it again under the same name once that is fixed.", outage.said()),
            Self::CopyFailed => {
                "Its files could not be copied; whoever runs this portal finds the cause in the log. Register it again under the same name."
                    .into()
            }
            Self::Told { text } => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_stored_as_its_code_and_older_sentences_are_told() {
        let reason = BaseModelReason::FileUnreadable { file: "config.json".into(), error: "permission denied".into() };
        let stored = serde_json::to_string(&reason).unwrap();
        assert_eq!(stored, r#"{"code":"file_unreadable","file":"config.json","error":"permission denied"}"#);
        assert_eq!(BaseModelReason::stored(&stored), reason);
        assert!(reason.said().contains("config.json cannot be read: permission denied."), "{}", reason.said());
        assert_eq!(BaseModelReason::stored("The file a cannot be read.").said(), "The file a cannot be read.");
    }
}
