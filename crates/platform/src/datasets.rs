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
    filter::DatasetFilter,
    ids::DatasetVersionId,
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::Problem,
};

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
    pub async fn list(&self, filter: &DatasetFilter, after: &Cursor) -> Result<Page<DatasetOverview>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        self.scope.platform().store().datasets(self.scope.tenant_name(), filter, after).await.doing("reading the datasets")
    }

    pub async fn get(&self, name: &str) -> Result<Dataset, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let (store, tenant) = (self.scope.platform().store(), self.scope.tenant_name());
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        store.dataset(tenant, &parsed).await.doing("reading the dataset")?.ok_or_else(|| not_found(name))
    }

    /// Names of datasets, by name: one page.
    pub async fn names(&self) -> Result<Page<Name>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        self.scope.platform().store().dataset_names(self.scope.tenant_name()).await.doing("reading the datasets")
    }

    /// The versions of a dataset, newest first.
    pub async fn versions(&self, name: &str, after: &Cursor) -> Result<Page<DatasetVersion>, Problem> {
        self.versions_of(&self.get(name).await?, after).await
    }

    /// The same of a dataset that was read.
    pub async fn versions_of(&self, dataset: &Dataset, after: &Cursor) -> Result<Page<DatasetVersion>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let store = self.scope.platform().store();
        store.versions_of_dataset(self.scope.tenant_name(), dataset.id, after).await.doing("reading the dataset’s versions")
    }

    /// How many versions it has, and the number of the newest.
    pub async fn count_versions(&self, dataset: &Dataset) -> Result<(u64, u32), Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let store = self.scope.platform().store();
        store.count_versions_of_dataset(self.scope.tenant_name(), dataset.id).await.doing("counting the dataset’s versions")
    }

    /// Of each dataset the newest version that can be trained on, newest first; `text` is part of the dataset's name. One page, for
    /// forms: what is not on it is found by its name.
    pub async fn ready(&self, text: &str) -> Result<Page<DatasetVersion>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let store = self.scope.platform().store();
        store.ready_versions(self.scope.tenant_name(), text).await.doing("reading the versions of the datasets")
    }

    /// The newest versions of all datasets, newest first: one page.
    pub async fn newest_versions(&self) -> Result<Page<DatasetVersion>, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let store = self.scope.platform().store();
        store.newest_dataset_versions(self.scope.tenant_name()).await.doing("reading the versions of the datasets")
    }

    /// `None` = the newest, whatever its state.
    pub async fn version(&self, name: &str, number: Option<u32>) -> Result<DatasetVersion, Problem> {
        self.version_of(&self.get(name).await?, number).await
    }

    /// The same of a dataset that was read.
    pub async fn version_of(&self, dataset: &Dataset, number: Option<u32>) -> Result<DatasetVersion, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let store = self.scope.platform().store();
        let found = store.version_of_dataset(self.scope.tenant_name(), dataset.id, number).await.doing("reading the dataset version")?;
        found.ok_or_else(|| no_version(dataset.name.as_str(), number))
    }

    /// Only its id. `None` = of the newest.
    pub async fn version_id(&self, name: &str, number: Option<u32>) -> Result<DatasetVersionId, Problem> {
        self.scope.permit(Action::DatasetRead)?;
        let (store, tenant) = (self.scope.platform().store(), self.scope.tenant_name());
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let found = store.dataset_version_id(tenant, &parsed, number.unwrap_or(0)).await.doing("reading the dataset version")?;
        found.ok_or_else(|| no_version(name, number))
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

fn no_version(name: &str, number: Option<u32>) -> Problem {
    match number {
        Some(n) => Problem::not_found(format!("Version {n} of the dataset “{}”", shortened(name))),
        None => not_found(name),
    }
}

fn not_found(name: &str) -> Problem {
    Problem::not_found(format!("The dataset “{}”", shortened(name)))
}

/// `lumenta-facts v3`
fn called(version: &DatasetVersion) -> String {
    format!("{} v{}", version.dataset_name, version.number)
}
