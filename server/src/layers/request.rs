//! The outermost layer: every request gets a number, a line in the log, and an answer, even when a handler panics.

use super::proxies::{CLIENT_REQUEST_ID, Came, Proxies, REQUEST_ID};
use crate::{
    http::problem_page,
    metrics::{Requests, method_word},
    traces,
};
use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use domain::{
    problem::{Problem, ProblemKind},
    traces::TARGET,
};
use futures::FutureExt;
use platform::access::Origin;
use std::{
    any::Any,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    time::Instant,
};
use tracing::{Instrument, field::Empty};

/// What is needed to see a request.
#[derive(Clone, Default)]
pub struct Watch {
    pub proxies: Proxies,
    /// None: nobody asks for metrics.
    pub requests: Option<Requests>,
}

/// Which request this is and where it came from.
#[derive(Clone, Debug)]
pub struct Seen {
    pub request_id: String,
    /// The person's address, not the proxy's.
    pub from: IpAddr,
    /// A trusted proxy says that the caller came without TLS.
    pub by_plain_http: bool,
}

impl Seen {
    pub fn origin(&self) -> Origin {
        Origin { request_id: self.request_id.clone(), from_ip: self.from.to_string() }
    }
}

/// Numbers the request, logs it once (never its query: that may hold a code), and turns a panic into an answer.
pub async fn see(State(Watch { proxies, requests }): State<Watch>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |c| c.0.ip());
    // The number that a client sent is not believed: it would let one request hide behind another's number.
    let Came { from, by_proxy, by_plain_http, request_id, client_request_id } = proxies.came(peer, request.headers());
    let header = request_id.or_else(|| HeaderValue::try_from(fresh_id()).ok()).unwrap_or(HeaderValue::from_static("req"));
    let request_id = header.to_str().unwrap_or_default().to_owned();
    request.headers_mut().insert(REQUEST_ID, header.clone());
    request.extensions_mut().insert(Seen { request_id: request_id.clone(), from, by_plain_http });
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let quiet = path.starts_with("/pkg/") || path == "/healthz" || path == "/readyz";
    let trace = if quiet { tracing::Span::none() } else { trace(&method, route, &request_id) };
    if !trace.is_disabled() {
        traces::follow(&trace, request.headers(), by_proxy);
    }
    let wants = problem_page::Wants::of_request(&request);
    let span = tracing::info_span!(parent: &trace, "request", id = request_id);
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).instrument(trace.clone()).await;
    let mut response = match outcome {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(parent: &span, %method, path, panic = what(&*panic), "a handler panicked");
            let problem = Problem {
                request_id: Some(request_id),
                ..Problem::new(ProblemKind::Internal, "Something broke on our side; this request was not finished.").next(
                    "Look whether it was done before you try again. If it stays, give the request number to whoever runs this portal.",
                )
            };
            problem_page::answer(&problem, wants)
        }
    };
    response.headers_mut().insert(REQUEST_ID, header);
    let client_id = client_request_id.as_ref().and_then(|id| id.to_str().ok());
    let (status, took) = (response.status().as_u16(), began.elapsed());
    if let Some(requests) = &requests {
        requests.answered(&method, route, status, took);
    }
    let ms = took.as_millis() as u64;
    trace.record("http.response.status_code", status);
    if status >= 500 {
        trace.record("otel.status_code", "ERROR");
    }
    if status >= 500 {
        tracing::warn!(parent: &span, %method, path, status, ms, client_id, "answered");
    } else if quiet {
        tracing::debug!(parent: &span, %method, path, status, ms, "answered");
    } else {
        tracing::info!(parent: &span, %method, path, status, ms, client_id, "answered");
    }
    if let Some(id) = client_request_id {
        response.headers_mut().insert(CLIENT_REQUEST_ID, id);
    }
    response.map(Body::new)
}

/// Open until the head of the answer is there; what a stream does after that is a part of its own.
fn trace(method: &Method, route: Option<&str>, request_id: &str) -> tracing::Span {
    let (method, route) = (method_word(method), route.unwrap_or("none"));
    let span = tracing::info_span!(
        target: TARGET, "request", otel.name = Empty, otel.kind = "server", http.request.method = method, http.route = route,
        http.response.status_code = Empty, otel.status_code = Empty, atelier.request_id = request_id
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("{method} {route}"));
    }
    span
}

fn fresh_id() -> String {
    let mut bytes = [0u8; 8];
    // A number that is not random is still a number: better than no answer.
    let _ = getrandom::fill(&mut bytes);
    format!("req_{}", hex::encode(bytes))
}

pub fn what(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
