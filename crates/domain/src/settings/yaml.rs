//! The settings as LLaMA-Factory's YAML, for people to read, and as key and value pairs, for the task to write.
//! Both come from one list, so that the page shows what the trainer gets.

use super::{FinetuningType, RunSettings, yaml_float};
use std::fmt;

/// A value in the trainer's file.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    Text(String),
    Whole(u64),
    Number(f64),
    Flag(bool),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(n) => write!(f, "{n}"),
            Self::Number(n) => f.write_str(&yaml_float(*n)),
            Self::Flag(on) => write!(f, "{on}"),
        }
    }
}

impl RunSettings {
    /// What the person chose, under LLaMA-Factory's keys, in the order of the form: what matters most first.
    pub fn trainer_keys(&self) -> Vec<(&'static str, SettingValue)> {
        use SettingValue::{Flag, Number, Text, Whole};
        let mut out =
            vec![("stage", Text("sft".into())), ("do_train", Flag(true)), ("finetuning_type", Text(self.finetuning_type.word().into()))];
        out.extend([
            ("num_train_epochs", Number(self.num_train_epochs)),
            ("learning_rate", Number(self.learning_rate)),
            ("per_device_train_batch_size", Whole(self.per_device_train_batch_size.into())),
            ("cutoff_len", Whole(self.cutoff_len.into())),
        ]);
        if self.finetuning_type == FinetuningType::Lora {
            out.extend([
                ("lora_rank", Whole(self.lora_rank.into())),
                ("lora_alpha", Whole(self.lora_alpha.into())),
                ("lora_target", Text(self.lora_target.clone())),
            ]);
        }
        out.extend([
            ("lr_scheduler_type", Text(self.lr_scheduler_type.word().into())),
            ("warmup_steps", Whole(self.warmup_steps.into())),
            ("gradient_accumulation_steps", Whole(self.gradient_accumulation_steps.into())),
            ("seed", Whole(self.seed.into())),
        ]);
        out
    }

    /// What the person chose, as text, under the trainer's keys.
    pub fn chosen(&self) -> Vec<(&'static str, String)> {
        let fixed = |key: &str| matches!(key, "stage" | "do_train");
        self.trainer_keys().into_iter().filter(|(key, _)| !fixed(key)).map(|(key, value)| (key, value.to_string())).collect()
    }

    /// The YAML beside the form: base model and dataset by their names, then the settings. Ends with a line feed.
    pub fn yaml(&self, base_model: &str, dataset: &str) -> String {
        let mut out = format!("model_name_or_path: {}\ndataset: {}\n", text(base_model), text(dataset));
        for (key, value) in self.trainer_keys() {
            let value = match value {
                SettingValue::Text(t) => text(&t),
                other => other.to_string(),
            };
            out.push_str(&format!("{key}: {value}\n"));
        }
        out
    }
}

/// Plain where every YAML reader takes it for the same text, else in double quotes, which YAML reads as JSON does.
fn text(value: &str) -> String {
    let word = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"].contains(&value.to_ascii_lowercase().as_str());
    let plain = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b',' | b'/'));
    if plain && !word { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_yaml_reads_as_the_trainer_reads_it() {
        let settings = RunSettings { learning_rate: 1e-5, num_train_epochs: 20.0, ..RunSettings::default() };
        assert_eq!(
            settings.yaml("world-base", "facts"),
            "model_name_or_path: world-base\ndataset: facts\nstage: sft\ndo_train: true\nfinetuning_type: lora\nnum_train_epochs: 20.0\n\
             learning_rate: 1.0e-5\nper_device_train_batch_size: 8\ncutoff_len: 1024\nlora_rank: 16\nlora_alpha: 32\nlora_target: all\n\
             lr_scheduler_type: cosine\nwarmup_steps: 10\ngradient_accumulation_steps: 1\nseed: 42\n"
        );
    }

    #[test]
    fn a_full_fine_tune_says_nothing_of_lora() {
        let yaml = RunSettings { finetuning_type: FinetuningType::Full, ..RunSettings::default() }.yaml("b", "d");
        assert!(yaml.contains("finetuning_type: full\n") && !yaml.contains("lora_"), "{yaml}");
    }

    #[test]
    fn a_name_that_yaml_would_read_as_something_else_is_quoted() {
        for name in ["no", "1.5", "null", "2024-01-01", "on", "a: b", ""] {
            assert!(text(name).starts_with('"'), "{name} -> {}", text(name));
        }
        assert_eq!(text("llama-3.1-8b"), "llama-3.1-8b");
    }
}
