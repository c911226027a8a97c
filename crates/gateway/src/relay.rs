//! A stream on its way from the model server to the client: event by event, rewritten, never held back.
//!
//! It is polled by the client's connection, so a slow client slows the model server's stream down (back-pressure), and a
//! client that goes away drops it, which closes the connection to the model server and records the call. A client that is
//! there but reads nothing polls nothing: for that one a watch of its own ends the stream.

use crate::{
    errors::Refusal,
    meter::Meter,
    sse::Events,
    upstream_errors::Sent,
    wire::{NoAnswer, UsageShown, rewrite_answer},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use hyper::body::{Body, Frame, Incoming};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{Instant, Sleep},
};

/// What the client's connection reads.
pub(crate) struct Relay {
    flow: Arc<Mutex<Flow>>,
    watch: AbortHandle,
}

/// Bounds of one stream.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Longest event, in bytes.
    pub longest: usize,
    /// Longest silence before the first event: the call may wait for its turn.
    pub first: Duration,
    /// Longest silence after it, and the longest time that a client may read nothing.
    pub idle: Duration,
}

struct Flow {
    /// None once it has ended or was given up.
    upstream: Option<Incoming>,
    meter: Meter,
    sent: Sent,
    shown: UsageShown,
    events: Events,
    /// `[DONE]` went by.
    done: bool,
    bounds: Bounds,
    timer: Pin<Box<Sleep>>,
    /// The longest silence now.
    patience: Duration,
    last: Instant,
    /// When a piece was handed to the connection that has not asked for the next one since.
    handed: Option<Instant>,
    /// Given up because nobody read.
    unread: bool,
}

type Polled = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

impl Relay {
    /// Needs a Tokio runtime.
    pub(crate) fn new(upstream: Incoming, meter: Meter, sent: Sent, shown: UsageShown, bounds: Bounds) -> Self {
        let last = Instant::now();
        let patience = bounds.first.max(bounds.idle);
        let flow = Flow {
            upstream: Some(upstream),
            meter,
            sent,
            shown,
            events: Events::default(),
            done: false,
            bounds,
            timer: Box::pin(tokio::time::sleep_until(last + patience)),
            patience,
            last,
            handed: None,
            unread: false,
        };
        let flow = Arc::new(Mutex::new(flow));
        let watch = tokio::spawn(end_when_unread(Arc::downgrade(&flow), bounds.idle)).abort_handle();
        Self { flow, watch }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn lock(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn end_when_unread(flow: Weak<Mutex<Flow>>, patience: Duration) {
    let mut look = Instant::now() + patience;
    loop {
        tokio::time::sleep_until(look).await;
        let Some(flow) = flow.upgrade() else { return };
        let mut flow = lock(&flow);
        let now = Instant::now();
        look = flow.handed.unwrap_or(now) + patience;
        if look <= now {
            return flow.give_up_unread();
        }
    }
}

impl Flow {
    fn take(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut events = std::mem::take(&mut self.events);
        let taken = events.push(data, self.bounds.longest, |event| self.event(event, out));
        self.events = events;
        taken
    }

    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            if !self.meter.is_finished() {
                return Err(Refusal::upstream_incomplete());
            }
            self.done = true;
            self.meter.complete();
            out.extend_from_slice(b"data: [DONE]\n\n");
            return Ok(());
        }
        let before = out.len();
        out.extend_from_slice(b"data: ");
        match rewrite_answer(data, &self.sent.model, self.shown, out) {
            Ok(seen) => {
                if seen.only_usage && self.shown == UsageShown::Never {
                    out.truncate(before);
                } else {
                    // An event of several lines is one line again: its JSON has no line end but between its parts.
                    out[before..].iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
                    out.extend_from_slice(b"\n\n");
                    // Here and not once the piece is whole: all of a short answer may come in one.
                    self.meter.first_byte();
                }
                self.meter.saw(seen);
                Ok(())
            }
            Err(no) => {
                out.truncate(before);
                Err(match no {
                    NoAnswer::Garbled => Refusal::upstream_garbled(),
                    NoAnswer::Error(e) => self.sent.refused(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &e),
                })
            }
        }
    }

    /// The last that the client gets: the error, after whatever was ready before it.
    fn break_off(&mut self, refusal: &Refusal, mut out: Vec<u8>) -> Polled {
        tracing::warn!(code = %refusal.code, model = %self.sent.model, "a stream broke off");
        self.meter.broke_off(refusal);
        self.upstream = None;
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&refusal.json());
        out.extend_from_slice(b"\n\n");
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }

    /// The model server's stream is over: was it whole?
    fn ended(&mut self) -> Polled {
        let mut out = Vec::new();
        if !self.done {
            let mut events = std::mem::take(&mut self.events);
            // What is left may be half an event, which says no more than that the stream broke off.
            let _ = events.end(|event| self.event(event, &mut out));
        }
        if !self.done {
            return self.break_off(&Refusal::upstream_died(), out);
        }
        self.upstream = None;
        if out.is_empty() { Poll::Ready(None) } else { Poll::Ready(Some(Ok(Frame::data(out.into())))) }
    }

    fn give_up_unread(&mut self) {
        if self.upstream.take().is_some() {
            tracing::info!(model = %self.sent.model, "a client stopped reading its stream, which was ended");
            self.meter.client_stalled();
            self.unread = true;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        loop {
            let Some(upstream) = &mut self.upstream else {
                // The connection is closed instead of ended, so that nobody takes what came for the whole.
                let unread = std::mem::take(&mut self.unread);
                return Poll::Ready(unread.then(|| Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading"))));
            };
            match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    (self.last, self.patience) = (Instant::now(), self.bounds.idle);
                    let mut out = Vec::with_capacity(data.len() + 64);
                    if let Err(refusal) = self.take(&data, &mut out) {
                        return self.break_off(&refusal, out);
                    }
                    if !out.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                    }
                }
                Poll::Ready(None) | Poll::Ready(Some(Err(_))) => return self.ended(),
                Poll::Pending => {
                    // The timer is moved only when it fires, not with every chunk; after a long patience once more.
                    let until = self.last + self.patience;
                    if until < self.timer.deadline() {
                        self.timer.as_mut().reset(until);
                    }
                    if self.timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    if until > Instant::now() {
                        self.timer.as_mut().reset(until);
                    } else if self.done {
                        self.upstream = None;
                        return Poll::Ready(None);
                    } else {
                        self.meter.silent();
                        return self.break_off(&Refusal::upstream_slow(self.patience.as_secs()), Vec::new());
                    }
                }
            }
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let mut flow = lock(&self.flow);
        let polled = flow.poll(cx);
        flow.handed = matches!(polled, Poll::Ready(Some(Ok(_)))).then(|| flow.last);
        polled
    }
}
