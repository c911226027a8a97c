//! Taking a tenant away, row by row: in pieces, so that no other writer waits for long, and in an order in which nothing points at what is gone.
//!
//! What stays, and why: `audit_records` and `audit_chains`, because a log that a deletion shortens proves nothing, and that the tenant was
//! deleted stands there too; people, who are the identity provider's and not the tenant's; and the last events, by which replicas and open
//! pages hear of the deletion. Events are ids without contents, and go with the twenty thousand that are kept.

use super::{Result, Store, Tx, count, from_json, in_tx, json, on_both, parsed};
use domain::{deletion::Deletion, event::Topic, ids::PersonId, name::Name, time::MINUTE};

/// Tables in the order in which they are emptied, and a column of their key by which a piece is taken. Members and the tenant's own row
/// come last, together.
const PIECES: [(&str, &str); 28] = [
    ("attachments", "endpoint"),
    ("endpoint_log", "endpoint"),
    ("external_hours", "endpoint"),
    ("first_token_hours", "hour"),
    ("endpoints", "id"),
    ("model_versions", "id"),
    ("models", "id"),
    ("evaluated_rows", "run"),
    ("run_log", "run"),
    ("run_metrics", "run"),
    ("run_steps", "run"),
    ("run_tasks", "run"),
    ("runs", "id"),
    ("dataset_versions", "id"),
    ("datasets", "id"),
    ("chats", "id"),
    ("limit_shares", "subject"),
    ("api_keys", "id"),
    ("calls", "id"),
    ("calls_set_aside", "id"),
    ("usage_hours", "hour"),
    ("jobs", "id"),
    ("job_turns", "tenant"),
    ("store_keys_ending", "access_key_id"),
    ("tenant_store_keys", "tenant"),
    ("tenant_groups", "group_name"),
    ("tenant_objects", "name"),
    ("isolation_checks", "id"),
];
/// Values of that column that go at once: of a run or an hour there are many rows.
const AT_ONCE: i64 = 200;

impl Store {
    /// How far it has come, as the controllers last noted it.
    pub(crate) async fn deletion(&self, tenant: &Name) -> Result<Option<Deletion>> {
        let sql = "SELECT deletion_json FROM tenants WHERE name = $1";
        let row: Option<(Option<String>,)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_optional(db).await)?;
        row.and_then(|(json,)| json).as_deref().map(from_json).transpose()
    }

    /// By name.
    pub(crate) async fn tenants_being_deleted(&self) -> Result<Vec<Name>> {
        // Unlimited: names only, of the few that are on their way out.
        let sql = "SELECT name FROM tenants WHERE state = 'deleting' ORDER BY name";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }
}

impl Tx {
    pub(crate) async fn set_deletion(&mut self, tenant: &Name, deletion: &Deletion) -> Result<()> {
        let sql = "UPDATE tenants SET deletion_json = $2 WHERE name = $1";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(json(deletion)).execute(db).await.map(drop))
    }

    /// Everybody who belongs to the tenant; true = to no other one, and to nothing of the platform.
    pub(crate) async fn people_of_tenant(&mut self, tenant: &Name) -> Result<Vec<(PersonId, bool)>> {
        // Unlimited: the access of all of them ends at once.
        let sql = "SELECT m.person, CAST(CASE WHEN p.platform_role IS NULL AND NOT EXISTS \
                   (SELECT 1 FROM members o WHERE o.person = m.person AND o.tenant <> m.tenant) THEN 1 ELSE 0 END AS BIGINT) \
                   FROM members m JOIN people p ON p.id = m.person WHERE m.tenant = $1 ORDER BY m.person";
        let rows: Vec<(String, i64)> = in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(|(person, only)| Ok((parsed(&person)?, only == 1))).collect()
    }

    pub(crate) async fn delete_members(&mut self, tenant: &Name) -> Result<()> {
        let sql = "DELETE FROM members WHERE tenant = $1";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).execute(db).await.map(drop))
    }

    /// Of people and of services.
    pub(crate) async fn revoke_keys_of_tenant(&mut self, tenant: &Name) -> Result<u64> {
        let sql = "UPDATE api_keys SET revoked_at = $2 WHERE tenant = $1 AND revoked_at IS NULL";
        let at = self.at().0;
        let keys = in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(at).execute(db).await.map(|r| r.rows_affected()))?;
        self.directory_changed();
        Ok(keys)
    }

    /// Deletes those that nobody is at work on; returns how many are left.
    pub(crate) async fn delete_free_jobs(&mut self, tenant: &Name) -> Result<u64> {
        let sql = "DELETE FROM jobs WHERE tenant = $1 AND (claimed_until IS NULL OR claimed_until <= $2)";
        let at = self.at().0;
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(at).execute(db).await.map(drop))?;
        let sql = "SELECT COUNT(*) FROM jobs WHERE tenant = $1";
        let (held,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_one(db).await)?;
        count(held)
    }

    /// A piece of what is left of the tenant, whatever of it is next; false = only its own row and its people are left.
    pub(crate) async fn delete_piece(&mut self, tenant: &Name) -> Result<bool> {
        for (table, column) in PIECES {
            // Names of our own, never of anybody else.
            let sql = sqlx::AssertSqlSafe(format!(
                "DELETE FROM {table} WHERE tenant = $1 AND {column} IN (SELECT {column} FROM {table} WHERE tenant = $1 LIMIT {AT_ONCE})"
            ));
            let rows = in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).execute(db).await.map(|r| r.rows_affected()))?;
            if rows > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last of it. Refused by the database while something still points at the tenant.
    pub(crate) async fn delete_tenant(&mut self, tenant: &Name) -> Result<()> {
        self.delete_members(tenant).await?;
        // Those that every replica has read by now.
        let read = self.at().0 - MINUTE;
        let events = "DELETE FROM events WHERE tenant = $1 AND at < $2";
        in_tx!(self, db => sqlx::query(events).bind(tenant.as_str()).bind(read).execute(db).await.map(drop))?;
        let itself = "DELETE FROM tenants WHERE name = $1";
        in_tx!(self, db => sqlx::query(itself).bind(tenant.as_str()).execute(db).await.map(drop))?;
        self.changed(tenant, Topic::Tenant, tenant);
        self.directory_changed();
        Ok(())
    }

    /// Whether there was a tenant of this name that was deleted: its log says so. Seldom asked.
    pub(crate) async fn was_deleted(&mut self, tenant: &Name) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM audit_records WHERE tenant = $1 AND action = 'tenant.deleted'";
        let (times,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_one(db).await)?;
        Ok(times > 0)
    }
}

#[cfg(test)]
#[path = "tenant_deletion_tests.rs"]
mod tests;
