//! What the gateway counts for those who watch it (`/metrics` of the portal): sums over all callers. Nothing here says who called, or
//! which model: that is what usage is for.

use domain::usage::Call;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper bounds, seconds: a short prompt on an idle card to a long one that waited for its turn.
const FIRST_TOKEN: [f64; 12] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// The same for whole calls: a stream may go on for a quarter of an hour.
const WHOLE_CALL: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];

type Label = [(&'static str, &'static str); 1];

/// Counters of one gateway. A cheap clone of the same counters.
#[derive(Clone)]
pub struct Measures {
    calls: Family<Label, Counter>,
    refusals: Family<Label, Counter>,
    tokens: Family<Label, Counter>,
    under_way: Gauge,
    first_token: Histogram,
    duration: Histogram,
}

impl Default for Measures {
    fn default() -> Self {
        let calls = Family::default();
        // Every class is there from the start: what appears with its first event is missing in the alarm about it.
        for outcome in [Outcome::Answered, Outcome::Refused, Outcome::Failed, Outcome::BrokenOff, Outcome::ClientLeft] {
            drop(Family::<Label, Counter>::get_or_create(&calls, &[("outcome", outcome.word())]));
        }
        Self {
            calls,
            refusals: Family::default(),
            tokens: Family::default(),
            under_way: Gauge::default(),
            first_token: Histogram::new(FIRST_TOKEN),
            duration: Histogram::new(WHOLE_CALL),
        }
    }
}

/// How a metered call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// The client's to mend, or a limit: 4xx.
    Refused,
    /// Ours, or the model server's: 5xx.
    Failed,
    /// The answer had begun, and ended with an error.
    BrokenOff,
    /// The client went away, or stopped reading.
    ClientLeft,
}

impl Outcome {
    fn of(status: u16, has_error: bool) -> Self {
        match status {
            499 => Self::ClientLeft,
            500.. => Self::Failed,
            400.. => Self::Refused,
            _ if has_error => Self::BrokenOff,
            _ => Self::Answered,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::BrokenOff => "broken_off",
            Self::ClientLeft => "client_left",
        }
    }
}

impl Measures {
    /// Puts them under their names into what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        let Self { calls, refusals, tokens, under_way, first_token, duration } = self.clone();
        registry.register("atelier_gateway_calls", "Metered calls that ended, by how they ended", calls);
        registry.register("atelier_gateway_refusals", "Requests that the gateway answered with an error, by its code", refusals);
        registry.register("atelier_gateway_tokens", "Tokens of metered calls, by kind", tokens);
        registry.register("atelier_gateway_calls_under_way", "Metered calls that have not ended", under_way);
        let help = "From a call's head to the first byte of its answer's body";
        registry.register_with_unit("atelier_gateway_time_to_first_token", help, Unit::Seconds, first_token);
        let help = "From a call's head to the end of its answer";
        registry.register_with_unit("atelier_gateway_call_duration", help, Unit::Seconds, duration);
    }

    /// `code`: one of our own list, never the client's words.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&[("code", code)]).inc();
    }

    pub(crate) fn begins(&self) {
        self.under_way.inc();
    }

    pub(crate) fn ended(&self, call: &Call) {
        self.under_way.dec();
        let outcome = Outcome::of(call.status, call.error.is_some());
        self.calls.get_or_create(&[("outcome", outcome.word())]).inc();
        for (kind, count) in [("prompt", call.prompt_tokens), ("completion", call.completion_tokens)] {
            self.tokens.get_or_create(&[("kind", kind)]).inc_by(count.into());
        }
        if let Some(ms) = call.first_token_ms {
            self.first_token.observe(f64::from(ms) / 1_000.0);
        }
        // A refusal takes no time, and would hide how long answers take.
        if matches!(outcome, Outcome::Answered | Outcome::BrokenOff | Outcome::ClientLeft) {
            self.duration.observe(f64::from(call.duration_ms) / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_classed_by_what_its_client_got() {
        let words = [(200, false), (200, true), (429, true), (404, true), (503, true), (499, true)].map(|(s, e)| Outcome::of(s, e).word());
        assert_eq!(words, ["answered", "broken_off", "refused", "refused", "failed", "client_left"]);
    }
}
