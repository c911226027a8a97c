//! What pods reach, tried from pods of this test: in a tenant's namespace, which policies hold, and in the portal's, which none do here.
//! That the one reaches what the other does not shows that policies were in the way, and not that nobody listens.

use crate::cluster::Cluster;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

/// Of a model server, and one that no policy names.
pub const PORT: u16 = 8000;
pub const OTHER_PORT: u16 = 8001;
const PATIENCE: Duration = Duration::from_secs(120);
/// All side by side, each for as long as a check of isolation tries. Before that the first one alone, which every pod may reach: what a
/// policy allows may come into force a moment after the pod has started.
const TRIES: &str = "import concurrent.futures, socket, sys
def tried(target):
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), 8).close()
        return target + ' reached'
    except OSError:
        return target + ' out-of-reach'
tried(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(sys.argv)) as all:
    print('\\n'.join(all.map(tried, sys.argv[1:])))";

/// As Pod Security demands it of every pod in these namespaces.
fn pod(cluster: &Cluster, name: &str, command: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "main", "image": cluster.text("/images/task"), "imagePullPolicy": "IfNotPresent", "command": command,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

/// What listens where a model server does, in the namespace of a tenant. Returns its address, when both ports answer this machine.
pub async fn stand_in(cluster: &Cluster, namespace: &str, folder: &Path) -> String {
    let serve = format!("python3 -m http.server {OTHER_PORT} -d /tmp & exec python3 -m http.server {PORT} -d /tmp");
    cluster.apply(folder, &[pod(cluster, "stand-in", &["sh", "-c", &serve])], &["-n", namespace]);
    let end = Instant::now() + PATIENCE;
    loop {
        let address = cluster.asked(&["-n", namespace, "get", "pod", "stand-in", "-o", "jsonpath={.status.podIP}"]);
        let answers = async |port: u16| {
            let connecting = tokio::net::TcpStream::connect(format!("{address}:{port}"));
            tokio::time::timeout(Duration::from_secs(2), connecting).await.is_ok_and(|connected| connected.is_ok())
        };
        if !address.is_empty() && answers(PORT).await && answers(OTHER_PORT).await {
            return address;
        }
        assert!(Instant::now() < end, "the stand-in does not answer at “{address}”");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Which of these a pod in this namespace connects to.
pub async fn from(cluster: &Cluster, namespace: &str, folder: &Path, targets: &[String]) -> BTreeMap<String, bool> {
    let command: Vec<&str> = ["python3", "-c", TRIES].into_iter().chain(targets.iter().map(String::as_str)).collect();
    cluster.apply(folder, &[pod(cluster, "tries", &command)], &["-n", namespace]);
    let end = Instant::now() + PATIENCE;
    while cluster.asked(&["-n", namespace, "get", "pod", "tries", "-o", "jsonpath={.status.phase}"]) != "Succeeded" {
        assert!(Instant::now() < end, "{}", cluster.asked(&["-n", namespace, "describe", "pod", "tries"]));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let said = cluster.asked(&["-n", namespace, "logs", "tries"]);
    cluster.asked(&["-n", namespace, "delete", "pod", "tries"]);
    said.lines().filter_map(|line| line.split_once(' ')).map(|(target, came)| (target.to_owned(), came == "reached")).collect()
}
