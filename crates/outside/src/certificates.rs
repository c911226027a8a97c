//! Until when the certificates are good that servers have shown: whoever runs one may forget to renew it.

use domain::{causes::causes, time::Timestamp};
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::Connection;
use rustls::{CertificateError, Error as TlsError, pki_types::CertificateDer};
use std::{
    collections::HashMap,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tower_service::Service;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

type BoxError = Box<dyn Error + Send + Sync>;

/// Ends of certificates by server, which is a host and a port: one host can run several, each with a certificate of its own.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<Mutex<HashMap<(String, u16), Timestamp>>>);

impl Ends {
    /// None without TLS, or when no certificate was shown yet.
    pub fn of(&self, server: &Uri) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&place(server)?).copied()
    }

    fn note(&self, place: Option<(String, u16)>, end: Option<Timestamp>) {
        if let (Some(place), Some(end)) = (place, end) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, end);
        }
    }
}

fn place(server: &Uri) -> Option<(String, u16)> {
    let host = server.host().filter(|_| server.scheme_str() == Some("https"))?;
    Some((host.to_ascii_lowercase(), server.port_u16().unwrap_or(443)))
}

fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    certificate.validity().not_after.timestamp().checked_mul(1_000).map(Timestamp)
}

/// When the certificate ended, if that alone is why it was not believed: whatever else is not believed may be anybody's.
fn ended(error: &(dyn Error + 'static)) -> Option<Timestamp> {
    causes(error).find_map(|e| match e.downcast_ref::<TlsError>() {
        Some(TlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            i64::try_from(not_after.as_secs()).ok()?.checked_mul(1_000).map(Timestamp)
        }
        // `source` of an I/O error is that of what it holds, not what it holds.
        _ => ended(e.downcast_ref::<std::io::Error>()?.get_ref()?),
    })
}

/// Connects as `inner` does, and notes the end of the certificate that was shown. It stands around the connector and not in its verifier,
/// which is told a name and no port.
#[derive(Clone)]
pub struct Noting<C> {
    pub inner: HttpsConnector<C>,
    pub ends: Ends,
}

impl<C> Service<Uri> for Noting<C>
where
    C: Service<Uri>,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = MaybeHttpsStream<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let (ends, place) = (self.ends.clone(), place(&server));
        let connecting = self.inner.call(server);
        Box::pin(async move {
            let connected = connecting.await;
            let end = match &connected {
                Ok(MaybeHttpsStream::Https(stream)) => {
                    stream.inner().get_ref().1.peer_certificates().and_then(|shown| shown.first()).and_then(end)
                }
                Ok(MaybeHttpsStream::Http(_)) => None,
                Err(refused) => ended(refused.as_ref()),
            };
            ends.note(place, end);
            connected
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::UnixTime;
    use std::time::Duration;

    #[test]
    fn the_end_of_a_certificate_is_that_of_one_server_at_one_port() {
        let mut wanted = rcgen::CertificateParams::new(["llm.example.org".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2031, 3, 3);
        let shown = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let (ends, at) = (Ends::default(), |text: &'static str| Uri::from_static(text));
        ends.note(place(&at("https://LLM.example.org/v1")), end(shown.der()));
        assert_eq!(ends.of(&at("https://llm.example.org:443")), Timestamp::parse_rfc3339("2031-03-03T00:00:00Z"));
        for other in ["https://llm.example.org:8443", "https://example.org", "http://llm.example.org:443"] {
            assert_eq!(ends.of(&at(other)), None, "{other}");
        }
    }

    #[test]
    fn of_a_certificate_that_is_not_believed_only_one_that_has_run_out_is_told() {
        let day = |n: u64| UnixTime::since_unix_epoch(Duration::from_secs(n * 86_400));
        let refused = |why: CertificateError| BoxError::from(std::io::Error::other(TlsError::InvalidCertificate(why)));
        let expired = refused(CertificateError::ExpiredContext { time: day(20_001), not_after: day(20_000) });
        assert_eq!(ended(expired.as_ref()), Some(Timestamp(20_000 * 86_400_000)));
        assert_eq!(ended(refused(CertificateError::UnknownIssuer).as_ref()), None);
        assert_eq!(ended(BoxError::from(std::io::Error::other("closed")).as_ref()), None);
    }
}
