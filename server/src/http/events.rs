//! `GET /t/{tenant}/events?topic=&object=&after=`: server-sent events of one tenant. They tell that something changed; the page asks what.

use super::problem_page::{self, Wants};
use crate::{
    layers::{
        caller::{Signed, SignedIn},
        request::Seen,
    },
    signin::renewal,
    web::Web,
};
use axum::{
    Extension,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use domain::{
    event::{Event, Topic},
    problem::Problem,
};
use futures::Stream;
use platform::access::Scope;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{broadcast, mpsc};

/// How often a line is sent when nothing happens, so that nobody on the way closes the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the session and the membership are looked at again, beside every change of the person's rights: what ends by time alone.
const STILL_ALLOWED: Duration = Duration::from_secs(30);
/// How soon a browser comes back after the portal stopped.
const RETRY: Duration = Duration::from_secs(1);

#[derive(serde::Deserialize)]
pub struct Filter {
    /// Topics, with commas; none = all.
    topic: Option<String>,
    /// Id of the one object that matters.
    object: Option<String>,
    /// The place in the events that the page's first picture already shows, as it was given out: what came later is told at once.
    after: Option<String>,
}

pub async fn events(
    State(web): State<Web>,
    SignedIn(caller): SignedIn,
    Extension(signed): Extension<Signed>,
    Extension(seen): Extension<Seen>,
    Path(tenant): Path<String>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Response {
    match caller.scope(web.platform(), &tenant).await {
        Ok(scope) => {
            // A browser that comes back says what it was told last; a page that was drawn by the server, when that was; others begin now.
            let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
            let place = |text: &str| web.platform().open_place(&scope.tenant().name, text);
            let after = last.and_then(place).or_else(|| filter.after.as_deref().and_then(place));
            // Before anything is read: what happens meanwhile waits in here.
            let told = match web.platform().listen(&scope) {
                Ok(told) => told,
                Err(problem) => return problem_page::answer(&problem, Wants::Json),
            };
            let (begin_at, missed) = (after.unwrap_or_else(|| web.platform().latest_event()), after.is_some());
            let (sender, receiver) = mpsc::channel(16);
            let listener = Listener { web, scope, signed, seen, tenant, filter: Wanted::of(&filter), after: begin_at };
            tokio::spawn(listener.run(sender, told, missed));
            stream(futures::stream::unfold(receiver, async |mut lines| lines.recv().await.map(|line| (line, lines))))
        }
        Err(problem) => problem_page::answer(&problem, Wants::Json),
    }
}

fn stream(events: impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies collect answers unless told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Wanted {
    topics: Vec<Topic>,
    object: Option<String>,
}

impl Wanted {
    fn of(filter: &Filter) -> Self {
        let topics = filter.topic.iter().flat_map(|t| t.split(',')).filter_map(|t| Topic::from_word(t.trim())).collect();
        Self { topics, object: filter.object.clone().filter(|o| !o.is_empty()) }
    }
    fn matches(&self, event: &Event) -> bool {
        (self.topics.is_empty() || self.topics.contains(&event.topic)) && self.object.as_ref().is_none_or(|o| *o == event.object)
    }
}

struct Listener {
    web: Web,
    scope: Scope,
    signed: Signed,
    seen: Seen,
    tenant: String,
    filter: Wanted,
    after: i64,
}

type Line = Result<sse::Event, Infallible>;

impl Listener {
    /// Until the reader goes away, the portal stops, or the person may no longer listen. `missed`: something may have happened before
    /// `told` began.
    async fn run(mut self, to: mpsc::Sender<Line>, mut told: broadcast::Receiver<Arc<Event>>, missed: bool) {
        let mut rights = self.web.platform().rights_changes();
        let me = self.scope.person().id;
        let mut look_again =
            tokio::time::interval(Duration::from_secs(self.web.config().confirm_seconds.unsigned_abs()).min(STILL_ALLOWED));
        look_again.tick().await;
        let stopping = self.web.stopping().clone();
        if to.send(Ok(sse::Event::default().retry(RETRY).comment("listening"))).await.is_err() {
            return;
        }
        if missed && self.catch_up(&to).await.is_err() {
            return;
        }
        loop {
            let event = tokio::select! {
                // In this order: what happened after a person's rights ended is not told to that person.
                biased;
                () = stopping.cancelled() => return,
                // Whoever hears of too many changes at once may have missed its own.
                whose = rights.recv() => {
                    if whose.map_or(true, |person| person == me) && !self.still_allowed().await { return }
                    continue;
                }
                _ = look_again.tick() => {
                    if !self.still_allowed().await { return }
                    continue;
                }
                event = told.recv() => event,
                // Notices a reader that went away while nothing happens.
                () = to.closed() => return,
            };
            let done = match event {
                Ok(event) => self.tell(&event, &to).await,
                Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up(&to).await,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Sends what happened since, from the database. An error means that nobody listens, or that the database is away: the browser will
    /// come again.
    async fn catch_up(&mut self, to: &mpsc::Sender<Line>) -> Result<(), Problem> {
        loop {
            let events = self.web.platform().events_after(&self.scope, self.after, 200).await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in &events {
                self.tell(event, to).await?;
            }
        }
    }

    async fn tell(&mut self, event: &Event, to: &mpsc::Sender<Line>) -> Result<(), Problem> {
        if event.seq <= self.after {
            return Ok(());
        }
        self.after = event.seq;
        if !self.filter.matches(event) {
            return Ok(());
        }
        let data = serde_json::to_string(event).unwrap_or_default();
        let place = self.web.platform().seal_place(&event.tenant, event.seq);
        let line = sse::Event::default().event("change").id(place).data(data);
        to.send(Ok(line)).await.map_err(|_| Problem::not_found("The listener"))
    }

    async fn still_allowed(&mut self) -> bool {
        let Some(secret) = &self.signed.secret else { return false };
        // A stream that is open is no sign of a person at work: it does not keep the session from ending for want of use.
        let Ok(Some(caller)) = renewal::caller(&self.web, secret, self.seen.origin(), false).await else { return false };
        match caller.scope(self.web.platform(), &self.tenant).await {
            Ok(scope) => {
                self.scope = scope;
                true
            }
            Err(_) => false,
        }
    }
}
