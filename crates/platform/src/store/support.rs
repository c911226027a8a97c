//! What a support bundle says of the database itself: reading only, and of a schema that may be older or newer than this program.

use super::{
    Pool, Result, Store, at,
    connect::{POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS},
    on_both, parsed, word,
};
use domain::{
    event::Event,
    event::Topic,
    ids::{EndpointId, RunId},
    name::Name,
    time::Timestamp,
};
use engine::Cursor as OutputCursor;
use sqlx::{AssertSqlSafe, migrate::Migrator};
use std::{collections::BTreeMap, time::Duration};

/// One table is counted for so long; the number of a large one is not worth more.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);

/// A lease, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    pub name: String,
    pub holder: String,
    /// The term.
    pub fence: i64,
    pub expires_at: Timestamp,
}

/// One migration that the database or this program knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MigrationRow {
    pub version: i64,
    pub description: String,
    /// `None` = it was never applied.
    pub applied_at: Option<String>,
    pub state: MigrationState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MigrationState {
    Applied,
    /// This program has it, the database has not.
    Missing,
    /// The database was used by another, probably newer program.
    Unknown,
    /// It began and did not end.
    BrokenOff,
    /// It was another text when it was applied.
    Changed,
}

impl MigrationState {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Missing => "missing",
            Self::Unknown => "unknown to this program",
            Self::BrokenOff => "broken off",
            Self::Changed => "applied with another text",
        }
    }
}

/// Version, description, whether it succeeded, checksum, time.
type AppliedRow = (i64, String, bool, Vec<u8>, String);
type EventRow = (String, i64, String, i64, String, String);

impl Store {
    /// `SQLite 3.50.4`, `PostgreSQL 17.6 on x86_64...`.
    pub(crate) async fn version(&self) -> Result<String> {
        let (version,): (String,) = match &self.db {
            Pool::Sqlite(db) => sqlx::query_as("SELECT 'SQLite ' || sqlite_version()").fetch_one(db).await?,
            Pool::Postgres(db) => super::answered(sqlx::query_as("SELECT version()").fetch_one(db)).await?,
        };
        Ok(version)
    }

    /// Rows of each table; `None` = more than can be counted in a moment.
    pub(crate) async fn table_counts(&self) -> Result<BTreeMap<String, Option<i64>>> {
        let tables = match &self.db {
            Pool::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name",
            Pool::Postgres(_) => "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename",
        };
        // Unlimited: the tables of our schema.
        let tables: Vec<(String,)> = on_both!(self, db => sqlx::query_as(tables).fetch_all(db).await)?;
        let mut counts = BTreeMap::new();
        for (table,) in tables {
            // A name that the database has just told, quoted.
            let sql = format!("SELECT COUNT(*) FROM \"{}\"", table.replace('"', "\"\""));
            let counted = async { on_both!(self, db => sqlx::query_as(AssertSqlSafe(sql)).fetch_one(db).await) };
            let counted: Option<(i64,)> = tokio::time::timeout(COUNTED_WITHIN, counted).await.ok().transpose()?;
            counts.insert(table, counted.map(|(rows,)| rows));
        }
        Ok(counts)
    }

    /// Every migration, by its number.
    pub(crate) async fn migrations(&self) -> Result<Vec<MigrationRow>> {
        let sql = "SELECT version, description, success, checksum, CAST(installed_on AS TEXT) FROM _sqlx_migrations ORDER BY version";
        // Unlimited: one row a migration.
        let applied: Vec<AppliedRow> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        let known = match &self.db {
            Pool::Sqlite(_) => &SQLITE_MIGRATIONS,
            Pool::Postgres(_) => &POSTGRES_MIGRATIONS,
        };
        Ok(compared(applied, known))
    }

    pub(crate) async fn leases(&self) -> Result<Vec<LeaseRow>> {
        // Unlimited: one row for each thing that is led, which is one.
        let sql = "SELECT name, holder, fence, expires_at FROM leases ORDER BY name";
        let rows: Vec<(String, String, i64, i64)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(name, holder, fence, until)| LeaseRow { name, holder, fence, expires_at: at(until) }).collect())
    }

    /// Whose run it is.
    pub(crate) async fn tenant_of_run(&self, run: RunId) -> Result<Option<Name>> {
        let sql = "SELECT tenant FROM runs WHERE id = $1";
        let row: Option<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(run.to_string()).fetch_optional(db).await)?;
        row.map(|(tenant,)| parsed(&tenant)).transpose()
    }

    /// Whose endpoint it is.
    pub(crate) async fn tenant_of_endpoint(&self, endpoint: EndpointId) -> Result<Option<Name>> {
        let sql = "SELECT tenant FROM endpoints WHERE id = $1";
        let row: Option<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(endpoint.to_string()).fetch_optional(db).await)?;
        row.map(|(tenant,)| parsed(&tenant)).transpose()
    }

    /// The tasks of a run that were seen to exist, and how far the output of each was read.
    pub(crate) async fn tasks_of_run(&self, tenant: &Name, run: RunId) -> Result<Vec<(String, OutputCursor)>> {
        // Unlimited: the tries of the steps of one plan.
        let sql = "SELECT task, output_cursor FROM run_tasks WHERE tenant = $1 AND run = $2 ORDER BY task";
        let rows: Vec<(String, String)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(run.to_string()).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(task, cursor)| (task, OutputCursor::from_text(cursor))).collect())
    }

    /// The newest events of one thing, oldest of them first.
    pub(crate) async fn events_of(&self, tenant: &Name, object: &str, most: u32) -> Result<Vec<Event>> {
        let sql = "SELECT id, seq, tenant, at, topic, object FROM events WHERE tenant = $1 AND object = $2 ORDER BY seq DESC LIMIT $3";
        let rows: Vec<EventRow> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(object).bind(i64::from(most)).fetch_all(db).await)?;
        let event = |(id, seq, tenant, when, topic, object): EventRow| {
            let topic = word(Topic::from_word(&topic), &topic)?;
            Ok(Event { id: parsed(&id)?, seq, tenant: parsed(&tenant)?, at: at(when), topic, object })
        };
        rows.into_iter().rev().map(event).collect()
    }

    /// The keys of the artefact store of all tenants, sealed, by tenant.
    pub(crate) async fn sealed_store_keys(&self) -> Result<Vec<(Name, String)>> {
        // Unlimited: one row a tenant, each to be looked for in what leaves the house.
        let sql = "SELECT tenant, sealed FROM tenant_store_keys ORDER BY tenant";
        let rows: Vec<(String, String)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.into_iter().map(|(tenant, sealed)| Ok((parsed(&tenant)?, sealed))).collect()
    }
}

fn compared(applied: Vec<AppliedRow>, known: &Migrator) -> Vec<MigrationRow> {
    let mut all: BTreeMap<i64, MigrationRow> = known
        .iter()
        .map(|m| {
            let row = MigrationRow {
                version: m.version,
                description: m.description.to_string(),
                applied_at: None,
                state: MigrationState::Missing,
            };
            (m.version, row)
        })
        .collect();
    for (version, description, succeeded, checksum, applied_at) in applied {
        let state = match known.iter().find(|m| m.version == version) {
            _ if !succeeded => MigrationState::BrokenOff,
            None => MigrationState::Unknown,
            Some(m) if *m.checksum != *checksum => MigrationState::Changed,
            Some(_) => MigrationState::Applied,
        };
        all.insert(version, MigrationRow { version, description, applied_at: Some(applied_at), state });
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_and_the_program_know_of_migrations_is_compared_one_by_one() {
        let known: Vec<_> = SQLITE_MIGRATIONS.iter().take(3).collect();
        let row =
            |m: &sqlx::migrate::Migration, good: bool, sum: Vec<u8>| (m.version, m.description.to_string(), good, sum, "then".to_owned());
        let applied = vec![
            row(known[0], true, known[0].checksum.to_vec()),
            row(known[1], true, b"another".to_vec()),
            row(known[2], false, known[2].checksum.to_vec()),
            (999_999, "later".into(), true, Vec::new(), "then".into()),
        ];
        let all = compared(applied, &SQLITE_MIGRATIONS);
        let state = |version: i64| all.iter().find(|m| m.version == version).map(|m| m.state);
        use MigrationState as S;
        assert_eq!([0, 1, 2].map(|i| state(known[i].version)), [Some(S::Applied), Some(S::Changed), Some(S::BrokenOff)]);
        assert_eq!(state(999_999), Some(S::Unknown));
        let missing = all.iter().filter(|m| m.state == S::Missing).count();
        assert_eq!(missing, SQLITE_MIGRATIONS.iter().count() - 3);
    }
}
