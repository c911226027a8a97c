//! What this engine may do in its cluster, asked of the cluster itself. The chart grants the same, and a test compares them.

use super::{KubernetesEngine, failed, term, typed};
use crate::Error;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::{Api, api::PostParams};
use serde_json::json;

/// Verbs, API group, resource (`pods/log` = a part of one).
pub type Right = (&'static [&'static str], &'static str, &'static str);

/// What concerns no namespace, or is done before there are rights in one.
pub const IN_THE_CLUSTER: [Right; 4] = [
    (&["list"], "", "nodes"),
    CLUSTER_QUEUES,
    (&["get", "list", "watch", "create", "patch", "delete"], "", "namespaces"),
    // The first of them in a namespace is the one that gives all of the following.
    (&["get", "create", "patch"], "rbac.authorization.k8s.io", "rolebindings"),
];

/// The same where somebody else makes the namespaces.
pub const IN_THE_CLUSTER_OF_OTHERS: [Right; 3] = [(&["list"], "", "nodes"), CLUSTER_QUEUES, (&["get", "list", "watch"], "", "namespaces")];

/// In the namespace of each tenant: all that the calls of this folder need there, and what is given to those of its people who may look:
/// nobody can give what he has not.
pub const IN_TENANTS: [Right; 19] = [
    (&["get", "list", "watch", "create", "patch", "delete"], "batch", "jobs"),
    (&["get", "list", "watch", "create", "update", "patch", "delete"], "apps", "deployments"),
    (&["create", "patch", "delete"], "policy", "poddisruptionbudgets"),
    (&["get", "list", "watch", "patch", "delete", "deletecollection"], "", "pods"),
    (&["get"], "", "pods/log"),
    (&["list", "create", "patch", "delete"], "", "configmaps"),
    (&["get", "create", "patch", "delete"], "", "secrets"),
    (&["get", "list", "watch", "create", "patch", "delete"], "", "services"),
    (&["get", "list", "watch"], "", "events"),
    (&["get", "create", "patch"], "", "serviceaccounts"),
    (&["get", "list", "watch", "create", "patch"], "", "resourcequotas"),
    (&["get", "create", "patch"], "", "limitranges"),
    (&["get", "create", "patch"], "", "persistentvolumeclaims"),
    (&["get", "create", "patch", "delete"], "networking.k8s.io", "networkpolicies"),
    (&["get", "create", "patch"], "rbac.authorization.k8s.io", "roles"),
    (&["get", "create", "patch"], "rbac.authorization.k8s.io", "rolebindings"),
    // Where the cluster has Kueue: in which queue a tenant's Jobs wait, why, and in which place.
    LOCAL_QUEUES,
    (&["list"], "kueue.x-k8s.io", "workloads"),
    (&["get"], "visibility.kueue.x-k8s.io", "localqueues/pendingworkloads"),
];

/// The queues of a namespace...
const LOCAL_QUEUES: Right = (&["list"], "kueue.x-k8s.io", "localqueues");
/// ... and what they give at most, which is said in no namespace.
const CLUSTER_QUEUES: Right = (&["get"], "kueue.x-k8s.io", "clusterqueues");

/// What a process needs that only shows what is there, in the namespace of each tenant: a part of the above, so that it can be given...
pub const READ_IN_TENANTS: [Right; 9] = [
    (&["list"], "", "pods"),
    (&["get"], "", "serviceaccounts"),
    (&["get"], "", "resourcequotas"),
    (&["get"], "", "limitranges"),
    (&["get"], "", "persistentvolumeclaims"),
    (&["get"], "networking.k8s.io", "networkpolicies"),
    (&["get"], "rbac.authorization.k8s.io", "roles"),
    (&["get"], "rbac.authorization.k8s.io", "rolebindings"),
    LOCAL_QUEUES,
];

/// ... and in the cluster.
pub const READ_IN_THE_CLUSTER: [Right; 3] = [(&["list"], "", "nodes"), (&["get", "list"], "", "namespaces"), CLUSTER_QUEUES];

/// In the portal's own namespace: the term of leadership.
pub const IN_PLATFORM: [Right; 1] = [(&["get", "create", "update"], "", "configmaps")];

/// What the API server says of itself and of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// `v1.36.3`
    pub version: String,
    /// `create jobs.batch in atelier-acme`: what we may not.
    pub refused: Vec<String>,
}

impl KubernetesEngine {
    /// Asks the cluster whether it is there and what we may do. Changes nothing. Rights in tenants' namespaces are asked for in the first
    /// one; where there is none yet, they come with it.
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        let version = self.client.apiserver_version().await.map_err(failed("asking the cluster for its version"))?.git_version;
        let in_the_cluster = if self.options.provision { &IN_THE_CLUSTER[..] } else { &IN_THE_CLUSTER_OF_OTHERS };
        let mut refused = self.refused(in_the_cluster, None, None).await?;
        refused.extend(self.refused(&IN_PLATFORM, Some(&self.options.platform_namespace), Some(term::OBJECT)).await?);
        // A refusal to list them is told by the first of these.
        let tenants = self.namespaces().await.unwrap_or_default();
        match (tenants.first(), &self.options.account) {
            (Some(namespace), _) => refused.extend(self.refused(&IN_TENANTS, Some(namespace), None).await?),
            (None, None) => refused.extend(self.refused(&IN_TENANTS, None, None).await?),
            (None, Some(_)) => {}
        }
        Ok(Diagnosis { version, refused })
    }

    /// `object`: where only one of that name is needed.
    async fn refused(&self, rights: &[Right], namespace: Option<&str>, object: Option<&str>) -> Result<Vec<String>, Error> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let mut refused = Vec::new();
        for (verbs, group, resource) in rights {
            let (name, part) = resource.split_once('/').unwrap_or((resource, ""));
            for verb in *verbs {
                let asked = json!({
                    "verb": verb, "group": group, "resource": name, "subresource": part, "namespace": namespace, "name": object,
                });
                let review = typed(json!({ "spec": { "resourceAttributes": asked } }), "asking for our rights")?;
                let answer = reviews.create(&PostParams::default(), &review).await.map_err(failed("asking for our rights"))?;
                if !answer.status.is_some_and(|s| s.allowed) {
                    let dot = if group.is_empty() { "" } else { "." };
                    let place = namespace.map(|n| format!(" in {n}")).unwrap_or_default();
                    refused.push(format!("{verb} {resource}{dot}{group}{place}"));
                }
            }
        }
        Ok(refused)
    }
}
