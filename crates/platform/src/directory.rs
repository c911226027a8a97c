//! The gateway's directory: routes, keys and limits as one snapshot, made anew whenever something in it changed.

use crate::{
    Platform,
    access::Scope,
    endpoints::opened_key,
    problem::Doing,
    sealing::TokenKey,
    store::{DirectoryAttachment, DirectoryEndpoint, DirectoryRows},
};
use domain::{
    confirmation,
    directory::{Directory, KeyEntry, PASS_LASTS, Pass, Route, TenantEntry, UpstreamKey},
    endpoint::{AdapterState, EndpointState},
    external::ExternalModel,
    name::Name,
    policy::Action,
    problem::{Problem, ProblemKind},
    reason::endpoint::{AdapterReason, EndpointReason, OutsideTrouble},
    tenant::TenantState,
    time::{DAY, MINUTE},
};
use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};
use tokio::sync::watch;

/// After a reading that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How far clocks of replicas may differ.
const CLOCKS_DIFFER: i64 = MINUTE;

impl Platform {
    /// One consistent read.
    pub async fn directory(&self) -> Result<Directory, Problem> {
        let now = self.now();
        // A pass that was ended longer ago than passes last is over by itself.
        let rows = self
            .store()
            .directory_rows(now.plus(-DAY), now.plus(-PASS_LASTS - CLOCKS_DIFFER))
            .await
            .doing("reading the gateway's directory")?;
        Ok(assemble(rows, self.inner.pass_secret, &self.inner.token_key))
    }

    /// The directory now and whenever it changed, and the task that keeps it so until `shutdown` ends or nobody looks any more. While the
    /// database is away the last one holds.
    pub async fn directory_changes<S>(
        &self,
        shutdown: S,
    ) -> Result<(watch::Receiver<Arc<Directory>>, impl Future<Output = ()> + Send + use<S>), Problem>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        // Before the first reading: what changes after that is seen.
        let mut revisions = self.store().revisions();
        let first = self.directory().await?;
        let mut seen = first.revision;
        let (sender, receiver) = watch::channel(Arc::new(first));
        let platform = self.clone();
        platform.inner.freshness.directory_seen(platform.now());
        let keeping = async move {
            tokio::pin!(shutdown);
            loop {
                let now = *revisions.borrow_and_update();
                let current = now.checked == 0 || u64::try_from(now.directory).is_ok_and(|r| r <= seen);
                let again = if current {
                    if now.checked > 0 {
                        platform.inner.freshness.directory_seen(platform.now());
                    }
                    None
                } else if let Ok(directory) = platform.directory().await {
                    seen = directory.revision;
                    platform.inner.freshness.directory_seen(platform.now());
                    sender.send_replace(Arc::new(directory));
                    None
                } else {
                    tracing::warn!("the directory cannot be read now; the last one holds");
                    Some(AGAIN)
                };
                tokio::select! {
                    () = &mut shutdown => return,
                    () = sender.closed() => return,
                    changed = revisions.changed(), if again.is_none() => if changed.is_err() { return },
                    () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
                }
            }
        };
        Ok((receiver, keeping))
    }

    /// A text by which this person's page may call the gateway for ten minutes.
    pub fn mint_pass(&self, scope: &Scope) -> Result<String, Problem> {
        scope.permit(Action::Infer)?;
        if scope.role().is_none() {
            return Err(Problem::new(ProblemKind::Forbidden, "Only members of the tenant can call its models."));
        }
        let pass = Pass { tenant: scope.tenant_name().clone(), person: scope.person().id, expires_at: self.now().plus(PASS_LASTS) };
        Ok(pass.sign(&self.inner.pass_secret))
    }
}

fn assemble(rows: DirectoryRows, pass_secret: [u8; 32], token_key: &TokenKey) -> Directory {
    let DirectoryRows { revision, tenants, members, passes_from, keys, endpoints, attachments } = rows;
    let mut directory = Directory {
        revision: u64::try_from(revision).unwrap_or(0),
        pass_secret,
        passes_from: passes_from.into_iter().collect(),
        ..Directory::default()
    };
    for (name, state, calls) in tenants {
        let entry = TenantEntry { active: state == TenantState::Active, calls, ..TenantEntry::default() };
        directory.tenants.insert(name, entry);
    }
    for (tenant, person, _) in &members {
        if let Some(entry) = directory.tenants.get_mut(tenant) {
            entry.members.insert(*person);
        }
    }
    let confirmed: HashMap<_, _> = members.iter().map(|(tenant, person, at)| ((tenant, *person), *at)).collect();
    for k in keys {
        let mut digest = [0; 32];
        if hex::decode_to_slice(&k.digest, &mut digest).is_err() {
            tracing::error!(key = %k.id, "a key's digest cannot be read; the key does not work");
            continue;
        }
        // A leaver takes no key along: with the membership go the keys that the person made. A service key is the tenant's and stays.
        let confirmed = confirmed.get(&(&k.tenant, k.owner)).copied();
        let revoked = k.revoked || !k.service && confirmed.is_none();
        let confirmed_until = (!k.service).then(|| confirmation::keys_stop_at(confirmed.unwrap_or_default()));
        let entry = KeyEntry {
            id: k.id,
            tenant: k.tenant,
            owner: k.owner,
            models: k.models,
            limits: k.limits,
            expires_at: k.expires_at,
            revoked,
            confirmed_until,
        };
        directory.keys.insert(digest, entry);
    }

    for (tenant, routes) in routes(endpoints, attachments, Some(token_key)) {
        if let Some(entry) = directory.tenants.get_mut(&tenant) {
            entry.routes = routes;
        }
    }
    directory
}

/// Of every tenant: what a client may write as `model`, and who answers to it.
///
/// Where several could answer to one name, what answers now goes before what does not, and then the later. What somebody else's server
/// offers hides nothing of ours. `keys`: opens the keys of such servers; without it nobody can be called.
pub(crate) fn routes(
    mut endpoints: Vec<DirectoryEndpoint>,
    attachments: Vec<DirectoryAttachment>,
    keys: Option<&TokenKey>,
) -> HashMap<Name, HashMap<String, Route>> {
    let mut out: HashMap<Name, HashMap<String, Route>> = HashMap::new();
    endpoints.sort_by_key(|e| (answers(e), e.created_at, e.id));
    // Claims to a model's plain name: whether it answers now, since when it is there, its number.
    let mut claims = Vec::new();
    for e in &endpoints {
        match (&e.merged, &e.base_model) {
            (None, None) => {}
            (None, Some(base)) => {
                out.entry(e.tenant.clone()).or_default().insert(base.clone(), route(e, base.clone(), None));
            }
            (Some((version, model, number)), base) => {
                let mut route = route(e, version.to_string(), Some(*version));
                route.parent.clone_from(base);
                claims.push((e, model.clone(), *number, e.created_at, route));
            }
        }
    }
    let by_id: HashMap<_, _> = endpoints.iter().map(|e| ((&e.tenant, e.id), e)).collect();
    for a in attachments {
        let Some(e) = by_id.get(&(&a.tenant, a.endpoint)) else { continue };
        claims.push((e, a.model.clone(), a.number, a.attached_at, adapter_route(e, &a)));
    }
    // A version that is still loading, or failed, does not take the name from one that answers.
    claims.sort_by_key(|(e, _, number, since, route)| (!route.upstreams.is_empty(), *since, *number, e.id));
    for (e, model, number, _, route) in claims {
        let names = out.entry(e.tenant.clone()).or_default();
        names.insert(format!("{model}@v{number}"), route.clone());
        // A model that is called like a base model does not hide it.
        if names.get(&model).is_none_or(|r| r.model_version.is_some()) {
            names.insert(model, route);
        }
    }
    // Those that answer first, then the later, as above.
    for e in endpoints.iter().rev() {
        for (here, route) in external_routes(e, keys) {
            out.entry(e.tenant.clone()).or_default().entry(here).or_insert(route);
        }
    }
    out
}

/// What somebody else's server offers.
fn external_routes(e: &DirectoryEndpoint, keys: Option<&TokenKey>) -> Vec<(String, Route)> {
    let Some(external) = &e.external else { return Vec::new() };
    let mut all = route(e, String::new(), None);
    match (&e.sealed_key, keys) {
        (Some(sealed), Some(keys)) => match opened_key(keys, e.id, sealed) {
            Some(key) => all.upstream_key = Some(UpstreamKey::new(key)),
            None => {
                tracing::error!(endpoint = %e.id, "the key of an external endpoint cannot be read; it is not called");
                (all.upstreams, all.reason) = (Vec::new(), Some(unusable(&e.name, &OutsideTrouble::KeyLost)));
            }
        },
        // It is not called without the key that belongs to it.
        (Some(_), None) => all.upstreams.clear(),
        (None, _) => {}
    }
    let one = |(model, here): (&ExternalModel, &Name)| {
        let mut route = Route { upstream_model: model.there.clone(), context: model.context, ..all.clone() };
        if model.gone_since.is_some() && !std::mem::take(&mut route.upstreams).is_empty() {
            route.reason =
                Some(format!("The server behind the endpoint “{}” does not have “{here}” any more. Choose another model.", e.name));
        }
        (here.to_string(), route)
    };
    external.offered().map(one).collect()
}

fn unusable(name: &Name, trouble: &OutsideTrouble) -> String {
    format!("The endpoint “{name}” cannot be used now. {}", trouble.said())
}

fn answers(e: &DirectoryEndpoint) -> bool {
    // Some of its replicas may answer while others do not; of somebody else's server there is only one.
    let some_answer = e.state == EndpointState::Degraded && e.model_server.capabilities().runs_here;
    (e.state == EndpointState::Ready || some_answer) && !e.addresses.is_empty()
}

fn route(e: &DirectoryEndpoint, upstream_model: String, model_version: Option<domain::ids::ModelVersionId>) -> Route {
    let upstreams = if answers(e) { e.addresses.clone() } else { Vec::new() };
    let reason = upstreams.is_empty().then(|| why_not(e));
    Route {
        endpoint: e.id,
        endpoint_name: e.name.clone(),
        upstreams,
        upstream_model,
        upstream_key: None,
        model_server: e.model_server,
        model_version,
        parent: None,
        created: e.created_at,
        context: e.context,
        settings: e.settings.clone(),
        reason,
    }
}

fn adapter_route(e: &DirectoryEndpoint, a: &DirectoryAttachment) -> Route {
    let mut route = route(e, a.version.to_string(), Some(a.version));
    route.parent.clone_from(&e.base_model);
    route.created = a.attached_at;
    let why = match a.state {
        AdapterState::Ready => {
            // Where nothing is known of the replica, it is the only one.
            let has_loaded =
                |address: &String| e.replicas.iter().find(|r| r.address.as_ref() == Some(address)).is_none_or(|r| r.has_loaded(a.version));
            route.upstreams.retain(has_loaded);
            if route.upstreams.is_empty() && route.reason.is_none() {
                route.reason = Some(loading(a));
            }
            return route;
        }
        AdapterState::Loading => loading(a),
        AdapterState::Failed => {
            format!(
                "The model “{}” v{} could not be loaded: {}",
                a.model,
                a.number,
                a.reason.as_ref().map_or_else(|| "the model server gave no reason".into(), AdapterReason::said)
            )
        }
    };
    if !std::mem::take(&mut route.upstreams).is_empty() {
        route.reason = Some(why);
    }
    route
}

fn loading(a: &DirectoryAttachment) -> String {
    format!("The model “{}” v{} is being loaded; try again in a moment.", a.model, a.number)
}

fn why_not(e: &DirectoryEndpoint) -> String {
    let name = &e.name;
    if let EndpointReason::Unusable { trouble } = &e.reason {
        return unusable(name, trouble);
    }
    match e.state {
        EndpointState::Ready | EndpointState::Wanted | EndpointState::Starting => {
            format!("The endpoint “{name}” is starting; try again in a moment.")
        }
        EndpointState::Degraded => format!("The endpoint “{name}” does not answer and is being restarted; try again in a moment."),
        EndpointState::Stopping | EndpointState::Stopped => format!("The endpoint “{name}” is stopped."),
        EndpointState::Failed => format!("The endpoint “{name}” failed: {}", e.reason.said()),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
