//! CoreDNS: names of services and of the pods behind them, as in any cluster, and no others. In a pod of `kube-system`, because that is
//! where policies of tenants let their pods ask for names; the kubelet starts it from a file, at an address that is known before.

use super::{images, place, place::Place, processes::Processes};
use anyhow::Result;
use serde_json::json;
use std::{fs, time::Duration};

/// Behind every name of the cluster.
pub const DOMAIN: &str = "cluster.local";
/// The folder of the pods that the kubelet starts by itself.
pub const PODS: &str = "static-pods";
/// By its name it gets its address.
pub const POD: &str = "names";
const READY: Duration = Duration::from_secs(120);

/// Before the kubelet starts.
pub fn describe(place: &Place) -> Result<()> {
    let kubeconfig = place.kubeconfig();
    let file = place.folder("names")?.join("Corefile");
    fs::write(
        &file,
        format!(
            ".:53 {{\n    errors\n    ready :{}\n    kubernetes {DOMAIN} in-addr.arpa {{\n        kubeconfig {}\n        ttl 1\n    }}\n}}\n",
            place::NAMES_READY,
            kubeconfig.display()
        ),
    )?;
    // At the same paths as here: the one file names the other.
    let files = [("corefile", file.clone()), ("kubeconfig", kubeconfig), ("certificate", place.api_certificate())];
    let mounts: Vec<_> = files.iter().map(|(name, path)| json!({"name": name, "mountPath": path, "readOnly": true})).collect();
    let volumes: Vec<_> = files.iter().map(|(name, path)| json!({"name": name, "hostPath": {"path": path, "type": "File"}})).collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": POD, "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "priorityClassName": "system-node-critical",
            // It answers by the names that it knows, and asks nobody else.
            "dnsPolicy": "Default",
            "containers": [{
                "name": "coredns", "image": images::NAMES, "imagePullPolicy": "Never",
                "command": ["/usr/local/bin/coredns", "-conf", file],
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    });
    Ok(fs::write(place.folder(PODS)?.join("names.json"), serde_json::to_vec_pretty(&pod)?)?)
}

pub fn wait_until_ready(place: &Place, processes: &Processes) -> Result<()> {
    let ready = format!("http://{}:{}/ready", place.names(), place::NAMES_READY);
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(2)).build()?;
    processes.wait("kubelet", &place.log("kubelet"), READY, || client.get(&ready).send().is_ok_and(|answer| answer.status().is_success()))
}
