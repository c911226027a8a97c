//! A fine-tuning run: a plan of steps, what has become of each, and the states that follow from that.
//!
//! [`RunRecord`] is plain data, as it is stored and sent. A [`Run`] is a record that was checked once; from then on only its methods
//! (in `transitions`) change it, and whoever holds one reads the record through it.

mod custom;
pub(crate) mod evaluation;
mod listed;
pub mod plan;
mod resources;
mod step;
pub(crate) mod step_kind;
mod transitions;

pub use crate::reason::{failure::Failure, run::Reason, task::PendingCause};
pub use custom::CustomTraining;
pub use evaluation::{EvaluatedRow, Scores, Verdict};
pub use listed::{RunCounts, RunOnData};
pub use resources::Resources;
pub use step::{PortalWork, ProcessWork, Step, StepId, StepState, Work};
pub use step_kind::StepKind;
pub use transitions::Inconsistent;

use crate::{
    ids::{BaseModelId, DatasetVersionId, ModelVersionId, PersonId, RunId},
    model::WeightsKind,
    name::Name,
    resource_request::ResourceRequest,
    settings::{FinetuningType, RunSettings},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// What it does while it is running is the state of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for a slot of the tenant's quota.
    Queued,
    Running,
    /// A person asked to stop it; a process has not ended yet.
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
}

worded!(RunState);

impl RunState {
    pub const ALL: [RunState; 6] = [Self::Queued, Self::Running, Self::Cancelling, Self::Succeeded, Self::Failed, Self::Cancelled];
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
    /// Holds a slot of the tenant's quota.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

/// It is not possible now; the sentence is for the person who pressed the button.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// One point of the curves, as the trainer logged it. Absent values were not in that line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    pub step: u64,
    pub epoch: Option<f64>,
    pub loss: Option<f64>,
    pub eval_loss: Option<f64>,
    pub learning_rate: Option<f64>,
    pub tokens_per_second: Option<f64>,
    pub total_tokens: Option<u64>,
    /// When it was logged.
    pub at: Timestamp,
}

/// Where the training stands; times are ours, not the trainer's (wrong after a resume).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub step: u64,
    pub total_steps: u64,
    /// Milliseconds that the rest will take at the pace so far.
    pub remaining_ms: Option<i64>,
    /// The step of the checkpoint that this try went on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<u64>,
    /// The step of the last checkpoint that is in the store: another try goes on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
}

impl Progress {
    /// Where another try begins; `None` = from the first step.
    pub fn at_checkpoint(self) -> Option<Self> {
        let step = self.checkpoint?;
        Some(Self { step, total_steps: self.total_steps, remaining_ms: None, resumed_at: None, checkpoint: Some(step) })
    }
}

/// One line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// From 1, per run, across its tasks.
    pub number: u64,
    pub at: Timestamp,
    pub step: StepId,
    pub level: LogLevel,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Info,
    Warning,
    Error,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub id: RunId,
    pub tenant: Name,
    pub name: Name,
    pub state: RunState,
    pub reason: Reason,
    pub base_model: BaseModelId,
    pub base_model_name: Name,
    pub dataset_version: DatasetVersionId,
    pub dataset_name: Name,
    pub dataset_number: u32,
    /// The model that the result becomes a version of.
    pub model_name: Name,
    pub settings: RunSettings,
    pub cloned_from: Option<RunId>,
    /// The plan, in order: a step needs only earlier ones.
    pub steps: Vec<Step>,
    pub progress: Option<Progress>,
    pub scores: Option<Scores>,
    pub failure: Option<Failure>,
    pub model_version: Option<ModelVersionId>,
    pub owner: PersonId,
    pub owner_name: String,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// A run whose record fits together. Read through [`Deref`], changed by its methods only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RunRecord", into = "RunRecord")]
pub struct Run(RunRecord);

impl Deref for Run {
    type Target = RunRecord;
    fn deref(&self) -> &RunRecord {
        &self.0
    }
}

impl From<Run> for RunRecord {
    fn from(run: Run) -> Self {
        run.0
    }
}

impl Run {
    pub fn into_record(self) -> RunRecord {
        self.0
    }

    /// What it does now: the step at work, or the next one between two steps. `None` unless it is running.
    pub fn doing(&self) -> Option<&Step> {
        let at_work = self.steps.iter().find(|s| s.state.is_active());
        let next = || self.steps.iter().find(|s| s.state == StepState::Pending);
        if self.state == RunState::Running { at_work.or_else(next) } else { None }
    }

    /// Why the step at work does not run yet; `None` when it does, or just starts.
    pub fn waits_for(&self) -> Option<&PendingCause> {
        match &self.doing().filter(|s| s.state.is_active())?.reason {
            Reason::WaitsForMachine { cause: PendingCause::Starting } => None,
            Reason::WaitsForMachine { cause } => Some(cause),
            _ => None,
        }
    }

    /// Why it is where it is, for a person: while it runs, what the step at work says.
    pub fn said(&self) -> String {
        match (&self.reason, self.doing()) {
            (Reason::Underway, Some(step)) => step.reason.said(),
            (reason, _) => reason.said(),
        }
    }

    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|s| s.id == *id)
    }

    /// The folder of a step's latest try, as in `artefacts::run_task`.
    pub fn folder_of(&self, step: &StepId) -> String {
        self.step(step).map_or_else(|| step.to_string(), Step::folder)
    }

    /// What it was asked to leave, as its plan says.
    pub fn result(&self) -> WeightsKind {
        let merges = self.steps.iter().any(|s| s.kind == StepKind::Merge);
        if merges { WeightsKind::Merged } else { WeightsKind::Adapter }
    }

    /// Over how many nodes its training is spread.
    pub fn nodes(&self) -> u32 {
        self.steps.iter().map(|s| s.resources.nodes).max().unwrap_or(0).max(1)
    }

    /// What somebody asked the machines for, for each of its processes.
    pub fn resources(&self) -> ResourceRequest {
        let process = self.steps.iter().find(|s| matches!(s.work, Work::Process { .. }));
        process.map(|s| s.resources.request()).unwrap_or_default()
    }

    /// What trains in place of LLaMA-Factory; `None` = that one does.
    pub fn custom(&self) -> Option<&CustomTraining> {
        self.steps.iter().find_map(|s| match &s.work {
            Work::Process { work: ProcessWork::Custom(custom), .. } => Some(custom),
            _ => None,
        })
    }

    /// The weights that a step leaves: what a merge leaves is whole, what a training leaves is what it trained.
    pub fn weights_of(&self, step: &StepId) -> WeightsKind {
        match (self.step(step).map(|s| &s.work), self.settings.finetuning_type()) {
            (Some(Work::Process { work: ProcessWork::Merge { .. }, .. }), _) | (_, FinetuningType::Full) => WeightsKind::Merged,
            (_, FinetuningType::Lora) => WeightsKind::Adapter,
        }
    }
}

/// What else of a tenant is at work, and so holds what a run waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    pub runs: Vec<(RunId, Name)>,
    pub endpoints: Vec<Name>,
}

/// More than any cluster that this was tried on.
pub const MOST_NODES: u32 = 64;

const fn one_node() -> u32 {
    1
}

/// What a person asks for: the form, the YAML and the run files of `examples/` are views of this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewRun {
    pub name: String,
    /// Name of a base model.
    pub base_model: String,
    /// Name of a dataset.
    pub dataset: String,
    /// `None` = its newest ready version.
    pub dataset_number: Option<u32>,
    /// The model that the result becomes a version of; made when it does not exist.
    pub model_name: String,
    pub settings: RunSettings,
    /// What it should leave.
    #[serde(default)]
    pub result: WeightsKind,
    /// Over how many nodes the training is spread: 1 to [`MOST_NODES`].
    #[serde(default = "one_node")]
    pub nodes: u32,
    /// What each of its processes may use, on each node.
    #[serde(default)]
    pub resources: ResourceRequest,
    /// What trains in place of LLaMA-Factory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomTraining>,
    pub cloned_from: Option<RunId>,
    /// A one-time number of the form: the same form sent twice launches once.
    pub submission: String,
}
