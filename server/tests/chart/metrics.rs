//! Alerts and dashboard ask only for metrics that there are.

use crate::helm::{chart, kind, parsed, way};
use std::collections::BTreeSet;

/// What docs/metrics.md names, with `_bytes` for `the_name_before_bytes`, and what Prometheus adds to histograms.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(chart().join("../../docs/metrics.md")).unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let Some((cell, _)) = line.strip_prefix("| ").and_then(|rest| rest.split_once(" |")) else { continue };
        let mut before = String::new();
        for name in cell.split('`').filter(|word| word.contains('_')) {
            // `atelier_usage_spool_records`, `_bytes`
            let name = match name.strip_prefix('_') {
                Some(end) => format!("{}_{end}", before.rsplit_once('_').unwrap().0),
                None => {
                    before = name.to_owned();
                    name.to_owned()
                }
            };
            names.insert(name);
        }
    }
    for line in text.lines().filter(|line| line.contains("of the process")) {
        names.extend(line.split('`').filter(|word| word.starts_with("process_")).map(str::to_owned));
    }
    names
}

/// Words of an expression that look like our metrics.
fn asked(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("atelier_") || word.starts_with("process_"))
        .map(|w| w.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn every_metric_of_alerts_and_dashboard_is_documented() {
    let documented = documented();
    assert!(documented.len() > 25 && documented.contains("atelier_usage_spool_max_bytes"), "{documented:?}");
    let file = |name: &str| std::fs::read_to_string(chart().join("files").join(name)).unwrap();
    let mut expressions = String::new();
    for group in parsed(&file("rules.yaml"))[0].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            expressions += rule["expr"].as_str().unwrap();
            expressions.push('\n');
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            expressions += target["expr"].as_str().unwrap();
            expressions.push('\n');
        }
    }
    let asked = asked(&expressions);
    assert!(asked.len() > 15, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&documented).collect();
    assert!(unknown.is_empty(), "docs/metrics.md does not know {unknown:?}");
    // What one is woken for by the document, the chart wakes for.
    let woken = std::fs::read_to_string(chart().join("../../docs/metrics.md")).unwrap();
    let woken = woken.split_once("## What to be woken for").unwrap().1.to_owned();
    for name in self::asked(&woken) {
        assert!(asked.contains(&name), "no alert asks for {name}");
    }
}

#[test]
fn monitoring_is_made_only_where_it_is_asked_for() {
    let Some(objects) = way("default") else { return };
    assert!(!objects.iter().any(|o| o["apiVersion"] == "monitoring.coreos.com/v1"));
    let Some(objects) = way("full") else { return };
    let kinds: BTreeSet<_> = objects.iter().filter(|o| o["apiVersion"] == "monitoring.coreos.com/v1").map(kind).collect();
    assert_eq!(kinds, BTreeSet::from(["PrometheusRule", "ServiceMonitor"]));
    let rule = objects.iter().find(|o| kind(o) == "PrometheusRule").unwrap().to_string();
    assert!(rule.contains(crate::helm::NAMESPACE) && !rule.contains("NAMESPACE"));
}
