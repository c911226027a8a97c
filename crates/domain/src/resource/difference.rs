//! Where a spec wants something else than there is: what decides that applying it changes nothing, and what a person reads before.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// One field that is another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// `spec.quota.endpoints`
    pub path: String,
    /// Null = not set.
    pub now: Value,
    pub wanted: Value,
}

impl Difference {
    /// Of everything that `wanted` says; what it does not say is passed over.
    pub(super) fn between(now: &impl Serialize, wanted: &impl Serialize) -> Vec<Self> {
        let mut out = Vec::new();
        let value = |spec| serde_json::to_value(spec).unwrap_or_default();
        look("spec", &serde_json::to_value(now).unwrap_or_default(), &value(wanted), &mut out);
        out
    }
}

fn look(path: &str, now: &Value, wanted: &Value, out: &mut Vec<Difference>) {
    match wanted {
        Value::Object(fields) if now.is_object() || now.is_null() => {
            for (name, wanted) in fields {
                look(&format!("{path}.{name}"), now.get(name).unwrap_or(&Value::Null), wanted, out);
            }
        }
        _ if same(now, wanted) => {}
        _ => out.push(Difference { path: path.to_owned(), now: now.clone(), wanted: wanted.clone() }),
    }
}

/// `3` and `3.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |value: &Value| match value {
            Value::Null => "not set".to_owned(),
            value => value.to_string(),
        };
        write!(f, "{}: {} -> {}", self.path, said(&self.now), said(&self.wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(now: Value, wanted: Value) -> Vec<String> {
        Difference::between(&now, &wanted).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_is_said_and_another_is_a_difference() {
        let now = json!({ "title": "Lumenta", "quota": { "endpoints": 2, "runs": 1.0 }, "calls": { "limit": null }, "groups": ["a"] });
        assert_eq!(said(now.clone(), json!({ "quota": { "runs": 1 }, "calls": { "limit": null } })), [""; 0]);
        assert_eq!(said(now.clone(), json!({})), [""; 0]);
        assert_eq!(
            said(now.clone(), json!({ "quota": { "endpoints": 3 }, "groups": ["b"], "calls": { "limit": 7 } })),
            ["spec.calls.limit: not set -> 7", "spec.groups: [\"a\"] -> [\"b\"]", "spec.quota.endpoints: 2 -> 3"]
        );
        assert_eq!(said(now, json!({ "new": { "x": 1 } })), ["spec.new.x: not set -> 1"]);
    }
}
