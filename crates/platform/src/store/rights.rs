//! Whose rights changed.

use super::{Result, Store, Tx, in_tx, on_both, parsed};
use domain::ids::PersonId;

impl Tx {
    pub(crate) async fn insert_rights_change(&mut self, seq: i64, person: PersonId) -> Result<()> {
        let sql = "INSERT INTO rights_changes (seq, person) VALUES ($1, $2)";
        in_tx!(self, db => sqlx::query(sql).bind(seq).bind(person.to_string()).execute(db).await.map(drop))
    }

    pub(crate) async fn forget_rights_changes_until(&mut self, seq: i64) -> Result<()> {
        let sql = "DELETE FROM rights_changes WHERE seq <= $1";
        in_tx!(self, db => sqlx::query(sql).bind(seq).execute(db).await.map(drop))
    }
}

impl Store {
    /// After `seen`, until `latest`, oldest first.
    pub(crate) async fn rights_changes(&self, seen: i64, latest: i64) -> Result<Vec<PersonId>> {
        // Unlimited: everybody whose rights changed since the last look.
        let sql = "SELECT person FROM rights_changes WHERE seq > $1 AND seq <= $2 ORDER BY seq";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(seen).bind(latest).fetch_all(db).await)?;
        rows.into_iter().map(|(person,)| parsed(&person)).collect()
    }
}
