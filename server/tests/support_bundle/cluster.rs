//! The bundle where tasks run on a cluster: objects of the thing without their values, and a cluster that does not answer.

use crate::{
    CUT_OFF,
    bundle::{self, Portal},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
};

const IMAGES: [(&str, &str); 4] = [
    ("ATELIER_ENGINE", "kubernetes"),
    ("ATELIER_TASK_IMAGE", "task:1"),
    ("ATELIER_TRAINER_IMAGE", "trainer:1"),
    ("ATELIER_VLLM_IMAGE", "vllm:1"),
];

#[test]
fn a_cluster_that_does_not_answer_is_told_and_the_rest_is_there() {
    let portal = Portal::on_older_data();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": { "token": "planted-token-of-the-cluster" } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    std::fs::write(portal.file("kubeconfig"), config.to_string()).unwrap();
    let kubeconfig = portal.file("kubeconfig").display().to_string();
    let environment = [&IMAGES[..], &[("ATELIER_KUBECONFIG", kubeconfig.as_str())]].concat();
    let made = portal.bundle(&["--run", CUT_OFF, "--out", "-"], &environment);
    assert_eq!(made.status.code(), Some(3), "{}", bundle::said(&made));
    assert!(bundle::said(&made).contains("cluster/cluster.json: Where tasks run"), "{}", bundle::said(&made));
    let files = bundle::files(&made.stdout);
    assert!(files["run.json"].contains("training-run") && !format!("{files:?}").contains("planted"));
}

#[test]
fn objects_of_the_run_are_taken_along_without_values_of_variables_and_secrets() {
    let Some(file) = std::env::var_os("ATELIER_CLUSTER") else {
        return testing::leave_out("a support bundle on a cluster: ATELIER_CLUSTER names none");
    };
    let description: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let cluster = Cluster { description, namespace: format!("ops{}-lumenta", std::process::id()) };
    let task = format!("{}-train", CUT_OFF.replace('_', "-"));
    let labels = json!({ "app.kubernetes.io/managed-by": "atelier", "atelier.dev/tenant": "lumenta", "atelier.dev/task": task });
    let pod = json!({
        "nodeSelector": { "no-such-label": "x" },
        "containers": [{ "name": "main", "image": "none", "env": [{ "name": "HF_TOKEN", "value": "planted-in-a-variable" }],
            "args": ["--url", "https://u:planted-in-a-url@h/"] }],
        "restartPolicy": "Never",
    });
    cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": cluster.namespace, "labels": labels } },
    ] }));
    let meta = |name: &str| json!({ "name": name, "namespace": cluster.namespace, "labels": labels });
    cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Secret", "metadata": meta("atelier-store"), "stringData": { "store": "planted-in-a-secret" } },
        { "apiVersion": "batch/v1", "kind": "Job", "metadata": meta(&task),
            "spec": { "suspend": true, "template": { "metadata": { "labels": labels }, "spec": pod } } },
        { "apiVersion": "v1", "kind": "Pod", "metadata": meta(&format!("{task}-x7k2p")), "spec": pod },
    ] }));
    let portal = Portal::on_older_data();
    let kubeconfig = cluster.text("kubeconfig");
    let prefix = format!("ops{}-", std::process::id());
    let environment = [&IMAGES[..], &[("ATELIER_KUBECONFIG", kubeconfig.as_str()), ("ATELIER_NAMESPACE_PREFIX", &prefix)]].concat();
    let files = portal.made(&["--run", CUT_OFF], &environment);
    let objects = &files["engine/objects.yaml"];
    for has in ["kind: Job", "kind: Pod", "kind: Event", "name: HF_TOKEN", "FailedScheduling", "value: '***'", "https://***@h/"] {
        assert!(objects.contains(has), "“{has}” is not in\n{objects}");
    }
    for (name, text) in &files {
        assert!(!text.contains("planted") && !text.contains("cGxhbnRlZC1pbi1hLXNlY3JldA"), "{name}:\n{text}");
    }
    let drift: Value = serde_json::from_str(&files["cluster/tenant-objects.json"]).unwrap();
    assert_eq!((drift[0]["tenant"].as_str(), drift[0]["in_order"].as_bool()), (Some("lumenta"), Some(false)), "{drift}");
    assert!(files["cluster/cluster.json"].contains("\"version\": \"v1."));
    assert!(files["engine/tasks.json"].contains("pending"), "{}", files["engine/tasks.json"]);
}

struct Cluster {
    description: Value,
    namespace: String,
}

impl Cluster {
    fn text(&self, key: &str) -> String {
        self.description[key].as_str().unwrap().to_owned()
    }

    fn kubectl(&self) -> Command {
        let mut command = Command::new(self.text("kubectl"));
        command.args(["--kubeconfig", &self.text("kubeconfig")]);
        command
    }

    fn apply(&self, object: &Value) {
        let mut child = self.kubectl().args(["apply", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.kubectl().args(["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"]).status();
    }
}
