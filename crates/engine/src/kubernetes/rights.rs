//! What this engine may do in its cluster, asked of the cluster itself.

use super::{KubernetesEngine, failed, typed};
use crate::Error;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::{Api, api::PostParams};
use serde_json::json;

/// Verbs, API group, resource: all that the calls of this folder need, in every tenant's namespace, and to make it.
const NEEDED: [(&[&str], &str, &str); 16] = [
    (&["get", "list", "watch", "create", "patch", "delete"], "batch", "jobs"),
    (&["get", "list", "watch", "create", "patch", "delete"], "apps", "deployments"),
    (&["get", "list", "watch", "patch", "delete", "deletecollection"], "", "pods"),
    (&["get"], "", "pods/log"),
    (&["get", "list", "create", "update", "patch", "delete"], "", "configmaps"),
    (&["get", "create", "patch", "delete"], "", "secrets"),
    // Those of its people who may look into a tenant's namespace get nothing that we have not ourselves: the cluster makes sure of it.
    (&["get", "list", "watch", "create", "patch", "delete"], "", "services"),
    (&["get", "list", "watch"], "", "events"),
    (&["list"], "", "nodes"),
    (&["get", "create", "patch"], "", "namespaces"),
    (&["get", "create", "patch"], "", "serviceaccounts"),
    (&["get", "list", "watch", "create", "patch"], "", "resourcequotas"),
    (&["get", "create", "patch"], "", "limitranges"),
    (&["get", "create", "patch", "delete"], "networking.k8s.io", "networkpolicies"),
    (&["get", "create", "patch"], "rbac.authorization.k8s.io", "roles"),
    (&["get", "create", "patch"], "rbac.authorization.k8s.io", "rolebindings"),
];

/// What the API server says of itself and of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// `v1.36.3`
    pub version: String,
    /// `create jobs.batch`: what we may not.
    pub refused: Vec<String>,
}

impl KubernetesEngine {
    /// Asks the cluster whether it is there and what we may do. Changes nothing.
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        let version = self.client.apiserver_version().await.map_err(failed("asking the cluster for its version"))?.git_version;
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let mut refused = Vec::new();
        for (verbs, group, resource) in NEEDED {
            let (name, sub) = resource.split_once('/').unwrap_or((resource, ""));
            for verb in verbs {
                let asked = json!({ "verb": verb, "group": group, "resource": name, "subresource": sub });
                let review = typed(json!({ "spec": { "resourceAttributes": asked } }), "asking for our rights")?;
                let answer = reviews.create(&PostParams::default(), &review).await.map_err(failed("asking for our rights"))?;
                if !answer.status.is_some_and(|s| s.allowed) {
                    let dot = if group.is_empty() { "" } else { "." };
                    refused.push(format!("{verb} {resource}{dot}{group}"));
                }
            }
        }
        Ok(Diagnosis { version, refused })
    }
}
