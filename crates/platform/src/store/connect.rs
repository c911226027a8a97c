//! How connections are made: on both databases so that one process that is frozen, and one disk that was full, stop nobody for long.

use super::{
    ConnectError, PATIENCE, Pool, Result, Store, WRITERS_LINE,
    answered::{answered, is_alive},
    revisions::Wakeups,
};
use sqlx::{
    Connection, PgConnection, SqliteConnection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::sync::Arc;

/// What PostgreSQL is told on each connection. A transaction in which nothing is asked for 8 s belongs to a process that is frozen or
/// unreachable: it is ended before those who wait behind it give up (10 s). The TCP settings end connections to machines that are gone.
const POSTGRES_SESSION: &str = "SET idle_in_transaction_session_timeout = '8s'; SET lock_timeout = '10s'; SET statement_timeout = '30s'; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 15000; \
    SET synchronous_commit = on";
const POSTGRES_CONNECTIONS: u32 = 16;
const SQLITE_CONNECTIONS: u32 = 8;
/// For whoever only looks: a transaction that would change something is refused by the database itself.
const POSTGRES_LOOKS: &str = "SET default_transaction_read_only = on";

pub(super) static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");
pub(super) static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

impl Store {
    /// `sqlite:PATH`, `sqlite::memory:` or `postgres://...`; brings the schema up to date.
    pub async fn connect(url: &str) -> std::result::Result<Self, ConnectError> {
        let db = if url.starts_with("sqlite:") { sqlite(url).await? } else { postgres(url).await? };
        Ok(Self { db, line: Arc::default(), wakeups: Wakeups::new(url) })
    }

    /// Only to look, whatever schema there is: nothing is made, brought up to date or changed.
    pub async fn look(url: &str) -> Result<Self> {
        let db = if url.starts_with("sqlite:") {
            let options: SqliteConnectOptions = url.parse()?;
            let options = options.create_if_missing(false).read_only(true).busy_timeout(PATIENCE);
            Pool::Sqlite(SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options).await?)
        } else {
            let options: PgConnectOptions = url.parse()?;
            // By itself first: a pool tries until its time is over, and then does not say what it met.
            answered(PgConnection::connect_with(&options)).await?.close().await?;
            let settings = format!("{POSTGRES_SESSION}; {POSTGRES_LOOKS}");
            let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(PATIENCE).after_connect(move |connection, _| {
                let settings = settings.clone();
                // Two constants of this file.
                Box::pin(async move { sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(connection).await.map(drop) })
            });
            Pool::Postgres(pool.connect_with(options).await?)
        };
        Ok(Self { db, line: Arc::default(), wakeups: Wakeups::new(url) })
    }
}

async fn sqlite(url: &str) -> std::result::Result<Pool, ConnectError> {
    let options: SqliteConnectOptions = url.parse()?;
    let options = options
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE);
    // An in-memory database is one per connection.
    let most = if url.contains(":memory:") { 1 } else { SQLITE_CONNECTIONS };
    let pool = SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        .after_release(|connection, _| Box::pin(is_clean(connection)))
        .connect_with(options)
        .await?;
    SQLITE_MIGRATIONS.run(&pool).await?;
    Ok(Pool::Sqlite(pool))
}

/// Whether a connection may be used again. After a full disk SQLite has ended the transaction by itself, the rollback that follows
/// fails, and the driver goes on believing in a transaction: such a connection refuses every further one, so it is closed.
async fn is_clean(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // The rollback of a dropped transaction is only under way; it is done before this is answered.
    connection.ping().await?;
    let clean = !connection.is_in_transaction();
    if !clean {
        tracing::warn!("a transaction could not be rolled back; its connection is closed");
    }
    Ok(clean)
}

async fn postgres(url: &str) -> std::result::Result<Pool, ConnectError> {
    let options: PgConnectOptions = url.parse()?;
    // By itself, before the limits of time: a migration may take long, and replicas wait for each other's.
    let mut migrating = PgConnection::connect_with(&options).await?;
    migrate(&mut migrating).await?;
    migrating.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(PATIENCE)
        // Ours has a limit of time.
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_alive(connection)))
        .after_release(|connection, _| Box::pin(is_alive(connection)))
        .after_connect(|connection, _| Box::pin(async move { sqlx::raw_sql(POSTGRES_SESSION).execute(connection).await.map(drop) }))
        .connect_with(options)
        .await?;
    Ok(Pool::Postgres(pool))
}

impl Store {
    /// Host and port of the database's server; `None` = it is a file, or reached without a network.
    pub(crate) fn server(&self) -> Option<String> {
        let Pool::Postgres(pool) = &self.db else { return None };
        let options = pool.connect_options();
        let host = options.get_host();
        (options.get_socket().is_none() && !host.starts_with('/')).then(|| format!("{host}:{}", options.get_port()))
    }
}

/// Brings the schema up to date in one transaction, as the only one who writes. A replica of the version before may still be at work: what
/// it has begun to write is waited for and carried over, and what it writes afterwards is kept or refused, but never lost between reading
/// a table and replacing it.
async fn migrate(connection: &mut PgConnection) -> std::result::Result<(), ConnectError> {
    let mut tx = connection.begin().await?;
    // Replicas that start together come one after the other.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS_LINE).execute(&mut *tx).await?;
    let (known,): (bool,) = sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *tx).await?;
    let applied: Vec<(i64,)> = match known {
        // Unlimited: one row a migration.
        true => sqlx::query_as("SELECT version FROM _sqlx_migrations").fetch_all(&mut *tx).await?,
        false => Vec::new(),
    };
    if POSTGRES_MIGRATIONS.iter().any(|m| !applied.contains(&(m.version,))) {
        let sql = "SELECT 'LOCK TABLE ' || string_agg(quote_ident(tablename), ', ' ORDER BY tablename) || ' IN EXCLUSIVE MODE' \
            FROM pg_tables WHERE schemaname = current_schema() AND tablename <> '_sqlx_migrations'";
        let (lock,): (Option<String>,) = sqlx::query_as(sql).fetch_one(&mut *tx).await?;
        if let Some(lock) = lock {
            // Names of our own tables, quoted by the database.
            sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut *tx).await?;
        }
    }
    POSTGRES_MIGRATIONS.run(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
