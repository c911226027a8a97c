//! The pod of a task, the same for jobs and servers. It passes Pod Security *restricted*: not root, nothing of its file system writable
//! but its own volumes, no capability, no token of the cluster.

use super::{
    Options, WeightsCache, names,
    names::{MAIN, PORT, PROGRAM},
    nodes, secret,
};
use crate::{Task, TaskKind};
use domain::resource_request::{is_of_product, product_label};
use serde_json::{Map, Value, json};

/// The user that everything in a pod runs as.
const USER: u32 = 1000;
/// The label by which NVIDIA's feature discovery names a node's GPUs.
pub const GPU_PRODUCT: &str = "nvidia.com/gpu.product";
pub const GPU: &str = "nvidia.com/gpu";
/// Before the profile of a share of a GPU: `nvidia.com/mig-1g.10gb`.
pub const MIG: &str = "nvidia.com/mig-";

/// Whether a resource of this name is GPUs, or shares of them.
pub fn is_gpu(resource: &str) -> bool {
    resource == GPU || resource.starts_with(MIG)
}

/// `products`: the labels of GPUs in this cluster that the task's product may mean; see [`products_like`].
pub fn template(task: &Task, options: &Options, products: &[String]) -> Value {
    let server = task.kind == TaskKind::Server;
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "restartPolicy": if server { "Always" } else { "Never" },
        "terminationGracePeriodSeconds": task.grace.as_secs().max(1),
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "initContainers": [init_container(options)],
        "containers": [main_container(task, options)],
        "volumes": volumes(task),
    });
    // Of the pod, not of the Job: the Job's counts from before the pod has a place, and deletes the pod, and with it its log.
    if let Some(deadline) = task.deadline.filter(|_| !server) {
        spec["activeDeadlineSeconds"] = json!(deadline.as_secs_f64().ceil().max(1.0) as u64);
    }
    options.placement.put_into(&mut spec, task, products);
    if server && options.weights_cache.is_some() {
        WeightsCache::put_into(&mut spec);
    }
    if task.nodes() > 1 {
        spec["subdomain"] = json!(task.name);
    }
    json!({ "metadata": { "labels": names::labels(task) }, "spec": spec })
}

/// The labels among `labels` that a product's name is a part of; where there is none, the name as a label: the task then waits for
/// such a node. Blanks are not allowed in labels, and stand there as `-`.
pub fn products_like(product: &str, labels: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut found: Vec<_> = labels.into_iter().filter(|label| is_of_product(label, product)).collect();
    found.sort();
    found.dedup();
    if found.is_empty() { vec![product_label(product)] } else { found }
}

fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

fn init_container(options: &Options) -> Value {
    json!({
        "name": PROGRAM,
        "image": options.images.task,
        "imagePullPolicy": options.image_pull_policy.as_str(),
        // By itself: the image need not hold a shell or a `cp`.
        "command": ["/usr/local/bin/atelier", "task", "install", "--to", "/atelier/bin/atelier"],
        "resources": { "requests": { "cpu": "10m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
        "securityContext": restricted(),
        "volumeMounts": [{ "name": "bin", "mountPath": "/atelier/bin" }],
    })
}

fn main_container(task: &Task, options: &Options) -> Value {
    let server = task.kind == TaskKind::Server;
    let mut command = vec!["/atelier/bin/atelier".to_owned()];
    command.extend(task.args.iter().cloned());
    command.extend(["--spec", "/atelier/spec/spec.json", "--work", "/atelier/work"].map(str::to_owned));
    if server {
        command.extend(["--host".to_owned(), "0.0.0.0".to_owned(), "--port".to_owned(), PORT.to_string()]);
    }
    let mut mounts = vec![
        json!({ "name": "bin", "mountPath": "/atelier/bin", "readOnly": true }),
        json!({ "name": "spec", "mountPath": "/atelier/spec", "readOnly": true }),
        json!({ "name": "work", "mountPath": "/atelier/work" }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
        json!({ "name": "shm", "mountPath": "/dev/shm" }),
    ];
    if !task.secrets.is_empty() {
        mounts.push(json!({ "name": "secrets", "mountPath": "/atelier/secrets", "readOnly": true }));
    }
    let mut container = json!({
        "name": MAIN,
        "image": options.image(&task.runtime),
        "imagePullPolicy": options.image_pull_policy.as_str(),
        "command": command,
        "workingDir": "/atelier/work",
        "env": [
            { "name": "HOME", "value": "/atelier/work" },
            { "name": "TMPDIR", "value": "/tmp" },
            { "name": "HF_HOME", "value": "/atelier/work/hf" },
            { "name": "ATELIER_SECRETS", "value": "/atelier/secrets" },
            // Where the image does not say which one.
            { "name": "ATELIER_PYTHON", "value": "python3" },
        ],
        "resources": resources(task, &options.placement.gpu_resource_of(task)),
        "securityContext": restricted(),
        "volumeMounts": mounts,
        // The last words of a task are in its log and in its verdict, not in a file of the node.
        "terminationMessagePolicy": "File",
    });
    if task.nodes() > 1
        && let Some(env) = container["env"].as_array_mut()
    {
        // Which one it is, the Job tells.
        env.push(json!({ "name": "ATELIER_NODES", "value": task.nodes().to_string() }));
        env.push(json!({ "name": "ATELIER_FIRST_NODE", "value": nodes::first(task) }));
    }
    container
}

/// Requests are limits, but for the CPU: what is free of that may be used.
fn resources(task: &Task, gpu: &str) -> Value {
    let r = &task.resources;
    let (mut requests, mut limits) = (Map::new(), Map::new());
    if let Some(milli) = r.cpu_milli {
        requests.insert("cpu".into(), json!(format!("{milli}m")));
    }
    if let Some(bytes) = r.memory {
        requests.insert("memory".into(), json!(bytes.to_string()));
        limits.insert("memory".into(), json!(bytes.to_string()));
    }
    if let Some(bytes) = r.ephemeral_disk {
        requests.insert("ephemeral-storage".into(), json!(bytes.to_string()));
        limits.insert("ephemeral-storage".into(), json!(bytes.to_string()));
    }
    if r.gpus > 0 {
        // Kubernetes sets the request of such a resource from its limit.
        limits.insert(gpu.to_owned(), json!(r.gpus.to_string()));
    }
    json!({ "requests": requests, "limits": limits })
}

fn volumes(task: &Task) -> Vec<Value> {
    let sized = |bytes: Option<u64>| bytes.map_or_else(|| json!({}), |b| json!({ "sizeLimit": b.to_string() }));
    let mut shm = sized(task.resources.shared_memory);
    shm["medium"] = json!("Memory");
    let mut out = vec![
        json!({ "name": "bin", "emptyDir": {} }),
        json!({ "name": "spec", "configMap": { "name": task.name } }),
        json!({ "name": "work", "emptyDir": sized(task.resources.ephemeral_disk) }),
        json!({ "name": "tmp", "emptyDir": sized(task.resources.ephemeral_disk) }),
        json!({ "name": "shm", "emptyDir": shm }),
    ];
    if !task.secrets.is_empty() {
        let sources: Vec<_> = task
            .secrets
            .iter()
            .map(|s| json!({ "secret": { "name": names::secret(&s.name), "items": [{ "key": secret::KEY, "path": s.file }] } }))
            .collect();
        // 0440: the group is the pod's own.
        out.push(json!({ "name": "secrets", "projected": { "defaultMode": 0o440, "sources": sources } }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_products_name_finds_the_nodes_labels_and_a_name_that_no_node_has_stays_a_label() {
        let labels = ["NVIDIA-H200", "NVIDIA-L4", "NVIDIA-H200"].map(str::to_owned);
        assert_eq!(products_like("H200", labels.clone()), ["NVIDIA-H200"]);
        assert_eq!(products_like("nvidia", labels.clone()), ["NVIDIA-H200", "NVIDIA-L4"]);
        assert_eq!(products_like("no such card!", labels), ["no-such-card"]);
    }
}
