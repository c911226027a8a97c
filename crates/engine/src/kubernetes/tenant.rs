//! The namespace of a tenant: what its pods may be, ask for and reach. Applied as a whole, as often as one likes; what somebody
//! else changed of it is put back.

use super::{
    KubernetesEngine, Options, applied, failed,
    names::{FIELD_MANAGER, MANAGED_BY, PORT, TENANT},
};
use crate::Error;
use domain::name::Name;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch},
};
use serde_json::{Value, json};

/// Addresses of the machine a pod runs on, and of what hands out its credentials: no business of any task.
const METADATA: &str = "169.254.0.0/16";

/// In the order in which they are applied.
pub fn objects(tenant: &Name, options: &Options) -> Vec<Value> {
    let namespace = options.namespace(tenant);
    let labels = json!({ MANAGED_BY: FIELD_MANAGER, TENANT: tenant.as_str() });
    let within = |api: &str, kind: &str, name: &str, rest: Value| {
        let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name, "namespace": namespace, "labels": labels } });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    };
    let policy = |name: &str, spec: Value| within("networking.k8s.io/v1", "NetworkPolicy", name, json!({ "spec": spec }));
    let mut of_namespace = labels.clone();
    for mode in ["enforce", "audit", "warn"] {
        of_namespace[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
    }
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": of_namespace } }),
        // The account that a pod gets which names none.
        within("v1", "ServiceAccount", "default", json!({ "automountServiceAccountToken": false })),
        // Doors to the outside, and disks, are nothing that a task asks for.
        within(
            "v1",
            "ResourceQuota",
            "atelier",
            json!({ "spec": { "hard": { "persistentvolumeclaims": "0", "services.loadbalancers": "0", "services.nodeports": "0" } } }),
        ),
        // So that the scheduler counts something where nobody said what a task needs.
        within(
            "v1",
            "LimitRange",
            "atelier",
            json!({ "spec": { "limits": [{ "type": "Container", "defaultRequest": { "cpu": "100m", "memory": "256Mi" } }] } }),
        ),
        policy("default-deny", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })),
        policy(
            "dns",
            json!({
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{
                    "to": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } } }],
                    "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }],
                }],
            }),
        ),
        policy("store", json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "to": store(options) }] })),
        policy(
            "gateway",
            json!({
                "podSelector": {},
                "policyTypes": ["Ingress"],
                "ingress": [{
                    "from": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": options.platform_namespace } } }],
                    "ports": [{ "protocol": "TCP", "port": PORT }],
                }],
            }),
        ),
    ]
}

/// Where nobody said where the store is, pods reach all but what hands out credentials.
fn store(options: &Options) -> Value {
    match options.store_networks.as_slice() {
        [] => json!([{ "ipBlock": { "cidr": "0.0.0.0/0", "except": [METADATA] } }]),
        networks => networks.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })).collect(),
    }
}

impl KubernetesEngine {
    /// Makes the namespace of a tenant and what belongs into it.
    pub async fn prepare_tenant(&self, tenant: &Name) -> Result<(), Error> {
        self.may_write().await?;
        for object in objects(tenant, &self.options) {
            let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text("kind"), object["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            let resource = resource(&text("apiVersion"), &kind);
            let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            let done = api.patch(&name, &applied(), &Patch::Apply(&object)).await;
            done.map_err(failed(format!("making the {kind} {name} of the tenant {tenant}")))?;
        }
        Ok(())
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
