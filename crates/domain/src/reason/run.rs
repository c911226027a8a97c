//! Why a run or one of its steps is where it is.

use super::{failure::Cause, store_key::NoStoreKey, task::PendingCause};
use crate::{
    counted::counted,
    name::Name,
    run::{evaluation::Scores, step_kind::StepKind},
    size,
    time::span,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    // A run that waits.
    WaitsForTurn,
    WaitsForSlot {
        /// The runs that hold the slots or come first; the first two by name.
        ahead: Vec<Name>,
        more: u64,
        busy: u64,
        slots: u64,
        /// Its place among those that wait, from 1, and how many they are; absent for the only one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<(u64, u64)>,
    },
    TenantSuspended,
    /// The tenant's quota allows no runs.
    NoSlots,

    // A run that has been admitted.
    /// Its steps say what it does.
    Underway,
    StopAsked {
        by: String,
    },
    Stopped,
    StoppedBeforeStart {
        by: String,
    },

    // A step that has not begun.
    /// It is the first.
    WaitsForRun,
    WaitsForSteps {
        kinds: Vec<StepKind>,
    },
    /// Nothing to evaluate on: left out from the start.
    NoHeldOutRows,
    AfterFailure,
    AfterStop,

    // A step at work.
    Starting,
    /// The engine has it, and it cannot start yet.
    WaitsForMachine {
        cause: PendingCause,
    },
    /// The tenant has no key of the artefact store.
    WaitsForStoreKey {
        why: NoStoreKey,
    },
    Started,
    FetchesTrainingInputs,
    TrainingInputs {
        /// Of the base model.
        bytes: u64,
        train_rows: u64,
        held_out_rows: u64,
    },
    Trains {
        steps: u64,
        gpu: bool,
    },
    /// An image of somebody's own trains.
    ImageTrains {
        image: String,
        gpu: bool,
    },
    FetchesAdapter,
    Merges,
    /// A training that goes on from the checkpoint of an earlier try.
    Resumed {
        step: u64,
        total: u64,
    },
    Progress {
        step: u64,
        total: u64,
        /// The step of the checkpoint that it went on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed_at: Option<u64>,
    },
    FetchesModelsAndRows,
    Answers {
        rows: u64,
    },
    Answered {
        done: u64,
        total: u64,
    },
    Stores,
    Stored {
        files: u64,
        bytes: u64,
    },
    Stops,
    CopiesFiles,

    // A step that has ended.
    Done {
        files: u64,
        /// Milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<i64>,
    },
    Trained {
        steps: u64,
        files: u64,
        /// The step of the checkpoint that it went on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed_at: Option<u64>,
        /// Milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<i64>,
    },
    Evaluated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scores: Option<Scores>,
    },
    Published {
        model: Name,
        number: u32,
        files: u64,
    },
    StoppedAtWork,
    Failed {
        cause: Cause,
    },

    /// From a version of this program that stored sentences.
    Told {
        text: String,
    },
}

impl Reason {
    /// What a column holds: this, or the sentence that an earlier version stored.
    pub fn stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Told { text: text.to_owned() })
    }

    /// The step was left out when the plan was made, and no other try changes that.
    pub const fn is_by_plan(&self) -> bool {
        matches!(self, Self::NoHeldOutRows)
    }

    /// The sentence for a person.
    pub fn said(&self) -> String {
        let files = |n: u64| counted(n, "file", "files");
        let in_time = |took: &Option<i64>| took.map(|ms| format!(" in {}", span(ms))).unwrap_or_default();
        match self {
            Self::WaitsForTurn => "Waits for its turn.".into(),
            Self::WaitsForSlot { ahead, more, busy, slots, place } => {
                let place = place.map(|(place, of)| format!(" Place {place} of {of} in the queue.")).unwrap_or_default();
                format!("Waits for {}: {busy} of {slots} slots busy.{place}", runs(ahead, *more))
            }
            Self::TenantSuspended => "Waits because the tenant is suspended: nothing new starts.".into(),
            Self::NoSlots => "Waits because the tenant’s quota allows no runs (0 slots).".into(),
            Self::Underway => "Its steps are at work.".into(),
            Self::StopAsked { by } => format!("{by} asked to stop it; waiting for its process to end."),
            Self::Stopped => "As asked; its process has ended.".into(),
            Self::StoppedBeforeStart { by } => format!("{by} stopped it before it started."),
            Self::WaitsForRun => "Waits for a slot.".into(),
            Self::WaitsForSteps { kinds } => {
                format!("Waits for {}.", kinds.iter().map(|k| k.result()).collect::<Vec<_>>().join(" and "))
            }
            Self::NoHeldOutRows => "No rows were kept back for an evaluation.".into(),
            Self::AfterFailure => "Not reached, because an earlier step failed.".into(),
            Self::AfterStop => "Not reached, because the run was stopped.".into(),
            Self::Starting => "Starting the process.".into(),
            Self::WaitsForMachine { cause } => cause.said(),
            Self::WaitsForStoreKey { why } => why.said(),
            Self::Started => "The process was started.".into(),
            Self::FetchesTrainingInputs => "fetching base model and dataset".into(),
            Self::TrainingInputs { bytes, train_rows, held_out_rows } => {
                let held_out = if *held_out_rows > 0 {
                    format!(", {}", counted(*held_out_rows, "held-out row", "held-out rows"))
                } else {
                    String::new()
                };
                format!("base model {}, {}{held_out}", size::bytes(*bytes), counted(*train_rows, "training row", "training rows"))
            }
            Self::Trains { steps, gpu } => format!("{} on {}", counted(*steps, "step", "steps"), if *gpu { "the GPU" } else { "the CPU" }),
            Self::ImageTrains { image, gpu } => format!("{image} on {}", if *gpu { "the GPU" } else { "the CPU" }),
            Self::FetchesAdapter => "fetching base model and adapter".into(),
            Self::Merges => "merging the adapter into the weights of the base model".into(),
            Self::Resumed { step, total } => format!("goes on from step {step} of {total}"),
            Self::Progress { step, total, resumed_at } => format!("{step} of {total} steps{}", resumed(*resumed_at)),
            Self::FetchesModelsAndRows => "fetching both models and the held-out rows".into(),
            Self::Answers { rows } => {
                format!("{}, answered by the base model and by the tuned one", counted(*rows, "held-out row", "held-out rows"))
            }
            Self::Answered { done, total } => format!("{done} of {total} answers, base and tuned together"),
            Self::Stores => "storing the result".into(),
            Self::Stored { files: n, bytes } => format!("{}, {}", files(*n), size::bytes(*bytes)),
            Self::Stops => "stopping".into(),
            Self::CopiesFiles => "Copying and checking the files.".into(),
            Self::Done { files: n, took } => format!("Done{}, {}", in_time(took), files(*n)),
            Self::Trained { steps, files: n, resumed_at, took } => {
                format!("{}{}{}, {}", counted(*steps, "step", "steps"), resumed(*resumed_at), in_time(took), files(*n))
            }
            Self::Evaluated { scores: None } => "Done, without a score.".into(),
            Self::Evaluated { scores: Some(s) } => {
                format!("{} of {} right, base {}; {} gained, {} lost", s.tuned_right, s.rows, s.base_right, s.gained, s.lost)
            }
            Self::Published { model, number, files: n } => format!("{model} v{number}, candidate; {}, digests checked", files(*n)),
            Self::StoppedAtWork => "Stopped before it was done.".into(),
            Self::Failed { cause } => cause.said().sentence,
            Self::Told { text } => text.clone(),
        }
    }
}

fn resumed(at: Option<u64>) -> String {
    at.map(|step| format!(", resumed at step {step}")).unwrap_or_default()
}

/// `run a`, `runs a and b`, `runs a, b and 3 more`.
fn runs(named: &[Name], more: u64) -> String {
    match (named, more) {
        ([], _) => "a slot".into(),
        ([one], 0) => format!("run {one}"),
        ([a, b], 0) => format!("runs {a} and {b}"),
        (named, more) => format!("runs {} and {more} more", named.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_stored_as_its_code_and_says_its_sentence_when_it_is_shown() {
        let reason = Reason::WaitsForSlot { ahead: vec!["facts-6".parse().unwrap()], more: 0, busy: 1, slots: 1, place: Some((1, 2)) };
        let stored = serde_json::to_string(&reason).unwrap();
        assert_eq!(stored, r#"{"code":"waits_for_slot","ahead":["facts-6"],"more":0,"busy":1,"slots":1,"place":[1,2]}"#);
        assert_eq!(Reason::stored(&stored), reason);
        assert_eq!(reason.said(), "Waits for run facts-6: 1 of 1 slots busy. Place 1 of 2 in the queue.");
    }

    #[test]
    fn a_training_that_went_on_from_a_checkpoint_says_so_to_its_end() {
        assert_eq!(Reason::Resumed { step: 40, total: 120 }.said(), "goes on from step 40 of 120");
        assert_eq!(Reason::Progress { step: 58, total: 120, resumed_at: Some(40) }.said(), "58 of 120 steps, resumed at step 40");
        let trained = Reason::Trained { steps: 120, files: 7, resumed_at: Some(40), took: Some(65_000) };
        assert_eq!(trained.said(), "120 steps, resumed at step 40 in 1 min 5 s, 7 files");
        assert_eq!(Reason::stored(r#"{"code":"progress","step":3,"total":4}"#).said(), "3 of 4 steps");
    }

    #[test]
    fn a_sentence_of_an_earlier_version_is_told_as_it_is() {
        assert_eq!(Reason::stored("Training.").said(), "Training.");
        assert_eq!(Reason::stored("").said(), "");
        let told = Reason::Told { text: "3 of 4 steps".into() };
        assert_eq!(Reason::stored(&serde_json::to_string(&told).unwrap()), told);
    }

    #[test]
    fn the_runs_ahead_are_named_up_to_two() {
        let named = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect::<Vec<Name>>();
        assert_eq!(runs(&named(&["a"]), 0), "run a");
        assert_eq!(runs(&named(&["a", "b"]), 0), "runs a and b");
        assert_eq!(runs(&named(&["a", "b"]), 3), "runs a, b and 3 more");
    }
}
