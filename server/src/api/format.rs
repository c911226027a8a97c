//! JSON or YAML: as `Accept` asks, and as `Content-Type` says.

use crate::documents::Format;
use axum::{
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::problem::{Problem, ProblemKind};
use serde::Serialize;

/// The first of both that the asker takes; JSON for everybody else.
pub fn asked(headers: &HeaderMap) -> Format {
    named(headers, header::ACCEPT).find_map(|name| known(&name)).unwrap_or(Format::Json)
}

/// What was sent; YAML where nothing is said, because JSON can nearly always be read as YAML.
pub fn sent(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(name) = named(headers, header::CONTENT_TYPE).next() else { return Ok(Format::Yaml) };
    known(&name).ok_or_else(|| {
        let name: String = name.chars().take(60).collect();
        Problem::new(ProblemKind::Invalid, format!("A document is sent as application/yaml or application/json, not as {name}."))
            .next("Set the header Content-Type.")
    })
}

fn named(headers: &HeaderMap, header: HeaderName) -> impl Iterator<Item = String> {
    let lines = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|name| name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn known(name: &str) -> Option<Format> {
    match name {
        "application/json" => Some(Format::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" | "application/vnd.yaml" => Some(Format::Yaml),
        _ => None,
    }
}

pub fn answer(status: StatusCode, format: Format, value: &impl Serialize) -> Response {
    match format.write(value) {
        Ok(text) => (status, [(header::CONTENT_TYPE, format.media_type()), (header::VARY, "accept")], text).into_response(),
        Err(why) => {
            tracing::error!(why, "an answer of the API cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn whoever_takes_yaml_first_gets_yaml() {
        for (accept, format) in [
            ("application/yaml", Format::Yaml),
            ("text/html, application/x-yaml;q=0.9, */*", Format::Yaml),
            ("application/json, application/yaml", Format::Json),
            ("*/*", Format::Json),
            ("", Format::Json),
        ] {
            assert_eq!(asked(&with(header::ACCEPT, accept)), format, "{accept}");
        }
        assert_eq!(asked(&HeaderMap::new()), Format::Json);
    }

    #[test]
    fn what_is_sent_must_be_one_of_both() {
        assert_eq!(sent(&with(header::CONTENT_TYPE, "application/JSON; charset=utf-8")).unwrap(), Format::Json);
        assert_eq!(sent(&HeaderMap::new()).unwrap(), Format::Yaml);
        assert!(sent(&with(header::CONTENT_TYPE, "application/x-www-form-urlencoded")).unwrap_err().sentence.contains("yaml"));
    }
}
