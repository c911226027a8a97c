//! `POST /auth/backchannel-logout`: the identity provider ends sessions (OpenID Connect Back-Channel Logout 1.0). It comes from the
//! provider's server and not from a browser: no cookie is read, and nothing but the signature of the token in it is believed.

use super::logout_token;
use crate::{layers::request::Seen, web::Web};
use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::time::{SECOND, Timestamp};
use openidconnect::url::form_urlencoded;
use platform::sessions::ProviderLogout;

pub async fn backchannel_logout(State(web): State<Web>, Extension(seen): Extension<Seen>, body: String) -> Response {
    match end_sessions(&web, &seen, &body).await {
        Ok(sessions) => {
            tracing::info!(sessions, "the identity provider ended sessions");
            answer(StatusCode::OK, None)
        }
        Err(refused) => {
            tracing::warn!(why = refused, "a logout of the identity provider was refused");
            answer(StatusCode::BAD_REQUEST, Some(refused))
        }
    }
}

/// As the specification has it (2.8): 200, or 400 for whatever went wrong, and kept by nobody on the way.
fn answer(status: StatusCode, refused: Option<String>) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    match refused {
        None => (status, headers).into_response(),
        Some(why) => (status, headers, Json(serde_json::json!({ "error": "invalid_request", "error_description": why }))).into_response(),
    }
}

/// How many were ended; an error is for whoever runs the provider.
async fn end_sessions(web: &Web, seen: &Seen, body: &str) -> Result<usize, String> {
    let mut tokens = form_urlencoded::parse(body.as_bytes()).filter(|(name, _)| name == "logout_token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return Err("the form must hold logout_token, once".into());
    };
    let sign_in = web.sign_in();
    let believed = sign_in.provider.believe(&token).await.map_err(|e| e.to_string())?;
    let now = web.platform().now().0 / SECOND;
    let token = logout_token::check(&believed, sign_in.provider.issuer(), sign_in.provider.client_id(), now)?;
    let logout = ProviderLogout {
        issuer: sign_in.people_of.clone(),
        subject: token.subject,
        session: token.session,
        token: token.id,
        expires_at: Timestamp(token.expires * SECOND),
    };
    match web.platform().sessions().provider_logout(&logout, &seen.origin()).await {
        Ok(Some(sessions)) => Ok(sessions),
        Ok(None) => Err("it was used before (jti)".into()),
        Err(problem) => {
            tracing::error!(%problem, "sessions could not be ended");
            Err("the portal cannot end sessions now; try again".into())
        }
    }
}
