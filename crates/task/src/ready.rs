//! Whether this replica of a model server takes calls, told to whoever asks over HTTP: the cluster's readiness probe.

use bytes::Bytes;
use domain::run::LogLevel;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::net::TcpListener;

use crate::reporter::Reporter;

/// Between two tries to listen or to take a connection.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Readiness {
    /// It has written a token.
    answers: AtomicBool,
    /// All adapters that were wanted have been loaded, or refused with a reason.
    adapters: AtomicBool,
    /// It has not said for a while that it is well.
    silent: AtomicBool,
    /// It was asked to end.
    ends: AtomicBool,
}

impl Readiness {
    /// A server process begins.
    pub fn begins(&self) {
        for mark in [&self.answers, &self.adapters, &self.silent] {
            mark.store(false, Relaxed);
        }
    }
    pub fn answers(&self) {
        self.answers.store(true, Relaxed);
    }
    pub fn adapters_tried(&self) {
        self.adapters.store(true, Relaxed);
    }
    pub fn silent(&self, silent: bool) {
        self.silent.store(silent, Relaxed);
    }
    pub fn ends(&self) {
        self.ends.store(true, Relaxed);
    }

    /// Why it takes no calls now; none: it takes them.
    pub fn why_not(&self) -> Option<&'static str> {
        if self.ends.load(Relaxed) {
            Some("it ends when the calls under way are answered")
        } else if !self.answers.load(Relaxed) {
            Some("it has not answered yet")
        } else if !self.adapters.load(Relaxed) {
            Some("it loads its adapters")
        } else if self.silent.load(Relaxed) {
            Some("it does not say that it is well")
        } else {
            None
        }
    }
}

/// Answers `/ready` with 200 or 503, for as long as it is polled.
pub async fn tell(at: SocketAddr, readiness: Arc<Readiness>, reporter: &Reporter) {
    let listener = loop {
        match TcpListener::bind(at).await {
            Ok(listener) => break listener,
            Err(e) => reporter.log(LogLevel::Error, format!("Whether it is ready cannot be told on port {}: {e}", at.port())),
        }
        tokio::time::sleep(AGAIN).await;
    };
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let readiness = readiness.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(request.uri().path(), &readiness);
            async { Ok::<_, Infallible>(answer) }
        });
        // It ends with the connection, which a probe closes after its question.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(connection), service).await });
    }
}

fn answer(path: &str, readiness: &Readiness) -> Response<Full<Bytes>> {
    let (status, text) = match (path, readiness.why_not()) {
        ("/ready", None) => (StatusCode::OK, "ready"),
        ("/ready", Some(why)) => (StatusCode::SERVICE_UNAVAILABLE, why),
        _ => (StatusCode::NOT_FOUND, "only /ready is here"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_takes_calls_between_its_first_token_with_adapters_and_the_wish_that_it_ends() {
        let readiness = Readiness::default();
        let ready = |readiness: &Readiness| answer("/ready", readiness).status() == StatusCode::OK;
        assert!(!ready(&readiness));
        readiness.answers();
        assert!(!ready(&readiness), "its adapters are not there yet");
        readiness.adapters_tried();
        assert!(ready(&readiness));
        readiness.silent(true);
        assert!(!ready(&readiness), "it hangs");
        readiness.silent(false);
        assert!(ready(&readiness));
        readiness.begins();
        assert!(!ready(&readiness), "another process, without adapters");
        readiness.answers();
        readiness.adapters_tried();
        readiness.ends();
        assert!(!ready(&readiness) && readiness.why_not().is_some());
    }
}
