//! PostgreSQL that says nothing any more: a machine without power, a network that swallows packets. Nobody closes the connection then, and
//! the driver waits for ever, so it is not waited for longer than an answer can take.

use super::Result;
use sqlx::{Connection, PgConnection};
use std::{future::Future, io, time::Duration};

/// A statement waits at most 10 s for a connection, and PostgreSQL works on it for at most 30 s (`statement_timeout`).
const ANSWERED_WITHIN: Duration = Duration::from_secs(45);
/// The simplest question, for which nothing is read.
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// What PostgreSQL answers, or that it is away. The connection that is given up on is closed when it comes back to its pool ([`is_alive`]).
pub(crate) async fn answered<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(ANSWERED_WITHIN, answer).await.unwrap_or_else(|_| Err(silent(ANSWERED_WITHIN)))
}

/// Whether a connection may be used: asked when it is taken from its pool and when it is given back. The driver asks too, but waits for ever.
pub(super) async fn is_alive(connection: &mut PgConnection) -> Result<bool> {
    match tokio::time::timeout(PING_ANSWERED_WITHIN, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(silent(PING_ANSWERED_WITHIN)),
    }
}

fn silent(waited: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("the database did not answer within {} s", waited.as_secs())))
}
