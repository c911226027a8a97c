//! One step of a run's plan: what it is, what it needs, who does it, and where it is.

use super::{custom::CustomTraining, resources::Resources, step_kind::StepKind};
use crate::{reason::run::Reason, time::Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Names a step within its plan, a process of the run, and folders in the artefact store: lower-case letters, digits and `-`, at most 20.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is not the id of a step")]
pub struct BadStepId(String);

impl StepId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// One of the plans' own; a test reads them all as any other.
    pub(super) fn known(id: &'static str) -> Self {
        Self(id.to_owned())
    }
}
impl FromStr for StepId {
    type Err = BadStepId;
    fn from_str(text: &str) -> Result<Self, BadStepId> {
        let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && text.len() <= 20 && text.starts_with(|c: char| c.is_ascii_lowercase()) {
            Ok(Self(text.into()))
        } else {
            Err(BadStepId(text.into()))
        }
    }
}
impl TryFrom<String> for StepId {
    type Error = BadStepId;
    fn try_from(text: String) -> Result<Self, BadStepId> {
        text.parse()
    }
}
impl From<StepId> for String {
    fn from(id: StepId) -> Self {
        id.0
    }
}
impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Pending,
    /// Its process is asked for, and has said nothing yet.
    Starting,
    Running,
    Done,
    Failed,
    /// Not begun, because an earlier step failed, the run was stopped, or the plan left it out.
    Skipped,
    /// Begun, and ended because the run was stopped.
    Stopped,
}

worded!(StepState);

impl StepState {
    pub const ALL: [StepState; 7] = [Self::Pending, Self::Starting, Self::Running, Self::Done, Self::Failed, Self::Skipped, Self::Stopped];
    /// Something is at work on it.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped | Self::Stopped)
    }
}

/// Who does a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Work {
    /// A process. Steps that name the same one are its parts, in the order of the plan: they start together, and the process itself
    /// says which part it has come to.
    Process {
        process: StepId,
        #[serde(rename = "job")]
        work: ProcessWork,
    },
    /// The portal itself, in a moment in which it cannot be stopped.
    Portal {
        #[serde(rename = "job")]
        work: PortalWork,
    },
}

/// What a process is started for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProcessWork {
    Train,
    /// The same by an image of somebody's own.
    Custom(CustomTraining),
    /// The adapter that a step has left, into the weights of the base model.
    Merge {
        adapter: StepId,
    },
    /// Base against the weights that a step has left.
    Evaluate {
        weights: StepId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PortalWork {
    /// Makes a model version of the weights that a step has left; `evaluation`: the step with the answers, where there is one.
    Publish { weights: StepId, evaluation: Option<StepId> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    pub kind: StepKind,
    /// Earlier steps that must be done; one that the plan left out is passed over.
    pub needs: Vec<StepId>,
    pub work: Work,
    pub resources: Resources,
    /// Milliseconds that it may take once it has begun.
    pub deadline: Option<i64>,
    /// Which try this is, from 1.
    pub attempt: u32,
    pub state: StepState,
    /// Always says something: what was done, what it waits for, why it failed.
    pub reason: Reason,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Step {
    /// What starts and ends as one: a process with all its parts, or the step alone.
    pub const fn unit(&self) -> &StepId {
        match &self.work {
            Work::Process { process, .. } => process,
            Work::Portal { .. } => &self.id,
        }
    }

    /// The unit and its try, as in names of processes and in paths of the artefact store: `train`, and `train-2` for the second try.
    pub fn folder(&self) -> String {
        match self.attempt {
            0 | 1 => self.unit().to_string(),
            n => format!("{}-{n}", self.unit()),
        }
    }

    /// It has been at work for longer than it may.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let began = self.started_at.filter(|_| self.state.is_active());
        self.deadline.zip(began).is_some_and(|(allowed, began)| now.since(began) > allowed)
    }
}
