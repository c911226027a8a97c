//! How often one address may be refused, or begin to sign in: a table that forgets, of bounded size, in this process.

use crate::{
    http::problem_page::{self, Wants},
    layers::request::Seen,
    listener::network_of,
};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use domain::problem::{Problem, ProblemKind};
use platform::{Platform, refusals::Attempt};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered at a time.
const ADDRESSES: usize = 10_000;

/// Attempts a minute from one address (IPv6: one /64 network).
pub struct Attempts {
    most: u32,
    table: Mutex<HashMap<IpAddr, Minute>>,
}

#[derive(Clone, Copy)]
struct Minute {
    began: Instant,
    attempts: u32,
}

impl Attempts {
    pub fn new(most: u32) -> Self {
        Self { most, table: Mutex::default() }
    }

    /// Seconds to wait, when this address has had all its attempts.
    pub fn over(&self, from: IpAddr, now: Instant) -> Option<u64> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = table.get(&network_of(from))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(minute.began)).filter(|left| !left.is_zero())?;
        (minute.attempts >= self.most).then(|| left.as_secs() + 1)
    }

    pub fn count(&self, from: IpAddr, now: Instant) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network_of(from);
        if table.len() >= ADDRESSES && !table.contains_key(&from) {
            table.retain(|_, minute| now.saturating_duration_since(minute.began) < WINDOW);
            // Somebody with thousands of addresses is not stopped by this table, but does not fill the memory either.
            if table.len() >= ADDRESSES
                && let Some(oldest) = table.iter().min_by_key(|(_, minute)| minute.began).map(|(address, _)| *address)
            {
                table.remove(&oldest);
            }
        }
        let minute = table.entry(from).or_insert(Minute { began: now, attempts: 0 });
        if now.saturating_duration_since(minute.began) >= WINDOW {
            *minute = Minute { began: now, attempts: 0 };
        }
        minute.attempts = minute.attempts.saturating_add(1);
    }
}

/// Limits where somebody who has not signed in may try: sign-in, and calls with a key.
#[derive(Clone)]
pub struct AttemptLimits {
    inner: Arc<Inner>,
}

struct Inner {
    platform: Platform,
    begun: Attempts,
    refused_sign_ins: Attempts,
    refused_keys: Attempts,
}

/// Most attempts a minute and address.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub sign_ins: u32,
    pub refused_sign_ins: u32,
    pub refused_keys: u32,
}

impl AttemptLimits {
    pub fn new(platform: Platform, most: Most) -> Self {
        let inner = Inner {
            platform,
            begun: Attempts::new(most.sign_ins),
            refused_sign_ins: Attempts::new(most.refused_sign_ins),
            refused_keys: Attempts::new(most.refused_keys),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Counts a credential that was refused; the seconds to wait where the address has had too many already.
    fn refused_key(&self, seen: &Seen) -> Option<u64> {
        let (Inner { platform, refused_keys, .. }, now) = (&*self.inner, Instant::now());
        platform.refused_attempt(Attempt::Key, &seen.origin());
        let over = refused_keys.over(seen.from, now);
        refused_keys.count(seen.from, now);
        over
    }
}

fn seen(request: &Request) -> Seen {
    let nobody = || Seen { request_id: String::new(), from: IpAddr::V4(Ipv4Addr::UNSPECIFIED), by_plain_http: false };
    request.extensions().get::<Seen>().cloned().unwrap_or_else(nobody)
}

/// Around the web role. Beginning costs us a row and a call of the provider; being refused may be guessing.
pub async fn sign_in(State(limits): State<AttemptLimits>, request: Request, next: Next) -> Response {
    let begins = request.uri().path() == "/auth/login";
    let answers =
        request.uri().path() == "/auth/callback" || (request.uri().path() == "/dev-idp/authorize" && request.method() == Method::POST);
    if !begins && !answers {
        return next.run(request).await;
    }
    let (seen, wants, now) = (seen(&request), Wants::of(request.headers()), Instant::now());
    let Inner { platform, begun, refused_sign_ins, .. } = &*limits.inner;
    let wait = refused_sign_ins.over(seen.from, now).or_else(|| if begins { begun.over(seen.from, now) } else { None });
    if let Some(seconds) = wait {
        if answers {
            platform.refused_attempt(Attempt::SignIn, &seen.origin());
        }
        return too_many("There were too many tries to sign in from your address.", seconds, wants);
    }
    let response = next.run(request).await;
    if begins {
        begun.count(seen.from, now);
    } else if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::UNPROCESSABLE_ENTITY) {
        refused_sign_ins.count(seen.from, now);
        platform.refused_attempt(Attempt::SignIn, &seen.origin());
    }
    response
}

/// Around the gateway. A valid key is never refused for what its neighbours do: only the answer to an invalid one changes.
pub async fn keys(State(limits): State<AttemptLimits>, request: Request, next: Next) -> Response {
    let seen = seen(&request);
    let response = next.run(request).await;
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    let Some(seconds) = limits.refused_key(&seen) else { return response };
    let mut told = gateway::too_many_refused_keys(seconds);
    // A page of an allowed origin may read the one answer as it may the other.
    for (name, value) in response.headers() {
        if *name == header::VARY || name.as_str().starts_with("access-control-") {
            told.headers_mut().append(name.clone(), value.clone());
        }
    }
    told
}

/// Around the API: the same for access tokens.
pub async fn tokens(State(limits): State<AttemptLimits>, request: Request, next: Next) -> Response {
    let (seen, wants) = (seen(&request), Wants::of_request(&request));
    let response = next.run(request).await;
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    limits
        .refused_key(&seen)
        .map_or(response, |seconds| too_many("Too many requests from your address came without a valid access token.", seconds, wants))
}

fn too_many(what: &str, seconds: u64, wants: Wants) -> Response {
    let problem = Problem::new(ProblemKind::QuotaExceeded, what).next(format!("Wait {seconds} s, then start again."));
    let mut response = problem_page::answer(&problem, wants);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_attempts_a_minute_and_others_are_not_touched() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(attempts.over(ip("192.0.2.1"), start), None);
            attempts.count(ip("192.0.2.1"), start);
        }
        assert_eq!(attempts.over(ip("192.0.2.1"), start + Duration::from_secs(20)), Some(41));
        assert_eq!(attempts.over(ip("192.0.2.2"), start), None);
        assert_eq!(attempts.over(ip("192.0.2.1"), start + WINDOW), None);
        attempts.count(ip("192.0.2.1"), start + WINDOW);
        assert_eq!(attempts.over(ip("192.0.2.1"), start + WINDOW), None, "a new minute begins with nothing");
    }

    #[test]
    fn the_table_does_not_grow_with_the_number_of_addresses() {
        let (attempts, start) = (Attempts::new(1), Instant::now());
        for i in 0..ADDRESSES as u32 + 50 {
            attempts.count(Ipv4Addr::from(0x0a00_0000 + i).into(), start + Duration::from_millis(u64::from(i)));
        }
        let table = attempts.table.lock().unwrap();
        assert_eq!(table.len(), ADDRESSES);
        assert!(!table.contains_key(&ip("10.0.0.0")), "the oldest went");
    }
}
