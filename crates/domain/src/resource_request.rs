//! What somebody asks the machines for: for the processes of a run, on each node; or for each replica of an endpoint.

use crate::{compute, counted::counted, problem::FieldProblem, size};
use serde::{Deserialize, Serialize};

/// Nothing said of a resource = as the portal is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequest {
    /// 0 = none, only the CPU; at most [`ResourceRequest::MOST_GPUS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Of which product they are, as the driver or the label of a node names it; a part of the name is enough: `H200`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_product: Option<String>,
    /// A slice of a GPU of this profile instead of a whole one, as NVIDIA names it: `1g.10gb`. Only a cluster has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig_profile: Option<String>,
    /// Cores; what is free beyond that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Bytes; also the limit: a process that takes more is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl ResourceRequest {
    /// The fields as forms name them.
    pub const FIELDS: [&str; 5] = ["gpus", "gpu_product", "mig_profile", "cpu", "memory_gb"];
    /// More than any machine has that this was tried on.
    pub const MOST_GPUS: u32 = 64;
    pub const MOST_CPU: u32 = 1024;
    /// Below it not even Python starts.
    pub const LEAST_MEMORY: u64 = size::GB / 4;
    pub const MOST_MEMORY: u64 = 100_000 * size::GB;

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be, wherever it is asked for.
    pub fn check(&self) -> Vec<FieldProblem> {
        let mut wrong = Vec::new();
        if self.gpus.is_some_and(|n| n > Self::MOST_GPUS) {
            let sentence = format!("At most {} GPUs. What needs more is spread over several nodes.", Self::MOST_GPUS);
            wrong.push(FieldProblem::new("gpus", sentence).suggesting(Self::MOST_GPUS.to_string()));
        }
        let kind = self.gpu_product.as_ref().or(self.mig_profile.as_ref());
        if let (Some(0), Some(kind)) = (self.gpus, kind) {
            let sentence = format!("It asks for {}, and for 0 GPUs. Ask for at least 1, or for any GPU.", short(kind));
            wrong.push(FieldProblem::new("gpus", sentence).suggesting("1"));
        }
        if self.mig_profile.is_some() && self.gpus.is_some_and(|n| n > 1) {
            wrong.push(one_slice());
        }
        if let Some(product) = self.gpu_product.as_deref().filter(|product| !is_product(product)) {
            let sentence = format!("“{}” is no GPU product: letters, digits, blanks, “-”, “_” and “.”, at most 63.", short(product));
            wrong.push(FieldProblem::new("gpu_product", sentence).suggesting("H200"));
        }
        if let Some(profile) = self.mig_profile.as_deref().filter(|profile| !compute::is_profile(profile)) {
            let sentence = format!("“{}” is no profile of a GPU slice.", short(profile));
            wrong.push(FieldProblem::new("mig_profile", sentence).suggesting("1g.10gb"));
        }
        if self.cpu.is_some_and(|n| !(1..=Self::MOST_CPU).contains(&n)) {
            wrong.push(FieldProblem::new("cpu", format!("1 to {} CPU cores.", Self::MOST_CPU)).suggesting("1"));
        }
        if self.memory.is_some_and(|n| !(Self::LEAST_MEMORY..=Self::MOST_MEMORY).contains(&n)) {
            let (least, most) = (size::bytes(Self::LEAST_MEMORY), Self::MOST_MEMORY / size::GB / 1000);
            wrong.push(FieldProblem::new("memory_gb", format!("{least} to {most}\u{a0}TB of memory.")).suggesting("16"));
        }
        wrong
    }

    /// What it asks for: `2 GPUs (NVIDIA-H200)`, `4 CPU cores`, `16.0 GB of memory`; empty where it asks for nothing.
    pub fn said(&self) -> Vec<String> {
        let kind: Vec<String> =
            self.gpu_product.iter().cloned().chain(self.mig_profile.iter().map(|profile| format!("MIG {profile}"))).collect();
        let gpus = match (self.gpus, kind.join(", ")) {
            (Some(0), _) => Some("no GPU".to_owned()),
            (Some(n), kind) if kind.is_empty() => Some(counted(n.into(), "GPU", "GPUs")),
            (Some(n), kind) => Some(format!("{} ({kind})", counted(n.into(), "GPU", "GPUs"))),
            (None, kind) if kind.is_empty() => None,
            (None, kind) => Some(format!("GPU: {kind}")),
        };
        let cpu = self.cpu.map(|n| counted(n.into(), "CPU core", "CPU cores"));
        let memory = self.memory.map(|n| format!("{} of memory", size::bytes(n)));
        gpus.into_iter().chain(cpu).chain(memory).collect()
    }
}

/// What a process sees of several slices is one of them.
pub(crate) fn one_slice() -> FieldProblem {
    FieldProblem::new("gpus", "A process can use one slice of a GPU. Ask for 1, or for whole GPUs.").suggesting("1")
}

pub(crate) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// It becomes a label of a node, in which blanks stand as `-`.
fn is_product(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'_' | b'.'))
}

/// A product's name as a label of a node: what is not allowed there stands as `-`. Empty where nothing is left of it.
pub fn product_label(product: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let label: String = product.chars().take(63).map(plain).collect();
    label.trim_matches(['-', '_', '.']).to_owned()
}

/// Whether a node with this label has the product that was asked for.
pub fn is_of_product(label: &str, asked: &str) -> bool {
    label.to_lowercase().contains(&product_label(asked).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: &ResourceRequest) -> Vec<String> {
        request.check().into_iter().map(|p| p.field).collect()
    }

    #[test]
    fn what_no_machine_can_give_is_named_by_field() {
        let none = ResourceRequest::default();
        assert_eq!((none.check(), none.said(), none.is_default()), (Vec::new(), Vec::new(), true));
        let whole =
            ResourceRequest { gpus: Some(2), gpu_product: Some("NVIDIA H200".into()), cpu: Some(4), memory: Some(16 * size::GB), ..none };
        assert_eq!(fields(&whole), [""; 0]);
        assert_eq!(whole.said(), ["2 GPUs (NVIDIA H200)", "4 CPU cores", "16.0\u{a0}GB of memory"]);
        let too_much = ResourceRequest { gpus: Some(65), cpu: Some(0), memory: Some(1), ..ResourceRequest::default() };
        assert_eq!(fields(&too_much), ["gpus", "cpu", "memory_gb"]);
        let slices = ResourceRequest { gpus: Some(2), mig_profile: Some("1g.10gb".into()), ..ResourceRequest::default() };
        assert_eq!(fields(&slices), ["gpus"]);
        let slice = ResourceRequest { gpus: Some(1), ..slices };
        assert_eq!((fields(&slice), slice.said()), (Vec::new(), vec!["1 GPU (MIG 1g.10gb)".to_owned()]));
        assert_eq!(fields(&ResourceRequest { gpus: Some(0), ..slice }), ["gpus"]);
    }

    #[test]
    fn a_product_that_no_label_can_name_is_refused() {
        let asks = |product: &str| ResourceRequest { gpu_product: Some(product.into()), ..ResourceRequest::default() };
        for good in ["H200", "NVIDIA GeForce RTX 4090", "NVIDIA-A100-SXM4-40GB", "a_b.c"] {
            assert_eq!(fields(&asks(good)), [""; 0], "{good}");
        }
        for bad in ["", " ", "no such card!", "H200\n", "-H200", "карта", "a,b", &"H".repeat(64)] {
            assert_eq!(fields(&asks(bad)), ["gpu_product"], "{bad:?}");
        }
        assert!(is_of_product("NVIDIA-GeForce-RTX-4090", "rtx 4090") && !is_of_product("NVIDIA-L4", "H200"));
    }

    #[test]
    fn what_was_written_before_asks_for_nothing_and_what_asks_for_nothing_is_written_as_before() {
        assert_eq!(serde_json::to_string(&ResourceRequest::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<ResourceRequest>("{}").unwrap().is_default());
        let none = ResourceRequest { gpus: Some(0), ..ResourceRequest::default() };
        assert_eq!((serde_json::to_string(&none).unwrap().as_str(), none.said()), (r#"{"gpus":0}"#, vec!["no GPU".to_owned()]));
    }
}
