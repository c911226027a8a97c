//! Datasets and their versions.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, parsed, word};
use domain::{
    dataset::{Container, Dataset, DatasetVersion, Documentation, Format, VersionState},
    event::Topic,
    ids::{DatasetId, DatasetVersionId},
    inspect::Report,
    name::Name,
    reason::dataset::DatasetReason,
    run::RunState,
};
use std::collections::HashMap;

type DatasetColumns = (String, String, String, String, i64);

fn dataset((tenant, id, name, created_by, created): DatasetColumns) -> Result<Dataset> {
    Ok(Dataset {
        id: parsed(&id)?,
        tenant: parsed(&tenant)?,
        name: parsed(&name)?,
        created_by: parsed(&created_by)?,
        created_at: at(created),
    })
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    tenant: String,
    id: String,
    dataset: String,
    dataset_name: String,
    number: i64,
    state: String,
    reason: Option<String>,
    file_name: String,
    bytes: i64,
    digest: Option<String>,
    judgement: Option<String>,
    judged_bytes: i64,
    erased_at: Option<i64>,
    format: Option<String>,
    container: Option<String>,
    held_out_percent: i64,
    tokenizer: Option<String>,
    report_json: Option<String>,
    documentation_json: String,
    created_by: String,
    created_by_name: String,
    created_at: i64,
}

/// One version with the names that people read: `versions!("WHERE ...")`.
macro_rules! versions {
    ($rest:literal) => {
        concat!(
            "SELECT v.tenant, v.id, v.dataset, d.name AS dataset_name, v.number, v.state, v.reason, v.file_name, v.bytes, v.digest, v.judgement, v.judged_bytes, v.erased_at, v.format, v.container, \
             v.held_out_percent, v.tokenizer, v.report_json, v.documentation_json, v.created_by, p.name AS created_by_name, v.created_at \
             FROM dataset_versions v JOIN datasets d ON d.tenant = v.tenant AND d.id = v.dataset JOIN people p ON p.id = v.created_by ",
            $rest
        )
    };
}

const BY_ID: &str = versions!("WHERE v.tenant = $1 AND v.id = $2");
const DATASET_BY_NAME: &str = "SELECT tenant, id, name, created_by, created_at FROM datasets WHERE tenant = $1 AND name = $2";

fn version(r: VersionRow) -> Result<DatasetVersion> {
    Ok(DatasetVersion {
        id: parsed(&r.id)?,
        tenant: parsed(&r.tenant)?,
        dataset: parsed(&r.dataset)?,
        dataset_name: parsed(&r.dataset_name)?,
        number: count(r.number)?,
        state: word(VersionState::from_word(&r.state), &r.state)?,
        reason: r.reason.as_deref().map(DatasetReason::stored),
        file_name: r.file_name,
        bytes: count(r.bytes)?,
        digest: r.digest,
        judgement: r.judgement,
        judged_bytes: count(r.judged_bytes)?,
        erased_at: r.erased_at.map(at),
        format: r.format.map(|f| word(Format::from_word(&f), &f)).transpose()?,
        container: r.container.map(|c| word(container(&c), &c)).transpose()?,
        held_out_percent: count(r.held_out_percent)?,
        tokenizer: r.tokenizer.as_deref().map(parsed).transpose()?,
        report: r.report_json.as_deref().map(from_json::<Report>).transpose()?,
        documentation: from_json::<Documentation>(&r.documentation_json)?,
        created_by: parsed(&r.created_by)?,
        created_by_name: r.created_by_name,
        created_at: at(r.created_at),
    })
}

const fn container_word(c: Container) -> &'static str {
    match c {
        Container::Json => "json",
        Container::Jsonl => "jsonl",
    }
}

fn container(text: &str) -> Option<Container> {
    [Container::Json, Container::Jsonl].into_iter().find(|c| container_word(*c) == text)
}

impl Store {
    /// By name.
    pub(crate) async fn datasets(&self, tenant: &Name) -> Result<Vec<Dataset>> {
        let sql = "SELECT tenant, id, name, created_by, created_at FROM datasets WHERE tenant = $1 ORDER BY name";
        let rows: Vec<DatasetColumns> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(dataset).collect()
    }

    pub(crate) async fn dataset(&self, tenant: &Name, name: &Name) -> Result<Option<Dataset>> {
        let row: Option<DatasetColumns> =
            on_both!(self, db => sqlx::query_as(DATASET_BY_NAME).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(dataset).transpose()
    }

    /// All versions of all datasets, by name, newest first.
    pub(crate) async fn dataset_versions(&self, tenant: &Name) -> Result<Vec<DatasetVersion>> {
        let sql = versions!("WHERE v.tenant = $1 ORDER BY d.name, v.number DESC");
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(version).collect()
    }

    /// The newest version of every dataset.
    pub(crate) async fn latest_versions(&self, tenant: &Name) -> Result<Vec<DatasetVersion>> {
        let sql = versions!(
            "WHERE v.tenant = $1 AND v.number = (SELECT MAX(w.number) FROM dataset_versions w WHERE w.tenant = v.tenant AND w.dataset = v.dataset)"
        );
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(version).collect()
    }

    /// How many runs used any version of each dataset.
    pub(crate) async fn runs_of_datasets(&self, tenant: &Name) -> Result<HashMap<DatasetId, u32>> {
        let sql = "SELECT v.dataset, COUNT(*) FROM runs r JOIN dataset_versions v ON v.tenant = r.tenant AND v.id = r.dataset_version \
            WHERE r.tenant = $1 GROUP BY v.dataset";
        let rows: Vec<(String, i64)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter().map(|(id, runs)| Ok((parsed(&id)?, count(runs)?))).collect()
    }

    /// Newest first.
    pub(crate) async fn versions_of_dataset(&self, tenant: &Name, dataset: DatasetId) -> Result<Vec<DatasetVersion>> {
        let sql = versions!("WHERE v.tenant = $1 AND v.dataset = $2 ORDER BY v.number DESC");
        let rows: Vec<VersionRow> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(dataset.to_string()).fetch_all(db).await)?;
        rows.into_iter().map(version).collect()
    }

    pub(crate) async fn dataset_version(&self, tenant: &Name, id: DatasetVersionId) -> Result<Option<DatasetVersion>> {
        let row: Option<VersionRow> =
            on_both!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(version).transpose()
    }
}

impl Tx {
    pub(crate) async fn dataset(&mut self, tenant: &Name, name: &Name) -> Result<Option<Dataset>> {
        let row: Option<DatasetColumns> =
            in_tx!(self, db => sqlx::query_as(DATASET_BY_NAME).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(dataset).transpose()
    }

    pub(crate) async fn insert_dataset(&mut self, d: &Dataset) -> Result<()> {
        let sql = "INSERT INTO datasets (tenant, id, name, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(d.tenant.as_str()).bind(d.id.to_string()).bind(d.name.as_str()).bind(d.created_by.to_string()).bind(d.created_at.0)
            .execute(db).await.map(drop))
    }

    pub(crate) async fn dataset_version(&mut self, tenant: &Name, id: DatasetVersionId) -> Result<Option<DatasetVersion>> {
        let row: Option<VersionRow> =
            in_tx!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(version).transpose()
    }

    pub(crate) async fn last_version_number(&mut self, tenant: &Name, dataset: DatasetId) -> Result<u32> {
        let sql = "SELECT COALESCE(MAX(n), 0) FROM (SELECT number AS n FROM dataset_versions WHERE tenant = $1 AND dataset = $2 \
            UNION ALL SELECT last_number AS n FROM datasets WHERE tenant = $1 AND id = $2) AS numbers";
        let (number,): (i64,) =
            in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(dataset.to_string()).fetch_one(db).await)?;
        count(number)
    }

    pub(crate) async fn insert_dataset_version(&mut self, v: &DatasetVersion) -> Result<()> {
        let sql = "INSERT INTO dataset_versions (tenant, id, dataset, number, state, reason, file_name, bytes, held_out_percent, tokenizer, \
            documentation_json, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(v.tenant.as_str()).bind(v.id.to_string()).bind(v.dataset.to_string()).bind(i64::from(v.number)).bind(v.state.word()).bind(v.reason.as_ref().map(json))
            .bind(&v.file_name).bind(v.bytes as i64).bind(i64::from(v.held_out_percent)).bind(v.tokenizer.map(|t| t.to_string()))
            .bind(json(&v.documentation)).bind(v.created_by.to_string()).bind(v.created_at.0)
            .execute(db).await.map(drop))?;
        self.changed(&v.tenant, Topic::DatasetVersion, v.id);
        Ok(())
    }

    /// Writes what may change: state, reason, bytes, digest, judgement and its bytes, erasure, format, container, report, documentation.
    pub(crate) async fn update_dataset_version(&mut self, v: &DatasetVersion) -> Result<()> {
        let sql = "UPDATE dataset_versions SET state = $3, reason = $4, bytes = $5, digest = $6, format = $7, container = $8, report_json = $9, \
            documentation_json = $10, judgement = $11, judged_bytes = $12, erased_at = $13 WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql)
            .bind(v.tenant.as_str()).bind(v.id.to_string()).bind(v.state.word()).bind(v.reason.as_ref().map(json)).bind(v.bytes as i64).bind(&v.digest)
            .bind(v.format.map(Format::word)).bind(v.container.map(container_word)).bind(v.report.as_ref().map(json)).bind(json(&v.documentation))
            .bind(&v.judgement).bind(v.judged_bytes as i64).bind(v.erased_at.map(|at| at.0))
            .execute(db).await.map(drop))?;
        self.changed(&v.tenant, Topic::DatasetVersion, v.id);
        Ok(())
    }

    /// How many bytes an upload that is under way may have; beside the version's other columns, which nobody changes meanwhile.
    pub(crate) async fn set_arriving_bytes(&mut self, v: &DatasetVersion, bytes: u64) -> Result<()> {
        let sql = "UPDATE dataset_versions SET bytes = $3 WHERE tenant = $1 AND id = $2 AND state = 'uploading'";
        in_tx!(self, db => sqlx::query(sql).bind(v.tenant.as_str()).bind(v.id.to_string()).bind(bytes as i64).execute(db).await.map(drop))
    }

    /// Runs of a version, oldest first: their names, and whether each has ended.
    pub(crate) async fn runs_of_version(&mut self, tenant: &Name, id: DatasetVersionId) -> Result<Vec<(Name, RunState)>> {
        let sql = "SELECT name, state FROM runs WHERE tenant = $1 AND dataset_version = $2 ORDER BY created_at, id";
        let rows: Vec<(String, String)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(id.to_string()).fetch_all(db).await)?;
        rows.into_iter().map(|(name, state)| Ok((parsed(&name)?, word(RunState::from_word(&state), &state)?))).collect()
    }

    /// Sees to it that the number of a version that had arrived is not given to another one.
    pub(crate) async fn retire_number(&mut self, v: &DatasetVersion) -> Result<()> {
        let sql = "UPDATE datasets SET last_number = $3 WHERE tenant = $1 AND id = $2 AND last_number < $3";
        let (tenant, dataset, number) = (v.tenant.as_str(), v.dataset.to_string(), i64::from(v.number));
        in_tx!(self, db => sqlx::query(sql).bind(tenant).bind(dataset).bind(number).execute(db).await.map(drop))
    }

    /// Removes a version, and its dataset when that has no other.
    pub(crate) async fn delete_dataset_version(&mut self, v: &DatasetVersion) -> Result<()> {
        let sql = "DELETE FROM dataset_versions WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql).bind(v.tenant.as_str()).bind(v.id.to_string()).execute(db).await.map(drop))?;
        let sql = "DELETE FROM datasets WHERE tenant = $1 AND id = $2 AND NOT EXISTS (SELECT 1 FROM dataset_versions WHERE tenant = $1 AND dataset = $2)";
        in_tx!(self, db => sqlx::query(sql).bind(v.tenant.as_str()).bind(v.dataset.to_string()).execute(db).await.map(drop))?;
        self.changed(&v.tenant, Topic::DatasetVersion, v.id);
        Ok(())
    }
}
