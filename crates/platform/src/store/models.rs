//! Models and their versions. A version is written once; only its stage and its card change.

use super::{Result, Store, Tx, at, from_json, in_tx, json, on_both, parsed, word};
use domain::{
    base_model::StoredFile,
    card::Card,
    event::Topic,
    ids::{ModelId, ModelVersionId, PersonId, RunId},
    model::{Model, ModelVersion, Stage, WeightsKind},
    name::Name,
    settings::RunSettings,
    time::Timestamp,
};

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
    ($rest:literal) => {
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
            $rest
        )
    };
}
const OF_TENANT: &str = select_versions!("WHERE mv.tenant = $1 ORDER BY m.name, mv.number DESC");
const OF_MODEL: &str = select_versions!("WHERE mv.tenant = $1 AND m.name = $2 ORDER BY mv.number DESC");
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

    pub(crate) async fn models(&self, tenant: &Name) -> Result<Vec<Model>> {
        let sql = "SELECT id, name, created_at FROM models WHERE tenant = $1 ORDER BY name";
        let rows: Vec<(String, String, i64)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(id, name, created)| {
                Ok(Model { id: parsed(&id)?, tenant: tenant.clone(), name: parsed(&name)?, created_at: at(created) })
            })
            .collect()
    }

    /// All versions of all models, by model name, newest first.
    pub(crate) async fn model_versions(&self, tenant: &Name) -> Result<Vec<ModelVersion>> {
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(OF_TENANT).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(VersionRow::version).collect()
    }

    /// The versions of one model, newest first.
    pub(crate) async fn versions_of_model(&self, tenant: &Name, model: &Name) -> Result<Vec<ModelVersion>> {
        let rows: Vec<VersionRow> =
            on_both!(self, db => sqlx::query_as(OF_MODEL).bind(tenant.as_str()).bind(model.as_str()).fetch_all(db).await)?;
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
        let sql = "INSERT INTO model_versions (tenant, id, model, number, stage, kind, digest, files_json, run, card_json, card_revision, author, created_at) \
                   VALUES ($1, $2, $3, $4, 'candidate', $5, $6, $7, $8, $9, $10, $11, $12)";
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
