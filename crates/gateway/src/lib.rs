//! The data plane: an OpenAI-compatible gateway in front of model servers, with keys, limits and metering.
//!
//! It knows nothing of databases. What it needs to know comes as snapshots of [`domain::directory::Directory`] through a
//! watch channel; what it has to tell goes as [`domain::usage::Call`] into a [`UsageSink`]. A call asks no database.
//!
//! One call walks through [`Exchange`]: authenticate, admit (route, limits: reserve), forward, relay, settle, record.
//!
//! Limits are counted by each gateway process for itself: with `n` gateway replicas behind one address, a key can reach up
//! to `n` times its limit.

mod admit;
mod authenticate;
mod call_ids;
mod errors;
mod exchange;
mod forward;
mod limits;
mod meter;
mod relay;
mod router;
mod usage_sink;
mod wire;

pub use exchange::Exchange;
pub use usage_sink::{UsageReceiver, UsageSink};

use domain::{directory::Directory, time::Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Bounds of one gateway. The defaults are the documented values.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Largest request body in bytes; more is a 413. Default 4 MiB.
    pub max_body_bytes: usize,
    /// Largest answer that is not streamed, and largest single line of a stream, in bytes. Default 16 MiB.
    pub max_answer_bytes: usize,
    /// How long a client may take to send its body. Default 30 s.
    pub body_timeout: Duration,
    /// How long connecting to a model server may take. Default 2 s.
    pub connect_timeout: Duration,
    /// From sending the request to the answer's head; for answers that are not streamed this is all of the generation.
    /// Default 120 s.
    pub first_byte_timeout: Duration,
    /// Longest silence within an answer. Default 60 s.
    pub idle_timeout: Duration,
    /// Completion tokens reserved for a chat call that names no `max_tokens`. Default 512.
    pub default_max_tokens: u32,
    /// Connections kept open to one model server while unused. Default 256.
    pub idle_connections: usize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 * 1024 * 1024,
            max_answer_bytes: 16 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            first_byte_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            default_max_tokens: 512,
            idle_connections: 256,
        }
    }
}

/// The gateway; a cheap clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: GatewayConfig,
    directory: watch::Receiver<Arc<Directory>>,
    usage: UsageSink,
    clock: fn() -> Timestamp,
    ledger: Arc<limits::Ledger>,
    upstreams: forward::Upstreams,
    ids: call_ids::CallIds,
}

impl Gateway {
    /// Starts nothing; connections are made when calls come.
    pub fn new(config: GatewayConfig, directory: watch::Receiver<Arc<Directory>>, usage: UsageSink, clock: fn() -> Timestamp) -> Gateway {
        let upstreams = forward::Upstreams::new(&config);
        Gateway { inner: Arc::new(Inner { config, directory, usage, clock, ledger: Arc::default(), upstreams, ids: Default::default() }) }
    }

    /// `/v1/...` and `/t/{tenant}/v1/...`, complete: every path under them is answered here, in OpenAI's shape.
    pub fn router(&self) -> axum::Router {
        router::router(self.inner.clone())
    }
}
