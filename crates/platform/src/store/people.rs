//! People and their memberships.

use super::{Result, Store, Tx, at, from_json, in_tx, json, on_both, parsed, word};
use domain::{
    ids::PersonId,
    name::Name,
    people::{Person, PlatformRole, Role},
    time::Timestamp,
};

/// A person with the groups that the identity provider sent.
type Row = (String, String, String, String, Option<String>, Option<String>, String, i64);

pub(super) fn person((id, issuer, subject, name, email, role, groups, seen): Row) -> Result<(Person, Vec<String>)> {
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
        parsed(&id)
    }

    pub(crate) async fn memberships(&mut self, person: PersonId) -> Result<Vec<(Name, Role)>> {
        let rows: Vec<(String, String)> = in_tx!(self, db => sqlx::query_as(MEMBERSHIPS).bind(person.to_string()).fetch_all(db).await)?;
        membership_rows(rows)
    }

    /// Nothing when there is no such tenant: a group claim may name one that the admin has not made yet.
    pub(crate) async fn put_membership(&mut self, tenant: &Name, person: PersonId, role: Role, since: Timestamp) -> Result<()> {
        let sql = "INSERT INTO members (tenant, person, role, since) SELECT name, $2, $3, $4 FROM tenants WHERE name = $1 \
            ON CONFLICT (tenant, person) DO UPDATE SET role = excluded.role";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(person.to_string()).bind(role.word()).bind(since.0).execute(db).await.map(drop))
    }

    pub(crate) async fn delete_membership(&mut self, tenant: &Name, person: PersonId) -> Result<()> {
        let sql = "DELETE FROM members WHERE tenant = $1 AND person = $2";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(person.to_string()).execute(db).await.map(drop))
    }
}

const MEMBERSHIPS: &str = "SELECT tenant, role FROM members WHERE person = $1 ORDER BY tenant";

fn membership_rows(rows: Vec<(String, String)>) -> Result<Vec<(Name, Role)>> {
    rows.into_iter().map(|(tenant, role)| Ok((parsed(&tenant)?, word(Role::from_word(&role), &role)?))).collect()
}

impl Store {
    pub(crate) async fn memberships(&self, person: PersonId) -> Result<Vec<(Name, Role)>> {
        let rows: Vec<(String, String)> = on_both!(self, db => sqlx::query_as(MEMBERSHIPS).bind(person.to_string()).fetch_all(db).await)?;
        membership_rows(rows)
    }
}
