//! Refuses what another site makes a browser send (CSRF): one layer before every route that a cookie opens.

use crate::{http::problem_page, web::Web};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
};
use domain::problem::{Problem, ProblemKind};

/// Lets reading through, and writing only when the browser says that it comes from our own pages.
pub async fn refuse_foreign(State(web): State<Web>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_own(request.headers(), &web.config().public_url) {
        return next.run(request).await;
    }
    let said = request.headers().get(header::ORIGIN).and_then(|v| v.to_str().ok()).unwrap_or("none");
    tracing::warn!(origin = said, path = request.uri().path(), "refused: the request comes from another site");
    let problem = Problem::new(ProblemKind::Forbidden, "This request came from another site, so nothing was done.")
        .next(format!("Open {} yourself and do it there.", web.config().public_url));
    problem_page::answer(&problem, problem_page::Wants::of(request.headers()))
}

/// `Sec-Fetch-Site` cannot be forged by a page; where a browser does not send it, `Origin` must be ours. Neither: refused.
fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        None => headers.get(header::ORIGIN).is_some_and(|origin| origin == public_url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn own(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect();
        is_own(&headers, "https://portal.example")
    }

    #[test]
    fn our_own_pages_pass() {
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("sec-fetch-site", "none")]));
        assert!(own(&[("origin", "https://portal.example")]));
    }

    #[test]
    fn other_sites_and_silence_do_not() {
        assert!(!own(&[]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "https://portal.example")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        for origin in ["https://evil.example", "http://portal.example", "https://portal.example.evil.example", "null"] {
            assert!(!own(&[("origin", origin)]), "{origin}");
        }
    }
}
