//! An identity provider that does what a test tells it: good, silent, forging, or endless. On a port of its own, in this process.

mod away;
mod backchannel;
mod doctor;
mod house_certificate;
mod refreshed;
mod tokens;

use crate::portal::{Answer, Browser, TestPortal, encoded};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Form, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm},
    url::Url,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

pub const SECRET: &str = "the-secret-of-the-portal-at-its-provider";

/// How the provider behaves now.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub description: Reply,
    pub keys: Reply,
    pub token: Reply,
    pub promises_iss: bool,
    /// What the client must come with.
    pub secret: &'static str,
    /// Whether people may be sent back to the portal.
    pub callback_known: bool,
    /// Laid over the claims of a good token; null takes one away.
    pub claims: Value,
    pub signed: Signed,
    /// Gives refresh tokens.
    pub refreshes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Good,
    /// Takes the request and never answers.
    Silent,
    /// To the same thing under another path.
    Redirect,
    /// A good beginning that never ends.
    Endless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// With the key of this number; the key set holds number 1.
    Key(u8),
    /// By key 2 under the name of key 1.
    Forged,
    /// `alg: none`, no signature.
    None,
    /// HMAC with what everybody knows: the public key.
    HmacOfPublicKey,
    /// HMAC with the client's secret, which the standard allows and we do not.
    HmacOfSecret,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            description: Reply::Good,
            keys: Reply::Good,
            token: Reply::Good,
            promises_iss: false,
            secret: SECRET,
            callback_known: true,
            claims: json!({}),
            signed: Signed::Key(1),
            refreshes: false,
        }
    }
}

pub struct Double {
    pub issuer: String,
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    behaviour: Mutex<Behaviour>,
    asked: Mutex<HashMap<&'static str, usize>>,
    /// Codes and the nonces that they stand for.
    codes: Mutex<HashMap<String, String>>,
    next: AtomicUsize,
    /// Bytes of endless answers that somebody took.
    poured: AtomicU64,
}

impl Double {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(listener, format!("http://{address}")).await
    }

    /// At `origin`, by a listener of any kind.
    pub async fn serve(listener: impl axum::serve::Listener<Addr: std::fmt::Debug>, origin: String) -> Self {
        let issuer = format!("{origin}/realms/house");
        let inner = Arc::new(Inner {
            issuer: issuer.clone(),
            behaviour: Mutex::default(),
            asked: Mutex::default(),
            codes: Mutex::default(),
            next: AtomicUsize::new(1),
            poured: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/realms/house/.well-known/openid-configuration", get(description))
            .route("/realms/house/elsewhere", get(elsewhere).post(elsewhere))
            .route("/realms/house/keys", get(keys))
            .route("/realms/house/token", post(token))
            .route("/realms/house/authorize", get(authorize))
            // As Keycloak answers.
            .route("/realms/{realm}/.well-known/openid-configuration", get(|| async { no_realm() }))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, inner }
    }

    pub fn now(&self, behaviour: Behaviour) {
        *self.inner.behaviour.lock().unwrap() = behaviour;
    }

    /// How often this was asked for: `description`, `elsewhere`, `keys`, `token`.
    pub fn asked(&self, what: &str) -> usize {
        self.inner.asked.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    pub fn poured(&self) -> u64 {
        self.inner.poured.load(Ordering::Relaxed)
    }

    /// A portal whose people sign in here.
    pub async fn portal(&self, flags: &[&str]) -> TestPortal {
        let ours = ["--role", "web,gateway", "--issuer", &self.issuer, "--client-secret", SECRET];
        // How often one address may try is for other tests.
        let often = ["--sign-ins-per-minute", "100000", "--refused-sign-ins-per-minute", "100000"];
        TestPortal::with(&[&ours[..], &often, flags].concat()).await
    }

    /// Begins in this browser; what a provider that has asked the person would answer with.
    pub async fn begin(&self, browser: &mut Browser) -> Vec<(&'static str, String)> {
        let off = browser.get("/auth/login?return_to=/").await;
        assert_eq!(off.status, 303, "{}", off.body);
        let sent: HashMap<String, String> = Url::parse(off.location()).unwrap().query_pairs().into_owned().collect();
        let code = format!("code-{}", self.inner.next.fetch_add(1, Ordering::Relaxed));
        self.inner.codes.lock().unwrap().insert(code.clone(), sent["nonce"].clone());
        vec![("code", code), ("state", sent["state"].clone()), ("iss", self.issuer.clone())]
    }

    /// A token by which the provider tells of the end of a session, with these claims laid over a good one; null takes one away, and times
    /// are seconds from now.
    pub fn logout_token(&self, over: Value, how: Signed) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let good = json!({
            "iss": self.issuer, "aud": "atelier", "iat": seconds, "exp": seconds + 120, "jti": format!("logout-{number}"), "sub": "f:house:mira",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        signed(how, &laid_over(good, &over, seconds))
    }

    /// The whole way; the portal's answer to the callback.
    pub async fn sign_in(&self, browser: &mut Browser) -> Answer {
        let answer = self.begin(browser).await;
        back(browser, &answer).await
    }
}

/// The provider's answer, carried by the browser.
pub async fn back(browser: &mut Browser, answer: &[(&str, String)]) -> Answer {
    let fields: Vec<(&str, &str)> = answer.iter().map(|(k, v)| (*k, v.as_str())).collect();
    browser.get(&format!("/auth/callback?{}", encoded(&fields))).await
}

impl Inner {
    fn asked(&self, what: &'static str) -> Behaviour {
        *self.asked.lock().unwrap().entry(what).or_default() += 1;
        self.behaviour.lock().unwrap().clone()
    }

    async fn reply(self: &Arc<Self>, how: Reply, good: Value) -> Response {
        match how {
            Reply::Good => Json(good).into_response(),
            Reply::Silent => std::future::pending().await,
            Reply::Redirect => Redirect::temporary(&format!("{}/elsewhere", self.issuer)).into_response(),
            Reply::Endless => {
                let this = self.clone();
                let begun = good.to_string().trim_end_matches('}').to_owned();
                let first = futures::stream::once(async move { Ok::<_, std::io::Error>(Bytes::from(format!("{begun},\"more\":\""))) });
                let rest = futures::stream::repeat_with(move || {
                    this.poured.fetch_add(64 * 1024, Ordering::Relaxed);
                    Ok(Bytes::from(vec![b'x'; 64 * 1024]))
                });
                let body = Body::from_stream(futures::StreamExt::chain(first, rest));
                ([(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
        }
    }

    fn describes_itself(&self, promises_iss: bool) -> Value {
        let url = |path: &str| format!("{}/{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": url("authorize"),
            "token_endpoint": url("token"),
            "jwks_uri": url("keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
            "authorization_response_iss_parameter_supported": promises_iss,
        })
    }
}

async fn description(State(inner): State<Arc<Inner>>) -> Response {
    let now = inner.asked("description");
    inner.reply(now.description, inner.describes_itself(now.promises_iss)).await
}

async fn elsewhere(State(inner): State<Arc<Inner>>) -> Response {
    let now = inner.asked("elsewhere");
    Json(inner.describes_itself(now.promises_iss)).into_response()
}

async fn keys(State(inner): State<Arc<Inner>>) -> Response {
    let now = inner.asked("keys");
    inner.reply(now.keys, json!({ "keys": [public_key()] })).await
}

fn no_realm() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "Realm does not exist" }))).into_response()
}

async fn authorize(State(inner): State<Arc<Inner>>) -> Response {
    if inner.asked("authorize").callback_known { "who are you?".into_response() } else { StatusCode::BAD_REQUEST.into_response() }
}

async fn token(State(inner): State<Arc<Inner>>, headers: HeaderMap, Form(asked): Form<HashMap<String, String>>) -> Response {
    let now = inner.behaviour.lock().unwrap().clone();
    let basic = format!("Basic {}", STANDARD.encode(format!("atelier:{}", now.secret)));
    if headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) != Some(basic.as_str()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client" }))).into_response();
    }
    // The nonce belongs to the first token only.
    let nonce = match asked.get("code").and_then(|code| inner.codes.lock().unwrap().remove(code)) {
        Some(nonce) => json!(nonce),
        None if now.refreshes && asked.get("refresh_token").is_some_and(|t| t == "refresh-token") => Value::Null,
        None => return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response(),
    };
    // Codes that were given are counted; the portal also asks with one that was not.
    inner.asked("token");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": inner.issuer, "aud": "atelier", "sub": "f:house:mira", "exp": seconds + 300, "iat": seconds, "nonce": nonce,
        "name": "Mira Castro", "email": "mira@example.test", "groups": ["/atelier/lumenta/engineer"],
    });
    let mut claims = laid_over(claims, &now.claims, seconds);
    if nonce.is_null() {
        claims.as_object_mut().unwrap().remove("nonce");
    }
    let mut good = json!({ "access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": signed(now.signed, &claims) });
    if now.refreshes {
        good["refresh_token"] = json!("refresh-token");
    }
    inner.reply(now.token, good).await
}

fn laid_over(mut claims: Value, over: &Value, seconds: u64) -> Value {
    for (name, value) in over.as_object().unwrap() {
        // Times are told as seconds from now.
        let value = match name.as_str() {
            "iat" | "nbf" | "exp" => value.as_i64().map_or(value.clone(), |n| json!(seconds as i64 + n)),
            _ => value.clone(),
        };
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name)
        } else {
            claims.as_object_mut().unwrap().insert(name.clone(), value)
        };
    }
    claims
}

fn key(number: u8) -> CoreEdDsaPrivateSigningKey {
    let pkcs8 =
        [&[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..], &[number; 32]].concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(format!("key-{number}")))).unwrap()
}

fn public_key() -> Value {
    serde_json::to_value(key(1).as_verification_key()).unwrap()
}

fn signed(how: Signed, claims: &Value) -> String {
    let hmac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let eddsa = |number: u8, text: &str| key(number).sign(&CoreJwsSigningAlgorithm::EdDsa, text.as_bytes()).unwrap();
    let head = match how {
        Signed::Key(number) => json!({ "alg": "EdDSA", "kid": format!("key-{number}") }),
        Signed::Forged => json!({ "alg": "EdDSA", "kid": "key-1" }),
        Signed::None => json!({ "alg": "none" }),
        Signed::HmacOfPublicKey | Signed::HmacOfSecret => json!({ "alg": "HS256", "kid": "key-1" }),
    };
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = match how {
        Signed::Key(number) => eddsa(number, &text),
        Signed::Forged => eddsa(2, &text),
        Signed::None => Vec::new(),
        Signed::HmacOfPublicKey => hmac(&URL_SAFE_NO_PAD.decode(public_key()["x"].as_str().unwrap()).unwrap(), &text),
        Signed::HmacOfSecret => hmac(SECRET.as_bytes(), &text),
    };
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
