//! One call from its first byte to its record: authenticate, admit, forward, relay, settle, record.

use crate::{
    Inner,
    admit::{Admitted, Prompt, worth_counting},
    asked::{Asked, Demand, Kind},
    authenticate::{Authenticated, authenticate},
    cors,
    errors::{Refusal, tell_rate_limits},
    limits::RateLimits,
    meter::{self, Meter},
    relay::{Bounds, Relay},
    tally::Pace,
    upstream_errors::Sent,
    wire::{NoAnswer, UpstreamError, UsageShown, rewrite_answer},
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use domain::{
    call_rules::CallRules,
    directory::{Directory, KeyEntry, Route},
    ids::CallId,
    name::Name,
    time::Timestamp,
    traces::TARGET,
    usage::Call,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tracing::{Span, field::Empty};
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
    /// The tenant that is called, once the caller is known.
    tenant: OnceLock<Name>,
}

impl Exchange {
    pub(crate) fn begin(inner: Arc<Inner>, headers: &HeaderMap) -> Self {
        let (started, at) = (Instant::now(), (inner.clock)());
        let id = inner.ids.next(at);
        let directory = inner.directory.borrow().clone();
        Self { request_id: request_id(headers, id), inner, directory, id, at, started, tenant: OnceLock::new() }
    }

    fn authenticated(&self, tenant: Option<&str>, headers: &HeaderMap) -> Result<Authenticated<'_>, Refusal> {
        let caller = authenticate(&self.directory, headers, tenant, self.at)?;
        let _ = self.tenant.set(caller.tenant.clone());
        Ok(caller)
    }

    /// Whether a web page of this origin may read the answer.
    pub(crate) fn allows_origin(&self, origin: &HeaderValue) -> bool {
        let rules: Option<&CallRules> = self.tenant.get().and_then(|name| self.directory.tenants.get(name)).map(|t| &t.calls);
        cors::allows(&self.directory, rules, origin)
    }

    /// `GET /v1/models`
    pub(crate) fn models(&self, tenant: Option<&str>, headers: &HeaderMap) -> Result<Response, Refusal> {
        let caller = self.authenticated(tenant, headers)?;
        caller.is_active()?;
        let mut models: Vec<_> =
            caller.entry.routes.iter().filter(|(id, _)| caller.may_call(id)).map(|(id, r)| model(&caller, id, r)).collect();
        models.sort_by(|a, b| a.id.cmp(b.id));
        let mut response = json(serde_json::to_vec(&List { object: "list", data: models }).unwrap_or_default());
        caller.tell_its_end(response.headers_mut(), self.at);
        Ok(response)
    }

    /// `GET /v1/models/{id}`. A model that the key may not call is not shown.
    pub(crate) fn model(&self, tenant: Option<&str>, headers: &HeaderMap, id: &str) -> Result<Response, Refusal> {
        let caller = self.authenticated(tenant, headers)?;
        caller.is_active()?;
        let (_, route) = caller.route(id).map_err(|_| Refusal::unknown_model(id))?;
        Ok(json(serde_json::to_vec(&model(&caller, id, route)).unwrap_or_default()))
    }

    /// `POST /v1/chat/completions` and `/v1/completions`
    pub(crate) async fn completion(&self, kind: Kind, tenant: Option<&str>, request: Request<Body>) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let caller = self.authenticated(tenant, &head.headers)?;
        // In this order: a body that says it is too large takes no place, and who has no place is not read.
        let in_flight = self.announced(&head.headers).and_then(|()| self.inner.under_way.enter(&caller));
        let (body, in_flight) = match in_flight {
            Ok(in_flight) => (self.read(body).await, Some(in_flight)),
            Err(refusal) => (Err(refusal), None),
        };
        let Some(slot) = self.inner.usage.reserve() else {
            tracing::warn!("a call was refused because the usage channel is full");
            return Err(Refusal::metering_full());
        };
        let trace = trace(&caller, kind);
        let mut meter = Meter::new(self.call(&caller, kind), slot, in_flight, self.inner.measures.clone(), trace.clone(), self.started);
        let forwarded = match self.forward(&caller, kind, body, &mut meter, &trace).await {
            Ok(forwarded) => forwarded,
            Err(end) => return Err(end.record(&mut meter)),
        };
        let Forwarded { answer, sent, shown, rate_limits, until } = forwarded;
        let mut response = match shown {
            Some(shown) => {
                let config = &self.inner.config;
                let bounds = Bounds { longest: config.max_answer_bytes, first: config.first_byte_timeout, idle: config.idle_timeout };
                let mut response = Response::new(Body::new(Relay::new(answer.into_body(), meter, sent, shown, bounds)));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                // Tells nginx in front of us not to hold chunks back.
                headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
                response
            }
            None => match until.limit(&sent, self.whole(answer.into_body(), &sent, &mut meter)).await {
                Ok(answer) => {
                    meter.complete();
                    json(answer)
                }
                Err(end) => return Err(end.record(&mut meter)),
            },
        };
        tell_rate_limits(response.headers_mut(), &rate_limits);
        caller.tell_its_end(response.headers_mut(), self.at);
        Ok(response)
    }

    fn announced(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let most = self.inner.config.max_body_bytes;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > most) { Err(Refusal::too_large(most)) } else { Ok(()) }
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refusal> {
        let most = self.inner.config.max_body_bytes;
        match tokio::time::timeout(self.inner.config.body_timeout, Limited::new(body, most).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Refusal::too_large(most)),
            Ok(Err(_)) => Err(Refusal::bad_request(None, "The request's body is incomplete. Send it again.")),
            Err(_) => Err(Refusal::slow_body()),
        }
    }

    /// From the body to the head of the model server's answer.
    async fn forward(
        &self,
        caller: &Authenticated<'_>,
        kind: Kind,
        body: Result<Bytes, Refusal>,
        meter: &mut Meter,
        trace: &Span,
    ) -> Result<Forwarded, End> {
        let body = body?;
        let asked = Asked::parse(&body, kind)?;
        let span = tracing::Span::current();
        span.record("model", asked.model.as_ref());
        if let Some(call) = meter.call() {
            call.model = asked.model.chars().take(KEEP_OF_MODEL).collect();
            call.stream = asked.stream;
        }
        caller.is_active()?;
        let (model, route) = caller.may_ask(&asked)?;
        trace.record("gen_ai.request.model", model);
        if let Some(call) = meter.call() {
            (call.endpoint, call.model_version) = (Some(route.endpoint), route.model_version);
        }
        let (admitted, demand) = self.admit(caller, &asked, route).await?;
        let sending = Bytes::from(asked.for_upstream(&route.upstream_model, admitted.told, route.model_server.capabilities(), body.len()));
        let sent = Sent::new(kind, asked.model.to_string(), route);
        let shown = asked.stream.then_some(asked.shown);
        drop(asked);
        drop(body); // Not held while the model server works; what was sent is.
        let pace = Pace {
            speeds: self.inner.speeds.clone(),
            endpoint: route.endpoint,
            since: Instant::now(),
            answers: demand.answers(),
            most: demand.max_tokens.or(admitted.told),
        };
        let server = tracing::info_span!(
            target: TARGET, parent: trace, "model server", otel.kind = "client", gen_ai.request.model = model,
            otel.status_code = Empty, error.type = Empty
        );
        meter.forwarding(meter::Forwarded { reservation: admitted.reservation, demand, pace, server });
        // Our own id: vLLM names the request after this header, and two of one name at a time confuse it.
        let id = HeaderValue::try_from(CallId::from_uuid(self.id).to_string()).unwrap_or(HeaderValue::from_static("call"));
        let until = match shown {
            Some(_) => Until::first_byte(self.inner.config.first_byte_timeout),
            None => Until::answer(route),
        };
        let sending_it = self.inner.upstreams.send(route, kind.route(), id, sending.clone(), until.at);
        let (answer, at) = until.limit(&sent, sending_it).await?;
        // The head of a stream comes at once, also from a server that hangs.
        if shown.is_none() || !answer.status().is_success() {
            at.answered();
        }
        meter.answered_by(at);
        if !answer.status().is_success() {
            return Err(self.upstream_refusal(answer, &sent, &sending).await.into());
        }
        if shown.is_some() && !is_event_stream(answer.headers()) {
            return Err(Refusal::upstream_garbled().into());
        }
        Ok(Forwarded { answer, sent, shown, rate_limits: admitted.rate_limits, until })
    }

    /// Within the limits by the length of its prompt; where that does not fit, by the count of the model's own tokenizer.
    async fn admit(&self, caller: &Authenticated<'_>, asked: &Asked<'_>, route: &Route) -> Result<(Admitted, Demand), Refusal> {
        let reserve = |demand: &Demand, prompt| {
            let default = self.inner.config.default_max_tokens;
            caller.reserve(demand, prompt, route.context, &self.inner.ledger, default)
        };
        let mut demand = asked.demand;
        let reserve = async |demand: &Demand, prompt| self.inner.ledger.with_a_share(|| reserve(demand, prompt)).await;
        let over = match reserve(&demand, Prompt::Bound).await {
            Ok(admitted) => return Ok((admitted, demand)),
            Err(over) => over,
        };
        if route.model_server.capabilities().counts_tokens
            && worth_counting(&over, &demand)
            && let Some(question) = asked.for_tokenizer(&route.upstream_model)
            && let Some(tokens) = self.inner.upstreams.count(route, question).await
        {
            demand.prompt_guess = u32::try_from(tokens).unwrap_or(u32::MAX);
            return match reserve(&demand, Prompt::Counted(tokens)).await {
                Ok(admitted) => Ok((admitted, demand)),
                Err(over) => Err(Refusal::over_limit(*over)),
            };
        }
        Err(Refusal::over_limit(*over))
    }

    async fn upstream_refusal(&self, answer: Response<Incoming>, sent: &Sent, sending: &[u8]) -> Refusal {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let Ok(body) = self.collect(answer.into_body()).await else { return Refusal::upstream_died() };
        let status = if status.is_client_error() || status.is_server_error() { status } else { StatusCode::BAD_GATEWAY };
        let mut error = UpstreamError::read(&body);
        error.status = None; // The head's status is the answer's; a `code` inside counts only within a stream.
        sent.with_fields(sending).refused(status, &headers, &error)
    }

    async fn whole(&self, body: Incoming, sent: &Sent, meter: &mut Meter) -> Result<Vec<u8>, Refusal> {
        let body = self.collect(body).await?;
        meter.first_byte();
        let mut out = Vec::with_capacity(body.len() + 32);
        match rewrite_answer(&body, &sent.model, UsageShown::Always, &mut out) {
            Ok(seen) => {
                meter.saw_whole(seen);
                Ok(out)
            }
            Err(NoAnswer::Garbled) => Err(Refusal::upstream_garbled()),
            Err(NoAnswer::Error(e)) => Err(sent.refused(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &e)),
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

    fn call(&self, caller: &Authenticated, kind: Kind) -> Call {
        tracing::Span::current().record("tenant", caller.tenant.as_str());
        Call {
            id: CallId::from_uuid(self.id),
            tenant: caller.tenant.clone(),
            at: self.at,
            key: caller.key.map(|k| k.id),
            person: (!caller.key.is_some_and(KeyEntry::is_service)).then_some(caller.person),
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

/// The whole call, until it is recorded: longer than its request, where the answer is a stream. The model is named once it is known to be
/// one of the tenant's: what a client types is not for everybody's eyes.
fn trace(caller: &Authenticated, kind: Kind) -> Span {
    let operation = match kind {
        Kind::Chat => "chat",
        Kind::Text => "text_completion",
    };
    tracing::info_span!(
        target: TARGET, "gateway call", gen_ai.operation.name = operation, gen_ai.request.model = Empty,
        gen_ai.usage.input_tokens = Empty, gen_ai.usage.output_tokens = Empty, http.response.status_code = Empty,
        otel.status_code = Empty, error.type = Empty, atelier.tenant = caller.tenant.as_str(), atelier.first_token_ms = Empty
    )
}

/// A call that a model server has begun to answer.
struct Forwarded {
    answer: Response<Incoming>,
    sent: Sent,
    /// None: not a stream.
    shown: Option<UsageShown>,
    rate_limits: RateLimits,
    until: Until,
}

/// By when a model server must have answered.
struct Until {
    at: tokio::time::Instant,
    seconds: u32,
    /// All of the answer, not only its beginning.
    whole: bool,
}

impl Until {
    fn first_byte(patience: Duration) -> Self {
        let seconds = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX);
        Self { at: tokio::time::Instant::now() + patience, seconds, whole: false }
    }

    /// All of an answer that is not streamed.
    fn answer(route: &Route) -> Self {
        let seconds = route.settings.answer_seconds;
        Self { at: tokio::time::Instant::now() + Duration::from_secs(seconds.into()), seconds, whole: true }
    }

    async fn limit<T>(&self, sent: &Sent, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, End> {
        match tokio::time::timeout_at(self.at, work).await {
            Ok(done) => done.map_err(End::Refused),
            Err(_) if self.whole => Err(End::Late(Refusal::answer_slow(&sent.endpoint, self.seconds))),
            Err(_) => Err(End::Late(Refusal::upstream_slow(self.seconds.into()))),
        }
    }
}

/// Why a call gets no answer.
enum End {
    Refused(Refusal),
    /// The model server had worked on it.
    Late(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl End {
    fn record(self, meter: &mut Meter) -> Refusal {
        match self {
            Self::Refused(refusal) => {
                meter.refused(&refusal);
                refusal
            }
            Self::Late(refusal) => {
                meter.gave_up(&refusal);
                refusal
            }
        }
    }
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

fn model<'a>(caller: &Authenticated<'a>, id: &'a str, route: &'a Route) -> Model<'a> {
    Model {
        id,
        object: "model",
        created: route.created.0 / 1_000,
        owned_by: caller.tenant.as_str(),
        parent: route.parent.as_deref(),
        ready: !route.upstreams.is_empty(),
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
