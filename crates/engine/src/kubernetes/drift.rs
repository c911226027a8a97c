//! Whether an object of the cluster is still as it should be. Pure: what we want and what is there, as JSON.
//!
//! Everything beneath the keys that we send (`spec`, `rules`, `subjects`) is ours, whole: a field that somebody added there can open what
//! is to be closed (a rule of `default-deny`), though server-side apply alone would leave it to him. Of `metadata` only our labels are ours.

use super::{names::FIELD_MANAGER, quantity};
use serde_json::{Map, Value};

/// Paths of the fields that differ, and a merge patch that takes away what is there and should not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    pub fields: Vec<String>,
    /// `None` = nothing has to go: applying what is wanted is enough.
    pub without: Option<Value>,
}

/// `None` = as it should be.
pub fn difference(wanted: &Value, there: &Value) -> Option<Difference> {
    let mut out = Difference::default();
    let mut without = Map::new();
    let nothing = Map::new();
    for (key, value) in wanted.as_object().unwrap_or(&nothing) {
        match key.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (label, text) in value["labels"].as_object().unwrap_or(&nothing) {
                    if there["metadata"]["labels"].get(label) != Some(text) {
                        out.fields.push(format!("metadata.labels.{label}"));
                    }
                }
            }
            _ => {
                if let Some(gone) = compare(key, value, &there[key], &mut out.fields) {
                    without.insert(key.clone(), gone);
                }
            }
        }
    }
    out.without = (!without.is_empty()).then(|| without.into());
    (!out.fields.is_empty()).then_some(out)
}

/// Notes the paths that differ. Returns a merge patch that takes away what is too much.
fn compare(path: &str, wanted: &Value, there: &Value, fields: &mut Vec<String>) -> Option<Value> {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            let mut without = Map::new();
            for (key, value) in wanted {
                let none = Value::Null;
                if let Some(gone) = compare(&format!("{path}.{key}"), value, there.get(key).unwrap_or(&none), fields) {
                    without.insert(key.clone(), gone);
                }
            }
            for (key, value) in there {
                if !wanted.contains_key(key) && !is_nothing(value) {
                    fields.push(format!("{path}.{key}"));
                    without.insert(key.clone(), Value::Null);
                }
            }
            (!without.is_empty()).then(|| without.into())
        }
        // Lists of these objects are written as a whole: applying puts them right.
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            let mut inside = Vec::new();
            for (one, other) in wanted.iter().zip(there) {
                compare(path, one, other, &mut inside);
            }
            if !inside.is_empty() {
                fields.push(path.to_owned());
            }
            None
        }
        _ if wanted == there || same_amount(wanted, there) || (is_nothing(wanted) && is_nothing(there)) => None,
        _ => {
            fields.push(path.to_owned());
            None
        }
    }
}

/// The API server leaves out what is empty.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    }
}

/// `1000m` is `1`.
fn same_amount(one: &Value, other: &Value) -> bool {
    let amount = |v: &Value| v.as_str().and_then(quantity::milli);
    amount(one).is_some_and(|n| amount(other) == Some(n))
}

/// Who else has written to it: the names by which programs told the API server of themselves.
pub fn others(there: &Value) -> Vec<String> {
    let managers = there["metadata"]["managedFields"].as_array().into_iter().flatten();
    // What only writes how it is (the quota's controller) has changed nothing.
    let wrote = managers.filter(|m| m["subresource"].is_null()).filter_map(|m| m["manager"].as_str());
    let mut names: Vec<_> = wrote.filter(|name| *name != FIELD_MANAGER).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deny() -> Value {
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "default-deny", "namespace": "atelier-acme", "labels": { "a": "b" } },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] } })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut there = deny();
        there["metadata"]["uid"] = json!("u1");
        there["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!("atelier-acme");
        *there.pointer_mut(path).unwrap() = value;
        there
    }

    #[test]
    fn what_the_api_server_adds_by_itself_is_no_difference() {
        assert_eq!(difference(&deny(), &with("/metadata/labels/a", json!("b"))), None);
        let quota = |memory: &str, cpu: &str| json!({ "spec": { "hard": { "requests.memory": memory, "requests.cpu": cpu } } });
        let mut there = quota("64Gi", "1500m");
        there["status"] = json!({ "used": {} });
        assert_eq!(difference(&quota("68719476736", "1.5"), &there), None);
        assert_eq!(difference(&json!({ "subjects": [] }), &json!({ "metadata": {} })), None);
        let account = json!({ "automountServiceAccountToken": false, "secrets": [{ "name": "x" }] });
        assert_eq!(difference(&json!({ "automountServiceAccountToken": false }), &account), None, "what we never send is not ours");
    }

    #[test]
    fn a_field_that_somebody_changed_took_away_or_added_is_named() {
        let fields = |there: &Value| difference(&deny(), there).unwrap();
        assert_eq!(fields(&with("/metadata/labels/a", json!("c"))).fields, ["metadata.labels.a"]);
        assert_eq!(fields(&with("/spec/policyTypes", json!(["Ingress"]))).fields, ["spec.policyTypes"]);
        assert_eq!(fields(&with("/spec/policyTypes", json!(["Ingress", "Ingress"]))).fields, ["spec.policyTypes"]);
        // It selects no pod any more, so it forbids nothing.
        let narrowed = fields(&with("/spec/podSelector", json!({ "matchLabels": { "nobody": "this" } })));
        assert_eq!(narrowed.fields, ["spec.podSelector.matchLabels"]);
        assert_eq!(narrowed.without, Some(json!({ "spec": { "podSelector": { "matchLabels": null } } })));
        let mut opened = deny();
        opened["spec"]["egress"] = json!([{}]);
        let opened = fields(&opened);
        assert_eq!((opened.fields, opened.without), (vec!["spec.egress".to_owned()], Some(json!({ "spec": { "egress": null } }))));
        let raised = difference(&json!({ "spec": { "hard": { "g": "2" } } }), &json!({ "spec": { "hard": { "g": "20" } } })).unwrap();
        assert_eq!((raised.fields, raised.without), (vec!["spec.hard.g".to_owned()], None));
        assert!(difference(&json!({ "spec": { "hard": { "g": "2" } } }), &json!({ "metadata": {} })).is_some());
    }

    #[test]
    fn who_else_wrote_is_named_and_who_only_reports_is_not() {
        let there = json!({ "metadata": { "managedFields": [
            { "manager": "atelier" }, { "manager": "kubectl-edit" }, { "manager": "kube-controller-manager", "subresource": "status" },
        ] } });
        assert_eq!(others(&there), ["kubectl-edit"]);
    }
}
