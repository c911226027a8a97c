//! The few keys of the trainer that this program computes with. Everywhere else a key is data: it comes out of the catalogue.
//! What is not set has the trainer's default; a test holds these against the catalogue.

use super::{FinetuningType, RunSettings, SettingValue};

/// Key, and why a step or a page must know it.
pub const COMPUTED: [(&str, &str); 13] = [
    (FINETUNING_TYPE, "decides which files a training leaves, how they are published and how they are served"),
    (LORA_RANK, "an endpoint is started with room for the highest rank of its adapters"),
    (NUM_TRAIN_EPOCHS, "steps in all: the distance between two points of the curves, and the preflight"),
    (MAX_STEPS, "the same: it wins over epochs"),
    (MAX_SAMPLES, "the same, and how many rows the trainer should take"),
    (PER_DEVICE_TRAIN_BATCH_SIZE, "steps in all, and the batch of the evaluation"),
    (GRADIENT_ACCUMULATION_STEPS, "steps in all"),
    (PACKING, "packed rows cannot be counted beforehand, neither as steps nor as rows"),
    (NEAT_PACKING, "the same"),
    (CUTOFF_LEN, "must fit into the base model's context"),
    (LEARNING_RATE, "a rate that can hardly be meant is asked about, and a failed training is explained with it"),
    (WARMUP_STEPS, "a warm-up that takes the whole run is asked about"),
    (SEED, "a model's ledger names it: with it the training can be repeated"),
];

const FINETUNING_TYPE: &str = "finetuning_type";
const LORA_RANK: &str = "lora_rank";
const NUM_TRAIN_EPOCHS: &str = "num_train_epochs";
const MAX_STEPS: &str = "max_steps";
const MAX_SAMPLES: &str = "max_samples";
const PER_DEVICE_TRAIN_BATCH_SIZE: &str = "per_device_train_batch_size";
const GRADIENT_ACCUMULATION_STEPS: &str = "gradient_accumulation_steps";
const PACKING: &str = "packing";
const NEAT_PACKING: &str = "neat_packing";
pub(super) const CUTOFF_LEN: &str = "cutoff_len";
pub(super) const LEARNING_RATE: &str = "learning_rate";
pub(super) const WARMUP_STEPS: &str = "warmup_steps";
const SEED: &str = "seed";

impl RunSettings {
    pub fn finetuning_type(&self) -> FinetuningType {
        self.get(FINETUNING_TYPE).and_then(SettingValue::as_text).and_then(FinetuningType::from_word).unwrap_or(FinetuningType::Lora)
    }

    /// All that is set but which files the training leaves: of the rest only LLaMA-Factory knows, and not an image of somebody's own.
    pub fn keys_beside_the_method(&self) -> impl Iterator<Item = &str> {
        self.keys().filter(|key| *key != FINETUNING_TYPE)
    }

    pub fn lora_rank(&self) -> u32 {
        self.whole(LORA_RANK).unwrap_or(8)
    }

    pub fn num_train_epochs(&self) -> f64 {
        self.number(NUM_TRAIN_EPOCHS).unwrap_or(3.0)
    }

    pub fn learning_rate(&self) -> f64 {
        self.number(LEARNING_RATE).unwrap_or(5e-5)
    }

    pub fn per_device_train_batch_size(&self) -> u32 {
        self.whole(PER_DEVICE_TRAIN_BATCH_SIZE).unwrap_or(8)
    }

    pub fn seed(&self) -> u32 {
        self.whole(SEED).unwrap_or(42)
    }

    /// Tokens a row; longer ones are cut.
    pub fn cutoff_len(&self) -> u32 {
        self.whole(CUTOFF_LEN).unwrap_or(2048)
    }

    /// Rows are joined, so that what the trainer takes are blocks and not rows.
    pub fn packs(&self) -> bool {
        [PACKING, NEAT_PACKING].iter().any(|key| self.get(key) == Some(&SettingValue::Flag(true)))
    }

    /// How many of so many rows the trainer is asked to take.
    pub fn rows_taken(&self, rows: u64) -> u64 {
        self.whole(MAX_SAMPLES).map_or(rows, |most| rows.min(most.into()))
    }

    /// Optimiser steps for so many training rows that so many processes share, as the trainer counts them. With packing it is the most
    /// that there can be.
    pub fn steps_over(&self, train_rows: u64, processes: u32) -> u64 {
        if let Some(steps) = self.whole(MAX_STEPS).filter(|steps| *steps > 0) {
            return steps.into();
        }
        let batch = u64::from(self.per_device_train_batch_size().max(1));
        let accumulated = u64::from(self.whole(GRADIENT_ACCUMULATION_STEPS).unwrap_or(1).max(1));
        let share = self.rows_taken(train_rows).div_ceil(processes.max(1).into());
        let per_epoch = share.div_ceil(batch).div_ceil(accumulated).max(1);
        ((per_epoch as f64) * self.num_train_epochs()).ceil() as u64
    }

    /// The same with a cut-off that a model of this context (in tokens; 0 = not known) can hold. Presets and drafts are made
    /// before the base model is known, and a form must not start with a field that is wrong.
    pub fn within(self, context: u32) -> Self {
        let fits = self.cutoff_len().min(context.max(16));
        if context > 0 && fits < self.cutoff_len() { self.with(CUTOFF_LEN, fits) } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::catalogue;

    #[test]
    fn what_is_not_set_has_the_default_of_the_trainer() {
        let (ours, theirs) = (RunSettings::default(), catalogue());
        let default = |key: &str| theirs.entry(key).unwrap_or_else(|| panic!("{key} is not in the catalogue")).default.clone();
        assert_eq!(default(FINETUNING_TYPE), Some(ours.finetuning_type().word().into()));
        assert_eq!(default(LORA_RANK), Some(ours.lora_rank().into()));
        assert_eq!(default(NUM_TRAIN_EPOCHS), Some(ours.num_train_epochs().into()));
        assert_eq!(default(LEARNING_RATE), Some(ours.learning_rate().into()));
        assert_eq!(default(PER_DEVICE_TRAIN_BATCH_SIZE), Some(ours.per_device_train_batch_size().into()));
        assert_eq!(default(GRADIENT_ACCUMULATION_STEPS), Some(1.into()));
        assert_eq!(default(CUTOFF_LEN), Some(ours.cutoff_len().into()));
        assert_eq!(default(MAX_STEPS), Some((-1).into()));
        assert_eq!([default(MAX_SAMPLES), default(PACKING)], [const { None }; 2]);
        assert_eq!(default(NEAT_PACKING), Some(false.into()));
        for (key, why) in COMPUTED {
            assert!(theirs.entry(key).is_some() && !why.is_empty(), "{key}");
        }
        assert_eq!(default(SEED), Some(ours.seed().into()));
    }

    #[test]
    fn steps_are_counted_as_the_trainer_counts_them() {
        let of = |pairs: &[(&str, i32)]| pairs.iter().fold(RunSettings::default(), |s, (key, n)| s.with(key, *n));
        assert_eq!(of(&[("num_train_epochs", 2), ("per_device_train_batch_size", 16)]).steps_over(65, 1), 10);
        assert_eq!(of(&[("max_steps", 7)]).steps_over(65, 1), 7);
        assert_eq!(of(&[("max_steps", -1), ("num_train_epochs", 1)]).steps_over(65, 1), 9);
        assert_eq!(of(&[("max_samples", 16), ("num_train_epochs", 1)]).steps_over(65, 1), 2);
        assert_eq!(of(&[("gradient_accumulation_steps", 4), ("num_train_epochs", 1)]).steps_over(65, 1), 3);
        let two_epochs = of(&[("num_train_epochs", 2), ("per_device_train_batch_size", 16)]);
        assert_eq!([1, 2, 3].map(|nodes| two_epochs.steps_over(65, nodes)), [10, 6, 4]);
    }
}
