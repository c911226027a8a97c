//! The settings of a run: a map of values under LLaMA-Factory's keys, and the catalogue that says what each key means. The form, the list
//! of all settings, the YAML, the check, the comparison of two runs and the trainer's file are views of these two.

mod catalogue;
mod check;
mod computed;
mod document;
#[cfg(not(target_arch = "wasm32"))]
mod file;
mod value;
mod views;

pub use catalogue::{Catalogue, Choice, Condition, Entry, Form, Group, Range, Rule};
pub use check::YAML_FIELD;
pub use computed::COMPUTED;
pub use document::{Document, Mark, Pair};
#[cfg(not(target_arch = "wasm32"))]
pub use file::{catalogue, preset};
pub use value::{Kind, SettingValue, yaml_float};
pub use views::{Difference, Shown};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum FinetuningType {
    Lora,
    Full,
}

worded!(FinetuningType);

/// What a person chose, by the trainer's keys. What is not in it has the trainer's default; everything else in the trainer's file
/// (paths, devices, reporting) is the platform's. Any map can be held, also one that an older version stored: [`Catalogue::check`] judges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunSettings(BTreeMap<String, SettingValue>);

impl RunSettings {
    pub fn get(&self, key: &str) -> Option<&SettingValue> {
        self.0.get(key)
    }

    /// The same with another value.
    pub fn with(mut self, key: &str, value: impl Into<SettingValue>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &SettingValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// None for everything that is no number from 0 on.
    fn whole(&self, key: &str) -> Option<u32> {
        match self.get(key)? {
            SettingValue::Whole(n) => u32::try_from(*n).ok(),
            _ => None,
        }
    }
}

/// A preset is a set of settings with a name and a reason. Its settings stand in `settings/ours.json`.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub id: &'static str,
    pub label: &'static str,
    pub reason: &'static str,
}

/// What a form starts with where nobody chose anything.
pub const STANDARD_PRESET: &str = "lora";

pub const PRESETS: [Preset; 4] = [
    Preset { id: "quick-check", label: "Quick check", reason: "One epoch, to see whether data and model work together." },
    Preset { id: STANDARD_PRESET, label: "LoRA", reason: "Standard: a small adapter that loads onto a running endpoint." },
    Preset {
        id: "tiny-lora",
        label: "LoRA for tiny models",
        reason: "Higher rank and rate, many passes: teaches facts to a model of a few million parameters.",
    },
    Preset { id: "full", label: "Full fine-tune", reason: "Trains all weights; needs about eight times the memory and its own endpoint." },
];
