//! Endpoints as documents: each field that is another goes through the same change that a person makes on the endpoint's page.

use super::{Deploy, Endpoints, NewEndpoint, Served};
use crate::put::{Outcome, Put};
use domain::{
    endpoint::Endpoint,
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::{FieldProblem, Problem, ProblemKind},
    resource::{Document, EndpointSpec, EndpointStatus, Spec, VersionSpec},
    serving::ServingSettings,
    supply::Times,
};

impl Endpoints<'_> {
    pub async fn document(&self, name: &str) -> Result<Document<EndpointSpec>, Problem> {
        self.document_of(self.get(name).await?).await
    }

    async fn document_of(&self, endpoint: Endpoint) -> Result<Document<EndpointSpec>, Problem> {
        let served = self.served_by(vec![endpoint.clone()]).await?;
        Ok(document(&served, &endpoint))
    }

    /// Newest first.
    pub async fn documents(&self, after: &Cursor) -> Result<Page<Document<EndpointSpec>>, Problem> {
        let page = self.list(after).await?;
        let served = self.served_by(page.rows).await?;
        Ok(Page { rows: served.endpoints.iter().map(|endpoint| document(&served, endpoint)).collect(), next: page.next })
    }

    /// Makes or changes the endpoint, so that everything that the spec says holds.
    pub async fn put(&self, name: &Name, spec: EndpointSpec) -> Result<Put<EndpointSpec>, Problem> {
        self.scope.permit(Action::EndpointWrite)?;
        let wrong = spec.check();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let mut outcome = Outcome::Unchanged;
        let endpoint = match self.get(name.as_str()).await {
            Ok(endpoint) => endpoint,
            Err(problem) if problem.kind == ProblemKind::NotFound => {
                outcome = Outcome::Created;
                self.make(name, &spec).await?
            }
            Err(problem) => return Err(problem),
        };
        let now = self.document_of(endpoint.clone()).await?;
        if let Some(fixed) = spec.fixed_differences(&now.spec).first() {
            let sentence = format!("What the endpoint “{name}” serves cannot become another ({fixed}).");
            return Err(Problem::conflict(sentence).next("Give the new endpoint another name, or remove this one first."));
        }
        if spec.differences(&now.spec).is_empty() {
            return Ok(Put { outcome, document: now });
        }
        if outcome == Outcome::Unchanged {
            outcome = Outcome::Changed;
        }
        self.change_to(&endpoint, &now.spec, &spec).await?;
        Ok(Put { outcome, document: self.document(name.as_str()).await? })
    }

    async fn make(&self, name: &Name, spec: &EndpointSpec) -> Result<Endpoint, Problem> {
        // Before anything is made. Of an external server nothing is.
        let replicas = spec.replicas.filter(|_| spec.external.is_none());
        if let Some(why) = replicas.and_then(|wanted| self.platform().why_not_replicas(true, wanted)) {
            return Err(Problem::invalid(vec![FieldProblem::new("spec.replicas", why).suggesting("1")]));
        }
        let resources = spec.serving_over(ServingSettings::default()).resources;
        if spec.external.is_none() {
            let times = Times::Replicas(replicas.unwrap_or(1));
            let wrong = self.platform().wrong_resources(self.scope, &resources, times).await;
            if !wrong.is_empty() {
                return Err(Problem::invalid(EndpointSpec::placed(wrong)));
            }
        }
        match (&spec.base_model, &spec.full_weights) {
            (Some(base), _) => {
                let new = NewEndpoint { name: name.to_string(), base_model: base.to_string(), resources };
                self.create(new).await.map_err(in_place)
            }
            (None, Some(VersionSpec { model, version })) => {
                let weights = self.platform().models(self.scope).version(model.as_str(), Some(*version)).await?;
                if let Some(other) = self.serving(&weights).await?.iter().find(|e| e.merged_version == Some(weights.id)) {
                    let sentence = format!("{model} v{version} is served by the endpoint “{}” already.", other.name);
                    return Err(Problem::conflict(sentence).next("Full weights have one endpoint: use that one, or remove it first."));
                }
                let deploy = Deploy { model: model.to_string(), number: *version, endpoint: Some(name.to_string()) };
                self.deploy(deploy).await.map_err(in_place)
            }
            (None, None) if spec.external.is_some() => {
                let sentence = "A server that somebody else runs is added on its page, because its key is no part of a document.";
                Err(Problem::field("spec.external", sentence).next("Add it under Endpoints, External server; then its document holds."))
            }
            (None, None) => Err(Problem::field("spec", "Say what the new endpoint serves: baseModel or fullWeights.")),
        }
    }

    async fn change_to(&self, endpoint: &Endpoint, now: &EndpointSpec, spec: &EndpointSpec) -> Result<(), Problem> {
        let name = endpoint.name.as_str();
        let stands = now.stopped == Some(true);
        let stands_on = stands && spec.stopped != Some(false);
        let wanted: Vec<&VersionSpec> = spec.adapters.iter().flatten().collect();
        let has = |version: &VersionSpec| endpoint.attachments.iter().any(|a| a.model_name == version.model && a.number == version.version);
        let missing: Vec<&VersionSpec> = wanted.iter().copied().filter(|version| !has(version)).collect();
        if stands_on && let Some(VersionSpec { model, version }) = missing.first() {
            let sentence = format!("{model} v{version} cannot be put onto the endpoint “{name}” while it is stopped.");
            return Err(Problem::invalid(vec![FieldProblem::new("spec.adapters", sentence).suggesting("stopped: false")]));
        }
        let serving = spec.serving_over(endpoint.settings.clone());
        if serving != endpoint.settings {
            self.set_settings(name, serving).await.map_err(in_place)?;
        }
        if stands && !stands_on {
            self.start(name).await?;
        }
        for VersionSpec { model, version } in missing {
            self.deploy(Deploy { model: model.to_string(), number: *version, endpoint: Some(name.to_owned()) }).await?;
        }
        let is_wanted = |model: &Name, number: u32| wanted.iter().any(|version| version.model == *model && version.version == number);
        if spec.adapters.is_some() {
            for surplus in endpoint.attachments.iter().filter(|a| !is_wanted(&a.model_name, a.number)) {
                self.detach(name, surplus.version).await?;
            }
        }
        if !stands && spec.stopped == Some(true) {
            self.stop(name).await?;
        }
        Ok(())
    }
}

/// What a form's field is refused for, by its place in the document.
fn in_place(problem: Problem) -> Problem {
    match problem.kind {
        ProblemKind::Invalid => Problem::invalid(EndpointSpec::placed(problem.fields)),
        _ => problem,
    }
}

fn document(served: &Served, endpoint: &Endpoint) -> Document<EndpointSpec> {
    let full_weights = served.merged(endpoint).map(|version| (&version.model_name, version.number));
    let status = EndpointStatus::of(endpoint, served.model_ids(endpoint));
    Document::new(Some(&endpoint.tenant), &endpoint.name, EndpointSpec::of(endpoint, full_weights), &status)
}
