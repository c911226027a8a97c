//! Why a record of usage lies beside the others.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SetAsideReason {
    /// The call names a tenant that is not there.
    NoTenant,
    /// `error`: what the database said, shortened.
    Refused { error: String },
    /// From a version of this program that stored sentences.
    Told { text: String },
}

impl SetAsideReason {
    /// What a column holds: this, or the sentence that an earlier version stored.
    pub fn stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Told { text: text.to_owned() })
    }

    pub fn said(&self) -> String {
        match self {
            Self::NoTenant => "The tenant of this call is not there.".into(),
            Self::Refused { error } => error.clone(),
            Self::Told { text } => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_stored_as_its_code_and_older_sentences_are_told() {
        assert_eq!(serde_json::to_string(&SetAsideReason::NoTenant).unwrap(), r#"{"code":"no_tenant"}"#);
        assert_eq!(SetAsideReason::stored(r#"{"code":"no_tenant"}"#), SetAsideReason::NoTenant);
        assert_eq!(SetAsideReason::stored("There is no tenant “x”.").said(), "There is no tenant “x”.");
    }
}
