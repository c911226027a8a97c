//! Calls from web pages of other origins, as the tenant allows them. A credential is always sent by the page's own script, so no
//! answer allows cookies; an origin that is not listed gets no header, and the browser keeps the answer from its page.

use domain::{call_rules::CallRules, directory::Directory};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Headers of answers that a page may read.
const EXPOSED: &str = "retry-after, x-request-id, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";
/// Seconds for which a browser remembers an answer to its question beforehand.
const REMEMBERED: &str = "600";

/// The page that a browser says is calling.
pub(crate) fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(header::ORIGIN)
}

fn is_listed(origin: &HeaderValue, rules: &CallRules) -> bool {
    origin.to_str().is_ok_and(|origin| rules.allows_origin(origin))
}

/// Whether a page of this origin may read the answer. `of`: the tenant that is called, once it is known; before (the question of
/// a browser carries no key) whether any tenant allows it.
pub(crate) fn allows(directory: &Directory, of: Option<&CallRules>, origin: &HeaderValue) -> bool {
    match of {
        Some(rules) => is_listed(origin, rules),
        None => directory.tenants.values().any(|t| is_listed(origin, &t.calls)),
    }
}

/// Lets the page read the answer.
pub(crate) fn tell(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

/// Answers a browser's question whether a page may call: `OPTIONS` with the headers that it would send.
pub(crate) fn preflight(asked: &HeaderMap, method: &'static str) -> axum::response::Response {
    let mut response = axum::response::Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(method));
    // OpenAI's clients send a dozen of their own, which change with their versions; the origin is trusted, so all of them may come.
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|v| v.len() <= 4_096) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
    response
}
