//! Until when the certificates are good that servers have shown: whoever runs one may forget to renew it.

use domain::time::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Ends of certificates, by host. A connection that takes an earlier one up again shows none: then the earlier end stays.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<Mutex<HashMap<String, Timestamp>>>);

impl Ends {
    pub fn of(&self, host: &str) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied()
    }

    fn note(&self, host: &ServerName<'_>, certificate: &CertificateDer<'_>) {
        if let Some(end) = end(certificate) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_str().into_owned(), end);
        }
    }
}

fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    certificate.validity().not_after.timestamp().checked_mul(1_000).map(Timestamp)
}

/// Believes what `inner` believes, and notes what it was shown.
#[derive(Debug)]
pub struct Noting {
    pub inner: Arc<dyn ServerCertVerifier>,
    pub ends: Ends,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(certificate, intermediates, host, ocsp, now);
        // One that has run out is told too; whatever else is not believed may be anybody's.
        let ended = matches!(verified, Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })));
        if verified.is_ok() || ended {
            self.ends.note(host, certificate);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Says(Result<(), CertificateError>);

    impl ServerCertVerifier for Says {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            self.0.clone().map(|()| ServerCertVerified::assertion()).map_err(Error::InvalidCertificate)
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            Vec::new()
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_known_when_it_was_believed_or_has_run_out() {
        let mut wanted = rcgen::CertificateParams::new(["llm.example.org".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2031, 3, 3);
        let shown = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let end = Timestamp::parse_rfc3339("2031-03-03T00:00:00Z");
        for (says, known) in [(Ok(()), end), (Err(CertificateError::Expired), end), (Err(CertificateError::UnknownIssuer), None)] {
            let ends = Ends::default();
            let noting = Noting { inner: Arc::new(Says(says)), ends: ends.clone() };
            let host = ServerName::try_from("llm.example.org").unwrap();
            let _ = noting.verify_server_cert(shown.der(), &[], &host, &[], UnixTime::now());
            assert_eq!((ends.of("llm.example.org"), ends.of("example.org")), (known, None));
        }
    }
}
