//! The form of a new run as text, exactly as typed: read into settings by the page (live) and by the server (for good) with the same code.

use domain::{
    problem::FieldProblem,
    run::NewRun,
    settings::{FinetuningType, RunSettings, Scheduler, must_be, yaml_float},
};
use serde::{Deserialize, Serialize};

macro_rules! fields {
    ($($key:ident),* $(,)?) => {
        /// All fields of the form; missing ones are empty.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct RunForm { $(pub $key: String),* }

        impl RunForm {
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
            pub fn get(&self, key: &str) -> &str {
                match key { $(stringify!($key) => &self.$key,)* _ => "" }
            }
            pub fn set(&mut self, key: &str, value: String) {
                match key { $(stringify!($key) => self.$key = value,)* _ => {} }
            }
        }
    };
}

fields! {
    name, base_model, dataset, model_name,
    finetuning_type, lora_rank, lora_alpha, lora_target,
    num_train_epochs, learning_rate, lr_scheduler_type, warmup_steps,
    per_device_train_batch_size, gradient_accumulation_steps, cutoff_len, seed,
    cloned_from, submission,
}

impl RunForm {
    /// The form that shows these wishes.
    pub fn of(new: &NewRun) -> Self {
        let s = &new.settings;
        Self {
            name: new.name.clone(),
            base_model: new.base_model.clone(),
            dataset: match new.dataset_number {
                Some(n) if !new.dataset.is_empty() => format!("{}@{n}", new.dataset),
                _ => new.dataset.clone(),
            },
            model_name: new.model_name.clone(),
            cloned_from: new.cloned_from.map(|id| id.to_string()).unwrap_or_default(),
            submission: new.submission.clone(),
            ..Self::of_settings(s)
        }
    }

    fn of_settings(s: &RunSettings) -> Self {
        Self {
            finetuning_type: s.finetuning_type.word().into(),
            lora_rank: s.lora_rank.to_string(),
            lora_alpha: s.lora_alpha.to_string(),
            lora_target: s.lora_target.clone(),
            num_train_epochs: s.num_train_epochs.to_string(),
            learning_rate: yaml_float(s.learning_rate),
            lr_scheduler_type: s.lr_scheduler_type.word().into(),
            warmup_steps: s.warmup_steps.to_string(),
            per_device_train_batch_size: s.per_device_train_batch_size.to_string(),
            gradient_accumulation_steps: s.gradient_accumulation_steps.to_string(),
            cutoff_len: s.cutoff_len.to_string(),
            seed: s.seed.to_string(),
            ..Self::default()
        }
    }

    /// What was typed as settings. A field that is no number keeps its default, and is named in the problems.
    pub fn settings(&self) -> (RunSettings, Vec<FieldProblem>) {
        let mut problems = Vec::new();
        let default = RunSettings::default();
        let settings = RunSettings {
            finetuning_type: FinetuningType::from_word(&self.finetuning_type).unwrap_or(default.finetuning_type),
            lora_rank: whole(&mut problems, "lora_rank", &self.lora_rank, default.lora_rank),
            lora_alpha: whole(&mut problems, "lora_alpha", &self.lora_alpha, default.lora_alpha),
            lora_target: if self.lora_target.trim().is_empty() { default.lora_target.clone() } else { self.lora_target.trim().to_owned() },
            num_train_epochs: decimal(&mut problems, "num_train_epochs", &self.num_train_epochs, default.num_train_epochs),
            learning_rate: decimal(&mut problems, "learning_rate", &self.learning_rate, default.learning_rate),
            lr_scheduler_type: Scheduler::from_word(&self.lr_scheduler_type).unwrap_or(default.lr_scheduler_type),
            warmup_steps: whole(&mut problems, "warmup_steps", &self.warmup_steps, default.warmup_steps),
            per_device_train_batch_size: whole(
                &mut problems,
                "per_device_train_batch_size",
                &self.per_device_train_batch_size,
                default.per_device_train_batch_size,
            ),
            gradient_accumulation_steps: whole(
                &mut problems,
                "gradient_accumulation_steps",
                &self.gradient_accumulation_steps,
                default.gradient_accumulation_steps,
            ),
            cutoff_len: whole(&mut problems, "cutoff_len", &self.cutoff_len, default.cutoff_len),
            seed: whole(&mut problems, "seed", &self.seed, default.seed),
        };
        (settings, problems)
    }

    /// Dataset name and version number of `name@3`.
    pub fn dataset_and_number(&self) -> (&str, Option<u32>) {
        match self.dataset.split_once('@') {
            Some((name, number)) => (name, number.parse().ok()),
            None => (&self.dataset, None),
        }
    }

    /// The wishes, or every field that cannot be read.
    pub fn new_run(&self) -> Result<NewRun, Vec<FieldProblem>> {
        let (settings, mut problems) = self.settings();
        let cloned_from = match self.cloned_from.as_str() {
            "" => None,
            id => match id.parse() {
                Ok(id) => Some(id),
                Err(_) => {
                    problems.push(FieldProblem::new("cloned_from", "The run that this one was cloned from is not known."));
                    None
                }
            },
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let (dataset, dataset_number) = self.dataset_and_number();
        Ok(NewRun {
            name: self.name.trim().to_owned(),
            base_model: self.base_model.clone(),
            dataset: dataset.to_owned(),
            dataset_number,
            model_name: self.model_name.trim().to_owned(),
            settings,
            cloned_from,
            submission: self.submission.clone(),
        })
    }
}

fn whole(problems: &mut Vec<FieldProblem>, key: &str, text: &str, default: u32) -> u32 {
    text.trim().parse().unwrap_or_else(|_| {
        problems.push(FieldProblem::new(key, not_allowed(key, text)).suggesting(default.to_string()));
        default
    })
}

fn decimal(problems: &mut Vec<FieldProblem>, key: &str, text: &str, default: f64) -> f64 {
    match text.trim().replace(',', ".").parse::<f64>() {
        Ok(v) if v.is_finite() => v,
        _ => {
            problems.push(FieldProblem::new(key, not_allowed(key, text)).suggesting(default.to_string()));
            default
        }
    }
}

fn not_allowed(key: &str, text: &str) -> String {
    format!("“{}” cannot be used. {}", short(text), must_be(key, 0))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> RunForm {
        RunForm { name: "facts-8".into(), dataset: "facts@3".into(), ..RunForm::of_settings(&RunSettings::default()) }
    }

    #[test]
    fn settings_survive_the_way_through_the_form() {
        let (settings, problems) = filled().settings();
        assert_eq!((settings, problems), (RunSettings::default(), vec![]));
        assert_eq!(filled().dataset_and_number(), ("facts", Some(3)));
    }

    #[test]
    fn what_is_no_number_is_named_with_one_that_works() {
        let mut form = filled();
        form.lora_rank = "-4".into();
        form.learning_rate = "fast".into();
        let problems = form.new_run().unwrap_err();
        let said: Vec<_> = problems.iter().map(|p| (p.field.as_str(), p.suggestion.as_deref())).collect();
        assert_eq!(said, [("lora_rank", Some("16")), ("learning_rate", Some("0.0002"))]);
        assert_eq!(problems[0].sentence, "“-4” cannot be used. The rank must be a whole number between 1 and 256.");
    }

    #[test]
    fn a_decimal_comma_is_understood() {
        let mut form = filled();
        form.num_train_epochs = "2,5".into();
        assert_eq!(form.settings().0.num_train_epochs, 2.5);
    }
}
