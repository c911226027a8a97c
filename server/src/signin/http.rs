//! The one way to the identity provider: no redirects, and neither more bytes nor more time than an honest answer needs.
//!
//! Certificates are checked against the roots of the system (rustls-platform-verifier, which reqwest brings: the provider of a house
//! is signed by the house, and its root lies where every other program of the machine finds it too), and against those of `--issuer-ca`.

use anyhow::Context;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, url::Url};
use std::{future::Future, path::Path, pin::Pin, time::Duration};

/// Largest answer that is read, bytes. Keycloak's largest is its key set, of some 10 kB; a token with 10,000 groups stays below this too.
pub const ANSWER_BYTES: usize = 1 << 20;
/// How long one answer may take, to its last byte.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may take to open, with TLS.
const CONNECTED_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("no answer")]
    Sent(#[from] reqwest::Error),
    #[error("its answer is larger than {} kB and was not read on", ANSWER_BYTES / 1000)]
    TooLarge,
    #[error("a request could not be made")]
    Made(#[from] openidconnect::http::Error),
}

#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// `roots`: further certificate authorities that are believed, for this issuer only.
    pub fn new(issuer: &str, roots: &[reqwest::Certificate]) -> anyhow::Result<Self> {
        let on_this_machine = Url::parse(issuer).is_ok_and(|u| crate::config::is_loopback(&u));
        let builder = || {
            // Never follow redirects: an attacker's answer could lead into the inner network.
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECTED_WITHIN)
                .timeout(ANSWER_WITHIN);
            if on_this_machine { builder.no_proxy() } else { builder }
        };
        // A machine without any certificate authority of its own (a container made from nothing) may still have those of the house.
        let client = match builder().tls_certs_merge(roots.iter().cloned()).build() {
            Ok(client) => client,
            Err(_) => builder().tls_certs_only(roots.iter().cloned()).build().context("the client for the identity provider")?,
        };
        Ok(Self { client })
    }

    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.client.execute(request.try_into()?).await?;
        let mut response = openidconnect::http::Response::new(Vec::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        if answer.content_length().is_some_and(|n| n > ANSWER_BYTES as u64) {
            return Err(HttpError::TooLarge);
        }
        while let Some(piece) = answer.chunk().await? {
            if response.body().len() + piece.len() > ANSWER_BYTES {
                return Err(HttpError::TooLarge);
            }
            response.body_mut().extend_from_slice(&piece);
        }
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// The certificate authorities in a PEM file; an error says what is wrong with it, and what it should be.
pub fn roots(file: &Path) -> anyhow::Result<Vec<reqwest::Certificate>> {
    let pem = std::fs::read(file).with_context(|| format!("ATELIER_ISSUER_CA: {} cannot be read", file.display()))?;
    let roots = reqwest::Certificate::from_pem_bundle(&pem)
        .with_context(|| format!("ATELIER_ISSUER_CA: {} holds what is no certificate", file.display()))?;
    anyhow::ensure!(
        !roots.is_empty(),
        "ATELIER_ISSUER_CA: {} holds no certificate; it must be a PEM file with “-----BEGIN CERTIFICATE-----”",
        file.display()
    );
    Ok(roots)
}
