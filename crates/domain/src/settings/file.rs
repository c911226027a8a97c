//! The whole catalogue, out of the two files in `crates/domain/settings/`: `trainer.json` is generated from the installed trainer by
//! `read_trainer.py`, `ours.json` is written by hand. Not for the browser: a page is given the part that it shows.

use super::{
    Kind, RunSettings, SettingValue,
    catalogue::{Catalogue, Choice, Entry, Form, Group, Range, Rule},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

/// What the trainer says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theirs {
    /// Package and version.
    trainer: BTreeMap<String, String>,
    keys: Vec<TheirKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TheirKey {
    key: String,
    kind: Kind,
    /// It may be `null`.
    #[serde(rename = "optional")]
    _optional: bool,
    default: serde_json::Value,
    choices: Vec<String>,
    methods: Vec<String>,
    stages: Vec<String>,
    class: String,
    help: String,
}

/// What we add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    #[serde(rename = "about")]
    _about: String,
    groups: Vec<Group>,
    reasons: BTreeMap<String, String>,
    form: Form,
    presets: BTreeMap<String, RunSettings>,
    rules: Vec<Rule>,
    keys: Vec<OurKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OurKey {
    key: String,
    group: String,
    /// Which of the reasons why it is the platform's.
    platform: Option<String>,
    value: Option<SettingValue>,
    label: Option<String>,
    #[serde(default)]
    words: String,
    #[serde(default)]
    unit: String,
    range: Option<Range>,
    usual: Option<String>,
    /// Those that are offered, with their labels, in order.
    #[serde(default)]
    choices: Vec<Choice>,
}

struct Files {
    catalogue: Catalogue,
    presets: BTreeMap<String, RunSettings>,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let theirs: Theirs = serde_json::from_str(include_str!("../../settings/trainer.json")).expect("settings/trainer.json is of its shape");
    let ours: Ours = serde_json::from_str(include_str!("../../settings/ours.json")).expect("settings/ours.json is of its shape");
    joined(theirs, ours)
});

/// All settings of the trainer, in the order of the pages.
pub fn catalogue() -> &'static Catalogue {
    &FILES.catalogue
}

/// The settings of a preset; [`super::PRESETS`] names them.
pub fn preset(id: &str) -> Option<RunSettings> {
    FILES.presets.get(id).cloned()
}

fn joined(theirs: Theirs, ours: Ours) -> Files {
    let version = theirs.trainer.get("llamafactory").map_or("", String::as_str);
    let mut by_key: HashMap<String, TheirKey> = theirs.keys.into_iter().map(|k| (k.key.clone(), k)).collect();
    // A key that only one of the files has is left out here, and named by the tests below.
    let entries = ours.keys.into_iter().filter_map(|our| by_key.remove(&our.key).map(|their| entry(their, our, &ours.reasons))).collect();
    let catalogue = Catalogue {
        trainer: format!("LLaMA-Factory {version}"),
        groups: ours.groups,
        entries,
        rules: ours.rules,
        form: ours.form,
        whole: true,
    };
    Files { catalogue, presets: ours.presets }
}

fn entry(their: TheirKey, our: OurKey, reasons: &BTreeMap<String, String>) -> Entry {
    let default = match their.default {
        serde_json::Value::Array(items) if items.is_empty() => Some(SettingValue::from("")),
        value => serde_json::from_value(value).ok(),
    };
    let offered = match (their.kind, our.choices) {
        (Kind::Choice, choices) if choices.is_empty() => {
            their.choices.into_iter().map(|value| Choice { label: value.clone(), value }).collect()
        }
        (_, choices) => choices,
    };
    let platform = our.platform.map(|reason| reasons.get(&reason).cloned().unwrap_or(reason));
    Entry {
        kind: their.kind,
        default,
        choices: offered,
        methods: their.methods,
        stages: their.stages,
        help: their.help,
        class: their.class,
        group: our.group,
        label: our.label.unwrap_or_else(|| their.key.clone()),
        key: their.key,
        words: our.words,
        unit: our.unit,
        range: our.range,
        usual: our.usual,
        platform,
        value: our.value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PRESETS;
    use std::collections::BTreeSet;

    fn files() -> (Theirs, Ours) {
        (
            serde_json::from_str(include_str!("../../settings/trainer.json")).unwrap(),
            serde_json::from_str(include_str!("../../settings/ours.json")).unwrap(),
        )
    }

    #[test]
    fn every_key_of_the_trainer_has_a_place_an_owner_and_words_of_ours_and_there_is_no_other() {
        let (theirs, ours) = files();
        let keys = |of: Vec<&String>| of.into_iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(theirs.keys.iter().map(|k| &k.key).collect()), keys(ours.keys.iter().map(|k| &k.key).collect()));
        assert_eq!(theirs.keys.len(), ours.keys.len(), "a key stands twice");
        for our in &ours.keys {
            let their = theirs.keys.iter().find(|k| k.key == our.key).unwrap();
            assert!(ours.groups.iter().any(|g| g.id == our.group), "{}: group {}", our.key, our.group);
            match &our.platform {
                Some(reason) => assert!(ours.reasons.contains_key(reason), "{}: reason {reason}", our.key),
                None => {
                    assert!(our.label.is_some() && our.words.ends_with('.'), "{} has no words", our.key);
                    assert!(
                        their.stages.is_empty() || their.stages.iter().any(|s| s == "sft"),
                        "{} is not for supervised fine-tuning",
                        our.key
                    );
                    let number = matches!(their.kind, Kind::Int | Kind::Float);
                    assert_eq!(number, our.range.is_some(), "{} is a {:?} with range {:?}", our.key, their.kind, our.range);
                    assert!(our.choices.iter().all(|c| their.choices.contains(&c.value)), "{}: {:?}", our.key, our.choices);
                    assert!(our.value.is_none(), "{} is a person's and has a fixed value", our.key);
                }
            }
        }
        let used: BTreeSet<_> = ours.keys.iter().filter_map(|k| k.platform.as_ref()).collect();
        assert_eq!(used, ours.reasons.keys().collect(), "a reason that nobody has");
        for key in ours.form.main.iter().chain(&ours.form.more).chain(ours.rules.iter().flat_map(|r| r.when.iter().map(|c| &c.key))) {
            assert!(catalogue().entry(key).is_some_and(Entry::is_persons), "{key}");
        }
    }

    #[test]
    fn every_preset_has_settings_that_hold_on_every_base_model() {
        assert_eq!(FILES.presets.len(), PRESETS.len());
        for p in PRESETS {
            let settings = preset(p.id).unwrap_or_else(|| panic!("{} has no settings", p.id));
            assert!(settings.doubts(1_000).is_empty(), "{}", p.id);
            for context in [16, 100, 512, 131_072] {
                let wrong = catalogue().check(&settings.clone().within(context), context);
                assert!(wrong.is_empty(), "{} on {context}: {wrong:?}", p.id);
            }
            assert_eq!(settings.clone().within(131_072), settings, "a larger context changes nothing");
            assert_eq!(settings.clone().within(0), settings, "nor does one that is not known");
        }
    }

    #[test]
    fn every_default_and_every_usual_value_of_a_persons_key_is_allowed() {
        for e in catalogue().entries.iter().filter(|e| e.is_persons()) {
            for value in e.usual.iter().map(|raw| e.kind.read(raw).unwrap()).chain(e.default.clone()) {
                let wrong = catalogue().check(&RunSettings::default().with(&e.key, value.clone()), 0);
                assert!(wrong.is_empty(), "{} = {value}: {wrong:?}", e.key);
            }
        }
    }
}
