//! Makes the objects around a tenant's tasks, finds what others have changed of them, and puts it right.

use super::{
    KubernetesEngine, Options, account, applied, by_us, drift, failed, gone, label, names, said, tenant, wanted::Wanted, weights_cache,
};
use crate::{Error, Place};
use domain::{
    name::Name,
    tenant_objects::{Found, TenantObject},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch},
};
use serde_json::Value;
use std::{sync::PoisonError, time::Duration};

/// How long rights and limits that were just written may take until every API server knows them.
const RIGHTS_COUNT: Duration = Duration::from_secs(15);
const TRY_AGAIN: Duration = Duration::from_millis(250);

impl KubernetesEngine {
    /// Each object as it was found; what the cluster refuses says so, and does not keep the others from being made.
    pub async fn ensure_tenant(&self, place: &Place) -> Result<Vec<TenantObject>, Error> {
        self.may_write().await?;
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(place.tenant.clone(), place.clone());
        let (mut out, mut is_new) = (Vec::new(), false);
        let mut patience = Duration::ZERO;
        for wanted in tenant::objects(place, &self.options) {
            let mut seen = self.put_right(&wanted, &mut patience).await?;
            if let Some(step) = seen.next_step(&place.tenant) {
                seen.refused = Some(step);
            }
            // A quota that was just written refuses what it allows until its controller has counted.
            let takes_a_moment = account::is_ours(&seen) || seen.kind == "ResourceQuota";
            if takes_a_moment && seen.found.differs() && seen.refused.is_none() {
                patience = RIGHTS_COUNT;
            }
            let namespace = seen.kind == "Namespace";
            // What is in a namespace that was just made, the cluster itself has put there: its default account.
            is_new |= namespace && seen.found == Found::Missing;
            if is_new && seen.found.differs() {
                seen.found = Found::Missing;
            }
            let without_namespace = namespace && seen.found != Found::InSync && seen.refused.is_some();
            out.push(seen);
            if without_namespace {
                break;
            }
        }
        Ok(out)
    }

    /// The same, only looked at.
    pub async fn tenant_objects(&self, place: &Place) -> Result<Vec<TenantObject>, Error> {
        let mut out: Vec<TenantObject> = Vec::new();
        let mut patience = Duration::ZERO;
        for wanted in tenant::objects(place, &self.options) {
            let mut seen = self.look_at(&wanted, &mut patience).await?.0;
            // Whoever has rights in namespaces only is told that one is closed which is not there.
            if seen.found == Found::Unknown && out.first().is_some_and(|namespace| namespace.found == Found::Missing) {
                (seen.found, seen.refused) = (Found::Missing, None);
            }
            out.push(seen);
        }
        Ok(out)
    }

    /// All of these objects as YAML, for whoever makes what the portal may not, or wants to read it. No secret is among them.
    pub fn tenant_bundle(&self, place: &Place) -> Result<String, Error> {
        bundle(place, &self.options)
    }

    /// The namespace goes with all that is in it. One that is not the tenant's by its label is left alone.
    pub async fn remove_tenant(&self, tenant: &Name) -> Result<Option<String>, Error> {
        self.may_write().await?;
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        let name = self.options.namespace(tenant);
        let doing = || failed(format!("removing the namespace {name}"));
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let Some(seen) = namespaces.get_opt(&name).await.map_err(doing())? else { return Ok(None) };
        if label(&seen.metadata, names::TENANT).as_deref() != Some(tenant.as_str()) {
            return Ok(None);
        }
        if !self.options.provision && seen.metadata.deletion_timestamp.is_none() {
            let said = format!("Whoever made it has to remove it: kubectl delete namespace {name}");
            return Err(Error::Cluster { doing: format!("the namespace {name} is still there"), said });
        }
        if seen.metadata.deletion_timestamp.is_none() {
            gone(namespaces.delete(&name, &DeleteParams::background()).await, format!("removing the namespace {name}"))?;
            return Ok(Some(String::new()));
        }
        // What the namespace's controller says of what is still in it.
        let conditions = seen.status.and_then(|s| s.conditions).unwrap_or_default();
        let kept = conditions.into_iter().filter(|c| c.status == "True").filter_map(|c| c.message);
        Ok(Some(kept.collect::<Vec<_>>().join(" ")))
    }

    /// For a task whose namespace is not there: as it was last asked for. An error says which of its objects is missing, since without a
    /// limit or a policy nothing of the tenant may start.
    pub(super) async fn prepare_tenant(&self, tenant: &Name) -> Result<(), Error> {
        let known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        let place = known.unwrap_or_else(|| Place::of(tenant.clone()));
        let refused =
            self.ensure_tenant(&place).await?.into_iter().filter(TenantObject::guards).find_map(|o| Some((o.kind, o.name, o.refused?)));
        match refused {
            Some((kind, name, said)) => Err(Error::Cluster { doing: format!("making the {kind} {name} of the tenant {tenant}"), said }),
            None => Ok(()),
        }
    }

    /// `patience`: what is left of the time in which a refusal may only mean that our rights are too new.
    async fn put_right(&self, wanted: &Wanted, patience: &mut Duration) -> Result<TenantObject, Error> {
        let (mut seen, difference) = self.look_at(wanted, patience).await?;
        if !seen.found.differs() || wanted.by_others {
            return Ok(seen);
        }
        let (api, name) = (self.dynamic(&wanted.object), seen.name.clone());
        let doing = || format!("making the {} {name}", seen.kind);
        let (params, patch) = (applied(), Patch::Apply(&wanted.object));
        let done = patiently(patience, || api.patch(&name, &params, &patch)).await;
        let done = match (done, difference.and_then(|d| d.without)) {
            (Ok(_), Some(without)) => api.patch(&name, &by_us(), &Patch::Merge(without)).await,
            (done, _) => done,
        };
        if let Err(e) = done {
            seen.refused = Some(refusal(failed(doing())(e))?);
        }
        Ok(seen)
    }

    async fn look_at(&self, wanted: &Wanted, patience: &mut Duration) -> Result<(TenantObject, Option<drift::Difference>), Error> {
        let object = &wanted.object;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let api = self.dynamic(object);
        let seen = patiently(patience, || api.get_opt(&name)).await;
        let (mut difference, mut content) = (None, wanted.content.clone());
        let (found, refused) = match seen {
            Ok(None) => (Found::Missing, None),
            Ok(Some(there)) => {
                let mut there = serde_json::to_value(&there).unwrap_or_default();
                content += &weights_cache::state(&there);
                weights_cache::compared(object, &mut there);
                difference = drift::difference(object, &there);
                match &difference {
                    Some(d) => (Found::Changed { fields: d.fields.clone(), by: drift::others(&there) }, None),
                    None => (Found::InSync, None),
                }
            }
            Err(e) => (Found::Unknown, Some(refusal(failed(format!("looking at the {kind} {name}"))(e))?)),
        };
        let (by_others, yaml) = (wanted.by_others, in_yaml(object)?);
        Ok((TenantObject { kind, name, content, found, refused, by_others, yaml }, difference))
    }

    fn dynamic(&self, object: &Value) -> Api<DynamicObject> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let resource = resource(text("apiVersion"), text("kind"));
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

pub fn bundle(place: &Place, options: &Options) -> Result<String, Error> {
    let all = tenant::objects(place, options).into_iter().map(|wanted| in_yaml(&wanted.object));
    all.map(|one| Ok(format!("---\n{}", one?))).collect()
}

fn in_yaml(object: &Value) -> Result<String, Error> {
    serde_yaml_ng::to_string(object).map_err(|e| said("writing an object as YAML", &e))
}

/// Repeats what is forbidden for as long as rights that were just given may take to count.
async fn patiently<T, F: Future<Output = Result<T, kube::Error>>>(left: &mut Duration, ask: impl Fn() -> F) -> Result<T, kube::Error> {
    loop {
        match ask().await {
            Err(kube::Error::Api(status)) if status.is_forbidden() && !left.is_zero() => {
                tokio::time::sleep(TRY_AGAIN).await;
                *left = left.saturating_sub(TRY_AGAIN);
            }
            done => return done,
        }
    }
}

/// What the cluster says no to is told with the object; that it does not answer is trouble with all of them.
fn refusal(e: Error) -> Result<String, Error> {
    match e {
        Error::Cluster { said, .. } => Ok(said),
        other => Err(other),
    }
}

pub(super) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    ApiResource { group: group.into(), version: version.into(), api_version: api_version.into(), kind: kind.into(), plural }
}
