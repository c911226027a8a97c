//! Why a step of a run failed: the causes that are known, and what each says to the person who started the run.

use crate::{problem::Outage, time::span};
use serde::{Deserialize, Serialize};

/// What went wrong, as a code with its parameters. Recognised in a trainer's output by `task::catalogue`, and at the end of a process
/// by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Cause {
    // The machine.
    OutOfGpuMemory,
    OutOfMemory {
        /// Not said by the program: the system killed it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        killed: bool,
    },
    DiskFull,
    NoBf16,
    /// A program that the step needs. Neither path nor variable: it is there and cannot be started.
    NotInstalled {
        what: Box<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<Box<str>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variable: Option<Box<str>>,
    },
    QuantisationNotInstalled,
    DeepspeedNotInstalled,
    UnslothNotInstalled,
    PackageMissing {
        package: String,
    },

    // Settings.
    UnknownTemplate {
        template: String,
    },
    UnknownSetting {
        setting: String,
    },
    LearningRateNotANumber,
    BadLoraTarget {
        layer: String,
    },
    ValidationShareTooLarge {
        rows: String,
    },
    NothingToEvaluate,
    Diverged {
        /// Losses, to two places.
        first: String,
        last: String,
    },

    // Data and models.
    BaseModelUnreadable,
    AdapterMissing,
    UnknownDataset {
        dataset: String,
    },
    DataNotPrepared,
    ColumnMissing {
        column: String,
    },
    BadJson {
        /// Where, in the reader's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    DatasetEmpty,
    DataFileMissing,
    FileType,
    NoUsableRow,
    WrongKindOfData,
    NullContent,
    /// Something that was to be fetched from the artefact store.
    InputMissing {
        what: String,
    },

    // Results.
    OutputNotWritten,
    /// The program ended well and left no weights.
    NoResult,
    NoLoss,
    EvaluationFailed {
        /// The program's own last line, which is made for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<String>,
    },
    /// Nothing of what a step said it stored, or one file, is not in the artefact store.
    OutputMissing {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// The digest of a file is not the one that was told when it was stored.
    OutputAltered {
        file: String,
    },
    EvaluatedRowsMissing,
    EvaluatedRowsUnreadable {
        error: String,
    },

    // Processes.
    NotStarted {
        error: String,
    },
    /// What an image of somebody's own should start.
    ProgramNotStarted {
        program: Box<str>,
        error: Box<str>,
    },
    /// Ended by a signal. `by_kernel`: nobody of ours saw it come; 9 is the kernel or a person.
    Killed {
        signal: i32,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_kernel: bool,
    },
    /// Ended by itself, without saying why.
    Ended {
        status: i32,
    },
    /// It reached the memory limit that the portal set.
    MemoryLimit,
    /// The machine needed its room.
    Evicted {
        why: String,
    },
    /// The machine restarted, or is gone for good.
    Lost,
    /// Of a training of several processes: one of them ended or was not reached any more, and the others cannot go on without it.
    ConnectionLost,
    /// Somebody killed the processes.
    Removed,
    /// Told to stop by somebody else than the portal.
    StoppedFromOutside,
    DeadlineExceeded {
        /// Milliseconds that the step was allowed.
        allowed: i64,
    },
    /// What the artefact store said.
    Store {
        outage: Outage,
    },
    /// Files around the program.
    Platform,
    Unknown,

    /// From a version of this program that stored sentences.
    Told {
        word: Box<str>,
        sentence: Box<str>,
        next_step: Box<str>,
    },
}

/// What a person reads of a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub sentence: String,
    pub next_step: String,
}

const CHANGE: &str = "Clone the run and change this setting.";
const ADMIN: &str = "Ask the platform admin to install it, or clone the run without it.";
const DATA: &str = "Upload a corrected version of the dataset and clone the run.";
const AGAIN: &str = "Try this step again; if it fails again, show the evidence to the platform admin.";
const SMALLER: &str = "Clone the run with a smaller batch or a shorter cut-off.";
const STORE: &str = "Try the run’s first step again; if it stays, whoever runs this portal must look at the artefact store.";

impl Cause {
    /// The stable word of it, for scripts and for the audit log.
    pub fn code(&self) -> String {
        match self {
            Self::Told { word, .. } => word.to_string(),
            cause => {
                let value = serde_json::to_value(cause).unwrap_or_default();
                value["code"].as_str().unwrap_or_default().to_owned()
            }
        }
    }

    pub fn said(&self) -> Words {
        let (sentence, next_step) = self.words();
        Words { sentence, next_step }
    }

    fn words(&self) -> (String, String) {
        let plain = |sentence: &str, next: &str| (sentence.to_owned(), next.to_owned());
        let with = |sentence: String, next: &str| (sentence, next.to_owned());
        match self {
            Self::OutOfGpuMemory => plain("The GPU ran out of memory.", SMALLER),
            Self::OutOfMemory { killed: false } => plain("The machine ran out of memory.", SMALLER),
            Self::OutOfMemory { killed: true } => plain(
                "The trainer was killed by the system, most likely because memory ran out.",
                "Clone the run with a smaller batch or a shorter cut-off, or choose a smaller base model.",
            ),
            Self::DiskFull => plain("The disk is full.", "Ask the platform admin for more capacity, then try this step again."),
            Self::NoBf16 => plain("This machine has no GPU that supports bf16.", "Choose fp32 or another target."),
            Self::NotInstalled { what, path: Some(path), .. } => {
                with(format!("The {what}'s Python is not at {path}."), "Ask the platform admin to run “atelier doctor”.")
            }
            Self::NotInstalled { what, variable: Some(variable), .. } => with(
                format!("The {what} is not installed here ({variable} is not set)."),
                "Ask the platform admin to run “atelier doctor”.",
            ),
            Self::NotInstalled { what, .. } => {
                with(format!("The {what} could not be started."), "Ask the platform admin to run “atelier doctor”.")
            }
            Self::QuantisationNotInstalled => plain("4-bit training is not installed here.", ADMIN),
            Self::DeepspeedNotInstalled => plain("DeepSpeed is not installed here.", ADMIN),
            Self::UnslothNotInstalled => plain("Unsloth is not installed here.", ADMIN),
            Self::PackageMissing { package } => with(format!("The package {package} is not installed here."), ADMIN),
            Self::UnknownTemplate { template } => with(
                format!("The chat template “{template}” is not known."),
                "Ask the platform admin to correct the template of the base model.",
            ),
            Self::UnknownSetting { setting } => with(format!("Unknown setting “{setting}”."), CHANGE),
            Self::LearningRateNotANumber => plain("The learning rate must be a number.", CHANGE),
            Self::BadLoraTarget { layer } => {
                with(format!("The model has no layer “{layer}”."), "Clone the run and use “all” for the LoRA target.")
            }
            Self::ValidationShareTooLarge { rows } => {
                with(format!("The validation part is larger than the dataset ({rows} rows)."), CHANGE)
            }
            Self::NothingToEvaluate => plain("There is nothing to evaluate on.", "Choose an evaluation set or a validation share."),
            Self::Diverged { first, last } => {
                with(format!("The training diverged: the loss went from {first} to {last}."), "Clone the run with a lower learning rate.")
            }
            Self::BaseModelUnreadable => plain(
                "The base model is not in the local library or is damaged (downloads are off).",
                "Ask the platform admin to register the base model again.",
            ),
            Self::AdapterMissing => plain("The adapter to continue from was not found.", AGAIN),
            Self::UnknownDataset { dataset } => with(format!("The dataset “{dataset}” is not part of this run."), AGAIN),
            Self::DataNotPrepared => plain("The data could not be prepared (internal error).", AGAIN),
            Self::ColumnMissing { column } => {
                with(format!("The file has no column “{column}”."), "Map the columns, or upload the data as OpenAI messages.")
            }
            Self::BadJson { place: Some(place) } => with(format!("The file is not valid JSON: {place}"), DATA),
            Self::BadJson { place: None } => plain("The file is not valid JSON.", DATA),
            Self::DatasetEmpty => plain("The dataset is empty.", DATA),
            Self::DataFileMissing => plain("The data file is missing.", AGAIN),
            Self::FileType => plain("This file type cannot be used.", "Upload JSON or JSONL."),
            Self::NoUsableRow => plain("No usable conversation: roles must take turns, starting with the user.", DATA),
            Self::WrongKindOfData => {
                plain("This data holds answer pairs; it fits DPO or reward models, not this method.", "Choose another dataset.")
            }
            Self::NullContent => plain("A message has no content.", DATA),
            Self::InputMissing { what } => {
                with(format!("{what} is not in the store."), "Ask the platform admin; it may have been deleted.")
            }
            Self::OutputNotWritten => plain("Results could not be written (internal error).", AGAIN),
            Self::NoResult => {
                plain("The trainer ended without an error, but left no model.", "Read the end of the log, then clone the run.")
            }
            Self::NoLoss => plain("The trainer logged no loss.", "Read the end of the log, then clone the run."),
            Self::EvaluationFailed { said } => with(
                said.clone().unwrap_or_else(|| "The answers of the evaluation could not be read.".into()),
                "Try this step again; the trained model was not lost by the evaluation.",
            ),
            Self::OutputMissing { file: None } => plain("The training left no files.", STORE),
            Self::OutputMissing { file: Some(file) } => {
                with(format!("The training said it stored “{file}”, and it is not in the artefact store."), STORE)
            }
            Self::OutputAltered { file } => {
                with(format!("The file “{file}” was changed after the training stored it: its digest differs."), STORE)
            }
            Self::EvaluatedRowsMissing => plain("The evaluation left no rows.", STORE),
            Self::EvaluatedRowsUnreadable { error } => with(format!("The rows that the evaluation left cannot be read: {error}."), STORE),
            Self::NotStarted { error } => with(
                format!("The process could not be started: {error}."),
                "Whoever runs this portal must look at the machine; then try this step again.",
            ),
            Self::ProgramNotStarted { program, error } => with(
                format!("“{program}” could not be started in the image: {error}."),
                "Launch another run whose custom.command names a program that is in its image.",
            ),
            Self::Killed { signal: 9, by_kernel: true } => plain(
                "The process was killed by the kernel, usually because the machine ran out of memory.",
                "Use a smaller batch or a shorter cut-off, or a machine with more memory; then launch a clone.",
            ),
            Self::Killed { signal, by_kernel: true } => {
                with(format!("The process was ended by signal {signal} from outside the portal."), "Try this step again.")
            }
            Self::Killed { signal, by_kernel: false } => with(format!("The trainer was ended by signal {signal}."), AGAIN),
            Self::Ended { status } => with(
                format!("The process ended with status {status} without saying why."),
                "Read the last lines of the log; if they do not say it, show them to whoever runs this portal.",
            ),
            Self::MemoryLimit => plain(
                "The process reached its memory limit and was ended.",
                "Use a smaller batch or a shorter cut-off, or ask whoever runs this portal for a higher limit; then launch a clone.",
            ),
            Self::Evicted { why } => with(format!("The process was evicted from the machine ({why})."), "Try this step again."),
            Self::Removed => plain("The processes of the run were killed from outside the portal.", "Try this step again."),
            Self::Lost => {
                plain("The machine restarted or was lost while the run was working, and its process is gone.", "Try this step again.")
            }
            Self::ConnectionLost => plain(
                "The processes of this training lost their connection to each other: one of them ended, or its machine was not reached any more.",
                "Try this step again: a training goes on from its last checkpoint. If it ends like this again, show the evidence to whoever runs this portal.",
            ),
            Self::StoppedFromOutside => {
                plain("The process was told to stop from outside the portal.", "If the machine was being shut down, try this step again.")
            }
            Self::DeadlineExceeded { allowed } => with(
                format!("The step took longer than the {} that it is allowed, and was stopped.", span(*allowed)),
                "Try this step again: a training goes on from its last checkpoint. Or clone the run with fewer epochs or less data.",
            ),
            Self::Store { outage: Outage::StoreAway } => {
                plain("The artefact store did not answer for minutes, so the files of this run could not be read or written.", AGAIN)
            }
            Self::Store { outage: Outage::StoreKeyRefused } => plain("The artefact store does not accept the tenant’s key.", STORE),
            Self::Store { outage } => with(outage.said().to_owned(), STORE),
            Self::Platform => plain("The platform could not read or write the files of this run.", AGAIN),
            Self::Unknown => plain(
                "The trainer failed for a reason that is not known here.",
                "Read the last lines of the log; they are the trainer's own words.",
            ),
            Self::Told { sentence, next_step, .. } => (sentence.to_string(), next_step.to_string()),
        }
    }
}

/// Why a run failed: the cause, and the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Read")]
pub struct Failure {
    pub cause: Cause,
    /// The last lines that say it, as the trainer wrote them; at most 20.
    pub evidence: Vec<String>,
    /// How the process ended: `exit 1`, `signal 9`.
    pub exit: Option<String>,
}

impl Failure {
    pub const fn of(cause: Cause) -> Self {
        Self { cause, evidence: Vec::new(), exit: None }
    }
    pub fn with_exit(mut self, exit: impl std::fmt::Display) -> Self {
        self.exit = Some(exit.to_string());
        self
    }
    pub fn with_evidence(mut self, lines: Vec<String>) -> Self {
        self.evidence = lines;
        self
    }
    pub fn said(&self) -> Words {
        self.cause.said()
    }
}

/// A cause as this version writes it, or the word that earlier ones wrote beside their sentences.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReadCause {
    Code(Cause),
    Word(String),
}

/// A failure as this version and earlier ones wrote it: in a run's row, and in the verdict of a task.
#[derive(Deserialize)]
struct Read {
    cause: ReadCause,
    #[serde(default)]
    sentence: String,
    #[serde(default)]
    next_step: String,
    #[serde(default)]
    evidence: Vec<String>,
    #[serde(default)]
    exit: Option<String>,
}

impl From<Read> for Failure {
    fn from(read: Read) -> Self {
        let cause = match read.cause {
            ReadCause::Code(cause) => cause,
            ReadCause::Word(word) => Cause::Told { word: word.into(), sentence: read.sentence.into(), next_step: read.next_step.into() },
        };
        Self { cause, evidence: read.evidence, exit: read.exit.filter(|exit| !exit.is_empty()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_stored_as_its_code_and_says_its_sentence_when_it_is_shown() {
        let cause = Cause::BadLoraTarget { layer: "foo".into() };
        let failure = Failure { exit: Some("exit 1".into()), evidence: vec!["x".into()], ..Failure::of(cause.clone()) };
        let stored = serde_json::to_string(&failure).unwrap();
        assert_eq!(stored, r#"{"cause":{"code":"bad_lora_target","layer":"foo"},"evidence":["x"],"exit":"exit 1"}"#);
        assert_eq!(serde_json::from_str::<Failure>(&stored).unwrap(), failure);
        assert_eq!((cause.code(), cause.said().sentence), ("bad_lora_target".into(), "The model has no layer “foo”.".into()));
    }

    #[test]
    fn what_an_earlier_version_stored_is_read_with_its_own_words() {
        let stored = r#"{"cause":"killed","sentence":"It was killed.","next_step":"Clone it.","evidence":["a"],"exit":null}"#;
        let failure: Failure = serde_json::from_str(stored).unwrap();
        assert_eq!((failure.cause.code(), failure.said().sentence), ("killed".into(), "It was killed.".into()));
        assert_eq!(serde_json::from_str::<Failure>(&serde_json::to_string(&failure).unwrap()).unwrap(), failure);
    }
}
