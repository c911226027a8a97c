//! Access tokens of the identity provider at `/v1`: a layer before the gateway checks them, and goes on with a session pass, by which the
//! gateway looks at the membership itself. The gateway knows nothing of OpenID Connect, and a token that was seen costs no database.

use super::token_people::{Known, NotTaken, TokenPeople, token};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};
use domain::{directory::Directory, name::Name};
use platform::{Platform, by_token::ByToken};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long the first call of somebody new waits until the gateway has heard of them.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Bearer {
    tokens: TokenPeople,
    platform: Platform,
    directory: watch::Receiver<Arc<Directory>>,
}

/// Why a call does not go on; the sentence is for whoever wrote the client.
enum Refused {
    Token(String),
    /// The token is good, and does not say for which of several tenants the call is.
    Tenant(String),
    Away(String),
}

impl From<NotTaken> for Refused {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Refused(why) => Self::Token(why),
            NotTaken::Away(why) => Self::Away(why),
        }
    }
}

impl Bearer {
    pub fn new(tokens: TokenPeople, platform: Platform, directory: watch::Receiver<Arc<Directory>>) -> Self {
        Self { tokens, platform, directory }
    }
}

/// Around the gateway.
pub async fn exchange(State(bearer): State<Bearer>, mut request: Request, next: Next) -> Response {
    let Some(token) = token(request.headers()) else { return next.run(request).await };
    let in_path = request.uri().path().strip_prefix("/t/").and_then(|rest| rest.split('/').next());
    match bearer.pass(token, in_path).await {
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

impl Bearer {
    async fn pass(&self, token: &str, in_path: Option<&str>) -> Result<String, Refused> {
        let Known { whose, issued, .. } = self.tokens.whose(token).await?;
        let ended = self.directory.borrow().passes_from.get(&whose.person).is_some_and(|ended| issued <= *ended);
        if ended {
            return Err(Refused::Token("the sessions of its person were ended after it was issued".into()));
        }
        let tenant = tenant(&whose.tenants, in_path)?;
        self.heard_of(tenant, &whose).await;
        Ok(self.platform.pass_by_token(&whose, tenant))
    }

    /// Somebody who came for the first time is in the database, and a moment later in what the gateway knows.
    async fn heard_of(&self, tenant: &Name, whose: &ByToken) {
        let mut directory = self.directory.clone();
        let is_known = |d: &Arc<Directory>| d.tenants.get(tenant).is_some_and(|entry| entry.members.contains(&whose.person));
        // In either case the gateway answers.
        let _ = tokio::time::timeout(HEARD_WITHIN, directory.wait_for(is_known)).await;
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
