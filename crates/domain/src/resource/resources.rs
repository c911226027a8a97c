//! What a document asks the machines for.

use super::{in_bytes, placed, tenant::said};
use crate::{problem::FieldProblem, resource_request::ResourceRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the processes of a run may use on each node, and each replica of an endpoint. Where the portal works on a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResourcesSpec {
    /// GPUs; 0 = only the CPU, null = as the portal is configured. An endpoint's model is spread over them (vLLM's --tensor-parallel-size).
    /// 0 to 64.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub gpus: Option<Option<u32>>,
    /// Of which product they are: the label nvidia.com/gpu.product of a node, or a part of it, as `H200`; null = any.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub gpu_product: Option<Option<String>>,
    /// A slice of a GPU of this profile instead of a whole one, as `1g.10gb`; null = a whole one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub mig_profile: Option<Option<String>>,
    /// CPU cores; what is free beyond that may be used. 1 to 1024; null = as usual.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub cpu: Option<Option<u32>>,
    /// Bytes of memory; also the limit: a process that takes more is ended. Null = what there is.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub memory_bytes: Option<Option<u64>>,
}

impl ResourcesSpec {
    /// All that is asked for.
    pub fn of(request: &ResourceRequest) -> Self {
        Self {
            gpus: request.gpus.map(Some),
            gpu_product: request.gpu_product.clone().map(Some),
            mig_profile: request.mig_profile.clone().map(Some),
            cpu: request.cpu.map(Some),
            memory_bytes: request.memory.map(Some),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The request of before with what is said here.
    pub fn over(&self, request: ResourceRequest) -> ResourceRequest {
        ResourceRequest {
            gpus: self.gpus.unwrap_or(request.gpus),
            gpu_product: self.gpu_product.clone().unwrap_or(request.gpu_product),
            mig_profile: self.mig_profile.clone().unwrap_or(request.mig_profile),
            cpu: self.cpu.unwrap_or(request.cpu),
            memory: self.memory_bytes.unwrap_or(request.memory),
        }
    }

    /// A problem of one of the form's fields, by its place in the document; none for another field.
    pub(super) fn placed(problem: &FieldProblem) -> Option<FieldProblem> {
        let ours = ResourceRequest::FIELDS.contains(&problem.field.as_str());
        ours.then(|| placed("spec.resources", vec![in_bytes(problem.clone())]).pop()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_and_null_is_what_is_usual() {
        let before = ResourceRequest { gpus: Some(2), gpu_product: Some("H200".into()), cpu: Some(4), ..ResourceRequest::default() };
        let over = |text: &str| serde_json::from_str::<ResourcesSpec>(text).unwrap().over(before.clone());
        assert_eq!(over("{}"), before);
        let other = ResourceRequest { gpus: Some(0), gpu_product: None, ..before.clone() };
        assert_eq!(over(r#"{"gpus":0,"gpuProduct":null}"#), other);
        assert_eq!(over(r#"{"gpus":null,"gpuProduct":null,"cpu":null}"#), ResourceRequest::default());
        assert_eq!(ResourcesSpec::of(&before).over(ResourceRequest::default()), before);
        assert!(ResourcesSpec::of(&ResourceRequest::default()).is_empty());
        assert!(serde_json::from_str::<ResourcesSpec>(r#"{"gpu":1}"#).unwrap_err().to_string().contains("gpuProduct"));
    }

    #[test]
    fn a_problem_is_named_by_its_place_and_in_its_unit() {
        let problem = FieldProblem::new("memory_gb", "x").suggesting("16");
        let placed = ResourcesSpec::placed(&problem).unwrap();
        assert_eq!((placed.field.as_str(), placed.suggestion.as_deref()), ("spec.resources.memoryBytes", Some("16000000000")));
        assert_eq!(ResourcesSpec::placed(&FieldProblem::new("gpu_product", "x")).unwrap().field, "spec.resources.gpuProduct");
        assert_eq!(ResourcesSpec::placed(&FieldProblem::new("replicas", "x")), None);
    }
}
