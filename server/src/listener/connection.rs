//! One connection from its first byte to its end.

use super::{
    Limits, Shared,
    arriving::Arriving,
    phase::{Over, Phase},
    slots::Slot,
    watched::Watched,
};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower::Service;

/// Bytes of a request's head, and of what is read ahead of a body.
const BUFFER: usize = 64 * 1024;

/// Until the client or a limit ends it. The slot is given back with it.
pub async fn run(socket: TcpStream, peer: SocketAddr, slot: Slot, shared: Shared) {
    let _slot = slot;
    let cut = shared.cut.clone();
    tokio::select! {
        () = cut.cancelled() => {}
        () = async {
            match &shared.tls {
                None => talk(socket, peer, &shared).await,
                Some(tls) => {
                    let shaking_hands = tokio::time::timeout(shared.limits.head, tls.accept(socket));
                    match shaking_hands.await {
                        Ok(Ok(socket)) => talk(socket, peer, &shared).await,
                        Ok(Err(e)) => tracing::debug!(from = %peer.ip(), error = %e, "no TLS came of a connection"),
                        Err(_) => tracing::debug!(from = %peer.ip(), "a TLS handshake did not end in time"),
                    }
                }
            }
        } => {}
    }
}

async fn talk(socket: impl AsyncRead + AsyncWrite + Send + Unpin, peer: SocketAddr, shared: &Shared) {
    let limits = &shared.limits;
    let phase = Arc::new(Phase::new(Instant::now()));
    let service = Answering { router: shared.router.clone(), phase: phase.clone(), limits: limits.clone(), peer };
    let io = TokioIo::new(Watched::new(socket, phase.clone()));
    let mut builder = http1::Builder::new();
    // The phase has this limit, apart from the one for silence between two requests.
    builder.header_read_timeout(None).max_buf_size(BUFFER);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stopping = pin!(shared.stop.cancelled());
    let mut stopped = false;
    // Wakes at the earliest deadline that was ever set: most deadlines are moved on before they come, and that costs nothing.
    let mut armed: Option<Instant> = None;
    let mut timer = pin!(tokio::time::sleep(limits.head));
    let ended = poll_fn(|cx| {
        if !stopped && stopping.as_mut().poll(cx).is_ready() {
            stopped = true;
            phase.portal_stops();
        }
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(|e| e.to_string()));
            }
            let Some((deadline, over)) = phase.deadline(limits) else { return Poll::Pending };
            if armed.is_none_or(|armed| deadline < armed) {
                armed = Some(deadline);
                timer.as_mut().reset(deadline.into());
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            armed = None;
            if Instant::now() < deadline {
                continue;
            }
            match over {
                Over::Broken(why) => return Poll::Ready(Err(why.to_owned())),
                Over::Idle => {
                    phase.closing();
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    });
    if let Err(why) = ended.await {
        tracing::debug!(from = %peer.ip(), why, "a connection ended");
    }
}

/// The router, as hyper calls it.
struct Answering {
    router: Router,
    phase: Arc<Phase>,
    limits: Limits,
    peer: SocketAddr,
}

impl hyper::service::Service<Request<Incoming>> for Answering {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.request_begins();
        let phase = self.phase.clone();
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(Arriving::new(body, self.limits.body, phase.clone())),
        });
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let answering = self.router.clone().call(request);
        let seconds = self.limits.body.as_secs_f32();
        Box::pin(async move {
            let mut response = answering.await?;
            if phase.is_last_answer() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if phase.is_body_silent() {
                // A handler that told the client in its own words is left alone; one that took it for its own fault is not.
                if !response.status().is_client_error() {
                    response = too_slow(seconds);
                }
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Answer { body, phase }))
        })
    }
}

fn too_slow(seconds: f32) -> Response<Body> {
    let words = format!("No more of the request arrived for {seconds} s, so it was not done. Send it again.\n");
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A response's body that tells when it was written, or given up.
struct Answer {
    body: Body,
    phase: Arc<Phase>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.phase.answer_ends();
    }
}
