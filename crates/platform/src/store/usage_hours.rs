//! Sums of metered calls by hour. Written together with the calls, read by every table of usage, and rebuilt from the calls on demand.

use super::{Result, Store, Tx, answered, count, in_tx, on_both, page, parsed};
use crate::store::Open;
use domain::{
    ids::{EndpointId, KeyId, ModelVersionId, PersonId},
    name::Name,
    page::{Cursor, Page},
    time::{HOUR, Timestamp},
    usage::{Call, UsageBy, UsageLine},
};
use sqlx::{Database, QueryBuilder};
use std::collections::{BTreeMap, HashMap};

/// Sums a statement; both databases take 32 766 values at least.
const ROWS: usize = 500;

/// What is summed up apart. In the order of the table's key, so that every batch takes its rows in the same order and none waits for
/// another crosswise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    tenant: String,
    hour: i64,
    key: String,
    person: String,
    endpoint: String,
    model: String,
    version: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    requests: i64,
    errors: i64,
    not_found: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
}

/// The calls of one transaction, summed up.
#[derive(Debug, Default)]
pub(crate) struct Hours(BTreeMap<Group, Sums>);

impl Hours {
    pub(crate) fn add(&mut self, call: &Call) {
        let text = |id: Option<String>| id.unwrap_or_default();
        let group = Group {
            tenant: call.tenant.to_string(),
            hour: call.at.0.div_euclid(HOUR),
            key: text(call.key.map(|id| id.to_string())),
            person: text(call.person.map(|id| id.to_string())),
            endpoint: text(call.endpoint.map(|id| id.to_string())),
            model: call.model.clone(),
            version: text(call.model_version.map(|id| id.to_string())),
        };
        let sums = self.0.entry(group).or_default();
        sums.requests += 1;
        sums.errors += i64::from(call.status >= 400);
        sums.not_found += i64::from(call.error.as_deref() == Some("model_not_found"));
        sums.prompt_tokens += i64::from(call.prompt_tokens);
        sums.completion_tokens += i64::from(call.completion_tokens);
    }
}

const SUMS: &str = "CAST(SUM(u.requests) AS BIGINT), CAST(SUM(u.errors) AS BIGINT), CAST(SUM(u.not_found) AS BIGINT), CAST(SUM(u.prompt_tokens) AS BIGINT), CAST(SUM(u.completion_tokens) AS BIGINT)";
const BY_KEY: &str = "SELECT key_id, CAST(SUM(requests) AS BIGINT) FROM usage_hours WHERE tenant = ";
const WHOSE: &str = "WHERE u.tenant = $1 AND u.hour >= $2 AND ($3 = '' OR u.person = $3)";

fn line(by: UsageBy, (group, name, part, requests, errors, not_found, prompt, completion): LineRow) -> Result<UsageLine> {
    // A name to which every answer was that there is no such model is not listed as if it were one.
    let label = by.label(&group, name.as_deref(), part.as_deref(), not_found == requests);
    Ok(UsageLine {
        group,
        label,
        requests: count(requests)?,
        errors: count(errors)?,
        prompt_tokens: count(prompt)?,
        completion_tokens: count(completion)?,
    })
}

/// `(group, name, part of the name)`, what is joined for the names, and what is grouped by, the group first. What is said of them is
/// `domain::usage`'s.
const fn parts(by: UsageBy) -> (&'static str, &'static str, &'static str) {
    match by {
        UsageBy::Day => ("CAST(u.hour / 24 AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT)", "", "u.hour / 24"),
        UsageBy::Model => ("u.model, CAST(NULL AS TEXT), CAST(NULL AS TEXT)", "", "u.model"),
        UsageBy::Version => (
            "u.model_version, m.name, CAST(v.number AS TEXT)",
            "LEFT JOIN model_versions v ON v.tenant = u.tenant AND v.id = u.model_version LEFT JOIN models m ON m.tenant = v.tenant AND m.id = v.model",
            "u.model_version, m.name, v.number",
        ),
        UsageBy::Key => {
            ("u.key_id, k.label, k.hint", "LEFT JOIN api_keys k ON k.tenant = u.tenant AND k.id = u.key_id", "u.key_id, k.label, k.hint")
        }
        UsageBy::Member => ("u.person, p.name, CAST(NULL AS TEXT)", "LEFT JOIN people p ON p.id = u.person", "u.person, p.name"),
    }
}

/// A line as it is read: group, name, part of the name; calls, failed ones, those to a model that nobody found, tokens.
type LineRow = (String, Option<String>, Option<String>, i64, i64, i64, i64, i64);

impl Tx {
    /// Adds what these calls sum up to. In the transaction that inserted them: sums and calls never differ.
    pub(crate) async fn add_to_hours(&mut self, hours: &Hours) -> Result<()> {
        let sums: Vec<_> = hours.0.iter().collect();
        for sums in sums.chunks(ROWS) {
            in_tx!(self, db => add_query(sums).build().execute(db).await.map(drop))?;
        }
        Ok(())
    }

    /// Sums all calls up anew. Returns how many rows there are now. Batches of calls wait meanwhile.
    pub(crate) async fn rebuild_hours(&mut self) -> Result<u64> {
        if let Open::Postgres(t) = &mut self.db {
            // A batch that was half-way has ended before this returns; the next one adds to what is summed up here.
            answered(sqlx::query("LOCK TABLE usage_hours IN EXCLUSIVE MODE").execute(&mut **t)).await?;
        }
        in_tx!(self, db => sqlx::query("DELETE FROM usage_hours").execute(db).await.map(drop))?;
        let sql = "INSERT INTO usage_hours (tenant, hour, key_id, person, endpoint, model, model_version, requests, errors, not_found, prompt_tokens, completion_tokens) \
            SELECT tenant, at / 3600000, COALESCE(key_id, ''), COALESCE(person, ''), COALESCE(endpoint, ''), model, COALESCE(model_version, ''), COUNT(*), \
            SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END), SUM(CASE WHEN error = 'model_not_found' THEN 1 ELSE 0 END), SUM(prompt_tokens), SUM(completion_tokens) \
            FROM calls GROUP BY 1, 2, 3, 4, 5, 6, 7";
        in_tx!(self, db => sqlx::query(sql).execute(db).await.map(|done| done.rows_affected()))
    }
}

impl Store {
    /// By day: `group` is its number since 1970. `since` counts by its hour. `only` = this person's calls.
    pub(crate) async fn usage_by_day(&self, tenant: &Name, since: Timestamp, only: Option<PersonId>) -> Result<Vec<UsageLine>> {
        // Unlimited: one row a day.
        let (what, _, groups) = parts(UsageBy::Day);
        let sql = sqlx::AssertSqlSafe(format!("SELECT {what}, {SUMS} FROM usage_hours u {WHOSE} GROUP BY {groups}"));
        let only = only.map(|p| p.to_string()).unwrap_or_default();
        let rows: Vec<LineRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(since.0.div_euclid(HOUR)).bind(&only).fetch_all(db).await)?;
        rows.into_iter().map(|row| line(UsageBy::Day, row)).collect()
    }

    /// By key, model, version or member: the most used first.
    pub(crate) async fn usage(
        &self,
        tenant: &Name,
        by: UsageBy,
        since: Timestamp,
        only: Option<PersonId>,
        after: &Cursor,
    ) -> Result<Page<UsageLine>> {
        let (what, joined, groups) = parts(by);
        let group = groups.split(',').next().unwrap_or(groups);
        let sql = format!(
            "SELECT {what}, {SUMS} FROM usage_hours u {joined} {WHOSE} GROUP BY {groups} \
             HAVING SUM(u.requests) < $4 OR (SUM(u.requests) = $4 AND {group} > $5) ORDER BY SUM(u.requests) DESC, {group} LIMIT $6"
        );
        let sql = sqlx::AssertSqlSafe(sql);
        let only = only.map(|p| p.to_string()).unwrap_or_default();
        let list = format!("usage by {}, most used first", by.word());
        let (requests, last): (i64, String) = after.key(&list).unwrap_or((i64::MAX, String::new()));
        let rows: Vec<LineRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(since.0.div_euclid(HOUR)).bind(&only).bind(requests).bind(&last).bind(page::READ)
            .fetch_all(db).await)?;
        Page::cut(rows, &list, |r| (r.3, r.0.clone())).try_map(|row| line(by, row))
    }

    /// Calls through each of these keys since the hour of a time; keys without one are left out. `only` = this person's calls.
    pub(crate) async fn requests_by_key(
        &self,
        tenant: &Name,
        keys: &[KeyId],
        since: Timestamp,
        only: Option<PersonId>,
    ) -> Result<HashMap<KeyId, u64>> {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let keys @ [_, ..] = keys.as_slice() else { return Ok(HashMap::new()) };
        let only = only.map(|p| p.to_string()).unwrap_or_default();
        let rows: Vec<(String, i64)> = on_both!(self, db => {
            let mut q = page::belonging(BY_KEY, tenant, " AND key_id", keys, "AND hour >= ");
            q.push_bind(since.0.div_euclid(HOUR)).push(" AND (").push_bind(only.clone()).push(" = '' OR person = ").push_bind(only).push(") GROUP BY key_id");
            q.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(|(key, requests)| Ok((parsed(&key)?, count(requests)?))).collect()
    }

    /// Calls since the hour of a time; `None` = of any version, endpoint, person.
    pub(crate) async fn requests(
        &self,
        tenant: &Name,
        since: Timestamp,
        version: Option<ModelVersionId>,
        endpoint: Option<EndpointId>,
        person: Option<PersonId>,
    ) -> Result<u64> {
        let sql = "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) FROM usage_hours WHERE tenant = $1 AND hour >= $2 \
            AND ($3 = '' OR model_version = $3) AND ($4 = '' OR endpoint = $4) AND ($5 = '' OR person = $5)";
        let text = |id: Option<String>| id.unwrap_or_default();
        let (version, endpoint, person) =
            (text(version.map(|v| v.to_string())), text(endpoint.map(|e| e.to_string())), text(person.map(|p| p.to_string())));
        let (sum,): (i64,) = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(since.0.div_euclid(HOUR)).bind(version).bind(endpoint).bind(person).fetch_one(db).await)?;
        count(sum)
    }
}

/// In the order of the table's key.
fn add_query<'a, DB: Database>(sums: &'a [(&'a Group, &'a Sums)]) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new(
        "INSERT INTO usage_hours (tenant, hour, key_id, person, endpoint, model, model_version, requests, errors, not_found, prompt_tokens, completion_tokens) ",
    );
    q.push_values(sums, |mut row, (of, sums)| {
        row.push_bind(of.tenant.clone()).push_bind(of.hour).push_bind(of.key.clone()).push_bind(of.person.clone());
        row.push_bind(of.endpoint.clone()).push_bind(of.model.clone()).push_bind(of.version.clone());
        row.push_bind(sums.requests).push_bind(sums.errors).push_bind(sums.not_found);
        row.push_bind(sums.prompt_tokens).push_bind(sums.completion_tokens);
    });
    q.push(
        " ON CONFLICT (tenant, hour, key_id, person, endpoint, model, model_version) DO UPDATE SET requests = usage_hours.requests + excluded.requests, \
        errors = usage_hours.errors + excluded.errors, not_found = usage_hours.not_found + excluded.not_found, \
        prompt_tokens = usage_hours.prompt_tokens + excluded.prompt_tokens, completion_tokens = usage_hours.completion_tokens + excluded.completion_tokens",
    );
    q
}
