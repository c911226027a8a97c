//! How much a form or a server function may send, whoever reads it in whatever way.

use crate::http::problem_page::{self, Wants};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use domain::problem::{Problem, ProblemKind};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// How much of a refused body is still read, and for how long, so that a browser hears why instead of a broken connection.
const READ_ON: usize = 16 * 1024 * 1024;
const READ_FOR: Duration = Duration::from_secs(10);

/// Refuses a body of more than `most` bytes with 413 in words: before a handler sees it where its length is said, else as it arrives.
pub async fn limit(State(most): State<usize>, request: Request, next: Next) -> Response {
    let wants = Wants::of_request(&request);
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if said.is_some_and(|length| length > most) {
        read_on(request.into_body()).await;
        return too_large(most, wants);
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let over = Arc::new(AtomicBool::new(false));
    let counted = over.clone();
    let request = request.map(|body| Body::new(Counted { body, left: most, read_on: 0, over: counted }));
    let response = next.run(request).await;
    if over.load(Ordering::Relaxed) { too_large(most, wants) } else { response }
}

async fn read_on(body: Body) {
    let _ = tokio::time::timeout(READ_FOR, async {
        let mut body = Limited::new(body, READ_ON);
        while let Some(Ok(_)) = body.frame().await {}
    })
    .await;
}

fn too_large(most: usize, wants: Wants) -> Response {
    let sentence = format!("What was sent is larger than {} MB, the most that a form may hold, so nothing was done.", most / (1024 * 1024));
    let problem = Problem::new(ProblemKind::Invalid, sentence).next("Shorten the text. Whole files are uploaded as a dataset.");
    problem_page::answer_with(StatusCode::PAYLOAD_TOO_LARGE, &problem, wants)
}

#[derive(Debug, thiserror::Error)]
#[error("the body is too large")]
struct TooLarge;

/// Ends with an error after `left` more bytes; what comes then is read on and thrown away, so that the client hears why.
struct Counted {
    body: Body,
    left: usize,
    read_on: usize,
    over: Arc<AtomicBool>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(e.into()))),
                Poll::Ready(None) if self.over.load(Ordering::Relaxed) => return Poll::Ready(Some(Err(TooLarge.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            let length = frame.data_ref().map_or(0, Bytes::len);
            if let Some(left) = self.left.checked_sub(length)
                && !self.over.load(Ordering::Relaxed)
            {
                self.left = left;
                return Poll::Ready(Some(Ok(frame)));
            }
            self.over.store(true, Ordering::Relaxed);
            self.read_on += length;
            if self.read_on > READ_ON {
                return Poll::Ready(Some(Err(TooLarge.into())));
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
