//! TLS from two files. They are looked at when somebody connects, at most once a second, so that a renewed certificate is used
//! without a restart and an idle portal does nothing. A new pair that cannot be read changes nothing but the log.

use anyhow::{Context, ensure};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// Digest of the two files that were last tried, good or bad: a bad pair is told once.
    tried: [u8; 32],
    looked: Instant,
}

impl Tls {
    pub fn open(cert: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        let (cert_pem, key_pem) = read(cert, key)?;
        let acceptor = acceptor(&cert_pem, &key_pem).with_context(|| format!("TLS with {} and {}", cert.display(), key.display()))?;
        let current = Current { acceptor, tried: digest(&cert_pem, &key_pem), looked: Instant::now() };
        Ok(Arc::new(Self { cert: cert.into(), key: key.into(), current: Mutex::new(current) }))
    }

    pub(super) async fn accept(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor().accept(socket).await
    }

    fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            // Two small local files: reading them is shorter than handing them to another thread.
            match read(&self.cert, &self.key) {
                Ok((cert, key)) if digest(&cert, &key) != current.tried => {
                    current.tried = digest(&cert, &key);
                    match acceptor(&cert, &key) {
                        Ok(new) => {
                            current.acceptor = new;
                            tracing::info!(cert = %self.cert.display(), "the certificate was renewed");
                        }
                        Err(e) => {
                            tracing::error!(cert = %self.cert.display(), "the new certificate cannot be used, the old one stays: {e:#}")
                        }
                    }
                }
                Ok(_) => {}
                Err(e) => {
                    if current.tried != [0; 32] {
                        current.tried = [0; 32];
                        tracing::error!("the certificate's files cannot be read, the old one stays: {e:#}");
                    }
                }
            }
        }
        current.acceptor.clone()
    }
}

fn read(cert: &Path, key: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let file = |path: &Path| std::fs::read(path).with_context(|| format!("The file {} cannot be read", path.display()));
    Ok((file(cert)?, file(key)?))
}

fn digest(cert: &[u8], key: &[u8]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(&(cert.len() as u64).to_le_bytes()).update(cert).update(key);
    *hash.finalize().as_bytes()
}

fn acceptor(cert: &[u8], key: &[u8]) -> anyhow::Result<TlsAcceptor> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>().context("the certificate is no PEM")?;
    ensure!(!chain.is_empty(), "there is no certificate in the file");
    let key = PrivateKeyDer::from_pem_slice(key).context("there is no private key in PEM in the file")?;
    // Refuses a key that does not belong to the certificate, so that files caught between two writes are not used.
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).context("certificate and key do not fit")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
