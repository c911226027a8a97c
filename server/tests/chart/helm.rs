//! Helm, and what it makes of the chart.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The ways to install, as files of values in `charts/atelier/ci`.
pub const WAYS: [&str; 4] = ["default", "minimal", "full", "air-gapped"];
/// Release and namespace of whatever is only read.
pub const NAMESPACE: &str = "ai-portal";

pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/atelier")
}

pub fn values(way: &str) -> PathBuf {
    chart().join(format!("ci/{way}-values.yaml"))
}

/// `None` = there is no Helm, and that was said.
pub fn helm() -> Option<Command> {
    match std::env::var_os("ATELIER_HELM") {
        Some(program) => {
            let mut helm = Command::new(program);
            // Nothing of whoever runs the tests.
            let home = std::env::temp_dir().join("atelier-helm");
            helm.env("HELM_CACHE_HOME", home.join("cache"))
                .env("HELM_CONFIG_HOME", home.join("config"))
                .env("HELM_DATA_HOME", home.join("data"));
            Some(helm)
        }
        None => {
            testing::leave_out("Helm is not there: ATELIER_HELM names none (it is built where Go is, from cluster/helm)");
            None
        }
    }
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What Helm makes of the chart with these further words; panics where it refuses.
pub fn rendered(words: &[&str]) -> Option<Vec<Value>> {
    let output = helm()?.args(["template", "atelier"]).arg(chart()).args(["--namespace", NAMESPACE]).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    Some(parsed(&String::from_utf8(output.stdout).unwrap()))
}

pub fn way(name: &str) -> Option<Vec<Value>> {
    rendered(&["--values", &values(name).display().to_string()])
}

/// The objects of several documents of YAML.
pub fn parsed(text: &str) -> Vec<Value> {
    use serde::Deserialize;
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(|d| Value::deserialize(d).unwrap_or_else(|e| panic!("{e}: {text}")));
    documents.filter(|d| !d.is_null()).collect()
}

pub fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The templates of pods, with the names of what makes them.
pub fn pods(objects: &[Value]) -> Vec<(&str, &Value)> {
    objects.iter().filter(|o| matches!(kind(o), "Deployment" | "Job")).map(|o| (name(o), &o["spec"]["template"]["spec"])).collect()
}
