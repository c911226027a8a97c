//! A fine-tuning run: its plan, its states, and who may go where.

use crate::{
    ids::{BaseModelId, DatasetVersionId, ModelVersionId, PersonId, RunId},
    name::Name,
    settings::RunSettings,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Preparing,
    Training,
    Evaluating,
    Publishing,
    Succeeded,
    Failed,
    /// A person asked; the process has not ended yet.
    Cancelling,
    Cancelled,
}

impl RunState {
    pub const ALL: [RunState; 9] = [
        Self::Queued,
        Self::Preparing,
        Self::Training,
        Self::Evaluating,
        Self::Publishing,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelling,
        Self::Cancelled,
    ];
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Training => "training",
            Self::Evaluating => "evaluating",
            Self::Publishing => "publishing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
    /// Holds a slot of the tenant's quota.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Preparing | Self::Training | Self::Evaluating | Self::Publishing | Self::Cancelling)
    }
}

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The controller has a slot for it.
    Admit,
    TrainerStarted,
    TrainerDone,
    EvaluationDone,
    Published,
    Fail,
    /// A person asks to stop it.
    Cancel,
    /// The process is gone after a cancel.
    Stopped,
}

/// The event is not possible in this state; the sentence is for the person who pressed the button.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl RunState {
    /// Where the run goes. Events that repeat what is already so are refused, so that callers notice doubles.
    pub fn next(self, event: RunEvent) -> Result<RunState, Refused> {
        use RunEvent as E;
        use RunState as S;
        Ok(match (self, event) {
            (S::Queued, E::Admit) => S::Preparing,
            (S::Preparing, E::TrainerStarted) => S::Training,
            (S::Preparing | S::Training, E::TrainerDone) => S::Evaluating,
            (S::Evaluating, E::EvaluationDone) => S::Publishing,
            (S::Publishing, E::Published) => S::Succeeded,
            (S::Queued, E::Cancel) => S::Cancelled,
            (S::Preparing | S::Training | S::Evaluating, E::Cancel) => S::Cancelling,
            (S::Cancelling, E::Stopped) => S::Cancelled,
            (S::Queued | S::Preparing | S::Training | S::Evaluating | S::Publishing, E::Fail) => S::Failed,
            (S::Cancelling, E::Fail) => S::Cancelled,
            (s, E::Cancel) if s.is_final() => return Err(Refused(format!("The run has already ended: it {}.", s.past()))),
            (S::Publishing, E::Cancel) => {
                return Err(Refused("The model is being published; that takes a moment and cannot be stopped.".into()));
            }
            (S::Cancelling, E::Cancel) => return Err(Refused("The run is already being stopped.".into())),
            (s, e) => return Err(Refused(format!("{e:?} is not possible while the run is {}.", s.word()))),
        })
    }

    const fn past(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Cancelled => "was stopped",
            _ => "failed",
        }
    }
}

/// The plan, in order. Each step is shown from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Prepare,
    Train,
    Evaluate,
    Publish,
}

impl StepKind {
    pub const ALL: [StepKind; 4] = [Self::Prepare, Self::Train, Self::Evaluate, Self::Publish];
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Publish => "publish",
        }
    }
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Pending,
    Running,
    Done,
    Failed,
    /// Not done, because an earlier step failed or the run was stopped (then it may have begun: [`Step::was_stopped`]).
    Skipped,
}

impl StepState {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Done, Self::Failed, Self::Skipped].into_iter().find(|s| s.word() == word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub kind: StepKind,
    pub state: StepState,
    /// Always says something: what was done, what it waits for, why it failed.
    pub reason: String,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Step {
    /// It was at work when the run was stopped, so it was not simply left out.
    pub fn was_stopped(&self) -> bool {
        self.state == StepState::Skipped && self.started_at.is_some()
    }
}

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
}

/// One line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// From 1, per run, across its tasks.
    pub number: u64,
    pub at: Timestamp,
    pub step: StepKind,
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

/// Why a run failed: the sentence from the catalogue, the rule that matched, and the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `out_of_memory`, `bad_lora_target`...; `unknown` when nothing matched.
    pub cause: String,
    pub sentence: String,
    pub next_step: String,
    /// The last lines that say it, as the trainer wrote them; at most 20.
    pub evidence: Vec<String>,
    pub exit: Option<String>,
}

/// One held-out row, answered by base and tuned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedRow {
    /// Its place among the held-out rows, from 1.
    pub row: u64,
    /// The line in the uploaded file where it starts; absent when the dataset's verdicts are gone, and in what a task writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The last user message.
    pub prompt: String,
    pub expected: String,
    pub base: String,
    pub tuned: String,
    pub base_right: bool,
    pub tuned_right: bool,
}

/// Did it help? Exact match after trimming, greedy decoding, on the held-out rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub rows: u64,
    pub base_right: u64,
    pub tuned_right: u64,
    /// Wrong before, right now.
    pub gained: u64,
    /// Right before, wrong now.
    pub lost: u64,
}

/// What the held-out rows say of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that was wrong is right now: the training was for nothing.
    NothingLearnt,
    /// The base had everything right already; the rows cannot show whether anything was learnt.
    NothingToLearn,
    /// Something was learnt, and nothing that was right was lost.
    Better,
    /// More was learnt than lost.
    MostlyBetter,
    /// As much or more was lost than learnt.
    Worse,
}

impl Scores {
    /// None without held-out rows.
    pub const fn verdict(&self) -> Option<Verdict> {
        Some(match (self.gained, self.lost) {
            _ if self.rows == 0 => return None,
            (0, 0) if self.base_right == self.rows => Verdict::NothingToLearn,
            (0, 0) => Verdict::NothingLearnt,
            (_, 0) => Verdict::Better,
            (gained, lost) if gained > lost => Verdict::MostlyBetter,
            _ => Verdict::Worse,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub tenant: Name,
    pub name: Name,
    pub state: RunState,
    /// In plain words, in every state that is not final, and for `failed`.
    pub reason: String,
    pub base_model: BaseModelId,
    pub base_model_name: Name,
    pub dataset_version: DatasetVersionId,
    pub dataset_name: Name,
    pub dataset_number: u32,
    /// The model that the result becomes a version of.
    pub model_name: Name,
    pub settings: RunSettings,
    pub cloned_from: Option<RunId>,
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
    pub cloned_from: Option<RunId>,
    /// A one-time number of the form: the same form sent twice launches once.
    pub submission: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_after_which_nothing_new_is_right_taught_nothing() {
        let verdict =
            |rows, base_right, gained, lost| Scores { rows, base_right, tuned_right: base_right + gained - lost, gained, lost }.verdict();
        assert_eq!(verdict(8, 0, 0, 0), Some(Verdict::NothingLearnt));
        assert_eq!(verdict(8, 3, 0, 0), Some(Verdict::NothingLearnt));
        assert_eq!(verdict(8, 8, 0, 0), Some(Verdict::NothingToLearn));
        assert_eq!(verdict(8, 3, 2, 0), Some(Verdict::Better));
        assert_eq!(verdict(8, 3, 2, 1), Some(Verdict::MostlyBetter));
        assert_eq!([verdict(8, 3, 1, 1), verdict(8, 3, 0, 2)], [Some(Verdict::Worse); 2]);
        assert_eq!(verdict(0, 0, 0, 0), None);
    }

    #[test]
    fn the_plan_goes_forward_in_one_order() {
        let mut s = RunState::Queued;
        for e in [RunEvent::Admit, RunEvent::TrainerStarted, RunEvent::TrainerDone, RunEvent::EvaluationDone, RunEvent::Published] {
            s = s.next(e).unwrap();
        }
        assert_eq!(s, RunState::Succeeded);
    }

    #[test]
    fn nothing_leaves_a_final_state() {
        use RunEvent::*;
        for s in RunState::ALL.into_iter().filter(|s| s.is_final()) {
            for e in [Admit, TrainerStarted, TrainerDone, EvaluationDone, Published, Fail, Cancel, Stopped] {
                assert!(s.next(e).is_err(), "{s:?} {e:?}");
            }
        }
    }

    #[test]
    fn a_refused_cancel_says_why() {
        assert_eq!(RunState::Succeeded.next(RunEvent::Cancel).unwrap_err().to_string(), "The run has already ended: it succeeded.");
        assert!(RunState::Publishing.next(RunEvent::Cancel).unwrap_err().to_string().contains("published"));
    }
}
