//! Datasets and their versions.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed, word};
use domain::{
    dataset::{Container, Dataset, DatasetOverview, DatasetVersion, Documentation, Format, VersionState},
    event::Topic,
    filter::{DatasetChecks, DatasetFilter},
    ids::{DatasetId, DatasetVersionId},
    inspect::{Report, Severity},
    name::Name,
    page::{Cursor, Page},
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
    same_as: Option<i64>,
}

/// One version with the names that people read: `versions!("WHERE ...")`.
macro_rules! versions {
    ($($rest:literal),+) => {
        concat!(
            "SELECT v.tenant, v.id, v.dataset, d.name AS dataset_name, v.number, v.state, v.reason, v.file_name, v.bytes, v.digest, v.judgement, v.judged_bytes, v.erased_at, v.format, v.container, \
             v.held_out_percent, v.tokenizer, v.report_json, v.documentation_json, v.created_by, p.name AS created_by_name, v.created_at, \
             (SELECT MAX(w.number) FROM dataset_versions w WHERE w.tenant = v.tenant AND w.dataset = v.dataset AND w.digest = v.digest AND w.number < v.number) AS same_as \
             FROM dataset_versions v JOIN datasets d ON d.tenant = v.tenant AND d.id = v.dataset JOIN people p ON p.id = v.created_by ",
            $($rest),+
        )
    };
}

/// In cursors.
const LIST: &str = "datasets, by name";
const VERSIONS: &str = "versions of a dataset, newest first";

const DATASETS: &str = "SELECT d.tenant, d.id, d.name, d.created_by, d.created_at FROM datasets d \
    LEFT JOIN dataset_versions v ON v.tenant = d.tenant AND v.dataset = d.id \
        AND v.number = (SELECT MAX(w.number) FROM dataset_versions w WHERE w.tenant = d.tenant AND w.dataset = d.id) \
    LEFT JOIN people p ON p.id = v.created_by \
    WHERE d.tenant = $1 AND d.name > $2 AND ($3 = '' OR LOWER(d.name || ' ' || COALESCE(v.file_name, '') || ' ' || COALESCE(v.licence, '') \
        || ' ' || COALESCE(p.name, '')) LIKE LOWER($3) ESCAPE '!') \
    AND CASE $4 WHEN 'rejected' THEN v.rejected_rows > 0 WHEN 'warnings' THEN v.warnings > 0 \
        WHEN 'clean' THEN v.problems = 0 ELSE 1 = 1 END \
    ORDER BY d.name LIMIT $5";
const LATEST: &str = versions!(
    "WHERE v.number = (SELECT MAX(w.number) FROM dataset_versions w WHERE w.tenant = v.tenant AND w.dataset = v.dataset) AND v.tenant = "
);
const RUNS: &str = "SELECT v.dataset, COUNT(*) FROM runs r JOIN dataset_versions v ON v.tenant = r.tenant AND v.id = r.dataset_version \
    WHERE r.tenant = ";

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
        same_as: r.same_as.map(count).transpose()?,
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
    /// By name, each with its newest version and how many runs used any version of it.
    pub(crate) async fn datasets(&self, tenant: &Name, filter: &DatasetFilter, after: &Cursor) -> Result<Page<DatasetOverview>> {
        let (name, text) = (page::by_name(LIST, after), page::anywhere(&filter.text));
        let checks = match filter.checks {
            DatasetChecks::All => "",
            DatasetChecks::Rejected => "rejected",
            DatasetChecks::Warnings => "warnings",
            DatasetChecks::Clean => "clean",
        };
        let rows: Vec<DatasetColumns> = on_both!(self, db => sqlx::query_as(DATASETS)
            .bind(tenant.as_str()).bind(&name).bind(&text).bind(checks).bind(page::READ).fetch_all(db).await)?;
        let page = Page::cut(rows, LIST, |d| d.2.clone());
        let ids: Vec<String> = page.rows.iter().map(|d| d.1.clone()).collect();
        let (mut latest, mut runs) = (HashMap::new(), HashMap::new());
        if let ids @ [_, ..] = ids.as_slice() {
            let found: Vec<VersionRow> =
                on_both!(self, db => page::belonging(LATEST, tenant, " AND v.dataset", ids, "").build_query_as().fetch_all(db).await)?;
            latest = found.into_iter().map(|r| Ok((r.dataset.clone(), version(r)?))).collect::<Result<_>>()?;
            let found: Vec<(String, i64)> = on_both!(self, db => page::belonging(RUNS, tenant, " AND v.dataset", ids, "GROUP BY v.dataset")
                .build_query_as().fetch_all(db).await)?;
            runs = found.into_iter().collect();
        }
        page.try_map(|row| {
            let (latest, runs) = (latest.remove(&row.1), runs.remove(&row.1).map_or(Ok(0), count)?);
            Ok(DatasetOverview { latest, runs, dataset: dataset(row)? })
        })
    }

    pub(crate) async fn dataset(&self, tenant: &Name, name: &Name) -> Result<Option<Dataset>> {
        let row: Option<DatasetColumns> =
            on_both!(self, db => sqlx::query_as(DATASET_BY_NAME).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(dataset).transpose()
    }

    /// Newest first.
    pub(crate) async fn versions_of_dataset(&self, tenant: &Name, dataset: DatasetId, after: &Cursor) -> Result<Page<DatasetVersion>> {
        let sql = versions!("WHERE v.tenant = $1 AND v.dataset = $2 AND v.number < $3 ORDER BY v.number DESC LIMIT $4");
        let before: i64 = after.key(VERSIONS).unwrap_or(i64::MAX);
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(dataset.to_string()).bind(before).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, VERSIONS, |v| v.number).try_map(version)
    }

    /// How many there are, and the number of the newest; 0 = there is none.
    pub(crate) async fn count_versions_of_dataset(&self, tenant: &Name, dataset: DatasetId) -> Result<(u64, u32)> {
        let sql = "SELECT COUNT(*), COALESCE(MAX(number), 0) FROM dataset_versions WHERE tenant = $1 AND dataset = $2";
        let (versions, newest): (i64, i64) =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(dataset.to_string()).fetch_one(db).await)?;
        Ok((count(versions)?, count(newest)?))
    }

    /// Names of datasets, by name: one page.
    pub(crate) async fn dataset_names(&self, tenant: &Name) -> Result<Page<Name>> {
        let sql = "SELECT name FROM datasets WHERE tenant = $1 ORDER BY name LIMIT $2";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, LIST, |(name,)| name.clone()).try_map(|(name,)| parsed(&name))
    }

    /// The id of a version; `number` 0 = the newest.
    pub(crate) async fn dataset_version_id(&self, tenant: &Name, name: &Name, number: u32) -> Result<Option<DatasetVersionId>> {
        let sql = "SELECT v.id FROM dataset_versions v WHERE v.tenant = $1 AND v.dataset = (SELECT d.id FROM datasets d WHERE d.tenant = $1 AND d.name = $2) \
                   AND ($3 = 0 OR v.number = $3) ORDER BY v.number DESC LIMIT 1";
        let row: Option<(String,)> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(name.as_str()).bind(i64::from(number)).fetch_optional(db).await)?;
        row.map(|(id,)| parsed(&id)).transpose()
    }

    /// `None` = the newest.
    pub(crate) async fn version_of_dataset(
        &self,
        tenant: &Name,
        dataset: DatasetId,
        number: Option<u32>,
    ) -> Result<Option<DatasetVersion>> {
        let newest = versions!("WHERE v.tenant = $1 AND v.dataset = $2 ORDER BY v.number DESC LIMIT 1");
        let numbered = versions!("WHERE v.tenant = $1 AND v.dataset = $2 AND v.number = $3");
        let (tenant, dataset) = (tenant.as_str(), dataset.to_string());
        let row: Option<VersionRow> = match number {
            None => on_both!(self, db => sqlx::query_as(newest).bind(tenant).bind(dataset).fetch_optional(db).await)?,
            Some(number) => {
                on_both!(self, db => sqlx::query_as(numbered).bind(tenant).bind(dataset).bind(i64::from(number)).fetch_optional(db).await)?
            }
        };
        row.map(version).transpose()
    }

    /// The newest version of a dataset that can be trained on.
    pub(crate) async fn ready_version(&self, tenant: &Name, dataset: DatasetId) -> Result<Option<DatasetVersion>> {
        let sql = versions!("WHERE v.tenant = $1 AND v.dataset = $2 AND v.state = 'ready' ORDER BY v.number DESC LIMIT 1");
        let row: Option<VersionRow> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(dataset.to_string()).fetch_optional(db).await)?;
        row.map(version).transpose()
    }

    /// The newest of all versions, newest first: one page.
    pub(crate) async fn newest_dataset_versions(&self, tenant: &Name) -> Result<Page<DatasetVersion>> {
        let sql = versions!("WHERE v.tenant = $1 ORDER BY v.created_at DESC, v.id DESC LIMIT $2");
        let rows: Vec<VersionRow> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, "newest versions", |v| (v.created_at, v.id.clone())).try_map(version)
    }

    /// Of each dataset the newest version that can be trained on, newest dataset first: what a form offers.
    pub(crate) async fn ready_versions(&self, tenant: &Name, text: &str) -> Result<Page<DatasetVersion>> {
        let sql = versions!(
            "WHERE v.tenant = $1 AND v.state = 'ready' AND ($2 = '' OR d.name LIKE $2 ESCAPE '!') \
             AND NOT EXISTS (SELECT 1 FROM dataset_versions w WHERE w.tenant = v.tenant AND w.dataset = v.dataset AND w.state = 'ready' AND w.number > v.number) \
             ORDER BY v.created_at DESC, v.id DESC LIMIT $3"
        );
        let text = page::anywhere(&text.to_lowercase());
        let rows: Vec<VersionRow> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(&text).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, "what a form offers", |v| (v.created_at, v.id.clone())).try_map(version)
    }

    pub(crate) async fn dataset_version(&self, tenant: &Name, id: DatasetVersionId) -> Result<Option<DatasetVersion>> {
        let row: Option<VersionRow> =
            on_both!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(version).transpose()
    }
}

/// Of the report.
fn findings(v: &DatasetVersion, which: impl Fn(Severity) -> bool) -> Option<i64> {
    v.report.as_ref().map(|r| r.findings.iter().filter(|f| which(f.severity)).count() as i64)
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
            documentation_json, created_by, created_at, licence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        in_tx!(self, db => sqlx::query(sql)
            .bind(v.tenant.as_str()).bind(v.id.to_string()).bind(v.dataset.to_string()).bind(i64::from(v.number)).bind(v.state.word()).bind(v.reason.as_ref().map(json))
            .bind(&v.file_name).bind(v.bytes as i64).bind(i64::from(v.held_out_percent)).bind(v.tokenizer.map(|t| t.to_string()))
            .bind(json(&v.documentation)).bind(v.created_by.to_string()).bind(v.created_at.0).bind(&v.documentation.licence)
            .execute(db).await.map(drop))?;
        self.changed(&v.tenant, Topic::DatasetVersion, v.id);
        Ok(())
    }

    /// Writes what may change: state, reason, bytes, digest, judgement and its bytes, erasure, format, container, report, documentation;
    /// and beside the two what lists filter by.
    pub(crate) async fn update_dataset_version(&mut self, v: &DatasetVersion) -> Result<()> {
        let sql = "UPDATE dataset_versions SET state = $3, reason = $4, bytes = $5, digest = $6, format = $7, container = $8, report_json = $9, \
            documentation_json = $10, judgement = $11, judged_bytes = $12, erased_at = $13, licence = $14, rejected_rows = $15, warnings = $16, \
            problems = $17 WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql)
            .bind(v.tenant.as_str()).bind(v.id.to_string()).bind(v.state.word()).bind(v.reason.as_ref().map(json)).bind(v.bytes as i64).bind(&v.digest)
            .bind(v.format.map(Format::word)).bind(v.container.map(container_word)).bind(v.report.as_ref().map(json)).bind(json(&v.documentation))
            .bind(&v.judgement).bind(v.judged_bytes as i64).bind(v.erased_at.map(|at| at.0)).bind(&v.documentation.licence)
            .bind(v.report.as_ref().map(|r| r.rejected as i64)).bind(findings(v, |s| s == Severity::Warning)).bind(findings(v, |s| s != Severity::Info))
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
        // Unlimited: a refusal names the first runs, and whether any is at work is asked of all.
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
