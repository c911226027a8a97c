//! `POST /auth/logout`: ends our own session first, then the one at the provider.

use super::cookies::Session;
use crate::{http::problem_page::Page, layers::request::Seen, web::Web};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};

pub async fn logout(State(web): State<Web>, Extension(seen): Extension<Seen>, headers: HeaderMap) -> Response {
    let sign_in = web.sign_in();
    let mut id_token = None;
    if let Some(secret) = Session::read(&headers, sign_in.https) {
        match web.platform().sessions().sign_out(&secret, &seen.origin()).await {
            Ok(ended) => id_token = ended.and_then(|e| e.id_token),
            // The cookie stays: a session that could not be ended must not look ended.
            Err(problem) => return Page::of(&problem).link("/", "Back").response(),
        }
    }
    let mut out = HeaderMap::new();
    out.extend(Session::clear(sign_in.https).map(|c| (header::SET_COOKIE, c)));
    let to = match id_token {
        Some(token) => sign_in.provider.sign_out_url(Some(&token)).await,
        None => None,
    };
    (out, Redirect::to(&to.unwrap_or_else(|| app::links::login("")))).into_response()
}
