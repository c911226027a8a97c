//! What went wrong, as a program reads it: one form for everything below `/api/`.

use super::format;
use crate::documents::Format;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use domain::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The HTTP status of the answer.
    pub status: u16,
    /// `not_found`, `forbidden`, `unauthenticated`, `invalid`, `conflict`, `quota_exceeded`, `unavailable`, `internal`.
    pub code: ProblemKind,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do now; empty where nothing can be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next_step: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldFailure>,
    /// For whoever runs the portal, of `internal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One field of a document that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldFailure {
    /// Its place: `spec.quota.endpoints`.
    pub field: String,
    pub message: String,
    /// A value that would be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Failure {
    pub fn of(status: StatusCode, problem: &Problem) -> Self {
        let field = |f: &domain::problem::FieldProblem| FieldFailure {
            field: f.field.clone(),
            message: f.sentence.clone(),
            suggestion: f.suggestion.clone(),
        };
        Self {
            status: status.as_u16(),
            code: problem.kind,
            message: problem.sentence.clone(),
            next_step: problem.next_step.clone(),
            fields: problem.fields.iter().map(field).collect(),
            request_id: problem.request_id.clone(),
        }
    }
}

/// With the headers that clients expect beside it.
pub fn answer(problem: &Problem, as_: Format) -> Response {
    answer_with(StatusCode::from_u16(problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), problem, as_)
}

/// The same with another status than the problem's own.
pub fn answer_with(status: StatusCode, problem: &Problem, as_: Format) -> Response {
    let mut response = format::answer(status, as_, &Failure::of(status, problem));
    match problem.kind {
        ProblemKind::Unavailable => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(app::api::RETRY_AFTER));
        }
        ProblemKind::Unauthenticated => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}
