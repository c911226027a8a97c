//! A real API server, where there is one, and what it says to the objects of the chart.

use crate::{
    cluster::{Cluster, Kept},
    helm::{WAYS, kind, name, way},
};
use serde_json::json;

/// Kinds that others bring to a cluster: an API server without them does not know their fields. They are read by their own projects'
/// documentation, and looked at in `objects.rs` and `metrics.rs`.
const OF_OTHERS: [&str; 4] = ["HTTPRoute", "Gateway", "ServiceMonitor", "PrometheusRule"];

#[test]
fn an_api_server_takes_every_object_of_every_way_to_install() {
    let Some(cluster) = Cluster::find("the objects of the chart") else { return };
    let folder = tempfile::tempdir().unwrap();
    let namespace = format!("chart-dry-{}", std::process::id());
    let _kept = Kept { cluster: &cluster, namespaces: vec![namespace.clone()], objects: Vec::new() };
    cluster.asked(&["create", "namespace", &namespace]);
    // A pod that it would not admit is told of as a warning only, when a Deployment makes it.
    cluster.asked(&["label", "namespace", &namespace, "pod-security.kubernetes.io/warn=restricted"]);
    for way_name in WAYS {
        let Some(mut objects) = way(way_name) else { return };
        let all = objects.len();
        objects.retain(|o| !OF_OTHERS.contains(&kind(o)));
        assert!(objects.len() >= 8 && (way_name == "minimal" || objects.len() < all), "{way_name}: {} of {all}", objects.len());
        let file = folder.path().join(format!("{way_name}.json"));
        std::fs::write(&file, json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()).unwrap();
        let file = file.display().to_string();
        let words = ["apply", "--server-side", "--validate=strict", "--dry-run=server", "-n", &namespace, "-f", &file];
        let output = cluster.kubectl(&words).output().unwrap();
        let refused = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !refused.contains("would violate PodSecurity"), "{way_name}: {refused}");
        for object in &objects {
            assert!(String::from_utf8_lossy(&output.stdout).contains(name(object)), "{way_name}: {}", name(object));
        }
    }
}
