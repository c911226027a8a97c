//! Datasets: the list, one version with its report, its rows, and what people say about it.
//! The bytes of an upload do not come through here but through `POST /t/{tenant}/datasets-upload`.

use super::{AppError, Wire};
use domain::{
    dataset::{Dataset, DatasetOverview, DatasetVersion, Documentation},
    inspect::RowVerdict,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetList {
    pub datasets: Vec<DatasetOverview>,
    /// Without the filter.
    pub total: usize,
    /// Bytes in the tenant's store, and the most it may hold.
    pub stored: u64,
    pub quota: u64,
    pub upload_refused: Option<String>,
}

/// `text` looks in name, file name and licence; `checks` is empty, `rejected`, `warnings` or `clean`.
#[server(prefix = "/rpc", endpoint = "datasets/list", output = Wire)]
pub async fn list_datasets(tenant: String, text: String, checks: String) -> Result<DatasetList, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let all = platform.datasets(&scope).list().await?;
    let total = all.len();
    let wanted = text.trim().to_lowercase();
    let datasets = all.into_iter().filter(|d| matches(d, &wanted) && judged(d, &checks)).collect();
    Ok(DatasetList {
        datasets,
        total,
        stored: platform.overview(&scope).await?.holding.storage_bytes,
        quota: scope.tenant().quota.storage_bytes,
        upload_refused: scope.why_not(domain::policy::Action::DatasetWrite),
    })
}

#[cfg(feature = "ssr")]
fn matches(d: &DatasetOverview, wanted: &str) -> bool {
    let said = d.latest.as_ref().map(|v| format!("{} {} {}", v.file_name, v.documentation.licence, v.created_by_name)).unwrap_or_default();
    wanted.is_empty() || format!("{} {said}", d.dataset.name).to_lowercase().contains(wanted)
}

#[cfg(feature = "ssr")]
fn judged(d: &DatasetOverview, checks: &str) -> bool {
    use domain::inspect::Severity;
    let report = d.latest.as_ref().and_then(|v| v.report.as_ref());
    match checks {
        "rejected" => report.is_some_and(|r| r.rejected > 0),
        "warnings" => report.is_some_and(|r| r.findings.iter().any(|f| f.severity == Severity::Warning)),
        "clean" => report.is_some_and(|r| r.findings.iter().all(|f| f.severity == Severity::Info)),
        _ => true,
    }
}

/// One version of a dataset, and all the others by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetPage {
    pub dataset: Dataset,
    pub version: DatasetVersion,
    /// Newest first.
    pub versions: Vec<DatasetVersion>,
    /// Name of the base model whose tokenizer counted.
    pub tokenizer: Option<String>,
    /// Runs that trained on this version, newest first: id, name, state.
    pub runs: Vec<(String, String, domain::run::RunState)>,
    pub write_refused: Option<String>,
    pub delete_refused: Option<String>,
    pub launch_refused: Option<String>,
}

/// `number` 0 = the newest.
#[server(prefix = "/rpc", endpoint = "datasets/get", output = Wire)]
pub async fn get_dataset(tenant: String, name: String, number: u32) -> Result<DatasetPage, AppError> {
    use domain::policy::Action;
    let (platform, scope) = super::scope(&tenant).await?;
    let (dataset, versions) = platform.datasets(&scope).get(&name).await?;
    let version = platform.datasets(&scope).version(&name, (number > 0).then_some(number)).await?;
    let bases = platform.base_models().list(&super::caller()?).await?;
    let runs = platform.runs(&scope).list(Default::default()).await?;
    super::remember_dataset(version.tenant.as_str(), version.dataset_name.as_str(), version.number);
    Ok(DatasetPage {
        tokenizer: version.tokenizer.and_then(|id| bases.iter().find(|b| b.id == id)).map(|b| b.name.to_string()),
        runs: runs
            .into_iter()
            .filter(|r| r.dataset_version == version.id)
            .map(|r| (r.id.to_string(), r.name.to_string(), r.state))
            .collect(),
        write_refused: scope.why_not(Action::DatasetWrite),
        delete_refused: scope.why_not(Action::DatasetDelete),
        launch_refused: scope.why_not(Action::RunLaunch),
        dataset,
        version,
        versions,
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
    /// Names of base models whose tokenizers can count.
    pub tokenizers: Vec<String>,
    /// Names that exist: uploading under one of them makes its next version.
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
    let all = platform.datasets(&scope).list().await?;
    let before = all.iter().find(|d| d.dataset.name.as_str() == name).and_then(|d| d.latest.clone());
    Ok(UploadForm {
        tokenizers: platform.base_models().list(&super::caller()?).await?.into_iter().map(|b| b.name.to_string()).collect(),
        names: all.iter().map(|d| d.dataset.name.to_string()).collect(),
        held_out_percent: before.as_ref().map_or(10, |v| v.held_out_percent),
        documentation: before.map(|v| v.documentation).unwrap_or_default(),
        stored: platform.overview(&scope).await?.holding.storage_bytes,
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
