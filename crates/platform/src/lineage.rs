//! The lineage strip: dataset version, run, model version, endpoint, keys, usage, from wherever one stands, both ways.

use crate::{Platform, access::Scope, counted::counted, problem::Doing};
use domain::{
    dataset::DatasetVersion,
    endpoint::Endpoint,
    ids::{DatasetVersionId, EndpointId, ModelVersionId, RunId},
    lineage::{LineageLink, LineageStrip, Link, Target},
    model::ModelVersion,
    policy::Action,
    problem::Problem,
    run::{Run, RunState},
    time::DAY,
};
use serde::{Deserialize, Serialize};

/// Where one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    /// A page that belongs to none of the six, or to all.
    None,
    Datasets,
    Runs,
    Models,
    Endpoints,
    DatasetVersion(DatasetVersionId),
    Run(RunId),
    ModelVersion(ModelVersionId),
    Endpoint(EndpointId),
    Keys,
    Usage,
}

impl At {
    const fn link(self) -> Option<Link> {
        match self {
            Self::None => None,
            Self::Datasets | Self::DatasetVersion(_) => Some(Link::Dataset),
            Self::Runs | Self::Run(_) => Some(Link::Run),
            Self::Models | Self::ModelVersion(_) => Some(Link::Model),
            Self::Endpoints | Self::Endpoint(_) => Some(Link::Endpoint),
            Self::Keys => Some(Link::Keys),
            Self::Usage => Some(Link::Usage),
        }
    }
}

/// What a link says, and where it leads.
type Told = (String, Option<Target>);

/// The things that belong together, as far as there are any.
#[derive(Default)]
struct Things {
    data: Option<DatasetVersion>,
    run: Option<Run>,
    version: Option<ModelVersion>,
    endpoint: Option<Endpoint>,
}

impl Platform {
    pub async fn lineage_strip(&self, scope: &Scope, at: At) -> Result<LineageStrip, Problem> {
        scope.permit(Action::TenantRead)?;
        let links = match at {
            At::DatasetVersion(_) | At::Run(_) | At::ModelVersion(_) | At::Endpoint(_) => self.around(scope, at).await?,
            At::None | At::Datasets | At::Runs | At::Models | At::Endpoints | At::Keys | At::Usage => self.counts(scope).await?,
        };
        let links = Link::ALL
            .into_iter()
            .zip(links)
            .map(|(link, (text, target))| LineageLink { link, text, target, here: at.link() == Some(link) })
            .collect();
        Ok(LineageStrip { tenant: scope.tenant_name().clone(), links })
    }

    /// How many there are of each.
    async fn counts(&self, scope: &Scope) -> Result<[Told; 6], Problem> {
        let counts = self.store().rail_counts(scope.tenant_name()).await.doing("reading what the tenant holds")?;
        let keys = counted(self.keys_that_call(scope, None).await?, "key", "keys");
        let requests = self.requests(scope, &Things::default()).await?;
        let listed = |n: u32, one: &str, many: &str, list: Target| (counted(u64::from(n), one, many), Some(list));
        Ok([
            listed(counts.datasets, "dataset", "datasets", Target::Datasets),
            listed(counts.runs, "run", "runs", Target::Runs),
            listed(counts.models, "model", "models", Target::Models),
            listed(counts.endpoints, "endpoint", "endpoints", Target::Endpoints),
            (keys, keys_page(scope)),
            (usage(requests), Some(Target::Usage)),
        ])
    }

    async fn around(&self, scope: &Scope, at: At) -> Result<[Told; 6], Problem> {
        let things = self.things(scope, at).await?;
        let keys = self.keys_that_call(scope, things.version.as_ref()).await?;
        let requests = self.requests(scope, &things).await?;
        let Things { data, run, version, endpoint } = things;
        // What somebody else runs was made somewhere else.
        let elsewhere = endpoint.as_ref().is_some_and(|e| e.external.is_some());
        let no_run = || (if elsewhere { "no run here" } else { "no run yet" }.to_owned(), None);
        let data = data.map_or_else(
            || ("no dataset".into(), None),
            |d| {
                let text = format!("{} v{}", d.dataset_name, d.number);
                (text, Some(Target::DatasetVersion { name: d.dataset_name, number: d.number }))
            },
        );
        let model = match (&version, &run) {
            (Some(v), _) => {
                let target = Target::ModelVersion { name: v.model_name.clone(), number: v.number };
                (format!("{} v{}", v.model_name, v.number), Some(target))
            }
            (None, Some(r)) if r.state.is_final() && r.state != RunState::Succeeded => ("nothing made".into(), None),
            (None, Some(r)) => (format!("{}, not yet registered", r.model_name), None),
            (None, None) if elsewhere => ("models of its server".into(), None),
            (None, None) if endpoint.is_some() => ("base model only".into(), None),
            (None, None) => ("no model yet".into(), None),
        };
        let run = run.map_or_else(no_run, |r| (r.name.to_string(), Some(Target::Run(r.id))));
        let callable = endpoint.is_some();
        let endpoint = endpoint.map_or_else(|| ("not deployed".into(), None), |e| (e.name.to_string(), Some(Target::Endpoint(e.name))));
        let keys = if callable { (counted(keys, "key", "keys"), keys_page(scope)) } else { ("nothing to call yet".into(), None) };
        Ok([data, run, model, endpoint, keys, (usage(requests), Some(Target::Usage))])
    }

    async fn things(&self, scope: &Scope, at: At) -> Result<Things, Problem> {
        let (store, tenant) = (self.store(), scope.tenant_name());
        let doing = "reading the lineage";
        let mut t = Things::default();
        match at {
            At::DatasetVersion(id) => {
                t.data = Some(
                    store
                        .dataset_version(tenant, id)
                        .await
                        .doing(doing)?
                        .ok_or_else(|| Problem::not_found(format!("The dataset version “{id}”")))?,
                );
                if let Some(run) = store.newest_run_on(tenant, id).await.doing(doing)? {
                    t.run = store.run(tenant, run).await.doing(doing)?;
                }
            }
            At::Run(id) => t.run = Some(self.runs(scope).get(id).await?),
            At::ModelVersion(id) => t.version = Some(self.models(scope).by_version_id(id).await?),
            At::Endpoint(id) => {
                let found = store
                    .endpoint(tenant, id)
                    .await
                    .doing(doing)?
                    .ok_or_else(|| Problem::not_found(format!("The endpoint “{id}”")))?
                    .endpoint;
                let newest = found.attachments.iter().max_by_key(|a| (a.state == domain::endpoint::AdapterState::Ready, a.attached_at));
                if let Some(id) = found.merged_version.or(newest.map(|a| a.version)) {
                    t.version = store.model_version(tenant, id).await.doing(doing)?;
                }
                t.endpoint = Some(found);
            }
            At::None | At::Datasets | At::Runs | At::Models | At::Endpoints | At::Keys | At::Usage => {}
        }
        // To the right of where one stands, then to the left.
        if let (None, Some(id)) = (&t.version, t.run.as_ref().and_then(|r| r.model_version)) {
            t.version = store.model_version(tenant, id).await.doing(doing)?;
        }
        if let (None, Some(v)) = (&t.endpoint, &t.version) {
            t.endpoint = store.endpoints_serving(tenant, v.id).await.doing(doing)?.into_iter().next();
        }
        if let (None, Some(v)) = (&t.run, &t.version) {
            t.run = store.run(tenant, v.run).await.doing(doing)?;
        }
        if let (None, Some(r)) = (&t.data, &t.run) {
            t.data = store.dataset_version(tenant, r.dataset_version).await.doing(doing)?;
        }
        Ok(t)
    }

    /// Active keys; with a version, those that may call its model.
    async fn keys_that_call(&self, scope: &Scope, version: Option<&ModelVersion>) -> Result<u64, Problem> {
        let names = version.map(|v| (v.model_name.to_string(), format!("{}@v{}", v.model_name, v.number)));
        self.store().count_working_keys(scope.tenant_name(), names, self.now()).await.doing("counting the keys")
    }

    /// Calls in seven days, by the most exact thing there is; one's own only without the right to see all.
    async fn requests(&self, scope: &Scope, t: &Things) -> Result<u64, Problem> {
        let person = (!scope.may(Action::UsageRead)).then(|| scope.person().id);
        let version = t.version.as_ref().map(|v| v.id);
        let endpoint = t.endpoint.as_ref().map(|e| e.id).filter(|_| version.is_none());
        if version.is_none() && endpoint.is_none() && (t.data.is_some() || t.run.is_some()) {
            return Ok(0);
        }
        let since = self.now().plus(-7 * DAY);
        self.store().requests(scope.tenant_name(), since, version, endpoint, person).await.doing("counting the calls")
    }
}

/// Keys are counted for everybody, and listed for those who may read them.
fn keys_page(scope: &Scope) -> Option<Target> {
    scope.may(Action::KeyRead).then_some(Target::Keys)
}

fn usage(requests: u64) -> String {
    match requests {
        0 => "no requests, 7 d".into(),
        n => format!("{}, 7 d", counted(n, "request", "requests")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_is_said_and_one_is_singular() {
        assert_eq!((usage(0), usage(1)), ("no requests, 7 d".into(), "1 request, 7 d".into()));
    }
}
