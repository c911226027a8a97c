//! What a form asks the machines for, as text, exactly as typed: the same fields in the form of a run and in those of an endpoint.

use domain::{problem::FieldProblem, resource_request::ResourceRequest, size::GB, supply::gigabytes};
use serde::{Deserialize, Serialize};

/// Empty fields ask for nothing. A form has none of these where tasks are processes of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourcesForm {
    pub gpus: String,
    pub gpu_product: String,
    pub mig_profile: String,
    pub cpu: String,
    pub memory_gb: String,
}

impl ResourcesForm {
    pub fn of(request: &ResourceRequest) -> Self {
        let whole = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
        Self {
            gpus: whole(request.gpus),
            gpu_product: request.gpu_product.clone().unwrap_or_default(),
            mig_profile: request.mig_profile.clone().unwrap_or_default(),
            cpu: whole(request.cpu),
            memory_gb: request.memory.map(gigabytes).unwrap_or_default(),
        }
    }

    /// The request, or every field that cannot be read.
    pub fn read(&self) -> Result<ResourceRequest, Vec<FieldProblem>> {
        let mut wrong = Vec::new();
        let mut whole = |field: &str, text: &str| match text.trim() {
            "" => None,
            text => text
                .parse::<u32>()
                .map_err(|_| {
                    let sentence = format!("“{}” is not a whole number. Leave it empty for what is usual.", short(text));
                    wrong.push(FieldProblem::new(field, sentence).suggesting("1"));
                })
                .ok(),
        };
        let (gpus, cpu) = (whole("gpus", &self.gpus), whole("cpu", &self.cpu));
        let memory = match self.memory_gb.trim() {
            "" => None,
            text => {
                let read = text.replace(',', ".").parse::<f64>().ok().filter(|gb| gb.is_finite() && (0.0..=8e9).contains(gb));
                if read.is_none() {
                    let sentence = format!("“{}” is not a number of GB. Leave it empty for what is usual.", short(text));
                    wrong.push(FieldProblem::new("memory_gb", sentence).suggesting("16"));
                }
                read.map(|gb| (gb * GB as f64).round() as u64)
            }
        };
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let (gpu_product, mig_profile) = (text(&self.gpu_product), text(&self.mig_profile));
        if wrong.is_empty() { Ok(ResourceRequest { gpus, gpu_product, mig_profile, cpu, memory }) } else { Err(wrong) }
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_survives_the_way_through_the_form() {
        let request = ResourceRequest {
            gpus: Some(0),
            gpu_product: Some("NVIDIA-H200".into()),
            mig_profile: Some("1g.10gb".into()),
            cpu: Some(4),
            memory: Some(64 << 30),
        };
        for request in [request, ResourceRequest::default()] {
            assert_eq!(ResourcesForm::of(&request).read(), Ok(request));
        }
        let typed = ResourcesForm { memory_gb: " 1,5 ".into(), ..ResourcesForm::default() };
        assert_eq!(typed.read().unwrap().memory, Some(1_500_000_000));
    }

    #[test]
    fn what_is_no_number_is_named_by_field() {
        let typed = |text: &str| ResourcesForm { gpus: text.into(), cpu: text.into(), memory_gb: text.into(), ..ResourcesForm::default() };
        for text in ["many", "-1", "1e99"] {
            let fields: Vec<_> = typed(text).read().unwrap_err().into_iter().map(|p| p.field).collect();
            assert_eq!(fields, ["gpus", "cpu", "memory_gb"], "{text}");
        }
    }
}
