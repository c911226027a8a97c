//! Counts one call and sees to it that it is settled and recorded exactly once, however it ends: also when the client goes
//! away and everything that belongs to the call is dropped.

use crate::{
    asked::Demand,
    balance::AtCopy,
    errors::Refusal,
    limits::Reservation,
    measures::Measures,
    spool::Slot,
    tally::{Pace, Tally},
    under_way::InFlight,
    wire::{Seen, Usage},
};
use domain::usage::Call;
use std::time::Instant;
use tracing::Span;

/// What usage is written for a client that left before its answer was complete (nginx's number).
const CLIENT_CLOSED: u16 = 499;
const NOTHING: Usage = Usage { prompt_tokens: 0, completion_tokens: 0 };

pub(crate) struct Meter {
    /// Taken when the call is recorded.
    open: Option<(Call, Slot)>,
    in_flight: Option<InFlight>,
    /// Where it is answered, as long as it is.
    at: Option<AtCopy>,
    measures: Measures,
    trace: Span,
    /// Set once the model server has the request: tokens are being used.
    forwarded: Option<Forwarded>,
    started: Instant,
    tally: Tally,
    first_byte: Option<Instant>,
}

/// What the model server was asked for.
pub(crate) struct Forwarded {
    pub reservation: Option<Reservation>,
    pub demand: Demand,
    pub pace: Pace,
    /// What the model server does with it, for traces.
    pub server: Span,
}

impl Meter {
    pub(crate) fn new(call: Call, slot: Slot, in_flight: Option<InFlight>, measures: Measures, trace: Span, started: Instant) -> Self {
        measures.begins();
        Self {
            open: Some((call, slot)),
            in_flight,
            at: None,
            measures,
            trace,
            forwarded: None,
            started,
            tally: Tally::default(),
            first_byte: None,
        }
    }

    /// What becomes known of the call as it walks; nothing changes any more once it is recorded.
    pub(crate) fn call(&mut self) -> Option<&mut Call> {
        self.open.as_mut().map(|(call, _)| call)
    }

    pub(crate) fn forwarding(&mut self, forwarded: Forwarded) {
        self.forwarded = Some(forwarded);
    }

    /// The copy of the model server that has begun to answer: it counts there until its record is written.
    pub(crate) fn answered_by(&mut self, at: AtCopy) {
        self.at = Some(at);
    }

    pub(crate) fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(Instant::now());
            if let Some(at) = &self.at {
                at.answered();
            }
        }
    }

    /// Nothing came for as long as it may take.
    pub(crate) fn silent(&self) {
        if let Some(at) = self.at.as_ref().filter(|_| self.first_byte.is_none()) {
            at.silent();
        }
    }

    /// A chunk of a stream.
    pub(crate) fn saw(&mut self, seen: Seen) {
        self.tally.saw(seen, false);
    }

    /// An answer that is not streamed.
    pub(crate) fn saw_whole(&mut self, seen: Seen) {
        self.tally.saw(seen, true);
    }

    /// Whether every answer that was asked for said why it ends.
    pub(crate) fn is_finished(&self) -> bool {
        self.forwarded.as_ref().is_none_or(|f| u64::from(self.tally.finished) >= f.demand.shown())
    }

    /// The answer is complete.
    pub(crate) fn complete(&mut self) {
        if let (Some(forwarded), Some(usage)) = (&self.forwarded, self.counted()) {
            forwarded.pace.learn(usage.completion_tokens);
        }
        self.record(200, None, true);
    }

    /// The client got this refusal instead of an answer; no token was used.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.record(refusal.status.as_u16(), Some(refusal.code), false);
    }

    /// The client got this refusal after the model server had worked on the answer for a while.
    pub(crate) fn gave_up(&mut self, refusal: &Refusal) {
        self.record(refusal.status.as_u16(), Some(refusal.code), true);
    }

    /// The answer had begun (the client got status 200) and broke off with this error.
    pub(crate) fn broke_off(&mut self, refusal: &Refusal) {
        self.record(200, Some(refusal.code), true);
    }

    /// The client is there, but has stopped reading.
    pub(crate) fn client_stalled(&mut self) {
        self.record(CLIENT_CLOSED, Some("client_stalled"), true);
    }

    fn counted(&self) -> Option<Usage> {
        let demand = self.forwarded.as_ref()?.demand;
        self.tally.counted(demand.prompts, demand.prompt_guess)
    }

    /// What was used, as well as it can be known without the model server's counts.
    fn estimated(&self, stream: bool) -> Usage {
        let Some(forwarded) = &self.forwarded else { return NOTHING };
        let completion_tokens = if stream { self.tally.pieces() } else { forwarded.pace.generated() };
        Usage { prompt_tokens: forwarded.demand.prompt_guess, completion_tokens }
    }

    fn record(&mut self, status: u16, error: Option<&str>, used: bool) {
        let Some((mut call, slot)) = self.open.take() else { return };
        let counted = if used { self.counted() } else { Some(NOTHING) };
        let usage = counted.unwrap_or_else(|| self.estimated(call.stream));
        (call.prompt_tokens, call.completion_tokens, call.estimated) = (usage.prompt_tokens, usage.completion_tokens, counted.is_none());
        call.status = status;
        call.error = error.map(str::to_owned);
        call.first_token_ms = self.first_byte.map(|at| milliseconds(at.duration_since(self.started)));
        call.duration_ms = milliseconds(self.started.elapsed());
        call.finish_reason = self.tally.finish_reason.take();
        if let Some(reservation) = self.forwarded.as_mut().and_then(|f| f.reservation.take()) {
            reservation.settle(u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens));
        }
        (self.in_flight, self.at) = (None, None);
        tracing::debug!(
            request_id = %call.request_id, tenant = %call.tenant, model = %call.model, route = %call.route, status, error,
            prompt_tokens = call.prompt_tokens, completion_tokens = call.completion_tokens, duration_ms = call.duration_ms, "call"
        );
        self.measures.ended(&call);
        self.end_trace(&call);
        slot.record(call);
    }
}

impl Meter {
    fn end_trace(&mut self, call: &Call) {
        let (trace, server) = (std::mem::replace(&mut self.trace, Span::none()), self.forwarded.as_mut());
        let server = server.map_or(Span::none(), |f| std::mem::replace(&mut f.server, Span::none()));
        if trace.is_disabled() {
            return;
        }
        trace.record("http.response.status_code", call.status);
        trace.record("gen_ai.usage.input_tokens", call.prompt_tokens);
        trace.record("gen_ai.usage.output_tokens", call.completion_tokens);
        if let Some(ms) = call.first_token_ms {
            trace.record("atelier.first_token_ms", ms);
        }
        let Some(code) = &call.error else { return };
        for span in [&trace, &server] {
            span.record("error.type", code.as_str());
            // A refusal is no fault of the call's own parts, and a client that left is none at all.
            if !(400..500).contains(&call.status) {
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.record(CLIENT_CLOSED, Some("client_closed"), self.forwarded.is_some());
    }
}

fn milliseconds(span: std::time::Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
