//! `GET /auth/callback`: back from the identity provider. Everything is checked before anything is believed.

use super::{
    cookies::{Attempt, Session},
    login,
};
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
    /// Issuer (RFC 9207): when it is said, or promised, it must be ours.
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
    let done = match answer.state.clone() {
        Some(state) => {
            let done = finish(&web, &seen, answer, &state, &headers).await;
            // Its one-time cookie goes with the sign-in; an answer that fits none leaves those under way alone.
            if done.as_ref().err().is_none_or(|refused| refused.used) {
                out.extend(Attempt::clear(&state, https).map(|c| (header::SET_COOKIE, c)));
            }
            done
        }
        None => Err(Refused::unknown()),
    };
    match done {
        Ok((secret, return_to)) => {
            let old = Session::read(&headers, https);
            if let Some(old) = old
                && let Err(e) = web.platform().sessions().sign_out(&old, &seen.origin()).await
            {
                tracing::warn!(%e, "the session before could not be ended");
            }
            if let Some(cookie) = Session::set(&secret, https) {
                out.append(header::SET_COOKIE, cookie);
            }
            (out, Redirect::to(&return_to)).into_response()
        }
        Err(Refused { problem, return_to, .. }) => {
            let page = Page::of(&problem).link(&login::again(&return_to), "Sign in again").response();
            (out, page).into_response()
        }
    }
}

/// Why nobody was signed in.
struct Refused {
    problem: Problem,
    return_to: String,
    /// The sign-in is used up: this answer was the one that it waited for.
    used: bool,
}

impl Refused {
    /// No sign-in waits for this answer in this browser.
    fn unknown() -> Self {
        let problem = Problem::new(
            ProblemKind::Unauthenticated,
            "This sign-in is no longer open: it was used already, took longer than ten minutes, or began in another browser.",
        )
        .next("Start again; it takes a moment.");
        Self { problem, return_to: "/".into(), used: false }
    }
}

async fn finish(web: &Web, seen: &Seen, answer: Answer, state: &str, headers: &HeaderMap) -> Result<(String, String), Refused> {
    let sign_in = web.sign_in();
    let sessions = web.platform().sessions();
    let failed = |problem| Refused { problem, ..Refused::unknown() };
    let secret = Attempt::read(headers, state, sign_in.https).ok_or_else(Refused::unknown)?;
    // Looked at before it is used up: an answer that does not belong to it must not end it.
    let waiting = sessions.sign_in_under_way(&secret, state).await.map_err(failed)?.ok_or_else(Refused::unknown)?;
    let return_to = super::return_to(Some(&waiting.return_to)).to_owned();
    let refused = |problem, used| Refused { problem, return_to: return_to.clone(), used };
    let ours = sign_in.provider.is_answer_of(answer.iss.as_deref()).await;
    if !ours.map_err(|e| refused(login::in_words(&sign_in.provider, &e), false))? {
        tracing::warn!(iss = answer.iss, "an answer to a sign-in does not name the identity provider that was asked");
        let problem =
            Problem::new(ProblemKind::Unauthenticated, "The answer came from another identity provider than the one that was asked.")
                .next("Start again.");
        return Err(refused(problem, false));
    }
    let begun = sessions.take_sign_in(&secret, state).await.map_err(failed)?.ok_or_else(Refused::unknown)?;
    if let Some(error) = &answer.error {
        return Err(refused(refused_there(error, answer.error_description.as_deref()), true));
    }
    let code = answer.code.ok_or_else(|| refused(Refused::unknown().problem, true))?;
    let vouched = sign_in
        .provider
        .finish(code, begun.nonce, begun.verifier)
        .await
        .map_err(|e| refused(login::in_words(&sign_in.provider, &e), true))?;
    let secret = sessions.sign_in(sign_in.profile(vouched), &seen.origin()).await.map_err(|problem| refused(problem, true))?;
    Ok((secret, return_to))
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
            ("The identity provider wants you to sign in there first.", "Start again and answer its questions.")
        }
        "temporarily_unavailable" | "server_error" => ("The identity provider has trouble now.", "Try again in a moment."),
        _ => (
            "The identity provider refused this sign-in.",
            "The portal's client may be set up wrongly there; tell whoever runs the platform.",
        ),
    };
    Problem::new(ProblemKind::Unauthenticated, sentence).next(next)
}
