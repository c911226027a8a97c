//! Ways to look at settings through the catalogue: a list, a text, what differs, and what goes into the trainer's file.

use super::{Document, RunSettings, SettingValue, catalogue::Catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A setting as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub key: String,
    pub label: String,
    pub value: String,
    /// The trainer's own.
    pub default: String,
    /// It is another one than the default.
    pub differs: bool,
}

/// A setting that two runs do not have alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub key: String,
    pub label: String,
    /// What the key does.
    pub words: String,
    pub left: String,
    pub right: String,
}

impl Catalogue {
    /// What was set and has an effect, in the order of the form. A key that this catalogue does not know comes last: a run of an
    /// older version may have one.
    pub fn chosen<'a>(&self, settings: &'a RunSettings) -> Vec<(&'a str, &'a SettingValue)> {
        let method = settings.finetuning_type().word();
        let place = |key: &str| self.ordered().position(|e| e.key == key).unwrap_or(usize::MAX);
        let mut out: Vec<_> = settings
            .iter()
            .filter(|(key, _)| self.entry(key).is_none_or(|e| e.applies(method)))
            .map(|(key, value)| (place(key), key, value))
            .collect();
        out.sort_by_key(|(place, key, _)| (*place, *key));
        out.into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    /// The same for a page.
    pub fn shown(&self, settings: &RunSettings) -> Vec<Shown> {
        let shown = |(key, value): (&str, &SettingValue)| {
            let entry = self.entry(key);
            Shown {
                key: key.to_owned(),
                label: entry.map_or(key, |e| &e.label).to_owned(),
                value: value.to_string(),
                default: entry.map(|e| e.default_shown()).unwrap_or_default(),
                differs: entry.and_then(|e| e.default.as_ref()) != Some(value),
            }
        };
        self.chosen(settings).into_iter().map(shown).collect()
    }

    /// The settings as a text to read and to edit, under a line that says what they are of.
    pub fn document(&self, settings: &RunSettings, about: &str) -> Document {
        let mut text = format!("# {about}\n");
        for (key, value) in self.chosen(settings) {
            text.push_str(&format!("{key}: {}\n", value.yaml()));
        }
        Document::new(&text)
    }

    /// Where two runs differ in what holds for them; what has no effect counts as not set.
    pub fn differences(&self, left: &RunSettings, right: &RunSettings) -> Vec<Difference> {
        let keys: BTreeSet<&str> = left.keys().chain(right.keys()).collect();
        let holds = |settings: &RunSettings, key: &str| {
            let method = settings.finetuning_type().word();
            let in_effect = self.entry(key).is_none_or(|e| e.applies(method));
            in_effect.then(|| self.value(settings, key).cloned()).flatten()
        };
        let said = |value: Option<SettingValue>| value.map_or_else(|| "not set".to_owned(), |v| v.to_string());
        let place = |key: &str| self.ordered().position(|e| e.key == key).unwrap_or(usize::MAX);
        let mut keys: Vec<_> = keys.into_iter().map(|key| (place(key), key)).collect();
        keys.sort_unstable();
        keys.into_iter()
            .filter_map(|(_, key)| {
                let (a, b) = (holds(left, key), holds(right, key));
                let entry = self.entry(key);
                (a != b).then(|| Difference {
                    key: key.to_owned(),
                    label: entry.map_or(key, |e| &e.label).to_owned(),
                    words: entry.map(|e| e.words.clone()).unwrap_or_default(),
                    left: said(a),
                    right: said(b),
                })
            })
            .collect()
    }

    /// What goes into the trainer's file before the step adds what it computes: what the platform always writes, and what was chosen.
    pub fn trainer_file<'a>(&'a self, settings: &'a RunSettings) -> Vec<(&'a str, &'a SettingValue)> {
        let always = self.entries.iter().filter(|e| !e.is_persons()).filter_map(|e| Some((e.key.as_str(), e.value.as_ref()?)));
        let chosen = self.chosen(settings).into_iter().filter(|(key, _)| self.entry(key).is_some_and(|e| e.is_persons()));
        always.chain(chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{catalogue, preset};

    #[test]
    fn the_text_reads_as_the_trainer_reads_it_and_becomes_the_same_settings_again() {
        let settings = preset("lora").unwrap().with("learning_rate", 1e-5).with("num_train_epochs", 20.0).with("weight_decay", 0.01);
        let document = catalogue().document(&settings, "facts-1: world-base on facts v1");
        assert_eq!(
            document.text(),
            "# facts-1: world-base on facts v1\nfinetuning_type: lora\nnum_train_epochs: 20.0\nlearning_rate: 1.0e-5\n\
             per_device_train_batch_size: 8\ncutoff_len: 1024\nlora_rank: 16\nlora_alpha: 32\nlora_target: all\n\
             lr_scheduler_type: cosine\nwarmup_steps: 10\ngradient_accumulation_steps: 1\nseed: 42\nweight_decay: 0.01\n"
        );
        assert_eq!(catalogue().read(&document), (settings, vec![]));
    }

    #[test]
    fn a_full_fine_tune_says_nothing_of_lora() {
        let text = catalogue().document(&preset("lora").unwrap().with("finetuning_type", "full"), "").text();
        assert!(text.contains("finetuning_type: full\n") && !text.contains("lora_"), "{text}");
    }

    #[test]
    fn a_run_of_an_older_version_is_read_with_every_key_that_it_had() {
        let stored = r#"{"finetuning_type":"lora","lora_rank":16,"lora_alpha":32,"lora_target":"all","num_train_epochs":3.0,"learning_rate":0.0002,
            "lr_scheduler_type":"cosine","warmup_steps":10,"per_device_train_batch_size":8,"gradient_accumulation_steps":1,"cutoff_len":1024,"seed":42}"#;
        let settings: RunSettings = serde_json::from_str(stored).unwrap();
        assert_eq!(settings, preset("lora").unwrap());
        let gone: RunSettings = serde_json::from_str(r#"{"key_of_an_older_trainer":1,"seed":7}"#).unwrap();
        assert_eq!(catalogue().chosen(&gone).iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["seed", "key_of_an_older_trainer"]);
    }

    #[test]
    fn two_runs_differ_in_what_holds_for_them() {
        let (lora, full) = (preset("lora").unwrap(), preset("full").unwrap());
        let said = |a: &RunSettings, b: &RunSettings| {
            catalogue().differences(a, b).into_iter().map(|d| format!("{} {} {}", d.key, d.left, d.right)).collect::<Vec<_>>()
        };
        assert!(said(&lora, &lora).is_empty());
        assert_eq!(
            said(&lora, &full),
            [
                "finetuning_type lora full",
                "learning_rate 2.0e-4 5.0e-5",
                "lora_rank 16 not set",
                "lora_alpha 32 not set",
                "lora_target all not set"
            ]
        );
        // Setting what is the default anyhow is no difference; `3` and `3.0` are one number.
        assert!(said(&lora, &lora.clone().with("weight_decay", 0).with("num_train_epochs", 3)).is_empty());
        assert_eq!(said(&RunSettings::default(), &RunSettings::default().with("seed", 7)), ["seed 42 7"]);
    }

    #[test]
    fn what_differs_from_the_default_is_said() {
        let shown = catalogue().shown(&preset("lora").unwrap());
        let differing: Vec<_> =
            shown.iter().filter(|s| s.differs).map(|s| (s.key.as_str(), s.value.as_str(), s.default.as_str())).collect();
        assert_eq!(
            differing,
            [
                ("learning_rate", "2.0e-4", "5.0e-5"),
                ("cutoff_len", "1024", "2048"),
                ("lora_rank", "16", "8"),
                ("lora_alpha", "32", "not set"),
                ("lr_scheduler_type", "cosine", "linear"),
                ("warmup_steps", "10", "0")
            ]
        );
    }
}
