//! One request to the API: who asks, in which form the answer is wanted, and the few ways to answer.

use super::{failure, format};
use crate::{
    documents::{self, Format},
    layers::{caller::Signed, request::Seen},
    web::Web,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts},
    response::Response,
};
use domain::{
    name::Name,
    page::{Cursor, Page},
    problem::{Problem, ProblemKind},
    resource::{Document, List, Spec},
};
use platform::{
    Platform,
    access::{Caller, PlatformScope, Scope},
    put::{Outcome, Put},
};

/// What was done: `created`, `changed` or `unchanged`.
pub const OUTCOME: HeaderName = HeaderName::from_static("atelier-outcome");

pub struct Asked {
    web: Web,
    caller: Caller,
    headers: HeaderMap,
    format: Format,
    request_id: Option<String>,
}

impl FromRequestParts<Web> for Asked {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let format = format::asked(&parts.headers);
        let caller = parts.extensions.get::<Signed>().and_then(|signed| signed.caller.clone());
        let nobody = || failure::answer(&Problem::new(ProblemKind::Unauthenticated, "No access token was sent."), format);
        let caller = caller.ok_or_else(nobody)?;
        let request_id = parts.extensions.get::<Seen>().map(|seen| seen.request_id.clone());
        Ok(Self { web: web.clone(), caller, headers: parts.headers.clone(), format, request_id })
    }
}

impl Asked {
    pub fn platform(&self) -> &Platform {
        self.web.platform()
    }

    pub async fn scope(&self, tenant: &str) -> Result<Scope, Problem> {
        self.caller.scope(self.platform(), tenant).await
    }

    /// For everybody but the platform's admin and auditor there is nothing at this address.
    pub fn platform_scope(&self) -> Result<PlatformScope, Problem> {
        self.caller.platform_scope().map_err(|_| no_such_address())
    }

    /// The document that was sent to this address. A body that says another name or tenant than the address is a mistake.
    pub fn read<S: Spec>(&self, body: &[u8], tenant: Option<&str>, name: &str) -> Result<(Name, S), Problem> {
        let (found, spec) = self.read_any(body, tenant)?;
        if found.as_str() != name {
            let sentence = format!("The document is of “{found}”, and was sent to the address of “{}”.", short(name));
            return Err(Problem::field("metadata.name", sentence).next("Nothing was changed. Send it to the address of its own name."));
        }
        Ok((found, spec))
    }

    /// The same where the address names nothing.
    pub fn read_any<S: Spec>(&self, body: &[u8], tenant: Option<&str>) -> Result<(Name, S), Problem> {
        let format = format::sent(&self.headers)?;
        let invalid = |sentence: String| Problem::new(ProblemKind::Invalid, sentence);
        let text = std::str::from_utf8(body).map_err(|_| invalid("The document is no text in UTF-8.".into()))?;
        let document: Document<S> = documents::read(format, text).map_err(|why| {
            invalid(format!("The document cannot be taken. {why}")).next("GET of something that is there shows how one looks.")
        })?;
        if let Some(said) = document.metadata.tenant.as_ref().map(Name::as_str)
            && tenant != Some(said)
        {
            let sentence = match tenant {
                Some(tenant) => format!("The document belongs to the tenant “{said}”, and was sent to “{}”.", short(tenant)),
                None => "A tenant belongs to no tenant.".to_owned(),
            };
            return Err(Problem::field("metadata.tenant", sentence).next("Nothing was changed."));
        }
        Ok((document.metadata.name, document.spec))
    }

    pub fn failed(&self, problem: Problem) -> Response {
        let request_id = self.request_id.clone().filter(|_| problem.kind == ProblemKind::Internal);
        failure::answer(&Problem { request_id, ..problem }, self.format)
    }

    pub fn document<S: Spec>(&self, found: Result<Document<S>, Problem>) -> Response {
        found.map_or_else(|problem| self.failed(problem), |document| format::answer(StatusCode::OK, self.format, &document))
    }

    pub fn list<S: Spec>(&self, found: Result<Page<Document<S>>, Problem>) -> Response {
        found.map_or_else(|problem| self.failed(problem), |page| format::answer(StatusCode::OK, self.format, &List::of(page)))
    }

    pub fn put<S: Spec>(&self, done: Result<Put<S>, Problem>) -> Response {
        let Put { outcome, document } = match done {
            Ok(put) => put,
            Err(problem) => return self.failed(problem),
        };
        let status = if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = format::answer(status, self.format, &document);
        response.headers_mut().insert(OUTCOME, HeaderValue::from_static(outcome.word()));
        response
    }
}

/// Where a page of a list begins.
#[derive(serde::Deserialize)]
pub struct From {
    #[serde(rename = "continue", default)]
    after: String,
}

impl From {
    pub fn cursor(self) -> Cursor {
        Cursor::from_text(self.after)
    }
}

pub fn no_such_address() -> Problem {
    Problem::not_found("This address").next("Look for it in the documentation of the API.")
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
