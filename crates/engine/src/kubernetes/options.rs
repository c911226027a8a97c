//! Which cluster, and what it runs.

use super::{Placement, WeightsCache};
use crate::Runtime;
use domain::name::Name;
use std::path::PathBuf;

const LONGEST_NAMESPACE: usize = 63;

/// The cluster that an engine works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the API server is reached and who we are; `None` = by the service account of the pod that this program runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Before a tenant's name in the name of its namespace. Two portals on one cluster must differ here.
    pub namespace_prefix: String,
    /// Where the portal's own objects are.
    pub platform_namespace: String,
    /// Whether the portal makes namespaces, and gives itself its rights there. Else somebody else applies what [`super::KubernetesEngine::tenant_bundle`] gives, and
    /// what of it is missing is only told.
    pub provision: bool,
    /// By which rights the portal works in tenants' namespaces, where it has none of its own everywhere; `None` = it has.
    pub account: Option<Account>,
    /// Who only shows what is there, where that is a process of its own: the account above gives it its rights. `None` = nobody.
    pub reader: Option<Account>,
    pub images: Images,
    pub image_pull_policy: PullPolicy,
    /// Before a group's name in the names by which the API server knows groups of people (its `--oidc-groups-prefix`, and the slash of
    /// full paths): `oidc:/`. None = the API server knows nobody of the identity provider, so no rights are bound.
    pub group_prefix: Option<String>,
    /// Networks (`10.1.2.0/24`) in which the object store is, for the policies that say what pods may reach; none = not told.
    pub store_networks: Vec<String>,
    pub placement: Placement,
    /// Where model servers keep weights between their starts; `None` = nowhere.
    pub weights_cache: Option<WeightsCache>,
}

/// Who a process of the portal is in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its ServiceAccount, in the platform's namespace.
    pub name: String,
    /// The ClusterRole that holds what it needs in a tenant's namespace.
    pub role: String,
}

/// Container images by what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// `/usr/local/bin/atelier`: an init container copies it to where the others can run it, so that those stay as their makers ship them.
    pub task: String,
    /// LLaMA-Factory. Where its Python is, `ATELIER_TRAINER_PYTHON` in the image's environment says; without it `python3` of its `PATH`.
    pub trainer: String,
    /// vLLM; `ATELIER_VLLM_PYTHON` likewise.
    pub vllm: String,
}

/// When the node fetches an image that it has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl Options {
    /// Where a tenant's objects are: its name behind the prefix. A name that is too long for that is cut, and told apart by its hash.
    pub fn namespace(&self, tenant: &Name) -> String {
        let whole = format!("{}{tenant}", self.namespace_prefix);
        if whole.len() <= LONGEST_NAMESPACE {
            return whole;
        }
        let hash = blake3::hash(tenant.as_str().as_bytes()).to_hex();
        let cut = whole[..LONGEST_NAMESPACE - 9].trim_end_matches('-');
        format!("{cut}-{}", &hash[..8])
    }

    /// Whether objects in this namespace may be ours.
    pub(super) fn is_ours(&self, namespace: &str) -> bool {
        namespace.strip_prefix(&self.namespace_prefix).is_some_and(|rest| rest.parse::<Name>().is_ok())
    }

    pub(super) fn image<'a>(&'a self, runtime: &'a Runtime) -> &'a str {
        match runtime {
            Runtime::Trainer => &self.images.trainer,
            Runtime::Vllm => &self.images.vllm,
            Runtime::Image(image) => image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_the_tenants_name_behind_the_prefix_and_never_too_long() {
        let images = Images { task: String::new(), trainer: String::new(), vllm: String::new() };
        let options = Options {
            kubeconfig: None,
            namespace_prefix: "atelier-".into(),
            platform_namespace: "atelier".into(),
            provision: true,
            account: None,
            reader: None,
            images,
            image_pull_policy: PullPolicy::default(),
            group_prefix: None,
            store_networks: Vec::new(),
            placement: Placement::default(),
            weights_cache: None,
        };
        assert_eq!(options.namespace(&"acme".parse().unwrap()), "atelier-acme");
        let long = |end: &str| options.namespace(&format!("{}{end}", "a".repeat(60)).parse().unwrap());
        assert_eq!(long("b").len(), LONGEST_NAMESPACE);
        assert_ne!(long("b"), long("c"));
        assert!(options.is_ours(&long("b")) && options.is_ours("atelier-acme"));
        assert!(!options.is_ours("atelier") && !options.is_ours("kube-system"));
    }
}
