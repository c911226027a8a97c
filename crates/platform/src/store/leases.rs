//! Who leads. One row a lease; its fence grows with each new holder, and a commit that checks it cannot come from an earlier one.

use super::{Open, Result, Store, Tx, in_tx, on_both};
use domain::time::Timestamp;

/// Proof that one led at some time; worth only what [`Tx::holds`] says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub lease: &'static str,
    pub holder: String,
    pub number: i64,
}

/// A lease as it stands; renewed, it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    number: i64,
    expires_at: i64,
}

impl Store {
    /// Takes the lease, or renews it for its holder, until `until`. `None` = another one holds it.
    pub(crate) async fn take_lease(&self, lease: &'static str, holder: &str, now: Timestamp, until: Timestamp) -> Result<Option<Fence>> {
        let mut tx = self.in_line(now).await?;
        let first = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING";
        in_tx!(tx, db => sqlx::query(first).bind(lease).bind("").execute(db).await.map(|_| ()))?;
        let take = "UPDATE leases SET fence = CASE WHEN holder = $2 THEN fence ELSE fence + 1 END, holder = $2, expires_at = $3 \
                    WHERE name = $1 AND (holder = $2 OR expires_at <= $4) RETURNING fence";
        let row: Option<(i64,)> =
            in_tx!(tx, db => sqlx::query_as(take).bind(lease).bind(holder).bind(until.0).bind(now.0).fetch_optional(db).await)?;
        tx.commit().await?;
        Ok(row.map(|(number,)| Fence { lease, holder: holder.to_owned(), number }))
    }

    pub(crate) async fn held_lease(&self, lease: &'static str) -> Result<Option<Held>> {
        let sql = "SELECT fence, expires_at FROM leases WHERE name = $1";
        let row: Option<(i64, i64)> = on_both!(self, db => sqlx::query_as(sql).bind(lease).fetch_optional(db).await)?;
        Ok(row.map(|(number, expires_at)| Held { number, expires_at }))
    }

    /// Ends a lease that stands as it was seen, whatever its end.
    pub(crate) async fn end_lease(&self, lease: &'static str, seen: Held, now: Timestamp) -> Result<()> {
        let mut tx = self.in_line(now).await?;
        let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND fence = $2 AND expires_at = $3";
        in_tx!(tx, db => sqlx::query(sql).bind(lease).bind(seen.number).bind(seen.expires_at).execute(db).await.map(|_| ()))?;
        tx.commit().await
    }

    /// Makes the fence of its holder at least `number`.
    pub(crate) async fn raise_fence(&self, fence: &Fence, number: i64, now: Timestamp) -> Result<()> {
        let mut tx = self.in_line(now).await?;
        let sql = "UPDATE leases SET fence = $4 WHERE name = $1 AND holder = $2 AND fence = $3 AND fence < $4";
        in_tx!(tx, db => sqlx::query(sql).bind(fence.lease).bind(&fence.holder).bind(fence.number).bind(number).execute(db).await.map(|_| ()))?;
        tx.commit().await
    }

    /// Gives the lease back, so that the next one need not wait for its end.
    pub(crate) async fn release_lease(&self, fence: &Fence, now: Timestamp) -> Result<()> {
        let mut tx = self.in_line(now).await?;
        let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2 AND fence = $3";
        in_tx!(tx, db => sqlx::query(sql).bind(fence.lease).bind(&fence.holder).bind(fence.number).execute(db).await.map(|_| ()))?;
        tx.commit().await
    }
}

impl Tx {
    /// Whether the fence still holds; if so, nobody takes the lease before this transaction ends.
    pub(crate) async fn holds(&mut self, fence: &Fence) -> Result<bool> {
        // Writers stand in one line, and a takeover is a writer.
        let sql = "SELECT fence FROM leases WHERE name = $1 AND holder = $2 AND fence = $3";
        let row: Option<(i64,)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(fence.lease).bind(&fence.holder).bind(fence.number).fetch_optional(db).await)?;
        Ok(row.is_some())
    }

    /// The same beside the line: the row is locked, so that a takeover waits until this transaction has ended.
    pub(crate) async fn holds_beside(&mut self, fence: &Fence) -> Result<bool> {
        let sql = match &self.db {
            // One writer at a time anyway.
            Open::Sqlite(_) => return self.holds(fence).await,
            Open::Postgres(_) => "SELECT fence FROM leases WHERE name = $1 AND holder = $2 AND fence = $3 FOR SHARE",
        };
        let row: Option<(i64,)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(fence.lease).bind(&fence.holder).bind(fence.number).fetch_optional(db).await)?;
        Ok(row.is_some())
    }
}
