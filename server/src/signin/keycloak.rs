//! Keycloak's own admin API, as far as it says whether somebody is still there, and in which groups. OpenID Connect has no such question:
//! a refresh token speaks for a session, and keys go on without one.

use super::http::{Http, HttpError};
use base64::{Engine, engine::general_purpose::STANDARD};
use openidconnect::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    url::form_urlencoded,
};
use serde_json::Value;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Groups that are read of one person.
const GROUPS: u32 = 1_000;
/// So long before its end a token is not used any more.
const BEFORE_ITS_END: Duration = Duration::from_secs(15);

/// Why nothing is known. For the log.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    #[error("Keycloak does not answer")]
    Away(#[from] HttpError),
    #[error(
        "the client “{0}” gets no token for itself (status {1}): turn its service account on (Clients, the client, Capability config, Service accounts roles)"
    )]
    NoServiceAccount(String, u16),
    #[error(
        "the service account of the client “{0}” may not see people (403): give it the role view-users of the client realm-management (Clients, the client, Service account roles; and Client scopes, its dedicated scope, Scope, unless Full scope allowed is on)"
    )]
    Forbidden(String),
    #[error("Keycloak answers with status {0} at {1}")]
    Status(u16, String),
}

/// What Keycloak says of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Disabled, or not there any more.
    Gone,
    /// Full paths, as a group mapper writes them.
    InGroups(Vec<String>),
}

pub struct AdminApi {
    http: Http,
    token_at: String,
    /// `https://sso.example.org/admin/realms/house`
    realm: String,
    client_id: String,
    client_secret: String,
    token: Mutex<Option<(String, Instant)>>,
}

impl AdminApi {
    /// None: the issuer is no Keycloak's, or the client has no secret.
    pub fn new(http: Http, issuer: &str, client_id: &str, client_secret: Option<&str>) -> Option<Self> {
        let (before, realm) = issuer.trim_end_matches('/').rsplit_once("/realms/")?;
        Some(Self {
            http,
            token_at: format!("{before}/realms/{realm}/protocol/openid-connect/token"),
            realm: format!("{before}/admin/realms/{realm}"),
            client_id: client_id.to_owned(),
            client_secret: client_secret?.to_owned(),
            token: Mutex::default(),
        })
    }

    /// `subject`: as tokens name the person.
    pub async fn presence(&self, subject: &str) -> Result<Presence, Unknown> {
        // A subject is Keycloak's own id; anything else cannot be one of its people, and must not lead elsewhere.
        if !subject.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(&b)) || subject.contains("..") {
            return Ok(Presence::Gone);
        }
        let Some(person) = self.get(&format!("/users/{subject}")).await? else { return Ok(Presence::Gone) };
        if person["enabled"] == false {
            return Ok(Presence::Gone);
        }
        let path = format!("/users/{subject}/groups?briefRepresentation=true&max={GROUPS}");
        let Some(Value::Array(groups)) = self.get(&path).await? else { return Ok(Presence::Gone) };
        Ok(Presence::InGroups(groups.iter().filter_map(|group| group["path"].as_str().map(str::to_owned)).collect()))
    }

    /// None: it is not there.
    async fn get(&self, path: &str) -> Result<Option<Value>, Unknown> {
        let token = self.token().await?;
        let at = format!("{}{path}", self.realm);
        let answer = self.send(&at, Method::GET, Vec::new(), &[(header::AUTHORIZATION, format!("Bearer {token}"))]).await?;
        match answer.status() {
            StatusCode::OK => Ok(serde_json::from_slice(answer.body()).ok()),
            // In its own words: a proxy or another realm that has no such page says nothing of people.
            StatusCode::NOT_FOUND if String::from_utf8_lossy(answer.body()).contains("User not found") => Ok(None),
            StatusCode::FORBIDDEN => Err(Unknown::Forbidden(self.client_id.clone())),
            status => {
                // A token may have been taken back there: the next question gets another one.
                *self.kept() = None;
                Err(Unknown::Status(status.as_u16(), at))
            }
        }
    }

    /// Of the client itself, until shortly before its end.
    async fn token(&self) -> Result<String, Unknown> {
        if let Some((token, until)) = &*self.kept()
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", encoded(&self.client_id), encoded(&self.client_secret)));
        let head = [(header::AUTHORIZATION, format!("Basic {basic}")), (header::CONTENT_TYPE, "application/x-www-form-urlencoded".into())];
        let answer = self.send(&self.token_at, Method::POST, b"grant_type=client_credentials".to_vec(), &head).await?;
        let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let Some(token) = said["access_token"].as_str().filter(|_| answer.status() == StatusCode::OK) else {
            return Err(Unknown::NoServiceAccount(self.client_id.clone(), answer.status().as_u16()));
        };
        let lasts = Duration::from_secs(said["expires_in"].as_u64().unwrap_or(60).min(3600));
        *self.kept() = Some((token.to_owned(), Instant::now() + lasts.saturating_sub(BEFORE_ITS_END)));
        Ok(token.to_owned())
    }

    async fn send(
        &self,
        url: &str,
        method: Method,
        body: Vec<u8>,
        head: &[(header::HeaderName, String)],
    ) -> Result<HttpResponse, HttpError> {
        let mut request = HttpRequest::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(openidconnect::http::Error::from)?;
        for (name, value) in head {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(name, value);
            }
        }
        self.http.send(request).await
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<(String, Instant)>> {
        self.token.lock().unwrap_or_else(|e| e.into_inner())
    }
}
