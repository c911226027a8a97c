//! A gateway on a socket with two tenants, their keys and models.

use crate::double::Double;
use axum::body::Bytes;
use domain::{
    directory::{Directory, KeyEntry, Pass, Route, TenantEntry},
    ids::{EndpointId, KeyId, ModelVersionId, PersonId},
    key::{self, Limits},
    name::Name,
    serving::ServingSettings,
    time::{DAY, Timestamp},
    usage::Call,
};
use gateway::{Gateway, GatewayConfig, RECORD_BYTES, SpoolConfig, UsageReceiver, UsageSink};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use uuid::Uuid;

pub const NOW: Timestamp = Timestamp(1_800_000_000_000);
pub const PASS_SECRET: [u8; 32] = [9; 32];
pub const ANNA: PersonId = PersonId::from_uuid(Uuid::from_u128(0xa));

pub struct World {
    pub address: String,
    pub double: Double,
    pub directory: watch::Sender<Arc<Directory>>,
    pub usage: UsageReceiver,
    _spool: tempfile::TempDir,
    pub client: Client<HttpConnector, Full<Bytes>>,
}

/// The text of the test's key number `n`.
pub fn key(n: u8) -> String {
    key::text::make([n; 32]).text
}

pub fn key_id(n: u8) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(u128::from(n)))
}

pub fn version() -> ModelVersionId {
    ModelVersionId::from_uuid(Uuid::from_u128(77))
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn limits(requests: Option<u32>, tokens: Option<u32>) -> Limits {
    Limits { requests_per_minute: requests, tokens_per_minute: tokens, ..Limits::default() }
}

pub fn entry(n: u8, tenant: &str) -> ([u8; 32], KeyEntry) {
    let made = key::text::make([n; 32]);
    let entry = KeyEntry {
        id: key_id(n),
        tenant: name(tenant),
        owner: ANNA,
        models: None,
        limits: Limits::default(),
        expires_at: None,
        revoked: false,
        confirmed_until: Some(NOW.plus(30 * DAY)),
    };
    (made.digest, entry)
}

pub fn route(upstream: Option<&str>, model: &str) -> Route {
    Route {
        endpoint: EndpointId::from_uuid(Uuid::from_u128(5)),
        endpoint_name: name("front"),
        upstreams: upstream.map(str::to_owned).into_iter().collect(),
        upstream_model: format!("srv-{model}"),
        upstream_key: None,
        model_server: Default::default(),
        model_version: Some(version()),
        parent: Some("tiny-base".into()),
        created: NOW,
        context: 4_096,
        settings: ServingSettings::default(),
        reason: None,
    }
}

pub fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Where is the printer?"}]})
}

pub fn streaming(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Where is the printer?"}], "stream": true})
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }
    /// OpenAI's `code`; the shape is checked on the way.
    pub fn code(&self) -> String {
        let json = self.json();
        let error = json["error"].as_object().unwrap_or_else(|| panic!("no error in {self:?}"));
        let mut fields: Vec<_> = error.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["code", "message", "param", "type"], "{self:?}");
        assert_eq!(json.as_object().unwrap().len(), 1, "{self:?}");
        assert!(self.headers.contains_key("x-request-id"), "{self:?}");
        error["code"].as_str().unwrap().to_owned()
    }
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }
    pub fn refused(&self) -> (u16, String) {
        (self.status, self.code())
    }
    /// The JSON of each event of a stream; `[DONE]` as that text.
    pub fn events(&self) -> Vec<Value> {
        let data = |e: &str| e.strip_prefix("data: ").unwrap_or_else(|| panic!("not an event: {e:?}")).to_owned();
        let events: Vec<_> = self.text.split_terminator("\n\n").map(data).collect();
        events.into_iter().map(|d| if d == "[DONE]" { json!("[DONE]") } else { serde_json::from_str(&d).unwrap() }).collect()
    }
    /// What a person would read of a stream.
    pub fn spoken(&self) -> String {
        self.events().iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

impl World {
    pub async fn start() -> World {
        Self::with(GatewayConfig::default(), 10_000).await
    }

    pub async fn with(config: GatewayConfig, capacity: usize) -> World {
        let (double, upstream) = Double::start().await;
        let mut acme = TenantEntry { active: true, ..TenantEntry::default() };
        acme.members.insert(ANNA);
        for model in [
            "helpdesk",
            "tiny-base",
            "refuses",
            "refuses-new",
            "crashes",
            "garbles",
            "slow",
            "never",
            "silent",
            "no-stream",
            "dies",
            "ends-early",
            "fails-inside",
            "torn",
            "stalls",
            "stepwise",
            "endless",
            "flood",
            "unfinished",
            "bare-returns",
            "two-lines",
            "marked",
            "busy",
            "locked",
            "unloaded",
            "grammar",
            "tools",
            "greedy",
            "held",
        ] {
            acme.routes.insert(model.into(), route(Some(&upstream), model));
        }
        let rival =
            TenantEntry { active: true, routes: [("secret".into(), route(Some(&upstream), "helpdesk"))].into(), ..TenantEntry::default() };
        let directory = Directory {
            revision: 1,
            tenants: [(name("acme"), acme), (name("rival"), rival)].into(),
            keys: [entry(1, "acme"), entry(2, "rival")].into(),
            pass_secret: PASS_SECRET,
            ..Directory::default()
        };
        let (directory, seen) = watch::channel(Arc::new(directory));
        let spool = tempfile::tempdir().unwrap();
        let places = SpoolConfig { max_bytes: capacity as u64 * RECORD_BYTES, ..SpoolConfig::new(spool.path().to_owned()) };
        let (sink, usage) = UsageSink::open(places).unwrap();
        let gateway = Gateway::new(config, seen, sink, || NOW);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, gateway.router()).await });
        World { address, double, directory, usage, _spool: spool, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Changes how acme's models may be called.
    pub fn rule(&self, change: impl FnOnce(&mut domain::call_rules::CallRules)) {
        self.change(|d| change(&mut d.tenants.get_mut(&name("acme")).unwrap().calls));
    }

    /// Changes what is set of the endpoint that serves this model of acme.
    pub fn set(&self, model: &str, change: impl FnOnce(&mut ServingSettings)) {
        self.change(|d| change(&mut d.tenants.get_mut(&name("acme")).unwrap().routes.get_mut(model).unwrap().settings));
    }

    /// The next snapshot.
    pub fn change(&self, change: impl FnOnce(&mut Directory)) {
        self.directory.send_modify(|directory| {
            let mut next = Directory::clone(directory);
            next.revision += 1;
            change(&mut next);
            *directory = Arc::new(next);
        });
    }

    pub fn limit_key(&self, n: u8, limits: Limits) {
        self.change(|d| d.keys.get_mut(&key::text::make([n; 32]).digest).unwrap().limits = limits);
    }

    pub fn pass(&self, tenant: &str, person: PersonId, ends: Timestamp) -> String {
        Pass { tenant: name(tenant), person, expires_at: ends }.sign(&PASS_SECRET)
    }

    pub fn request(&self, method: &str, path: &str, key: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.address)).header("content-type", "application/json");
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.body(Full::new(body.into())).unwrap()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.client.request(request).await.expect("no answer");
        let (head, body) = answer.into_parts();
        let text = String::from_utf8(body.collect().await.expect("the answer broke off").to_bytes().to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, text }
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.send(self.request("GET", path, key, Vec::new())).await
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path, key, body.to_string().into_bytes())).await
    }

    /// A chat call with the first key of acme.
    pub async fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", &key(1), body).await
    }

    /// The same, not read yet.
    pub async fn open(&self, body: &Value) -> Response<Incoming> {
        let request = self.request("POST", "/v1/chat/completions", &key(1), body.to_string().into_bytes());
        let response = self.client.request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }

    /// The one call that was metered since the last look.
    pub async fn metered(&mut self) -> Call {
        let batch = tokio::time::timeout(Duration::from_secs(30), self.usage.next_batch(10, Duration::from_millis(20))).await;
        let batch = batch.expect("nothing was metered");
        self.usage.confirm();
        assert_eq!(batch.len(), 1, "{batch:?}");
        batch.into_iter().next().unwrap()
    }
}

/// Waits until it is so; fails after half a minute.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be that {what}");
}
