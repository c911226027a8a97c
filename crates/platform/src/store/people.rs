//! People and their memberships.

use super::{Result, Store, Tx, at, from_json, in_tx, json, on_both, parsed, word};
use crate::leavers::ToAsk;
use domain::{
    ids::PersonId,
    name::Name,
    one_line::{self, one_line},
    people::{Person, PlatformRole, Role},
    time::Timestamp,
};

/// A person with the groups that the identity provider sent.
type Row = (String, String, String, String, Option<String>, Option<String>, String, i64);

/// The same, and when the person's sessions were last ended.
type RowWithEnd = (String, String, String, String, Option<String>, Option<String>, String, i64, Option<i64>);

pub(super) fn person((id, issuer, subject, name, email, role, groups, seen): Row) -> Result<(Person, Vec<String>)> {
    // Rows of before names were cleaned at sign-in are still here.
    let name = one_line(&name, one_line::NAME);
    let platform_role = role.map(|r| word(PlatformRole::from_word(&r), &r)).transpose()?;
    Ok((Person { id: parsed(&id)?, issuer, subject, name, email, platform_role, last_seen_at: at(seen) }, from_json(&groups)?))
}

impl Tx {
    /// Inserts or updates by issuer and subject; `p.id` counts only for a new person. Returns the id that holds.
    pub(crate) async fn put_person(&mut self, p: &Person, groups: &[String]) -> Result<PersonId> {
        let sql = "INSERT INTO people (id, issuer, subject, name, email, platform_role, groups_json, last_seen_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (issuer, subject) DO UPDATE SET name = excluded.name, email = excluded.email, \
            platform_role = excluded.platform_role, groups_json = excluded.groups_json, last_seen_at = excluded.last_seen_at RETURNING id";
        let role = p.platform_role.map(PlatformRole::word);
        let (id,): (String,) = in_tx!(self, db => sqlx::query_as(sql)
            .bind(p.id.to_string()).bind(&p.issuer).bind(&p.subject).bind(&p.name).bind(&p.email).bind(role).bind(json(&groups)).bind(p.last_seen_at.0)
            .fetch_one(db).await)?;
        // Members are listed by name, in an index of their own table.
        let sql = "UPDATE members SET name = $2 WHERE person = $1 AND name <> $2";
        in_tx!(self, db => sqlx::query(sql).bind(&id).bind(&p.name).execute(db).await.map(drop))?;
        parsed(&id)
    }

    /// Who is known under this subject, with the platform role of now.
    pub(crate) async fn person_of(&mut self, issuer: &str, subject: &str) -> Result<Option<(PersonId, Option<PlatformRole>)>> {
        let sql = "SELECT id, platform_role FROM people WHERE issuer = $1 AND subject = $2";
        let row: Option<(String, Option<String>)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(issuer).bind(subject).fetch_optional(db).await)?;
        row.map(|(id, role)| Ok((parsed(&id)?, role.map(|r| word(PlatformRole::from_word(&r), &r)).transpose()?))).transpose()
    }

    /// Name and last confirmation of a member; `None` for everybody else.
    pub(crate) async fn member(&mut self, tenant: &Name, person: PersonId) -> Result<Option<(String, Timestamp)>> {
        let sql = "SELECT p.name, COALESCE(m.confirmed_at, m.since) FROM members m JOIN people p ON p.id = m.person \
            WHERE m.tenant = $1 AND m.person = $2";
        let row: Option<(String, i64)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(person.to_string()).fetch_optional(db).await)?;
        Ok(row.map(|(name, confirmed)| (name, at(confirmed))))
    }

    /// The provider said that this person still is who it was, and nothing of roles.
    pub(crate) async fn confirm_memberships(&mut self, person: PersonId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE members SET confirmed_at = $2 WHERE person = $1";
        in_tx!(self, db => sqlx::query(sql).bind(person.to_string()).bind(at.0).execute(db).await.map(drop))
    }

    /// Session passes that were made until `at` are refused.
    pub(crate) async fn end_passes(&mut self, person: PersonId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE people SET passes_from = $2 WHERE id = $1";
        in_tx!(self, db => sqlx::query(sql).bind(person.to_string()).bind(at.0).execute(db).await.map(drop))?;
        self.rights_changed(person);
        self.directory_changed();
        Ok(())
    }

    /// Nobody has it any more.
    pub(crate) async fn take_platform_role(&mut self, person: PersonId) -> Result<()> {
        let sql = "UPDATE people SET platform_role = NULL WHERE id = $1";
        in_tx!(self, db => sqlx::query(sql).bind(person.to_string()).execute(db).await.map(drop))
    }

    pub(crate) async fn seen_at(&mut self, person: PersonId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE people SET last_seen_at = $2 WHERE id = $1";
        in_tx!(self, db => sqlx::query(sql).bind(person.to_string()).bind(at.0).execute(db).await.map(drop))
    }

    /// The provider has said something of this person now.
    pub(crate) async fn asked_about(&mut self, person: PersonId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE people SET asked_at = $2 WHERE id = $1";
        in_tx!(self, db => sqlx::query(sql).bind(person.to_string()).bind(at.0).execute(db).await.map(drop))
    }

    /// When the provider last said something of this person.
    pub(crate) async fn asked_at(&mut self, person: PersonId) -> Result<Option<Timestamp>> {
        let sql = "SELECT asked_at FROM people WHERE id = $1";
        let row: Option<(Option<i64>,)> = in_tx!(self, db => sqlx::query_as(sql).bind(person.to_string()).fetch_optional(db).await)?;
        Ok(row.and_then(|(asked,)| asked).map(at))
    }

    /// When the sessions of this person were last ended by somebody.
    pub(crate) async fn passes_from(&mut self, person: PersonId) -> Result<Option<Timestamp>> {
        let sql = "SELECT passes_from FROM people WHERE id = $1";
        let row: Option<(Option<i64>,)> = in_tx!(self, db => sqlx::query_as(sql).bind(person.to_string()).fetch_optional(db).await)?;
        Ok(row.and_then(|(ended,)| ended).map(at))
    }

    pub(crate) async fn memberships(&mut self, person: PersonId) -> Result<Vec<Membership>> {
        // Unlimited: as many as the provider has groups for one person.
        let rows: Vec<(String, String, i64)> =
            in_tx!(self, db => sqlx::query_as(MEMBERSHIPS).bind(person.to_string()).fetch_all(db).await)?;
        membership_rows(rows)
    }

    /// As the provider says it at `at`. Nothing when there is no such tenant: a group claim may name one that the admin has not made yet,
    /// or one that is being deleted.
    pub(crate) async fn put_membership(&mut self, tenant: &Name, person: PersonId, role: Role, at: Timestamp) -> Result<()> {
        let sql = "INSERT INTO members (tenant, person, role, since, confirmed_at, name) \
            SELECT t.name, p.id, $3, $4, $4, p.name FROM tenants t JOIN people p ON p.id = $2 WHERE t.name = $1 AND t.state <> 'deleting' \
            ON CONFLICT (tenant, person) DO UPDATE SET role = excluded.role, confirmed_at = excluded.confirmed_at";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(person.to_string()).bind(role.word()).bind(at.0).execute(db).await.map(drop))
    }

    pub(crate) async fn delete_membership(&mut self, tenant: &Name, person: PersonId) -> Result<()> {
        let sql = "DELETE FROM members WHERE tenant = $1 AND person = $2";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(person.to_string()).execute(db).await.map(drop))
    }
}

/// A person's place in a tenant, and when the provider last confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub tenant: Name,
    pub role: Role,
    pub confirmed_at: Timestamp,
}

const MEMBERSHIPS: &str = "SELECT tenant, role, COALESCE(confirmed_at, since) FROM members WHERE person = $1 ORDER BY tenant";

fn membership_rows(rows: Vec<(String, String, i64)>) -> Result<Vec<Membership>> {
    rows.into_iter()
        .map(|(tenant, role, confirmed)| {
            Ok(Membership { tenant: parsed(&tenant)?, role: word(Role::from_word(&role), &role)?, confirmed_at: at(confirmed) })
        })
        .collect()
}

/// Id, subject, name, address, role on the platform, when they were last here.
type ToAskColumns = (String, String, String, Option<String>, Option<String>, i64);

impl Store {
    /// Who could do something here and was not asked about since `before`, longest ago first; they count as asked about at `now`. One
    /// statement, so that replicas share them.
    pub(crate) async fn take_people_to_ask_about(&self, issuer: &str, now: Timestamp, before: Timestamp, most: i64) -> Result<Vec<ToAsk>> {
        let sql = "UPDATE people SET asked_at = $2 WHERE id IN (SELECT p.id FROM people p WHERE p.issuer = $1 AND COALESCE(p.asked_at, 0) <= $3 \
            AND (EXISTS (SELECT 1 FROM sessions s WHERE s.person = p.id AND s.expires_at > $2) \
            OR EXISTS (SELECT 1 FROM members m JOIN api_keys k ON k.tenant = m.tenant AND k.owner = m.person WHERE m.person = p.id \
                AND k.service = 0 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2))) \
            ORDER BY COALESCE(p.asked_at, 0), p.id LIMIT $4) RETURNING id, subject, name, email, platform_role, last_seen_at";
        let rows: Vec<ToAskColumns> = on_both!(self, db => sqlx::query_as(sql)
            .bind(issuer).bind(now.0).bind(before.0).bind(most).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(id, subject, name, email, role, seen)| {
                Ok(ToAsk {
                    person: parsed(&id)?,
                    issuer: issuer.to_owned(),
                    subject,
                    name,
                    email,
                    platform_role: role.map(|r| word(PlatformRole::from_word(&r), &r)).transpose()?,
                    last_seen_at: at(seen),
                })
            })
            .collect()
    }

    /// With the groups that the provider sent, and when the person's sessions were last ended by somebody.
    pub(crate) async fn person(&self, id: PersonId) -> Result<Option<(Person, Vec<String>, Option<Timestamp>)>> {
        let sql =
            "SELECT id, issuer, subject, name, email, platform_role, groups_json, last_seen_at, passes_from FROM people WHERE id = $1";
        let row: Option<RowWithEnd> = on_both!(self, db => sqlx::query_as(sql).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(id, issuer, subject, name, email, role, groups, seen, ended)| {
            let (person, groups) = person((id, issuer, subject, name, email, role, groups, seen))?;
            Ok((person, groups, ended.map(at)))
        })
        .transpose()
    }

    pub(crate) async fn memberships(&self, person: PersonId) -> Result<Vec<Membership>> {
        // Unlimited: as many as the provider has groups for one person.
        let rows: Vec<(String, String, i64)> =
            on_both!(self, db => sqlx::query_as(MEMBERSHIPS).bind(person.to_string()).fetch_all(db).await)?;
        membership_rows(rows)
    }
}
