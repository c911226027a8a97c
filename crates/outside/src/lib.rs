//! Calls to model servers that somebody else runs, at addresses that a person has entered. An address can be a trap: it may lead to
//! this machine, to its neighbours, or to the cloud's metadata, at once or when its name is resolved another time. So every
//! connection is made to an address that was looked at, redirects are not followed, and certificates are verified.

mod addresses;
mod certificates;
mod models;
mod resolver;

pub use addresses::{Allowed, NotAnAddress};

use bytes::Bytes;
use certificates::{Ends, Noting};
use domain::{causes::causes, reason::endpoint::OutsideTrouble, time::Timestamp};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use resolver::Resolver;
use rustls_platform_verifier::BuilderVerifierExt;
use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

/// How long the way to a server may take, with its name, connection and certificate.
const CONNECT: Duration = Duration::from_secs(5);
/// Servers close connections that are not used for 5 s and more; ours go first, so that no call meets a closing one.
const KEEP_UNUSED: Duration = Duration::from_secs(4);
const UNUSED_PER_SERVER: usize = 32;

/// A client for such servers; a cheap clone.
#[derive(Clone)]
pub struct Outside {
    /// None: this machine has no certificate authorities, so nothing can be believed.
    encrypted: Option<Client<Noting<HttpConnector<Resolver>>, Full<Bytes>>>,
    plain: Client<HttpConnector<Resolver>, Full<Bytes>>,
    allowed: Arc<Allowed>,
    certificates: Ends,
}

impl Outside {
    pub fn new(allowed: Allowed) -> Self {
        let allowed = Arc::new(allowed);
        let connector = || {
            let mut connector = HttpConnector::new_with_resolver(Resolver::new(allowed.clone()));
            connector.enforce_http(false);
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(CONNECT));
            connector.set_keepalive(Some(Duration::from_secs(30)));
            connector
        };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEEP_UNUSED).pool_max_idle_per_host(UNUSED_PER_SERVER);
        let certificates = Ends::default();
        let tls = tls().inspect_err(|e| tracing::warn!(error = %e, "no certificate can be verified on this machine")).ok();
        let encrypted = tls.map(|tls| {
            let inner = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().wrap_connector(connector());
            builder.build(Noting { inner, ends: certificates.clone() })
        });
        Self { encrypted, plain: builder.build(connector()), allowed, certificates }
    }

    /// Sends the call and waits for the answer's head. Dropping the future, or the answer's body before its end, closes the connection.
    pub async fn send(&self, mut request: Request<Full<Bytes>>, key: Option<&str>) -> Result<Response<Incoming>, OutsideTrouble> {
        let uri = request.uri().clone();
        let encrypted = uri.scheme_str() == Some("https");
        self.may_call(&uri, encrypted)?;
        if let Some(key) = key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| OutsideTrouble::KeyRefused)?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let answer = match (&self.encrypted, encrypted) {
            (Some(client), true) => client.request(request).await,
            (None, true) => return Err(OutsideTrouble::Certificate),
            (_, false) => self.plain.request(request).await,
        };
        answer.map_err(|e| {
            let trouble = trouble(&e, e.is_connect());
            // The host alone: a path can be somebody's secret.
            tracing::debug!(host = uri.host(), ?trouble, error = %e, "somebody else's server cannot be used");
            trouble
        })
    }

    /// Until when the certificate is good that the server at this address has shown; none without TLS, or when none was shown yet.
    pub fn certificate_until(&self, address: &str) -> Option<Timestamp> {
        self.certificates.of(&address.parse().ok()?)
    }

    /// The connector asks the resolver for names only, so numbers are looked at here.
    fn may_call(&self, uri: &Uri, encrypted: bool) -> Result<(), OutsideTrouble> {
        let host = uri.host().ok_or(OutsideTrouble::NoSuchHost)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let number: Option<IpAddr> = bare.parse().ok();
        if let Some(ip) = number
            && !self.allowed.may_reach(ip)
        {
            return Err(OutsideTrouble::AddressNotAllowed { address: ip.to_string() });
        }
        let listed = number.map_or_else(|| self.allowed.lists_host(bare), |ip| self.allowed.lists(ip));
        if encrypted || listed { Ok(()) } else { Err(OutsideTrouble::NotEncrypted) }
    }
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

/// What an error means for whoever runs the endpoint.
fn trouble(error: &(dyn Error + 'static), connecting: bool) -> OutsideTrouble {
    for e in causes(error) {
        if let Some(refused) = e.downcast_ref::<resolver::Unresolved>() {
            return refused.trouble();
        }
        // `https://2130706433`: no certificate names such a host.
        if e.is::<rustls::pki_types::InvalidDnsNameError>() {
            return OutsideTrouble::NoSuchHost;
        }
        if e.is::<rustls::Error>() {
            return OutsideTrouble::Certificate;
        }
        // `source` of an I/O error is that of what it holds, not what it holds.
        if let Some(held) = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            let inner = trouble(held, connecting);
            if !matches!(inner, OutsideTrouble::NoConnection | OutsideTrouble::Garbled) {
                return inner;
            }
        }
    }
    if connecting { OutsideTrouble::NoConnection } else { OutsideTrouble::Garbled }
}
