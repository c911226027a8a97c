//! What was used: one row per inference call, made by the gateway, never lost silently.

use crate::{
    ids::{CallId, EndpointId, KeyId, ModelVersionId, PersonId},
    name::Name,
    reason::usage::SetAsideReason,
    text::clipped,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// One inference call, as metered. Holds no prompt and no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub id: CallId,
    pub tenant: Name,
    pub at: Timestamp,
    /// The API key, or none when the playground's session called.
    pub key: Option<KeyId>,
    pub person: Option<PersonId>,
    pub endpoint: Option<EndpointId>,
    /// As the client named it.
    pub model: String,
    pub model_version: Option<ModelVersionId>,
    /// `chat/completions` or `completions`.
    pub route: String,
    pub stream: bool,
    /// HTTP status that the client got; 499 when it went away first.
    pub status: u16,
    /// OpenAI's error code, when it was an error.
    pub error: Option<String>,
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
    /// Whether the counts come from the model server or are our estimate (it died, the client left).
    pub estimated: bool,
    /// Milliseconds to the first byte of the answer's body; absent when there was none.
    pub first_token_ms: Option<u32>,
    pub duration_ms: u32,
    pub finish_reason: Option<String>,
    pub request_id: String,
}

/// Longest texts of a call, characters. The client and the model server chose them.
const MODEL: usize = 200;
const REQUEST_ID: usize = 128;
const WORD: usize = 64;

impl Call {
    /// With texts that can be stored, and a size that is known: below four kilobytes as JSON.
    pub fn cleaned(self) -> Self {
        let word = |text: Option<String>| text.map(|t| clipped(&t, WORD));
        Self {
            model: clipped(&self.model, MODEL),
            route: clipped(&self.route, WORD),
            error: word(self.error),
            finish_reason: word(self.finish_reason),
            request_id: clipped(&self.request_id, REQUEST_ID),
            ..self
        }
    }
}

/// A call that the database refused to store, set aside for the platform's administrators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub call: Call,
    /// When it was set aside.
    pub at: Timestamp,
    pub reason: SetAsideReason,
}

/// By what a usage table is broken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    Day,
    Model,
    /// The model version that answered; several names can lead to it, and one name to another after a new version.
    Version,
    Key,
    Member,
}

worded!(UsageBy);

impl UsageBy {
    pub const ALL: [UsageBy; 5] = [Self::Day, Self::Model, Self::Version, Self::Key, Self::Member];

    /// What people call a group of calls. `group` is what the calls name, empty where they name none; `name` and `part` (a version's
    /// number, the beginning of a key) are what is known of it, nothing when it is gone. `not_found`: every call of it was told that
    /// there is no such model.
    pub fn label(self, group: &str, name: Option<&str>, part: Option<&str>, not_found: bool) -> String {
        match (self, group, name, part) {
            (Self::Model, "", ..) => "no model named".into(),
            (Self::Model, model, ..) if not_found => format!("{model}, unknown or not deployed"),
            (Self::Version, "", ..) => "base models".into(),
            (Self::Version, _, Some(model), Some(number)) => format!("{model} v{number}"),
            (Self::Key, "", ..) => "Playground".into(),
            (Self::Key, _, Some(label), Some(hint)) => format!("{label}, {hint}…"),
            (Self::Member, "", ..) => "Service keys".into(),
            (Self::Member, _, person, _) => person.unwrap_or("unknown").into(),
            (Self::Day | Self::Model | Self::Version | Self::Key, group, ..) => group.into(),
        }
    }
}

/// One line of a usage table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLine {
    /// Day, model id, id of a model version, of a key or of a person.
    pub group: String,
    /// The same for people.
    pub label: String,
    pub requests: u64,
    pub errors: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_calls_is_called_by_its_name_or_by_what_it_lacks() {
        for (by, group, name, part, not_found, said) in [
            (UsageBy::Day, "20500", None, None, false, "20500"),
            (UsageBy::Model, "assistant", None, None, false, "assistant"),
            (UsageBy::Model, "gpt-9", None, None, true, "gpt-9, unknown or not deployed"),
            (UsageBy::Model, "", None, None, true, "no model named"),
            (UsageBy::Version, "mv_1", Some("assistant"), Some("3"), false, "assistant v3"),
            (UsageBy::Version, "mv_1", None, None, false, "mv_1"),
            (UsageBy::Version, "", None, None, false, "base models"),
            (UsageBy::Key, "key_1", Some("bot"), Some("atl_ab"), false, "bot, atl_ab…"),
            (UsageBy::Key, "key_1", None, None, false, "key_1"),
            (UsageBy::Key, "", None, None, false, "Playground"),
            (UsageBy::Member, "p_1", Some("Ann"), None, false, "Ann"),
            (UsageBy::Member, "p_1", None, None, false, "unknown"),
            (UsageBy::Member, "", None, None, false, "Service keys"),
        ] {
            assert_eq!(by.label(group, name, part, not_found), said);
        }
    }
}
