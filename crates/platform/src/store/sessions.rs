//! Sessions and sign-ins under way, both found by the hash of a cookie.

use super::{Result, Store, Tx, at, in_tx, on_both, parsed, people};
use domain::{
    ids::{PersonId, SessionId},
    people::Person,
    time::Timestamp,
};

pub(crate) struct NewSession {
    pub id: SessionId,
    pub secret_hash: String,
    pub person: PersonId,
    pub id_token: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

pub(crate) struct SessionRow {
    pub id: SessionId,
    pub person: Person,
    pub groups: Vec<String>,
    pub last_seen_at: Timestamp,
}

type SessionColumns = (String, i64, String, String, String, String, Option<String>, Option<String>, String, i64);

impl Store {
    /// A session that has not ended, with its person.
    pub(crate) async fn session(&self, secret_hash: &str, now: Timestamp) -> Result<Option<SessionRow>> {
        let sql = "SELECT s.id, s.last_seen_at, p.id, p.issuer, p.subject, p.name, p.email, p.platform_role, p.groups_json, p.last_seen_at \
            FROM sessions s JOIN people p ON p.id = s.person WHERE s.secret_hash = $1 AND s.expires_at > $2";
        let row: Option<SessionColumns> = on_both!(self, db => sqlx::query_as(sql).bind(secret_hash).bind(now.0).fetch_optional(db).await)?;
        row.map(|(id, seen, p0, p1, p2, p3, p4, p5, p6, p7)| {
            let (person, groups) = people::person((p0, p1, p2, p3, p4, p5, p6, p7))?;
            Ok(SessionRow { id: parsed(&id)?, person, groups, last_seen_at: at(seen) })
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

    pub(crate) async fn insert_sign_in(
        &self,
        cookie_hash: &str,
        s: &crate::sessions::SignIn,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "DELETE FROM sign_ins WHERE expires_at <= $1";
        on_both!(self, db => sqlx::query(sql).bind(now.0).execute(db).await.map(drop))?;
        let sql = "INSERT INTO sign_ins (cookie_hash, state, nonce, verifier, return_to, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
        on_both!(self, db => sqlx::query(sql)
            .bind(cookie_hash).bind(&s.state).bind(&s.nonce).bind(&s.verifier).bind(&s.return_to).bind(expires_at.0)
            .execute(db).await.map(drop))
    }

    /// Finds and removes in one statement, so that it is used once even by two replicas at the same time.
    pub(crate) async fn take_sign_in(&self, cookie_hash: &str, now: Timestamp) -> Result<Option<crate::sessions::SignIn>> {
        let sql = "DELETE FROM sign_ins WHERE cookie_hash = $1 RETURNING state, nonce, verifier, return_to, expires_at";
        let row: Option<(String, String, String, String, i64)> =
            on_both!(self, db => sqlx::query_as(sql).bind(cookie_hash).fetch_optional(db).await)?;
        Ok(row.filter(|(.., expires)| *expires > now.0).map(|(state, nonce, verifier, return_to, _)| crate::sessions::SignIn {
            state,
            nonce,
            verifier,
            return_to,
        }))
    }
}

impl Tx {
    pub(crate) async fn insert_session(&mut self, s: &NewSession) -> Result<()> {
        let sql = "DELETE FROM sessions WHERE expires_at <= $1";
        in_tx!(self, db => sqlx::query(sql).bind(s.created_at.0).execute(db).await.map(drop))?;
        let sql = "INSERT INTO sessions (id, secret_hash, person, id_token, created_at, last_seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $5, $6)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(s.id.to_string()).bind(&s.secret_hash).bind(s.person.to_string()).bind(&s.id_token).bind(s.created_at.0).bind(s.expires_at.0)
            .execute(db).await.map(drop))
    }

    /// Removes the session; returns whose it was and the identity provider's token.
    pub(crate) async fn delete_session(&mut self, secret_hash: &str) -> Result<Option<(PersonId, String, Option<String>)>> {
        let sql = "SELECT s.person, p.name, s.id_token FROM sessions s JOIN people p ON p.id = s.person WHERE s.secret_hash = $1";
        let row: Option<(String, String, Option<String>)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(secret_hash).fetch_optional(db).await)?;
        let sql = "DELETE FROM sessions WHERE secret_hash = $1";
        in_tx!(self, db => sqlx::query(sql).bind(secret_hash).execute(db).await.map(drop))?;
        row.map(|(person, name, token)| Ok((parsed(&person)?, name, token))).transpose()
    }
}
