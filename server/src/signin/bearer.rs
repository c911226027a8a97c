//! Access tokens of the identity provider at `/v1`: a layer before the gateway checks them, and goes on with a session pass, by which the
//! gateway looks at the membership itself. The gateway knows nothing of OpenID Connect, and a token that was seen costs no database.

use super::{SignIn, access_token::AccessRules};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use domain::{directory::Directory, name::Name, time::SECOND, time::Timestamp};
use platform::{
    Platform,
    by_token::{ByToken, TokenProfile},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long what was found out about a token is used before the database is asked again: whether its person's sessions were ended.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Tokens that are remembered at a time.
const TOKENS: usize = 10_000;
/// How long the first call of somebody new waits until the gateway has heard of them.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Bearer {
    inner: Arc<Inner>,
}

struct Inner {
    sign_in: Arc<SignIn>,
    rules: AccessRules,
    platform: Platform,
    directory: watch::Receiver<Arc<Directory>>,
    /// By BLAKE3 of the token.
    known: Mutex<HashMap<[u8; 32], Known>>,
}

#[derive(Clone)]
struct Known {
    whose: ByToken,
    issued: Timestamp,
    until: Instant,
}

/// Why a call does not go on; the sentence is for whoever wrote the client.
enum Refused {
    Token(String),
    /// The token is good, and does not say for which of several tenants the call is.
    Tenant(String),
    Away(String),
}

impl Bearer {
    pub fn new(sign_in: Arc<SignIn>, rules: AccessRules, platform: Platform, directory: watch::Receiver<Arc<Directory>>) -> Self {
        Self { inner: Arc::new(Inner { sign_in, rules, platform, directory, known: Mutex::default() }) }
    }
}

/// Around the gateway.
pub async fn exchange(State(bearer): State<Bearer>, mut request: Request, next: Next) -> Response {
    let Some(token) = token(request.headers()) else { return next.run(request).await };
    let in_path = request.uri().path().strip_prefix("/t/").and_then(|rest| rest.split('/').next());
    match bearer.inner.pass(token, in_path).await {
        Ok(pass) => {
            if let Ok(value) = HeaderValue::try_from(format!("Bearer {pass}")) {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            next.run(request).await
        }
        Err(Refused::Token(why)) => {
            let mut response = gateway::refused_token(&format!("The access token is not taken: {why}."));
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
            response
        }
        Err(Refused::Tenant(why)) => gateway::refused_without_tenant(&why),
        Err(Refused::Away(why)) => {
            tracing::warn!(why, "an access token cannot be checked now");
            gateway::refused_for_now(
                "Access tokens cannot be checked now: the identity provider or the database does not answer. API keys go on.",
            )
        }
    }
}

/// A signed token; API keys and session passes have no dots in them, or begin otherwise.
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let text = text.trim();
    (scheme.eq_ignore_ascii_case("bearer") && text.starts_with("ey") && text.split('.').count() == 3).then_some(text)
}

impl Inner {
    async fn pass(&self, token: &str, in_path: Option<&str>) -> Result<String, Refused> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let remembered = self.known().get(&digest).filter(|known| known.until > Instant::now()).cloned();
        let known = match remembered {
            Some(known) => known,
            None => {
                let known = self.look_at(token).await?;
                self.remember(digest, known.clone());
                known
            }
        };
        let ended = self.directory.borrow().passes_from.get(&known.whose.person).is_some_and(|ended| known.issued <= *ended);
        if ended {
            return Err(Refused::Token("the sessions of its person were ended after it was issued".into()));
        }
        let tenant = tenant(&known.whose.tenants, in_path)?;
        self.heard_of(tenant, &known.whose).await;
        Ok(self.platform.pass_by_token(&known.whose, tenant))
    }

    async fn look_at(&self, token: &str) -> Result<Known, Refused> {
        let sign_in = &self.sign_in;
        let believed = sign_in.provider.believe(token).await.map_err(|e| match e {
            super::ProviderError::Away { why, .. } => Refused::Away(why),
            super::ProviderError::Refused(why) => Refused::Token(why),
        })?;
        let now = self.platform.now().0 / SECOND;
        let access = self.rules.check(&believed, now).map_err(Refused::Token)?;
        let issued = Timestamp(access.issued * SECOND);
        let profile = sign_in.profile_of_token(&access.subject, &believed);
        let token = TokenProfile { profile, tells_groups: sign_in.groups.are_told(&believed.claims), issued };
        let whose = self.platform.person_by_token(token).await.map_err(|problem| Refused::Away(problem.to_string()))?;
        let whose = whose.ok_or_else(|| {
            Refused::Token(format!(
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

    /// Somebody who came for the first time is in the database, and a moment later in what the gateway knows.
    async fn heard_of(&self, tenant: &Name, whose: &ByToken) {
        let mut directory = self.directory.clone();
        let is_known = |d: &Arc<Directory>| d.tenants.get(tenant).is_some_and(|entry| entry.members.contains(&whose.person));
        // In either case the gateway answers.
        let _ = tokio::time::timeout(HEARD_WITHIN, directory.wait_for(is_known)).await;
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant of the path, or the only one that there is.
fn tenant<'t>(tenants: &'t [Name], in_path: Option<&str>) -> Result<&'t Name, Refused> {
    match (in_path, tenants) {
        (Some(named), _) => {
            let found = tenants.iter().find(|tenant| tenant.as_str() == named);
            // In the same words for a tenant that does not exist.
            found.ok_or_else(|| Refused::Token("its person does not belong to the tenant of this address".into()))
        }
        (None, [one]) => Ok(one),
        (None, []) => Err(Refused::Token("its person belongs to no tenant here".into())),
        (None, _) => {
            Err(Refused::Tenant("The access token's person belongs to several tenants: name one in the address, /t/{tenant}/v1.".into()))
        }
    }
}
