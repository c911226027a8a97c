//! A provider whose certificate the house itself has signed.

use super::{Double, doctor::doctor};
use crate::portal::says;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
    server::TlsStream,
};

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            // Who does not believe the certificate closes the connection here.
            if let Ok((io, from)) = self.tcp.accept().await
                && let Ok(io) = self.acceptor.accept(io).await
            {
                return (io, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The provider, and the certificate authority of its house as PEM.
async fn of_the_house(name: &str) -> (Double, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let house_key = KeyPair::generate().unwrap();
    let mut house = CertificateParams::new(Vec::<String>::new()).unwrap();
    house.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    house.distinguished_name.push(DnType::CommonName, "The house");
    let root = house.self_signed(&house_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &Issuer::new(house, house_key)).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", tcp.local_addr().unwrap());
    (Double::serve(Tls { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) }, origin).await, root.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_house_is_believed_when_its_authority_is_named_and_else_said_to_be_the_reason() {
    let (double, root) = of_the_house("127.0.0.1").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("house.pem");
    std::fs::write(&file, root).unwrap();
    let named = ["--issuer-ca", file.to_str().unwrap()];

    let portal = double.portal(&named).await;
    assert_eq!(double.sign_in(&mut portal.browser()).await.status, 303);
    assert!(!doctor(&double.issuer, &[&named[..], &["--client-secret", super::SECRET]].concat()).await.contains("missing  sign-in"));

    let stranger = double.portal(&[]).await;
    let met = stranger.browser().get("/auth/login").await;
    assert!(met.status == 503 && says(&met, "does not answer"), "{}", met.body);
    let said = doctor(&double.issuer, &[]).await;
    assert!(said.contains("signed by nobody whom this machine trusts") && said.contains("--issuer-ca FILE"), "{said}");

    // The authority does not make every name right.
    let (other, root) = of_the_house("sso.example").await;
    std::fs::write(&file, root).unwrap();
    let said = doctor(&other.issuer, &named).await;
    assert!(said.contains("a certificate for another name"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_certificate_keeps_the_portal_from_starting_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("house.pem");
    for (content, words) in [(Some("hello"), "holds no certificate"), (None, "cannot be read")] {
        drop(std::fs::remove_file(&file));
        content.into_iter().for_each(|text| std::fs::write(&file, text).unwrap());
        let flags = ["--role", "web,gateway", "--issuer", "https://sso.example", "--issuer-ca", file.to_str().unwrap()];
        let refused = crate::portal::start(folder.path(), &flags).await.err().unwrap();
        let said = format!("{refused:#}");
        assert!(said.contains(words) && said.contains("house.pem") && said.contains("ATELIER_ISSUER_CA"), "{said}");
    }
}
