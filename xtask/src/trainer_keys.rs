//! A setting of the trainer is data: it comes out of the catalogue. Rust names the few keys that steps compute with, in one file, and those
//! that the platform itself writes into the trainer's file.

use crate::{folders::root, sources};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// Who may name a key, and why. A folder stands for all files in it.
const ALLOWED: [(&str, &str); 8] = [
    ("crates/domain/src/settings/computed.rs", "the keys that steps compute with, each with its reason"),
    ("crates/task/src/llamafactory/", "what the platform writes: paths, devices, how often is reported"),
    ("crates/task/src/evaluate.rs", "`max_new_tokens` of transformers, which generates"),
    ("crates/task/src/progress/course.rs", "`learning_rate` among the figures that transformers posts"),
    ("crates/gateway/src/asked.rs", "`add_special_tokens` of OpenAI's and vLLM's requests"),
    ("crates/domain/src/serving/parsers.rs", "`enable_thinking` of chat templates"),
    ("app/src/api/runs.rs", "base model and data are chosen beside the settings"),
    ("app/src/pages/run_new/yaml.rs", "the same, in the text"),
];

pub fn trainer_keys() -> Result<()> {
    let keys = keys()?;
    for (_, src) in sources::crates()? {
        for file in sources::below(&src)?.iter().filter(|file| !ALLOWED.iter().any(|(allowed, _)| file.path.starts_with(allowed))) {
            if let Some(key) = named(&file.text, &keys) {
                bail!(
                    "{} names the trainer's key \"{key}\". Take it from the catalogue (domain::settings), or compute with it in settings/computed.rs",
                    file.path
                );
            }
        }
    }
    Ok(())
}

/// All keys of more than one word: `seed` and `packing` are words of others too.
fn keys() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(root().join("crates/domain/settings/trainer.json"))?;
    let catalogue: Value = serde_json::from_str(&text)?;
    let mut keys = BTreeSet::new();
    let mut left = vec![&catalogue];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => {
                let key = ["key", "name"].iter().find_map(|field| fields.get(*field)?.as_str()).filter(|key| key.contains('_'));
                keys.extend(key.map(str::to_owned));
                left.extend(fields.values());
            }
            _ => {}
        }
    }
    keys.first().context("the catalogue has no keys")?;
    Ok(keys)
}

/// The first key that is a text of its own in this source. Tests at its end don't count.
fn named<'a>(source: &str, keys: &'a BTreeSet<String>) -> Option<&'a String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    keys.iter().find(|key| source.contains(&format!("\"{key}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_that_must_name_a_key_of_the_trainer() {
        trainer_keys().unwrap();
    }

    #[test]
    fn a_key_that_is_named_is_found_and_one_in_a_test_or_a_sentence_is_not() {
        let keys = keys().unwrap();
        assert!(keys.contains("learning_rate") && keys.len() > 200, "{}", keys.len());
        assert_eq!(named("let rate = settings.get(\"learning_rate\");", &keys).map(String::as_str), Some("learning_rate"));
        assert_eq!(named("// learning_rate\n#[cfg(test)]\nmod tests { \"learning_rate\" }", &keys), None);
    }

    #[test]
    fn every_file_that_may_name_keys_is_there() {
        for (path, _) in ALLOWED {
            assert!(root().join(path).exists(), "{path}");
        }
    }
}
