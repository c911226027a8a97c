//! A problem as an answer: a page that a person can read without scripts, or JSON for whoever asked for that.

use crate::{
    api::{failure, format},
    documents::Format,
};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use domain::problem::{Problem, ProblemKind};

/// What the asker can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    Html,
    Json,
    /// Below `/api/`.
    Api(Format),
}

impl Wants {
    /// Where the whole request is at hand: the API answers in its own form.
    pub fn of_request(request: &Request) -> Self {
        let headers = request.headers();
        if request.uri().path().starts_with("/api/") { Self::Api(format::asked(headers)) } else { Self::of(headers) }
    }

    pub fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
        if accept.contains("text/html") { Self::Html } else { Self::Json }
    }
}

pub fn status(kind: ProblemKind) -> StatusCode {
    StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Whoever meets a part that does not answer is told when to come back.
fn may_try_again(kind: ProblemKind, mut response: Response) -> Response {
    if kind == ProblemKind::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(app::api::RETRY_AFTER));
    }
    response
}

/// With another status than the problem's own.
pub fn answer_with(status: StatusCode, problem: &Problem, wants: Wants) -> Response {
    let mut response = match wants {
        Wants::Api(format) => failure::answer_with(status, problem, format),
        wants => answer(problem, wants),
    };
    *response.status_mut() = status;
    response
}

pub fn answer(problem: &Problem, wants: Wants) -> Response {
    match wants {
        Wants::Api(format) => failure::answer(problem, format),
        Wants::Json => may_try_again(problem.kind, (status(problem.kind), axum::Json(problem)).into_response()),
        Wants::Html if problem.kind == ProblemKind::Unauthenticated => Page::of(problem).link(&app::links::login(""), "Sign in").response(),
        Wants::Html => Page::of(problem).link("/", "Go to the start").response(),
    }
}

/// The page of a problem, with the ways on.
pub struct Page<'a> {
    problem: &'a Problem,
    links: Vec<(String, String)>,
}

impl<'a> Page<'a> {
    pub fn of(problem: &'a Problem) -> Self {
        Self { problem, links: Vec::new() }
    }

    /// `to` is an address of ours.
    pub fn link(mut self, to: &str, words: &str) -> Self {
        self.links.push((to.to_owned(), words.to_owned()));
        self
    }

    pub fn response(&self) -> Response {
        let p = self.problem;
        let mut more = String::new();
        if p.fields.len() > 1 {
            let items: String = p
                .fields
                .iter()
                .map(|f| format!("<li><b>{}</b>: {}{}</li>", escape(&f.field), escape(&f.sentence), suggestion(f.suggestion.as_deref())))
                .collect();
            more.push_str(&format!("<ul>{items}</ul>"));
        } else if let Some(one) = p.fields.first().and_then(|f| f.suggestion.as_deref()) {
            more.push_str(&format!("<p>{}</p>", suggestion(Some(one))));
        }
        if let Some(id) = &p.request_id {
            more.push_str(&format!("<p class=\"small mono\">{}</p>", escape(id)));
        }
        let links: String = self
            .links
            .iter()
            .enumerate()
            .map(|(i, (to, words))| {
                format!("<a class=\"{}\" href=\"{}\">{}</a> ", if i == 0 { "btn primary" } else { "btn" }, escape(to), escape(words))
            })
            .collect();
        let body = format!(
            "<h1>{}</h1><div class=\"reason danger\" role=\"alert\"><div><p>{}</p><p>{}</p>{more}</div></div><p class=\"row\">{links}</p>",
            heading(p.kind),
            escape(&p.sentence),
            escape(&p.next_step)
        );
        may_try_again(p.kind, (status(p.kind), document(heading(p.kind), &body)).into_response())
    }
}

/// A whole small page in the portal's style, without scripts. `body` is HTML.
pub fn document(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{} · Atelier</title><link rel=\"icon\" type=\"image/svg+xml\" href=\"/pkg/icon.svg\">\
         <link rel=\"stylesheet\" href=\"/pkg/atelier.css\"></head><body><div class=\"standalone\"><main><p class=\"mark\">Atelier</p>{body}</main></div></body></html>",
        escape(title)
    ))
}

fn heading(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::NotFound => "Page not found, or you don’t have access",
        ProblemKind::Forbidden => "This is not allowed",
        ProblemKind::Unauthenticated => "You are not signed in",
        ProblemKind::Invalid => "Something needs a change",
        ProblemKind::Conflict => "This cannot be done now",
        ProblemKind::QuotaExceeded => "A limit is reached",
        ProblemKind::Unavailable => "A part does not answer",
        ProblemKind::Internal => "This could not be done",
    }
}

fn suggestion(value: Option<&str>) -> String {
    value.map(|v| format!(" For example <span class=\"mono\">{}</span>.", escape(v))).unwrap_or_default()
}

/// Text for HTML, also inside of attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_people_typed_stays_text() {
        let problem = Problem::field("name", "“<script>x</script>” is not a name.").next("Use \"a-z\".");
        let response = Page::of(&problem).link("/t/a?b=1&c=\"", "Back").response();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
        assert!(text.contains("href=\"/t/a?b=1&amp;c=&quot;\""), "{text}");
    }
}
