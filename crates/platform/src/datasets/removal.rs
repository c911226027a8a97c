//! Taking data away: a version that nothing uses is deleted; of one that something was made with, the rows are erased, and what is
//! known of them stays. In both the audit record stays too.
//!
//! The rows of the database go first. A process that is killed before the files are gone leaves files without an owner, and those are
//! swept (`crate::leftovers`).

use super::{Datasets, called, not_found};
use crate::{change::Change, problem::Doing};
use domain::{
    artefacts,
    audit::{Detail, Entry},
    dataset::{DatasetVersion, VersionState},
    name::Name,
    page::Cursor,
    policy::Action,
    problem::Problem,
    reason::dataset::DatasetReason,
};

impl Datasets<'_> {
    /// Removes one version, or with `None` the whole dataset. Refused, naming by what, while it is used.
    pub async fn delete(&self, name: &str, number: Option<u32>) -> Result<(), Problem> {
        let doing = "deleting a dataset";
        let permit = self.scope.permit(Action::DatasetDelete)?;
        let chosen = self.chosen(name, number).await?;
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let (mut gone, mut recorded) = (Vec::new(), None);
        for seen in chosen {
            let Some(version) = tx.dataset_version(&seen.tenant, seen.id).await.doing(doing)? else { continue };
            settled(&version)?;
            let runs = tx.runs_of_version(&version.tenant, version.id).await.doing(doing)?;
            if !runs.is_empty() {
                let names = runs.iter().map(|(name, _)| name);
                let next = "Its rows can be erased instead: what was trained with them then keeps its record of where it comes from.";
                return Err(Problem::conflict(format!("{} is used by {}.", called(&version), listed(names))).next(next));
            }
            let detail = Detail::DatasetDeleted { file: version.file_name.clone(), bytes: version.bytes, digest: version.digest.clone() };
            // The last one ends the change.
            if let Some(entry) = recorded.replace(record(&tx, &version, detail)) {
                tx.record(entry).await.doing(doing)?;
            }
            tx.retire_number(&version).await.doing(doing)?;
            tx.delete_dataset_version(&version).await.doing(doing)?;
            gone.push(version);
        }
        let Some(entry) = recorded else { return Ok(()) };
        tx.commit(entry).await.doing(doing)?;
        self.remove_files(&gone).await;
        Ok(())
    }

    /// Removes the rows of a version for good and keeps what is known of it: report, documentation, digest, who used it. Refused while
    /// a run is at work with it.
    pub async fn erase(&self, name: &str, number: u32) -> Result<DatasetVersion, Problem> {
        let doing = "erasing the rows of a dataset";
        let permit = self.scope.permit(Action::DatasetDelete)?;
        let seen = self.version(name, Some(number)).await?;
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let mut version = tx.dataset_version(&seen.tenant, seen.id).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        settled(&version)?;
        if version.erased_at.is_some() {
            return Err(Problem::conflict(format!("The rows of {} are erased already.", called(&version))));
        }
        let runs = tx.runs_of_version(&version.tenant, version.id).await.doing(doing)?;
        let at_work: Vec<_> = runs.iter().filter(|(_, state)| !state.is_final()).map(|(name, _)| name).collect();
        if !at_work.is_empty() {
            let sentence = format!("{} is being used by {}.", called(&version), listed(at_work.into_iter()));
            return Err(Problem::conflict(sentence).next("Wait until it has ended, or cancel it."));
        }
        let detail = Detail::DatasetErased { file: version.file_name.clone(), bytes: version.bytes, digest: version.digest.clone() };
        version.state = VersionState::Rejected;
        version.reason = Some(DatasetReason::RowsErased { by: self.scope.person().name.clone() });
        version.erased_at = Some(tx.at());
        version.bytes = 0;
        version.judged_bytes = 0;
        version.judgement = None;
        tx.update_dataset_version(&version).await.doing(doing)?;
        let entry = record(&tx, &version, detail);
        tx.commit(entry).await.doing(doing)?;
        self.remove_files(std::slice::from_ref(&version)).await;
        Ok(version)
    }

    async fn chosen(&self, name: &str, number: Option<u32>) -> Result<Vec<DatasetVersion>, Problem> {
        match number {
            Some(_) => Ok(vec![self.version(name, number).await?]),
            None => {
                let (mut all, mut after) = (Vec::new(), Some(Cursor::default()));
                while let Some(from) = after {
                    let page = self.versions(name, &from).await?;
                    all.extend(page.rows);
                    after = page.next;
                }
                Ok(all)
            }
        }
    }

    /// It is done when the rows are; files that cannot be removed now are swept later.
    async fn remove_files(&self, versions: &[DatasetVersion]) {
        for version in versions {
            let folder = artefacts::dataset_version(&version.tenant, version.id);
            if let Err(error) = self.scope.platform().blobs().erase(&folder).await {
                tracing::warn!(%error, folder, "files of a deleted dataset are removed later");
            }
        }
    }
}

/// Neither while it arrives nor while it is judged: then somebody writes there.
fn settled(version: &DatasetVersion) -> Result<(), Problem> {
    match version.state {
        VersionState::Uploading => Err(Problem::conflict(format!("{} is still arriving.", called(version)))
            .next("Wait until it has arrived, or cancel the upload; one that broke off is cleared away within two minutes.")),
        VersionState::Checking | VersionState::Ready | VersionState::Rejected => Ok(()),
    }
}

fn record(tx: &Change<'_>, version: &DatasetVersion, detail: Detail) -> Entry {
    Entry { detail, ..tx.entry("dataset_version", version.id, called(version)) }
}

/// `the run a`, `the runs a, b and 3 more`.
fn listed<'n>(names: impl ExactSizeIterator<Item = &'n Name>) -> String {
    let all: Vec<&str> = names.map(Name::as_str).collect();
    match all.as_slice() {
        [one] => format!("the run {one}"),
        [some @ .., last] if some.len() < 4 => format!("the runs {} and {last}", some.join(", ")),
        [a, b, c, rest @ ..] => format!("the runs {a}, {b}, {c} and {} more", rest.len()),
        _ => "nothing".into(),
    }
}
