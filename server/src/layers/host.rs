//! Under which names pages are given out. A name that is not ours is refused: another site's name that leads here (DNS rebinding) would
//! make a browser take our pages for that site's, and what we write into answers would carry that name.

use super::request::Seen;
use crate::{
    config::is_loopback,
    http::problem_page::{self, Wants},
    web::Web,
};
use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use domain::problem::{Problem, ProblemKind};
use openidconnect::url::Url;

/// The names of the portal.
#[derive(Clone, Debug)]
pub struct Hosts {
    scheme: &'static str,
    /// Host, and port where it is not the scheme's own.
    names: Vec<String>,
    /// A portal on a development machine is known by every name of that machine.
    loopback: bool,
}

impl Hosts {
    /// `public_url` is an origin; `further` are hosts, or hosts with a port.
    pub fn new(public_url: &str, further: &[String]) -> Result<Self, String> {
        let scheme = if public_url.starts_with("https://") { "https" } else { "http" };
        let mut names = vec![public_url.trim_start_matches(scheme).trim_start_matches("://").to_owned()];
        for name in further.iter().map(|n| n.trim()).filter(|n| !n.is_empty()) {
            let own = named(scheme, name).ok_or_else(|| format!("ATELIER_ALLOWED_HOST “{name}” is no host name."))?;
            names.push(own);
        }
        let loopback = Url::parse(public_url).is_ok_and(|url| is_loopback(&url));
        Ok(Self { scheme, names, loopback })
    }

    /// `host` as a request's head names it.
    pub fn allow(&self, host: &str) -> bool {
        if self.names.iter().any(|name| name == host) {
            return true;
        }
        let Some(name) = named(self.scheme, host) else { return false };
        self.names.contains(&name) || (self.loopback && Url::parse(&format!("http://{name}")).is_ok_and(|url| is_loopback(&url)))
    }
}

/// Host and port in one spelling; none when there is anything else in it.
fn named(scheme: &str, host: &str) -> Option<String> {
    if host.contains(['/', '?', '#', '@', '\\']) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    let name = url.host_str()?;
    Some(url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")))
}

pub async fn check(State(web): State<Web>, request: Request, next: Next) -> Response {
    let config = web.config();
    let wants = Wants::of(request.headers());
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).or_else(|| request.uri().host());
    if !host.is_some_and(|host| config.hosts.allow(host)) {
        tracing::warn!(host, path = request.uri().path(), "refused: the portal is asked for by a name that is not its own");
        let problem = Problem::new(ProblemKind::Invalid, "The portal is not known by the name in this address.")
            .next(format!("Open {} instead. Whoever runs the portal can add a name with --allowed-host.", config.public_url));
        let mut response = problem_page::answer(&problem, wants);
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        return response;
    }
    let by_plain_http = request.extensions().get::<Seen>().is_some_and(|seen| seen.by_plain_http);
    if by_plain_http && config.https() {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            let to = format!("{}{}", config.public_url, request.uri().path_and_query().map_or("/", |p| p.as_str()));
            return Redirect::permanent(&to).into_response();
        }
        let problem = Problem::new(
            ProblemKind::Forbidden,
            "This was sent over plain http, where everybody on the way can read it, so nothing was done.",
        )
        .next(format!("Open {} and do it there.", config.public_url));
        return problem_page::answer(&problem, wants);
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_names_are_ours() {
        let hosts = Hosts::new("https://portal.example", &["atelier.internal:8443".into()]).unwrap();
        for ours in ["portal.example", "Portal.Example", "portal.example:443", "atelier.internal:8443"] {
            assert!(hosts.allow(ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "portal.example:8443",
            "portal.example.evil.example",
            "127.0.0.1",
            "localhost:3000",
            "",
            "portal.example@evil.example",
            "evil.example/portal.example",
        ] {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_development_machine_is_known_by_its_loopback_names_only() {
        let hosts = Hosts::new("http://127.0.0.1:3000", &[]).unwrap();
        assert!(hosts.allow("127.0.0.1:3000") && hosts.allow("localhost:3000") && hosts.allow("[::1]:3001"));
        assert!(!hosts.allow("evil.example:3000") && !hosts.allow("127.0.0.1.evil.example:3000"));
    }
}
