//! The identity provider ends a session (back-channel logout): what came from it here ends at once, on every replica.

use super::{Sessions, entry, hashed};
use crate::{
    access::{Actor, Origin},
    change::{Change, Unaudited},
    problem::Doing,
};
use domain::{
    audit::{Detail, SessionEnd},
    problem::Problem,
    time::{MINUTE, Timestamp},
};

/// A logout that the provider has signed, and that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogout {
    /// Under which the platform knows the provider's people.
    pub issuer: String,
    /// All sessions of this person, unless a session is named.
    pub subject: Option<String>,
    /// The session at the provider.
    pub session: Option<String>,
    /// The token's own id: it counts once.
    pub token: String,
    pub expires_at: Timestamp,
}

/// How long after its end a token is still remembered: clocks may differ.
const REMEMBERED: i64 = 2 * MINUTE;

impl Sessions<'_> {
    /// Ends what it names, with the playground's passes and the event streams of these people; returns how many sessions. `None`: this
    /// token was used before.
    pub async fn provider_logout(&self, logout: &ProviderLogout, origin: &Origin) -> Result<Option<usize>, Problem> {
        let doing = "ending the sessions that the identity provider has ended";
        let mut tx = Change::by_system(self.platform).await?;
        let at = tx.at();
        let digest = hashed(&format!("{} {}", logout.issuer, logout.token));
        if !tx.use_logout_token(&digest, logout.expires_at.plus(REMEMBERED)).await.doing(doing)? {
            return Ok(None);
        }
        let sessions = tx.sessions_of_provider(&logout.issuer, logout.subject.as_deref(), logout.session.as_deref()).await.doing(doing)?;
        let mut entries = Vec::new();
        for (session, person, name) in &sessions {
            tx.end_session(*session).await.doing(doing)?;
            tx.end_passes(*person, at).await.doing(doing)?;
            let mut entry = entry(at, &Actor::system(), "session.end", session.to_string(), origin);
            entry.object_name.clone_from(name);
            entry.detail = Detail::SessionEnded { why: SessionEnd::ProviderLogout };
            entries.push(entry);
        }
        let Some(last) = entries.pop() else {
            tx.commit_unaudited(Unaudited::NothingToEnd).await.doing(doing)?;
            return Ok(Some(0));
        };
        for entry in entries {
            tx.record(entry).await.doing(doing)?;
        }
        tx.commit(last).await.doing(doing)?;
        Ok(Some(sessions.len()))
    }
}
