//! Metered calls, one row each; their sums are in `usage_hours`.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed};
use domain::{
    ids::{KeyId, PersonId},
    name::Name,
    page::{Cursor, Page},
    reason::usage::SetAsideReason,
    time::Timestamp,
    usage::{Call, SetAside},
};
use sqlx::{Database, QueryBuilder};
use std::collections::HashSet;

#[derive(sqlx::FromRow)]
struct CallRow {
    tenant: String,
    id: String,
    at: i64,
    key_id: Option<String>,
    person: Option<String>,
    endpoint: Option<String>,
    model: String,
    model_version: Option<String>,
    route: String,
    stream: i64,
    status: i64,
    error: Option<String>,
    prompt_tokens: i64,
    completion_tokens: i64,
    estimated: i64,
    first_token_ms: Option<i64>,
    duration_ms: i64,
    finish_reason: Option<String>,
    request_id: String,
}

macro_rules! list_calls {
    ($only:literal) => {
        concat!(
            "SELECT tenant, id, at, key_id, person, endpoint, model, model_version, route, stream, status, error, prompt_tokens, \
             completion_tokens, estimated, first_token_ms, duration_ms, finish_reason, request_id FROM calls \
             WHERE tenant = $1 AND (at, id) < ($2, $3) ",
            $only,
            " ORDER BY at DESC, id DESC LIMIT $4"
        )
    };
}
const CALLS: &str = list_calls!("");
const CALLS_OF_PERSON: &str = list_calls!("AND person = $5");
/// In cursors.
const NEWEST: &str = "calls, newest first";
const SET_ASIDE: &str = "calls set aside, oldest first";

fn call(r: CallRow) -> Result<Call> {
    Ok(Call {
        id: parsed(&r.id)?,
        tenant: parsed(&r.tenant)?,
        at: at(r.at),
        key: r.key_id.as_deref().map(parsed).transpose()?,
        person: r.person.as_deref().map(parsed).transpose()?,
        endpoint: r.endpoint.as_deref().map(parsed).transpose()?,
        model: r.model,
        model_version: r.model_version.as_deref().map(parsed).transpose()?,
        route: r.route,
        stream: r.stream != 0,
        status: count(r.status)?,
        error: r.error,
        prompt_tokens: count(r.prompt_tokens)?,
        completion_tokens: count(r.completion_tokens)?,
        estimated: r.estimated != 0,
        first_token_ms: r.first_token_ms.map(count).transpose()?,
        duration_ms: count(r.duration_ms)?,
        finish_reason: r.finish_reason,
        request_id: r.request_id,
    })
}

impl Tx {
    /// Writes those that are not there yet and whose tenant is; returns tenant and id of each that was written.
    pub(crate) async fn insert_calls(&mut self, calls: &[Call]) -> Result<HashSet<(String, String)>> {
        let mut written = HashSet::new();
        for calls in calls.chunks(ROWS) {
            let rows: Vec<(String, String)> = in_tx!(self, db => calls_query(calls).build_query_as().fetch_all(db).await)?;
            written.extend(rows);
        }
        Ok(written)
    }

    pub(crate) async fn set_call_aside(&mut self, aside: &SetAside) -> Result<()> {
        let sql = "INSERT INTO calls_set_aside (tenant, id, set_aside_at, reason, call_json) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (tenant, id) DO UPDATE SET reason = excluded.reason";
        let SetAside { call, at, reason } = aside;
        in_tx!(self, db => sqlx::query(sql)
            .bind(call.tenant.as_str()).bind(call.id.to_string()).bind(at.0).bind(json(reason)).bind(json(call))
            .execute(db).await.map(drop))
    }

    pub(crate) async fn delete_call_set_aside(&mut self, call: &Call) -> Result<()> {
        let sql = "DELETE FROM calls_set_aside WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql).bind(call.tenant.as_str()).bind(call.id.to_string()).execute(db).await.map(drop))
    }

    /// Moves `last_used_at` on when it is older than `coarse` milliseconds.
    pub(crate) async fn touch_key(&mut self, tenant: &Name, id: KeyId, used: Timestamp, coarse: i64) -> Result<()> {
        let sql = "UPDATE api_keys SET last_used_at = $3 WHERE tenant = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $4)";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(id.to_string()).bind(used.0).bind(used.0 - coarse).execute(db).await.map(drop))
    }
}

impl Store {
    /// Oldest first.
    pub(crate) async fn calls_set_aside(&self, after: &Cursor) -> Result<Page<SetAside>> {
        let sql = "SELECT set_aside_at, reason, call_json, tenant, id FROM calls_set_aside WHERE (set_aside_at, tenant, id) > ($1, $2, $3) \
            ORDER BY set_aside_at, tenant, id LIMIT $4";
        let (time, tenant, id): (i64, String, String) = after.key(SET_ASIDE).unwrap_or((i64::MIN, String::new(), String::new()));
        let rows: Vec<(i64, String, String, String, String)> =
            on_both!(self, db => sqlx::query_as(sql).bind(time).bind(&tenant).bind(&id).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, SET_ASIDE, |(since, _, _, tenant, id)| (*since, tenant.clone(), id.clone())).try_map(
            |(since, reason, call, _, _)| Ok(SetAside { call: from_json(&call)?, at: at(since), reason: SetAsideReason::stored(&reason) }),
        )
    }

    pub(crate) async fn count_calls_set_aside(&self) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM calls_set_aside";
        let (calls,): (i64,) = on_both!(self, db => sqlx::query_as(sql).fetch_one(db).await)?;
        count(calls)
    }

    /// Newest first; `only` = of this person.
    pub(crate) async fn calls(&self, tenant: &Name, only: Option<PersonId>, after: &Cursor) -> Result<Page<Call>> {
        let (time, id) = page::newest(NEWEST, after);
        let rows: Vec<CallRow> = match only {
            None => on_both!(self, db => sqlx::query_as(CALLS)
                .bind(tenant.as_str()).bind(time).bind(&id).bind(page::READ).fetch_all(db).await)?,
            Some(person) => on_both!(self, db => sqlx::query_as(CALLS_OF_PERSON)
                .bind(tenant.as_str()).bind(time).bind(&id).bind(page::READ).bind(person.to_string()).fetch_all(db).await)?,
        };
        Page::cut(rows, NEWEST, |c| (c.at, c.id.clone())).try_map(call)
    }
}

/// Rows a statement; both databases take 32 766 values at least.
const ROWS: usize = 500;

/// In the order of the table's key, so that two batches with the same calls never wait for each other crosswise.
fn calls_query<'a, DB: Database>(calls: &'a [Call]) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    Option<String>: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    Option<i64>: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new(
        "WITH v (tenant, id, at, key_id, person, endpoint, model, model_version, route, stream, status, error, prompt_tokens, \
         completion_tokens, estimated, first_token_ms, duration_ms, finish_reason, request_id) AS (",
    );
    q.push_values(calls, |mut row, c| {
        row.push_bind(c.tenant.to_string()).push_bind(c.id.to_string()).push_bind(c.at.0);
        row.push_bind(c.key.map(|id| id.to_string())).push_bind(c.person.map(|id| id.to_string()));
        row.push_bind(c.endpoint.map(|id| id.to_string())).push_bind(c.model.clone()).push_bind(c.model_version.map(|id| id.to_string()));
        row.push_bind(c.route.clone()).push_bind(i64::from(c.stream)).push_bind(i64::from(c.status)).push_bind(c.error.clone());
        row.push_bind(i64::from(c.prompt_tokens)).push_bind(i64::from(c.completion_tokens)).push_bind(i64::from(c.estimated));
        row.push_bind(c.first_token_ms.map(i64::from)).push_bind(i64::from(c.duration_ms)).push_bind(c.finish_reason.clone());
        row.push_bind(c.request_id.clone());
    });
    q.push(
        ") INSERT INTO calls (tenant, id, at, key_id, person, endpoint, model, model_version, route, stream, status, error, prompt_tokens, \
         completion_tokens, estimated, first_token_ms, duration_ms, finish_reason, request_id) \
         SELECT v.tenant, v.id, v.at, v.key_id, v.person, v.endpoint, v.model, v.model_version, v.route, v.stream, v.status, v.error, \
         v.prompt_tokens, v.completion_tokens, v.estimated, v.first_token_ms, v.duration_ms, v.finish_reason, v.request_id \
         FROM v JOIN tenants t ON t.name = v.tenant WHERE 1 = 1 ORDER BY v.tenant, v.id \
         ON CONFLICT (tenant, id) DO NOTHING RETURNING tenant, id",
    );
    q
}
