//! The identity provider as a partner: found when it is first needed, asked again when its keys change,
//! and never a reason for the portal not to start.

mod refresh;

pub use refresh::RenewError;

use super::{
    algorithms::ALGORITHMS,
    checks,
    claims::GroupRules,
    diagnosis,
    discovery::{Description, Discovery},
    http::Http,
    jws::{self, Believed, Unbelieved},
    keys::Key,
};
use crate::finding::Finding;
use domain::{
    causes,
    one_line::{self, one_line},
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, LogoutRequest, Nonce, OAuth2TokenResponse,
    PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, RedirectUrl, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, TokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
    url::Url,
};
use serde::{Deserialize, Serialize};
use std::{str::FromStr, sync::Arc, time::Duration};

/// Every further claim, so that the name of the groups claim can be configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Further {
    #[serde(flatten)]
    pub claims: serde_json::Map<String, serde_json::Value>,
}
impl AdditionalClaims for Further {}

type Fields = IdTokenFields<Further, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type OidcClient = Client<
    Further,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    Key,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Longest `sid` that is kept, bytes.
const SESSION_BYTES: usize = 255;
/// How long trading a code for a person may take in all, keys that are asked for again included.
const FINISHED_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or not as a provider does.
    #[error("the identity provider {issuer} does not answer: {why}")]
    Away { issuer: String, why: String },
    /// It answered, and what it said cannot be believed or used.
    #[error("the identity provider's answer was refused: {0}")]
    Refused(String),
}

pub struct Provider {
    issuer: String,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    callback: String,
    /// Where the provider sends people after they signed out.
    home: String,
    http: Http,
    discovery: Arc<Discovery>,
}

/// A sign-in that begins: where to send the browser, and what must come back.
pub struct Begun {
    pub url: Url,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

/// A person, as the provider vouches for.
#[derive(Debug)]
pub struct Vouched {
    pub subject: String,
    /// The best name that shows anything; empty when there is none.
    pub name: String,
    pub email: Option<String>,
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// As received; the provider wants it back when the person signs out.
    pub id_token: String,
    /// `sid`: its session there, where it names it.
    pub session: Option<String>,
    /// By which the provider can be asked again; not every provider gives one.
    pub refresh_token: Option<String>,
}

impl Provider {
    pub fn new(issuer: String, client_id: String, client_secret: Option<String>, callback: String, home: String, http: Http) -> Self {
        Self {
            discovery: Discovery::new(issuer.clone(), http.clone()),
            issuer,
            client_id: ClientId::new(client_id),
            client_secret: client_secret.map(ClientSecret::new),
            callback,
            home,
            http,
        }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn away(&self, why: impl std::fmt::Display) -> ProviderError {
        ProviderError::Away { issuer: self.issuer.clone(), why: why.to_string() }
    }

    async fn description(&self) -> Result<Arc<Description>, ProviderError> {
        self.discovery.description().await.map_err(|why| self.away(why))
    }

    fn client(&self, description: &Description) -> Result<OidcClient, ProviderError> {
        let callback = RedirectUrl::new(self.callback.clone()).map_err(|e| ProviderError::Refused(e.to_string()))?;
        Ok(OidcClient::from_provider_metadata(description.clone(), self.client_id.clone(), self.client_secret.clone())
            .set_redirect_uri(callback))
    }

    pub async fn begin(&self) -> Result<Begun, ProviderError> {
        let description = self.discovery.description_of_one_that_answers().await.map_err(|why| self.away(why))?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = self
            .client(&description)?
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scope(Scope::new("email".into()))
            .add_scope(Scope::new("profile".into()))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Begun { url, state: state.into_secret(), nonce: nonce.secret().clone(), verifier: verifier.into_secret() })
    }

    /// What is wrong with it, every part looked at.
    pub async fn diagnose_all(&self, groups: &GroupRules, audience: &str) -> Vec<Finding> {
        diagnosis::diagnose(&self.http, &self.asked(groups, audience)).await
    }

    /// The same, but a provider that describes itself well is not asked for that once more: sign-ins use the answer.
    pub async fn diagnose(&self, groups: &GroupRules, audience: &str) -> Vec<Finding> {
        match self.discovery.description().await {
            Ok(known) => diagnosis::client(&self.http, &self.asked(groups, audience), &diagnosis::as_sent(&known)).await,
            Err(_) => self.diagnose_all(groups, audience).await,
        }
    }

    pub fn asked<'a>(&'a self, groups: &'a GroupRules, audience: &'a str) -> diagnosis::Asked<'a> {
        diagnosis::Asked {
            issuer: &self.issuer,
            client_id: self.client_id.as_str(),
            client_secret: self.client_secret.as_ref().map(|s| s.secret().as_str()),
            callback: &self.callback,
            home: &self.home,
            groups,
            audience,
        }
    }

    /// Whether an answer that names (or does not name) its issuer comes from this provider (RFC 9207).
    pub async fn is_answer_of(&self, issuer: Option<&str>) -> Result<bool, ProviderError> {
        match issuer {
            Some(said) => Ok(said == self.issuer),
            None => Ok(!self.description().await?.additional_metadata().authorization_response_iss_parameter_supported),
        }
    }

    /// Trades the code for tokens, and believes the ID token only after issuer, audience, times, nonce, signature
    /// and the access token's hash were checked.
    pub async fn finish(&self, code: String, nonce: String, verifier: String) -> Result<Vouched, ProviderError> {
        match tokio::time::timeout(FINISHED_WITHIN, self.trade(code, nonce, verifier)).await {
            Ok(finished) => finished,
            Err(_) => Err(self.away(format!("no person for the code within {} s", FINISHED_WITHIN.as_secs()))),
        }
    }

    async fn trade(&self, code: String, nonce: String, verifier: String) -> Result<Vouched, ProviderError> {
        let client = self.client(&*self.description().await?)?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|e| ProviderError::Refused(e.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.http)
            .await
            .map_err(|e| match e {
                openidconnect::RequestTokenError::ServerResponse(said) => ProviderError::Refused(said.to_string()),
                openidconnect::RequestTokenError::Request(e) => self.away(causes::in_words(&e)),
                other => ProviderError::Refused(causes::in_words(&other)),
            })?;
        self.person(&client, &tokens, Some(&Nonce::new(nonce))).await
    }

    /// Who the tokens speak of. `nonce`: of the sign-in that they must belong to; tokens that were refreshed have none.
    async fn person(
        &self,
        client: &OidcClient,
        tokens: &StandardTokenResponse<Fields, CoreTokenType>,
        nonce: Option<&Nonce>,
    ) -> Result<Vouched, ProviderError> {
        let first = match self.check(client, tokens, nonce) {
            Ok(vouched) => return Ok(vouched),
            Err(Unbelieved::Other(why)) => return Err(ProviderError::Refused(why)),
            Err(Unbelieved::Key(why)) => why,
        };
        match self.discovery.with_newer_keys().await {
            None => Err(ProviderError::Refused(format!("{first}; its keys were asked for a moment ago and did not fit either"))),
            Some(Err(why)) => Err(self.away(why)),
            Some(Ok(newer)) => self.check(&self.client(&newer)?, tokens, nonce).map_err(|e| match e {
                Unbelieved::Key(why) | Unbelieved::Other(why) => ProviderError::Refused(why),
            }),
        }
    }

    /// What a token says that this provider has signed, and that is no ID token. Keys that are not known are asked for again.
    pub async fn believe(&self, token: &str) -> Result<Believed, ProviderError> {
        let refused = |e| match e {
            Unbelieved::Key(why) | Unbelieved::Other(why) => ProviderError::Refused(why),
        };
        match jws::believe(token, self.description().await?.jwks().keys()) {
            Err(Unbelieved::Key(why)) => match self.discovery.with_newer_keys().await {
                None => Err(ProviderError::Refused(format!("{why}; its keys were asked for a moment ago and did not fit either"))),
                Some(Err(why)) => Err(self.away(why)),
                Some(Ok(newer)) => jws::believe(token, newer.jwks().keys()).map_err(refused),
            },
            believed => believed.map_err(refused),
        }
    }

    pub fn client_id(&self) -> &str {
        self.client_id.as_str()
    }

    fn check(
        &self,
        client: &OidcClient,
        tokens: &StandardTokenResponse<Fields, CoreTokenType>,
        nonce: Option<&Nonce>,
    ) -> Result<Vouched, Unbelieved> {
        let refused = |e: &dyn std::error::Error| Unbelieved::Other(causes::in_words(e));
        let id_token = tokens.id_token().ok_or_else(|| Unbelieved::Other("no ID token came".into()))?;
        // Further audiences are believed when the token says that it was given to us; `checks` looks at that.
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS).set_other_audience_verifier_fn(|_| true);
        // A token that was refreshed may carry any nonce or none (OpenID Connect Core 12.2).
        let claims = match nonce {
            Some(nonce) => id_token.claims(&verifier, nonce),
            None => id_token.claims(&verifier, |_: Option<&Nonce>| Ok(())),
        };
        let claims = claims.map_err(|e| match e {
            ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey
                | SignatureVerificationError::AmbiguousKeyId(_)
                | SignatureVerificationError::CryptoError(_),
            ) => Unbelieved::Key(causes::in_words(&e)),
            _ => refused(&e),
        })?;
        let further = &claims.additional_claims().claims;
        checks::CheckedClaims {
            subject: claims.subject().as_str(),
            audiences: claims.audiences().len(),
            authorized_party: claims.authorized_party().map(|p| p.as_str()),
            issued: claims.issue_time().timestamp(),
            not_before: further.get("nbf"),
        }
        .check(self.client_id.as_str(), crate::clock::now().0 / 1000)
        .map_err(Unbelieved::Other)?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = id_token.signing_alg().map_err(|e| refused(&e))?;
            let key = id_token.signing_key(&verifier).map_err(|e| refused(&e))?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key).map_err(|e| refused(&e))?;
            if actual != *expected {
                return Err(Unbelieved::Other("the access token does not belong to the ID token".into()));
            }
        }
        let name = claims.name().and_then(|n| n.get(None)).map(|n| n.as_str());
        let login = claims.preferred_username().map(|n| n.as_str());
        Ok(Vouched {
            subject: claims.subject().as_str().to_owned(),
            name: name.into_iter().chain(login).map(|n| one_line(n, one_line::NAME)).find(|n| !n.is_empty()).unwrap_or_default(),
            email: claims.email().map(|e| e.as_str().to_owned()),
            session: further.get("sid").and_then(|sid| sid.as_str()).filter(|sid| sid.len() <= SESSION_BYTES).map(str::to_owned),
            claims: further.clone(),
            id_token: id_token.to_string(),
            refresh_token: tokens.refresh_token().map(|t| t.secret().clone()),
        })
    }

    /// Where the browser goes to end the session at the provider too. None when it has no such page, or does not answer now:
    /// our own session has ended in any case.
    pub async fn sign_out_url(&self, id_token: Option<&str>) -> Option<String> {
        let description = self.description().await.ok()?;
        let end = description.additional_metadata().end_session_endpoint.clone()?;
        let mut request = LogoutRequest::from(end)
            .set_client_id(self.client_id.clone())
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(self.home.clone()).ok()?);
        if let Some(token) = id_token.and_then(|t| openidconnect::core::CoreIdToken::from_str(t).ok()) {
            request = request.set_id_token_hint(&token);
        }
        Some(request.http_get_url().to_string())
    }
}
