//! `GET /auth/login?return_to=`: off to the identity provider.

use super::{Provider, ProviderError, cookies::Attempt, return_to};
use crate::{http::problem_page::Page, web::Web};
use axum::{
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use domain::problem::{Problem, ProblemKind};

#[derive(serde::Deserialize)]
pub struct Asked {
    return_to: Option<String>,
}

pub async fn login(State(web): State<Web>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let return_to = return_to(asked.return_to.as_deref());
    match begin(&web, return_to, &headers).await {
        Ok(response) => response,
        Err(problem) => Page::of(&problem).link(&again(return_to), "Try again").response(),
    }
}

async fn begin(web: &Web, return_to: &str, sent: &HeaderMap) -> Result<Response, Problem> {
    let sign_in = web.sign_in();
    let begun = sign_in.provider.begin().await.map_err(|e| in_words(&sign_in.provider, &e))?;
    let secret = web.platform().sessions().begin_sign_in(begun.state.clone(), begun.nonce, begun.verifier, return_to.to_owned()).await?;
    let mut headers = HeaderMap::new();
    for cookie in Attempt::set(sent, &begun.state, &secret, web.platform().now(), sign_in.https) {
        headers.append(header::SET_COOKIE, cookie);
    }
    Ok((headers, Redirect::to(begun.url.as_str())).into_response())
}

/// The address that begins signing in once more.
pub fn again(return_to: &str) -> String {
    app::links::sign_in(return_to)
}

/// What a person is told; the chain goes into the log.
pub fn in_words(provider: &Provider, e: &ProviderError) -> Problem {
    match e {
        ProviderError::Away { why, .. } => {
            tracing::warn!(issuer = provider.issuer(), why, "the identity provider does not answer");
            let host = openidconnect::url::Url::parse(provider.issuer()).ok().and_then(|u| u.host_str().map(str::to_owned));
            Problem::new(
                ProblemKind::Unavailable,
                format!("The identity provider at {} does not answer, so nobody can sign in now.", host.unwrap_or_default()),
            )
            .next("People who are signed in can keep working; runs, endpoints and API keys are not affected. Try again in a moment.")
        }
        ProviderError::Refused(why) => {
            tracing::warn!(issuer = provider.issuer(), why, "what the identity provider sent was refused");
            Problem::new(ProblemKind::Unauthenticated, "The identity provider's answer could not be trusted, so you were not signed in.")
                .next("Start again. If it stays, the clocks, the client id or the secret may be wrong; the log of the portal says which.")
        }
    }
}
