//! Models and their versions. A version is written once; only its stage and its card change.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed, word};
use domain::{
    base_model::StoredFile,
    card::Card,
    event::Topic,
    filter::ModelFilter,
    ids::{BaseModelId, ModelId, ModelVersionId, PersonId, RunId},
    model::{Model, ModelOverview, ModelVersion, Stage, WeightsKind},
    name::Name,
    page::{Cursor, Page},
    settings::RunSettings,
    time::Timestamp,
};
use std::collections::{BTreeSet, HashMap};

/// A version that is about to be written.
pub(crate) struct InsertVersion<'a> {
    pub tenant: &'a Name,
    pub id: ModelVersionId,
    pub model: ModelId,
    pub number: u32,
    pub kind: WeightsKind,
    pub digest: &'a str,
    pub files: &'a [StoredFile],
    pub run: RunId,
    pub card: &'a Card,
    pub author: PersonId,
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    tenant: String,
    id: String,
    model: String,
    model_name: String,
    number: i64,
    stage: String,
    kind: String,
    digest: String,
    files_json: String,
    run: String,
    run_name: String,
    base_model: String,
    base_model_name: String,
    base_model_digest: String,
    dataset_version: String,
    dataset_name: String,
    dataset_number: i64,
    settings_json: String,
    scores_json: Option<String>,
    card_json: String,
    card_revision: i64,
    author: String,
    author_name: String,
    created_at: i64,
}

macro_rules! select_versions {
    ($($rest:literal),+) => {
        concat!(
            "SELECT mv.tenant, mv.id, mv.model, m.name AS model_name, mv.number, mv.stage, mv.kind, mv.digest, mv.files_json, mv.run, \
             r.name AS run_name, r.base_model, b.name AS base_model_name, b.digest AS base_model_digest, r.dataset_version, \
             d.name AS dataset_name, v.number AS dataset_number, r.settings_json, r.scores_json, mv.card_json, mv.card_revision, \
             mv.author, p.name AS author_name, mv.created_at \
             FROM model_versions mv JOIN models m ON m.tenant = mv.tenant AND m.id = mv.model \
             JOIN runs r ON r.tenant = mv.tenant AND r.id = mv.run \
             JOIN base_models b ON b.id = r.base_model \
             JOIN dataset_versions v ON v.tenant = r.tenant AND v.id = r.dataset_version \
             JOIN datasets d ON d.tenant = v.tenant AND d.id = v.dataset \
             JOIN people p ON p.id = mv.author ",
            $($rest),+
        )
    };
}
/// In cursors.
const LIST: &str = "models, by name";
const VERSIONS: &str = "versions of a model, newest first";

/// Of each model its newest version; the tenant's value follows.
const LATEST: &str = select_versions!(
    "WHERE mv.number = (SELECT MAX(w.number) FROM model_versions w WHERE w.tenant = mv.tenant AND w.model = mv.model) AND mv.tenant = "
);
const BY_IDS: &str = select_versions!("WHERE mv.tenant = ");
const COUNTS: &str = "SELECT model, COUNT(*) FROM model_versions WHERE tenant = ";
/// Endpoints that should serve any version of a model: with adapters, with full weights.
const ATTACHED_TO: &str = "SELECT DISTINCT v.model, e.name FROM attachments a \
    JOIN model_versions v ON v.tenant = a.tenant AND v.id = a.version JOIN endpoints e ON e.tenant = a.tenant AND e.id = a.endpoint \
    WHERE e.state IN ('wanted', 'starting', 'ready', 'degraded') AND a.tenant = ";
const MERGED_IN: &str = "SELECT v.model, e.name FROM endpoints e JOIN model_versions v ON v.tenant = e.tenant AND v.id = e.merged_version \
    WHERE e.state IN ('wanted', 'starting', 'ready', 'degraded') AND e.tenant = ";
const MODELS: &str = "SELECT m.id, m.name, m.created_at FROM models m \
    JOIN model_versions mv ON mv.tenant = m.tenant AND mv.model = m.id \
        AND mv.number = (SELECT MAX(w.number) FROM model_versions w WHERE w.tenant = m.tenant AND w.model = m.id) \
    JOIN runs r ON r.tenant = mv.tenant AND r.id = mv.run JOIN base_models b ON b.id = r.base_model \
    JOIN dataset_versions v ON v.tenant = r.tenant AND v.id = r.dataset_version JOIN datasets d ON d.tenant = v.tenant AND d.id = v.dataset \
    WHERE m.tenant = $1 AND m.name > $2 AND ($3 = '' OR LOWER(m.name || ' ' || b.name || ' ' || d.name) LIKE LOWER($3) ESCAPE '!') \
    AND ($4 = '' OR mv.stage = $4) ORDER BY m.name LIMIT $5";
const BY_ID: &str = select_versions!("WHERE mv.tenant = $1 AND mv.id = $2");

impl VersionRow {
    fn version(self) -> Result<ModelVersion> {
        let settings: RunSettings = from_json(&self.settings_json)?;
        let card: Card = from_json(&self.card_json)?;
        Ok(ModelVersion {
            id: parsed(&self.id)?,
            tenant: parsed(&self.tenant)?,
            model: parsed(&self.model)?,
            model_name: parsed(&self.model_name)?,
            number: self.number as u32,
            stage: word(Stage::from_word(&self.stage), &self.stage)?,
            kind: word(WeightsKind::from_word(&self.kind), &self.kind)?,
            digest: self.digest,
            files: from_json(&self.files_json)?,
            run: parsed(&self.run)?,
            run_name: parsed(&self.run_name)?,
            base_model: parsed(&self.base_model)?,
            base_model_name: parsed(&self.base_model_name)?,
            base_model_digest: self.base_model_digest,
            dataset_version: parsed(&self.dataset_version)?,
            dataset_name: parsed(&self.dataset_name)?,
            dataset_number: self.dataset_number as u32,
            settings,
            scores: self.scores_json.as_deref().map(from_json).transpose()?,
            card: Card { revision: self.card_revision as u32, ..card },
            author: parsed(&self.author)?,
            author_name: self.author_name,
            created_at: at(self.created_at),
        })
    }
}

impl Store {
    pub(crate) async fn model(&self, tenant: &Name, name: &Name) -> Result<Option<Model>> {
        let sql = "SELECT id, created_at FROM models WHERE tenant = $1 AND name = $2";
        let row: Option<(String, i64)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(|(id, created)| Ok(Model { id: parsed(&id)?, tenant: tenant.clone(), name: name.clone(), created_at: at(created) }))
            .transpose()
    }

    /// By name, with the newest version of each.
    pub(crate) async fn models(&self, tenant: &Name, filter: &ModelFilter, after: &Cursor) -> Result<Page<ModelOverview>> {
        let (name, text, stage) = (page::by_name(LIST, after), page::anywhere(&filter.text), filter.stage.map_or("", Stage::word));
        let rows: Vec<(String, String, i64)> = on_both!(self, db => sqlx::query_as(MODELS)
            .bind(tenant.as_str()).bind(&name).bind(&text).bind(stage).bind(page::READ).fetch_all(db).await)?;
        let page = Page::cut(rows, LIST, |(_, name, _)| name.clone());
        let ids: Vec<String> = page.rows.iter().map(|(id, _, _)| id.clone()).collect();
        let ids @ [_, ..] = ids.as_slice() else { return Ok(Page { rows: Vec::new(), next: None }) };
        let latest: Vec<VersionRow> =
            on_both!(self, db => page::belonging(LATEST, tenant, " AND mv.model", ids, "").build_query_as().fetch_all(db).await)?;
        let mut latest: HashMap<String, VersionRow> = latest.into_iter().map(|v| (v.model.clone(), v)).collect();
        let counts: Vec<(String, i64)> = on_both!(self, db => page::belonging(COUNTS, tenant, " AND model", ids, "GROUP BY model")
            .build_query_as().fetch_all(db).await)?;
        let counts: HashMap<String, i64> = counts.into_iter().collect();
        let mut serving: HashMap<String, BTreeSet<String>> = HashMap::new();
        for sql in [ATTACHED_TO, MERGED_IN] {
            // As many as the quota of endpoints allows.
            let found: Vec<(String, String)> =
                on_both!(self, db => page::belonging(sql, tenant, " AND v.model", ids, "").build_query_as().fetch_all(db).await)?;
            for (model, endpoint) in found {
                serving.entry(model).or_default().insert(endpoint);
            }
        }
        let shown = page.rows.into_iter().filter_map(|(id, name, created)| Some((latest.remove(&id)?, id, name, created)));
        let rows = shown.map(|(latest, id, name, created)| {
            Ok(ModelOverview {
                latest: latest.version()?,
                versions: count(counts.get(&id).copied().unwrap_or(0))?,
                endpoints: serving.remove(&id).unwrap_or_default().iter().map(|name| parsed(name)).collect::<Result<_>>()?,
                model: Model { id: parsed(&id)?, tenant: tenant.clone(), name: parsed(&name)?, created_at: at(created) },
            })
        });
        Ok(Page { rows: rows.collect::<Result<_>>()?, next: page.next })
    }

    /// How many models and versions there are.
    pub(crate) async fn count_models(&self, tenant: &Name) -> Result<(u64, u64)> {
        let sql = "SELECT (SELECT COUNT(*) FROM models WHERE tenant = $1), (SELECT COUNT(*) FROM model_versions WHERE tenant = $1)";
        let (models, versions): (i64, i64) = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_one(db).await)?;
        Ok((count(models)?, count(versions)?))
    }

    /// Names of models, by name: one page of those with this text in them.
    pub(crate) async fn model_names(&self, tenant: &Name, text: &str) -> Result<Page<Name>> {
        let sql = "SELECT name FROM models WHERE tenant = $1 AND ($2 = '' OR name LIKE $2 ESCAPE '!') ORDER BY name LIMIT $3";
        let text = page::anywhere(&text.to_lowercase());
        let rows: Vec<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(&text).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, LIST, |(name,)| name.clone()).try_map(|(name,)| parsed(&name))
    }

    /// The newest versions of all models, newest first: one page of this size. `of` = of this base; `latest` = one of each model.
    pub(crate) async fn newest_model_versions(
        &self,
        tenant: &Name,
        of: Option<BaseModelId>,
        latest: bool,
        size: usize,
    ) -> Result<Page<ModelVersion>> {
        let sql = select_versions!(
            "WHERE mv.tenant = $1 AND ($2 = '' OR r.base_model = $2) AND ($3 = 0 OR NOT EXISTS (SELECT 1 FROM model_versions w \
             WHERE w.tenant = mv.tenant AND w.model = mv.model AND w.number > mv.number)) ORDER BY mv.created_at DESC, mv.id DESC LIMIT $4"
        );
        let of = of.map(|id| id.to_string()).unwrap_or_default();
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(&of).bind(i64::from(latest)).bind(size as i64 + 1).fetch_all(db).await)?;
        Page::cut_at(size, rows, "newest versions", |v| (v.created_at, v.id.clone())).try_map(VersionRow::version)
    }

    /// The versions of one model, newest first.
    pub(crate) async fn versions_of_model(&self, tenant: &Name, model: ModelId, after: &Cursor) -> Result<Page<ModelVersion>> {
        let sql = select_versions!("WHERE mv.tenant = $1 AND mv.model = $2 AND mv.number < $3 ORDER BY mv.number DESC LIMIT $4");
        let before: i64 = after.key(VERSIONS).unwrap_or(i64::MAX);
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(model.to_string()).bind(before).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, VERSIONS, |v| v.number).try_map(VersionRow::version)
    }

    pub(crate) async fn count_versions_of_model(&self, tenant: &Name, model: ModelId) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM model_versions WHERE tenant = $1 AND model = $2";
        let (versions,): (i64,) =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(model.to_string()).fetch_one(db).await)?;
        count(versions)
    }

    /// The id of a version; `number` 0 = the newest.
    pub(crate) async fn model_version_id(&self, tenant: &Name, name: &Name, number: u32) -> Result<Option<ModelVersionId>> {
        let sql = "SELECT v.id FROM model_versions v WHERE v.tenant = $1 AND v.model = (SELECT m.id FROM models m WHERE m.tenant = $1 AND m.name = $2) \
                   AND ($3 = 0 OR v.number = $3) ORDER BY v.number DESC LIMIT 1";
        let row: Option<(String,)> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(name.as_str()).bind(i64::from(number)).fetch_optional(db).await)?;
        row.map(|(id,)| parsed(&id)).transpose()
    }

    /// `None` = the newest.
    pub(crate) async fn version_of_model(&self, tenant: &Name, model: ModelId, number: Option<u32>) -> Result<Option<ModelVersion>> {
        let newest = select_versions!("WHERE mv.tenant = $1 AND mv.model = $2 ORDER BY mv.number DESC LIMIT 1");
        let numbered = select_versions!("WHERE mv.tenant = $1 AND mv.model = $2 AND mv.number = $3");
        let (tenant, model) = (tenant.as_str(), model.to_string());
        let row: Option<VersionRow> = match number {
            None => on_both!(self, db => sqlx::query_as(newest).bind(tenant).bind(model).fetch_optional(db).await)?,
            Some(number) => {
                on_both!(self, db => sqlx::query_as(numbered).bind(tenant).bind(model).bind(i64::from(number)).fetch_optional(db).await)?
            }
        };
        row.map(VersionRow::version).transpose()
    }

    /// Those of these versions that there are.
    pub(crate) async fn model_versions(&self, tenant: &Name, ids: &[ModelVersionId]) -> Result<Vec<ModelVersion>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids @ [_, ..] = ids.as_slice() else { return Ok(Vec::new()) };
        let rows: Vec<VersionRow> =
            on_both!(self, db => page::belonging(BY_IDS, tenant, " AND mv.id", ids, "").build_query_as().fetch_all(db).await)?;
        rows.into_iter().map(VersionRow::version).collect()
    }

    pub(crate) async fn model_version(&self, tenant: &Name, id: ModelVersionId) -> Result<Option<ModelVersion>> {
        let row: Option<VersionRow> =
            on_both!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(VersionRow::version).transpose()
    }
}

impl Tx {
    pub(crate) async fn model_version(&mut self, tenant: &Name, id: ModelVersionId) -> Result<Option<ModelVersion>> {
        let row: Option<VersionRow> =
            in_tx!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(VersionRow::version).transpose()
    }

    /// The model of this name, made when it is new (then under `fresh`), and the number of its next version.
    pub(crate) async fn model_for_new_version(
        &mut self,
        tenant: &Name,
        name: &Name,
        fresh: ModelId,
        now: Timestamp,
    ) -> Result<(ModelId, u32)> {
        let make = "INSERT INTO models (tenant, id, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, name) DO UPDATE SET name = excluded.name RETURNING id";
        let (id,): (String,) = in_tx!(self, db => sqlx::query_as(make)
            .bind(tenant.as_str()).bind(fresh.to_string()).bind(name.as_str()).bind(now.0).fetch_one(db).await)?;
        let last = "SELECT COALESCE(MAX(number), 0) FROM model_versions WHERE tenant = $1 AND model = $2";
        let (number,): (i64,) = in_tx!(self, db => sqlx::query_as(last).bind(tenant.as_str()).bind(&id).fetch_one(db).await)?;
        Ok((parsed(&id)?, number as u32 + 1))
    }

    pub(crate) async fn insert_version(&mut self, v: InsertVersion<'_>) -> Result<()> {
        let sql = "INSERT INTO model_versions (tenant, id, model, number, stage, kind, digest, files_json, run, card_json, card_revision, author, created_at, bytes) \
                   VALUES ($1, $2, $3, $4, 'candidate', $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(v.tenant.as_str())
            .bind(v.id.to_string())
            .bind(v.model.to_string())
            .bind(i64::from(v.number))
            .bind(v.kind.word())
            .bind(v.digest)
            .bind(json(&v.files))
            .bind(v.run.to_string())
            .bind(json(v.card))
            .bind(i64::from(v.card.revision))
            .bind(v.author.to_string())
            .bind(v.created_at.0)
            .bind(v.files.iter().map(|f| f.bytes).sum::<u64>() as i64)
            .execute(db).await.map(|_| ()))?;
        self.changed(v.tenant, Topic::ModelVersion, v.id);
        Ok(())
    }

    pub(crate) async fn set_stage(&mut self, tenant: &Name, id: ModelVersionId, stage: Stage) -> Result<()> {
        let sql = "UPDATE model_versions SET stage = $3 WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(id.to_string()).bind(stage.word()).execute(db).await.map(|_| ()))?;
        self.changed(tenant, Topic::ModelVersion, id);
        Ok(())
    }

    /// Writes a card over the revision it was made from. `false` = the card has moved on.
    pub(crate) async fn save_card(&mut self, tenant: &Name, id: ModelVersionId, base_revision: u32, card: &Card) -> Result<bool> {
        let sql = "UPDATE model_versions SET card_json = $4, card_revision = $5 WHERE tenant = $1 AND id = $2 AND card_revision = $3";
        let saved = in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(id.to_string()).bind(i64::from(base_revision)).bind(json(card)).bind(i64::from(card.revision))
            .execute(db).await.map(|done| done.rows_affected()))?;
        if saved == 1 {
            self.changed(tenant, Topic::ModelVersion, id);
        }
        Ok(saved == 1)
    }
}
