//! The namespace of a tenant: what its pods may be, ask for and reach, and who may look. Pure: what should be there, as objects.

use super::{
    Options, account,
    names::{self, FIELD_MANAGER, MANAGED_BY, PORT, RBAC, TENANT},
    pod::GPU,
    wanted::Wanted,
    weights_cache::{CLAIM, WeightsCache},
};
use crate::Place;
use domain::{compute::Compute, people::Role};
use ipnet::IpNet;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Addresses of the machine a pod runs on, and of what hands out its credentials: no business of any task.
const METADATA: &str = "169.254.0.0/16";

/// In the order in which they are applied: what limits before what could use it.
pub fn objects(place: &Place, options: &Options) -> Vec<Wanted> {
    let tenant = &place.tenant;
    let namespace = options.namespace(tenant);
    let labels = json!({ MANAGED_BY: FIELD_MANAGER, TENANT: tenant.as_str() });
    let mut of_namespace = labels.clone();
    for mode in ["enforce", "audit", "warn"] {
        of_namespace[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
    }
    let whole = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": of_namespace } });
    let mut out = vec![Wanted { object: whole, content: "Pod Security restricted".into(), by_others: !options.provision }];
    // All that follows is made by these rights.
    out.extend(account::bindings(tenant, options));
    let mut within = |api: &str, kind: &str, name: &str, content: String, rest: Value| {
        let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name, "namespace": namespace, "labels": labels } });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        out.push(Wanted { object, content, by_others: false });
    };
    // The account that a pod gets which names none.
    let no_token = "no token in any pod".to_owned();
    within("v1", "ServiceAccount", "default", no_token, json!({ "automountServiceAccountToken": false }));
    let cache = options.weights_cache.as_ref();
    let limits = json!({ "spec": { "hard": hard(&place.compute, cache) } });
    within("v1", "ResourceQuota", names::QUOTA, quota_in_words(&place.compute, cache), limits);
    // So that the scheduler, and the quota, count something where nobody said what a task needs.
    within(
        "v1",
        "LimitRange",
        "atelier",
        "a container that says nothing asks for 0.1 CPU cores and 256 MiB".into(),
        json!({ "spec": { "limits": [{ "type": "Container", "defaultRequest": { "cpu": "100m", "memory": "256Mi" } }] } }),
    );
    for (name, content, spec) in policies(options) {
        within("networking.k8s.io/v1", "NetworkPolicy", name, content, json!({ "spec": spec }));
    }
    if let Some(cache) = cache {
        let content = format!("{} for the weights of model servers", cache.size);
        within("v1", "PersistentVolumeClaim", CLAIM, content, json!({ "spec": cache.spec() }));
    }
    if let Some(prefix) = &options.group_prefix {
        for role in [Role::Viewer, Role::Engineer] {
            let name = role_name(role);
            within(&format!("{RBAC}/v1"), "Role", name, may(role).into(), json!({ "rules": rules(role) }));
            let groups = groups_of(place, role);
            let subjects: Vec<_> =
                groups.iter().map(|g| json!({ "kind": "Group", "apiGroup": RBAC, "name": format!("{prefix}{g}") })).collect();
            let content = format!("{} for {}", may(role), domain::counted::listed(&groups));
            let rest = json!({ "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": name }, "subjects": subjects });
            within(&format!("{RBAC}/v1"), "RoleBinding", name, content, rest);
        }
    }
    out
}

/// Doors to the outside, and disks, are nothing that a task asks for; the rest is the admin's setting.
fn hard(compute: &Compute, cache: Option<&WeightsCache>) -> Map<String, Value> {
    let never = ["persistentvolumeclaims", "services.loadbalancers", "services.nodeports"];
    let mut hard: Map<String, Value> = never.into_iter().map(|name| (name.to_owned(), json!("0"))).collect();
    let mut set = |name: String, amount: Option<String>| {
        if let Some(amount) = amount {
            hard.insert(name, json!(amount));
        }
    };
    if let Some(cache) = cache {
        set("persistentvolumeclaims".into(), Some("1".into()));
        set("requests.storage".into(), Some(cache.size.clone()));
    }
    set(format!("requests.{GPU}"), compute.gpus.map(|n| n.to_string()));
    for (profile, count) in &compute.mig {
        set(format!("requests.nvidia.com/mig-{profile}"), Some(count.to_string()));
    }
    set("requests.cpu".into(), compute.cpu.map(|n| n.to_string()));
    set("requests.memory".into(), compute.memory.map(|n| n.to_string()));
    set("requests.ephemeral-storage".into(), compute.disk.map(|n| n.to_string()));
    hard
}

fn quota_in_words(compute: &Compute, cache: Option<&WeightsCache>) -> String {
    let limits = match compute.said() {
        said if said.is_empty() => "no limit of GPUs, CPU and memory".into(),
        said => said.join(", "),
    };
    match cache {
        Some(cache) => format!("{limits}; one volume of {}, no load balancers or node ports", cache.size),
        None => format!("{limits}; no volumes, load balancers or node ports"),
    }
}

fn policies(options: &Options) -> Vec<(&'static str, String, Value)> {
    let namespace = |name: &str| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } } });
    let (reach, within) = match options.store_networks.as_slice() {
        // Where nobody said where the store is, pods reach all but what hands out credentials.
        [] => (json!([{ "ipBlock": { "cidr": "0.0.0.0/0", "except": [METADATA] } }]), format!("everything but {METADATA}")),
        networks => (networks.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })).collect(), networks.join(", ")),
    };
    vec![
        (
            "default-deny",
            "no traffic in or out unless another policy allows it".into(),
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }),
        ),
        (
            "dns",
            "pods to kube-system, port 53".into(),
            json!({
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{
                    "to": [namespace("kube-system")],
                    "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }],
                }],
            }),
        ),
        (
            "store",
            format!("pods to the object store: {within}"),
            json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "to": reach }] }),
        ),
        (
            "gateway",
            format!("{} to model servers, port {PORT}", options.platform_namespace),
            json!({
                "podSelector": {},
                "policyTypes": ["Ingress"],
                "ingress": [{
                    "from": [namespace(&options.platform_namespace)],
                    "ports": [{ "protocol": "TCP", "port": PORT }],
                }],
            }),
        ),
    ]
}

/// Whether the policies above let a pod reach this address outside of its namespace. DNS is only a port, and in one namespace.
pub fn lets_reach(options: &Options, address: IpAddr) -> bool {
    let holds = |network: &str| network.parse::<IpNet>().is_ok_and(|n| n.contains(&address));
    match options.store_networks.as_slice() {
        [] => address.is_ipv4() && !holds(METADATA),
        networks => networks.iter().any(|network| holds(network)),
    }
}

/// Owners and engineers see the same of the cluster: what differs between them is done in the portal.
const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "atelier-viewer",
        Role::Engineer | Role::Owner => "atelier-engineer",
    }
}

const fn may(role: Role) -> &'static str {
    match role {
        Role::Viewer => "may look at pods, jobs, deployments, services, events, quota",
        Role::Engineer | Role::Owner => "may look at pods, jobs, deployments, services, events, quota and read logs of pods",
    }
}

/// To look, never to change: changes are made in the portal, which records them. Nothing of secrets or of the files of tasks.
fn rules(role: Role) -> Value {
    let look = ["get", "list", "watch"];
    let mut rules = vec![
        json!({ "apiGroups": [""], "resources": ["pods", "services", "events", "resourcequotas"], "verbs": look }),
        json!({ "apiGroups": ["batch"], "resources": ["jobs"], "verbs": look }),
        json!({ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": look }),
    ];
    // What a model learns from can be in them.
    if role != Role::Viewer {
        rules.push(json!({ "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] }));
    }
    rules.into()
}

fn groups_of(place: &Place, role: Role) -> Vec<String> {
    let mut groups: Vec<_> = place.groups.iter().filter(|(_, r)| role_name(*r) == role_name(role)).map(|(g, _)| g.clone()).collect();
    groups.sort();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::golden_tests::options;

    #[test]
    fn an_address_is_in_reach_where_a_policy_says_so() {
        let reach = |networks: &[&str], address: &str| {
            let options = Options { store_networks: networks.iter().map(|n| (*n).to_owned()).collect(), ..options() };
            lets_reach(&options, address.parse().unwrap())
        };
        assert!(reach(&[], "10.96.0.1") && !reach(&[], "169.254.169.254") && !reach(&[], "fd00::1"));
        assert!(reach(&["10.1.2.0/24"], "10.1.2.9") && !reach(&["10.1.2.0/24"], "10.1.3.9"));
        assert!(!reach(&["no network"], "10.1.2.9"));
    }
}
