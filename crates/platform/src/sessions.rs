//! Sessions: who is signed in. The cookie's value is 256 random bits; the database holds only its SHA-256.

mod provider_logout;
mod renewal;

pub use crate::confirm::Profile;
pub use provider_logout::ProviderLogout;
pub use renewal::{Renewal, Renewed};

use crate::{
    Platform,
    access::{Actor, Caller, Origin},
    change::Change,
    confirm::{Confirmed, confirm},
    problem::Doing,
    random,
    store::{NewSession, SessionRow},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    audit::{ActorKind, Detail, Entry},
    confirmation::Confirmation,
    ids::{PersonId, SessionId},
    problem::Problem,
    time::{HOUR, MINUTE, SECOND, Timestamp},
};
use sha2::{Digest, Sha256};

/// How long a person may take at the identity provider.
const SIGN_IN_LASTS: i64 = 10 * MINUTE;

/// What must come back unchanged from the identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    pub state: String,
    pub nonce: String,
    /// PKCE's secret half.
    pub verifier: String,
    /// Path on this portal to go on to.
    pub return_to: String,
}

/// A session that was found, and how well its person is confirmed.
#[derive(Debug)]
pub struct Found {
    pub caller: Caller,
    pub confirmation: Confirmation,
    /// The provider is being asked now, by this replica or another.
    pub being_renewed: bool,
}

/// A session that was ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedOut {
    pub id_token: Option<String>,
}

pub struct Sessions<'a> {
    platform: &'a Platform,
}

impl Platform {
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { platform: self }
    }
}

impl Sessions<'_> {
    /// Remembers a sign-in that goes to the identity provider; returns the value of the one-time cookie.
    pub async fn begin_sign_in(&self, state: String, nonce: String, verifier: String, return_to: String) -> Result<String, Problem> {
        let secret = fresh_secret();
        let now = self.platform.now();
        let sign_in = SignIn { state, nonce, verifier, return_to };
        self.platform
            .store()
            .insert_sign_in(&hashed(&secret), &sign_in, now.plus(SIGN_IN_LASTS), now)
            .await
            .doing("remembering a sign-in")?;
        Ok(secret)
    }

    /// The sign-in that waits for an answer with this state in the browser that has this cookie; it goes on waiting.
    pub async fn sign_in_under_way(&self, cookie: &str, state: &str) -> Result<Option<SignIn>, Problem> {
        self.platform.store().sign_in_under_way(&hashed(cookie), state, self.platform.now()).await.doing("finding a sign-in")
    }

    /// The same, once only and not after ten minutes. Another state than its own leaves it waiting.
    pub async fn take_sign_in(&self, cookie: &str, state: &str) -> Result<Option<SignIn>, Problem> {
        self.platform.store().take_sign_in(&hashed(cookie), state, self.platform.now()).await.doing("finishing a sign-in")
    }

    /// Starts a session and replaces the person's memberships; returns the value of the session cookie.
    pub async fn sign_in(&self, profile: Profile, origin: &Origin) -> Result<String, Problem> {
        let doing = "signing in";
        let secret = fresh_secret();
        let mut tx = Change::by_system(self.platform).await?;
        let at = tx.at();
        let Confirmed { person, now: now_member, .. } =
            confirm(&mut tx, PersonId::from_uuid(self.platform.fresh_uuid()), &profile).await.doing(doing)?;

        let id = SessionId::from_uuid(self.platform.fresh_uuid());
        let seal = |token: Option<String>, what| token.map(|t| self.platform.inner.token_key.seal(&bound_to(id, what), &t));
        let renew_at = profile.refresh_token.is_some().then(|| at.plus(self.every()));
        let session = NewSession {
            id,
            secret_hash: hashed(&secret),
            person: person.id,
            id_token_sealed: seal(profile.id_token, ID_TOKEN),
            refresh_token_sealed: seal(profile.refresh_token, REFRESH_TOKEN),
            provider_session: profile.session,
            created_at: at,
            expires_at: at.plus(self.platform.inner.session_hours.max(1) * HOUR),
            renew_at,
        };
        tx.insert_session(&session).await.doing(doing)?;
        let mut entry = entry(at, &Actor::person(&person), "session.sign_in", session.id.to_string(), origin);
        entry.detail = Detail::Roles { memberships: now_member, platform_role: person.platform_role };
        tx.commit(entry).await.doing(doing)?;
        Ok(secret)
    }

    /// Who holds this cookie now; rights are read from the database each time.
    pub async fn caller(&self, secret: &str, origin: Origin) -> Result<Option<Caller>, Problem> {
        Ok(self.find(secret, origin, true).await?.map(|found| found.caller))
    }

    /// The same, with how well the person is confirmed. `used`: a person did something; a stream that looks whether it may go on does
    /// not keep the session from ending for want of use.
    pub async fn find(&self, secret: &str, origin: Origin, used: bool) -> Result<Option<Found>, Problem> {
        let doing = "reading the session";
        let now = self.platform.now();
        let store = self.platform.store();
        let inner = &self.platform.inner;
        let idle_since = now.plus(-inner.session_idle_minutes.max(1) * MINUTE);
        let Some(session) = store.session(&hashed(secret), now, idle_since).await.doing(doing)? else { return Ok(None) };
        if used && now.since(session.last_seen_at) >= MINUTE {
            store.touch_session(session.id, session.person.id, now).await.doing(doing)?;
        }
        let oldest = now.plus(-inner.session_hours.max(1) * HOUR);
        let memberships = store.memberships(session.person.id).await.doing(doing)?;
        // A membership that nobody confirmed for longer than a session lasts gives no rights, whatever the session says.
        let memberships = memberships.into_iter().filter(|m| m.confirmed_at >= oldest).map(|m| (m.tenant, m.role)).collect();
        let (confirmation, being_renewed) = (self.confirmation(&session, now), session.renewing_until.is_some_and(|t| t > now));
        let caller = Caller::proven(Some(session.id), session.person, memberships, session.groups, origin);
        Ok(Some(Found { caller, confirmation, being_renewed }))
    }

    fn confirmation(&self, session: &SessionRow, now: Timestamp) -> Confirmation {
        let Some(renew_at) = session.renew_at else { return Confirmation::Fresh };
        match Confirmation::of(session.confirmed_at, now, self.every()) {
            _ if renew_at > now => Confirmation::Fresh,
            // The provider was asked and said nothing: it is asked again, but nobody waits for it.
            Confirmation::Overdue if renew_at > session.confirmed_at.plus(self.every()) => Confirmation::Due,
            stands => stands,
        }
    }

    /// Milliseconds between two questions to the provider.
    fn every(&self) -> i64 {
        self.platform.inner.confirm_seconds.max(1) * SECOND
    }

    /// Ends the session; `None` when there was none.
    pub async fn sign_out(&self, secret: &str, origin: &Origin) -> Result<Option<SignedOut>, Problem> {
        let doing = "signing out";
        let mut tx = Change::by_system(self.platform).await?;
        let Some((id, person, name, id_token)) = tx.delete_session(&hashed(secret)).await.doing(doing)? else { return Ok(None) };
        let actor = Actor { kind: ActorKind::Person, id: person.to_string(), name };
        let entry = entry(tx.at(), &actor, "session.sign_out", id.to_string(), origin);
        tx.commit(entry).await.doing(doing)?;
        let id_token = id_token.and_then(|sealed| self.platform.inner.token_key.open(&bound_to(id, ID_TOKEN), &sealed));
        Ok(Some(SignedOut { id_token }))
    }
}

pub(crate) fn entry(at: Timestamp, actor: &Actor, action: &str, session: String, origin: &Origin) -> Entry {
    Entry {
        at,
        actor_kind: actor.kind,
        actor: actor.id.clone(),
        actor_name: actor.name.clone(),
        tenant: None,
        action: action.to_owned(),
        object_kind: "session".into(),
        object: session,
        object_name: String::new(),
        result: "done".into(),
        detail: Detail::None,
        request_id: origin.request_id.clone(),
        from_ip: origin.from_ip.clone(),
    }
}

const ID_TOKEN: &str = "id_token";
const REFRESH_TOKEN: &str = "refresh_token";

/// What a sealed token is bound to.
fn bound_to(session: SessionId, what: &str) -> String {
    format!("{session} {what}")
}

fn fresh_secret() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

fn hashed(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
