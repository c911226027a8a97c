//! What a task says while it works: one JSON object a line on its standard output, and a verdict in the store at the end.
//! The portal reads the lines from an offset that it remembers; if they are lost, the verdict decides.

use crate::{run::LogLevel, run::MetricPoint, run::Scores, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub at: Timestamp,
    #[serde(flatten)]
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Said {
    /// A new part of the work began.
    Phase {
        phase: Phase,
        detail: String,
    },
    /// Training: where it stands.
    Progress {
        step: u64,
        total_steps: u64,
        metric: Option<MetricPoint>,
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
    /// The last line of a job; the same as in the store.
    Verdict {
        verdict: Verdict,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterFailure {
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Fetching inputs and writing the trainer's files.
    Prepare,
    Train,
    Evaluate,
    Upload,
    /// Model server: weights are loading.
    Loading,
    /// Model server: answers.
    Ready,
    Stopping,
}

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Verdict {
    Succeeded(Outcome),
    Failed {
        /// How the process ended: `exit 1`, `signal 9`.
        exit: String,
        /// Cause, sentence and next step from the catalogue (`task::catalogue`).
        cause: String,
        sentence: String,
        next_step: String,
        evidence: Vec<String>,
    },
    /// Stopped because it was told to.
    Stopped,
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
