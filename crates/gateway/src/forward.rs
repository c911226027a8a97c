//! To the model server: one HTTP/1.1 client with kept connections for all that run here, and one for those that somebody else runs,
//! which trusts no address.

use crate::{
    GatewayConfig,
    balance::{AtCopy, Balance},
    errors::Refusal,
};
use bytes::Bytes;
use domain::{
    causes,
    directory::{Route, UpstreamKey},
};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use outside::Outside;
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// vLLM's server closes a connection that was unused for 5 s; ours go first, so that no call meets a closing one.
const KEEP_UNUSED: Duration = Duration::from_secs(4);
/// A kept connection that turns out to be closed shows it at once; anything later is the model server's own death.
const STALE_SHOWS_WITHIN: Duration = Duration::from_millis(500);
/// Counting a prompt takes milliseconds; without the count the call is refused as if it had not been asked for.
const COUNTING: Duration = Duration::from_secs(5);

pub(crate) struct Upstreams {
    client: Client<HttpConnector, Full<Bytes>>,
    outside: Outside,
    balance: Arc<Balance>,
    /// Largest answer of the tokenizer, which lists every token.
    max_answer_bytes: usize,
}

impl Upstreams {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_keepalive(Some(Duration::from_secs(30)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP_UNUSED)
            .pool_max_idle_per_host(config.idle_connections)
            .build(connector);
        let outside = Outside::new(config.outside_allowed.clone());
        Self { client, outside, balance: Arc::default(), max_answer_bytes: config.max_answer_bytes }
    }

    /// Sends the call to one copy of the model server, and waits for the answer's head until `until`. Another copy gets it where it could not be
    /// sent at all, and once where the connection broke off before anything of an answer came: the copy is gone then, and nobody has seen
    /// what it made of the call.
    /// Dropping the future, or the answer's body before its end, closes the connection, on which vLLM stops generating.
    pub(crate) async fn send(
        &self,
        route: &Route,
        path: &str,
        request_id: HeaderValue,
        body: Bytes,
        until: tokio::time::Instant,
    ) -> Result<(Response<Incoming>, AtCopy), Refusal> {
        let (mut tried, mut broke_off) = (Vec::new(), false);
        while let Some(copy) = self.balance.choose(&route.upstreams, &tried) {
            let uri = address(copy.address(), &format!("v1/{path}"))?;
            if !route.model_server.capabilities().runs_here {
                return Ok((self.send_outside(route, uri, request_id, body).await?, copy));
            }
            let Ok(sent) = tokio::time::timeout_at(until, self.send_to(&uri, &request_id, &body)).await else {
                copy.silent();
                // Whoever waits for us has the same limit, and words for it.
                return std::future::pending().await;
            };
            match sent {
                Ok(response) => return Ok((response, copy)),
                Err(e) => {
                    copy.failed();
                    let (upstream, error) = (copy.address(), causes::in_words(&e));
                    if e.is_connect() {
                        tracing::warn!(upstream, error, "the model server cannot be reached");
                    } else {
                        tracing::warn!(upstream, error, "the model server broke off before it answered");
                        // A call that ends two servers would end all of them.
                        if std::mem::replace(&mut broke_off, true) {
                            break;
                        }
                    }
                    tried.push(upstream.to_owned());
                }
            }
        }
        Err(if broke_off { Refusal::upstream_died() } else { Refusal::unreachable() })
    }

    async fn send_to(
        &self,
        uri: &Uri,
        request_id: &HeaderValue,
        body: &Bytes,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let started = Instant::now();
        let mut retried = false;
        loop {
            let mut request = request(uri.clone(), body.clone());
            request.headers_mut().insert("x-request-id", request_id.clone());
            match self.client.request(request).await {
                Err(e) if !retried && cut_off(&e) && started.elapsed() < STALE_SHOWS_WITHIN => retried = true,
                done => return done,
            }
        }
    }

    /// Once: whether a call that broke off was sent cannot be told, and somebody may be paid for it.
    async fn send_outside(&self, route: &Route, uri: Uri, request_id: HeaderValue, body: Bytes) -> Result<Response<Incoming>, Refusal> {
        let mut request = request(uri, body);
        request.headers_mut().insert("x-request-id", request_id);
        let key = route.upstream_key.as_ref().map(UpstreamKey::reveal);
        self.outside.send(request, key).await.map_err(|trouble| {
            tracing::warn!(endpoint = %route.endpoint_name, ?trouble, "somebody else's server cannot be used");
            Refusal::outside(&route.endpoint_name, &trouble)
        })
    }

    /// Tokens of a prompt by the model's own tokenizer and chat template; none when the server cannot say.
    pub(crate) async fn count(&self, route: &Route, body: Vec<u8>) -> Option<u64> {
        #[derive(Deserialize)]
        struct Counted {
            count: u64,
        }
        let copy = self.balance.choose(&route.upstreams, &[])?;
        let uri = address(copy.address(), "tokenize").ok()?;
        let asking = async {
            let response = self.client.request(request(uri, body.into())).await.ok()?;
            let is_success = response.status().is_success();
            let body = Limited::new(response.into_body(), self.max_answer_bytes).collect().await.ok()?.to_bytes();
            let counted: Counted = serde_json::from_slice(&body).ok().filter(|_| is_success)?;
            Some(counted.count)
        };
        tokio::time::timeout(COUNTING, asking).await.ok().flatten()
    }
}

fn address(upstream: &str, path: &str) -> Result<Uri, Refusal> {
    format!("{}/{path}", upstream.trim_end_matches('/')).parse().map_err(|_| Refusal::unreachable())
}

fn request(uri: Uri, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

fn cut_off(error: &hyper_util::client::legacy::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|s| s.downcast_ref::<hyper::Error>());
    source.is_some_and(|e| e.is_incomplete_message() || e.is_canceled())
}
