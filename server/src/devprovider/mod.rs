//! The development identity provider: a real OpenID Connect provider for people who do not exist, so that the portal can be tried
//! and tested without another program. Same listener, under `/dev-idp`; the configuration lets it exist on loopback only.

mod accounts;
mod key;
mod manage;
mod pages;
pub mod people;
mod refresh;
mod tokens;

use crate::signin::discovery::{Beyond, Description};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use openidconnect::{
    AuthUrl, EndSessionUrl, IssuerUrl, JsonWebKeySetUrl, PrivateSigningKey, ResponseTypes, Scope, TokenUrl,
    core::{
        CoreClientAuthMethod, CoreEdDsaPrivateSigningKey, CoreGrantType, CoreJsonWebKeySet, CoreJwsSigningAlgorithm, CoreResponseType,
        CoreSubjectIdentifierType,
    },
    url::Url,
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Everything it answers: method and path.
pub const ROUTES: [(&str, &str); 8] = [
    ("GET", "/dev-idp/.well-known/openid-configuration"),
    ("GET", "/dev-idp/authorize"),
    ("GET", "/dev-idp/jwks"),
    ("GET", "/dev-idp/logout"),
    ("GET", "/dev-idp/people"),
    ("POST", "/dev-idp/authorize"),
    ("POST", "/dev-idp/people"),
    ("POST", "/dev-idp/token"),
];

/// How long a code can be traded for tokens.
const CODE_LIVES: Duration = Duration::from_secs(60);

/// The issuer of a portal that browsers reach under this URL.
pub fn issuer(public_url: &str) -> String {
    format!("{public_url}/dev-idp")
}

/// What a code stands for.
struct Grant {
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    person: &'static people::DevPerson,
    made: Instant,
}

pub struct DevProvider {
    issuer: String,
    client_id: String,
    key: CoreEdDsaPrivateSigningKey,
    codes: Mutex<HashMap<String, Grant>>,
    accounts: accounts::Accounts,
    /// Refresh tokens that were used.
    used: Mutex<HashSet<String>>,
}

type Provider = State<Arc<DevProvider>>;

impl DevProvider {
    /// The signing key lies in the data folder and is made when it is missing.
    pub fn open(public_url: &str, client_id: &str, data: &Path) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            issuer: issuer(public_url),
            client_id: client_id.to_owned(),
            key: key::load_or_make(&data.join("dev-provider.pem"))?,
            codes: Mutex::default(),
            accounts: accounts::Accounts::new(data),
            used: Mutex::default(),
        }))
    }

    /// Its pages and calls, with the paths as browsers and the portal name them.
    pub fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/dev-idp/.well-known/openid-configuration", get(discovery))
            .route("/dev-idp/jwks", get(jwks))
            .route("/dev-idp/authorize", get(pages::ask).post(pages::sign_in))
            .route("/dev-idp/people", get(manage::page).post(manage::change))
            .route("/dev-idp/token", post(tokens::token))
            .route("/dev-idp/logout", get(pages::sign_out))
            .with_state(self)
    }

    fn keep(&self, grant: Grant) -> String {
        let code = random();
        let mut codes = self.codes.lock().unwrap_or_else(|e| e.into_inner());
        codes.retain(|_, g| g.made.elapsed() < CODE_LIVES);
        codes.insert(code.clone(), grant);
        code
    }

    /// A code is used once, whatever comes of it.
    fn take(&self, code: &str) -> Option<Grant> {
        let grant = self.codes.lock().unwrap_or_else(|e| e.into_inner()).remove(code)?;
        (grant.made.elapsed() < CODE_LIVES).then_some(grant)
    }
}

/// A portal on this machine, any port: `path` is the one that may be returned to.
fn is_on_this_machine(address: &str, path: &str) -> bool {
    Url::parse(address).is_ok_and(|url| {
        url.scheme() == "http"
            && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
            && url.path() == path
            && url.username().is_empty()
    })
}

fn random() -> String {
    openidconnect::CsrfToken::new_random_len(32).into_secret()
}

async fn discovery(State(provider): Provider) -> Response {
    match describe(&provider.issuer) {
        Ok(description) => Json(description).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

fn describe(issuer: &str) -> Result<Description, openidconnect::url::ParseError> {
    let url = |path: &str| format!("{issuer}{path}");
    Ok(Description::new(
        IssuerUrl::new(issuer.to_owned())?,
        AuthUrl::new(url("/authorize"))?,
        JsonWebKeySetUrl::new(url("/jwks"))?,
        vec![ResponseTypes::new(vec![CoreResponseType::Code])],
        vec![CoreSubjectIdentifierType::Public],
        vec![CoreJwsSigningAlgorithm::EdDsa],
        Beyond { end_session_endpoint: Some(EndSessionUrl::new(url("/logout"))?), authorization_response_iss_parameter_supported: true },
    )
    .set_token_endpoint(Some(TokenUrl::new(url("/token"))?))
    .set_grant_types_supported(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken, CoreGrantType::Password]))
    .set_scopes_supported(Some(["openid", "email", "profile"].map(|s| Scope::new(s.into())).to_vec()))
    .set_token_endpoint_auth_methods_supported(Some(vec![CoreClientAuthMethod::None, CoreClientAuthMethod::ClientSecretBasic])))
}

async fn jwks(State(provider): Provider) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(CoreJsonWebKeySet::new(vec![provider.key.as_verification_key()]))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::LogoutProviderMetadata;

    #[test]
    fn only_portals_on_this_machine_are_returned_to() {
        assert!(is_on_this_machine("http://127.0.0.1:3000/auth/callback", "/auth/callback"));
        assert!(is_on_this_machine("http://localhost:9/auth/callback", "/auth/callback"));
        for bad in [
            "http://127.0.0.1.evil.example/auth/callback",
            "https://evil.example/auth/callback",
            "http://127.0.0.1:3000@evil.example/auth/callback",
            "http://127.0.0.1:3000/auth/callback/../../x",
            "http://user@127.0.0.1:3000/auth/callback",
            "javascript:alert(1)",
        ] {
            assert!(!is_on_this_machine(bad, "/auth/callback"), "{bad}");
        }
    }

    #[test]
    fn the_description_names_the_place_to_sign_out() {
        let text = serde_json::to_string(&describe("http://127.0.0.1:3000/dev-idp").unwrap()).unwrap();
        let read: openidconnect::ProviderMetadataWithLogout = serde_json::from_str(&text).unwrap();
        let LogoutProviderMetadata { end_session_endpoint, .. } = read.additional_metadata();
        assert_eq!(end_session_endpoint.as_ref().map(|u| u.as_str()), Some("http://127.0.0.1:3000/dev-idp/logout"));
    }
}
