//! Sessions and sign-ins under way, both found by the hash of a cookie.

use super::{Result, Store, Tx, at, in_tx, on_both, parsed, people};
use crate::sessions::SignIn;
use domain::{
    ids::{PersonId, SessionId},
    people::Person,
    time::Timestamp,
};

pub(crate) struct NewSession {
    pub id: SessionId,
    pub secret_hash: String,
    pub person: PersonId,
    pub id_token_sealed: Option<String>,
    pub refresh_token_sealed: Option<String>,
    pub provider_session: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub renew_at: Option<Timestamp>,
}

pub(crate) struct SessionRow {
    pub id: SessionId,
    pub person: Person,
    pub groups: Vec<String>,
    pub last_seen_at: Timestamp,
    pub confirmed_at: Timestamp,
    /// None: the provider gave no refresh token.
    pub renew_at: Option<Timestamp>,
    pub renewing_until: Option<Timestamp>,
}

/// What one renewal works with.
pub(crate) struct RenewalRow {
    pub person: PersonId,
    pub person_name: String,
    pub issuer: String,
    pub subject: String,
    pub refresh_token_sealed: String,
}

type SignInColumns = (String, String, String, String, i64);
type SessionColumns =
    (String, i64, i64, Option<i64>, Option<i64>, String, String, String, String, Option<String>, Option<String>, String, i64);

impl Store {
    /// A session that has not ended and was used after `idle_since`, with its person.
    pub(crate) async fn session(&self, secret_hash: &str, now: Timestamp, idle_since: Timestamp) -> Result<Option<SessionRow>> {
        let sql = "SELECT s.id, s.last_seen_at, COALESCE(s.confirmed_at, s.created_at), s.renew_at, s.renewing_until, p.id, p.issuer, p.subject, p.name, p.email, p.platform_role, p.groups_json, p.last_seen_at \
            FROM sessions s JOIN people p ON p.id = s.person WHERE s.secret_hash = $1 AND s.expires_at > $2 AND s.last_seen_at > $3";
        let row: Option<SessionColumns> =
            on_both!(self, db => sqlx::query_as(sql).bind(secret_hash).bind(now.0).bind(idle_since.0).fetch_optional(db).await)?;
        row.map(|(id, seen, confirmed, renew, renewing, p0, p1, p2, p3, p4, p5, p6, p7)| {
            let (person, groups) = people::person((p0, p1, p2, p3, p4, p5, p6, p7))?;
            Ok(SessionRow {
                id: parsed(&id)?,
                person,
                groups,
                last_seen_at: at(seen),
                confirmed_at: at(confirmed),
                renew_at: renew.map(at),
                renewing_until: renewing.map(at),
            })
        })
        .transpose()
    }

    /// Coarse, and outside the writers' line: nothing depends on it.
    pub(crate) async fn touch_session(&self, id: SessionId, person: PersonId, now: Timestamp) -> Result<()> {
        let sql = "UPDATE sessions SET last_seen_at = $2 WHERE id = $1";
        on_both!(self, db => sqlx::query(sql).bind(id.to_string()).bind(now.0).execute(db).await.map(drop))?;
        let sql = "UPDATE people SET last_seen_at = $2 WHERE id = $1";
        on_both!(self, db => sqlx::query(sql).bind(person.to_string()).bind(now.0).execute(db).await.map(drop))
    }

    /// Takes the refresh token for one replica until `until`. None: it is not time, or another one has it.
    /// One statement, so that of two replicas one gets it.
    pub(crate) async fn take_renewal(&self, id: SessionId, now: Timestamp, until: Timestamp) -> Result<Option<RenewalRow>> {
        let sql = "UPDATE sessions SET renewing_until = $3 WHERE id = $1 AND renew_at <= $2 AND expires_at > $2 \
            AND (renewing_until IS NULL OR renewing_until <= $2) AND refresh_token_sealed IS NOT NULL RETURNING person, refresh_token_sealed";
        let row: Option<(String, String)> =
            on_both!(self, db => sqlx::query_as(sql).bind(id.to_string()).bind(now.0).bind(until.0).fetch_optional(db).await)?;
        let Some((person, refresh_token_sealed)) = row else { return Ok(None) };
        let sql = "SELECT name, issuer, subject FROM people WHERE id = $1";
        let (person_name, issuer, subject): (String, String, String) =
            on_both!(self, db => sqlx::query_as(sql).bind(&person).fetch_one(db).await)?;
        Ok(Some(RenewalRow { person: parsed(&person)?, person_name, issuer, subject, refresh_token_sealed }))
    }

    /// Nothing came of a renewal: the next one may be tried at `next`.
    pub(crate) async fn put_off_renewal(&self, id: SessionId, next: Timestamp) -> Result<()> {
        let sql = "UPDATE sessions SET renewing_until = NULL, renew_at = $2 WHERE id = $1";
        on_both!(self, db => sqlx::query(sql).bind(id.to_string()).bind(next.0).execute(db).await.map(drop))
    }

    pub(crate) async fn insert_sign_in(&self, cookie_hash: &str, s: &SignIn, expires_at: Timestamp, now: Timestamp) -> Result<()> {
        let sql = "DELETE FROM sign_ins WHERE expires_at <= $1";
        on_both!(self, db => sqlx::query(sql).bind(now.0).execute(db).await.map(drop))?;
        let sql = "INSERT INTO sign_ins (cookie_hash, state, nonce, verifier, return_to, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
        on_both!(self, db => sqlx::query(sql)
            .bind(cookie_hash).bind(&s.state).bind(&s.nonce).bind(&s.verifier).bind(&s.return_to).bind(expires_at.0)
            .execute(db).await.map(drop))
    }

    pub(crate) async fn sign_in_under_way(&self, cookie_hash: &str, state: &str, now: Timestamp) -> Result<Option<SignIn>> {
        let sql = "SELECT state, nonce, verifier, return_to, expires_at FROM sign_ins WHERE cookie_hash = $1 AND state = $2";
        let row: Option<SignInColumns> = on_both!(self, db => sqlx::query_as(sql).bind(cookie_hash).bind(state).fetch_optional(db).await)?;
        Ok(sign_in(row, now))
    }

    /// Finds and removes in one statement, so that it is used once even by two replicas at the same time.
    pub(crate) async fn take_sign_in(&self, cookie_hash: &str, state: &str, now: Timestamp) -> Result<Option<SignIn>> {
        let sql = "DELETE FROM sign_ins WHERE cookie_hash = $1 AND state = $2 RETURNING state, nonce, verifier, return_to, expires_at";
        let row: Option<SignInColumns> = on_both!(self, db => sqlx::query_as(sql).bind(cookie_hash).bind(state).fetch_optional(db).await)?;
        Ok(sign_in(row, now))
    }
}

fn sign_in(row: Option<SignInColumns>, now: Timestamp) -> Option<SignIn> {
    let (state, nonce, verifier, return_to, _) = row.filter(|(.., expires)| *expires > now.0)?;
    Some(SignIn { state, nonce, verifier, return_to })
}

impl Tx {
    pub(crate) async fn insert_session(&mut self, s: &NewSession) -> Result<()> {
        let sql = "DELETE FROM sessions WHERE expires_at <= $1";
        in_tx!(self, db => sqlx::query(sql).bind(s.created_at.0).execute(db).await.map(drop))?;
        let sql = "INSERT INTO sessions (id, secret_hash, person, id_token_sealed, refresh_token_sealed, created_at, last_seen_at, \
            confirmed_at, expires_at, renew_at, provider_session) VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $7, $8, $9)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(s.id.to_string()).bind(&s.secret_hash).bind(s.person.to_string()).bind(&s.id_token_sealed).bind(&s.refresh_token_sealed)
            .bind(s.created_at.0).bind(s.expires_at.0).bind(s.renew_at.map(|t| t.0)).bind(&s.provider_session)
            .execute(db).await.map(drop))
    }

    /// The provider confirmed this session; tokens that it sent take the place of the ones before. False when the session has ended meanwhile.
    pub(crate) async fn session_confirmed(
        &mut self,
        id: SessionId,
        next: Timestamp,
        id_token_sealed: Option<&str>,
        refresh_token_sealed: Option<&str>,
    ) -> Result<bool> {
        let sql = "UPDATE sessions SET confirmed_at = $2, renew_at = $3, renewing_until = NULL, \
            id_token_sealed = COALESCE($4, id_token_sealed), refresh_token_sealed = COALESCE($5, refresh_token_sealed) WHERE id = $1";
        let at = self.at();
        let rows = in_tx!(self, db => sqlx::query(sql)
            .bind(id.to_string()).bind(at.0).bind(next.0).bind(id_token_sealed).bind(refresh_token_sealed)
            .execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Removes the session; returns which and whose it was, and the identity provider's token.
    pub(crate) async fn delete_session(&mut self, secret_hash: &str) -> Result<Option<(SessionId, PersonId, String, Option<String>)>> {
        let sql =
            "SELECT s.id, s.person, p.name, s.id_token_sealed FROM sessions s JOIN people p ON p.id = s.person WHERE s.secret_hash = $1";
        let row: Option<(String, String, String, Option<String>)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(secret_hash).fetch_optional(db).await)?;
        let sql = "DELETE FROM sessions WHERE secret_hash = $1";
        in_tx!(self, db => sqlx::query(sql).bind(secret_hash).execute(db).await.map(drop))?;
        let Some((id, person, name, token)) = row else { return Ok(None) };
        let person = parsed(&person)?;
        self.rights_changed(person);
        Ok(Some((parsed(&id)?, person, name, token)))
    }

    /// False when it was used before.
    pub(crate) async fn use_logout_token(&mut self, digest: &str, expires_at: Timestamp) -> Result<bool> {
        let sql = "DELETE FROM logout_tokens WHERE expires_at <= $1";
        let at = self.at();
        in_tx!(self, db => sqlx::query(sql).bind(at.0).execute(db).await.map(drop))?;
        let sql = "INSERT INTO logout_tokens (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
        Ok(in_tx!(self, db => sqlx::query(sql).bind(digest).bind(expires_at.0).execute(db).await.map(|r| r.rows_affected()))? == 1)
    }

    /// Sessions here that came from one at the provider, or all of a person; with their people. One that was begun before the provider's
    /// were kept counts as meant.
    pub(crate) async fn sessions_of_provider(
        &mut self,
        issuer: &str,
        subject: Option<&str>,
        session: Option<&str>,
    ) -> Result<Vec<(SessionId, PersonId, String)>> {
        // Unlimited: the sessions of one person.
        let sql = "SELECT s.id, p.id, p.name FROM sessions s JOIN people p ON p.id = s.person \
            WHERE p.issuer = $1 AND ($2 IS NULL OR p.subject = $2) AND ($3 IS NULL OR s.provider_session = $3 \
            OR (s.provider_session IS NULL AND p.subject = $2))";
        let rows: Vec<(String, String, String)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(issuer).bind(subject).bind(session).fetch_all(db).await)?;
        rows.into_iter().map(|(session, person, name)| Ok((parsed(&session)?, parsed(&person)?, name))).collect()
    }

    /// False when there was none any more.
    pub(crate) async fn end_session(&mut self, id: SessionId) -> Result<bool> {
        let sql = "DELETE FROM sessions WHERE id = $1";
        Ok(in_tx!(self, db => sqlx::query(sql).bind(id.to_string()).execute(db).await.map(|r| r.rows_affected()))? == 1)
    }

    /// Every session and every pass of everybody; returns how many sessions were still going on.
    pub(crate) async fn end_all_sessions(&mut self) -> Result<u64> {
        let at = self.at();
        let sql = "UPDATE people SET passes_from = $1";
        in_tx!(self, db => sqlx::query(sql).bind(at.0).execute(db).await.map(drop))?;
        self.directory_changed();
        let sql = "DELETE FROM sessions WHERE expires_at > $1";
        in_tx!(self, db => sqlx::query(sql).bind(at.0).execute(db).await.map(|r| r.rows_affected()))
    }

    /// All sessions of a person; returns how many were still going on.
    pub(crate) async fn end_sessions_of(&mut self, person: PersonId) -> Result<u64> {
        let sql = "DELETE FROM sessions WHERE person = $1 AND expires_at > $2";
        let at = self.at();
        in_tx!(self, db => sqlx::query(sql).bind(person.to_string()).bind(at.0).execute(db).await.map(|r| r.rows_affected()))
    }
}
