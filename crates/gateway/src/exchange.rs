//! One call from its first byte to its record: authenticate, admit, forward, relay, settle, record.

use crate::{
    Inner,
    authenticate::{Caller, authenticate},
    errors::{Refusal, tell_standing},
    limits::Standing,
    meter::Meter,
    relay::Relay,
    wire::{Asked, Kind, NoAnswer, UpstreamError, rewrite_answer},
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use domain::{
    directory::{Directory, Route},
    ids::CallId,
    time::Timestamp,
    usage::Call,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::{sync::Arc, time::Instant};
use uuid::Uuid;

/// The longest model id that usage keeps of what a client sent.
const KEEP_OF_MODEL: usize = 200;

/// One call under way. Made by the router.
pub struct Exchange {
    inner: Arc<Inner>,
    directory: Arc<Directory>,
    id: Uuid,
    pub(crate) request_id: HeaderValue,
    at: Timestamp,
    started: Instant,
}

impl Exchange {
    pub(crate) fn begin(inner: Arc<Inner>, headers: &HeaderMap) -> Self {
        let (started, at) = (Instant::now(), (inner.clock)());
        let id = inner.ids.next(at);
        let directory = inner.directory.borrow().clone();
        Self { request_id: request_id(headers, id), inner, directory, id, at, started }
    }

    /// `GET /v1/models`
    pub(crate) fn models(&self, tenant: Option<&str>, headers: &HeaderMap) -> Result<Response, Refusal> {
        let caller = authenticate(&self.directory, headers, tenant, self.at)?;
        caller.is_active()?;
        let mut models: Vec<_> =
            caller.entry.routes.iter().filter(|(id, _)| caller.may_call(id)).map(|(id, r)| model(&caller, id, r)).collect();
        models.sort_by(|a, b| a.id.cmp(b.id));
        Ok(json(serde_json::to_vec(&List { object: "list", data: models }).unwrap_or_default()))
    }

    /// `GET /v1/models/{id}`. A model that the key may not call is not shown.
    pub(crate) fn model(&self, tenant: Option<&str>, headers: &HeaderMap, id: &str) -> Result<Response, Refusal> {
        let caller = authenticate(&self.directory, headers, tenant, self.at)?;
        caller.is_active()?;
        let (_, route) = caller.route(id).map_err(|_| Refusal::unknown_model(id))?;
        Ok(json(serde_json::to_vec(&model(&caller, id, route)).unwrap_or_default()))
    }

    /// `POST /v1/chat/completions` and `/v1/completions`
    pub(crate) async fn completion(self, kind: Kind, tenant: Option<&str>, request: Request<Body>) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let caller = authenticate(&self.directory, &head.headers, tenant, self.at)?;
        let body = self.read(&head.headers, body).await;
        let Some(slot) = self.inner.usage.reserve() else {
            tracing::warn!("a call was refused because the usage channel is full");
            return Err(Refusal::metering_full());
        };
        let mut meter = Meter::new(self.call(&caller, kind), slot, self.started);
        let forwarded = match self.forward(&caller, kind, body, &mut meter).await {
            Ok(forwarded) => forwarded,
            Err(refusal) => {
                meter.refused(&refusal);
                return Err(refusal);
            }
        };
        let config = &self.inner.config;
        let Forwarded { answer, client_model, stream, include_usage, standing } = forwarded;
        let mut response = if stream {
            let relay = Relay::new(answer.into_body(), meter, client_model, !include_usage, config.max_answer_bytes, config.idle_timeout);
            let mut response = Response::new(Body::new(relay));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // Tells nginx in front of us not to hold chunks back.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            response
        } else {
            match self.whole(answer.into_body(), &client_model, &mut meter).await {
                Ok(answer) => {
                    meter.complete();
                    json(answer)
                }
                Err(refusal) => {
                    meter.refused(&refusal);
                    return Err(refusal);
                }
            }
        };
        tell_standing(response.headers_mut(), &standing);
        Ok(response)
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let most = self.inner.config.max_body_bytes;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(Refusal::too_large(most));
        }
        match tokio::time::timeout(self.inner.config.body_timeout, Limited::new(body, most).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Refusal::too_large(most)),
            Ok(Err(_)) => Err(Refusal::bad_request(None, "The request's body broke off. Send it again.")),
            Err(_) => Err(Refusal::slow_body()),
        }
    }

    /// From the body to the head of the model server's answer.
    async fn forward(
        &self,
        caller: &Caller<'_>,
        kind: Kind,
        body: Result<Bytes, Refusal>,
        meter: &mut Meter,
    ) -> Result<Forwarded, Refusal> {
        let body = body?;
        let asked = Asked::parse(&body, kind)?;
        let span = tracing::Span::current();
        span.record("model", asked.model.as_ref());
        if let Some(call) = meter.call() {
            call.model = asked.model.chars().take(KEEP_OF_MODEL).collect();
            call.stream = asked.stream;
        }
        caller.is_active()?;
        let admitted = caller.admit(&asked, &self.inner.ledger, self.inner.config.default_max_tokens)?;
        let route = admitted.route;
        if let Some(call) = meter.call() {
            (call.endpoint, call.model_version) = (Some(route.endpoint), route.model_version);
        }
        let sent = Bytes::from(asked.for_upstream(&route.upstream_model, body.len()));
        meter.forwarding(admitted.reservation, asked.prompt_tokens);
        let (client_model, stream, include_usage) = (asked.model.into_owned(), asked.stream, asked.include_usage);
        drop(body); // Not held while the model server works; what was sent is.
        // Our own id: vLLM names the request after this header, and two of one name at a time confuse it.
        let id = HeaderValue::try_from(CallId::from_uuid(self.id).to_string()).unwrap_or(HeaderValue::from_static("call"));
        let answer = self.inner.upstreams.send(admitted.upstream, kind.route(), id, sent).await?;
        if !answer.status().is_success() {
            return Err(self.upstream_refusal(answer, &route.upstream_model, &client_model).await);
        }
        if stream && !is_event_stream(answer.headers()) {
            return Err(Refusal::upstream_garbled());
        }
        Ok(Forwarded { answer, client_model, stream, include_usage, standing: admitted.standing })
    }

    async fn upstream_refusal(&self, answer: Response<Incoming>, upstream_model: &str, client_model: &str) -> Refusal {
        let status = answer.status();
        let Ok(body) = self.collect(answer.into_body()).await else { return Refusal::upstream_died() };
        let error = UpstreamError::read(&body);
        // What a model server calls the model is ours; the client knows it by its own name.
        let message = error.message.map(|m| m.replace(upstream_model, client_model));
        let status = if status.is_client_error() || status.is_server_error() { status } else { StatusCode::BAD_GATEWAY };
        Refusal::from_upstream(status, message, error.param)
    }

    async fn whole(&self, body: Incoming, client_model: &str, meter: &mut Meter) -> Result<Vec<u8>, Refusal> {
        let body = self.collect(body).await?;
        meter.first_byte();
        let mut out = Vec::with_capacity(body.len() + 32);
        match rewrite_answer(&body, client_model, false, &mut out) {
            Ok(seen) => {
                meter.saw(seen);
                Ok(out)
            }
            Err(NoAnswer::Garbled) => Err(Refusal::upstream_garbled()),
            Err(NoAnswer::Error(e)) => Err(Refusal::from_upstream(StatusCode::BAD_GATEWAY, e.message, e.param)),
        }
    }

    /// A body that is not streamed: bounded in size and in silence.
    async fn collect(&self, mut body: Incoming) -> Result<Bytes, Refusal> {
        let config = &self.inner.config;
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        loop {
            let frame = tokio::time::timeout(config.idle_timeout, body.frame()).await;
            let data = match frame.map_err(|_| Refusal::upstream_slow(config.idle_timeout.as_secs()))? {
                None => return Ok(if all.is_empty() { first } else { all.freeze() }),
                Some(Err(_)) => return Err(Refusal::upstream_died()),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            if first.len() + all.len() + data.len() > config.max_answer_bytes {
                return Err(Refusal::upstream_garbled());
            }
            // An answer mostly comes in one piece, which then is not copied.
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
        }
    }

    fn call(&self, caller: &Caller, kind: Kind) -> Call {
        tracing::Span::current().record("tenant", caller.tenant.as_str());
        Call {
            id: CallId::from_uuid(self.id),
            tenant: caller.tenant.clone(),
            at: self.at,
            key: caller.key.map(|k| k.id),
            person: Some(caller.person),
            endpoint: None,
            model: String::new(),
            model_version: None,
            route: kind.route().to_owned(),
            stream: false,
            status: 0,
            error: None,
            prompt_tokens: 0,
            completion_tokens: 0,
            estimated: false,
            first_token_ms: None,
            duration_ms: 0,
            finish_reason: None,
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
        }
    }
}

/// A call that a model server has begun to answer.
struct Forwarded {
    answer: Response<Incoming>,
    client_model: String,
    stream: bool,
    include_usage: bool,
    standing: Standing,
}

#[derive(serde::Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(serde::Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    /// Whether a call would reach a model server now; not one of OpenAI's fields.
    ready: bool,
}

fn model<'a>(caller: &Caller<'a>, id: &'a str, route: &'a Route) -> Model<'a> {
    Model {
        id,
        object: "model",
        created: route.created.0 / 1_000,
        owned_by: caller.tenant.as_str(),
        parent: route.parent.as_deref(),
        ready: route.upstream.is_some(),
    }
}

fn json(body: Vec<u8>) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"))
}

/// The client's own `x-request-id` where it is harmless in logs, else one of ours.
fn request_id(headers: &HeaderMap, id: Uuid) -> HeaderValue {
    let harmless = |v: &&HeaderValue| {
        let bytes = v.as_bytes();
        (1..=128).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
    };
    let given = headers.get("x-request-id").filter(harmless).cloned();
    given.or_else(|| HeaderValue::try_from(format!("req_{}", id.simple())).ok()).unwrap_or(HeaderValue::from_static("req"))
}
