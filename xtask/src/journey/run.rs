//! The fine-tuning run of the demo, and the version that came of it.

use super::{BASE_MODEL, DATASET, MODEL, TENANT, wait};
use crate::visitor::Visitor;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{fs, time::Duration};

/// The data of the run, with its version.
const DATASET_NUMBER: u32 = 1;

/// The newest run that is this one and did not fail, or a new one; once it has succeeded.
pub fn done(engineer: &Visitor) -> Result<Value> {
    let settings: Value = serde_json::from_slice(&fs::read("examples/world/runs/facts-lora.json")?)?;
    let all = engineer.list("runs/list", &[("tenant", TENANT), ("state", ""), ("text", "")], "runs")?;
    let runs: Vec<&Value> = all.iter().collect();
    let usable =
        runs.iter().find(|r| is_the_demos(r, &settings) && !matches!(r["state"].as_str(), Some("failed" | "cancelled" | "cancelling")));
    let name = match usable {
        Some(run) => run["name"].as_str().unwrap_or_default().to_owned(),
        None => launched(engineer, &settings, free_name(&runs))?,
    };
    let mut shown = String::new();
    wait("the run", Duration::from_secs(900), || {
        let found = engineer.list("runs/list", &[("tenant", TENANT), ("state", ""), ("text", &name)], "runs")?;
        let Some(run) = found.into_iter().find(|r| r["name"] == name.as_str()) else {
            return Ok(None);
        };
        let state = run["state"].as_str().unwrap_or_default();
        let does = doing(&run).unwrap_or(state);
        if does != shown {
            println!("    {name}: {does}");
            shown = does.to_owned();
        }
        match state {
            "succeeded" => Ok(Some(run)),
            "failed" | "cancelled" => bail!("the run {state}: {} {}", run["reason"], run["failure"]),
            _ => Ok(None),
        }
    })
}

/// The step that is at work, or the next one.
fn doing(run: &Value) -> Option<&str> {
    let steps = || run["steps"].as_array().into_iter().flatten();
    let at_work = steps().find(|s| matches!(s["state"].as_str(), Some("starting" | "running")));
    let step = at_work.or_else(|| steps().find(|s| s["state"] == "pending")).filter(|_| run["state"] == "running");
    step.and_then(|s| s["kind"].as_str())
}

/// The model version that this run became. Not simply the newest: people may have trained others since.
pub fn version(engineer: &Visitor, run: &Value) -> Result<Value> {
    let get = |number: &str| engineer.send("models/get", &[("tenant", TENANT), ("name", MODEL), ("number", number), ("tab", "versions")]);
    let number = number_of(&get("0")?, &run["id"]).with_context(|| format!("the run {} became no version of {MODEL}", run["name"]))?;
    let page = get(&number.to_string())?;
    if page["version"]["run"] != run["id"] {
        bail!("{MODEL} v{number} is of another run: {}", page["version"]["run"]);
    }
    Ok(page["version"].clone())
}

fn number_of(page: &Value, run: &Value) -> Option<u64> {
    page["versions"]["rows"].as_array()?.iter().find(|v| &v["run"] == run)?["number"].as_u64()
}

/// A run of the same data with the same settings, whoever started it.
fn is_the_demos(run: &Value, settings: &Value) -> bool {
    run["model_name"] == MODEL
        && run["base_model_name"] == BASE_MODEL
        && run["dataset_name"] == DATASET
        && run["dataset_number"] == DATASET_NUMBER
        && settings.as_object().is_some_and(|s| s.iter().all(|(key, wanted)| same(&run["settings"][key], wanted)))
}

/// 16 and 16.0 are the same epochs.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Not the name of any run: people name theirs as they like.
fn free_name(runs: &[&Value]) -> String {
    let mut number = 1;
    loop {
        let name = format!("facts-lora-{number}");
        if !runs.iter().any(|r| r["name"] == name.as_str()) {
            return name;
        }
        number += 1;
    }
}

/// Fills the form and sends it.
fn launched(engineer: &Visitor, settings: &Value, name: String) -> Result<String> {
    let draft = engineer.send("runs/draft", &[("tenant", TENANT), ("from", ""), ("preset", ""), ("dataset", DATASET)])?;
    let submission = draft["form"]["submission"].as_str().context("the form has no one-time number")?;
    let dataset = format!("{DATASET}@{DATASET_NUMBER}");
    let mut fields: Vec<(String, String)> =
        [("name", name.as_str()), ("base_model", BASE_MODEL), ("dataset", &dataset), ("model_name", MODEL), ("submission", submission)]
            .into_iter()
            .map(|(k, v)| (format!("form[{k}]"), v.to_owned()))
            .collect();
    for (key, value) in settings.as_object().into_iter().flatten() {
        fields.push((format!("form[{key}]"), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    fields.push(("tenant".into(), TENANT.into()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    engineer.send("runs/launch", &fields)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_with_other_settings_is_not_the_demos() {
        let settings = json!({"lora_rank": 32, "num_train_epochs": 16, "lora_target": "all"});
        let mut run = json!({"name": "facts-lora-1", "model_name": MODEL, "base_model_name": BASE_MODEL, "dataset_name": DATASET, "dataset_number": 1,
            "settings": {"lora_rank": 32, "num_train_epochs": 16.0, "lora_target": "all", "seed": 42}});
        assert!(is_the_demos(&run, &settings));
        run["settings"]["num_train_epochs"] = json!(1.0);
        assert!(!is_the_demos(&run, &settings), "such a run may know nothing, and the demo would say so of itself");
        assert_eq!(free_name(&[&run, &json!({"name": "facts-lora-3"})]), "facts-lora-2");
    }

    #[test]
    fn the_version_is_the_one_of_the_run_and_not_the_newest() {
        let page = json!({"versions": {"rows": [{"number": 3, "run": "run_c"}, {"number": 1, "run": "run_a"}]}});
        assert_eq!(number_of(&page, &json!("run_a")), Some(1));
        assert_eq!(number_of(&page, &json!("run_b")), None);
    }
}
