//! On which nodes pods go, and before which others: what whoever runs the cluster decides for all of them.

use super::pod::{GPU, GPU_PRODUCT, MIG};
use crate::Task;
use serde_json::{Value, json};
use std::{fmt, str::FromStr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The resource by which GPUs are asked for: `nvidia.com/gpu`, or a share of one, `nvidia.com/mig-1g.10gb`.
    pub gpu_resource: String,
    /// Of tasks with GPUs that do not say it themselves: a part of the product's name, `H200`.
    pub gpu_product: Option<String>,
    pub tolerations: Vec<Toleration>,
    pub priority_class: Option<String>,
    /// Of tasks with GPUs: `nvidia`, where that is not the node's usual one.
    pub gpu_runtime_class: Option<String>,
}

impl Default for Placement {
    fn default() -> Self {
        Self { gpu_resource: GPU.into(), gpu_product: None, tolerations: Vec::new(), priority_class: None, gpu_runtime_class: None }
    }
}

/// Lets pods onto nodes with a taint; written as `kubectl taint` writes one: `key=value:NoSchedule`, or `key:NoSchedule` for any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    key: String,
    value: Option<String>,
    effect: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is no taint: write key=value:NoSchedule or key:NoExecute")]
pub struct BadToleration(String);

impl FromStr for Toleration {
    type Err = BadToleration;
    fn from_str(text: &str) -> Result<Self, BadToleration> {
        let bad = || BadToleration(text.to_owned());
        let (rest, effect) = text.trim().rsplit_once(':').ok_or_else(bad)?;
        let (key, value) = rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value.to_owned())));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
        if known && !key.is_empty() && key.chars().chain(value.iter().flat_map(|v| v.chars())).all(plain) {
            Ok(Self { key: key.into(), value, effect: effect.into() })
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Toleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}:{}", self.key, self.effect),
            None => write!(f, "{}:{}", self.key, self.effect),
        }
    }
}

impl Toleration {
    fn object(&self) -> Value {
        match &self.value {
            Some(value) => json!({ "key": self.key, "operator": "Equal", "value": value, "effect": self.effect }),
            None => json!({ "key": self.key, "operator": "Exists", "effect": self.effect }),
        }
    }
}

impl Placement {
    /// The resource by which a task asks for its GPUs.
    pub(super) fn gpu_resource_of(&self, task: &Task) -> String {
        match &task.resources.mig_profile {
            Some(profile) => format!("{MIG}{profile}"),
            None => self.gpu_resource.clone(),
        }
    }

    /// The GPU product that a task waits for, if it has GPUs at all.
    pub(super) fn product<'a>(&'a self, task: &'a Task) -> Option<&'a str> {
        task.resources.gpu_product.as_deref().or(self.gpu_product.as_deref()).filter(|_| task.resources.gpus > 0)
    }

    /// Adds to the spec of a pod. `products`: see [`super::pod::products_like`].
    pub(super) fn put_into(&self, spec: &mut Value, task: &Task, products: &[String]) {
        if !products.is_empty() {
            let wanted = json!([{ "matchExpressions": [{ "key": GPU_PRODUCT, "operator": "In", "values": products }] }]);
            spec["affinity"] =
                json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": wanted } } });
        }
        if !self.tolerations.is_empty() {
            spec["tolerations"] = self.tolerations.iter().map(Toleration::object).collect();
        }
        if let Some(class) = &self.priority_class {
            spec["priorityClassName"] = json!(class);
        }
        if let Some(class) = self.gpu_runtime_class.as_ref().filter(|_| task.resources.gpus > 0) {
            spec["runtimeClassName"] = json!(class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_is_read_as_kubectl_writes_it() {
        for text in ["nvidia.com/gpu=present:NoSchedule", "nvidia.com/gpu:NoExecute", "a=:PreferNoSchedule"] {
            assert_eq!(text.parse::<Toleration>().unwrap().to_string(), text);
        }
        for bad in ["", "gpu", "gpu:Sometimes", ":NoSchedule", "g pu:NoSchedule", "gpu=\"x\":NoSchedule"] {
            assert!(bad.parse::<Toleration>().unwrap_err().to_string().contains("key=value:NoSchedule"), "{bad}");
        }
    }
}
