//! Tokens: for a code (once, within a minute, with the verifier that fits) and for a refresh token (once).

use super::{
    DevProvider, Provider,
    people::{DevPerson, PASSWORD},
    random,
};
use axum::{
    Json,
    extract::{Form, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openidconnect::{
    AccessToken, AdditionalClaims, Audience, EmptyExtraTokenFields, EndUserEmail, EndUserName, IdToken, IdTokenClaims, IdTokenFields,
    IssuerUrl, LocalizedClaim, Nonce, PkceCodeChallenge, PkceCodeVerifier, PrivateSigningKey, RefreshToken, StandardClaims,
    StandardTokenResponse, SubjectIdentifier,
    core::{CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreTokenType},
};
use std::time::{Duration, SystemTime};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Groups {
    groups: Vec<String>,
}
impl AdditionalClaims for Groups {}

type Fields = IdTokenFields<Groups, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

#[derive(serde::Deserialize)]
pub struct Asked {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    code_verifier: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    client_id: Option<String>,
}

pub async fn token(State(provider): Provider, headers: HeaderMap, Form(asked): Form<Asked>) -> Response {
    if provider.accounts.changes().out_of_order {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let client = asked.client_id.clone().or_else(|| basic_user(&headers));
    let ours = client.as_deref() == Some(provider.client_id.as_str());
    match asked.grant_type.as_str() {
        "authorization_code" => by_code(&provider, &asked, ours),
        "refresh_token" if ours => match provider.take_refresh_token(&asked.refresh_token) {
            Some(person) => tokens(&provider, person, None),
            None => refused("invalid_grant"),
        },
        // For scripts on this machine, that have no browser.
        "password" if ours && asked.password == PASSWORD => match provider.accounts.active(&asked.username) {
            Some(person) => tokens(&provider, person, None),
            None => refused("invalid_grant"),
        },
        "refresh_token" | "password" => refused("invalid_grant"),
        _ => refused("unsupported_grant_type"),
    }
}

fn by_code(provider: &DevProvider, asked: &Asked, ours: bool) -> Response {
    let Some(grant) = provider.take(&asked.code) else { return refused("invalid_grant") };
    let verifier = PkceCodeVerifier::new(asked.code_verifier.clone());
    let fits = grant.redirect_uri == asked.redirect_uri
        && ours
        && PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str() == grant.challenge;
    if !fits || provider.accounts.active(grant.person.login).is_none() {
        return refused("invalid_grant");
    }
    tokens(provider, grant.person, grant.nonce)
}

fn tokens(provider: &DevProvider, person: &DevPerson, nonce: Option<String>) -> Response {
    let mut name = LocalizedClaim::new();
    name.insert(None, EndUserName::new(person.name.to_owned()));
    let standard = StandardClaims::new(SubjectIdentifier::new(format!("dev|{}", person.login)))
        .set_name(Some(name))
        .set_email(Some(EndUserEmail::new(format!("{}@example.test", person.login))))
        .set_email_verified(Some(true));
    let Ok(issuer) = IssuerUrl::new(provider.issuer.clone()) else { return refused("server_error") };
    let now = SystemTime::now();
    let lives = Duration::from_secs(3600);
    let groups = Groups { groups: provider.accounts.groups(person) };
    let audience = vec![Audience::new(provider.client_id.clone())];
    let claims = IdTokenClaims::new(issuer, audience, (now + lives).into(), now.into(), standard, groups).set_nonce(nonce.map(Nonce::new));
    let Some(access) = access_token(provider, person, now, lives).map(AccessToken::new) else { return refused("server_error") };
    let Ok(id_token) = IdToken::new(claims, &provider.key, CoreJwsSigningAlgorithm::EdDsa, Some(&access), None) else {
        return refused("server_error");
    };
    let mut answer = StandardTokenResponse::<Fields, CoreTokenType>::new(
        access,
        CoreTokenType::Bearer,
        Fields::new(Some(id_token), EmptyExtraTokenFields {}),
    );
    answer.set_expires_in(Some(&lives));
    answer.set_refresh_token(provider.refresh_token(person).map(RefreshToken::new));
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// As Keycloak writes them.
fn access_token(provider: &DevProvider, person: &DevPerson, now: SystemTime, lives: Duration) -> Option<String> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let claims = serde_json::json!({
        "iss": provider.issuer, "aud": provider.client_id, "azp": provider.client_id, "typ": "Bearer", "iat": seconds,
        "exp": seconds + lives.as_secs(), "jti": random(), "sub": format!("dev|{}", person.login), "name": person.name,
        "email": format!("{}@example.test", person.login), "groups": provider.accounts.groups(person),
    });
    let head = serde_json::json!({ "alg": "EdDSA", "typ": "JWT" });
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = provider.key.sign(&CoreJwsSigningAlgorithm::EdDsa, text.as_bytes()).ok()?;
    Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The client's name, when it comes as HTTP Basic.
fn basic_user(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    Some(text.split_once(':')?.0.to_owned())
}

fn refused(code: &str) -> Response {
    (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(serde_json::json!({ "error": code }))).into_response()
}
