//! Buckets of an S3-compatible store, one client for all of them.

use crate::OpenError;
use domain::artefacts::{ArtefactStore, StoreKey};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector},
};
use reqwest::{Certificate, Client, redirect::Policy};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Bytes that one request of the store itself copies: S3 allows 5 GiB, and the answer comes after the last byte where bytes are really moved,
/// so what is larger goes through us, part by part.
pub(crate) const LARGEST_COPY: u64 = 1 << 30;

/// How long one waits for a store, and how often a request is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte of an answer; a part that is sent must be taken and confirmed in this time.
    pub silence: Duration,
    /// After a request without an answer, or with a 5xx, 408 or 429.
    pub repeats: usize,
    /// From the first try; no further one is begun after it.
    pub within: Duration,
}

impl Patience {
    /// The portal's: somebody waits for an answer, and jobs are tried again by themselves.
    pub const PORTAL: Self =
        Self { connect: Duration::from_secs(5), silence: Duration::from_secs(30), repeats: 4, within: Duration::from_secs(45) };
    /// A task's: hours of training are not thrown away because the store restarts. Signatures are refused after 15 minutes, so requests are
    /// not repeated for longer than some of them.
    pub const TASK: Self =
        Self { connect: Duration::from_secs(5), silence: Duration::from_secs(60), repeats: 40, within: Duration::from_secs(240) };
}

pub(crate) struct Buckets {
    location: ArtefactStore,
    key: StoreKey,
    client: HttpClient,
    patience: Patience,
    opened: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

impl Buckets {
    pub(crate) fn open(location: &ArtefactStore, key: &StoreKey, patience: Patience) -> Result<Self, OpenError> {
        let ca = match location {
            ArtefactStore::S3 { ca, .. } => ca.as_deref(),
            ArtefactStore::Local { .. } => None,
        };
        let client = HttpClient::new(client(ca, patience)?);
        Ok(Self { location: location.clone(), key: key.clone(), client, patience, opened: Mutex::default() })
    }

    /// Whether the objects of two paths lie in one bucket.
    pub(crate) fn share(&self, one: &str, other: &str) -> bool {
        self.location.bucket_of(one) == self.location.bucket_of(other)
    }

    pub(crate) fn of(&self, path: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        let bucket = self.location.bucket_of(path).unwrap_or_default();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&bucket) {
            return Ok(known.clone());
        }
        let made = Arc::new(self.bucket(&bucket)?);
        opened.insert(bucket, made.clone());
        Ok(made)
    }

    fn bucket(&self, bucket: &str) -> Result<AmazonS3, object_store::Error> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_access_key_id(&self.key.access_key_id)
            .with_secret_access_key(&self.key.secret_access_key)
            .with_allow_http(true)
            // One by one: the XML of the bulk request is where compatible stores differ most.
            .with_disable_bulk_delete(true)
            .with_http_connector(Shared(self.client.clone()))
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(10), base: 2.0 },
                max_retries: self.patience.repeats,
                retry_timeout: self.patience.within,
            });
        if let ArtefactStore::S3 { endpoint, region, path_style, .. } = &self.location {
            // The builder takes an endpoint that names the bucket already where buckets are hosts.
            let endpoint = match (path_style, endpoint.split_once("://")) {
                (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.clone(),
            };
            builder = builder.with_endpoint(endpoint).with_region(region).with_virtual_hosted_style_request(!path_style);
        }
        builder.build()
    }
}

/// One client for all buckets, so that they share connections, and so that its limits are ours.
#[derive(Debug)]
struct Shared(HttpClient);

impl HttpConnector for Shared {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// `ca`: certificate authorities that are believed beside the system's, PEM.
pub(crate) fn client(ca: Option<&str>, patience: Patience) -> Result<Client, OpenError> {
    // Whoever comes first: no crate may guess which cryptography TLS uses. It fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = match ca {
        Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| OpenError::BadAuthorities)?,
        None => Vec::new(),
    };
    if ca.is_some() && roots.is_empty() {
        return Err(OpenError::BadAuthorities);
    }
    let builder = || {
        Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(Policy::none())
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            // Shorter than what servers keep: a request on a connection that is just being closed is one more try.
            .pool_idle_timeout(Duration::from_secs(20))
    };
    // A machine without any certificate authority of its own (a container made from nothing) may still have those of the house.
    match builder().tls_certs_merge(roots.iter().cloned()).build() {
        Ok(client) => Ok(client),
        Err(_) => Ok(builder().tls_certs_only(roots.iter().cloned()).build()?),
    }
}
