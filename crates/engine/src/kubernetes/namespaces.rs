//! Which namespaces are tenants', and what it means when one says no. Rights of the portal end at them: there is no right to look for
//! Jobs or pods in the whole cluster, so they are looked for in each.

use super::{
    KubernetesEngine, failed, is_not_found,
    names::{FIELD_MANAGER, MANAGED_BY, TENANT},
};
use crate::Error;
use domain::name::Name;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::ListParams};

/// Namespaces that are looked into side by side. More would be answered no sooner: the API server lets each account ask only so much.
pub const AT_A_TIME: usize = 8;

/// By which one knows a tenant's namespace.
pub fn selector() -> String {
    format!("{MANAGED_BY}={FIELD_MANAGER},{TENANT}")
}

impl KubernetesEngine {
    /// The namespaces of all tenants of this portal.
    pub(super) async fn namespaces(&self) -> Result<Vec<String>, Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let all = api.list_metadata(&ListParams::default().labels(&selector())).await;
        let all = all.map_err(failed("listing the namespaces of the tenants"))?;
        Ok(all.into_iter().filter_map(|n| n.metadata.name).filter(|n| self.options.is_ours(n)).collect())
    }

    /// Makes the namespace of a tenant where it is not there. Whoever has rights everywhere is told by what fails; whoever has them only
    /// in tenants' namespaces is not told one that does not exist from one that is closed.
    pub(super) async fn ensure_namespace(&self, tenant: &Name) -> Result<(), Error> {
        if self.options.account.is_none() {
            return Ok(());
        }
        match self.is_there(&self.options.namespace(tenant)).await {
            Some(false) => self.prepare_tenant(tenant).await,
            _ => Ok(()),
        }
    }

    /// Whether what was asked for in this namespace is not there, together with the whole namespace or without.
    pub(super) async fn is_absent(&self, namespace: &str, e: &kube::Error) -> bool {
        match e {
            kube::Error::Api(status) if status.is_forbidden() => self.is_there(namespace).await == Some(false),
            e => is_not_found(e),
        }
    }

    /// One that is being deleted is not: our rights in it may have gone before the rest. `None` = nobody knows.
    async fn is_there(&self, namespace: &str) -> Option<bool> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match api.get_metadata_opt(namespace).await {
            Ok(seen) => Some(seen.is_some_and(|n| n.metadata.deletion_timestamp.is_none())),
            Err(_) => None,
        }
    }
}
