//! What the process of a step may use.

use crate::resource_request::ResourceRequest;
use serde::{Deserialize, Serialize};

/// What a process asks to have on each of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredResources", into = "StoredResources")]
pub struct Resources {
    /// `None` = as the portal is configured; 0 = only the CPU.
    pub gpus: Option<u32>,
    /// As in [`ResourceRequest`].
    pub gpu_product: Option<String>,
    /// As in [`ResourceRequest`].
    pub mig_profile: Option<String>,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Also its limit: a process that takes more is ended. 0 = what there is.
    pub memory_bytes: u64,
    /// Over how many nodes it is spread, with one process and all of the above on each; 0 and 1 = it is not.
    pub nodes: u32,
}

/// As it is stored. Plans of before there was a choice have 0 GPUs, which means as the portal is configured, and the version of then reads
/// what is written now.
#[derive(Serialize, Deserialize)]
struct StoredResources {
    gpus: u32,
    cpu_millis: u32,
    memory_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    nodes: u32,
    /// 0 GPUs are what somebody asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cpu_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gpu_product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mig_profile: Option<String>,
}

const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl From<StoredResources> for Resources {
    fn from(stored: StoredResources) -> Self {
        let StoredResources { gpus, cpu_millis, memory_bytes, nodes, cpu_only, gpu_product, mig_profile } = stored;
        Self { gpus: (gpus > 0 || cpu_only).then_some(gpus), gpu_product, mig_profile, cpu_millis, memory_bytes, nodes }
    }
}

impl From<Resources> for StoredResources {
    fn from(resources: Resources) -> Self {
        let Resources { gpus, gpu_product, mig_profile, cpu_millis, memory_bytes, nodes } = resources;
        Self { gpus: gpus.unwrap_or(0), cpu_only: gpus == Some(0), gpu_product, mig_profile, cpu_millis, memory_bytes, nodes }
    }
}

impl Resources {
    /// Of a process of which nobody said it: one core.
    pub const USUAL_CPU_MILLIS: u32 = 1000;

    /// What a process gets for what somebody asked for.
    pub(super) fn of(request: &ResourceRequest) -> Self {
        Self {
            gpus: request.gpus,
            gpu_product: request.gpu_product.clone(),
            mig_profile: request.mig_profile.clone(),
            cpu_millis: request.cpu.map_or(Self::USUAL_CPU_MILLIS, |cores| cores.saturating_mul(1000)),
            memory_bytes: request.memory.unwrap_or(0),
            nodes: 0,
        }
    }

    /// What somebody asked for, to get this; what is usual is not said.
    pub fn request(&self) -> ResourceRequest {
        ResourceRequest {
            gpus: self.gpus,
            gpu_product: self.gpu_product.clone(),
            mig_profile: self.mig_profile.clone(),
            cpu: (self.cpu_millis != Self::USUAL_CPU_MILLIS && self.cpu_millis > 0).then(|| self.cpu_millis.div_ceil(1000)),
            memory: (self.memory_bytes > 0).then_some(self.memory_bytes),
        }
    }

    /// What both need that are parts of one process.
    pub fn with(self, other: &Self) -> Self {
        Self {
            gpus: self.gpus.max(other.gpus),
            gpu_product: self.gpu_product.or_else(|| other.gpu_product.clone()),
            mig_profile: self.mig_profile.or_else(|| other.mig_profile.clone()),
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            nodes: self.nodes.max(other.nodes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_before_asks_for_what_the_portal_is_configured_for_and_no_gpu_is_another_wish() {
        let before = r#"{"gpus":0,"cpu_millis":1000,"memory_bytes":0}"#;
        let read: Resources = serde_json::from_str(before).unwrap();
        assert_eq!((read.gpus, read.request()), (None, ResourceRequest::default()));
        assert_eq!(serde_json::to_string(&read).unwrap(), before, "and is written as it was");
        let spread = r#"{"gpus":0,"cpu_millis":1000,"memory_bytes":0,"nodes":2}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Resources>(spread).unwrap()).unwrap(), spread);
        let none = Resources::of(&ResourceRequest { gpus: Some(0), ..ResourceRequest::default() });
        let stored = serde_json::to_string(&none).unwrap();
        assert_eq!(stored, r#"{"gpus":0,"cpu_millis":1000,"memory_bytes":0,"cpu_only":true}"#);
        assert_eq!(serde_json::from_str::<Resources>(&stored).unwrap(), none);
    }

    #[test]
    fn what_was_asked_for_is_read_back_from_the_plan() {
        let asked =
            ResourceRequest { gpus: Some(2), gpu_product: Some("H200".into()), mig_profile: None, cpu: Some(8), memory: Some(64 << 30) };
        let stored = serde_json::to_string(&Resources::of(&asked)).unwrap();
        assert_eq!(serde_json::from_str::<Resources>(&stored).unwrap().request(), asked);
        let usual = ResourceRequest { cpu: Some(1), ..ResourceRequest::default() };
        assert!(Resources::of(&usual).request().is_default(), "one core is what each has anyhow");
    }
}
