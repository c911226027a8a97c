//! The audit tables. Records are only ever added: triggers refuse anything else.

use super::{Result, Store, Tx, in_tx, on_both};
use domain::{
    audit::{
        FIRST_PREV,
        chain::{FIRST_SEGMENT, Row},
    },
    filter::AuditFilter,
    page::Page,
    tenant::Tenant,
};

/// In cursors.
const NEWEST: &str = "records, newest first";

use sqlx::{Database, QueryBuilder};

/// How a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainEnd {
    pub chain: String,
    pub size: i64,
    pub head: String,
    /// `domain::audit::tree`, as stored.
    pub subtrees: String,
}

#[derive(sqlx::FromRow)]
struct Columns {
    chain: String,
    seq: i64,
    at: i64,
    tenant: Option<String>,
    actor_kind: String,
    actor: String,
    actor_name: String,
    action: String,
    object_kind: String,
    object: String,
    object_name: String,
    result: String,
    detail_json: String,
    request_id: String,
    from_ip: String,
    prev_hash: String,
    hash: String,
    first_entry: Option<String>,
}

const SELECT: &str = "SELECT chain, seq, at, tenant, actor_kind, actor, actor_name, action, object_kind, object, object_name, result, \
    detail_json, request_id, from_ip, prev_hash, hash, first_entry FROM audit_records";

fn row(c: Columns) -> Row {
    Row {
        chain: c.chain,
        seq: c.seq,
        at: c.at,
        tenant: c.tenant,
        actor_kind: c.actor_kind,
        actor: c.actor,
        actor_name: c.actor_name,
        action: c.action,
        object_kind: c.object_kind,
        object: c.object,
        object_name: c.object_name,
        result: c.result,
        detail: c.detail_json,
        request_id: c.request_id,
        from_ip: c.from_ip,
        prev_hash: c.prev_hash,
        hash: c.hash,
        first_entry: c.first_entry,
    }
}

impl Tx {
    /// The end of this chain, which nobody else moves before this transaction ends; other chains are left to others.
    pub(crate) async fn audit_end(&mut self, chain: &str) -> Result<ChainEnd> {
        let sql = "INSERT INTO audit_chains (chain, size, head, subtrees) VALUES ($1, 0, $2, '') \
            ON CONFLICT (chain) DO UPDATE SET size = audit_chains.size RETURNING size, head, subtrees";
        let (size, head, subtrees): (i64, String, String) =
            in_tx!(self, db => sqlx::query_as(sql).bind(chain).bind(FIRST_PREV).fetch_one(db).await)?;
        Ok(ChainEnd { chain: chain.to_owned(), size, head, subtrees })
    }

    /// Moves the end of a chain.
    pub(crate) async fn set_audit_end(&mut self, end: &ChainEnd) -> Result<()> {
        let sql = "UPDATE audit_chains SET size = $2, head = $3, subtrees = $4 WHERE chain = $1";
        in_tx!(self, db => sqlx::query(sql)
            .bind(&end.chain).bind(end.size).bind(&end.head).bind(&end.subtrees).execute(db).await.map(drop))
    }

    /// The hashes of a chain's first `size` records.
    pub(crate) async fn audit_hashes(&mut self, chain: &str, size: i64) -> Result<Vec<String>> {
        // Unlimited: the tree is over the whole chain; read only when its stored form is lost.
        let sql = "SELECT hash FROM audit_records WHERE chain = $1 AND seq <= $2 ORDER BY seq";
        let rows: Vec<(String,)> = in_tx!(self, db => sqlx::query_as(sql).bind(chain).bind(size).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(hash,)| hash).collect())
    }

    pub(crate) async fn insert_audit(&mut self, r: &Row) -> Result<()> {
        let sql = "INSERT INTO audit_records (chain, seq, at, tenant, actor_kind, actor, actor_name, action, object_kind, object, object_name, \
            result, detail_json, request_id, from_ip, prev_hash, hash, first_entry) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, NULL)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(&r.chain).bind(r.seq).bind(r.at).bind(&r.tenant).bind(&r.actor_kind).bind(&r.actor).bind(&r.actor_name).bind(&r.action)
            .bind(&r.object_kind).bind(&r.object).bind(&r.object_name).bind(&r.result).bind(&r.detail).bind(&r.request_id).bind(&r.from_ip)
            .bind(&r.prev_hash).bind(&r.hash)
            .execute(db).await.map(drop))
    }
}

impl Store {
    /// Every chain of which there is a record or an end, by name; the number is how many records were ever written to it.
    pub(crate) async fn audit_chains(&self) -> Result<Vec<(String, i64)>> {
        // Unlimited: one row a tenant, for a check of all of them.
        let sql = "SELECT chain, CAST(SUM(size) AS BIGINT) FROM (SELECT chain, size FROM audit_chains \
            UNION ALL SELECT DISTINCT chain, 0 AS size FROM audit_records) AS chains GROUP BY chain ORDER BY chain";
        on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)
    }

    /// How many records were ever written to a chain.
    pub(crate) async fn audit_size(&self, chain: &str) -> Result<i64> {
        let sql = "SELECT size FROM audit_chains WHERE chain = $1";
        let row: Option<(i64,)> = on_both!(self, db => sqlx::query_as(sql).bind(chain).fetch_optional(db).await)?;
        Ok(row.map_or(0, |(size,)| size))
    }

    /// Records of a chain after `after`, oldest first.
    pub(crate) async fn audit_after(&self, chain: &str, after: i64, limit: i64) -> Result<Vec<Row>> {
        let sql = "SELECT chain, seq, at, tenant, actor_kind, actor, actor_name, action, object_kind, object, object_name, result, detail_json, \
            request_id, from_ip, prev_hash, hash, first_entry FROM audit_records WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows: Vec<Columns> = on_both!(self, db => sqlx::query_as(sql).bind(chain).bind(after).bind(limit).fetch_all(db).await)?;
        Ok(rows.into_iter().map(row).collect())
    }

    /// Whether the first segment is still to be closed: it was carried over, and has no tree yet.
    pub(crate) async fn first_segment_is_open(&self) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM audit_chains WHERE chain = $1 AND subtrees = ''";
        let (open,): (i64,) = on_both!(self, db => sqlx::query_as(sql).bind(FIRST_SEGMENT).fetch_one(db).await)?;
        Ok(open > 0)
    }

    /// Newest first; `None` = of every tenant and of the platform.
    pub(crate) async fn audit_page(&self, tenant: Option<&Tenant>, filter: &AuditFilter) -> Result<Page<Row>> {
        // With its LIMIT in `page_query`.
        let rows: Vec<Columns> = on_both!(self, db => page_query(tenant, filter).build_query_as().fetch_all(db).await)?;
        Ok(Page::cut_at(size(filter), rows, NEWEST, |r| (r.at, r.chain.clone(), r.seq)).map(row))
    }
}

fn size(filter: &AuditFilter) -> usize {
    filter.limit.clamp(1, 500) as usize
}

fn page_query<'a, DB: Database>(tenant: Option<&'a Tenant>, filter: &'a AuditFilter) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new(SELECT);
    let after: Option<(i64, String, i64)> = filter.after.key(NEWEST);
    q.push(" WHERE at <= ").push_bind(after.as_ref().map_or(i64::MAX, |(at, ..)| *at));
    if let Some((at, chain, seq)) = after {
        q.push(" AND (at, chain, seq) < (").push_bind(at).push(", ").push_bind(chain).push(", ").push_bind(seq).push(")");
    }
    if let Some(tenant) = tenant {
        q.push(" AND tenant = ").push_bind(tenant.name.to_string());
        // Records of an earlier one of this name, which was deleted, are the platform's to read.
        q.push(" AND at >= ").push_bind(tenant.created_at.0);
    }
    if let Some(actor) = &filter.actor {
        q.push(" AND (actor = ").push_bind(actor.clone());
        q.push(" OR LOWER(actor_name) LIKE ").push_bind(beginning(&actor.to_lowercase())).push(" ESCAPE '!')");
    }
    if let Some(action) = &filter.action {
        q.push(" AND action LIKE ").push_bind(beginning(action)).push(" ESCAPE '!'");
    }
    if let Some(object) = &filter.object {
        q.push(" AND (object = ").push_bind(object.clone());
        q.push(" OR LOWER(object_name) LIKE ").push_bind(beginning(&object.to_lowercase())).push(" ESCAPE '!')");
    }
    q.push(" ORDER BY at DESC, chain DESC, seq DESC LIMIT ").push_bind(size(filter) as i64 + 1);
    q
}

fn beginning(text: &str) -> String {
    format!("{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}
