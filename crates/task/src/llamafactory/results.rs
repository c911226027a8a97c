//! What the trainer leaves in its output folder, and what of it is kept.

use crate::failure::TaskError;
use domain::settings::FinetuningType;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Tokenizer and chat template, as changed by the training template; whichever of them the model has.
const TOKENIZER: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];
const EVIDENCE: [&str; 4] = ["trainer_state.json", "train_results.json", "eval_results.json", super::TRAINER_LOG];

/// The files with the weights: none = the trainer wrote none. Never `.bin`: pickles can hold foreign code.
pub fn weights(out: &Path, kind: FinetuningType) -> Vec<PathBuf> {
    let is_weight = |name: &str| match kind {
        FinetuningType::Lora => name == "adapter_model.safetensors",
        FinetuningType::Full => name.starts_with("model") && name.ends_with(".safetensors"),
    };
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_weight)).map(|e| e.path()).collect();
    found.sort();
    found
}

/// Everything that is kept: weights, their configuration, tokenizer, and the evidence. Only what exists.
/// Not kept: checkpoints, `training_args.bin` (a pickle) and the generated card (wrong licence, local paths).
pub fn results_to_keep(out: &Path, kind: FinetuningType) -> Vec<PathBuf> {
    let config: &[&str] = match kind {
        FinetuningType::Lora => &["adapter_config.json"],
        FinetuningType::Full => &["config.json", "generation_config.json", "model.safetensors.index.json"],
    };
    let named = config.iter().chain(&TOKENIZER).chain(&EVIDENCE).map(|name| out.join(name)).filter(|path| path.is_file());
    weights(out, kind).into_iter().chain(named).collect()
}

/// The trainer wrote down where the base model lay on this machine; what counts is which one it was.
pub fn adapter_config(out: &Path, base_model: &str) -> Result<(), TaskError> {
    let path = out.join("adapter_config.json");
    let doing = "rewriting adapter_config.json";
    let text = std::fs::read(&path).map_err(TaskError::io(doing))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|e| TaskError::io(doing)(e.into()))?;
    config["base_model_name_or_path"] = base_model.into();
    std::fs::write(&path, serde_json::to_vec_pretty(&config).unwrap_or_default()).map_err(TaskError::io(doing))
}

/// Every number in `train_results.json` and `eval_results.json`; `None` when the first is missing or not readable.
pub fn numbers(out: &Path) -> Option<BTreeMap<String, f64>> {
    let read = |name: &str| -> Option<BTreeMap<String, f64>> {
        let values: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(out.join(name)).ok()?).ok()?;
        Some(values.into_iter().filter_map(|(key, value)| Some((key, value.as_f64()?))).collect())
    };
    let mut all = read("train_results.json")?;
    all.extend(read("eval_results.json").unwrap_or_default());
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_an_adapter_and_of_a_full_model() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "adapter_model.safetensors",
            "adapter_config.json",
            "tokenizer.json",
            "training_args.bin",
            "README.md",
            "train_results.json",
            "model-00001-of-00002.safetensors",
            "config.json",
        ] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let names = |kind| {
            results_to_keep(folder.path(), kind).iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(FinetuningType::Lora),
            ["adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "train_results.json"]
        );
        assert_eq!(
            names(FinetuningType::Full),
            ["model-00001-of-00002.safetensors", "config.json", "tokenizer.json", "train_results.json"]
        );
    }

    #[test]
    fn the_local_path_of_the_base_model_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("adapter_config.json"), r#"{"base_model_name_or_path":"base","r":32}"#).unwrap();
        adapter_config(folder.path(), "base_7").unwrap();
        let config: Value = serde_json::from_slice(&std::fs::read(folder.path().join("adapter_config.json")).unwrap()).unwrap();
        assert_eq!(config, serde_json::json!({"base_model_name_or_path": "base_7", "r": 32}));
    }

    #[test]
    fn numbers_of_both_result_files_come_together() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(numbers(folder.path()), None);
        std::fs::write(folder.path().join("train_results.json"), r#"{"epoch": 16.0, "train_loss": 0.37, "note": "x"}"#).unwrap();
        std::fs::write(folder.path().join("eval_results.json"), r#"{"epoch": 16.0, "eval_loss": 0.21}"#).unwrap();
        let expected = [("epoch", 16.0), ("eval_loss", 0.21), ("train_loss", 0.37)].map(|(k, v)| (k.to_owned(), v));
        assert_eq!(numbers(folder.path()), Some(expected.into()));
    }
}
