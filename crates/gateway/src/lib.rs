//! The data plane: an OpenAI-compatible gateway in front of model servers, with keys, limits and metering.
//!
//! It knows nothing of databases. What it needs to know comes as snapshots of [`domain::directory::Directory`] through a
//! watch channel; what it has to tell goes as [`domain::usage::Call`] into a [`UsageSink`] on its disk. A call asks no database.
//!
//! One call walks through [`Exchange`]: authenticate, admit (route, limits: reserve), forward, relay, settle, record.
//!
//! What is refused, reserved and told to a model server:
//! - limits reserve the most that the server can make of what it is told (`asked::Demand`), and settle by its own counts;
//! - calls under way at once are bounded per key, member and tenant (`under_way`);
//! - errors of a model server are told in our words (`upstream_errors`).
//!
//! Where several gateways keep limits together, each stays within its share of every limit; [`LimitShares`] says what it asks for, and
//! takes what it is given. A call waits for that only where its share does not hold it and the limit may.

mod admit;
mod asked;
mod authenticate;
mod balance;
mod call_ids;
mod content;
mod cors;
mod errors;
mod exchange;
mod forward;
mod limits;
mod measures;
mod meter;
mod relay;
mod router;
mod share;
mod shares;
mod spool;
mod sse;
mod tally;
mod under_way;
mod upstream_errors;
mod window;
mod wire;

pub use exchange::Exchange;
pub use measures::Measures;
pub use shares::LimitShares;
pub use spool::{RECORD_BYTES, SpoolConfig, SpoolStatus, UsageReceiver, UsageSink};

use domain::{directory::Directory, time::Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// For a layer in front of the gateway that counts refused keys by address: what the next one hears, in OpenAI's shape.
/// `retry_after` in seconds.
pub fn too_many_refused_keys(retry_after: u64) -> axum::response::Response {
    axum::response::IntoResponse::into_response(errors::Refusal::too_many_refused_keys(retry_after))
}

/// For a layer in front of the gateway that takes other credentials than keys: 401 with this sentence.
pub fn refused_token(sentence: &str) -> axum::response::Response {
    axum::response::IntoResponse::into_response(errors::Refusal::refused_token(sentence))
}

/// For the same layer: who calls is known, and not for which tenant.
pub fn refused_without_tenant(sentence: &str) -> axum::response::Response {
    axum::response::IntoResponse::into_response(errors::Refusal::bad_request(None, sentence))
}

/// For the same layer: it cannot look now.
pub fn refused_for_now(sentence: &str) -> axum::response::Response {
    axum::response::IntoResponse::into_response(errors::Refusal::cannot_look_now(sentence))
}

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
    /// From sending the request to the first event of a streamed answer: it may wait for its turn. An answer that is not
    /// streamed has its endpoint's own limit. Default 120 s.
    pub first_byte_timeout: Duration,
    /// Longest silence within an answer, and longest time that a client may read nothing of it. Default 60 s.
    pub idle_timeout: Duration,
    /// The most tokens of an answer that the model server is told for a chat call which names no bound, where key or tenant
    /// have a limit of tokens: what is told is what is reserved. Without such a limit only the context ends it. Default 1024.
    pub default_max_tokens: u32,
    /// Connections kept open to one model server while unused. Default 256.
    pub idle_connections: usize,
    /// Addresses of this machine and its neighbours at which somebody else's model server may be. Default: none.
    pub outside_allowed: outside::Allowed,
    /// Whether limits are kept together with other gateways: somebody must join [`Gateway::limit_shares`] to what they share. Default: no,
    /// this gateway counts for itself.
    pub limits_are_shared: bool,
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
            default_max_tokens: 1_024,
            idle_connections: 256,
            outside_allowed: outside::Allowed::default(),
            limits_are_shared: false,
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
    under_way: Arc<under_way::UnderWay>,
    speeds: Arc<tally::Speeds>,
    upstreams: forward::Upstreams,
    ids: call_ids::CallIds,
    measures: Measures,
}

impl Gateway {
    /// Starts nothing; connections are made when calls come.
    pub fn new(config: GatewayConfig, directory: watch::Receiver<Arc<Directory>>, usage: UsageSink, clock: fn() -> Timestamp) -> Gateway {
        let upstreams = forward::Upstreams::new(&config);
        let ledger = Arc::new(limits::Ledger::new(config.limits_are_shared));
        let inner = Inner {
            config,
            directory,
            usage,
            clock,
            ledger,
            under_way: Arc::default(),
            speeds: Arc::default(),
            upstreams,
            ids: Default::default(),
            measures: Measures::default(),
        };
        Gateway { inner: Arc::new(inner) }
    }

    /// To be joined to the other gateways; none where this one counts for itself.
    pub fn limit_shares(&self) -> Option<LimitShares> {
        LimitShares::of(&self.inner.ledger)
    }

    /// What is counted here, for `/metrics`.
    pub fn measures(&self) -> &Measures {
        &self.inner.measures
    }

    /// `/v1/...` and `/t/{tenant}/v1/...`, complete: every path under them is answered here, in OpenAI's shape. Both kinds of
    /// completions also without `/v1`, for clients whose base address lacks it.
    pub fn router(&self) -> axum::Router {
        router::router(self.inner.clone())
    }
}
