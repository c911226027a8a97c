//! The catalogue of settings: every key of the trainer's file with what the trainer says of it (type, default, choices, help) and what
//! we add (group, order, plain words, range, owner). The server holds all of it (`file.rs`); a page gets the part that it shows.

use super::{Kind, RunSettings, SettingValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// `LLaMA-Factory 0.9.5`.
    pub trainer: String,
    pub groups: Vec<Group>,
    /// In the order of the pages: by group, the person's keys first.
    pub entries: Vec<Entry>,
    pub rules: Vec<Rule>,
    pub form: Form,
    /// All keys are here. A page that shows a few has only those, and cannot say of another one that it does not exist.
    pub whole: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: String,
    pub label: String,
}

/// Which keys stand in the simple form, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    pub main: Vec<String>,
    /// Folded away.
    pub more: Vec<String>,
}

/// One key of the trainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    pub kind: Kind,
    /// The trainer's own; none = not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<SettingValue>,
    /// The words that may be chosen here; the trainer may know more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Methods of fine-tuning that it is for; empty = all. With another one it stays out of the trainer's file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Stages of training that it is for; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// The trainer's own words.
    pub help: String,
    /// The class that declares it: `llamafactory.LoraArguments`.
    pub class: String,
    pub group: String,
    /// Plain name; the key itself where nobody needs one.
    pub label: String,
    /// What it does, in plain words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// A value that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<String>,
    /// Why nobody but the platform sets it; none = the person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What the platform writes, where that is always the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<SettingValue>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub value: String,
    pub label: String,
}

/// Bounds of a number; each may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The number must be larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
    /// The number must be smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

/// Values that do not go together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// It is broken when all of these are so.
    pub when: Vec<Condition>,
    /// Where it is shown.
    pub field: String,
    pub sentence: String,
    /// What that field could be instead.
    pub usual: String,
    /// The trainer refuses it too; otherwise it would go on and do something else than what was asked.
    pub trainer: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub key: String,
    pub equals: SettingValue,
}

impl Range {
    pub fn contains(&self, n: f64) -> bool {
        self.least.is_none_or(|b| n >= b)
            && self.above.is_none_or(|b| n > b)
            && self.most.is_none_or(|b| n <= b)
            && self.below.is_none_or(|b| n < b)
    }
}

impl Entry {
    pub fn is_persons(&self) -> bool {
        self.platform.is_none()
    }

    /// It has an effect with this method of fine-tuning.
    pub fn applies(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m == method)
    }

    /// The default as a page shows it.
    pub fn default_shown(&self) -> String {
        self.default.as_ref().map_or_else(|| "not set".to_owned(), |v| if v.as_text() == Some("") { "empty".into() } else { v.to_string() })
    }

    /// Name, key, plain words and the trainer's own help are searched; all words of `text` must be found, in lower case.
    pub fn is_about(&self, text: &str) -> bool {
        let about = format!("{} {} {} {}", self.key, self.label, self.words, self.help).to_lowercase();
        text.split_whitespace().all(|word| about.contains(word))
    }
}

impl Catalogue {
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    /// The value that holds: what was set, else the trainer's default.
    pub fn value<'a>(&'a self, settings: &'a RunSettings, key: &str) -> Option<&'a SettingValue> {
        settings.get(key).or_else(|| self.entry(key)?.default.as_ref())
    }

    /// Keys in the order in which a person reads them: those of the form first.
    pub fn ordered(&self) -> impl Iterator<Item = &Entry> {
        let first = self.form.main.iter().chain(&self.form.more);
        let rest = self.entries.iter().filter(|e| !self.form.main.contains(&e.key) && !self.form.more.contains(&e.key));
        first.filter_map(|key| self.entry(key)).chain(rest)
    }

    /// The part that a page needs: the keys of the form, and these.
    pub fn part(&self, keys: &BTreeSet<String>) -> Self {
        let wanted = |key: &String| self.form.main.contains(key) || self.form.more.contains(key) || keys.contains(key);
        Self { entries: self.entries.iter().filter(|e| wanted(&e.key)).cloned().collect(), whole: false, ..self.clone() }
    }

    /// Keys that a person may write and that go on like this, those that begin so first; at most `most`, and none that is there already.
    pub fn completions(&self, typed: &str, there: &[String], most: usize) -> Vec<&Entry> {
        let typed = typed.to_ascii_lowercase();
        let free = |e: &&Entry| e.is_persons() && !there.contains(&e.key);
        let (begin, hold): (Vec<_>, Vec<_>) =
            self.ordered().filter(free).filter(|e| e.key.contains(&typed)).partition(|e| e.key.starts_with(&typed));
        begin.into_iter().chain(hold).take(most).collect()
    }

    /// The key that was probably meant.
    pub fn nearest(&self, key: &str) -> Option<&str> {
        let key = key.to_ascii_lowercase();
        self.entries
            .iter()
            .filter(|e| e.is_persons())
            .map(|e| (distance(&key, &e.key), e.key.as_str()))
            .filter(|(far, _)| *far <= 1 + key.len() / 5)
            .min()
            .map(|(_, key)| key)
    }
}

/// Levenshtein's: how many letters must be added, taken away or changed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
