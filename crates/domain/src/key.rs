//! API keys: `atl_` + 43 characters of secret (256 bits, base64url) + `_` + 6 characters of checksum, shown once.
//! Only the BLAKE3 digest of the whole text is stored; 256 random bits need no slow hash.

pub mod text;

use crate::{
    confirmation,
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
    /// Calls under way at the same time, where it is less than the tenant has for each of its keys. Of a key only: what a tenant has in all
    /// is in its call rules.
    #[serde(default)]
    pub concurrent_calls: Option<u32>,
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
        if self.concurrent_calls == Some(0) {
            let sentence = "A limit that allows no call is of no use; leave the field empty for what every key of the tenant has.";
            out.push(FieldProblem::new("concurrent_calls", sentence).suggesting("4"));
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
    /// A service key: belongs to the tenant, and `owner` is the member who answers for it. Otherwise the key is the owner's own.
    pub service: bool,
    pub owner: PersonId,
    pub owner_name: String,
    /// When the identity provider last confirmed the owner as a member; `None` = the owner is no member any more.
    pub owner_confirmed_at: Option<Timestamp>,
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
    /// Ends within seven days: by its own time, or because nobody confirmed its owner.
    Expiring,
    Expired,
    /// A person's own key, and the provider has not confirmed the person for 30 days; it works again when the person has signed in.
    Unconfirmed,
    /// A person's own key, and the person is no member any more.
    OwnerLeft,
    Revoked,
}

impl KeyState {
    /// Whether calls with the key are answered.
    pub const fn works(self) -> bool {
        matches!(self, Self::Active | Self::Expiring)
    }
}

impl ApiKey {
    pub fn state(&self, now: Timestamp) -> KeyState {
        let soon = |end: Timestamp| end.0 - now.0 < 7 * crate::time::DAY;
        let stop = self.stops_unconfirmed_at();
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(end)) if end <= now => KeyState::Expired,
            (None, _) if !self.service && self.owner_confirmed_at.is_none() => KeyState::OwnerLeft,
            (None, _) if stop.is_some_and(|stop| stop <= now) => KeyState::Unconfirmed,
            (None, end) if end.is_some_and(soon) || stop.is_some_and(soon) => KeyState::Expiring,
            _ => KeyState::Active,
        }
    }

    /// When a person's own key stops unless the person signs in before; none for a service key.
    pub fn stops_unconfirmed_at(&self) -> Option<Timestamp> {
        self.owner_confirmed_at.filter(|_| !self.service).map(confirmation::keys_stop_at)
    }

    /// A service key that nobody answers for: its responsible member left, or was not confirmed for as long as own keys last.
    pub fn needs_responsible(&self, now: Timestamp) -> bool {
        let gone = self.owner_confirmed_at.is_none_or(|at| confirmation::keys_stop_at(at) <= now);
        self.service && gone && self.state(now).works()
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
    /// A service key, and the member who answers for it; `None` = the key is one's own.
    pub responsible: Option<PersonId>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY;

    fn key(service: bool, owner_confirmed_at: Option<i64>) -> ApiKey {
        ApiKey {
            id: KeyId::from_uuid(uuid::Uuid::from_u128(1)),
            tenant: "acme".parse().unwrap(),
            label: "bot".into(),
            hint: "atl_Ab".into(),
            service,
            owner: PersonId::from_uuid(uuid::Uuid::from_u128(2)),
            owner_name: "Ann".into(),
            owner_confirmed_at: owner_confirmed_at.map(Timestamp),
            models: None,
            limits: Limits::default(),
            created_at: Timestamp(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_persons_key_lives_as_long_as_the_person_is_confirmed() {
        let state = |now: i64| key(false, Some(0)).state(Timestamp(now));
        assert_eq!([state(23 * DAY), state(23 * DAY + 1), state(30 * DAY - 1)], [KeyState::Active, KeyState::Expiring, KeyState::Expiring]);
        assert_eq!(state(30 * DAY), KeyState::Unconfirmed);
        assert_eq!(key(false, None).state(Timestamp(0)), KeyState::OwnerLeft);
        assert!(!key(false, None).needs_responsible(Timestamp(0)), "it is nobody else's");
    }

    #[test]
    fn a_service_key_goes_on_and_says_when_nobody_answers_for_it() {
        for (confirmed, gone) in [(Some(0), true), (Some(DAY), false), (None, true)] {
            let key = key(true, confirmed);
            assert_eq!((key.state(Timestamp(30 * DAY)), key.needs_responsible(Timestamp(30 * DAY))), (KeyState::Active, gone));
        }
        let revoked = ApiKey { revoked_at: Some(Timestamp(0)), ..key(true, None) };
        assert!(!revoked.needs_responsible(Timestamp(1)), "a key that does not work concerns nobody");
    }

    #[test]
    fn a_key_ends_at_its_end_and_says_a_week_before_that_it_will() {
        let ending = ApiKey { expires_at: Some(Timestamp(20 * DAY)), ..key(true, Some(0)) };
        let states = [13 * DAY, 13 * DAY + 1, 20 * DAY - 1, 20 * DAY].map(|now| ending.state(Timestamp(now)));
        assert_eq!(states, [KeyState::Active, KeyState::Expiring, KeyState::Expiring, KeyState::Expired]);
        assert_eq!(ApiKey { revoked_at: Some(Timestamp(1)), ..ending }.state(Timestamp(30 * DAY)), KeyState::Revoked);
    }

    #[test]
    fn a_limit_that_allows_nothing_is_refused_at_its_field_with_one_that_allows_something() {
        let of = |limits: Limits| limits.check().iter().map(|p| (p.field.clone(), p.suggestion.clone())).collect::<Vec<_>>();
        let open = Limits { requests_per_minute: None, tokens_per_minute: None, concurrent_calls: None };
        assert_eq!(of(open), []);
        assert_eq!(of(Limits { requests_per_minute: Some(1), tokens_per_minute: Some(1), concurrent_calls: Some(1) }), []);
        for (limits, field, suggestion) in [
            (Limits { requests_per_minute: Some(0), ..open }, "requests_per_minute", "60"),
            (Limits { tokens_per_minute: Some(0), ..open }, "tokens_per_minute", "20000"),
            (Limits { concurrent_calls: Some(0), ..open }, "concurrent_calls", "4"),
        ] {
            assert_eq!(of(limits), [(field.to_owned(), Some(suggestion.to_owned()))]);
        }
    }
}
