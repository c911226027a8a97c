//! API keys: `atl_` + 43 characters of secret (256 bits, base64url) + `_` + 6 characters of checksum, shown once.
//! Only the BLAKE3 digest of the whole text is stored; 256 random bits need no slow hash.

pub mod text;

use crate::{
    ids::{KeyId, PersonId},
    name::Name,
    problem::FieldProblem,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

pub const PREFIX: &str = "atl_";

/// Limits of one key, or of a tenant. `None` = no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests in any window of 60 s.
    pub requests_per_minute: Option<u32>,
    /// Prompt and completion tokens in any window of 60 s; reserved before the call, settled after it.
    pub tokens_per_minute: Option<u32>,
}

impl Limits {
    pub fn check(&self) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        if self.requests_per_minute == Some(0) {
            let sentence = "A limit that allows no request is of no use; leave the field empty for no limit.";
            out.push(FieldProblem::new("requests_per_minute", sentence).suggesting("60"));
        }
        if self.tokens_per_minute == Some(0) {
            let sentence = "A limit that allows no token is of no use; leave the field empty for no limit.";
            out.push(FieldProblem::new("tokens_per_minute", sentence).suggesting("20000"));
        }
        out
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: KeyId,
    pub tenant: Name,
    /// What it is for, in the owner's words; 1 to 80 characters.
    pub label: String,
    /// The first characters, to recognise it by: `atl_Xk3v`.
    pub hint: String,
    pub owner: PersonId,
    pub owner_name: String,
    /// Model ids it may call; `None` = every model of the tenant.
    pub models: Option<Vec<String>>,
    pub limits: Limits,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// Coarse: written at most once a minute.
    pub last_used_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Active,
    /// Ends within seven days.
    Expiring,
    Expired,
    Revoked,
}

impl ApiKey {
    pub fn state(&self, now: Timestamp) -> KeyState {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(end)) if end <= now => KeyState::Expired,
            (None, Some(end)) if end.0 - now.0 < 7 * crate::time::DAY => KeyState::Expiring,
            _ => KeyState::Active,
        }
    }
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    pub label: String,
    pub models: Option<Vec<String>>,
    pub limits: Limits,
    /// Days until it ends; `None` = never. 1 to 3650.
    pub expires_in_days: Option<u32>,
}

impl NewKey {
    pub fn check(&self) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        if self.label.trim().is_empty() || self.label.chars().count() > 80 {
            out.push(FieldProblem::new("label", "Say in 1 to 80 characters what the key is for.").suggesting("help desk bot"));
        }
        if self.expires_in_days.is_some_and(|d| !(1..=3650).contains(&d)) {
            out.push(FieldProblem::new("expires_in_days", "The key can last 1 to 3650 days.").suggesting("90"));
        }
        out.extend(self.limits.check());
        out
    }
}

/// The answer to creating a key: the only time that the secret is seen.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedKey {
    pub key: ApiKey,
    pub secret: String,
}

impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey").field("key", &self.key.id).field("secret", &"(hidden)").finish()
    }
}
