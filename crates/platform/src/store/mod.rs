//! All SQL. One text of each query runs on SQLite and on PostgreSQL: [`on_both!`] writes the call twice, and the compiler
//! checks each against its own database. Nobody outside this module sees a pool.
//!
//! Conventions: `$1` placeholders; every column is listed; ids, words and JSON are TEXT, times and counts BIGINT (`i64`),
//! truth is 0 or 1. A function of a tenant's noun takes the tenant first and binds it itself.
//! Reads go through [`Store`], changes through [`Tx`], so that state, audit, event and job commit together or not at all. A [`Tx`] is
//! begun in `crate::change` only; whoever writes here marks in it what listeners must hear ([`Tx::changed`] and its like).
//!
//! Writers stand in one line, on both databases: what a transaction reads first still holds when it writes (quotas, "the
//! next number"), numbers of audit and events appear in their order, and there are no deadlocks. A management action takes
//! milliseconds; what comes in masses (metered calls, log lines) goes through `change::beside`.

mod addresses;
mod answered;
mod api_keys;
mod attachments;
mod audit;
mod base_models;
mod chats;
mod connect;
mod datasets;
mod directory;
mod endpoint_figures;
mod endpoint_log;
mod endpoint_removal;
pub(crate) mod endpoints;
mod events;
mod isolation_checks;
mod jobs;
pub(crate) mod leases;
mod limit_shares;
mod lineage;
mod marks;
pub(crate) mod models;
mod page;
#[cfg(test)]
mod page_tests;
mod people;
mod replicas;
pub(crate) mod revisions;
mod rights;
pub(crate) mod run_live;
pub(crate) mod runs;
mod sessions;
mod store_keys;
pub(crate) mod support;
mod tenant_deletion;
mod tenant_groups;
mod tenant_objects;
mod tenants;
#[cfg(test)]
mod tests;
mod usage;
mod usage_hours;

pub(crate) use answered::answered;
pub(crate) use api_keys::KeyRow;
pub(crate) use audit::ChainEnd;
#[cfg(test)]
pub(crate) use directory::DirectoryKey;
pub(crate) use directory::{DirectoryAttachment, DirectoryEndpoint, DirectoryRows};
pub(crate) use endpoint_figures::{FirstTokens, KEPT as FIGURES_KEPT};
pub(crate) use jobs::JobRow;
pub(crate) use people::Membership;
pub(crate) use sessions::{NewSession, SessionRow};
pub(crate) use usage_hours::Hours;

use crate::{freshness::DatabasePool, write_access::WriteAccess};
use domain::{audit::Entry, time::Timestamp};
use marks::Marks;
use revisions::Wakeups;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Span;

pub type Result<T> = std::result::Result<T, sqlx::Error>;

/// How long a reader waits for a connection, and a writer for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// The advisory lock by which writers of all replicas stand in one line on PostgreSQL.
const WRITERS_LINE: i64 = 0x61_74_65_6c_69_65_72;

#[derive(Clone)]
pub struct Store {
    pub(crate) db: Pool,
    /// The line inside this process: fair, and without holding a connection while waiting.
    line: Arc<Mutex<()>>,
    wakeups: Wakeups,
}

#[derive(Clone)]
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction that may write; dropped without [`Tx::commit`] it leaves nothing behind. While one is open, read through
/// it and begin no other.
pub struct Tx {
    pub(crate) db: Open,
    at: Timestamp,
    marks: Marks,
    wakeups: Wakeups,
    _turn: Option<OwnedMutexGuard<()>>,
    /// From waiting for its turn to its end.
    trace: Span,
}

pub enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs one expression against either database: `on_both!(self, db => sqlx::query(..).fetch_all(db).await)`.
/// `self` is a [`Store`] (then `db` is a pool). PostgreSQL must answer in time ([`answered`]).
macro_rules! on_both {
    ($store:expr, $db:ident => $body:expr) => {
        match &$store.db {
            $crate::store::Pool::Sqlite($db) => $body,
            $crate::store::Pool::Postgres($db) => $crate::store::answered(async { $body }).await,
        }
    };
}

/// The same inside a transaction: `in_tx!(self, db => sqlx::query(..).execute(db).await)`; `db` is used once per call.
macro_rules! in_tx {
    ($tx:expr, $db:ident => $body:expr) => {
        match &mut $tx.db {
            $crate::store::Open::Sqlite(t) => {
                let $db = &mut **t;
                $body
            }
            $crate::store::Open::Postgres(t) => {
                let $db = &mut **t;
                $crate::store::answered(async { $body }).await
            }
        }
    };
}
pub(crate) use {in_tx, on_both};

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the database cannot be opened: {0}")]
    Open(#[from] sqlx::Error),
    #[error("the database's schema cannot be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Store {
    /// A transaction that may write, in its turn. `at` is the time of everything that is written in it.
    pub(crate) async fn begin(&self, at: Timestamp, _: WriteAccess) -> Result<Tx> {
        self.in_line(at).await
    }

    /// The same for this room's own bookkeeping: leases, claims of jobs.
    async fn in_line(&self, at: Timestamp) -> Result<Tx> {
        let turn = tokio::time::timeout(PATIENCE, self.line.clone().lock_owned()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let db = match &self.db {
            // The write lock at once, so that reading first and writing later cannot fail half-way.
            Pool::Sqlite(pool) => Open::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(pool) => {
                let mut t = answered(pool.begin()).await?;
                answered(sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS_LINE).execute(&mut *t)).await?;
                Open::Postgres(t)
            }
        };
        Ok(self.tx(db, at, Some(turn)))
    }

    fn tx(&self, db: Open, at: Timestamp, turn: Option<OwnedMutexGuard<()>>) -> Tx {
        Tx { db, at, marks: Marks::default(), wakeups: self.wakeups.clone(), _turn: turn, trace: Span::none() }
    }

    /// A transaction that only adds rows which nothing else reads while deciding, and takes no number: beside the line on
    /// PostgreSQL. SQLite has one writer anyway.
    pub(crate) async fn begin_beside(&self, at: Timestamp, _: WriteAccess) -> Result<Tx> {
        self.beside_the_line(at).await
    }

    async fn beside_the_line(&self, at: Timestamp) -> Result<Tx> {
        match &self.db {
            Pool::Sqlite(_) => self.in_line(at).await,
            Pool::Postgres(pool) => Ok(self.tx(Open::Postgres(answered(pool.begin()).await?), at, None)),
        }
    }

    /// Writes a row that means nothing, as every change would: in its turn, and to the disk.
    pub(crate) async fn probe(&self, at: Timestamp) -> Result<()> {
        let mut tx = self.in_line(at).await?;
        let sql = "INSERT INTO counters (name, value) VALUES ('write_probe', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        in_tx!(tx, db => sqlx::query(sql).bind(at.0).execute(db).await.map(drop))?;
        tx.commit().await
    }

    pub(crate) fn pool(&self) -> DatabasePool {
        let (open, idle, most) = match &self.db {
            Pool::Sqlite(db) => (db.size(), db.num_idle(), db.options().get_max_connections()),
            Pool::Postgres(db) => (db.size(), db.num_idle(), db.options().get_max_connections()),
        };
        DatabasePool { open, idle: u32::try_from(idle).unwrap_or(u32::MAX), most }
    }

    /// Where a counter stands.
    pub async fn counter(&self, name: &'static str) -> Result<i64> {
        let sql = "SELECT value FROM counters WHERE name = $1";
        let (value,): (i64,) = on_both!(self, db => sqlx::query_as(sql).bind(name).fetch_one(db).await)?;
        Ok(value)
    }

    /// The secret of this name; the first that asks stores `fresh`, and every replica gets that one.
    pub async fn secret(&self, name: &'static str, fresh: &str) -> Result<String> {
        let insert = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        on_both!(self, db => sqlx::query(insert).bind(name).bind(fresh).execute(db).await.map(drop))?;
        let select = "SELECT value FROM secrets WHERE name = $1";
        let (value,): (String,) = on_both!(self, db => sqlx::query_as(select).bind(name).fetch_one(db).await)?;
        Ok(value)
    }
}

impl Store {
    /// The secret of this name, if there is one.
    pub(crate) async fn secret_if_any(&self, name: &'static str) -> Result<Option<String>> {
        let sql = "SELECT value FROM secrets WHERE name = $1";
        let row: Option<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(name).fetch_optional(db).await)?;
        Ok(row.map(|(value,)| value))
    }
}

impl Tx {
    /// The time of everything that is written in this transaction.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// With a span of its own, which ends with it.
    pub(crate) fn traced(self, trace: Span) -> Self {
        Self { trace, ..self }
    }

    /// What is done in it.
    pub(crate) fn is_about(&self, entry: &Entry) {
        if self.trace.is_disabled() {
            return;
        }
        self.trace.record("otel.name", entry.action.as_str());
        self.trace.record("atelier.object_kind", entry.object_kind.as_str());
        self.trace.record("atelier.object", entry.object.as_str());
        if let Some(tenant) = &entry.tenant {
            self.trace.record("atelier.tenant", tenant.as_str());
        }
    }

    /// Ends it, with what was marked on the way.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let told = self.write_marks().await?;
        let Self { db, wakeups, _turn, .. } = self;
        let done = match db {
            Open::Sqlite(t) => t.commit().await,
            Open::Postgres(mut t) => {
                if !told.is_nothing() {
                    let (channel, text) = wakeups.notification(told);
                    answered(sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(text).execute(&mut *t)).await?;
                }
                answered(t.commit()).await
            }
        };
        // Also after an error: the commit may have been done, and its answer lost.
        wakeups.committed(told);
        done
    }

    /// The secret of this name, if there is one.
    pub(crate) async fn secret_if_any(&mut self, name: &'static str) -> Result<Option<String>> {
        let sql = "SELECT value FROM secrets WHERE name = $1";
        let row: Option<(String,)> = in_tx!(self, db => sqlx::query_as(sql).bind(name).fetch_optional(db).await)?;
        Ok(row.map(|(value,)| value))
    }

    /// Stores a secret, over one of the same name.
    pub(crate) async fn set_secret(&mut self, name: &'static str, value: &str) -> Result<()> {
        let sql = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        in_tx!(self, db => sqlx::query(sql).bind(name).bind(value).execute(db).await.map(drop))
    }

    /// The next that asks [`Store::secret`] decides anew.
    pub async fn forget_secret(&mut self, name: &'static str) -> Result<()> {
        let sql = "DELETE FROM secrets WHERE name = $1";
        in_tx!(self, db => sqlx::query(sql).bind(name).execute(db).await.map(drop))
    }

    /// The next number of a counter; without gaps, and visible in order, because writers stand in one line.
    pub async fn next(&mut self, counter: &'static str) -> Result<i64> {
        let sql = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value";
        let (value,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(counter).fetch_one(db).await)?;
        Ok(value)
    }
}

/// For columns that hold JSON text.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a JSON column; text that no longer fits its type is a decoding error, never a panic.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// Reads an id or a word column.
pub(crate) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e: T::Err| sqlx::Error::Decode(Box::new(e)))
}

pub(crate) fn at(value: i64) -> Timestamp {
    Timestamp(value)
}

/// Reads a word column: `word(Role::from_word(&text), &text)?`.
pub(crate) fn word<T>(known: Option<T>, text: &str) -> Result<T> {
    known.ok_or_else(|| sqlx::Error::Decode(format!("“{text}” is not a known word").into()))
}

/// Reads a count.
pub(crate) fn count<T: TryFrom<i64>>(value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| sqlx::Error::Decode(format!("{value} is not a count").into()))
}
