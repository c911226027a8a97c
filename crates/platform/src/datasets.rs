//! Datasets: uploaded as they stream in, judged row by row by a job, then immutable; a person may only add to what they
//! say about them.

mod download;
mod removal;
mod rows;
mod upload;

pub use domain::inspect::{RowFilter, RowPage};
pub use download::Download;
pub(crate) use rows::held_out_lines;
pub use upload::NewUpload;

use crate::{
    Platform,
    access::{Scope, shortened},
    change::Change,
    problem::Doing,
};
use domain::{
    audit::Detail,
    dataset::{Dataset, DatasetOverview, DatasetVersion, Documentation},
    ids::DatasetVersionId,
    name::Name,
    policy::Action,
    problem::Problem,
};
use std::collections::HashMap;

pub struct Datasets<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn datasets<'a>(&self, scope: &'a Scope) -> Datasets<'a> {
        Datasets { scope }
    }
}

impl Datasets<'_> {
    /// By name, each with its newest version.
    pub async fn list(&self) -> Result<Vec<DatasetOverview>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let (store, tenant, doing) = (self.scope.platform().store(), self.scope.tenant_name(), "reading the datasets");
        let datasets = store.datasets(tenant).await.doing(doing)?;
        let latest = store.latest_versions(tenant).await.doing(doing)?;
        let runs = store.runs_of_datasets(tenant).await.doing(doing)?;
        let mut latest: HashMap<_, _> = latest.into_iter().map(|v| (v.dataset, v)).collect();
        Ok(datasets
            .into_iter()
            .map(|dataset| DatasetOverview {
                latest: latest.remove(&dataset.id),
                runs: runs.get(&dataset.id).copied().unwrap_or(0),
                dataset,
            })
            .collect())
    }

    /// The dataset and its versions, newest first.
    pub async fn get(&self, name: &str) -> Result<(Dataset, Vec<DatasetVersion>), Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let (store, tenant, doing) = (self.scope.platform().store(), self.scope.tenant_name(), "reading the dataset");
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let dataset = store.dataset(tenant, &parsed).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        let versions = store.versions_of_dataset(tenant, dataset.id).await.doing(doing)?;
        Ok((dataset, versions))
    }

    /// All versions of all datasets, by name, newest first.
    pub async fn versions(&self) -> Result<Vec<DatasetVersion>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let store = self.scope.platform().store();
        store.dataset_versions(self.scope.tenant_name()).await.doing("reading the versions of the datasets")
    }

    /// `None` = the newest, whatever its state.
    pub async fn version(&self, name: &str, number: Option<u32>) -> Result<DatasetVersion, Problem> {
        let (_, versions) = self.get(name).await?;
        versions.into_iter().find(|v| number.is_none_or(|n| v.number == n)).ok_or_else(|| match number {
            Some(n) => Problem::not_found(format!("Version {n} of the dataset “{}”", shortened(name))),
            None => not_found(name),
        })
    }

    pub async fn by_version_id(&self, id: DatasetVersionId) -> Result<DatasetVersion, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let found =
            self.scope.platform().store().dataset_version(self.scope.tenant_name(), id).await.doing("reading the dataset version")?;
        found.ok_or_else(|| Problem::not_found(format!("The dataset version {id}")))
    }

    /// Replaces what people say about a version; its rows never change.
    pub async fn document(&self, name: &str, number: u32, documentation: Documentation) -> Result<DatasetVersion, Problem> {
        let version = self.version(name, Some(number)).await?;
        let permit = self.scope.permit(Action::DatasetWrite)?;
        let wrong = documentation.check();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let doing = "documenting the dataset";
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let version = tx.dataset_version(self.scope.tenant_name(), version.id).await.doing(doing)?;
        let mut version = version.ok_or_else(|| not_found(name))?;
        version.documentation = documentation;
        tx.update_dataset_version(&version).await.doing(doing)?;
        let mut entry = tx.entry("dataset_version", version.id, called(&version));
        entry.detail = Detail::DatasetDocumented { without: version.documentation.gaps().into_iter().map(|gap| gap.to_string()).collect() };
        tx.commit(entry).await.doing(doing)?;
        Ok(version)
    }
}

fn not_found(name: &str) -> Problem {
    Problem::not_found(format!("The dataset “{}”", shortened(name)))
}

/// `lumenta-facts v3`
fn called(version: &DatasetVersion) -> String {
    format!("{} v{}", version.dataset_name, version.number)
}
