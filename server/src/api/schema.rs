//! `/api/v1/schema/{kind}.json`: what editors read to know a document.

use super::{asked::no_such_address, failure};
use crate::documents::Format;
use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};
use domain::resource::{self, Kind};

pub async fn schema(Path(file): Path<String>) -> Response {
    let of = |kind: &&Kind| file.strip_suffix(".json").is_some_and(|name| name == kind.word().to_lowercase());
    match Kind::ALL.iter().find(of) {
        Some(kind) => ([(header::CONTENT_TYPE, "application/schema+json")], resource::schema(*kind).to_string()).into_response(),
        None => failure::answer(&no_such_address(), Format::Json),
    }
}
