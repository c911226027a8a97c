//! A session stays confirmed by itself: where the provider gave a refresh token it is asked every few minutes whether the person may
//! still come in, beside the person's own requests. Who was disabled there is out; a provider that is silent puts nobody out.

use super::provider::RenewError;
use crate::web::Web;
use domain::{confirmation::Confirmation, ids::SessionId, problem::Problem};
use platform::{
    access::{Caller, Origin},
    sessions::{Found, Renewed},
};
use std::time::Duration;

/// How long a request waits for the provider when the last confirmation is too old.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether another replica has the answer.
const LOOK: Duration = Duration::from_millis(100);

/// Who holds this cookie now. `used`: see [`platform::sessions::Sessions::find`].
pub async fn caller(web: &Web, secret: &str, origin: Origin, used: bool) -> Result<Option<Caller>, Problem> {
    let Some(found) = web.platform().sessions().find(secret, origin.clone(), used).await? else { return Ok(None) };
    let Some(session) = found.caller.session else { return Ok(Some(found.caller)) };
    match found.confirmation {
        Confirmation::Fresh => return Ok(Some(found.caller)),
        Confirmation::Due => {
            if !found.being_renewed {
                tokio::spawn(renew(web.clone(), session));
            }
            return Ok(Some(found.caller));
        }
        Confirmation::Overdue => {}
    }
    // In a task of its own: it comes to its end even when this request is broken off or does not wait so long, because a provider may
    // give a new refresh token that must not be lost.
    let asked = tokio::spawn(renew(web.clone(), session));
    let settled = async {
        let _ = asked.await;
        loop {
            match web.platform().sessions().find(secret, origin.clone(), used).await? {
                Some(Found { being_renewed: true, .. }) => tokio::time::sleep(LOOK).await,
                settled => return Ok::<_, Problem>(settled.map(|f| f.caller)),
            }
        }
    };
    match tokio::time::timeout(WAIT, settled).await {
        Ok(settled) => settled,
        Err(_) => {
            tracing::warn!(%session, "the identity provider did not confirm a session in time; it goes on");
            Ok(Some(found.caller))
        }
    }
}

/// Asks the provider, if nobody else does, and writes down what came of it.
async fn renew(web: Web, session: SessionId) {
    if let Err(problem) = try_to_renew(&web, session).await {
        tracing::warn!(%session, %problem, "a session could not be confirmed");
    }
}

async fn try_to_renew(web: &Web, session: SessionId) -> Result<(), Problem> {
    let (sessions, sign_in) = (web.platform().sessions(), web.sign_in());
    let Some(renewal) = sessions.begin_renewal(session).await? else { return Ok(()) };
    match sign_in.provider.renew(&renewal.refresh_token, &renewal.subject).await {
        Ok(again) => {
            // A token that is refreshed may say less than the first one: without the claim nothing was said of groups, and they stay.
            let told = again.vouched.filter(|vouched| sign_in.groups.are_told(&vouched.claims));
            let profile = told.map(|vouched| sign_in.profile(vouched));
            sessions.renewed(renewal, Renewed { refresh_token: again.refresh_token, profile }).await
        }
        Err(RenewError::Refused(why)) => {
            tracing::info!(%session, why, "the identity provider ended a session");
            sessions.renewal_refused(renewal).await
        }
        Err(RenewError::Away(why)) => {
            tracing::warn!(%session, why, "the identity provider could not be asked about a session");
            sessions.renewal_put_off(renewal).await
        }
    }
}
