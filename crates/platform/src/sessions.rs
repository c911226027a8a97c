//! Sessions: who is signed in. The cookie's value is 256 random bits; the database holds only its SHA-256.

use crate::{
    Platform,
    access::{Actor, Caller, Origin},
    audit, directory,
    problem::Doing,
    random,
    store::NewSession,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    audit::{ActorKind, Entry},
    ids::{PersonId, SessionId},
    name::Name,
    people::{Person, PlatformRole, Role},
    problem::Problem,
    text,
    time::{HOUR, MINUTE, Timestamp},
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

/// Who signed in, as the identity provider says, with roles as the group rules make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    /// As sent, for the page that says why somebody has no tenant.
    pub groups: Vec<String>,
    pub platform_role: Option<PlatformRole>,
    /// Replaces what was before; tenants that do not exist are passed over.
    pub memberships: Vec<(Name, Role)>,
    /// For signing out at the identity provider too.
    pub id_token: Option<String>,
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

    /// Once only, and not after ten minutes.
    pub async fn take_sign_in(&self, cookie: &str) -> Result<Option<SignIn>, Problem> {
        self.platform.store().take_sign_in(&hashed(cookie), self.platform.now()).await.doing("finishing a sign-in")
    }

    /// Starts a session and replaces the person's memberships; returns the value of the session cookie.
    pub async fn sign_in(&self, profile: Profile, origin: &Origin) -> Result<String, Problem> {
        let doing = "signing in";
        let secret = fresh_secret();
        let mut tx = self.platform.begin().await?;
        let at = tx.at();
        let Profile { issuer, subject, name, email, groups, platform_role, memberships, id_token } = profile;
        // What a provider sends is kept, but a character that no database stores must not keep anybody out.
        let (name, email) = (text::clean(&name).into_owned(), email.map(|e| text::clean(&e).into_owned()));
        let groups: Vec<String> = groups.iter().map(|g| text::clean(g).into_owned()).collect();
        let id = PersonId::from_uuid(self.platform.fresh_uuid());
        let mut person = Person { id, issuer, subject, name, email, platform_role, last_seen_at: at };
        person.id = tx.put_person(&person, &groups).await.doing(doing)?;

        let before = tx.memberships(person.id).await.doing(doing)?;
        for (tenant, _) in before.iter().filter(|(had, _)| !memberships.iter().any(|(tenant, _)| tenant == had)) {
            tx.delete_membership(tenant, person.id).await.doing(doing)?;
        }
        for (tenant, role) in &memberships {
            tx.put_membership(tenant, person.id, *role, at).await.doing(doing)?;
        }
        let now_member = tx.memberships(person.id).await.doing(doing)?;
        if before != now_member {
            directory::changed(&mut tx).await.doing(doing)?;
        }

        let session = NewSession {
            id: SessionId::from_uuid(self.platform.fresh_uuid()),
            secret_hash: hashed(&secret),
            person: person.id,
            id_token,
            created_at: at,
            expires_at: at.plus(self.platform.inner.session_hours.max(1) * HOUR),
        };
        tx.insert_session(&session).await.doing(doing)?;
        let mut entry = entry(at, &Actor::person(&person), "session.sign_in", session.id.to_string(), origin);
        entry.detail = membership_words(&person, &now_member);
        audit::append(&mut tx, entry).await.doing(doing)?;
        tx.commit().await.doing(doing)?;
        Ok(secret)
    }

    /// Who holds this cookie now; rights are read from the database each time.
    pub async fn caller(&self, secret: &str, origin: Origin) -> Result<Option<Caller>, Problem> {
        let doing = "reading the session";
        let now = self.platform.now();
        let store = self.platform.store();
        let Some(session) = store.session(&hashed(secret), now).await.doing(doing)? else { return Ok(None) };
        if now.since(session.last_seen_at) >= MINUTE {
            store.touch_session(session.id, session.person.id, now).await.doing(doing)?;
        }
        let memberships = store.memberships(session.person.id).await.doing(doing)?;
        Ok(Some(Caller::proven(session.id, session.person, memberships, session.groups, origin)))
    }

    /// Ends the session; `None` when there was none.
    pub async fn sign_out(&self, secret: &str, origin: &Origin) -> Result<Option<SignedOut>, Problem> {
        let doing = "signing out";
        let mut tx = self.platform.begin().await?;
        let Some((person, name, id_token)) = tx.delete_session(&hashed(secret)).await.doing(doing)? else { return Ok(None) };
        let actor = Actor { kind: ActorKind::Person, id: person.to_string(), name };
        let entry = entry(tx.at(), &actor, "session.sign_out", String::new(), origin);
        audit::append(&mut tx, entry).await.doing(doing)?;
        tx.commit().await.doing(doing)?;
        Ok(Some(SignedOut { id_token }))
    }
}

fn entry(at: Timestamp, actor: &Actor, action: &str, session: String, origin: &Origin) -> Entry {
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
        detail: String::new(),
        request_id: origin.request_id.clone(),
        from_ip: origin.from_ip.clone(),
    }
}

fn membership_words(person: &Person, memberships: &[(Name, Role)]) -> String {
    let mut words: Vec<String> = memberships.iter().map(|(tenant, role)| format!("{} of {tenant}", role.word())).collect();
    words.extend(person.platform_role.map(|role| format!("platform {}", role.word())));
    if words.is_empty() { "without any role".into() } else { words.join(", ") }
}

fn fresh_secret() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

fn hashed(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
