//! `GET /auth/callback`: back from the identity provider. Everything is checked before anything is believed.

use super::{cookies::Cookie, login};
use crate::{http::problem_page::Page, layers::request::Seen, web::Web};
use axum::{
    Extension,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use domain::problem::{Problem, ProblemKind};

#[derive(serde::Deserialize)]
pub struct Answer {
    code: Option<String>,
    state: Option<String>,
    /// Issuer (RFC 9207): when it is said, it must be ours.
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

pub async fn callback(
    State(web): State<Web>,
    Extension(seen): Extension<Seen>,
    Query(answer): Query<Answer>,
    headers: HeaderMap,
) -> Response {
    let https = web.sign_in().https;
    let mut out = HeaderMap::new();
    // Used or refused, the one-time cookie is gone.
    out.extend(Cookie::SignIn.clear(https).map(|c| (header::SET_COOKIE, c)));
    match finish(&web, &seen, answer, &headers).await {
        Ok((secret, return_to)) => {
            let old = Cookie::Session.read(&headers, https);
            if let Some(old) = old
                && let Err(e) = web.platform().sessions().sign_out(&old, &seen.origin()).await
            {
                tracing::warn!(%e, "the session before could not be ended");
            }
            if let Some(cookie) = Cookie::Session.set(&secret, https) {
                out.append(header::SET_COOKIE, cookie);
            }
            (out, Redirect::to(&return_to)).into_response()
        }
        Err((problem, return_to)) => {
            let page = Page::of(&problem).link(&login::again(&return_to), "Sign in again").response();
            (out, page).into_response()
        }
    }
}

async fn finish(web: &Web, seen: &Seen, answer: Answer, headers: &HeaderMap) -> Result<(String, String), (Problem, String)> {
    let sign_in = web.sign_in();
    let stale = || {
        Problem::new(
            ProblemKind::Unauthenticated,
            "This sign-in is no longer open: it was used already, took longer than ten minutes, or began in another tab or browser.",
        )
        .next("Begin once more; it takes a moment.")
    };
    let home = || "/".to_owned();
    let secret = Cookie::SignIn.read(headers, sign_in.https).ok_or_else(|| (stale(), home()))?;
    let begun = web.platform().sessions().take_sign_in(&secret).await.map_err(|p| (p, home()))?.ok_or_else(|| (stale(), home()))?;
    let back = super::return_to(Some(&begun.return_to)).to_owned();
    if answer.state.as_deref() != Some(begun.state.as_str()) {
        return Err((stale(), back));
    }
    if answer.iss.as_deref().is_some_and(|iss| iss != sign_in.provider.issuer()) {
        let problem =
            Problem::new(ProblemKind::Unauthenticated, "The answer came from another identity provider than the one that was asked.")
                .next("Begin once more.");
        return Err((problem, back));
    }
    if let Some(error) = &answer.error {
        return Err((refused_there(error, answer.error_description.as_deref()), back));
    }
    let code = answer.code.ok_or_else(|| (stale(), back.clone()))?;
    let vouched = sign_in
        .provider
        .finish(code, begun.nonce, begun.verifier)
        .await
        .map_err(|e| (login::in_words(&sign_in.provider, &e), back.clone()))?;
    let secret = web.platform().sessions().sign_in(sign_in.profile(vouched), &seen.origin()).await.map_err(|p| (p, back.clone()))?;
    Ok((secret, back))
}

/// The provider said no, in OAuth's words; people get ours.
fn refused_there(error: &str, description: Option<&str>) -> Problem {
    tracing::info!(error, description, "the identity provider refused a sign-in");
    let (sentence, next) = match error {
        "access_denied" => (
            "The identity provider did not let you in, or you chose to cancel.",
            "If you should have access, ask whoever manages accounts there.",
        ),
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            ("The identity provider wants you to sign in there first.", "Begin once more and answer its questions.")
        }
        "temporarily_unavailable" | "server_error" => ("The identity provider has trouble now.", "Try again in a moment."),
        _ => (
            "The identity provider refused this sign-in.",
            "The portal's client may be set up wrongly there; tell whoever runs the platform.",
        ),
    };
    Problem::new(ProblemKind::Unauthenticated, sentence).next(next)
}
