//! A run as a document.

use super::{Difference, Kind, ResourcesSpec, Said, Spec, placed};
use crate::{
    model::WeightsKind,
    name::Name,
    problem::FieldProblem,
    resource_request::ResourceRequest,
    run::{CustomTraining, MOST_NODES, NewRun, Resources, Run, RunState, StepId, StepKind, StepState},
    settings::{FinetuningType, RunSettings, catalogue},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run does. It cannot be changed: another spec is another run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunSpec {
    /// Name of the base model that is trained.
    pub base_model: Name,
    /// Name of the dataset that it is trained on.
    pub dataset: Name,
    /// Number of the dataset's version; without one, the newest that is ready when the run is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_version: Option<u32>,
    /// The model that the result becomes a version of; made when it does not exist.
    pub model: Name,
    /// What a LoRA training leaves: an adapter, or full weights into which it is merged.
    #[serde(default)]
    pub result: WeightsKind,
    /// Over how many nodes the training is spread, where work runs on a cluster.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = MOST_NODES))]
    pub nodes: u32,
    /// What its processes may use, on each node.
    #[serde(default, skip_serializing_if = "ResourcesSpec::is_empty")]
    pub resources: ResourcesSpec,
    /// What trains in place of LLaMA-Factory, where work runs on a cluster and whoever runs the portal allows its image. Of the settings
    /// it has `finetuning_type` only, which says what it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomTraining>,
    /// LLaMA-Factory's settings by its own names; what is not set has the trainer's default.
    #[serde(default)]
    pub settings: RunSettings,
}

fn one() -> u32 {
    1
}

fn is_one(nodes: &u32) -> bool {
    *nodes == 1
}

impl RunSpec {
    pub fn of(run: &Run) -> Self {
        Self {
            base_model: run.base_model_name.clone(),
            dataset: run.dataset_name.clone(),
            dataset_version: Some(run.dataset_number),
            model: run.model_name.clone(),
            result: run.result(),
            nodes: run.nodes(),
            resources: ResourcesSpec::of(&run.resources()),
            custom: run.custom().cloned(),
            settings: run.settings.clone(),
        }
    }

    /// The same number for the same name: a document that comes twice at once makes one run.
    pub fn new_run(self, name: &str) -> NewRun {
        NewRun {
            name: name.to_owned(),
            base_model: self.base_model.into(),
            dataset: self.dataset.into(),
            dataset_number: self.dataset_version,
            model_name: self.model.into(),
            settings: self.settings,
            result: self.result,
            nodes: self.nodes,
            resources: self.resources.over(ResourceRequest::default()),
            custom: self.custom,
            cloned_from: None,
            submission: format!("document {name}"),
        }
    }

    /// Problems of the form of a run, by their place in its document.
    pub fn placed(problems: Vec<FieldProblem>) -> Vec<FieldProblem> {
        let place = |problem: FieldProblem| {
            let at = match problem.field.as_str() {
                "name" | "submission" => "metadata.name".to_owned(),
                field if field.starts_with("custom.") => return placed("spec", vec![problem]),
                "base_model" | "dataset" | "result" | "nodes" => return placed("spec", vec![problem]),
                "dataset_number" => "spec.datasetVersion".to_owned(),
                "model_name" => "spec.model".to_owned(),
                setting => match ResourcesSpec::placed(&problem) {
                    Some(placed) => return vec![placed],
                    None => format!("spec.settings.{setting}"),
                },
            };
            vec![FieldProblem { field: at, ..problem }]
        };
        problems.into_iter().flat_map(place).collect()
    }
}

impl Spec for RunSpec {
    const KIND: Kind = Kind::Run;
    type Status = RunStatus;

    /// Of settings and resources, where what holds is another: to set what is the default anyhow is no difference.
    fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut now = now.clone();
        now.resources.cpu.get_or_insert(Some(Resources::USUAL_CPU_MILLIS / 1000));
        let now = &now;
        let bare = |spec: &Self| {
            // All weights are trained, so there is nothing to merge.
            let result = if spec.settings.finetuning_type() == FinetuningType::Full { WeightsKind::default() } else { spec.result };
            // A null is what is not set.
            let resources = ResourcesSpec::of(&spec.resources.over(ResourceRequest::default()));
            Self { settings: RunSettings::default(), result, resources, ..spec.clone() }
        };
        let mut out = Difference::between(&bare(now), &bare(self));
        let value = |spec: &Self, key: &str| serde_json::to_value(catalogue().value(&spec.settings, key)).unwrap_or_default();
        out.extend(catalogue().differences(&now.settings, &self.settings).into_iter().map(|d| Difference {
            path: format!("spec.settings.{}", d.key),
            now: value(now, &d.key),
            wanted: value(self, &d.key),
        }));
        out
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    pub id: String,
    pub state: RunState,
    /// Why it is where it is.
    pub reason: Said,
    pub steps: Vec<StepStatus>,
    pub owner: String,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    pub id: StepId,
    pub kind: StepKind,
    pub state: StepState,
    pub reason: Said,
}

impl RunStatus {
    pub fn of(run: &Run) -> Self {
        let steps = run.steps.iter().map(|step| StepStatus {
            id: step.id.clone(),
            kind: step.kind,
            state: step.state,
            reason: Said::of(&step.reason, step.reason.said()),
        });
        Self {
            id: run.id.to_string(),
            state: run.state,
            reason: Said::of(&run.reason, run.said()),
            steps: steps.collect(),
            owner: run.owner_name.clone(),
            created_at: run.created_at.rfc3339(),
            started_at: run.started_at.map(Timestamp::rfc3339),
            ended_at: run.ended_at.map(Timestamp::rfc3339),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::preset;

    fn spec() -> RunSpec {
        RunSpec {
            base_model: "world-base".parse().unwrap(),
            dataset: "facts".parse().unwrap(),
            dataset_version: Some(3),
            model: "facts".parse().unwrap(),
            nodes: 1,
            resources: ResourcesSpec::default(),
            custom: None,
            result: WeightsKind::Adapter,
            settings: preset("lora").unwrap(),
        }
    }

    #[test]
    fn a_spec_that_comes_to_the_same_run_is_no_difference() {
        let newest = RunSpec { dataset_version: None, settings: spec().settings.with("weight_decay", 0), ..spec() };
        assert_eq!(newest.differences(&spec()), [], "the newest version of then, and what is the default anyhow");
        let full = |result| RunSpec { result, settings: preset("full").unwrap(), ..spec() };
        assert_eq!(full(WeightsKind::Merged).differences(&full(WeightsKind::Adapter)), []);
        let read: RunSpec = serde_json::from_str(&serde_json::to_string(&spec()).unwrap()).unwrap();
        assert_eq!(read, spec());
    }

    #[test]
    fn resources_are_compared_as_they_come_to() {
        let read = |text: &str| RunSpec { resources: serde_json::from_str(text).unwrap(), ..spec() };
        let said = |wanted: &str, now: &str| read(wanted).differences(&read(now)).iter().map(ToString::to_string).collect::<Vec<_>>();
        for same in ["{}", r#"{"cpu":1}"#, r#"{"gpus":null,"cpu":null}"#] {
            assert_eq!(said(same, "{}"), [""; 0], "{same}");
        }
        assert_eq!(said(r#"{"gpus":2,"cpu":4}"#, r#"{"gpus":2,"cpu":4}"#), [""; 0]);
        assert_eq!(
            said(r#"{"gpus":0,"cpu":1,"memoryBytes":1000000000}"#, r#"{"gpus":2,"cpu":4}"#),
            ["spec.resources.cpu: 4 -> 1", "spec.resources.gpus: 2 -> 0", "spec.resources.memoryBytes: not set -> 1000000000"]
        );
        let asked = read(r#"{"gpus":2,"gpuProduct":"H200","memoryBytes":64000000000}"#);
        let written = serde_json::to_string(&asked).unwrap();
        assert!(written.contains(r#""resources":{"gpus":2,"gpuProduct":"H200","memoryBytes":64000000000}"#), "{written}");
        assert!(!serde_json::to_string(&spec()).unwrap().contains("resources"));
        assert_eq!(asked.new_run("facts-1").resources.memory, Some(64_000_000_000));
    }

    #[test]
    fn another_run_is_told_field_by_field() {
        let other = RunSpec {
            dataset_version: Some(4),
            result: WeightsKind::Merged,
            settings: spec().settings.with("lora_rank", 32).with("seed", 7),
            ..spec()
        };
        assert_eq!(
            other.differences(&spec()).iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "spec.datasetVersion: 3 -> 4",
                "spec.result: \"adapter\" -> \"merged\"",
                "spec.settings.lora_rank: 16 -> 32",
                "spec.settings.seed: 42 -> 7"
            ]
        );
    }

    #[test]
    fn a_problem_of_the_form_is_named_by_its_place() {
        let at = |field: &str| RunSpec::placed(vec![FieldProblem::new(field, "x")]).remove(0).field;
        for (field, place) in [
            ("name", "metadata.name"),
            ("base_model", "spec.baseModel"),
            ("dataset_number", "spec.datasetVersion"),
            ("model_name", "spec.model"),
            ("gpus", "spec.resources.gpus"),
            ("memory_gb", "spec.resources.memoryBytes"),
            ("custom.image", "spec.custom.image"),
            ("lora_rank", "spec.settings.lora_rank"),
        ] {
            assert_eq!(at(field), place);
        }
    }
}
