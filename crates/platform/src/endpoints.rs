//! Endpoints: making, deploying onto, detaching, stopping, starting, looking. They only write what is wanted;
//! `control::endpoints` makes it so.

use crate::{
    Platform,
    access::{Permit, Scope, shortened},
    change::Change,
    problem::Doing,
    store::{Tx, endpoints::EndpointRecord},
};
use domain::{
    audit::Detail,
    base_model::{BaseModel, BaseModelState},
    endpoint::{Endpoint, EndpointEvent, EndpointLogLine, EndpointState, ServedBase},
    ids::{EndpointId, ModelVersionId},
    model::{ModelVersion, Stage, WeightsKind},
    model_server::ModelServer,
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::{FieldProblem, Problem, ProblemKind},
    reason::endpoint::EndpointReason,
    resource_request::ResourceRequest,
    serving::ServingSettings,
    supply::Times,
    time::Timestamp,
};

mod document;
mod external;
mod removal;
mod served;

pub(crate) use external::opened_key;
pub use external::{NewExternal, Offer};
pub use served::Served;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEndpoint {
    pub name: String,
    /// Name of a base model.
    pub base_model: String,
    /// What its model server may use.
    pub resources: ResourceRequest,
}

/// A model version that should answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    pub model: String,
    pub number: u32,
    /// Adapters: onto this endpoint; `None` = the tenant's endpoint of the same base, or a new one.
    /// Full weights: the new endpoint's name.
    pub endpoint: Option<String>,
}

/// How many endpoints there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    pub all: u64,
    /// Should run: what the quota counts.
    pub wanted: u64,
    pub ready: u64,
}

/// The endpoints of one tenant.
pub struct Endpoints<'a> {
    scope: &'a Scope,
}

impl Platform {
    /// The most replicas that this endpoint's server can have.
    pub fn most_replicas(&self, endpoint: &Endpoint) -> u32 {
        if endpoint.capabilities().runs_here { self.engine().most_replicas() } else { 1 }
    }

    /// Whether a running server is replaced replica by replica when it has to be started with something else.
    pub fn replaces_replicas(&self) -> bool {
        self.engine().rolls()
    }

    /// Why an endpoint cannot have so many replicas; none: it can. `runs_here`: its server is this portal's own.
    pub fn why_not_replicas(&self, runs_here: bool, wanted: u32) -> Option<String> {
        if !runs_here {
            return (wanted > 1).then(|| "Whoever runs this server decides on its replicas.".into());
        }
        let most = self.engine().most_replicas();
        (wanted > most).then(|| match most {
            1 => "This portal runs model servers on its own machine, one process each. Several replicas need a Kubernetes cluster.".into(),
            most => format!("At most {most} replicas."),
        })
    }

    pub fn endpoints<'a>(&self, scope: &'a Scope) -> Endpoints<'a> {
        Endpoints { scope }
    }
}

impl Endpoints<'_> {
    fn platform(&self) -> &Platform {
        self.scope.platform()
    }
    fn tenant(&self) -> &Name {
        self.scope.tenant_name()
    }

    /// Newest first.
    pub async fn list(&self, after: &Cursor) -> Result<Page<Endpoint>, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        self.platform().store().endpoints(self.tenant(), after).await.doing("reading the endpoints")
    }

    /// How many there are, should run, and are ready.
    pub async fn counts(&self) -> Result<EndpointCounts, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let (all, wanted, ready) = self.platform().store().endpoint_counts(self.tenant()).await.doing("counting the endpoints")?;
        Ok(EndpointCounts { all, wanted, ready })
    }

    /// Those that serve this version or should, and those of its base that could take it as an adapter; the wanted ones first, at most a
    /// page of each.
    pub async fn around(&self, version: &ModelVersion) -> Result<Vec<Endpoint>, Problem> {
        let (store, doing) = (self.platform().store(), "reading the endpoints");
        let mut found = self.serving(version).await?;
        if version.kind == WeightsKind::Adapter {
            let fitting = store.endpoints_for_base(self.tenant(), version.base_model).await.doing(doing)?;
            let others: Vec<Endpoint> = fitting.into_iter().filter(|e| found.iter().all(|f| f.id != e.id)).collect();
            found.extend(others);
        }
        Ok(found)
    }

    pub async fn get(&self, name: &str) -> Result<Endpoint, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let found = self.platform().store().endpoint_by_name(self.tenant(), &parsed).await.doing("reading the endpoint")?;
        found.map(|r| r.endpoint).ok_or_else(|| not_found(name))
    }

    /// Only its id.
    pub async fn id(&self, name: &str) -> Result<EndpointId, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let found = self.platform().store().endpoint_id(self.tenant(), &parsed).await.doing("reading the endpoint")?;
        found.ok_or_else(|| not_found(name))
    }

    /// Those that serve this version or should, the wanted ones first: at most a page of them.
    pub async fn serving(&self, version: &ModelVersion) -> Result<Vec<Endpoint>, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        self.platform().store().endpoints_serving(self.tenant(), version.id).await.doing("reading the endpoints")
    }

    /// The newest lines of its log, oldest of them first; at most so many.
    pub async fn log_tail(&self, endpoint: &Endpoint, most: u32) -> Result<Vec<EndpointLogLine>, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        self.platform().store().newest_endpoint_lines(self.tenant(), endpoint.id, most).await.doing("reading the log")
    }

    /// Lines with a number above `after`, at most `limit` (1 to 5000).
    pub async fn log(&self, name: &str, after: u64, limit: u32) -> Result<Vec<EndpointLogLine>, Problem> {
        let id = self.id(name).await?;
        self.platform().store().endpoint_log(self.tenant(), id, after, limit.clamp(1, 5000)).await.doing("reading the log")
    }

    /// An endpoint of a base model, with nothing attached yet; it starts at once.
    pub async fn create(&self, new: NewEndpoint) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::EndpointWrite)?;
        self.scope.active()?;
        let mut wrong = Vec::new();
        let name = endpoint_name(&new.name).map_err(|problem| wrong.push(problem)).ok();
        let base = match new.base_model.trim().parse::<Name>() {
            Ok(base) => self.platform().store().base_model_by_name(&base).await.doing("reading the base model")?,
            Err(_) => None,
        };
        match &base {
            None => wrong.push(FieldProblem::new("base_model", format!("There is no base model “{}”.", shortened(&new.base_model)))),
            Some(b) => wrong.extend(not_ready(b)),
        }
        wrong.extend(self.platform().wrong_resources(self.scope, &new.resources, Times::Replicas(1)).await);
        let (Some(name), Some(base), true) = (name, base, wrong.is_empty()) else { return Err(Problem::invalid(wrong)) };
        let mut tx = Change::begin(self.platform(), &permit).await?;
        let fresh = self.of_base(&name, tx.at(), &base, None);
        let record = self.insert(&mut tx, fresh).await?;
        if !new.resources.is_default() {
            let settings = ServingSettings { resources: new.resources, ..ServingSettings::default() };
            tx.set_serving(self.tenant(), record.endpoint.id, &settings).await.doing("writing the endpoint’s settings")?;
        }
        self.commit(tx, record, Detail::EndpointCreated { base_model: base.name }).await
    }

    /// Makes a model version answer. Says where; asking twice changes nothing.
    pub async fn deploy(&self, deploy: Deploy) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::EndpointWrite)?;
        self.scope.active()?;
        let version = self.platform().models(self.scope).version(&deploy.model, Some(deploy.number)).await?;
        if version.stage == Stage::Archived {
            let sentence = format!("{} v{} is archived, so it cannot be deployed.", version.model_name, version.number);
            return Err(Problem::conflict(sentence).next("An owner can move it back to candidate."));
        }
        let base = self.platform().store().base_model(version.base_model).await.doing("reading the base model")?;
        let base = base.ok_or_else(|| Problem::not_found("The base model"))?;
        if let Some(problem) = not_ready(&base) {
            return Err(Problem::conflict(problem.sentence));
        }
        let wanted = deploy.endpoint.as_deref().map(str::trim).filter(|t| !t.is_empty());
        match version.kind {
            WeightsKind::Adapter => self.deploy_adapter(&permit, version, &base, wanted).await,
            WeightsKind::Merged => self.deploy_merged(&permit, version, &base, wanted).await,
        }
    }

    async fn deploy_adapter(
        &self,
        permit: &Permit<'_>,
        version: ModelVersion,
        base: &BaseModel,
        wanted: Option<&str>,
    ) -> Result<Endpoint, Problem> {
        let mut tx = Change::begin(self.platform(), permit).await?;
        let mut record = match wanted {
            Some(text) => {
                let name: Name = text.parse().map_err(|_| not_found(text))?;
                let found =
                    tx.endpoint_by_name(self.tenant(), &name).await.doing("reading the endpoint")?.ok_or_else(|| not_found(text))?;
                if !found.endpoint.takes_adapters_of(base.id) {
                    let serves =
                        if found.endpoint.merged_version.is_some() { "full weights".into() } else { found.endpoint.source().to_owned() };
                    let sentence = format!(
                        "The endpoint “{name}” serves {serves}; {} v{} is an adapter for {}.",
                        version.model_name, version.number, base.name
                    );
                    return Err(Problem::conflict(sentence).next("Choose an endpoint of that base model, or let the portal choose."));
                }
                found
            }
            None => match self.endpoint_of_base(&mut tx, base).await? {
                Some(found) => found,
                None => {
                    let name = self.free_name(&mut tx, base.name.as_str()).await?;
                    let fresh = self.of_base(&name, tx.at(), base, None);
                    self.insert(&mut tx, fresh).await?
                }
            },
        };
        let starts = self.start_again(&mut tx, &mut record).await?;
        let at = tx.at();
        let attached = tx.attach(self.tenant(), record.endpoint.id, version.id, at).await.doing("attaching the version")?;
        if !attached && !starts {
            return Ok(record.endpoint);
        }
        record.endpoint.revision += 1;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, Detail::Attached { model: version.model_name, version: version.number }).await
    }

    async fn deploy_merged(
        &self,
        permit: &Permit<'_>,
        version: ModelVersion,
        base: &BaseModel,
        wanted: Option<&str>,
    ) -> Result<Endpoint, Problem> {
        let serving = self.platform().store().endpoints_serving(self.tenant(), version.id).await.doing("reading the endpoints")?;
        let mine = serving.into_iter().find(|e| e.merged_version == Some(version.id));
        let mut tx = Change::begin(self.platform(), permit).await?;
        let record = match mine {
            Some(e) => {
                let mut record =
                    tx.endpoint(self.tenant(), e.id).await.doing("reading the endpoint")?.ok_or_else(|| not_found(e.name.as_str()))?;
                if !self.start_again(&mut tx, &mut record).await? {
                    return Ok(record.endpoint);
                }
                tx.save_endpoint(&record).await.doing("writing the endpoint")?;
                record
            }
            None => {
                let name = match wanted {
                    Some(text) => endpoint_name(text).map_err(|problem| Problem::invalid(vec![problem]))?,
                    None => self.free_name(&mut tx, &format!("{}-v{}", version.model_name, version.number)).await?,
                };
                let fresh = self.of_base(&name, tx.at(), base, Some(version.id));
                self.insert(&mut tx, fresh).await?
            }
        };
        self.commit(tx, record, Detail::Served { model: version.model_name, version: version.number }).await
    }

    /// Takes a version off an endpoint; calls to it are refused from then on.
    pub async fn detach(&self, endpoint: &str, version: ModelVersionId) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::EndpointWrite)?;
        let (mut tx, mut record) = self.for_change(&permit, endpoint).await?;
        if record.endpoint.merged_version == Some(version) {
            return Err(Problem::conflict("This endpoint serves only these weights.").next("Stop the endpoint instead."));
        }
        let named = record.endpoint.attachments.iter().find(|a| a.version == version);
        let named = named.map_or_else(|| version.to_string(), |a| format!("{} v{}", a.model_name, a.number));
        if !tx.detach(self.tenant(), record.endpoint.id, version).await.doing("detaching the version")? {
            return Err(Problem::not_found(format!("The version “{version}” on the endpoint “{}”", record.endpoint.name)));
        }
        record.endpoint.revision += 1;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, Detail::Detached { what: named }).await
    }

    pub async fn stop(&self, name: &str) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::EndpointWrite)?;
        let (mut tx, mut record) = self.for_change(&permit, name).await?;
        record.endpoint.state = next(&record, EndpointEvent::Stop)?;
        record.endpoint.reason = EndpointReason::StopAsked { by: self.scope.person().name.clone() };
        record.retry_at = None;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, Detail::EndpointStopped).await
    }

    pub async fn start(&self, name: &str) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::EndpointWrite)?;
        self.scope.active()?;
        let (mut tx, mut record) = self.for_change(&permit, name).await?;
        next(&record, EndpointEvent::Start)?;
        self.start_again(&mut tx, &mut record).await?;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, Detail::EndpointStarted).await
    }

    /// How it serves. What the gateway looks at counts at once; the rest where the engine replaces a running server's replicas as soon as they
    /// are, and elsewhere from its next start.
    pub async fn set_settings(&self, name: &str, settings: ServingSettings) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::EndpointWrite)?;
        let wrong = settings.check();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        // The cluster is asked before the change begins, which others wait for.
        let before = self.get(name).await?;
        let wrong = self.wrong_asked(&before, &settings).await;
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let (mut tx, mut record) = self.for_change(&permit, name).await?;
        // One that was set when the engine was another stays until somebody changes it.
        if settings.replicas != record.endpoint.settings.replicas
            && let Some(why) = self.platform().why_not_replicas(record.endpoint.capabilities().runs_here, settings.replicas)
        {
            return Err(Problem::invalid(vec![FieldProblem::new("replicas", why).suggesting("1")]));
        }
        if settings.needs_other_server(&record.endpoint.settings) {
            record.endpoint.revision += 1;
            tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        }
        tx.set_serving(self.tenant(), record.endpoint.id, &settings).await.doing("writing the endpoint’s settings")?;
        self.commit(tx, record, Detail::ServingSet { settings }).await
    }

    /// Why the machines cannot give what settings ask for. What was asked for before stays until somebody changes it, whatever has become
    /// of quota and machines.
    async fn wrong_asked(&self, before: &Endpoint, settings: &ServingSettings) -> Vec<FieldProblem> {
        let more = settings.replicas > before.settings.replicas;
        if settings.resources == before.settings.resources && !more {
            return Vec::new();
        }
        if !before.capabilities().runs_here {
            let fields = ResourceRequest::FIELDS.into_iter().take(usize::from(!settings.resources.is_default()));
            return fields.map(|field| FieldProblem::new(field, "Whoever runs this server decides on its resources.")).collect();
        }
        self.platform().wrong_resources(self.scope, &settings.resources, Times::Replicas(settings.replicas)).await
    }

    async fn for_change<'p>(&self, permit: &Permit<'p>, name: &str) -> Result<(Change<'p>, EndpointRecord), Problem> {
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let mut tx = Change::begin(self.platform(), permit).await?;
        let record = tx.endpoint_by_name(self.tenant(), &parsed).await.doing("reading the endpoint")?.ok_or_else(|| not_found(name))?;
        Ok((tx, record))
    }

    /// A stopped or failed endpoint is wanted again, if the quota allows; false = it was wanted anyway.
    async fn start_again(&self, tx: &mut Tx, record: &mut EndpointRecord) -> Result<bool, Problem> {
        if record.endpoint.state.is_wanted() {
            return Ok(false);
        }
        let state = next(record, EndpointEvent::Start)?;
        self.has_room(tx).await?;
        record.endpoint.state = state;
        record.endpoint.reason = EndpointReason::WaitsForStart;
        record.endpoint.restarts = 0;
        record.retry_at = None;
        Ok(true)
    }

    async fn has_room(&self, tx: &mut Tx) -> Result<(), Problem> {
        let most = tx.tenant(self.tenant()).await.doing("reading the quota")?.map_or(0, |t| t.quota.endpoints);
        let held = tx.wanted_endpoints(self.tenant()).await.doing("counting the endpoints")?;
        if held < most {
            return Ok(());
        }
        let sentence = format!("The tenant’s quota allows {most} running endpoints, and {held} are in use.");
        Err(Problem::new(ProblemKind::QuotaExceeded, sentence).next("Stop one, or ask the platform admin for a larger quota."))
    }

    /// A new endpoint that serves nothing yet.
    fn fresh(&self, name: &Name, at: Timestamp, model_server: ModelServer, reason: EndpointReason) -> Endpoint {
        Endpoint {
            id: EndpointId::from_uuid(self.platform().fresh_uuid()),
            tenant: self.tenant().clone(),
            name: name.clone(),
            state: EndpointState::Wanted,
            reason,
            model_server,
            base: None,
            external: None,
            merged_version: None,
            revision: 1,
            attachments: Vec::new(),
            addresses: Vec::new(),
            replicas: Vec::new(),
            restarts: 0,
            created_by: self.scope.person().id,
            created_by_name: self.scope.person().name.clone(),
            created_at: at,
            ready_at: None,
            settings: ServingSettings::default(),
        }
    }

    /// One that serves a base model here, or full weights made from it.
    fn of_base(&self, name: &Name, at: Timestamp, base: &BaseModel, merged_version: Option<ModelVersionId>) -> Endpoint {
        let served = ServedBase { id: base.id, name: base.name.clone() };
        Endpoint { base: Some(served), merged_version, ..self.fresh(name, at, ModelServer::Vllm, EndpointReason::WaitsForStart) }
    }

    /// Writes a new endpoint, if the quota has room for it and nobody has its name.
    async fn insert(&self, tx: &mut Tx, endpoint: Endpoint) -> Result<EndpointRecord, Problem> {
        self.has_room(tx).await?;
        if !tx.insert_endpoint(&endpoint).await.doing("writing the endpoint")? {
            let name = &endpoint.name;
            let free = self.free_name(tx, name.as_str()).await?;
            let problem = FieldProblem::new("name", format!("There is already an endpoint “{name}”.")).suggesting(free.as_str());
            return Err(Problem::invalid(vec![problem]));
        }
        Ok(EndpointRecord::new(endpoint))
    }

    /// The tenant's endpoint of this base: one that is wanted before one that was stopped.
    async fn endpoint_of_base(&self, tx: &mut Tx, base: &BaseModel) -> Result<Option<EndpointRecord>, Problem> {
        let mut stopped = None;
        for id in tx.endpoints_of_base(self.tenant(), base.id).await.doing("reading the endpoints")? {
            match tx.endpoint(self.tenant(), id).await.doing("reading the endpoint")? {
                Some(r) if r.endpoint.state.is_wanted() => return Ok(Some(r)),
                // One that is still stopping cannot be started yet.
                Some(r) if r.endpoint.state != EndpointState::Stopping => stopped = stopped.or(Some(r)),
                _ => {}
            }
        }
        Ok(stopped)
    }

    async fn free_name(&self, tx: &mut Tx, like: &str) -> Result<Name, Problem> {
        for name in like.parse().ok().into_iter().chain(Name::numbered(like, 2).take(1000)) {
            if tx.endpoint_by_name(self.tenant(), &name).await.doing("looking for a name")?.is_none() {
                return Ok(name);
            }
        }
        Err(Problem::field("name", "Choose a name for the endpoint."))
    }

    /// Everything that belongs to a change of an endpoint, in its transaction.
    async fn commit(&self, tx: Change<'_>, record: EndpointRecord, detail: Detail) -> Result<Endpoint, Problem> {
        let (id, tenant) = (record.endpoint.id, self.tenant());
        let mut entry = tx.entry("endpoint", id, &record.endpoint.name);
        entry.detail = detail;
        tx.commit(entry).await.doing("changing the endpoint")?;
        let now = self.platform().store().endpoint(tenant, id).await.doing("reading the endpoint")?;
        Ok(now.unwrap_or(record).endpoint)
    }
}

fn next(record: &EndpointRecord, event: EndpointEvent) -> Result<EndpointState, Problem> {
    record.endpoint.state.next(event).map_err(|refused| Problem::conflict(refused.to_string()))
}

fn not_found(name: &str) -> Problem {
    Problem::not_found(format!("The endpoint “{}”", shortened(name)))
}

fn endpoint_name(text: &str) -> Result<Name, FieldProblem> {
    text.trim().parse::<Name>().map_err(|bad| bad.in_field("name"))
}

fn not_ready(base: &BaseModel) -> Option<FieldProblem> {
    let sentence = || format!("The base model “{}” is {}, so it cannot be served now.", base.name, base.state.word());
    (base.state != BaseModelState::Ready).then(|| FieldProblem::new("base_model", sentence()))
}
