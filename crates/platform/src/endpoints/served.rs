//! All endpoints of a tenant with the names under which clients call what they serve. Two queries, however many endpoints there are.

use super::Endpoints;
use crate::{
    directory,
    store::{DirectoryAttachment, DirectoryEndpoint},
};
use domain::{
    directory::Route,
    endpoint::Endpoint,
    ids::{EndpointId, ModelVersionId},
    model::ModelVersion,
    problem::Problem,
};
use std::collections::HashMap;

pub struct Served {
    /// Newest first.
    pub endpoints: Vec<Endpoint>,
    /// Those of endpoints that serve full weights.
    merged: HashMap<ModelVersionId, ModelVersion>,
    /// What clients may write as `model` now, and who answers to it.
    routes: HashMap<String, Route>,
}

impl Endpoints<'_> {
    pub async fn served(&self) -> Result<Served, Problem> {
        let endpoints = self.list().await?;
        let serves_merged = endpoints.iter().any(|e| e.merged_version.is_some());
        let versions = if serves_merged { self.platform().models(self.scope).versions().await? } else { Vec::new() };
        let merged = versions.into_iter().filter(|v| endpoints.iter().any(|e| e.merged_version == Some(v.id))).map(|v| (v.id, v)).collect();
        let (of_directory, attachments) = directory_rows(&endpoints, &merged);
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
            address: e.address,
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
