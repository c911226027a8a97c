//! Requests, by what answered them.

use axum::http::Method;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::time::Duration;

/// Upper bounds, seconds: pages take milliseconds, answers that are not streamed minutes.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];
/// The route of what no route answers.
const NONE: &str = "none";

/// Counted once an answer's head is there. A cheap clone of the same counters.
#[derive(Clone)]
pub struct Requests {
    answered: Family<Answered, Counter>,
    durations: Family<Asked, Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    /// As the router writes it: `/t/{tenant}/runs/{id}`. There are as many as the program has.
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

impl Default for Requests {
    fn default() -> Self {
        Self { answered: Family::default(), durations: Family::new_with_constructor(|| Histogram::new(SECONDS)) }
    }
}

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { answered, durations } = self.clone();
        registry.register("atelier_http_requests", "Requests that were answered, by method, route and status", answered);
        let help = "From a request's head to its answer's head, by method and route";
        registry.register_with_unit("atelier_http_request_duration", help, Unit::Seconds, durations);
    }

    /// `route` as the router writes it; none when nothing answers there.
    pub fn answered(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let (method, route) = (method_word(method), route.unwrap_or(NONE).to_owned());
        self.durations.get_or_create(&Asked { method, route: route.clone() }).observe(took.as_secs_f64());
        self.answered.get_or_create(&Answered { method, route, status }).inc();
    }
}

/// A client may write any word as its method.
pub fn method_word(method: &Method) -> &'static str {
    ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"].into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_is_no_label_of_its_own() {
        assert_eq!(method_word(&Method::POST), "POST");
        assert_eq!(method_word(&"BREW".parse().unwrap()), "other");
    }
}
