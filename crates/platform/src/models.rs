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
    ids::ModelVersionId,
    model::{Model, ModelOverview, ModelVersion, Stage},
    name::Name,
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
    pub async fn list(&self) -> Result<Vec<ModelOverview>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let models = store.models(tenant).await.doing("reading the models")?;
        let versions = store.model_versions(tenant).await.doing("reading the model versions")?;
        let endpoints = store.endpoints(tenant).await.doing("reading the endpoints")?;
        let mut out = Vec::new();
        for model in models {
            let mut of_model = versions.iter().filter(|v| v.model == model.id);
            let Some(latest) = of_model.next().cloned() else { continue };
            let ids: Vec<ModelVersionId> = versions.iter().filter(|v| v.model == model.id).map(|v| v.id).collect();
            let serves = |e: &&domain::endpoint::Endpoint| {
                e.state.is_wanted()
                    && (e.attachments.iter().any(|a| ids.contains(&a.version)) || e.merged_version.is_some_and(|v| ids.contains(&v)))
            };
            let endpoints = endpoints.iter().filter(serves).map(|e| e.name.clone()).collect();
            out.push(ModelOverview { latest, versions: ids.len() as u32, endpoints, model });
        }
        Ok(out)
    }

    /// The model and its versions, newest first.
    pub async fn get(&self, name: &str) -> Result<(Model, Vec<ModelVersion>), Problem> {
        self.scope.permit(Action::ModelRead)?;
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let model = store.model(tenant, &parsed).await.doing("reading the model")?.ok_or_else(|| not_found(name))?;
        let versions = store.versions_of_model(tenant, &parsed).await.doing("reading the model versions")?;
        Ok((model, versions))
    }

    /// All versions of all models, by name, newest first.
    pub async fn versions(&self) -> Result<Vec<ModelVersion>, Problem> {
        self.scope.permit(Action::ModelRead)?;
        self.platform().store().model_versions(self.scope.tenant_name()).await.doing("reading the model versions")
    }

    /// One version; `None` = the newest.
    pub async fn version(&self, name: &str, number: Option<u32>) -> Result<ModelVersion, Problem> {
        let (_, versions) = self.get(name).await?;
        let found = versions.into_iter().find(|v| number.is_none_or(|n| v.number == n));
        found.ok_or_else(|| match number {
            Some(number) => Problem::not_found(format!("Version {number} of the model “{}”", shortened(name))),
            None => not_found(name),
        })
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
            return Err(Problem::conflict("Somebody else changed this card in the meantime; nothing of yours was written.")
                .next("Copy your text, load the page again, and enter it there."));
        }
        let changed = cards::edit(&mut now.card, &values, self.scope.person(), tx.at())?;
        if changed.is_empty() {
            return Ok(now);
        }
        if !tx.save_card(tenant, now.id, base_revision, &now.card).await.doing("writing the card")? {
            return Err(Problem::conflict("Somebody else changed this card in the meantime; nothing of yours was written."));
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
