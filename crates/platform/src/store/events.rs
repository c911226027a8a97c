//! The events table: small, ordered by number, kept for a while.

use super::{Result, Store, Tx, at, in_tx, on_both, parsed, word};
use domain::{
    event::{Event, Topic},
    name::Name,
};

impl Tx {
    pub(crate) async fn insert_event(&mut self, e: &Event) -> Result<()> {
        let sql = "INSERT INTO events (seq, id, tenant, at, topic, object) VALUES ($1, $2, $3, $4, $5, $6)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(e.seq).bind(e.id.to_string()).bind(e.tenant.as_str()).bind(e.at.0).bind(e.topic.word()).bind(&e.object)
            .execute(db).await.map(drop))
    }

    pub(crate) async fn forget_events_until(&mut self, seq: i64) -> Result<()> {
        let sql = "DELETE FROM events WHERE seq <= $1";
        in_tx!(self, db => sqlx::query(sql).bind(seq).execute(db).await.map(drop))
    }
}

type Columns = (String, i64, String, i64, String, String);

fn event((id, seq, tenant, when, topic, object): Columns) -> Result<Event> {
    let topic = word(Topic::from_word(&topic), &topic)?;
    Ok(Event { id: parsed(&id)?, seq, tenant: parsed(&tenant)?, at: at(when), topic, object })
}

impl Store {
    pub(crate) async fn events_after(&self, tenant: &Name, seq: i64, limit: i64) -> Result<Vec<Event>> {
        let sql = "SELECT id, seq, tenant, at, topic, object FROM events WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows: Vec<Columns> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(seq).bind(limit).fetch_all(db).await)?;
        rows.into_iter().map(event).collect()
    }

    /// Of every tenant, for the one reader of the process.
    pub(crate) async fn all_events_after(&self, seq: i64, limit: i64) -> Result<Vec<Event>> {
        let sql = "SELECT id, seq, tenant, at, topic, object FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows: Vec<Columns> = on_both!(self, db => sqlx::query_as(sql).bind(seq).bind(limit).fetch_all(db).await)?;
        rows.into_iter().map(event).collect()
    }
}
