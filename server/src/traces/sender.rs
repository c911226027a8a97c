//! How spans reach the collector: from the exporter's own thread, with a runtime of its own, so that a collector which hangs takes nothing
//! from the portal.

use super::{Variables, either};
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::runtime::Runtime;

/// The standard's own default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A collector answers with a few bytes; nobody reads more of it.
const ANSWER: usize = 64 * 1024;

#[derive(Debug)]
pub struct Sender {
    runtime: Runtime,
    http: reqwest::Client,
    /// The last try did not reach the collector.
    failing: AtomicBool,
}

impl Sender {
    pub fn new(variable: Variables) -> anyhow::Result<Self> {
        let timeout = either("TIMEOUT", variable).and_then(|ms| ms.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
        let mut http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(timeout);
        if let Some(file) = either("CERTIFICATE", variable) {
            let pem = std::fs::read(&file).map_err(|e| anyhow::anyhow!("{file} cannot be read: {e}"))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem)? {
                http = http.add_root_certificate(certificate);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, http: http.build()?, failing: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.http.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut body = Vec::new();
        while body.len() < ANSWER
            && let Some(piece) = answer.chunk().await?
        {
            body.extend_from_slice(&piece);
        }
        Ok(response.body(body.into())?)
    }

    /// Once when it begins, once when it is over: spans are sent every few seconds.
    fn tell(&self, trouble: Option<&str>) {
        let before = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !before => tracing::warn!(error, "the collector does not take traces; spans are lost until it does"),
            None if before => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    /// Blocks: it is called on the exporter's thread, which has nothing else to do.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.block_on(self.send(request));
        match &sent {
            Ok(answer) if answer.status().is_success() => self.tell(None),
            Ok(answer) => self.tell(Some(answer.status().as_str())),
            Err(e) => self.tell(Some(&e.to_string())),
        }
        sent
    }
}
