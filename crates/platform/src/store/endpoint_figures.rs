//! Figures of an endpoint by hour: how soon answers begin, and how long a server that somebody else runs could be used.

use super::{Result, Store, Tx, count, in_tx, on_both};
use domain::{
    external::{Availability, ModelRequests},
    ids::EndpointId,
    latency,
    name::Name,
    time::{DAY, HOUR, Timestamp},
    usage::Call,
};
use sqlx::{Database, QueryBuilder};
use std::collections::BTreeMap;

/// For how long figures are kept.
pub(crate) const KEPT: i64 = 30 * DAY;

/// Rows a statement; both databases take 32 766 values at least.
const ROWS: usize = 1_000;

/// Tenant, endpoint, hour, step of the scale.
type FirstToken = (String, String, i64, u32);

/// Times until the first token of the calls of one transaction. In the order of the table's key, as [`super::Hours`].
#[derive(Debug, Default)]
pub(crate) struct FirstTokens(BTreeMap<FirstToken, i64>);

impl FirstTokens {
    pub(crate) fn add(&mut self, call: &Call) {
        if let (Some(endpoint), Some(ms), true) = (call.endpoint, call.first_token_ms, call.status < 400) {
            let key = (call.tenant.to_string(), endpoint.to_string(), call.at.0.div_euclid(HOUR), latency::step(ms));
            *self.0.entry(key).or_default() += 1;
        }
    }
}

impl Tx {
    /// In the transaction that inserted the calls.
    pub(crate) async fn add_first_tokens(&mut self, first: &FirstTokens) -> Result<()> {
        let counted: Vec<_> = first.0.iter().collect();
        for counted in counted.chunks(ROWS) {
            in_tx!(self, db => add_query(counted).build().execute(db).await.map(drop))?;
        }
        Ok(())
    }

    /// Counts the times of the calls of `since` and later anew. To be called after `rebuild_hours`, which makes new calls wait.
    pub(crate) async fn rebuild_first_tokens(&mut self, since: Timestamp) -> Result<()> {
        // Unlimited: all calls of the time are counted anew; one row an hour, endpoint and time.
        in_tx!(self, db => sqlx::query("DELETE FROM first_token_hours").execute(db).await.map(drop))?;
        let sql = "SELECT tenant, endpoint, at / 3600000, first_token_ms, COUNT(*) FROM calls \
            WHERE at >= $1 AND status < 400 AND endpoint IS NOT NULL AND first_token_ms IS NOT NULL GROUP BY 1, 2, 3, 4";
        let rows: Vec<(String, String, i64, i64, i64)> = in_tx!(self, db => sqlx::query_as(sql).bind(since.0).fetch_all(db).await)?;
        let mut first = FirstTokens::default();
        for (tenant, endpoint, hour, ms, calls) in rows {
            *first.0.entry((tenant, endpoint, hour, latency::step(count(ms)?))).or_default() += calls;
        }
        self.add_first_tokens(&first).await
    }

    /// Adds a time of which it is known whether the server could be used.
    pub(crate) async fn add_availability(&mut self, tenant: &Name, endpoint: EndpointId, at: Timestamp, known: Availability) -> Result<()> {
        let sql = "INSERT INTO external_hours (tenant, endpoint, hour, known_ms, down_ms) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (tenant, endpoint, hour) DO UPDATE SET known_ms = external_hours.known_ms + excluded.known_ms, \
            down_ms = external_hours.down_ms + excluded.down_ms";
        let hour = at.0.div_euclid(HOUR);
        in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(endpoint.to_string()).bind(hour).bind(known.known_ms).bind(known.down_ms).execute(db).await.map(drop))?;
        let old = "DELETE FROM external_hours WHERE tenant = $1 AND endpoint = $2 AND hour < $3";
        in_tx!(self, db => sqlx::query(old)
            .bind(tenant.as_str()).bind(endpoint.to_string()).bind(hour - KEPT / HOUR).execute(db).await.map(drop))
    }
}

impl Store {
    /// Calls of an endpoint since the hour of a time, by model.
    pub(crate) async fn endpoint_requests(&self, tenant: &Name, endpoint: EndpointId, since: Timestamp) -> Result<Vec<ModelRequests>> {
        // Unlimited: one row a name under which the endpoint answered within a day.
        let sql = "SELECT model, CAST(SUM(requests) AS BIGINT), CAST(SUM(errors) AS BIGINT) FROM usage_hours \
            WHERE tenant = $1 AND hour >= $2 AND endpoint = $3 GROUP BY model ORDER BY model";
        let rows: Vec<(String, i64, i64)> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(since.0.div_euclid(HOUR)).bind(endpoint.to_string()).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(model, requests, failed)| Ok(ModelRequests { model, requests: count(requests)?, failed: count(failed)? }))
            .collect()
    }

    /// How many answers began within which step of `domain::latency`, ascending.
    pub(crate) async fn first_tokens(&self, tenant: &Name, endpoint: EndpointId, since: Timestamp) -> Result<Vec<(u32, u64)>> {
        // Unlimited: one row a step of the scale.
        let sql = "SELECT step, CAST(SUM(calls) AS BIGINT) FROM first_token_hours WHERE tenant = $1 AND endpoint = $2 AND hour >= $3 \
            GROUP BY step ORDER BY step";
        let rows: Vec<(i64, i64)> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(endpoint.to_string()).bind(since.0.div_euclid(HOUR)).fetch_all(db).await)?;
        rows.into_iter().map(|(step, calls)| Ok((count(step)?, count(calls)?))).collect()
    }

    pub(crate) async fn availability(&self, tenant: &Name, endpoint: EndpointId, since: Timestamp) -> Result<Availability> {
        let sql = "SELECT CAST(COALESCE(SUM(known_ms), 0) AS BIGINT), CAST(COALESCE(SUM(down_ms), 0) AS BIGINT) FROM external_hours \
            WHERE tenant = $1 AND endpoint = $2 AND hour >= $3";
        let (known_ms, down_ms): (i64, i64) = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(endpoint.to_string()).bind(since.0.div_euclid(HOUR)).fetch_one(db).await)?;
        Ok(Availability { known_ms, down_ms })
    }
}

/// In the order of the table's key.
fn add_query<'a, DB: Database>(counted: &'a [(&'a FirstToken, &'a i64)]) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new("INSERT INTO first_token_hours (tenant, endpoint, hour, step, calls) ");
    q.push_values(counted, |mut row, ((tenant, endpoint, hour, step), calls)| {
        row.push_bind(tenant.clone()).push_bind(endpoint.clone()).push_bind(*hour).push_bind(i64::from(*step)).push_bind(**calls);
    });
    q.push(" ON CONFLICT (tenant, endpoint, hour, step) DO UPDATE SET calls = first_token_hours.calls + excluded.calls");
    q
}
