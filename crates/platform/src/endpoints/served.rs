//! Endpoints with the names under which clients call what they serve. Who answers to a name is decided among all that claim it, by the
//! gateway's own rule; so beside the endpoints that are shown, only those are read that claim one of their names.

use super::Endpoints;
use crate::{
    directory,
    problem::Doing,
    store::{DirectoryAttachment, DirectoryEndpoint},
};
use domain::{
    directory::Route,
    endpoint::Endpoint,
    ids::{BaseModelId, EndpointId, ModelVersionId},
    model::ModelVersion,
    page::Cursor,
    policy::Action,
    problem::Problem,
};
use std::collections::HashMap;

pub struct Served {
    pub endpoints: Vec<Endpoint>,
    /// Those of endpoints that serve full weights.
    merged: HashMap<ModelVersionId, ModelVersion>,
    /// What clients may write as `model` now, and who answers to it.
    routes: HashMap<String, Route>,
}

impl Endpoints<'_> {
    /// All of the tenant's: for a decision over every name that is taken, never for a page.
    pub async fn served(&self) -> Result<Served, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let all = self.platform().store().every_endpoint(self.tenant()).await.doing("reading the endpoints")?;
        self.served_among(all, Vec::new()).await
    }

    /// These, with their names.
    pub async fn served_by(&self, endpoints: Vec<Endpoint>) -> Result<Served, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let mut models: Vec<String> = self.merged_by(&endpoints).await?.into_values().map(|v| v.model_name.to_string()).collect();
        models.extend(endpoints.iter().flat_map(|e| &e.attachments).map(|a| a.model_name.to_string()));
        models.sort();
        models.dedup();
        let mut rivals = self.platform().store().endpoints_claiming(self.tenant(), &models).await.doing("reading the endpoints")?;
        rivals.retain(|rival| endpoints.iter().all(|e| e.id != rival.id));
        self.served_among(endpoints, rivals).await
    }

    /// What can be called now or soon, with its names: what should run, and of the newest page of all what does not; and whether there are
    /// older ones that do not.
    pub async fn callable(&self) -> Result<(Served, bool), Problem> {
        let mut endpoints = self.platform().store().wanted_endpoints(self.tenant()).await.doing("reading the endpoints")?;
        let newest = self.list(&Cursor::default()).await?;
        endpoints.extend(newest.rows.into_iter().filter(|e| !e.state.is_wanted()));
        let older = newest.next.is_some() && self.counts().await?.all > endpoints.len() as u64;
        Ok((self.served_by(endpoints).await?, older))
    }

    /// Beside each of these: which model version, as `facts v2`, when full weights are what it serves.
    pub async fn full_weights(&self, endpoints: &[Endpoint]) -> Result<Vec<Option<String>>, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let merged = self.merged_by(endpoints).await?;
        let of = |e: &Endpoint| merged.get(&e.merged_version?).map(|v| format!("{} v{}", v.model_name, v.number));
        Ok(endpoints.iter().map(of).collect())
    }

    /// How many tokens fit into the context of the base models of these, question and answer together.
    pub async fn contexts(&self, endpoints: &[Endpoint]) -> Result<HashMap<BaseModelId, u32>, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let mut ids: Vec<BaseModelId> = endpoints.iter().filter_map(|e| e.base.as_ref()).map(|base| base.id).collect();
        ids.sort_unstable();
        ids.dedup();
        self.platform().store().contexts(self.tenant(), &ids).await.doing("reading the base models")
    }

    /// Versions whose full weights these endpoints serve.
    async fn merged_by(&self, endpoints: &[Endpoint]) -> Result<HashMap<ModelVersionId, ModelVersion>, Problem> {
        let ids: Vec<ModelVersionId> = endpoints.iter().filter_map(|e| e.merged_version).collect();
        let versions = self.platform().store().model_versions(self.tenant(), &ids).await.doing("reading the model versions")?;
        Ok(versions.into_iter().map(|v| (v.id, v)).collect())
    }

    async fn served_among(&self, endpoints: Vec<Endpoint>, rivals: Vec<Endpoint>) -> Result<Served, Problem> {
        let mut all = endpoints.clone();
        all.extend(rivals);
        let merged = self.merged_by(&all).await?;
        let (of_directory, attachments) = directory_rows(&all, &merged);
        let routes = directory::routes(of_directory, attachments, None).remove(self.tenant()).unwrap_or_default();
        Ok(Served { endpoints, merged, routes })
    }
}

impl Served {
    /// The version whose full weights an endpoint serves; none where it serves a base model with adapters.
    pub fn merged(&self, e: &Endpoint) -> Option<&ModelVersion> {
        self.merged.get(&e.merged_version?)
    }

    /// Whether a name leads to another endpoint than this one now.
    pub fn is_elsewhere(&self, name: &str, endpoint: EndpointId) -> bool {
        self.routes.get(name).is_some_and(|route| route.endpoint != endpoint)
    }

    /// What a client writes as `model` for this version: the plain name when that leads to it, else with the number.
    pub fn id_of(&self, version: ModelVersionId, model: &str, number: u32) -> String {
        match self.routes.get(model) {
            Some(route) if route.model_version == Some(version) => model.to_owned(),
            _ => format!("{model}@v{number}"),
        }
    }

    /// What a client may write as `model` for what this endpoint serves, tuned before base.
    pub fn model_ids(&self, e: &Endpoint) -> Vec<String> {
        if e.merged_version.is_some() {
            return self.merged(e).map(|v| self.id_of(v.id, v.model_name.as_str(), v.number)).into_iter().collect();
        }
        let tuned = e.attachments.iter().map(|a| self.id_of(a.version, a.model_name.as_str(), a.number));
        let external = e.external.iter().flat_map(|x| x.offered().map(|(_, here)| here.to_string()));
        tuned.chain(external).chain(e.base.iter().map(|b| b.name.to_string())).collect()
    }
}

/// As the gateway reads them, so that the names are routed by the same rule.
fn directory_rows(all: &[Endpoint], merged: &HashMap<ModelVersionId, ModelVersion>) -> (Vec<DirectoryEndpoint>, Vec<DirectoryAttachment>) {
    let (mut endpoints, mut attachments) = (Vec::new(), Vec::new());
    for e in all.iter().cloned() {
        let version = e.merged_version.and_then(|id| merged.get(&id));
        attachments.extend(e.attachments.into_iter().map(|a| DirectoryAttachment {
            tenant: e.tenant.clone(),
            endpoint: e.id,
            version: a.version,
            model: a.model_name.to_string(),
            number: i64::from(a.number),
            state: a.state,
            reason: a.reason,
            attached_at: a.attached_at,
        }));
        endpoints.push(DirectoryEndpoint {
            tenant: e.tenant,
            id: e.id,
            name: e.name,
            state: e.state,
            reason: e.reason,
            addresses: e.addresses,
            replicas: e.replicas,
            model_server: e.model_server,
            external: e.external,
            // Pages call nobody.
            sealed_key: None,
            base_model: e.base.map(|b| b.name.to_string()),
            // Pages ask for names only.
            context: 0,
            merged: version.map(|v| (v.id, v.model_name.to_string(), i64::from(v.number))),
            created_at: e.created_at,
            settings: e.settings,
        });
    }
    (endpoints, attachments)
}
