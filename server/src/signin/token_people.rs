//! Whose access token it is: checked once, and remembered for a minute, by the gateway and the API alike.

use super::{SignIn, access_token::AccessRules};
use axum::http::{HeaderMap, header};
use domain::time::{SECOND, Timestamp};
use platform::{
    Platform,
    by_token::{ByToken, TokenProfile},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long what was found out about a token is used before the database is asked again: whether its person's sessions were ended.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Tokens that are remembered at a time.
const TOKENS: usize = 10_000;

#[derive(Clone)]
pub struct TokenPeople {
    inner: Arc<Inner>,
}

struct Inner {
    sign_in: Arc<SignIn>,
    rules: AccessRules,
    platform: Platform,
    /// By BLAKE3 of the token.
    known: Mutex<HashMap<[u8; 32], Known>>,
}

/// A token that is good.
#[derive(Clone, Debug)]
pub struct Known {
    pub whose: ByToken,
    pub issued: Timestamp,
    until: Instant,
}

/// Why a token says nothing; the text is for whoever wrote the client.
#[derive(Debug)]
pub enum NotTaken {
    Refused(String),
    Away(String),
}

/// A signed token; API keys and session passes have no dots in them, or begin otherwise.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let text = text.trim();
    (scheme.eq_ignore_ascii_case("bearer") && text.starts_with("ey") && text.split('.').count() == 3).then_some(text)
}

impl TokenPeople {
    pub fn new(sign_in: Arc<SignIn>, rules: AccessRules, platform: Platform) -> Self {
        Self { inner: Arc::new(Inner { sign_in, rules, platform, known: Mutex::default() }) }
    }

    /// Whether its person's sessions were ended since, whoever asks must look at.
    pub async fn whose(&self, token: &str) -> Result<Known, NotTaken> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let remembered = self.known().get(&digest).filter(|known| known.until > Instant::now()).cloned();
        if let Some(known) = remembered {
            return Ok(known);
        }
        let known = self.look_at(token).await?;
        self.remember(digest, known.clone());
        Ok(known)
    }

    async fn look_at(&self, token: &str) -> Result<Known, NotTaken> {
        let Inner { sign_in, rules, platform, .. } = &*self.inner;
        let believed = sign_in.provider.believe(token).await.map_err(|e| match e {
            super::ProviderError::Away { why, .. } => NotTaken::Away(why),
            super::ProviderError::Refused(why) => NotTaken::Refused(why),
        })?;
        let now = platform.now().0 / SECOND;
        let access = rules.check(&believed, now).map_err(NotTaken::Refused)?;
        let issued = Timestamp(access.issued * SECOND);
        let profile = sign_in.profile_of_token(&access.subject, &believed);
        let token = TokenProfile { profile, tells_groups: sign_in.groups.are_told(&believed.claims), issued };
        let whose = platform.person_by_token(token).await.map_err(|problem| NotTaken::Away(problem.to_string()))?;
        let whose = whose.ok_or_else(|| {
            NotTaken::Refused(format!(
                "it has no claim “{}” and its person is not known here, or that person's sessions were ended after it was issued",
                sign_in.groups.claim
            ))
        })?;
        let left = Duration::from_secs((access.expires - now).max(0).unsigned_abs());
        Ok(Known { whose, issued, until: Instant::now() + left.min(KNOWN_FOR) })
    }

    fn remember(&self, digest: [u8; 32], known: Known) {
        let mut all = self.known();
        if all.len() >= TOKENS {
            let now = Instant::now();
            all.retain(|_, known| known.until > now);
            if all.len() >= TOKENS {
                all.clear();
            }
        }
        all.insert(digest, known);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
