//! What a connection is doing, since when, and until when it may.

use super::Limits;
use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long a connection that was told to end may take for it.
const CLOSING: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// The head of a request is awaited or half here. So begins a connection.
    Head,
    /// A request is being answered: how long that may take is the handler's rule.
    Answering,
    /// Between two requests.
    Idle,
    /// Was told to end.
    Closing,
}

/// What is to be done now that a limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nobody waits for anything: a polite end.
    Idle,
    /// Drop it; the word is for the log.
    Broken(&'static str),
}

/// Told by the bytes and the service of one connection, asked by its loop.
pub struct Phase {
    state: Mutex<State>,
    body_silent: AtomicBool,
}

struct State {
    doing: Doing,
    since: Instant,
    /// Since when bytes of an answer wait for a reader.
    unread_since: Option<Instant>,
    /// When the portal was told to stop.
    stopping_since: Option<Instant>,
}

impl Phase {
    pub fn new(now: Instant) -> Self {
        Self {
            state: Mutex::new(State { doing: Doing::Head, since: now, unread_since: None, stopping_since: None }),
            body_silent: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, doing: Doing, now: Instant) {
        let mut state = self.state();
        (state.doing, state.since) = (doing, now);
    }

    /// The first bytes after silence begin a head; further ones do not give it more time.
    pub fn bytes_came(&self) {
        let mut state = self.state();
        if state.doing == Doing::Idle {
            (state.doing, state.since) = (Doing::Head, Instant::now());
        }
    }

    pub fn request_begins(&self) {
        self.body_silent.store(false, Ordering::Relaxed);
        self.state().doing = Doing::Answering;
    }

    pub fn answer_ends(&self) {
        self.set(Doing::Idle, Instant::now());
    }

    pub fn closing(&self) {
        self.set(Doing::Closing, Instant::now());
    }

    /// Whoever has this connection may not know yet, and ask once more on it: it is not closed under a request that is on its way.
    pub fn portal_stops(&self) {
        self.state().stopping_since.get_or_insert_with(Instant::now);
    }

    /// Whether an answer that begins now says that the connection closes with it.
    pub fn is_last_answer(&self) -> bool {
        self.state().stopping_since.is_some()
    }

    pub fn write_waits(&self) {
        self.state().unread_since.get_or_insert_with(Instant::now);
    }

    pub fn write_moves(&self) {
        self.state().unread_since = None;
    }

    pub fn body_fell_silent(&self) {
        self.body_silent.store(true, Ordering::Relaxed);
    }

    pub fn is_body_silent(&self) -> bool {
        self.body_silent.load(Ordering::Relaxed)
    }

    /// The next moment at which something will have lasted too long, and what that is.
    pub fn deadline(&self, limits: &Limits) -> Option<(Instant, Over)> {
        let state = self.state();
        let doing = match state.doing {
            Doing::Head => Some((state.since + limits.head, Over::Broken("the head of a request did not come in time"))),
            Doing::Answering => None,
            Doing::Idle => Some((state.since + limits.keep_alive, Over::Idle)),
            Doing::Closing => Some((state.since + CLOSING, Over::Broken("it did not close"))),
        };
        // A client that was told by no answer yet gets the time of a balancer to hear of it. Half a head is not broken by it.
        let silent = matches!(state.doing, Doing::Head | Doing::Idle);
        let stops = state.stopping_since.filter(|_| silent);
        let stops = stops.map(|told| (told.max(state.since) + limits.shutdown_delay, Over::Idle));
        let unread = state.unread_since.map(|since| (since + limits.write, Over::Broken("the client does not read its answer")));
        [doing, stops, unread].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}
