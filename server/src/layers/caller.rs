//! Who asks: the session cookie becomes a [`Caller`], once per request, for pages and handlers alike.

use super::request::Seen;
use crate::{
    http::problem_page::{self, Wants},
    signin::{cookies::Session, renewal},
    web::Web,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use domain::problem::{Problem, ProblemKind};
use platform::access::Caller;

/// Nobody, or somebody with a session that lives. In the extensions of every request of the web role.
#[derive(Clone)]
pub struct Signed {
    pub caller: Option<Caller>,
    /// The cookie's value, to look again during a long stream.
    pub secret: Option<String>,
}

/// Looks the session up, and sends people who are not signed in to the login page when they open a page behind it.
pub async fn find(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    if let Some(elsewhere) = other_name(&web, &request) {
        return Redirect::temporary(&elsewhere).into_response();
    }
    let secret = Session::read(request.headers(), web.config().https());
    let mut caller = None;
    if let Some(secret) = &secret {
        let origin = request
            .extensions()
            .get::<Seen>()
            .map(Seen::origin)
            .unwrap_or(platform::access::Origin { request_id: String::new(), from_ip: String::new() });
        match renewal::caller(&web, secret, origin, true).await {
            Ok(found) => caller = found,
            Err(problem) => return problem_page::answer(&problem, Wants::of(request.headers())),
        }
    }
    if caller.is_none() && is_page(&request) && is_behind_the_login(request.uri().path()) {
        let asked = request.uri().path_and_query().map_or("/", |p| p.as_str());
        return Redirect::to(&app::links::login(asked)).into_response();
    }
    request.extensions_mut().insert(Signed { caller, secret });
    next.run(request).await
}

fn is_page(request: &Request) -> bool {
    request.method() == Method::GET && Wants::of(request.headers()) == Wants::Html
}

fn is_behind_the_login(path: &str) -> bool {
    path == "/" || path.starts_with("/t/") || path == "/admin" || path.starts_with("/admin/") || path == "/no-access"
}

/// On a development machine `localhost` and `127.0.0.1` are two sites to a browser, and signing in would lose its cookie between them.
fn other_name(web: &Web, request: &Request) -> Option<String> {
    if web.config().https() || !is_page(request) {
        return None;
    }
    let ours = web.config().public_url.strip_prefix("http://")?;
    let said = request.headers().get(header::HOST)?.to_str().ok()?;
    let (name, port) = said.rsplit_once(':').unwrap_or((said, "80"));
    let same_port = ours.rsplit_once(':').is_some_and(|(_, p)| p == port);
    (said != ours && same_port && matches!(name, "localhost" | "127.0.0.1" | "[::1]"))
        .then(|| format!("{}{}", web.config().public_url, request.uri().path_and_query().map_or("/", |p| p.as_str())))
}

/// A handler that takes this is for people who are signed in.
pub struct SignedIn(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Signed>().and_then(|s| s.caller.clone());
        caller.map(SignedIn).ok_or_else(|| refused(&parts.headers))
    }
}

fn refused(headers: &HeaderMap) -> Response {
    let problem = Problem::new(ProblemKind::Unauthenticated, "You are not signed in.").next("Sign in, then do it again.");
    problem_page::answer(&problem, Wants::of(headers))
}
