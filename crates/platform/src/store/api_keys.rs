//! API keys: their digests, never their texts.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed};
use domain::{
    confirmation,
    event::Topic,
    filter::KeyFilter,
    ids::{KeyId, PersonId},
    key::{ApiKey, Limits},
    name::Name,
    page::{Cursor, Page},
    time::Timestamp,
};
use std::collections::HashMap;

/// A key as stored, with the hex digest that finds it.
pub(crate) struct KeyRow<'a> {
    pub key: &'a ApiKey,
    pub digest: String,
}

type Columns = (
    String,
    String,
    String,
    String,
    i64,
    String,
    String,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

macro_rules! select_keys {
    ($($rest:literal),+) => {
        concat!(
            "SELECT k.tenant, k.id, k.label, k.hint, k.service, k.owner, p.name, \
             CASE WHEN m.person IS NULL THEN NULL ELSE COALESCE(m.confirmed_at, m.since) END, k.models_json, k.requests_per_minute, k.tokens_per_minute, \
             k.concurrent_calls, k.created_at, k.expires_at, k.revoked_at, k.last_used_at FROM api_keys k JOIN people p ON p.id = k.owner \
             LEFT JOIN members m ON m.tenant = k.tenant AND m.person = k.owner ",
            $($rest),+
        )
    };
}
const ONE: &str = select_keys!("WHERE k.tenant = $1 AND k.id = $2");
/// Those that work (`ApiKey::state`): neither revoked nor over at `$6`, and the tenant's, or of a member who was confirmed after `$7`.
const LIST: &str = select_keys!(
    "WHERE k.tenant = $1 AND (k.created_at, k.id) < ($2, $3) \
     AND ($4 = '' OR LOWER(k.label || ' ' || p.name || ' ' || k.hint || ' ' || COALESCE(k.models_json, '')) LIKE LOWER($4) ESCAPE '!') \
     AND ($5 = 0 OR (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $6) \
         AND (k.service = 1 OR COALESCE(m.confirmed_at, m.since) > $7))) \
     ORDER BY k.created_at DESC, k.id DESC LIMIT $8"
);
/// Service keys that work, of which nobody who was confirmed after `$3` answers.
const UNANSWERED: &str = select_keys!(
    "WHERE k.tenant = $1 AND k.service = 1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2) \
     AND (m.person IS NULL OR COALESCE(m.confirmed_at, m.since) <= $3) ORDER BY k.created_at DESC, k.id DESC LIMIT $4"
);
/// The newest of a person's own keys that is neither revoked nor over.
const OWN: &str = select_keys!(
    "WHERE k.tenant = $1 AND k.owner = $2 AND k.service = 0 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $3) \
     ORDER BY k.created_at DESC, k.id DESC LIMIT 1"
);
const WORKING: &str = "SELECT COUNT(*) FROM api_keys k LEFT JOIN members m ON m.tenant = k.tenant AND m.person = k.owner WHERE k.tenant = $1 \
    AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2) AND (k.service = 1 OR COALESCE(m.confirmed_at, m.since) > $3) \
    AND (k.models_json IS NULL OR $4 = '' OR k.models_json LIKE $4 OR k.models_json LIKE $5)";
const LABELS: &str = "SELECT id, label FROM api_keys WHERE tenant = ";
/// In cursors.
const NEWEST: &str = "keys, newest first";

fn key(
    (tenant, id, label, hint, service, owner, owner_name, confirmed, models, requests, tokens, concurrent, created, expires, revoked, used): Columns,
) -> Result<ApiKey> {
    Ok(ApiKey {
        id: parsed(&id)?,
        tenant: parsed(&tenant)?,
        label,
        hint,
        service: service != 0,
        owner: parsed(&owner)?,
        owner_name,
        owner_confirmed_at: confirmed.map(at),
        models: models.as_deref().map(from_json).transpose()?,
        limits: limits(requests, tokens, concurrent)?,
        created_at: at(created),
        expires_at: expires.map(at),
        revoked_at: revoked.map(at),
        last_used_at: used.map(at),
    })
}

pub(super) fn limits(requests: Option<i64>, tokens: Option<i64>, concurrent: Option<i64>) -> Result<Limits> {
    Ok(Limits {
        requests_per_minute: requests.map(count).transpose()?,
        tokens_per_minute: tokens.map(count).transpose()?,
        concurrent_calls: concurrent.map(count).transpose()?,
    })
}

impl Store {
    /// Newest first.
    pub(crate) async fn keys(&self, tenant: &Name, filter: &KeyFilter, now: Timestamp, after: &Cursor) -> Result<Page<ApiKey>> {
        let ((time, id), text) = (page::newest(NEWEST, after), page::anywhere(&filter.text));
        let rows: Vec<Columns> = on_both!(self, db => sqlx::query_as(LIST)
            .bind(tenant.as_str()).bind(time).bind(&id).bind(&text).bind(i64::from(filter.working)).bind(now.0)
            .bind(now.0 - confirmation::KEYS_LAST).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, NEWEST, |k| (k.12, k.1.clone())).try_map(key)
    }

    /// Service keys that nobody answers for, newest first: one page.
    pub(crate) async fn unanswered_keys(&self, tenant: &Name, now: Timestamp) -> Result<Page<ApiKey>> {
        let rows: Vec<Columns> = on_both!(self, db => sqlx::query_as(UNANSWERED)
            .bind(tenant.as_str()).bind(now.0).bind(now.0 - confirmation::KEYS_LAST).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, NEWEST, |k| (k.12, k.1.clone())).try_map(key)
    }

    /// The newest of a person's own keys that is neither revoked nor over.
    pub(crate) async fn own_key(&self, tenant: &Name, person: PersonId, now: Timestamp) -> Result<Option<ApiKey>> {
        let row: Option<Columns> =
            on_both!(self, db => sqlx::query_as(OWN).bind(tenant.as_str()).bind(person.to_string()).bind(now.0).fetch_optional(db).await)?;
        row.map(key).transpose()
    }

    /// Keys that work; with names of a model, those that may call one of them.
    pub(crate) async fn count_working_keys(&self, tenant: &Name, names: Option<(String, String)>, now: Timestamp) -> Result<u64> {
        // A name in the list of names, which is JSON. Names hold no letter that is special there or in a pattern.
        let (plain, numbered) = names.map(|(a, b)| (format!("%\"{a}\"%"), format!("%\"{b}\"%"))).unwrap_or_default();
        let (keys,): (i64,) = on_both!(self, db => sqlx::query_as(WORKING)
            .bind(tenant.as_str()).bind(now.0).bind(now.0 - confirmation::KEYS_LAST).bind(&plain).bind(&numbered).fetch_one(db).await)?;
        count(keys)
    }

    /// What these keys are called; those that there are.
    pub(crate) async fn key_labels(&self, tenant: &Name, ids: &[KeyId]) -> Result<HashMap<KeyId, String>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids @ [_, ..] = ids.as_slice() else { return Ok(HashMap::new()) };
        let rows: Vec<(String, String)> =
            on_both!(self, db => page::belonging(LABELS, tenant, " AND id", ids, "").build_query_as().fetch_all(db).await)?;
        rows.into_iter().map(|(id, label)| Ok((parsed(&id)?, label))).collect()
    }

    pub(crate) async fn key(&self, tenant: &Name, id: KeyId) -> Result<Option<ApiKey>> {
        let row: Option<Columns> =
            on_both!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(key).transpose()
    }
}

impl Tx {
    pub(crate) async fn key(&mut self, tenant: &Name, id: KeyId) -> Result<Option<ApiKey>> {
        let row: Option<Columns> =
            in_tx!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(key).transpose()
    }

    pub(crate) async fn insert_key(&mut self, row: &KeyRow<'_>) -> Result<()> {
        let sql = "INSERT INTO api_keys (tenant, id, label, hint, digest, owner, models_json, requests_per_minute, tokens_per_minute, created_at, expires_at, service, concurrent_calls) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let k = row.key;
        in_tx!(self, db => sqlx::query(sql)
            .bind(k.tenant.as_str()).bind(k.id.to_string()).bind(&k.label).bind(&k.hint).bind(&row.digest).bind(k.owner.to_string())
            .bind(k.models.as_ref().map(json)).bind(k.limits.requests_per_minute.map(i64::from)).bind(k.limits.tokens_per_minute.map(i64::from))
            .bind(k.created_at.0).bind(k.expires_at.map(|t| t.0)).bind(i64::from(k.service))
            .bind(k.limits.concurrent_calls.map(i64::from))
            .execute(db).await.map(drop))?;
        self.key_changed(&k.tenant, k.id);
        Ok(())
    }

    pub(crate) async fn revoke_key(&mut self, tenant: &Name, id: KeyId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE api_keys SET revoked_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(id.to_string()).bind(at.0).execute(db).await.map(drop))?;
        self.key_changed(tenant, id);
        Ok(())
    }

    /// The person's own keys that are not revoked are revoked now, in one tenant or in all; returns tenant and id of each.
    pub(crate) async fn revoke_keys_of(&mut self, person: PersonId, tenant: Option<&Name>) -> Result<Vec<(Name, KeyId)>> {
        // Unlimited: all are revoked at once.
        let sql = "UPDATE api_keys SET revoked_at = $3 WHERE owner = $1 AND service = 0 AND revoked_at IS NULL AND ($2 = '' OR tenant = $2) \
            RETURNING tenant, id";
        let at = self.at();
        let tenant = tenant.map(Name::as_str).unwrap_or_default();
        let rows: Vec<(String, String)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(person.to_string()).bind(tenant).bind(at.0).fetch_all(db).await)?;
        let keys = rows.into_iter().map(|(tenant, id)| Ok((parsed(&tenant)?, parsed(&id)?))).collect::<Result<Vec<(Name, KeyId)>>>()?;
        for (tenant, key) in &keys {
            self.key_changed(tenant, *key);
        }
        Ok(keys)
    }

    pub(crate) async fn set_responsible(&mut self, tenant: &Name, id: KeyId, person: PersonId) -> Result<()> {
        let sql = "UPDATE api_keys SET owner = $3 WHERE tenant = $1 AND id = $2 AND service = 1";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(id.to_string()).bind(person.to_string()).execute(db).await.map(drop))?;
        self.key_changed(tenant, id);
        Ok(())
    }

    fn key_changed(&mut self, tenant: &Name, id: KeyId) {
        self.changed(tenant, Topic::Key, id);
        self.directory_changed();
    }
}
