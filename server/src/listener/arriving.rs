//! A request's body that may be slow, but not silent.

use super::phase::Phase;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Why a body ended early; handlers that show it show a sentence.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("{0}")]
    Connection(#[from] hyper::Error),
}

pub struct Arriving {
    body: Incoming,
    limit: Duration,
    phase: Arc<Phase>,
    /// Made when a handler first waits: most bodies come with their head.
    silence: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Arriving {
    pub fn new(body: Incoming, limit: Duration, phase: Arc<Phase>) -> Self {
        Self { body, limit, phase, silence: None, waits: false }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waits = false;
            return Poll::Ready(frame.map(|f| f.map_err(BrokenOff::from)));
        }
        let this = &mut *self;
        let until = Instant::now() + this.limit;
        let silence = this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !this.waits {
            // Counted from when somebody wants more: a handler that is busy with what came is not the client's silence.
            this.waits = true;
            silence.as_mut().reset(until);
        }
        match silence.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                this.phase.body_fell_silent();
                Poll::Ready(Some(Err(BrokenOff::Silent(this.limit))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
