//! The audit table. Rows are only ever added: triggers refuse anything else.

use super::{Result, Store, Tx, from_json, in_tx, json, on_both};
use crate::audit::AuditFilter;
use domain::{
    audit::{Entry, Record},
    name::Name,
};
use sqlx::{Database, QueryBuilder};

type Row = (i64, String, String, String);

fn record((seq, entry_json, prev_hash, hash): Row) -> Result<Record> {
    Ok(Record { seq, entry: from_json::<Entry>(&entry_json)?, prev_hash, hash })
}

impl Tx {
    pub(crate) async fn audit_hash(&mut self, seq: i64) -> Result<String> {
        let sql = "SELECT hash FROM audit WHERE seq = $1";
        let (hash,): (String,) = in_tx!(self, db => sqlx::query_as(sql).bind(seq).fetch_one(db).await)?;
        Ok(hash)
    }

    pub(crate) async fn insert_audit(&mut self, r: &Record) -> Result<()> {
        let sql = "INSERT INTO audit (seq, at, tenant, actor, action, object, entry_json, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let tenant = r.entry.tenant.as_ref().map(Name::as_str);
        let e = &r.entry;
        in_tx!(self, db => sqlx::query(sql)
            .bind(r.seq).bind(e.at.0).bind(tenant).bind(&e.actor).bind(&e.action).bind(&e.object)
            .bind(json(e)).bind(&r.prev_hash).bind(&r.hash)
            .execute(db).await.map(drop))
    }
}

impl Store {
    /// Oldest first, of the whole platform.
    pub(crate) async fn audit_after(&self, after: i64, limit: i64) -> Result<Vec<Record>> {
        let sql = "SELECT seq, entry_json, prev_hash, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows: Vec<Row> = on_both!(self, db => sqlx::query_as(sql).bind(after).bind(limit).fetch_all(db).await)?;
        rows.into_iter().map(record).collect()
    }

    /// How many records were ever written, and the last that is there; one read, so that a writer cannot come between.
    pub(crate) async fn audit_counter_and_last(&self) -> Result<(i64, i64)> {
        let sql = "SELECT value, (SELECT COALESCE(MAX(seq), 0) FROM audit) FROM counters WHERE name = 'audit'";
        on_both!(self, db => sqlx::query_as(sql).fetch_one(db).await)
    }

    /// Newest first; `None` = of every tenant and of the platform.
    pub(crate) async fn audit_page(&self, tenant: Option<&Name>, filter: &AuditFilter) -> Result<Vec<Record>> {
        let rows: Vec<Row> = on_both!(self, db => page_query(tenant, filter).build_query_as().fetch_all(db).await)?;
        rows.into_iter().map(record).collect()
    }
}

fn page_query<'a, DB: Database>(tenant: Option<&'a Name>, filter: &'a AuditFilter) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new("SELECT seq, entry_json, prev_hash, hash FROM audit WHERE seq < ");
    q.push_bind(filter.before_seq.unwrap_or(i64::MAX));
    if let Some(tenant) = tenant {
        q.push(" AND tenant = ").push_bind(tenant.to_string());
    }
    if let Some(actor) = &filter.actor {
        q.push(" AND (actor = ").push_bind(actor.clone());
        q.push(" OR LOWER(entry_json) LIKE ").push_bind(name_pattern("actor_name", actor)).push(" ESCAPE '!')");
    }
    if let Some(action) = &filter.action {
        q.push(" AND action LIKE ").push_bind(format!("{}%", escaped(action))).push(" ESCAPE '!'");
    }
    if let Some(object) = &filter.object {
        q.push(" AND (object = ").push_bind(object.clone());
        q.push(" OR LOWER(entry_json) LIKE ").push_bind(name_pattern("object_name", object)).push(" ESCAPE '!')");
    }
    q.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(filter.limit.clamp(1, 500)));
    q
}

/// Names stand in the entry only; the pattern fits the beginning of that one JSON string.
fn name_pattern(field: &str, text: &str) -> String {
    let text = serde_json::to_string(&text.to_lowercase()).unwrap_or_default();
    format!("%\"{}\":\"{}%", escaped(field), escaped(text.trim_matches('"')))
}

fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
