//! What a task says while it works: one JSON object a line on its standard output, and a verdict in the store at the end.
//! The portal reads the lines from an offset that it remembers; if they are lost, the verdict decides.

use crate::{
    isolation::{self, Probe},
    reason::{
        endpoint::AdapterReason,
        failure::{Cause, Failure},
        run::Reason,
        task::End,
    },
    run::{LogLevel, MetricPoint, Scores, StepKind},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub at: Timestamp,
    /// Which of several says it: the name of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    #[serde(flatten)]
    pub message: TaskMessage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaskMessage {
    /// A new part of the work began.
    Phase {
        phase: Phase,
        /// A model server's own words; of a job only from earlier versions.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// Training: where it stands.
    Progress {
        step: u64,
        total_steps: u64,
        metric: Option<MetricPoint>,
    },
    /// Training: it goes on from the checkpoint of this step, which an earlier try had stored.
    Resumed {
        step: u64,
        total_steps: u64,
    },
    /// Training: the checkpoint of this step is in the store, whole.
    Checkpoint {
        step: u64,
    },
    /// Evaluation: rows answered.
    Evaluated {
        done: u64,
        total: u64,
    },
    Log {
        level: LogLevel,
        text: String,
    },
    /// A model server: which adapters it serves now, and why others not.
    Adapters {
        loaded: Vec<String>,
        failed: Vec<AdapterFailure>,
    },
    /// A check of isolation: what came of one try.
    Tried {
        probe: Probe,
        outcome: isolation::Outcome,
    },
    /// The last line of a job; the same as in the store.
    Verdict {
        verdict: Verdict,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterFailure {
    pub name: String,
    #[serde(deserialize_with = "adapter_reason")]
    pub reason: AdapterReason,
}

/// A task that an older version started says a sentence.
fn adapter_reason<'de, D: serde::Deserializer<'de>>(from: D) -> Result<AdapterReason, D::Error> {
    serde_json::Value::deserialize(from).map(AdapterReason::from_value)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Fetching inputs and writing the trainer's files.
    Prepare,
    Train,
    Merge,
    Evaluate,
    Upload,
    /// Model server: weights are loading.
    Loading,
    /// Model server: answers.
    Ready,
    Stopping,
}

impl Phase {
    /// The kind of step that this phase is the work of.
    pub const fn step(self) -> Option<StepKind> {
        match self {
            Self::Prepare => Some(StepKind::Prepare),
            Self::Train => Some(StepKind::Train),
            Self::Merge => Some(StepKind::Merge),
            Self::Evaluate => Some(StepKind::Evaluate),
            Self::Upload | Self::Loading | Self::Ready | Self::Stopping => None,
        }
    }
}

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Verdict {
    Succeeded(Outcome),
    /// Recognised by `task::catalogue`.
    Failed(Failure),
    /// Stopped because it was told to.
    Stopped,
}

impl Verdict {
    /// Whether it knows by itself why the task ended. One that was told to stop does not know by whom, and one that lost its connection to
    /// another process does not know what became of that one.
    pub fn is_last_word(&self) -> bool {
        match self {
            Self::Succeeded(_) => true,
            Self::Failed(failure) => failure.cause != Cause::ConnectionLost,
            Self::Stopped => false,
        }
    }

    /// Whether this end of the task says more than the verdict.
    pub fn is_explained_by(&self, end: &End) -> bool {
        match self {
            _ if self.is_last_word() => false,
            Self::Failed(_) => end.explains_a_stop() || matches!(end, End::Signalled { signal } if *signal != 15),
            _ => end.explains_a_stop(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Files that were uploaded, with sizes and BLAKE3 digests.
    pub files: Vec<crate::base_model::StoredFile>,
    /// Training only: `train_results.json` and the like, as numbers.
    pub results: std::collections::BTreeMap<String, f64>,
    /// Evaluation only.
    pub scores: Option<Scores>,
    /// Versions of trainer, torch, transformers as the process itself saw them.
    pub software: std::collections::BTreeMap<String, String>,
}
