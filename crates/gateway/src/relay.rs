//! A stream on its way from the model server to the client: chunk by chunk, rewritten line by line, never held back.
//!
//! It is polled by the client's connection, so a slow client slows the model server's stream down (back-pressure), and a
//! client that goes away drops it, which closes the connection to the model server and records the call.

use crate::{
    errors::Refusal,
    meter::Meter,
    wire::{NoAnswer, rewrite_answer},
};
use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body, Frame, Incoming};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

pub(crate) struct Relay {
    /// None once it has ended or was given up.
    upstream: Option<Incoming>,
    meter: Meter,
    /// The client's name for the model.
    model: String,
    hide_usage: bool,
    /// The beginning of a line whose end has not come yet.
    torn: Vec<u8>,
    max_line: usize,
    /// `[DONE]` went by.
    done: bool,
    idle: Pin<Box<Sleep>>,
    idle_timeout: Duration,
    last: Instant,
}

impl Relay {
    pub(crate) fn new(upstream: Incoming, meter: Meter, model: String, hide_usage: bool, max_line: usize, idle_timeout: Duration) -> Self {
        let last = Instant::now();
        let idle = Box::pin(tokio::time::sleep_until(last + idle_timeout));
        Self { upstream: Some(upstream), meter, model, hide_usage, torn: Vec::new(), max_line, done: false, idle, idle_timeout, last }
    }

    /// Rewrites what came; what is ready for the client is appended to `out`.
    fn take(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut rest = data;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.torn.is_empty() {
                self.line(line, out)?;
            } else {
                let mut whole = std::mem::take(&mut self.torn);
                whole.extend_from_slice(line);
                self.line(&whole, out)?;
                whole.clear();
                self.torn = whole;
            }
            rest = after;
        }
        if self.torn.len() + rest.len() > self.max_line {
            return Err(Refusal::upstream_garbled());
        }
        self.torn.extend_from_slice(rest);
        Ok(())
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        // Empty lines part the events and are written again with each; comments and event names are not part of OpenAI's streams.
        let Some(data) = line.trim_ascii().strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return Ok(()) };
        if self.done {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.done = true;
            self.meter.complete();
            out.extend_from_slice(b"data: [DONE]\n\n");
            return Ok(());
        }
        let before = out.len();
        out.extend_from_slice(b"data: ");
        match rewrite_answer(data, &self.model, self.hide_usage, out) {
            Ok(seen) => {
                if self.hide_usage && seen.only_usage {
                    out.truncate(before);
                } else {
                    out.extend_from_slice(b"\n\n");
                }
                self.meter.saw(seen);
                Ok(())
            }
            Err(no) => {
                out.truncate(before);
                Err(match no {
                    NoAnswer::Garbled => Refusal::upstream_garbled(),
                    NoAnswer::Error(e) => {
                        let status = e.status.and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
                        Refusal::from_upstream(status, e.message, e.param)
                    }
                })
            }
        }
    }

    /// The last that the client gets: the error, after whatever was ready before it.
    fn break_off(&mut self, refusal: &Refusal, mut out: Vec<u8>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        tracing::warn!(code = %refusal.code, model = %self.model, "a stream broke off");
        self.meter.broke_off(refusal);
        self.upstream = None;
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&refusal.json());
        out.extend_from_slice(b"\n\n");
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let Some(upstream) = &mut this.upstream else { return Poll::Ready(None) };
            match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.last = Instant::now();
                    let mut out = Vec::with_capacity(data.len() + 64);
                    if let Err(refusal) = this.take(&data, &mut out) {
                        return this.break_off(&refusal, out);
                    }
                    if !out.is_empty() {
                        this.meter.first_byte();
                        return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                    }
                }
                Poll::Ready(None) | Poll::Ready(Some(Err(_))) if this.done => {
                    this.upstream = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(None) | Poll::Ready(Some(Err(_))) => return this.break_off(&Refusal::upstream_died(), Vec::new()),
                Poll::Pending => {
                    // The timer is moved only when it fires, not with every chunk.
                    if this.idle.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let until = this.last + this.idle_timeout;
                    if until > Instant::now() {
                        this.idle.as_mut().reset(until);
                    } else if this.done {
                        this.upstream = None;
                        return Poll::Ready(None);
                    } else {
                        return this.break_off(&Refusal::upstream_slow(this.idle_timeout.as_secs()), Vec::new());
                    }
                }
            }
        }
    }
}
