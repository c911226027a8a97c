//! `POST /t/{tenant}/keys-new`: the form for a key, sent with scripts off. The page itself answers, with the secret in its body:
//! a redirect would have to carry it in an address.

use super::{pages, problem_page};
use crate::{layers::caller::SignedIn, web::Web};
use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{Request, request::Parts},
    response::Response,
};
use openidconnect::url::form_urlencoded;

pub async fn key_form(
    State(web): State<Web>,
    SignedIn(caller): SignedIn,
    Path(tenant): Path<String>,
    parts: Parts,
    body: Bytes,
) -> Response {
    let pairs = form_urlencoded::parse(&body).into_owned().collect();
    let posted = app::api::keys::posted(web.platform(), &caller, &tenant, pairs).await;
    let refused = posted.answer.as_ref().err().map(|app::api::AppError(problem)| problem_page::status(problem.kind));
    let mut response = pages::page_with(&web, Request::from_parts(parts, Body::empty()), posted).await;
    if let Some(status) = refused {
        *response.status_mut() = status;
    }
    response
}
