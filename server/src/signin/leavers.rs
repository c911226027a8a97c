//! Asks Keycloak every few seconds about everybody who has a session or keys: who was disabled or has left a group is out within a minute,
//! also where nobody signs in. Replicas share the people among them.

use super::keycloak::{AdminApi, Presence};
use crate::web::Web;
use domain::time::SECOND;
use futures::StreamExt;
use platform::leavers::{BATCH, RolesNow, ToAsk};
use std::{sync::Arc, time::Duration};

/// How often it is looked whether somebody's turn has come.
const LOOK: Duration = Duration::from_secs(3);
/// Questions under way at a time.
const AT_A_TIME: usize = 8;
/// After a question that came to nothing.
const AGAIN: Duration = Duration::from_secs(10);

/// Until the program stops. `every`: between two questions about one person.
pub async fn watch(web: Web, keycloak: Arc<AdminApi>, every: Duration) {
    loop {
        let wait = match round(&web, &keycloak, every).await {
            // There may be more of them.
            Ok(asked) if asked == BATCH as usize => Duration::ZERO,
            Ok(_) => LOOK.min(every),
            Err(()) => AGAIN,
        };
        tokio::time::sleep(wait).await;
    }
}

/// How many were asked about; an error has been told.
async fn round(web: &Web, keycloak: &Arc<AdminApi>, every: Duration) -> Result<usize, ()> {
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX / SECOND) * SECOND;
    let people = web.platform().people_to_ask_about(&web.sign_in().people_of, every).await.map_err(|problem| {
        tracing::warn!(%problem, "it cannot be read now whom to ask about");
    })?;
    let asked = people.len();
    let all = futures::stream::iter(people).map(|who| ask(web, keycloak, who)).buffer_unordered(AT_A_TIME);
    let ended: Vec<bool> = all.collect().await;
    if ended.iter().all(|good| *good) { Ok(asked) } else { Err(()) }
}

/// False when nothing was found out; it has been told then.
async fn ask(web: &Web, keycloak: &AdminApi, who: ToAsk) -> bool {
    let done = match keycloak.presence(&who.subject).await {
        Ok(Presence::Gone) => {
            tracing::info!(person = %who.person, "Keycloak has disabled somebody, or has them no more");
            web.platform().has_left(&who).await
        }
        Ok(Presence::InGroups(groups)) => {
            let rights = web.sign_in().groups.rights(&groups);
            let roles = RolesNow { groups, platform_role: rights.platform_role, memberships: rights.memberships };
            web.platform().is_still_there(&who, roles).await.map(drop)
        }
        Err(unknown) => {
            tracing::warn!("who has left cannot be asked: {unknown}");
            return false;
        }
    };
    if let Err(problem) = done {
        tracing::warn!(person = %who.person, %problem, "what Keycloak says of somebody could not be written down");
        return false;
    }
    true
}
