//! A session that is confirmed again: its refresh token is handed to one process at a time, which asks the provider and says what
//! came of it.

use super::{ID_TOKEN, Profile, REFRESH_TOKEN, Sessions, bound_to, entry};
use crate::{
    access::{Actor, Origin},
    change::{Change, Unaudited},
    confirm::{confirm, confirm_as_before},
    problem::Doing,
};
use domain::{
    audit::{Detail, SessionEnd},
    ids::{PersonId, SessionId},
    problem::{Problem, ProblemKind},
    time::SECOND,
};

/// How long one process may take to ask the provider; then another may.
const ASKING_LASTS: i64 = 30 * SECOND;
/// How soon a provider that did not answer is asked again.
const ASK_AGAIN: i64 = 30 * SECOND;

/// A session whose refresh token nobody else uses now.
pub struct Renewal {
    pub session: SessionId,
    /// Who the provider's answer must be about.
    pub issuer: String,
    pub subject: String,
    pub refresh_token: String,
    person: PersonId,
    person_name: String,
}

/// What the provider answered.
pub struct Renewed {
    /// Takes the place of the one before, where the provider gives a new one each time.
    pub refresh_token: Option<String>,
    /// Who the person is now; `None` when the provider said only that the person may still come in: then roles stay.
    pub profile: Option<Profile>,
}

impl Sessions<'_> {
    /// The refresh token of a session, for this process alone. `None` when it is not time to ask, or somebody else is asking.
    /// A token that cannot be opened (the key is another one than when it was sealed) ends the session: it could never be confirmed.
    pub async fn begin_renewal(&self, session: SessionId) -> Result<Option<Renewal>, Problem> {
        let (now, store) = (self.platform.now(), self.platform.store());
        let Some(row) = store.take_renewal(session, now, now.plus(ASKING_LASTS)).await.doing("confirming a session")? else {
            return Ok(None);
        };
        let opened = self.platform.inner.token_key.open(&bound_to(session, REFRESH_TOKEN), &row.refresh_token_sealed);
        let (issuer, subject, person, person_name) = (row.issuer, row.subject, row.person, row.person_name);
        let renewal = Renewal { session, issuer, subject, refresh_token: opened.clone().unwrap_or_default(), person, person_name };
        if opened.is_none() {
            tracing::error!(%session, "the refresh token of a session was sealed with another key; the session ends");
            self.end(renewal, SessionEnd::KeyGone).await?;
            return Ok(None);
        }
        Ok(Some(renewal))
    }

    /// The provider confirmed the person.
    pub async fn renewed(&self, renewal: Renewal, renewed: Renewed) -> Result<(), Problem> {
        let doing = "keeping a confirmed session";
        let key = &self.platform.inner.token_key;
        let mut tx = Change::by_system(self.platform).await?;
        let mut roles = None;
        match &renewed.profile {
            Some(profile) => {
                let confirmed = confirm(&mut tx, renewal.person, profile).await.doing(doing)?;
                if confirmed.person.id != renewal.person {
                    return Err(Problem::new(ProblemKind::Internal, "The provider confirmed another person than it was asked about."));
                }
                if confirmed.changed {
                    let mut entry = entry(tx.at(), &Actor::system(), "person.roles", renewal.person.to_string(), &Origin::default());
                    entry.object_kind = "person".into();
                    entry.object_name.clone_from(&confirmed.person.name);
                    entry.detail = Detail::Roles { memberships: confirmed.now, platform_role: profile.platform_role };
                    roles = Some(entry);
                }
            }
            None => confirm_as_before(&mut tx, renewal.person).await.doing(doing)?,
        }
        let seal = |token: Option<String>, what| token.map(|t| key.seal(&bound_to(renewal.session, what), &t));
        let id_token = seal(renewed.profile.and_then(|p| p.id_token), ID_TOKEN);
        let refresh_token = seal(renewed.refresh_token, REFRESH_TOKEN);
        let next = tx.at().plus(self.every());
        // A session that was ended meanwhile stays ended; what the provider said of the person holds all the same.
        tx.session_confirmed(renewal.session, next, id_token.as_deref(), refresh_token.as_deref()).await.doing(doing)?;
        match roles {
            Some(entry) => tx.commit(entry).await.doing(doing),
            None => tx.commit_unaudited(Unaudited::SessionConfirmed).await.doing(doing),
        }
    }

    /// The provider no longer lets the person in: the session is over.
    pub async fn renewal_refused(&self, renewal: Renewal) -> Result<(), Problem> {
        self.end(renewal, SessionEnd::NotConfirmed).await
    }

    /// The provider did not answer, or has trouble of its own: that is no reason to put people out.
    pub async fn renewal_put_off(&self, renewal: Renewal) -> Result<(), Problem> {
        let next = self.platform.now().plus(ASK_AGAIN);
        self.platform.store().put_off_renewal(renewal.session, next).await.doing("putting off the confirmation of a session")
    }

    async fn end(&self, renewal: Renewal, why: SessionEnd) -> Result<(), Problem> {
        let doing = "ending a session";
        let mut tx = Change::by_system(self.platform).await?;
        if !tx.end_session(renewal.session).await.doing(doing)? {
            return Ok(());
        }
        let at = tx.at();
        tx.end_passes(renewal.person, at).await.doing(doing)?;
        let mut entry = entry(at, &Actor::system(), "session.end", renewal.session.to_string(), &Origin::default());
        entry.object_name = renewal.person_name;
        entry.detail = Detail::SessionEnded { why };
        tx.commit(entry).await.doing(doing)
    }
}
