//! Refuses text that no database stores, before any handler sees it: in the address, in forms, and in JSON. What arrives as
//! `multipart/form-data` is checked field by field where it is read.

use crate::{http::problem_page, listener::BrokenOff};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use domain::{
    causes::causes,
    problem::{Problem, ProblemKind},
    text,
};

pub async fn refuse_nul(request: Request, next: Next) -> Response {
    let wants = problem_page::Wants::of_request(&request);
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
    // `layers::body` around this one ends it at its limit.
    let body = match to_bytes(body, usize::MAX).await {
        Ok(body) => body,
        Err(e) => return broken_off(&e, wants),
    };
    match check(&body) {
        Ok(()) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(problem) => problem_page::answer(&problem, wants),
    }
}

fn no_such_address() -> Problem {
    Problem::not_found("This page")
}

/// A body that fell silent; or one that is too large, which `layers::body` around this one says in its own words.
fn broken_off(error: &(dyn std::error::Error + 'static), wants: problem_page::Wants) -> Response {
    let silent =
        causes(error).filter_map(|e| e.downcast_ref()).find_map(|e| if let BrokenOff::Silent(limit) = e { Some(*limit) } else { None });
    let Some(limit) = silent else {
        let problem = Problem::new(ProblemKind::Invalid, "The request was interrupted, so nothing was done.").next("Send it again.");
        return problem_page::answer(&problem, wants);
    };
    let sentence = format!("No more of the request arrived for {} s, so nothing was done.", limit.as_secs_f32());
    let problem = Problem::new(ProblemKind::Invalid, sentence).next("Check the connection and send it again.");
    problem_page::answer_with(StatusCode::REQUEST_TIMEOUT, &problem, wants)
}
