//! Counts one call and sees to it that it is settled and recorded exactly once, however it ends: also when the client goes
//! away and everything that belongs to the call is dropped.

use crate::{
    errors::Refusal,
    limits::Reservation,
    usage_sink::Slot,
    wire::{Seen, Usage},
};
use domain::usage::Call;
use std::time::Instant;

/// What usage is written for a client that left before its answer was complete (nginx's number).
const CLIENT_CLOSED: u16 = 499;

pub(crate) struct Meter {
    /// Taken when the call is recorded.
    open: Option<(Call, Slot)>,
    reservation: Option<Reservation>,
    started: Instant,
    /// The model server has the request: tokens are being used.
    forwarded: bool,
    prompt_estimate: u32,
    pieces: u32,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    first_byte: Option<Instant>,
}

impl Meter {
    pub(crate) fn new(call: Call, slot: Slot, started: Instant) -> Self {
        Self {
            open: Some((call, slot)),
            reservation: None,
            started,
            forwarded: false,
            prompt_estimate: 0,
            pieces: 0,
            usage: None,
            finish_reason: None,
            first_byte: None,
        }
    }

    /// What becomes known of the call as it walks; nothing changes any more once it is recorded.
    pub(crate) fn call(&mut self) -> Option<&mut Call> {
        self.open.as_mut().map(|(call, _)| call)
    }

    pub(crate) fn forwarding(&mut self, reservation: Option<Reservation>, prompt_estimate: u32) {
        (self.reservation, self.prompt_estimate, self.forwarded) = (reservation, prompt_estimate, true);
    }

    pub(crate) fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(Instant::now);
    }

    pub(crate) fn saw(&mut self, seen: Seen) {
        self.pieces = self.pieces.saturating_add(seen.pieces);
        self.usage = seen.usage.or(self.usage);
        self.finish_reason = seen.finish_reason.or_else(|| self.finish_reason.take());
    }

    /// The answer is complete.
    pub(crate) fn complete(&mut self) {
        self.record(200, None, true);
    }

    /// The client got this refusal instead of an answer; no token was used.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.record(refusal.status.as_u16(), Some(refusal.code), false);
    }

    /// The answer had begun (the client got status 200) and broke off with this error.
    pub(crate) fn broke_off(&mut self, refusal: &Refusal) {
        self.record(200, Some(refusal.code), true);
    }

    fn record(&mut self, status: u16, error: Option<&str>, used: bool) {
        let Some((mut call, slot)) = self.open.take() else { return };
        let counted = if used { self.usage } else { Some(Usage { prompt_tokens: 0, completion_tokens: 0 }) };
        let usage = counted.unwrap_or(Usage { prompt_tokens: self.prompt_estimate, completion_tokens: self.pieces });
        (call.prompt_tokens, call.completion_tokens, call.estimated) = (usage.prompt_tokens, usage.completion_tokens, counted.is_none());
        call.status = status;
        call.error = error.map(str::to_owned);
        call.first_token_ms = self.first_byte.map(|at| milliseconds(at.duration_since(self.started)));
        call.duration_ms = milliseconds(self.started.elapsed());
        call.finish_reason = self.finish_reason.take();
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens));
        }
        tracing::debug!(
            request_id = %call.request_id, tenant = %call.tenant, model = %call.model, route = %call.route, status, error,
            prompt_tokens = call.prompt_tokens, completion_tokens = call.completion_tokens, duration_ms = call.duration_ms, "call"
        );
        slot.record(call);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.record(CLIENT_CLOSED, Some("client_closed"), self.forwarded);
    }
}

fn milliseconds(span: std::time::Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
