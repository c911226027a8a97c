//! What kinds of steps there are.

use serde::{Deserialize, Serialize};

/// What a step is to a person. The kind of work that is done, not its place in a plan: two steps may be of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Prepare,
    Train,
    /// The adapter into the weights of its base model.
    Merge,
    Evaluate,
    Publish,
}

worded!(StepKind);

impl StepKind {
    pub const ALL: [StepKind; 5] = [Self::Prepare, Self::Train, Self::Merge, Self::Evaluate, Self::Publish];
    /// As a step of the plan is headed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Prepare => "Prepare",
            Self::Train => "Train",
            Self::Merge => "Merge",
            Self::Evaluate => "Evaluate",
            Self::Publish => "Publish",
        }
    }
    /// What a run does meanwhile.
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Prepare => "Preparing",
            Self::Train => "Training",
            Self::Merge => "Merging",
            Self::Evaluate => "Evaluating",
            Self::Publish => "Publishing",
        }
    }
    /// What the steps after it wait for.
    pub const fn result(self) -> &'static str {
        match self {
            Self::Prepare => "the data and the base model",
            Self::Train => "the training",
            Self::Merge => "the merged weights",
            Self::Evaluate => "the evaluation",
            Self::Publish => "the published version",
        }
    }
}
