//! Makes the objects around a tenant's tasks, finds what others have changed of them, and puts it right.

use super::{
    KubernetesEngine, applied, by_us, drift, failed,
    tenant::{self, Wanted},
};
use crate::{Error, Place};
use domain::{
    name::Name,
    tenant_objects::{Found, TenantObject},
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch},
};
use serde_json::Value;
use std::sync::PoisonError;

impl KubernetesEngine {
    /// Each object as it was found; what the cluster refuses says so, and does not keep the others from being made.
    pub async fn ensure_tenant(&self, place: &Place) -> Result<Vec<TenantObject>, Error> {
        self.may_write().await?;
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(place.tenant.clone(), place.clone());
        let (mut out, mut is_new) = (Vec::new(), false);
        for wanted in tenant::objects(place, &self.options) {
            let mut seen = self.put_right(&wanted).await?;
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
        let mut out = Vec::new();
        for wanted in tenant::objects(place, &self.options) {
            out.push(self.look_at(&wanted).await?.0);
        }
        Ok(out)
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

    async fn put_right(&self, wanted: &Wanted) -> Result<TenantObject, Error> {
        let (mut seen, difference) = self.look_at(wanted).await?;
        if !seen.found.differs() {
            return Ok(seen);
        }
        let (api, name) = (self.dynamic(&wanted.object), seen.name.clone());
        let doing = || format!("making the {} {name}", seen.kind);
        let done = api.patch(&name, &applied(), &Patch::Apply(&wanted.object)).await;
        let done = match (done, difference.and_then(|d| d.without)) {
            (Ok(_), Some(without)) => api.patch(&name, &by_us(), &Patch::Merge(without)).await,
            (done, _) => done,
        };
        if let Err(e) = done {
            seen.refused = Some(refusal(failed(doing())(e))?);
        }
        Ok(seen)
    }

    async fn look_at(&self, wanted: &Wanted) -> Result<(TenantObject, Option<drift::Difference>), Error> {
        let object = &wanted.object;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let seen = self.dynamic(object).get_opt(&name).await;
        let mut difference = None;
        let (found, refused) = match seen {
            Ok(None) => (Found::Missing, None),
            Ok(Some(there)) => {
                let there = serde_json::to_value(&there).unwrap_or_default();
                difference = drift::difference(object, &there);
                match &difference {
                    Some(d) => (Found::Changed { fields: d.fields.clone(), by: drift::others(&there) }, None),
                    None => (Found::InSync, None),
                }
            }
            Err(e) => (Found::Unknown, Some(refusal(failed(format!("looking at the {kind} {name}"))(e))?)),
        };
        Ok((TenantObject { kind, name, content: wanted.content.clone(), found, refused }, difference))
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

/// What the cluster says no to is told with the object; that it does not answer is trouble with all of them.
fn refusal(e: Error) -> Result<String, Error> {
    match e {
        Error::Cluster { said, .. } => Ok(said),
        other => Err(other),
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    ApiResource { group: group.into(), version: version.into(), api_version: api_version.into(), kind: kind.into(), plural }
}
