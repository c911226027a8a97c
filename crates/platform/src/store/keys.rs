//! API keys: their digests, never their texts.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, parsed};
use domain::{
    event::Topic,
    ids::{KeyId, PersonId},
    key::{ApiKey, Limits},
    name::Name,
    time::Timestamp,
};

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

const LIST: &str = "SELECT k.tenant, k.id, k.label, k.hint, k.service, k.owner, p.name, \
    CASE WHEN m.person IS NULL THEN NULL ELSE COALESCE(m.confirmed_at, m.since) END, k.models_json, k.requests_per_minute, k.tokens_per_minute, \
    k.concurrent_calls, k.created_at, k.expires_at, k.revoked_at, k.last_used_at FROM api_keys k JOIN people p ON p.id = k.owner \
    LEFT JOIN members m ON m.tenant = k.tenant AND m.person = k.owner WHERE k.tenant = $1 \
    ORDER BY k.created_at DESC, k.id DESC";
const ONE: &str = "SELECT k.tenant, k.id, k.label, k.hint, k.service, k.owner, p.name, \
    CASE WHEN m.person IS NULL THEN NULL ELSE COALESCE(m.confirmed_at, m.since) END, k.models_json, k.requests_per_minute, k.tokens_per_minute, \
    k.concurrent_calls, k.created_at, k.expires_at, k.revoked_at, k.last_used_at FROM api_keys k JOIN people p ON p.id = k.owner \
    LEFT JOIN members m ON m.tenant = k.tenant AND m.person = k.owner WHERE k.tenant = $1 AND k.id = $2";

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
    pub(crate) async fn keys(&self, tenant: &Name) -> Result<Vec<ApiKey>> {
        let rows: Vec<Columns> = on_both!(self, db => sqlx::query_as(LIST).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(key).collect()
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
