//! `/metrics` for Prometheus, on an address of its own that nothing else answers (decision 0019). Sums over everybody: no label carries an
//! id, a name of a person or a tenant, a key, or an address, and every label comes from a bounded set.

mod now;
mod process;
mod requests;
mod usage;

pub use now::Now;
pub use requests::{Requests, method_word};
pub use usage::UsageWritten;

use axum::{Router, http::header, routing::get};
use prometheus_client::{encoding::text::encode, metrics::info::Info, registry::Registry};
use std::sync::Arc;

/// What Prometheus asks for first; the text format that it knew before is nearly the same.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// With what every process has to say, whatever its roles.
pub fn registry(requests: &Requests, now: Now) -> Registry {
    let mut registry = Registry::default();
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("atelier_build", "Which program this is", build);
    requests.register(&mut registry);
    registry.register_collector(Box::new(now));
    registry
}

/// `GET /metrics`, and nothing else.
pub fn routes(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    let answer = move || {
        let registry = registry.clone();
        async move {
            let mut text = String::new();
            if let Err(e) = encode(&mut text, &registry) {
                tracing::error!(error = %e, "the metrics cannot be written");
            }
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
        }
    };
    Router::new().route("/metrics", get(answer))
}
