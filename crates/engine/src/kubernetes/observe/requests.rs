//! What pods ask for, in numbers.

use super::super::quantity;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::api::resource::Quantity};
use std::collections::BTreeMap;

/// Of this resource, in its own unit: thousandths of a core, bytes, pieces.
pub fn amount_of(name: &str, of: &BTreeMap<String, Quantity>) -> Option<u64> {
    let text = &of.get(name)?.0;
    if name == "cpu" { quantity::milli(text) } else { quantity::whole(text) }
}

/// What the containers of a pod ask for together.
pub fn requests(pod: &Pod) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for container in pod.spec.iter().flat_map(|s| &s.containers) {
        let Some(asked) = container.resources.as_ref().and_then(|r| r.requests.as_ref()) else { continue };
        for name in asked.keys() {
            *out.entry(name.clone()).or_default() += amount_of(name, asked).unwrap_or(0);
        }
    }
    out
}
