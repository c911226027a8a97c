//! A page is drawn by one task: what the interface spawns on the way (the data of the page, what waits for it) is run by the request
//! itself, and ends with it.
//!
//! Left to the runtime's threads, one of them reads a value of the page while another is computing it. Leptos takes a value that is
//! being written for one that is gone, and panics: under load one page in ten was answered 500. And what was spawned could outlive the
//! answer, on a thread that still had another request's owner set.

use crate::http::problem_page;
use any_spawner::{CustomExecutor, Executor, PinnedFuture, PinnedLocalFuture};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::Response,
};
use domain::problem::{Problem, ProblemKind};
use futures::stream::{FuturesUnordered, StreamExt};
use leptos::reactive::owner::Owner;
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

thread_local! {
    /// What was spawned since the request that this thread is just running was last looked after; none outside of a request.
    static SPAWNED: RefCell<Option<Vec<PinnedFuture<()>>>> = const { RefCell::new(None) };
}

/// Makes the interface spawn into the request that draws it. Before the first page; later calls change nothing.
pub fn install() {
    let _ = Executor::init_custom_executor(IntoTheRequest);
}

struct IntoTheRequest;

impl CustomExecutor for IntoTheRequest {
    fn spawn(&self, task: PinnedFuture<()>) {
        let outside = SPAWNED.with_borrow_mut(|spawned| match spawned {
            Some(spawned) => {
                spawned.push(task);
                None
            }
            None => Some(task),
        });
        if let Some(task) = outside {
            tokio::spawn(task);
        }
    }
    fn spawn_local(&self, task: PinnedLocalFuture<()>) {
        tokio::task::spawn_local(task);
    }
    fn poll_local(&self) {}
}

/// As a layer around everything that the app answers.
pub async fn in_one_task(request: Request, next: Next) -> Response {
    let wants = problem_page::Wants::of(request.headers());
    whole(wants, next.run(request)).await
}

/// The answer with its whole body, and with everything gone that was spawned for it.
pub async fn whole(wants: problem_page::Wants, answer: impl Future<Output = Response> + Send + 'static) -> Response {
    let whole = async move {
        let (head, body) = answer.await.into_parts();
        // A page waits for all of its data anyway, and an error is still an error when it comes late.
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) => Response::from_parts(head, Body::from(bytes)),
            Err(e) => {
                tracing::error!(error = %e, "a page broke off");
                let problem = Problem::new(ProblemKind::Internal, "This page could not be made.").next("Try again.");
                problem_page::answer(&problem, wants)
            }
        }
    };
    OneTask { main: Box::pin(whole), beside: FuturesUnordered::new(), owner: Owner::new() }.await
}

struct OneTask<T> {
    main: Pin<Box<dyn Future<Output = T> + Send>>,
    beside: FuturesUnordered<PinnedFuture<()>>,
    /// Current at each turn, so that nothing of this request ever finds the owner that another request left on this thread, nor leaves one.
    owner: Owner,
}

impl<T> OneTask<T> {
    /// Looks once after the request and what it spawned, until nothing is new.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<T> {
        let mut main = Poll::Pending;
        loop {
            if main.is_pending() {
                main = self.main.as_mut().poll(context);
            }
            if main.is_ready() {
                return main;
            }
            let new = SPAWNED.with_borrow_mut(|spawned| spawned.as_mut().map(std::mem::take).unwrap_or_default());
            let nothing_new = new.is_empty();
            self.beside.extend(new);
            let mut ended = false;
            while let Poll::Ready(Some(())) = self.beside.poll_next_unpin(context) {
                ended = true;
            }
            let more = SPAWNED.with_borrow(|spawned| spawned.as_ref().is_some_and(|s| !s.is_empty()));
            if nothing_new && !ended && !more {
                return Poll::Pending;
            }
        }
    }
}

impl<T> Future for OneTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let me = &mut *self;
        let owner = me.owner.clone();
        let before = SPAWNED.replace(Some(Vec::new()));
        // A panic goes on to whoever answers for it, but not without leaving the thread as it was.
        let turned = owner.with(|| catch_unwind(AssertUnwindSafe(|| me.turn(context))));
        drop(SPAWNED.replace(before));
        match turned {
            Ok(turned) => turned,
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use leptos::prelude::{provide_context, use_context};
    use std::{future::pending, sync::Arc};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_spawned_for_an_answer_ends_with_it() {
        install();
        let held = Arc::new(());
        let kept = held.clone();
        let answer = whole(problem_page::Wants::Html, async move {
            let (sender, spoken) = tokio::sync::oneshot::channel();
            Executor::spawn(async move {
                let _kept = kept;
                let _ = sender.send("from beside");
                pending::<()>().await;
            });
            spoken.await.unwrap().into_response()
        })
        .await;
        assert_eq!(to_bytes(answer.into_body(), 100).await.unwrap(), "from beside");
        assert_eq!(Arc::strong_count(&held), 1, "a task outlives the answer that it was for");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_spawned_runs_on_the_thread_that_runs_its_request() {
        install();
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        whole(problem_page::Wants::Html, async move {
            for _ in 0..200 {
                let (done, wait) = tokio::sync::oneshot::channel();
                let main = std::thread::current().id();
                let said = said.clone();
                Executor::spawn(async move {
                    let _ = said.send(main == std::thread::current().id());
                    let _ = done.send(());
                });
                wait.await.unwrap();
            }
            ().into_response()
        })
        .await;
        while let Some(same) = heard.recv().await {
            assert!(same, "a value of a page could be read on one thread while another computes it");
        }
    }

    /// As a page does it that panics, and as Leptos does it at the start of each.
    #[tokio::test(flavor = "current_thread")]
    async fn a_request_leaves_its_owner_to_nobody_and_finds_nobodys() {
        install();
        let leaves = async {
            let owner = Owner::new_root(None);
            owner.with(|| provide_context("somebody's"));
            std::mem::forget(owner);
            ().into_response()
        };
        whole(problem_page::Wants::Html, leaves).await;
        assert!(use_context::<&str>().is_none(), "the next request on this thread would find the former's context");
        let panics = async {
            let owner = Owner::new_root(None);
            owner.with(|| {
                provide_context("somebody's");
                panic!("in the middle of a page");
            })
        };
        let broken = futures::FutureExt::catch_unwind(AssertUnwindSafe(whole(problem_page::Wants::Html, panics))).await;
        assert!(broken.is_err() && Owner::current().is_none() && SPAWNED.with_borrow(Option::is_none));
    }
}
