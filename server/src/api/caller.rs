//! Who asks the API: only an access token of the identity provider says so. Cookies are not looked at, so no page of another site can ask
//! in somebody's name.

use super::{failure, format};
use crate::{
    layers::{caller::Signed, request::Seen},
    signin::token_people::{NotTaken, token},
    web::Web,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use domain::{
    key,
    problem::{Problem, ProblemKind},
};
use platform::access::{Caller, Origin};

pub async fn find(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<Seen>().map(Seen::origin).unwrap_or_default();
    match who(&web, request.headers(), origin).await {
        Ok(caller) => {
            request.extensions_mut().insert(Signed { caller: Some(caller), secret: None });
            next.run(request).await
        }
        Err(problem) => failure::answer(&problem, format::asked(request.headers())),
    }
}

async fn who(web: &Web, headers: &HeaderMap, origin: Origin) -> Result<Caller, Problem> {
    let refused = |sentence: String| Problem::new(ProblemKind::Unauthenticated, sentence);
    let Some(token) = token(headers) else {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sentence = match sent {
            "" => "No access token was sent.",
            key if key.contains(key::PREFIX) => "An API key calls models, and nothing else.",
            _ => "What was sent is no access token.",
        };
        return Err(refused(sentence.into()).next("Send one of the identity provider's as the header “Authorization: Bearer …”."));
    };
    let not_taken = |why: String| refused(format!("The access token is not taken: {why}.")).next("Get a new one.");
    let known = web.tokens().whose(token).await.map_err(|e| match e {
        NotTaken::Refused(why) => not_taken(why),
        NotTaken::Away(why) => {
            tracing::warn!(why, "an access token cannot be checked now");
            let sentence = "Access tokens cannot be checked now: the identity provider or the database does not answer.";
            Problem::new(ProblemKind::Unavailable, sentence).next("Try again in a moment.")
        }
    })?;
    let caller = web.platform().caller_by_token(&known.whose, known.issued, origin).await?;
    caller.ok_or_else(|| not_taken("the sessions of its person were ended after it was issued".into()))
}
