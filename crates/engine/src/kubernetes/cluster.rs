//! The cluster as a whole: its machines, and which pods have what of them.

use super::{
    KubernetesEngine, Options, failed, label,
    names::{MANAGED_BY, TASK, TENANT},
    namespaces,
    observe::{amount_of, product, requests},
    pod::{GPU, MIG},
};
use crate::Error;
use domain::{
    cluster::{Amounts, Cluster, Holder, Machine, MachineState},
    name::Name,
    supply::Machines,
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, api::ListParams};
use std::collections::BTreeMap;

impl KubernetesEngine {
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let doing = "looking at the cluster";
        let version = self.client.apiserver_version().await.map_err(failed(doing))?.git_version;
        let nodes = self.nodes().await?;
        // Pods that have ended hold nothing.
        let at_work = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        let pods = match self.options.account {
            None => Api::<Pod>::all(self.client.clone()).list(&at_work).await.map_err(failed(doing))?.items,
            Some(_) => self.pods_of_tenants(&at_work).await?,
        };
        Ok(cluster(version, &nodes, &pods, &self.options))
    }

    /// How large the machines are, whoever has what of them.
    pub async fn machines(&self) -> Result<Machines, Error> {
        Ok(machines(&self.nodes().await?, &self.options))
    }

    /// Where our rights end at the tenants' namespaces.
    async fn pods_of_tenants(&self, which: &ListParams) -> Result<Vec<Pod>, Error> {
        let all = self.namespaces().await?;
        let mut looks = futures::stream::iter(all).map(|namespace| self.pods_in(namespace, which)).buffer_unordered(namespaces::AT_A_TIME);
        let mut out = Vec::new();
        while let Some(found) = looks.try_next().await? {
            out.extend(found);
        }
        Ok(out)
    }

    async fn pods_in(&self, namespace: String, which: &ListParams) -> Result<Vec<Pod>, Error> {
        match self.api::<Pod>(&namespace).list(which).await {
            Ok(pods) => Ok(pods.items),
            Err(e) if self.is_absent(&namespace, &e).await => Ok(Vec::new()),
            Err(e) => Err(failed(format!("looking at the pods in {namespace}"))(e)),
        }
    }
}

fn cluster(version: String, nodes: &[Node], pods: &[Pod], options: &Options) -> Cluster {
    let mut on: BTreeMap<&str, Vec<Holder>> = BTreeMap::new();
    let mut used: BTreeMap<Name, Amounts> = BTreeMap::new();
    for pod in pods {
        let has = of_pod(pod);
        let (tenant, what) = whose(pod, options);
        if let Some(tenant) = &tenant {
            used.entry(tenant.clone()).or_default().add(&has);
        }
        if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) {
            on.entry(node).or_default().push(Holder { tenant, what, has });
        }
    }
    let mut machines: Vec<_> = nodes.iter().filter_map(|node| machine(node, &mut on)).collect();
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    Cluster { version, machines, used, with_others: options.account.is_none() }
}

fn machines(nodes: &[Node], options: &Options) -> Machines {
    let placement = &options.placement;
    Machines {
        mig_profile: placement.gpu_resource.strip_prefix(MIG).map(str::to_owned),
        gpu_product: placement.gpu_product.clone(),
        ..Machines::of(nodes.iter().filter_map(|node| machine(node, &mut BTreeMap::new())))
    }
}

fn machine(node: &Node, on: &mut BTreeMap<&str, Vec<Holder>>) -> Option<Machine> {
    let name = node.metadata.name.clone()?;
    let mut holders = on.remove(name.as_str()).unwrap_or_default();
    holders.sort_by(|a, b| b.has.gpus.cmp(&a.has.gpus).then_with(|| a.what.cmp(&b.what)));
    let status = node.status.as_ref();
    let ready = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    let closed = node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or_default();
    let state = match (ready, closed) {
        (false, _) => MachineState::NotReady,
        (true, true) => MachineState::Closed,
        (true, false) => MachineState::Ready,
    };
    let allocatable = status.and_then(|s| s.allocatable.as_ref());
    let has = allocatable.map(|all| amounts(all.keys().filter_map(|k| Some((k.as_str(), amount_of(k, all)?))))).unwrap_or_default();
    Some(Machine { name, state, product: product(node).map(str::to_owned), has, holders })
}

/// Of this portal: tenant and task. Of others: where it is.
fn whose(pod: &Pod, options: &Options) -> (Option<Name>, String) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let ours = options.is_ours(namespace) && label(&pod.metadata, MANAGED_BY).is_some();
    let tenant = label(&pod.metadata, TENANT).filter(|_| ours).and_then(|name| name.parse().ok());
    match (tenant, label(&pod.metadata, TASK)) {
        (Some(tenant), Some(task)) => (Some(tenant), task),
        _ => (None, format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default())),
    }
}

fn of_pod(pod: &Pod) -> Amounts {
    let asked = requests(pod);
    amounts(asked.iter().map(|(name, n)| (name.as_str(), *n)))
}

fn amounts<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> Amounts {
    let mut out = Amounts::default();
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    for (name, n) in all {
        match name {
            GPU => out.gpus = count(n),
            "cpu" => out.cpu_milli = n,
            "memory" => out.memory = n,
            other => {
                if let Some(profile) = other.strip_prefix(MIG).filter(|_| n > 0) {
                    out.mig.insert(profile.to_owned(), count(n));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::{Placement, golden_tests::options};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    fn typed<K: DeserializeOwned>(object: Value) -> K {
        serde_json::from_value(object).unwrap()
    }

    fn node(name: &str, ready: &str, closed: bool) -> Node {
        typed(json!({
            "metadata": { "name": name, "labels": { "nvidia.com/gpu.product": "NVIDIA-H200" } }, "spec": { "unschedulable": closed },
            "status": { "conditions": [{ "type": "Ready", "status": ready }], "allocatable": { "cpu": "8", "memory": "64Gi",
                "nvidia.com/gpu": "2", "nvidia.com/mig-1g.10gb": "7", "pods": "110" } },
        }))
    }

    fn pod(namespace: &str, task: Option<&str>, node: Option<&str>, requests: Value) -> Pod {
        let labels =
            task.map(|t| json!({ "app.kubernetes.io/managed-by": "atelier", "atelier.dev/tenant": "acme", "atelier.dev/task": t }));
        typed(json!({ "metadata": { "name": "p-1", "namespace": namespace, "labels": labels },
            "spec": { "nodeName": node, "containers": [{ "name": "main", "resources": { "requests": requests } }] } }))
    }

    #[test]
    fn each_machine_says_who_has_what_of_it_and_each_tenant_what_it_has_and_waits_for() {
        let nodes = [node("b", "True", true), node("a", "True", false), node("c", "Unknown", false)];
        let pods = [
            pod("kube-system", None, Some("a"), json!({ "cpu": "250m" })),
            pod("atelier-acme", Some("run-1-train"), Some("a"), json!({ "nvidia.com/gpu": "1", "cpu": "1", "memory": "1Gi" })),
            pod("atelier-acme", Some("run-2-train"), None, json!({ "nvidia.com/gpu": "2", "nvidia.com/mig-1g.10gb": "3" })),
            // Somebody else's labels prove nothing outside of our namespaces.
            pod("elsewhere", Some("run-9-train"), Some("b"), json!({ "nvidia.com/gpu": "1" })),
        ];
        let seen = cluster("v1".into(), &nodes, &pods, &options());
        let states: Vec<_> = seen.machines.iter().map(|m| (m.name.as_str(), m.state)).collect();
        assert_eq!(states, [("a", MachineState::Ready), ("b", MachineState::Closed), ("c", MachineState::NotReady)]);
        let a = &seen.machines[0];
        assert_eq!((a.has.gpus, a.has.mig["1g.10gb"], a.has.cpu_milli, a.has.memory), (2, 7, 8000, 64 << 30));
        let held: Vec<_> = a.holders.iter().map(|h| (h.what.as_str(), h.tenant.as_ref().map(Name::as_str), h.has.gpus)).collect();
        assert_eq!(held, [("run-1-train", Some("acme"), 1), ("kube-system/p-1", None, 0)]);
        assert_eq!((a.used().gpus, a.used().cpu_milli), (1, 1250));
        assert_eq!(seen.machines[1].holders[0].tenant, None);
        let used = &seen.used[&"acme".parse().unwrap()];
        assert_eq!((used.gpus, used.mig["1g.10gb"], used.cpu_milli, seen.used.len()), (3, 3, 1000, 1));
        assert!(seen.with_others);
    }

    #[test]
    fn each_size_of_machine_is_told_once_with_what_a_gpu_is_there() {
        let nodes = [node("b", "True", true), node("a", "True", false), node("c", "Unknown", false)];
        let seen = machines(&nodes, &options());
        assert_eq!((seen.sizes.len(), seen.products(), seen.profiles()), (1, vec!["NVIDIA-H200".to_owned()], vec!["1g.10gb".to_owned()]));
        assert_eq!((seen.sizes[0].has.gpus, seen.mig_profile, seen.gpu_product), (2, None, None));
        let sliced = Placement { gpu_resource: "nvidia.com/mig-1g.10gb".into(), gpu_product: Some("H200".into()), ..Placement::default() };
        let seen = machines(&nodes, &Options { placement: sliced, ..options() });
        assert_eq!((seen.mig_profile.as_deref(), seen.gpu_product.as_deref()), (Some("1g.10gb"), Some("H200")));
    }
}
