//! The kinds of model servers, each described by what it can do. Another one is an entry here and the commands that start it; pages,
//! controllers and gateway ask for the ability, not for the kind.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum ModelServer {
    #[default]
    Vllm,
    /// A server with OpenAI's interface that somebody else runs.
    External,
}

worded!(ModelServer);

/// What a model server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The engine starts and stops it; otherwise it is only asked whether it is there.
    pub runs_here: bool,
    /// Adapters come and go without a restart.
    pub adapters_at_run_time: bool,
    /// Which of its models answer, and under which names, is chosen from what it offers.
    pub offers_models: bool,
    /// Several models at once.
    pub several_models: bool,
    /// `/v1/embeddings`
    pub embeddings: Ability,
    pub tool_calls: Ability,
    /// It counts the tokens of a prompt (`/tokenize`) as vLLM does.
    pub counts_tokens: bool,
    /// A stream's chunks say how much was generated so far (`continuous_usage_stats`).
    pub counts_while_streaming: bool,
    /// Formats of weights that it loads; none where its weights are not ours to choose.
    pub weights: &'static [WeightsFormat],
}

/// Whether and how something can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    No,
    /// It depends on the model, and whoever starts the server chooses the parser.
    ChosenAtStart,
    /// Its operator knows.
    UpToOperator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsFormat {
    Safetensors,
    /// Beside its base model.
    LoraSafetensors,
}

impl ModelServer {
    pub const ALL: [ModelServer; 2] = [Self::Vllm, Self::External];

    /// As people call it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Vllm => "vLLM",
            Self::External => "external",
        }
    }

    pub const fn capabilities(self) -> Capabilities {
        match self {
            // The gateway has no route for embeddings yet, and vLLM is started for generation.
            Self::Vllm => Capabilities {
                runs_here: true,
                adapters_at_run_time: true,
                offers_models: false,
                several_models: false,
                embeddings: Ability::No,
                tool_calls: Ability::ChosenAtStart,
                counts_tokens: true,
                counts_while_streaming: true,
                weights: &[WeightsFormat::Safetensors, WeightsFormat::LoraSafetensors],
            },
            Self::External => Capabilities {
                runs_here: false,
                adapters_at_run_time: false,
                offers_models: true,
                several_models: true,
                embeddings: Ability::UpToOperator,
                tool_calls: Ability::UpToOperator,
                counts_tokens: false,
                counts_while_streaming: false,
                weights: &[],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_a_sound_entry() {
        for kind in ModelServer::ALL {
            assert_eq!(ModelServer::from_word(kind.word()), Some(kind));
            let can = kind.capabilities();
            // What is not ours loads nothing of ours.
            assert_eq!(can.runs_here, !can.weights.is_empty(), "{kind:?}");
            assert!(can.runs_here || !can.adapters_at_run_time, "{kind:?}");
        }
    }
}
