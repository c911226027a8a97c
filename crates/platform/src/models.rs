//! Models and their versions: looking, moving between stages, editing the card.

use crate::{
    Platform,
    access::{Scope, shortened},
    cards,
    change::Change,
    problem::Doing,
};
use domain::{
    audit::Detail,
    base_model::StoredFile,
    filter::ModelFilter,
    ids::{BaseModelId, ModelVersionId},
    model::{Model, ModelOverview, ModelVersion, Stage},
    name::Name,
    page::{Cursor, PAGE, Page},
    policy::Action,
    problem::Problem,
};

/// The models of one tenant.
pub struct Models<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn models<'a>(&self, scope: &'a Scope) -> Models<'a> {
        Models { scope }
    }
}

impl Models<'_> {
    fn platform(&self) -> &Platform {
        self.scope.platform()
    }

    /// By name, with the newest version of each.
    pub async fn list(&self, filter: &ModelFilter, after: &Cursor) -> Result<Page<ModelOverview>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        self.platform().store().models(self.scope.tenant_name(), filter, after).await.doing("reading the models")
    }

    /// How many models and versions there are.
    pub async fn counts(&self) -> Result<(u64, u64), Problem> {
        self.scope.permit(Action::ModelRead)?;
        self.platform().store().count_models(self.scope.tenant_name()).await.doing("counting the models")
    }

    /// Names with this text in them, by name. One page, for forms: any other name can be typed.
    pub async fn names(&self, text: &str) -> Result<Page<Name>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        self.platform().store().model_names(self.scope.tenant_name(), text).await.doing("reading the models")
    }

    pub async fn get(&self, name: &str) -> Result<Model, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let model = self.platform().store().model(self.scope.tenant_name(), &parsed).await.doing("reading the model")?;
        model.ok_or_else(|| not_found(name))
    }

    /// The versions of a model, newest first.
    pub async fn versions(&self, name: &str, after: &Cursor) -> Result<Page<ModelVersion>, Problem> {
        self.versions_of(&self.get(name).await?, after).await
    }

    /// The same of a model that was read.
    pub async fn versions_of(&self, model: &Model, after: &Cursor) -> Result<Page<ModelVersion>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        store.versions_of_model(tenant, model.id, after).await.doing("reading the model versions")
    }

    /// How many versions it has.
    pub async fn count_versions(&self, model: &Model) -> Result<u64, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let store = self.platform().store();
        store.count_versions_of_model(self.scope.tenant_name(), model.id).await.doing("counting the model versions")
    }

    /// The newest versions of all models, newest first: one page. `of` = of this base.
    pub async fn newest_versions(&self, of: Option<BaseModelId>) -> Result<Page<ModelVersion>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let store = self.platform().store();
        store.newest_model_versions(self.scope.tenant_name(), of, false, PAGE).await.doing("reading the model versions")
    }

    /// The newest version of each model, newest first; at most so many.
    pub async fn latest(&self, most: usize) -> Result<Vec<ModelVersion>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let store = self.platform().store();
        Ok(store.newest_model_versions(self.scope.tenant_name(), None, true, most).await.doing("reading the model versions")?.rows)
    }

    /// One version; `None` = the newest.
    pub async fn version(&self, name: &str, number: Option<u32>) -> Result<ModelVersion, Problem> {
        self.version_of(&self.get(name).await?, number).await
    }

    /// The same of a model that was read.
    pub async fn version_of(&self, model: &Model, number: Option<u32>) -> Result<ModelVersion, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let found = store.version_of_model(tenant, model.id, number).await.doing("reading the model version")?;
        found.ok_or_else(|| no_version(model.name.as_str(), number))
    }

    /// Only its id. `None` = of the newest.
    pub async fn version_id(&self, name: &str, number: Option<u32>) -> Result<ModelVersionId, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let found = store.model_version_id(tenant, &parsed, number.unwrap_or(0)).await.doing("reading the model version")?;
        found.ok_or_else(|| no_version(name, number))
    }

    pub async fn by_version_id(&self, id: ModelVersionId) -> Result<ModelVersion, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let found = self.platform().store().model_version(self.scope.tenant_name(), id).await.doing("reading the model version")?;
        found.ok_or_else(|| Problem::not_found(format!("The model version “{id}”")))
    }

    pub async fn set_stage(&self, name: &str, number: u32, stage: Stage) -> Result<ModelVersion, Problem> {
        let permit = self.scope.permit(Action::ModelStage)?;
        let version = self.version(name, Some(number)).await?;
        let tenant = self.scope.tenant_name();
        let mut tx = Change::begin(self.platform(), &permit).await?;
        let now = tx.model_version(tenant, version.id).await.doing("reading the model version")?.ok_or_else(|| not_found(name))?;
        if now.stage == stage {
            return Ok(now);
        }
        tx.set_stage(tenant, now.id, stage).await.doing("writing the stage")?;
        let mut entry = tx.entry("model_version", now.id, format!("{} v{}", now.model_name, now.number));
        entry.detail = Detail::StageMoved { from: now.stage.word().to_owned(), to: stage.word().to_owned() };
        tx.commit(entry).await.doing("writing the stage")?;
        Ok(ModelVersion { stage, ..now })
    }

    /// Writes fields of the card. `base_revision`: the card that the person saw; when it has moved on, nothing is written.
    /// An empty value takes the person's words back: what evidence had said returns.
    pub async fn edit_card(
        &self,
        name: &str,
        number: u32,
        base_revision: u32,
        values: Vec<(String, String)>,
    ) -> Result<ModelVersion, Problem> {
        let permit = self.scope.permit(Action::CardEdit)?;
        let version = self.version(name, Some(number)).await?;
        let tenant = self.scope.tenant_name();
        let mut tx = Change::begin(self.platform(), &permit).await?;
        let mut now = tx.model_version(tenant, version.id).await.doing("reading the model version")?.ok_or_else(|| not_found(name))?;
        if now.card.revision != base_revision {
            return Err(Problem::conflict("Someone else edited this card in the meantime, so your changes were not saved.")
                .next("Copy your text, reload the page, and enter it there."));
        }
        let changed = cards::edit(&mut now.card, &values, self.scope.person(), tx.at())?;
        if changed.is_empty() {
            return Ok(now);
        }
        if !tx.save_card(tenant, now.id, base_revision, &now.card).await.doing("writing the card")? {
            return Err(Problem::conflict("Someone else edited this card in the meantime, so your changes were not saved."));
        }
        let mut entry = tx.entry("model_version", now.id, format!("{} v{}", now.model_name, now.number));
        entry.detail = Detail::CardEdited { fields: changed };
        tx.commit(entry).await.doing("writing the card")?;
        Ok(now)
    }

    /// The card as Markdown with the metadata that Hugging Face reads.
    pub async fn markdown(&self, name: &str, number: Option<u32>) -> Result<String, Problem> {
        let version = self.version(name, number).await?;
        Ok(cards::markdown(&version))
    }
}

fn no_version(name: &str, number: Option<u32>) -> Problem {
    match number {
        Some(number) => Problem::not_found(format!("Version {number} of the model “{}”", shortened(name))),
        None => not_found(name),
    }
}

fn not_found(name: &str) -> Problem {
    Problem::not_found(format!("The model “{}”", shortened(name)))
}

/// BLAKE3 over the list of files, sorted by path, with sizes and digests; hex. The same files give the same digest anywhere.
pub(crate) fn files_digest(files: &[StoredFile]) -> String {
    let mut sorted: Vec<&StoredFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hasher = blake3::Hasher::new();
    for f in sorted {
        hasher.update(format!("{}\0{}\0{}\n", f.path, f.bytes, f.digest).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_files_depends_on_every_part_and_not_on_their_order() {
        let file = |path: &str, bytes, digest: &str| StoredFile { path: path.into(), bytes, digest: digest.into() };
        let (a, b) = (file("a", 1, "x"), file("b", 2, "y"));
        let both = files_digest(&[a.clone(), b.clone()]);
        assert_eq!(both, files_digest(&[b.clone(), a.clone()]));
        for other in [vec![a.clone()], vec![a.clone(), file("b", 3, "y")], vec![a.clone(), file("b", 2, "z")], vec![a, file("c", 2, "y")]] {
            assert_ne!(both, files_digest(&other));
        }
    }
}
