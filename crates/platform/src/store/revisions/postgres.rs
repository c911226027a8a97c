//! `LISTEN`: what other replicas committed.

use super::{AGAIN, Inner, LOOK_EVERY, Told};
use crate::store::answered;
use sqlx::{PgPool, postgres::PgListener};

pub(super) const CHANNEL: &str = "atelier";

/// For ever. A connection that breaks is made anew, and everything counts as told then.
pub(super) async fn listen(pool: &PgPool, inner: &Inner) {
    let mut away = false;
    loop {
        let lost = match answered(begin(pool)).await {
            Ok(listener) => {
                away = false;
                follow(listener, inner).await
            }
            Err(e) => e,
        };
        if !std::mem::replace(&mut away, true) {
            tracing::warn!(error = %lost, "the database does not tell of changes now; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn begin(pool: &PgPool) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Until the connection cannot be had any more.
async fn follow(mut listener: PgListener, inner: &Inner) -> sqlx::Error {
    // What was told before anybody listened.
    inner.wake(Told::EVERYTHING);
    loop {
        let Ok(told) = tokio::time::timeout(LOOK_EVERY, listener.try_recv()).await else {
            // Nothing happens, or nobody is there any more.
            match answered(sqlx::query("SELECT 1").execute(&mut listener)).await {
                Ok(_) => continue,
                Err(e) => return e,
            }
        };
        match told {
            Ok(Some(told)) => {
                if let Some((who, words)) = told.payload().split_once(' ')
                    && who != inner.me
                {
                    inner.wake(Told::parse(words));
                }
            }
            // It was away for a moment, and is back.
            Ok(None) => inner.wake(Told::EVERYTHING),
            Err(e) => return e,
        }
    }
}
