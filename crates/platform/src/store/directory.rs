//! The rows of the gateway's directory, read as one snapshot.

use super::{Open, Pool, Result, Store, addresses, answered, in_tx, parsed, replicas, word};
use domain::{
    call_rules::CallRules,
    endpoint::{AdapterState, EndpointState},
    external::External,
    ids::{EndpointId, KeyId, ModelVersionId, PersonId},
    key::Limits,
    model_server::ModelServer,
    name::Name,
    reason::endpoint::{AdapterReason, EndpointReason},
    replica::Replica,
    serving::ServingSettings,
    tenant::TenantState,
    time::Timestamp,
};
use serde::de::DeserializeOwned;

pub(crate) struct DirectoryRows {
    pub revision: i64,
    pub tenants: Vec<(Name, TenantState, CallRules)>,
    /// With the moment of their last confirmation.
    pub members: Vec<(Name, PersonId, Timestamp)>,
    /// People whose passes were ended since `passes_since`.
    pub passes_from: Vec<(PersonId, Timestamp)>,
    pub keys: Vec<DirectoryKey>,
    pub endpoints: Vec<DirectoryEndpoint>,
    pub attachments: Vec<DirectoryAttachment>,
}

pub(crate) struct DirectoryKey {
    pub tenant: Name,
    pub id: KeyId,
    /// BLAKE3, hex.
    pub digest: String,
    pub owner: PersonId,
    pub service: bool,
    pub models: Option<Vec<String>>,
    pub limits: Limits,
    pub expires_at: Option<Timestamp>,
    pub revoked: bool,
}

pub(crate) struct DirectoryEndpoint {
    pub tenant: Name,
    pub id: EndpointId,
    pub name: Name,
    pub state: EndpointState,
    pub reason: EndpointReason,
    pub addresses: Vec<String>,
    pub replicas: Vec<Replica>,
    pub model_server: ModelServer,
    pub external: Option<External>,
    /// Encrypted.
    pub sealed_key: Option<String>,
    /// None where somebody else runs the server.
    pub base_model: Option<String>,
    /// Tokens; 0 = not known.
    pub context: u32,
    /// Version, model name and number, when it serves full weights.
    pub merged: Option<(ModelVersionId, String, i64)>,
    pub created_at: Timestamp,
    pub settings: ServingSettings,
}

pub(crate) struct DirectoryAttachment {
    pub tenant: Name,
    pub endpoint: EndpointId,
    pub version: ModelVersionId,
    pub model: String,
    pub number: i64,
    pub state: AdapterState,
    pub reason: Option<AdapterReason>,
    pub attached_at: Timestamp,
}

/// A read-only transaction that sees one moment.
struct Snapshot {
    db: Open,
}

type KeyColumns = (String, String, String, String, i64, Option<String>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

#[derive(sqlx::FromRow)]
struct EndpointColumns {
    tenant: String,
    id: String,
    name: String,
    state: String,
    reason: String,
    address: Option<String>,
    replicas_json: Option<String>,
    model_server: String,
    external_json: Option<String>,
    external_key: Option<String>,
    base_model: Option<String>,
    context: Option<i64>,
    merged_version: Option<String>,
    model: Option<String>,
    number: Option<i64>,
    created_at: i64,
    serving_json: Option<String>,
}
type AttachmentColumns = (String, String, String, String, i64, String, Option<String>, i64);

impl Store {
    /// `keys_since`: keys that were revoked or ended before are left out; `passes_since`: so are passes that were ended before.
    pub(crate) async fn directory_rows(&self, keys_since: Timestamp, passes_since: Timestamp) -> Result<DirectoryRows> {
        let mut snapshot = Snapshot {
            db: match &self.db {
                Pool::Sqlite(pool) => Open::Sqlite(pool.begin().await?),
                Pool::Postgres(pool) => Open::Postgres(answered(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?),
            },
        };
        let rows = snapshot.read(keys_since, passes_since).await;
        match snapshot.db {
            Open::Sqlite(t) => t.rollback().await?,
            Open::Postgres(t) => answered(t.rollback()).await?,
        }
        rows
    }
}

impl Snapshot {
    async fn read(&mut self, keys_since: Timestamp, passes_since: Timestamp) -> Result<DirectoryRows> {
        // Unlimited: the gateway decides about every call, so it knows everybody and everything.
        let sql = "SELECT value FROM counters WHERE name = 'directory'";
        let (revision,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).fetch_one(db).await)?;
        let sql = "SELECT name, state, call_rules_json FROM tenants";
        let tenants: Vec<(String, String, Option<String>)> = in_tx!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        let sql = "SELECT tenant, person, COALESCE(confirmed_at, since) FROM members";
        let members: Vec<(String, String, i64)> = in_tx!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        let sql = "SELECT id, passes_from FROM people WHERE passes_from > $1";
        let passes: Vec<(String, i64)> = in_tx!(self, db => sqlx::query_as(sql).bind(passes_since.0).fetch_all(db).await)?;
        let sql = "SELECT tenant, id, digest, owner, service, models_json, requests_per_minute, tokens_per_minute, concurrent_calls, expires_at, revoked_at FROM api_keys \
            WHERE (revoked_at IS NULL OR revoked_at > $1) AND (expires_at IS NULL OR expires_at > $1)";
        let keys: Vec<KeyColumns> = in_tx!(self, db => sqlx::query_as(sql).bind(keys_since.0).fetch_all(db).await)?;
        let sql = "SELECT e.tenant, e.id, e.name, e.state, e.reason, e.address, e.replicas_json, e.model_server, e.external_json, e.external_key, b.name AS base_model, b.context, e.merged_version, m.name AS model, v.number, e.created_at, e.serving_json FROM endpoints e \
            LEFT JOIN base_models b ON b.id = e.base_model \
            LEFT JOIN model_versions v ON v.tenant = e.tenant AND v.id = e.merged_version LEFT JOIN models m ON m.tenant = v.tenant AND m.id = v.model";
        let endpoints: Vec<EndpointColumns> = in_tx!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        let sql = "SELECT a.tenant, a.endpoint, a.version, m.name, v.number, a.state, a.reason, a.attached_at FROM attachments a \
            JOIN model_versions v ON v.tenant = a.tenant AND v.id = a.version JOIN models m ON m.tenant = v.tenant AND m.id = v.model";
        let attachments: Vec<AttachmentColumns> = in_tx!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        Ok(DirectoryRows {
            revision,
            tenants: tenants
                .into_iter()
                .map(|(name, state, rules)| Ok((parsed(&name)?, word(TenantState::from_word(&state), &state)?, or_default(rules)?)))
                .collect::<Result<_>>()?,
            members: members
                .into_iter()
                .map(|(tenant, person, confirmed)| Ok((parsed(&tenant)?, parsed(&person)?, Timestamp(confirmed))))
                .collect::<Result<_>>()?,
            passes_from: passes.into_iter().map(|(person, from)| Ok((parsed(&person)?, Timestamp(from)))).collect::<Result<_>>()?,
            keys: keys.into_iter().map(key).collect::<Result<_>>()?,
            endpoints: endpoints.into_iter().map(endpoint).collect::<Result<_>>()?,
            attachments: attachments.into_iter().map(attachment).collect::<Result<_>>()?,
        })
    }
}

/// Null: nobody has set anything.
fn or_default<T: DeserializeOwned + Default>(json: Option<String>) -> Result<T> {
    Ok(json.as_deref().map(super::from_json).transpose()?.unwrap_or_default())
}

fn key((tenant, id, digest, owner, service, models, requests, tokens, concurrent, expires, revoked): KeyColumns) -> Result<DirectoryKey> {
    Ok(DirectoryKey {
        tenant: parsed(&tenant)?,
        id: parsed(&id)?,
        digest,
        owner: parsed(&owner)?,
        service: service != 0,
        models: models.as_deref().map(super::from_json).transpose()?,
        limits: super::api_keys::limits(requests, tokens, concurrent)?,
        expires_at: expires.map(Timestamp),
        revoked: revoked.is_some(),
    })
}

fn endpoint(row: EndpointColumns) -> Result<DirectoryEndpoint> {
    let merged = match (row.merged_version, row.model, row.number) {
        (Some(version), Some(model), Some(number)) => Some((parsed(&version)?, model, number)),
        _ => None,
    };
    Ok(DirectoryEndpoint {
        tenant: parsed(&row.tenant)?,
        id: parsed(&row.id)?,
        name: parsed(&row.name)?,
        state: word(EndpointState::from_word(&row.state), &row.state)?,
        reason: super::from_json(&row.reason)?,
        addresses: addresses::of_column(row.address.as_deref()),
        replicas: replicas::of_column(row.replicas_json.as_deref())?,
        model_server: word(ModelServer::from_word(&row.model_server), &row.model_server)?,
        external: row.external_json.as_deref().map(super::from_json).transpose()?,
        sealed_key: row.external_key,
        base_model: row.base_model,
        context: super::count(row.context.unwrap_or(0))?,
        merged,
        created_at: Timestamp(row.created_at),
        settings: or_default(row.serving_json)?,
    })
}

fn attachment((tenant, endpoint, version, model, number, state, reason, attached): AttachmentColumns) -> Result<DirectoryAttachment> {
    Ok(DirectoryAttachment {
        tenant: parsed(&tenant)?,
        endpoint: parsed(&endpoint)?,
        version: parsed(&version)?,
        model,
        number,
        state: word(AdapterState::from_word(&state), &state)?,
        reason: reason.as_deref().map(super::from_json).transpose()?,
        attached_at: Timestamp(attached),
    })
}
