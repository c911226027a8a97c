//! Refuses text that no database stores, before any handler sees it: in the address, in forms, and in JSON. What arrives as
//! `multipart/form-data` is checked field by field where it is read.

use crate::http::{BODY_BYTES, problem_page};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{
    problem::{Problem, ProblemKind},
    text,
};

pub async fn refuse_nul(request: Request, next: Next) -> Response {
    let wants = problem_page::Wants::of(request.headers());
    let uri = request.uri();
    let address = text::check_form(uri.query().unwrap_or_default().as_bytes());
    if let Err(problem) = address.and_then(|()| if uri.path().contains("%00") { Err(no_such_address()) } else { Ok(()) }) {
        return problem_page::answer(&problem, wants);
    }
    let content = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let check = match content.split(';').next().unwrap_or_default().trim() {
        "application/x-www-form-urlencoded" => text::check_form,
        "application/json" => text::check_json,
        _ => return next.run(request).await,
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES).await else { return too_large(wants) };
    match check(&body) {
        Ok(()) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(problem) => problem_page::answer(&problem, wants),
    }
}

fn no_such_address() -> Problem {
    Problem::not_found("This page")
}

/// Or broken off, but then nobody reads this.
fn too_large(wants: problem_page::Wants) -> Response {
    let sentence = format!("The form is larger than {} MB, so nothing was done.", BODY_BYTES >> 20);
    let problem = Problem::new(ProblemKind::Invalid, sentence).next("Shorten the longest text in it.");
    (StatusCode::PAYLOAD_TOO_LARGE, problem_page::answer(&problem, wants)).into_response()
}
