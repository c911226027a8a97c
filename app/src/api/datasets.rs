//! Datasets: the list, one version with its report, its rows, and what people say about it.
//! The bytes of an upload do not come through here but through `POST /t/{tenant}/datasets-upload`.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    dataset::{Dataset, DatasetOverview, DatasetVersion, Documentation},
    inspect::RowVerdict,
    page::Page,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetList {
    /// By name.
    pub datasets: Page<DatasetOverview>,
    /// Without the filter.
    pub total: u64,
    /// Bytes in the tenant's store, and the most it may hold.
    pub stored: u64,
    pub quota: u64,
    pub upload_refused: Option<String>,
}

/// `text` looks in name, file name, licence and author; `checks` is empty, `rejected`, `warnings` or `clean`; `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "datasets/list", output = Wire)]
pub async fn list_datasets(
    tenant: String,
    text: String,
    checks: String,
    #[server(default)] after: String,
) -> Result<DatasetList, AppError> {
    use domain::filter::{DatasetChecks, DatasetFilter};
    let (platform, scope) = super::scope(&tenant).await?;
    let checks = match checks.as_str() {
        "rejected" => DatasetChecks::Rejected,
        "warnings" => DatasetChecks::Warnings,
        "clean" => DatasetChecks::Clean,
        _ => DatasetChecks::All,
    };
    Ok(DatasetList {
        datasets: platform.datasets(&scope).list(&DatasetFilter { text, checks }, &Cursor::from_text(after)).await?,
        total: u64::from(super::rail_counts(&platform, &scope).await?.datasets),
        stored: platform.holding(&scope).await?.storage_bytes,
        quota: scope.tenant().quota.storage_bytes,
        upload_refused: scope.why_not(domain::policy::Action::DatasetWrite),
    })
}

/// Runs that the page of a version names.
pub const RUNS_SHOWN: u32 = 8;

/// One version of a dataset, and the others by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetPage {
    pub dataset: Dataset,
    pub version: DatasetVersion,
    /// Newest first; on the tab `versions`, else empty.
    pub versions: Page<DatasetVersion>,
    pub versions_total: u64,
    /// There is no newer one.
    pub latest: bool,
    /// Name of the base model whose tokenizer counted.
    pub tokenizer: Option<String>,
    /// The newest runs that trained on this version: id, name, state.
    pub runs: Vec<(String, String, domain::run::RunState)>,
    pub runs_total: u64,
    pub write_refused: Option<String>,
    pub delete_refused: Option<String>,
    pub launch_refused: Option<String>,
}

/// `number` 0 = the newest; `tab` as in the page's address; `after`: of the versions, see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "datasets/get", output = Wire)]
pub async fn get_dataset(
    tenant: String,
    name: String,
    number: u32,
    #[server(default)] tab: String,
    #[server(default)] after: String,
) -> Result<DatasetPage, AppError> {
    use domain::policy::Action;
    let (platform, scope) = super::scope(&tenant).await?;
    let datasets = platform.datasets(&scope);
    let dataset = datasets.get(&name).await?;
    let version = datasets.version_of(&dataset, (number > 0).then_some(number)).await?;
    let (versions_total, newest) = datasets.count_versions(&dataset).await?;
    let versions = match tab.as_str() {
        "versions" => datasets.versions_of(&dataset, &Cursor::from_text(after)).await?,
        _ => Page { rows: Vec::new(), next: None },
    };
    let (runs, runs_total) = platform.runs(&scope).on_version(version.id, RUNS_SHOWN).await?;
    let tokenizer = match version.tokenizer {
        Some(id) => platform.base_models().by_id(id).await?.map(|b| b.name.to_string()),
        None => None,
    };
    super::remember_dataset(&version);
    Ok(DatasetPage {
        tokenizer,
        runs: runs.into_iter().map(|r| (r.id.to_string(), r.name.to_string(), r.state)).collect(),
        runs_total,
        versions,
        versions_total,
        latest: version.number == newest,
        write_refused: scope.why_not(Action::DatasetWrite),
        delete_refused: scope.why_not(Action::DatasetDelete),
        launch_refused: scope.why_not(Action::RunLaunch),
        dataset,
        version,
    })
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub rows: Vec<RowVerdict>,
    /// Under the filter.
    pub total: u64,
}

/// Rows on one page.
pub const ROWS_A_PAGE: u32 = 25;

/// `number` 0 = the newest version; `which` is empty, `accepted` or `rejected`; `rule` is empty or an id such as `DS-FINAL-TURN`.
#[server(prefix = "/rpc", endpoint = "datasets/rows", output = Wire)]
pub async fn get_rows(tenant: String, name: String, number: u32, which: String, rule: String, offset: u64) -> Result<Rows, AppError> {
    use platform::datasets::RowFilter;
    let (platform, scope) = super::scope(&tenant).await?;
    let accepted = match which.as_str() {
        "accepted" => Some(true),
        "rejected" => Some(false),
        _ => None,
    };
    let filter = RowFilter { accepted, rule: (!rule.is_empty()).then_some(rule), offset, limit: ROWS_A_PAGE };
    let number = if number == 0 { platform.datasets(&scope).version(&name, None).await?.number } else { number };
    let page = platform.datasets(&scope).rows(&name, number, filter).await?;
    Ok(Rows { rows: page.rows, total: page.total })
}

/// What the upload form offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadForm {
    /// Names of base models whose tokenizers can count: the first page of them.
    pub tokenizers: Vec<String>,
    pub more_tokenizers: bool,
    /// Names that exist, to be completed while typing: the first page of them. Uploading under one of them makes its next version.
    pub names: Vec<String>,
    /// What was said about the newest version of the dataset that is to get another one.
    pub documentation: Documentation,
    pub held_out_percent: u8,
    pub stored: u64,
    pub quota: u64,
    pub upload_refused: Option<String>,
}

/// `name` = the dataset that is to get another version, or empty.
#[server(prefix = "/rpc", endpoint = "datasets/upload_form", output = Wire)]
pub async fn get_upload_form(tenant: String, name: String) -> Result<UploadForm, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let datasets = platform.datasets(&scope);
    // A name that nobody has yet is a new dataset.
    let before = if name.is_empty() { None } else { datasets.version(&name, None).await.ok() };
    let bases = platform.base_models().list(&super::caller()?, &Default::default(), &Cursor::default()).await?;
    Ok(UploadForm {
        more_tokenizers: bases.next.is_some(),
        tokenizers: bases.rows.into_iter().map(|b| b.name.to_string()).collect(),
        names: datasets.names().await?.rows.into_iter().map(String::from).collect(),
        held_out_percent: before.as_ref().map_or(10, |v| v.held_out_percent),
        documentation: before.map(|v| v.documentation).unwrap_or_default(),
        stored: platform.holding(&scope).await?.storage_bytes,
        quota: scope.tenant().quota.storage_bytes,
        upload_refused: scope.why_not(domain::policy::Action::DatasetWrite),
    })
}

/// What a person says about a version; `languages` separated by commas or blanks. The rows stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DocumentationForm {
    pub source: String,
    pub licence: String,
    pub personal_data: String,
    pub legal_basis: String,
    pub languages: String,
    pub notes: String,
}

#[server(prefix = "/rpc", endpoint = "datasets/document", output = Wire)]
pub async fn document(tenant: String, name: String, number: u32, said: DocumentationForm) -> Result<(), AppError> {
    use domain::dataset::PersonalData;
    let (platform, scope) = super::scope(&tenant).await?;
    let documentation = Documentation {
        source: said.source,
        licence: said.licence,
        personal_data: PersonalData::from_word(&said.personal_data).unwrap_or_default(),
        legal_basis: said.legal_basis,
        languages: said.languages.split([',', ' ']).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        notes: said.notes,
    };
    let version = platform.datasets(&scope).document(&name, number, documentation).await?;
    super::redirect(&crate::links::dataset_version(&version.tenant, &version.dataset_name, version.number));
    Ok(())
}

/// `number` 0 = the whole dataset. Leads to what is left: the dataset, or the list.
#[server(prefix = "/rpc", endpoint = "datasets/delete", output = Wire)]
pub async fn delete_dataset(tenant: String, name: String, number: u32) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let datasets = platform.datasets(&scope);
    datasets.delete(&name, (number > 0).then_some(number)).await?;
    match datasets.version(&name, None).await {
        Ok(left) => super::redirect(&crate::links::with(crate::links::dataset(&left.tenant, &left.dataset_name), &[("tab", "versions")])),
        Err(_) => super::redirect(&crate::links::datasets(scope.tenant_name())),
    }
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "datasets/erase", output = Wire)]
pub async fn erase_dataset(tenant: String, name: String, number: u32) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let version = platform.datasets(&scope).erase(&name, number).await?;
    super::redirect(&crate::links::dataset_version(&version.tenant, &version.dataset_name, version.number));
    Ok(())
}
