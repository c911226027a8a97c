//! The identity provider as a partner: found when it is first needed, asked again when its keys change,
//! and never a reason for the portal not to start.

mod refresh;

pub use refresh::RenewError;

use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl, LogoutRequest, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, PostLogoutRedirectUrl, ProviderMetadataWithLogout, RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse,
    TokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
    reqwest,
    url::Url,
};
use serde::{Deserialize, Serialize};
use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

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
    CoreJsonWebKey,
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

/// Signatures that are believed, whatever a token's head or the provider's list says. No shared secrets, no `none`.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 7] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// How long the provider's description and keys are used before they are asked for again.
const FRESH: Duration = Duration::from_secs(3600);

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
    http: Result<reqwest::Client, String>,
    known: Mutex<Option<(Arc<ProviderMetadataWithLogout>, Instant)>>,
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
    pub name: String,
    pub email: Option<String>,
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// As received; the provider wants it back when the person signs out.
    pub id_token: String,
    /// By which the provider can be asked again; not every provider gives one.
    pub refresh_token: Option<String>,
}

impl Provider {
    pub fn new(issuer: String, client_id: String, client_secret: Option<String>, callback: String, home: String) -> Self {
        // Never follow redirects: an attacker's answer could lead into the inner network.
        let http = reqwest::ClientBuilder::new()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|e| e.to_string());
        Self {
            issuer,
            client_id: ClientId::new(client_id),
            client_secret: client_secret.map(ClientSecret::new),
            callback,
            home,
            http,
            known: Mutex::new(None),
        }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn http(&self) -> Result<&reqwest::Client, ProviderError> {
        self.http.as_ref().map_err(|why| ProviderError::Refused(why.clone()))
    }

    fn away(&self, why: impl std::fmt::Display) -> ProviderError {
        ProviderError::Away { issuer: self.issuer.clone(), why: why.to_string() }
    }

    async fn metadata(&self, at_least_from: Option<Instant>) -> Result<Arc<ProviderMetadataWithLogout>, ProviderError> {
        let mut known = self.known.lock().await;
        if let Some((metadata, when)) = known.as_ref()
            && when.elapsed() < FRESH
            && at_least_from.is_none_or(|t| *when >= t)
        {
            return Ok(metadata.clone());
        }
        let issuer = IssuerUrl::new(self.issuer.clone()).map_err(|e| ProviderError::Refused(e.to_string()))?;
        let found = ProviderMetadataWithLogout::discover_async(issuer, self.http()?).await;
        match found {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Some((metadata.clone(), Instant::now()));
                Ok(metadata)
            }
            // What was known before still serves, unless newer keys were asked for.
            Err(e) => match known.as_ref() {
                Some((metadata, _)) if at_least_from.is_none() => Ok(metadata.clone()),
                _ => Err(self.away(causes(&e))),
            },
        }
    }

    fn client(&self, metadata: &ProviderMetadataWithLogout) -> Result<OidcClient, ProviderError> {
        let callback = RedirectUrl::new(self.callback.clone()).map_err(|e| ProviderError::Refused(e.to_string()))?;
        Ok(OidcClient::from_provider_metadata(metadata.clone(), self.client_id.clone(), self.client_secret.clone())
            .set_redirect_uri(callback))
    }

    pub async fn begin(&self) -> Result<Begun, ProviderError> {
        let metadata = self.metadata(None).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = self
            .client(&metadata)?
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scope(Scope::new("email".into()))
            .add_scope(Scope::new("profile".into()))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Begun { url, state: state.into_secret(), nonce: nonce.secret().clone(), verifier: verifier.into_secret() })
    }

    /// Trades the code for tokens, and believes the ID token only after issuer, audience, times, nonce, signature
    /// and the access token's hash were checked.
    pub async fn finish(&self, code: String, nonce: String, verifier: String) -> Result<Vouched, ProviderError> {
        let metadata = self.metadata(None).await?;
        let client = self.client(&metadata)?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|e| ProviderError::Refused(e.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(self.http()?)
            .await
            .map_err(|e| match e {
                openidconnect::RequestTokenError::ServerResponse(said) => ProviderError::Refused(said.to_string()),
                openidconnect::RequestTokenError::Request(e) => self.away(causes(&e)),
                other => ProviderError::Refused(causes(&other)),
            })?;
        self.person(&metadata, &client, &tokens, Some(&Nonce::new(nonce))).await
    }

    /// Who the tokens speak of. `nonce`: of the sign-in that they must belong to; tokens that were refreshed have none.
    async fn person(
        &self,
        metadata: &ProviderMetadataWithLogout,
        client: &OidcClient,
        tokens: &StandardTokenResponse<Fields, CoreTokenType>,
        nonce: Option<&Nonce>,
    ) -> Result<Vouched, ProviderError> {
        let began = Instant::now();
        match self.check(client, tokens, nonce) {
            // The provider may have changed its keys since we asked: once more with fresh ones.
            Err(ProviderError::Refused(first)) => {
                let fresh = self.metadata(Some(began)).await?;
                if fresh.jwks() == metadata.jwks() {
                    return Err(ProviderError::Refused(first));
                }
                self.check(&self.client(&fresh)?, tokens, nonce)
            }
            done => done,
        }
    }

    fn check(
        &self,
        client: &OidcClient,
        tokens: &StandardTokenResponse<Fields, CoreTokenType>,
        nonce: Option<&Nonce>,
    ) -> Result<Vouched, ProviderError> {
        let refused = |e: &dyn std::error::Error| ProviderError::Refused(causes(e));
        let id_token = tokens.id_token().ok_or_else(|| ProviderError::Refused("no ID token came".into()))?;
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        // A token that was refreshed may carry any nonce or none (OpenID Connect Core 12.2).
        let claims = match nonce {
            Some(nonce) => id_token.claims(&verifier, nonce),
            None => id_token.claims(&verifier, |_: Option<&Nonce>| Ok(())),
        };
        let claims = claims.map_err(|e| refused(&e))?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = id_token.signing_alg().map_err(|e| refused(&e))?;
            let key = id_token.signing_key(&verifier).map_err(|e| refused(&e))?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key).map_err(|e| refused(&e))?;
            if actual != *expected {
                return Err(ProviderError::Refused("the access token does not belong to the ID token".into()));
            }
        }
        let subject = claims.subject().as_str().to_owned();
        let said = claims.name().and_then(|n| n.get(None)).map(|n| n.as_str().trim().to_owned()).filter(|n| !n.is_empty());
        let login = claims.preferred_username().map(|n| n.as_str().to_owned());
        Ok(Vouched {
            name: said.or(login).unwrap_or_else(|| subject.clone()),
            email: claims.email().map(|e| e.as_str().to_owned()),
            claims: claims.additional_claims().claims.clone(),
            id_token: id_token.to_string(),
            refresh_token: tokens.refresh_token().map(|t| t.secret().clone()),
            subject,
        })
    }

    /// Where the browser goes to end the session at the provider too. None when it has no such page, or does not answer now:
    /// our own session has ended in any case.
    pub async fn sign_out_url(&self, id_token: Option<&str>) -> Option<String> {
        let metadata = self.metadata(None).await.ok()?;
        let end = metadata.additional_metadata().end_session_endpoint.clone()?;
        let mut request = LogoutRequest::from(end)
            .set_client_id(self.client_id.clone())
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(self.home.clone()).ok()?);
        if let Some(token) = id_token.and_then(|t| openidconnect::core::CoreIdToken::from_str(t).ok()) {
            request = request.set_id_token_hint(&token);
        }
        Some(request.http_get_url().to_string())
    }
}

/// The error with everything that caused it, for the log.
fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
