//! The settings of a run, by LLaMA-Factory's key names. The form, the YAML beside it and the task all read this one struct.
//! Ranges and cross-field rules follow LLaMA-Factory 0.9.5's parser, in our words, so that nothing starts only to be refused.

mod yaml;

pub use yaml::SettingValue;

use crate::problem::FieldProblem;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinetuningType {
    Lora,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    Cosine,
    Linear,
    Constant,
}

impl FinetuningType {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Full => "full",
        }
    }
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Lora, Self::Full].into_iter().find(|t| t.word() == word)
    }
}

impl Scheduler {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Linear => "linear",
            Self::Constant => "constant",
        }
    }
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Cosine, Self::Linear, Self::Constant].into_iter().find(|t| t.word() == word)
    }
}

/// What a person chooses. Everything else in the trainer's file (paths, devices, reporting) is the platform's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    pub finetuning_type: FinetuningType,
    /// Rank of the LoRA matrices; 1 to 256. Only for `lora`.
    pub lora_rank: u32,
    /// Scale; usually twice the rank; 1 to 1024. Only for `lora`.
    pub lora_alpha: u32,
    /// `all`, or module names separated by commas. Only for `lora`.
    pub lora_target: String,
    /// Passes over the training rows; > 0, at most 1000.
    pub num_train_epochs: f64,
    /// > 0, at most 1.
    pub learning_rate: f64,
    pub lr_scheduler_type: Scheduler,
    pub warmup_steps: u32,
    /// Rows at once per device; 1 to 1024.
    pub per_device_train_batch_size: u32,
    /// Steps whose gradients are added up; 1 to 1024.
    pub gradient_accumulation_steps: u32,
    /// Tokens a row, prompt and answer together; longer rows are cut. 16 to the model's context.
    pub cutoff_len: u32,
    pub seed: u32,
}

/// A preset is a set of settings with a name and a reason.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub id: &'static str,
    pub label: &'static str,
    pub reason: &'static str,
    pub settings: fn() -> RunSettings,
}

impl Default for RunSettings {
    /// LoRA as LLaMA-Factory's examples have it, with a batch that small machines hold.
    fn default() -> Self {
        Self {
            finetuning_type: FinetuningType::Lora,
            lora_rank: 16,
            lora_alpha: 32,
            lora_target: "all".into(),
            num_train_epochs: 3.0,
            learning_rate: 2e-4,
            lr_scheduler_type: Scheduler::Cosine,
            warmup_steps: 10,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 1,
            cutoff_len: 1024,
            seed: 42,
        }
    }
}

pub const PRESETS: [Preset; 4] = [
    Preset {
        id: "quick-check",
        label: "Quick check",
        reason: "One epoch, to see whether data and model work together.",
        settings: quick_check,
    },
    Preset {
        id: "lora",
        label: "LoRA",
        reason: "Standard: a small adapter that loads onto a running endpoint.",
        settings: RunSettings::default,
    },
    Preset {
        id: "tiny-lora",
        label: "LoRA for tiny models",
        reason: "Higher rank and rate, many passes: teaches facts to a model of a few million parameters.",
        settings: tiny_lora,
    },
    Preset {
        id: "full",
        label: "Full fine-tune",
        reason: "Trains all weights; needs about eight times the memory and its own endpoint.",
        settings: full,
    },
];

fn quick_check() -> RunSettings {
    RunSettings { num_train_epochs: 1.0, lora_rank: 8, lora_alpha: 16, ..RunSettings::default() }
}
fn tiny_lora() -> RunSettings {
    RunSettings {
        lora_rank: 32,
        lora_alpha: 64,
        num_train_epochs: 20.0,
        learning_rate: 3e-3,
        per_device_train_batch_size: 16,
        cutoff_len: 128,
        ..RunSettings::default()
    }
}
fn full() -> RunSettings {
    RunSettings { finetuning_type: FinetuningType::Full, learning_rate: 5e-5, ..RunSettings::default() }
}

/// What a number must be, for a person: the same sentence when it is out of its range and when it is no number at all.
/// `context` is the base model's, 0 = not known.
pub fn must_be(key: &str, context: u32) -> String {
    let (what, range) = match key {
        "lora_rank" => ("The rank", "a whole number between 1 and 256"),
        "lora_alpha" => ("Alpha", "a whole number between 1 and 1024"),
        "num_train_epochs" => ("Epochs", "more than 0 and at most 1000"),
        "learning_rate" => ("The learning rate", "more than 0 and at most 1"),
        "warmup_steps" => ("Warm-up", "a whole number of steps between 0 and 100 000"),
        "per_device_train_batch_size" => ("The batch size", "a whole number between 1 and 1024"),
        "gradient_accumulation_steps" => ("Accumulation", "a whole number between 1 and 1024"),
        "cutoff_len" if context > 0 => {
            return format!("The cut-off must be a whole number between 16 and the model's context of {context} tokens.");
        }
        "cutoff_len" => ("The cut-off", "a whole number between 16 and the model's context"),
        _ => ("This", "a whole number that is not negative"),
    };
    format!("{what} must be {range}.")
}

impl RunSettings {
    /// The same with a cut-off that a model of this context (in tokens; 0 = not known) can hold. Presets and drafts are made
    /// before the base model is known, and a form must not start with a field that is wrong.
    pub fn within(mut self, context: u32) -> Self {
        if context > 0 {
            self.cutoff_len = self.cutoff_len.min(context.max(16));
        }
        self
    }

    /// All problems at once. `context` is the base model's, in tokens.
    pub fn check(&self, context: u32) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        if self.finetuning_type == FinetuningType::Lora {
            if !(1..=256).contains(&self.lora_rank) {
                out.push(FieldProblem::new("lora_rank", must_be("lora_rank", context)).suggesting("16"));
            }
            if !(1..=1024).contains(&self.lora_alpha) {
                out.push(
                    FieldProblem::new("lora_alpha", must_be("lora_alpha", context))
                        .suggesting((self.lora_rank * 2).clamp(1, 1024).to_string()),
                );
            }
            let target_ok = !self.lora_target.is_empty()
                && self.lora_target.len() <= 400
                && self.lora_target.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b'.'));
            if !target_ok {
                out.push(FieldProblem::new("lora_target", "Name the layers with commas and no blanks, or use “all”.").suggesting("all"));
            }
        }
        if !(self.num_train_epochs > 0.0 && self.num_train_epochs <= 1000.0) {
            out.push(FieldProblem::new("num_train_epochs", must_be("num_train_epochs", context)).suggesting("3"));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            out.push(FieldProblem::new("learning_rate", must_be("learning_rate", context)).suggesting("2e-4"));
        }
        if self.warmup_steps > 100_000 {
            out.push(FieldProblem::new("warmup_steps", must_be("warmup_steps", context)).suggesting("10"));
        }
        if !(1..=1024).contains(&self.per_device_train_batch_size) {
            out.push(FieldProblem::new("per_device_train_batch_size", must_be("per_device_train_batch_size", context)).suggesting("8"));
        }
        if !(1..=1024).contains(&self.gradient_accumulation_steps) {
            out.push(FieldProblem::new("gradient_accumulation_steps", must_be("gradient_accumulation_steps", context)).suggesting("1"));
        }
        if self.cutoff_len < 16 || (context > 0 && self.cutoff_len > context) {
            out.push(FieldProblem::new("cutoff_len", must_be("cutoff_len", context)).suggesting(context.clamp(16, 1024).to_string()));
        }
        out
    }

    /// What is allowed and can hardly be meant; each with what would be usual. `total_steps` as of [`Self::total_steps`], 0 = not known.
    pub fn doubts(&self, total_steps: u64) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        let (most, least, usual) = match self.finetuning_type {
            FinetuningType::Lora => (1e-2, 1e-6, "2e-4"),
            FinetuningType::Full => (1e-3, 1e-8, "5e-5"),
        };
        if self.learning_rate > most {
            out.push(FieldProblem::new("learning_rate", "So high a learning rate usually destroys the model.").suggesting(usual));
        } else if self.learning_rate > 0.0 && self.learning_rate < least {
            out.push(FieldProblem::new("learning_rate", "With so low a learning rate the model hardly changes.").suggesting(usual));
        }
        let warmup = u64::from(self.warmup_steps);
        if total_steps > 0 && warmup > 0 {
            let usual = (total_steps / 10).to_string();
            if warmup >= total_steps {
                let sentence =
                    format!("The run has {total_steps} steps, so all of it would be warm-up and the learning rate is never reached.");
                out.push(FieldProblem::new("warmup_steps", sentence).suggesting(usual));
            } else if warmup * 2 > total_steps {
                let sentence = format!("More than half of the {total_steps} steps would be warm-up.");
                out.push(FieldProblem::new("warmup_steps", sentence).suggesting(usual));
            }
        }
        out
    }

    /// Optimiser steps for so many training rows, as the trainer counts them.
    pub fn total_steps(&self, train_rows: u64) -> u64 {
        let batch = u64::from(self.per_device_train_batch_size.max(1));
        let per_epoch = train_rows.div_ceil(batch).div_ceil(u64::from(self.gradient_accumulation_steps.max(1))).max(1);
        ((per_epoch as f64) * self.num_train_epochs).ceil() as u64
    }
}

/// A number as YAML 1.1 readers take for a float: `2.0e-4`, never `2e-4`.
pub fn yaml_float(value: f64) -> String {
    if value == 0.0 || (0.001..1e6).contains(&value.abs()) {
        let s = value.to_string();
        if s.contains('.') { s } else { format!("{s}.0") }
    } else {
        let s = format!("{value:e}");
        let (mantissa, exponent) = s.split_once('e').unwrap_or((&s, "0"));
        let mantissa = if mantissa.contains('.') { mantissa.to_owned() } else { format!("{mantissa}.0") };
        format!("{mantissa}e{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_on_every_base_model() {
        for preset in PRESETS {
            for context in [16, 100, 512, 131_072] {
                let settings = (preset.settings)().within(context);
                let wrong = settings.check(context);
                assert!(wrong.is_empty(), "{} on {context}: {wrong:?}", preset.id);
            }
        }
        assert_eq!(RunSettings::default().within(131_072), RunSettings::default(), "a larger context changes nothing");
        assert_eq!(RunSettings::default().within(0), RunSettings::default(), "nor does one that is not known");
    }

    #[test]
    fn what_can_hardly_be_meant_is_asked_about_and_no_preset_is() {
        for preset in PRESETS {
            assert!((preset.settings)().doubts(1_000).is_empty(), "{}", preset.id);
        }
        let doubted = |settings: RunSettings, steps| {
            let doubts = settings.doubts(steps);
            assert!(settings.check(0).is_empty(), "doubted, and allowed");
            doubts.into_iter().map(|p| (p.field, p.suggestion.unwrap_or_default())).collect::<Vec<_>>()
        };
        let rate = |learning_rate| RunSettings { learning_rate, ..RunSettings::default() };
        assert_eq!(doubted(rate(0.5), 0), [("learning_rate".to_owned(), "2e-4".to_owned())]);
        assert_eq!(doubted(rate(1e-9), 0), [("learning_rate".to_owned(), "2e-4".to_owned())]);
        assert_eq!(doubted(RunSettings { learning_rate: 5e-3, ..full() }, 0), [("learning_rate".to_owned(), "5e-5".to_owned())]);
        let warm = |warmup_steps| RunSettings { warmup_steps, ..RunSettings::default() };
        assert_eq!(doubted(warm(50), 40), [("warmup_steps".to_owned(), "4".to_owned())]);
        assert_eq!(doubted(warm(21), 40), [("warmup_steps".to_owned(), "4".to_owned())]);
        assert!(doubted(warm(20), 40).is_empty());
        assert!(doubted(warm(90_000), 0).is_empty(), "the number of steps is not known");
    }
}
