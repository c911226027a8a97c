//! Under which names pages are given out. A name that is not ours is refused: another site's name that leads here (DNS rebinding) would
//! make a browser take our pages for that site's, and what we write into answers would carry that name.

use super::request::Seen;
use crate::{
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

pub async fn check(State(web): State<Web>, request: Request, next: Next) -> Response {
    let config = web.config();
    let wants = Wants::of_request(&request);
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).or_else(|| request.uri().host());
    if !host.is_some_and(|host| config.hosts.allow(host)) {
        tracing::warn!(host, path = request.uri().path(), "refused: the portal is asked for by a name that is not its own");
        let problem = Problem::new(ProblemKind::Invalid, "The portal is not known by the name in this address.")
            .next(format!("Open {} instead. Whoever runs the portal can add a name with --allowed-host.", config.public_url));
        return problem_page::answer_with(StatusCode::MISDIRECTED_REQUEST, &problem, wants);
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
