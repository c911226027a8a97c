//! A real cluster, where `ATELIER_CLUSTER` names the file that describes it.

use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Stdio},
};

pub struct Cluster {
    pub description: Value,
}

impl Cluster {
    /// `None` = there is none, and that was said.
    pub fn find(what: &str) -> Option<Self> {
        let Some(file) = std::env::var_os("ATELIER_CLUSTER") else {
            testing::leave_out(&format!("{what} on a cluster: ATELIER_CLUSTER names none"));
            return None;
        };
        let description = serde_json::from_slice(&std::fs::read(&file).expect("the cluster's description")).expect("JSON");
        Some(Self { description })
    }

    pub fn text(&self, path: &str) -> &str {
        self.description.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("the cluster's description has no {path}"))
    }

    pub fn kubectl(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.text("/kubectl"));
        command.args(["--kubeconfig", self.text("/kubeconfig")]).args(words).stdin(Stdio::null());
        command
    }

    /// What it prints; panics where it fails.
    pub fn asked(&self, words: &[&str]) -> String {
        let output = self.kubectl(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn apply(&self, folder: &Path, objects: &[Value], more: &[&str]) {
        let file = folder.join("objects.json");
        std::fs::write(&file, json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()).unwrap();
        let file = file.display().to_string();
        self.asked(&[&["apply", "--server-side", "--validate=strict", "-f", &file][..], more].concat());
    }
}

/// Namespaces, and what belongs to none, that go with the test.
pub struct Kept<'c> {
    pub cluster: &'c Cluster,
    pub namespaces: Vec<String>,
    /// `clusterrole/name`
    pub objects: Vec<String>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let delete = |what: &[&str]| {
            let all = [&["delete", "--ignore-not-found", "--wait=false"][..], what].concat();
            let _ = self.cluster.kubectl(&all).stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        self.objects.iter().for_each(|object| delete(&[object]));
        self.namespaces.iter().for_each(|namespace| delete(&["namespace", namespace]));
    }
}
