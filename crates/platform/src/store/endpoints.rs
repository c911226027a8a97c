//! Endpoints, read with what is attached to them.

use super::{Result, Store, Tx, addresses, at, count, from_json, in_tx, json, on_both, page, parsed, replicas, word};
use domain::{
    endpoint::{AdapterState, Attachment, Endpoint, EndpointState, ServedBase},
    event::Topic,
    external::External,
    ids::{BaseModelId, EndpointId, ModelVersionId},
    model_server::ModelServer,
    name::Name,
    page::{Cursor, Page},
    serving::ServingSettings,
    time::Timestamp,
};
use engine::Cursor as OutputCursor;
use std::collections::{BTreeSet, HashMap};

/// Of an endpoint, what the directory tells gateways: state, addresses, reason, external, replicas.
type Served = (String, Option<String>, String, Option<String>, Option<String>);

/// Ids in one statement.
const IDS: usize = 500;

/// An endpoint with what only its controller needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointRecord {
    pub endpoint: Endpoint,
    /// Which start this is, from 1; 0 = never started.
    pub launch: u32,
    /// What the server of this launch was started with.
    pub max_lora_rank: u32,
    /// How far the output of this launch was read.
    pub output: OutputCursor,
    /// Number of the log's last line before this launch.
    pub log_before: u64,
    /// Of an external server: its key, encrypted; see `endpoints::external`.
    pub sealed_key: Option<String>,
    /// Not started again before this.
    pub retry_at: Option<Timestamp>,
}

impl EndpointRecord {
    /// Of one that was never started.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, launch: 0, max_lora_rank: 0, output: OutputCursor::start(), log_before: 0, sealed_key: None, retry_at: None }
    }
}

#[derive(sqlx::FromRow)]
struct EndpointRow {
    tenant: String,
    id: String,
    name: String,
    state: String,
    reason: String,
    model_server: String,
    external_json: Option<String>,
    external_key: Option<String>,
    base_model: Option<String>,
    base_model_name: Option<String>,
    merged_version: Option<String>,
    revision: i64,
    address: Option<String>,
    replicas_json: Option<String>,
    launch: i64,
    max_lora_rank: i64,
    restarts: i64,
    output_cursor: String,
    log_before: i64,
    retry_at: Option<i64>,
    created_by: String,
    created_by_name: String,
    created_at: i64,
    ready_at: Option<i64>,
    serving_json: Option<String>,
}

#[derive(sqlx::FromRow)]
struct AttachmentRow {
    endpoint: String,
    version: String,
    model_name: String,
    number: i64,
    state: String,
    reason: Option<String>,
    attached_at: i64,
}

macro_rules! select_endpoints {
    ($($rest:literal),+) => {
        concat!(
            "SELECT e.tenant, e.id, e.name, e.state, e.reason, e.model_server, e.external_json, e.external_key, e.base_model, b.name AS base_model_name, e.merged_version, e.revision, \
             e.address, e.replicas_json, e.launch, e.max_lora_rank, e.restarts, e.output_cursor, e.log_before, e.retry_at, e.created_by, p.name AS created_by_name, \
             e.created_at, e.ready_at, e.serving_json FROM endpoints e LEFT JOIN base_models b ON b.id = e.base_model JOIN people p ON p.id = e.created_by ",
            $($rest),+
        )
    };
}
macro_rules! select_attachments {
    ($rest:literal) => {
        concat!(
            "SELECT a.endpoint, a.version, m.name AS model_name, v.number, a.state, a.reason, a.attached_at FROM attachments a \
             JOIN model_versions v ON v.tenant = a.tenant AND v.id = a.version \
             JOIN models m ON m.tenant = v.tenant AND m.id = v.model ",
            $rest
        )
    };
}
const BY_ID: &str = select_endpoints!("WHERE e.tenant = $1 AND e.id = $2");
const BY_NAME: &str = select_endpoints!("WHERE e.tenant = $1 AND e.name = $2");
const OF_TENANT: &str = select_endpoints!("WHERE e.tenant = $1 ORDER BY e.created_at DESC, e.id DESC");
const OPEN_OF_TENANT: &str = select_endpoints!(
    "WHERE e.tenant = $1 AND e.state IN ('wanted', 'starting', 'ready', 'degraded') ORDER BY e.created_at DESC, e.id DESC"
);
const PAGE_OF_TENANT: &str =
    select_endpoints!("WHERE e.tenant = $1 AND (e.created_at, e.id) < ($2, $3) ORDER BY e.created_at DESC, e.id DESC LIMIT $4");
const SERVING: &str = select_endpoints!(
    "WHERE e.tenant = $1 AND e.id IN (SELECT a.endpoint FROM attachments a WHERE a.tenant = $1 AND a.version = $2 \
         UNION ALL SELECT m.id FROM endpoints m WHERE m.tenant = $1 AND m.merged_version = $2) \
     ORDER BY CASE WHEN e.state IN ('wanted', 'starting', 'ready', 'degraded') THEN 0 ELSE 1 END, e.created_at DESC, e.id DESC LIMIT $3"
);
/// Those that should run, then the others, so that each is a piece of one index.
const OF_BASE: [&str; 2] = [
    select_endpoints!(
        "WHERE e.tenant = $1 AND e.base_model = $2 AND e.merged_version IS NULL \
         AND e.state IN ('wanted', 'starting', 'ready', 'degraded') ORDER BY e.created_at DESC, e.id DESC LIMIT $3"
    ),
    select_endpoints!(
        "WHERE e.tenant = $1 AND e.base_model = $2 AND e.merged_version IS NULL \
         AND e.state NOT IN ('wanted', 'starting', 'ready', 'degraded') ORDER BY e.created_at DESC, e.id DESC LIMIT $3"
    ),
];
const BY_IDS: &str = select_endpoints!("WHERE e.tenant = ");
const ATTACHED_OF: &str = select_attachments!("WHERE a.tenant = ");
/// Endpoints that a client could mean by the name of a model: of its adapters, of its full weights, of a base that is called like it.
const CLAIMS: [(&str, &str); 3] = [
    (
        "SELECT DISTINCT a.endpoint FROM attachments a JOIN model_versions v ON v.tenant = a.tenant AND v.id = a.version \
         JOIN models m ON m.tenant = v.tenant AND m.id = v.model WHERE m.tenant = ",
        " AND m.name",
    ),
    (
        "SELECT e.id FROM endpoints e JOIN model_versions v ON v.tenant = e.tenant AND v.id = e.merged_version \
         JOIN models m ON m.tenant = v.tenant AND m.id = v.model WHERE m.tenant = ",
        " AND m.name",
    ),
    (
        "SELECT e.id FROM endpoints e JOIN base_models b ON b.id = e.base_model WHERE e.merged_version IS NULL AND e.tenant = ",
        " AND b.name",
    ),
];
/// In cursors.
const NEWEST: &str = "endpoints, newest first";
const ATTACHED: &str = select_attachments!("WHERE a.tenant = $1 AND a.endpoint = $2 ORDER BY a.attached_at, a.version");

impl EndpointRow {
    fn record(self, attachments: Vec<Attachment>) -> Result<EndpointRecord> {
        Ok(EndpointRecord {
            launch: self.launch as u32,
            max_lora_rank: self.max_lora_rank as u32,
            output: OutputCursor::from_text(self.output_cursor),
            log_before: self.log_before as u64,
            sealed_key: self.external_key,
            retry_at: self.retry_at.map(at),
            endpoint: Endpoint {
                id: parsed(&self.id)?,
                tenant: parsed(&self.tenant)?,
                name: parsed(&self.name)?,
                state: word(EndpointState::from_word(&self.state), &self.state)?,
                reason: from_json(&self.reason)?,
                model_server: word(ModelServer::from_word(&self.model_server), &self.model_server)?,
                base: match (&self.base_model, &self.base_model_name) {
                    (Some(id), Some(name)) => Some(ServedBase { id: parsed(id)?, name: parsed(name)? }),
                    _ => None,
                },
                external: self.external_json.as_deref().map(from_json).transpose()?,
                merged_version: self.merged_version.as_deref().map(parsed).transpose()?,
                revision: self.revision as u32,
                attachments,
                addresses: addresses::of_column(self.address.as_deref()),
                replicas: replicas::of_column(self.replicas_json.as_deref())?,
                restarts: self.restarts as u32,
                created_by: parsed(&self.created_by)?,
                created_by_name: self.created_by_name,
                created_at: at(self.created_at),
                ready_at: self.ready_at.map(at),
                settings: self.serving_json.as_deref().map(from_json).transpose()?.unwrap_or_default(),
            },
        })
    }
}

impl AttachmentRow {
    fn attachment(self) -> Result<Attachment> {
        Ok(Attachment {
            version: parsed(&self.version)?,
            model_name: parsed(&self.model_name)?,
            number: self.number as u32,
            state: word(AdapterState::from_word(&self.state), &self.state)?,
            reason: self.reason.as_deref().map(from_json).transpose()?,
            attached_at: at(self.attached_at),
        })
    }
}

impl Store {
    async fn attachments(&self, tenant: &Name, endpoint: &str) -> Result<Vec<Attachment>> {
        // Unlimited: as many as a model server holds.
        let rows: Vec<AttachmentRow> =
            on_both!(self, db => sqlx::query_as(ATTACHED).bind(tenant.as_str()).bind(endpoint).fetch_all(db).await)?;
        rows.into_iter().map(AttachmentRow::attachment).collect()
    }

    pub(crate) async fn endpoint(&self, tenant: &Name, id: EndpointId) -> Result<Option<EndpointRecord>> {
        let row: Option<EndpointRow> =
            on_both!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        let Some(row) = row else { return Ok(None) };
        let attached = self.attachments(tenant, &row.id).await?;
        row.record(attached).map(Some)
    }

    pub(crate) async fn endpoint_id(&self, tenant: &Name, name: &Name) -> Result<Option<EndpointId>> {
        let sql = "SELECT id FROM endpoints WHERE tenant = $1 AND name = $2";
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(|(id,)| parsed(&id)).transpose()
    }

    pub(crate) async fn endpoint_by_name(&self, tenant: &Name, name: &Name) -> Result<Option<EndpointRecord>> {
        let row: Option<EndpointRow> =
            on_both!(self, db => sqlx::query_as(BY_NAME).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        let Some(row) = row else { return Ok(None) };
        let attached = self.attachments(tenant, &row.id).await?;
        row.record(attached).map(Some)
    }

    /// Newest first.
    pub(crate) async fn endpoints(&self, tenant: &Name, after: &Cursor) -> Result<Page<Endpoint>> {
        let (time, id) = page::newest(NEWEST, after);
        let rows: Vec<EndpointRow> = on_both!(self, db => sqlx::query_as(PAGE_OF_TENANT)
            .bind(tenant.as_str()).bind(time).bind(&id).bind(page::READ).fetch_all(db).await)?;
        let page = Page::cut(rows, NEWEST, |e| (e.created_at, e.id.clone()));
        Ok(Page { rows: self.with_attachments(tenant, page.rows).await?, next: page.next })
    }

    /// All of a tenant, newest first: for a decision over every name that is taken, never for a page.
    pub(crate) async fn every_endpoint(&self, tenant: &Name) -> Result<Vec<Endpoint>> {
        // Unlimited: a decision over every name that is taken.
        let rows: Vec<EndpointRow> = on_both!(self, db => sqlx::query_as(OF_TENANT).bind(tenant.as_str()).fetch_all(db).await)?;
        self.with_attachments(tenant, rows).await
    }

    /// Those that should run, newest first: as many as the quota allows.
    pub(crate) async fn wanted_endpoints(&self, tenant: &Name) -> Result<Vec<Endpoint>> {
        // Unlimited: as many as the quota allows.
        let rows: Vec<EndpointRow> = on_both!(self, db => sqlx::query_as(OPEN_OF_TENANT).bind(tenant.as_str()).fetch_all(db).await)?;
        self.with_attachments(tenant, rows).await
    }

    /// Those that serve this version or should, the wanted ones first; at most a page of them.
    pub(crate) async fn endpoints_serving(&self, tenant: &Name, version: ModelVersionId) -> Result<Vec<Endpoint>> {
        let rows: Vec<EndpointRow> = on_both!(self, db => sqlx::query_as(SERVING)
            .bind(tenant.as_str()).bind(version.to_string()).bind(page::READ).fetch_all(db).await)?;
        self.with_attachments(tenant, rows).await
    }

    /// Those of a base model that take adapters, the wanted ones first; at most a page of them.
    pub(crate) async fn endpoints_for_base(&self, tenant: &Name, base: BaseModelId) -> Result<Vec<Endpoint>> {
        let mut rows: Vec<EndpointRow> = Vec::new();
        for sql in OF_BASE {
            let room = page::READ - rows.len() as i64;
            let found: Vec<EndpointRow> = on_both!(self, db => sqlx::query_as(sql)
                .bind(tenant.as_str()).bind(base.to_string()).bind(room).fetch_all(db).await)?;
            rows.extend(found);
        }
        self.with_attachments(tenant, rows).await
    }

    /// Which endpoints a client could mean by one of these names of models, and by no other name.
    pub(crate) async fn endpoints_claiming(&self, tenant: &Name, models: &[String]) -> Result<Vec<Endpoint>> {
        let mut ids = BTreeSet::new();
        if models.is_empty() {
            return Ok(Vec::new());
        }
        for (sql, column) in CLAIMS {
            // All of them: the one that a name leads to is chosen among all that claim it.
            let rows: Vec<(String,)> =
                on_both!(self, db => page::belonging(sql, tenant, column, models, "").build_query_as().fetch_all(db).await)?;
            ids.extend(rows.into_iter().map(|(id,)| id));
        }
        let ids: Vec<String> = ids.into_iter().collect();
        let mut out = Vec::new();
        for ids in ids.chunks(IDS) {
            let rows: Vec<EndpointRow> =
                on_both!(self, db => page::belonging(BY_IDS, tenant, " AND e.id", ids, "").build_query_as().fetch_all(db).await)?;
            out.extend(self.with_attachments(tenant, rows).await?);
        }
        Ok(out)
    }

    /// How many there are, should run, and are ready.
    pub(crate) async fn endpoint_counts(&self, tenant: &Name) -> Result<(u64, u64, u64)> {
        let sql = "SELECT COUNT(*), COUNT(CASE WHEN state IN ('wanted', 'starting', 'ready', 'degraded') THEN 1 END), \
            COUNT(CASE WHEN state = 'ready' THEN 1 END) FROM endpoints WHERE tenant = $1";
        let (all, wanted, ready): (i64, i64, i64) = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_one(db).await)?;
        Ok((count(all)?, count(wanted)?, count(ready)?))
    }

    async fn with_attachments(&self, tenant: &Name, rows: Vec<EndpointRow>) -> Result<Vec<Endpoint>> {
        let ids: Vec<String> = rows.iter().map(|e| e.id.clone()).collect();
        let mut by_endpoint: HashMap<String, Vec<Attachment>> = HashMap::new();
        for ids in ids.chunks(IDS) {
            // As many as their model servers hold.
            let attached: Vec<AttachmentRow> = on_both!(self, db => page::belonging(
                ATTACHED_OF, tenant, " AND a.endpoint", ids, "ORDER BY a.attached_at, a.version").build_query_as().fetch_all(db).await)?;
            for row in attached {
                by_endpoint.entry(row.endpoint.clone()).or_default().push(row.attachment()?);
            }
        }
        rows.into_iter()
            .map(|row| {
                let attached = by_endpoint.remove(&row.id).unwrap_or_default();
                row.record(attached).map(|r| r.endpoint)
            })
            .collect()
    }

    /// Endpoints of every tenant for which something runs, should run, or is being stopped; for the controller only.
    pub(crate) async fn open_endpoints(&self) -> Result<Vec<(Name, EndpointId)>> {
        // Unlimited: the controller looks after all that should run.
        let sql = "SELECT tenant, id FROM endpoints WHERE state NOT IN ('stopped', 'failed') ORDER BY created_at, id";
        let rows: Vec<(String, String)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.into_iter().map(|(tenant, id)| Ok((parsed(&tenant)?, parsed(&id)?))).collect()
    }

    /// State and launch of an endpoint whose tenant is not word, for tasks that the engine still holds.
    pub(crate) async fn endpoint_state_anywhere(&self, id: EndpointId) -> Result<Option<(EndpointState, u32)>> {
        let sql = "SELECT state, launch FROM endpoints WHERE id = $1";
        let row: Option<(String, i64)> = on_both!(self, db => sqlx::query_as(sql).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(state, launch)| Ok((word(EndpointState::from_word(&state), &state)?, launch as u32))).transpose()
    }
}

impl Tx {
    pub(crate) async fn endpoint_by_name(&mut self, tenant: &Name, name: &Name) -> Result<Option<EndpointRecord>> {
        let sql = "SELECT id FROM endpoints WHERE tenant = $1 AND name = $2";
        let row: Option<(String,)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        match row {
            Some((id,)) => self.endpoint(tenant, parsed(&id)?).await,
            None => Ok(None),
        }
    }

    /// The tenant's endpoints of a base model that take adapters, oldest first.
    pub(crate) async fn endpoints_of_base(&mut self, tenant: &Name, base: BaseModelId) -> Result<Vec<EndpointId>> {
        // Unlimited: the one to deploy onto is chosen among all.
        let sql = "SELECT id FROM endpoints WHERE tenant = $1 AND base_model = $2 AND merged_version IS NULL ORDER BY created_at, id";
        let rows: Vec<(String,)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(base.to_string()).fetch_all(db).await)?;
        rows.into_iter().map(|(id,)| parsed(&id)).collect()
    }

    pub(crate) async fn endpoint(&mut self, tenant: &Name, id: EndpointId) -> Result<Option<EndpointRecord>> {
        // Unlimited: as many as a model server holds.
        let row: Option<EndpointRow> =
            in_tx!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        let Some(row) = row else { return Ok(None) };
        let attached: Vec<AttachmentRow> =
            in_tx!(self, db => sqlx::query_as(ATTACHED).bind(tenant.as_str()).bind(id.to_string()).fetch_all(db).await)?;
        row.record(attached.into_iter().map(AttachmentRow::attachment).collect::<Result<_>>()?).map(Some)
    }

    /// Endpoints that count against the quota.
    pub(crate) async fn wanted_endpoints(&mut self, tenant: &Name) -> Result<u32> {
        let sql = "SELECT COUNT(*) FROM endpoints WHERE tenant = $1 AND state IN ('wanted', 'starting', 'ready', 'degraded')";
        let (count,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_one(db).await)?;
        Ok(count as u32)
    }

    /// `false` = the name is taken.
    pub(crate) async fn insert_endpoint(&mut self, e: &Endpoint) -> Result<bool> {
        let sql = "INSERT INTO endpoints (tenant, id, name, state, reason, base_model, merged_version, revision, launch, max_lora_rank, restarts, \
                   created_by, created_at, model_server) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, $9, $10, $11) ON CONFLICT DO NOTHING";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(e.tenant.as_str())
            .bind(e.id.to_string())
            .bind(e.name.as_str())
            .bind(e.state.word())
            .bind(json(&e.reason))
            .bind(e.base.as_ref().map(|b| b.id.to_string()))
            .bind(e.merged_version.map(|v| v.to_string()))
            .bind(i64::from(e.revision))
            .bind(e.created_by.to_string())
            .bind(e.created_at.0)
            .bind(e.model_server.word())
            .execute(db).await.map(|done| done.rows_affected()))?;
        if written == 1 {
            self.routes_changed(&e.tenant, e.id);
            self.served_changed(e);
        }
        Ok(written == 1)
    }

    /// Writes everything of an endpoint that may change, without its attachments.
    pub(crate) async fn save_endpoint(&mut self, r: &EndpointRecord) -> Result<()> {
        let sql = "UPDATE endpoints SET state = $3, reason = $4, revision = $5, address = $6, launch = $7, max_lora_rank = $8, restarts = $9, \
                   output_cursor = $10, retry_at = $11, ready_at = $12, log_before = $13, external_json = $14, replicas_json = $15 WHERE tenant = $1 AND id = $2";
        let e = &r.endpoint;
        let before = "SELECT state, address, reason, external_json, replicas_json FROM endpoints WHERE tenant = $1 AND id = $2";
        let before: Option<Served> =
            in_tx!(self, db => sqlx::query_as(before).bind(e.tenant.as_str()).bind(e.id.to_string()).fetch_optional(db).await)?;
        self.changed(&e.tenant, Topic::Endpoint, e.id);
        // Clients are told why only of what is given up or somebody else's; what a starting one says meanwhile is no new directory.
        let tells_why = e.state == EndpointState::Failed || e.external.is_some();
        let offers = |external: Option<External>| external.map(|x| x.models);
        let is_news = match before {
            None => true,
            Some((state, address, reason, external, known)) => {
                let known = replicas::of_column(known.as_deref())?;
                let external: Option<External> = external.as_deref().map(from_json).transpose()?;
                state != e.state.word()
                    || address != addresses::column(&e.addresses)
                    || replicas::loaded(&known) != replicas::loaded(&e.replicas)
                    || tells_why && reason != json(&e.reason)
                    || offers(external) != offers(e.external.clone())
            }
        };
        if is_news {
            self.directory_changed();
            self.served_changed(e);
        }
        in_tx!(self, db => sqlx::query(sql)
            .bind(e.tenant.as_str())
            .bind(e.id.to_string())
            .bind(e.state.word())
            .bind(json(&e.reason))
            .bind(i64::from(e.revision))
            .bind(addresses::column(&e.addresses))
            .bind(i64::from(r.launch))
            .bind(i64::from(r.max_lora_rank))
            .bind(i64::from(e.restarts))
            .bind(r.output.as_str())
            .bind(r.retry_at.map(|t| t.0))
            .bind(e.ready_at.map(|t| t.0))
            .bind(r.log_before as i64)
            .bind(e.external.as_ref().map(json))
            .bind(replicas::column(&e.replicas))
            .execute(db).await.map(|_| ()))
    }

    /// What a look at an external server has found, when nothing of it is news to anybody: open pages are not told.
    pub(crate) async fn save_look(&mut self, r: &EndpointRecord) -> Result<()> {
        let sql = "UPDATE endpoints SET external_json = $3, retry_at = $4 WHERE tenant = $1 AND id = $2";
        let e = &r.endpoint;
        in_tx!(self, db => sqlx::query(sql)
            .bind(e.tenant.as_str()).bind(e.id.to_string()).bind(e.external.as_ref().map(json)).bind(r.retry_at.map(|t| t.0))
            .execute(db).await.map(drop))
    }

    /// How it serves; what the controller writes of an endpoint leaves this alone.
    pub(crate) async fn set_serving(&mut self, tenant: &Name, id: EndpointId, settings: &ServingSettings) -> Result<()> {
        let sql = "UPDATE endpoints SET serving_json = $3 WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(id.to_string()).bind(json(settings)).execute(db).await.map(drop))?;
        self.routes_changed(tenant, id);
        Ok(())
    }

    /// The key of an external server, encrypted; none = it is called without.
    pub(crate) async fn set_external_key(&mut self, tenant: &Name, id: EndpointId, sealed: Option<&str>) -> Result<()> {
        let sql = "UPDATE endpoints SET external_key = $3 WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(id.to_string()).bind(sealed).execute(db).await.map(drop))?;
        self.directory_changed();
        Ok(())
    }

    /// The page of full weights says where they answer.
    pub(super) fn served_changed(&mut self, e: &Endpoint) {
        if let Some(version) = e.merged_version {
            self.changed(&e.tenant, Topic::ModelVersion, version);
        }
    }

    pub(super) fn routes_changed(&mut self, tenant: &Name, endpoint: EndpointId) {
        self.changed(tenant, Topic::Endpoint, endpoint);
        self.directory_changed();
    }
}
