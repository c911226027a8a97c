//! What a model's folder says about itself. Refuses, in sentences, whatever could not be trained and served later, and whatever
//! would run code when it is loaded.

use domain::problem::FieldProblem;
use serde_json::Value;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Bytes of a safetensors header; those of the largest models take a few MB.
const LARGEST_HEADER: u64 = 100 * 1024 * 1024;
/// What is copied; programs and pickles are not.
const KEPT: [&str; 7] = ["json", "safetensors", "txt", "model", "jinja", "md", "tiktoken"];
/// Weights that run code when they are read.
const PICKLED: [&str; 5] = ["bin", "pt", "pth", "pkl", "ckpt"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub architecture: String,
    pub parameters: u64,
    /// Tokens.
    pub context: u32,
    pub template: String,
    /// Names in the folder, sorted.
    pub files: Vec<String>,
}

type Answer<T> = Result<T, FieldProblem>;

fn refuse<T>(sentence: impl Into<String>) -> Answer<T> {
    Err(FieldProblem::new("folder", sentence))
}

/// Blocking. `template`: as the person named it.
pub(super) fn read(folder: &Path, template: Option<&str>) -> Answer<Found> {
    let shown = folder.display();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return refuse(format!("There is no folder “{shown}” on this server, or it cannot be read."));
    };
    // Links are followed: model caches are made of them.
    let paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    let mut files: Vec<String> = Vec::new();
    let mut pickled = Vec::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if KEPT.contains(&extension) || name.starts_with("LICENSE") || name.starts_with("NOTICE") {
            files.push(name.to_owned());
        } else if PICKLED.contains(&extension) {
            pickled.push(name.to_owned());
        }
    }
    files.sort();
    let has = |name: &str| files.iter().any(|f| f == name);
    if !has("config.json") {
        return refuse(format!("“{shown}” has no config.json, so it is not a model’s folder."));
    }
    let weights: Vec<&String> = files.iter().filter(|f| f.ends_with(".safetensors")).collect();
    if weights.is_empty() {
        return match pickled.first() {
            Some(one) => refuse(format!(
                "The weights in “{shown}” are pickled ({one}); reading those can run anybody’s code. Convert them to safetensors first."
            )),
            None => refuse(format!("“{shown}” has no weights (*.safetensors).")),
        };
    }
    if !has("tokenizer.json") {
        return refuse(format!("“{shown}” has no tokenizer.json; tokens could not be counted."));
    }
    let config = json(folder, "config.json")?;
    json(folder, "tokenizer.json")?;
    let Some(architecture) = config["architectures"][0].as_str() else {
        return refuse("config.json does not name an architecture.");
    };
    let length = config["max_position_embeddings"].as_u64().or_else(|| config["text_config"]["max_position_embeddings"].as_u64());
    let Some(context) = length.and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= 16) else {
        return refuse("config.json does not say how many tokens the model can read (max_position_embeddings).");
    };
    let mut parameters = 0;
    for name in weights {
        parameters +=
            parameters_in(&folder.join(name)).map_err(|why| FieldProblem::new("folder", format!("The weights file {name} {why}.")))?;
    }
    let template = match template.map(str::trim).filter(|t| !t.is_empty()) {
        Some(t) if t.len() <= 40 && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') => t.to_owned(),
        Some(_) => {
            return Err(
                FieldProblem::new("template", "A template’s name has lower-case letters, digits and “_” only.").suggesting("default")
            );
        }
        None => template_of(&chat_template(folder, has("chat_template.jinja"))).to_owned(),
    };
    Ok(Found { architecture: architecture.to_owned(), parameters, context, template, files })
}

fn json(folder: &Path, name: &str) -> Answer<Value> {
    let read = std::fs::read(folder.join(name)).map_err(|e| FieldProblem::new("folder", format!("{name} cannot be read: {e}.")))?;
    serde_json::from_slice(&read).map_err(|e| FieldProblem::new("folder", format!("{name} is not valid JSON: {e}.")))
}

/// The Jinja text, wherever this generation of models keeps it; empty when there is none.
fn chat_template(folder: &Path, own_file: bool) -> String {
    if own_file {
        return std::fs::read_to_string(folder.join("chat_template.jinja")).unwrap_or_default();
    }
    let config = json(folder, "tokenizer_config.json").unwrap_or_default();
    match &config["chat_template"] {
        Value::String(text) => text.clone(),
        Value::Array(several) => {
            let default = several.iter().find(|t| t["name"] == "default").or(several.first());
            default.and_then(|t| t["template"].as_str()).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

/// The trainer's template that renders the same tokens, where that is certain.
fn template_of(jinja: &str) -> &'static str {
    let chat_ml = jinja.contains("<|im_start|>");
    if chat_ml && jinja.contains("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.") {
        "qwen"
    } else if chat_ml && !jinja.contains("You are a helpful assistant") {
        // Plain ChatML: no system message unless one is given.
        "qwen3_nothink"
    } else {
        "default"
    }
}

/// Adds up the shapes in the header, and makes sure that the file is whole. The error continues "The weights file x ...".
fn parameters_in(path: &Path) -> Result<u64, String> {
    let io = |e: std::io::Error| format!("cannot be read: {e}");
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| "is too short to be safetensors".to_owned())?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER || length.saturating_add(8) > size {
        return Err("is not safetensors: its header is longer than the file".into());
    }
    let mut header = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
    file.read_exact(&mut header).map_err(io)?;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&header).map_err(|e| format!("is not safetensors: {e}"))?;
    let (mut parameters, mut end) = (0_u64, 0_u64);
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let shape = tensor["shape"].as_array().ok_or_else(|| format!("does not say the shape of {name}"))?;
        let numbers = shape.iter().try_fold(1_u64, |product, n| product.checked_mul(n.as_u64()?));
        parameters = parameters.saturating_add(numbers.ok_or_else(|| format!("has an impossible shape for {name}"))?);
        end = end.max(tensor["data_offsets"][1].as_u64().ok_or_else(|| format!("does not say where {name} lies"))?);
    }
    if end.saturating_add(length).saturating_add(8) != size {
        return Err("is not whole: it is not as long as its header says".into());
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safetensors(values: u64, cut: usize) -> Vec<u8> {
        let header =
            format!(r#"{{"__metadata__":{{"format":"pt"}},"w":{{"dtype":"F32","shape":[2,{values}],"data_offsets":[0,{}]}}}}"#, values * 8);
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend(header.as_bytes());
        out.extend(vec![0; values as usize * 8 - cut]);
        out
    }

    fn model() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
        put("config.json", br#"{"architectures":["LlamaForCausalLM"],"max_position_embeddings":512}"#);
        put("tokenizer.json", b"{}");
        put("tokenizer_config.json", br#"{"chat_template":"{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"}"#);
        put("model.safetensors", &safetensors(10, 0));
        put("modeling_evil.py", b"import os");
        dir
    }

    fn refusal(dir: &Path) -> String {
        read(dir, None).unwrap_err().sentence
    }

    #[test]
    fn a_whole_folder_says_what_it_is_and_programs_are_left_behind() {
        let dir = model();
        let found = read(dir.path(), None).unwrap();
        assert_eq!((found.architecture.as_str(), found.parameters, found.context), ("LlamaForCausalLM", 20, 512));
        assert_eq!(found.template, "qwen3_nothink");
        assert_eq!(found.files, ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]);
        assert_eq!(read(dir.path(), Some("llama3")).unwrap().template, "llama3");
        assert_eq!(read(dir.path(), Some("../x")).unwrap_err().field, "template");
    }

    #[test]
    fn each_thing_that_is_missing_is_named() {
        assert!(refusal(Path::new("/nowhere/at/all")).contains("/nowhere/at/all"));
        for (file, said) in
            [("config.json", "no config.json"), ("tokenizer.json", "no tokenizer.json"), ("model.safetensors", "no weights")]
        {
            let dir = model();
            std::fs::remove_file(dir.path().join(file)).unwrap();
            assert!(refusal(dir.path()).contains(said), "{file}: {}", refusal(dir.path()));
        }
    }

    #[test]
    fn pickled_weights_and_cut_files_are_refused() {
        let dir = model();
        std::fs::write(dir.path().join("model.safetensors"), safetensors(10, 3)).unwrap();
        assert!(refusal(dir.path()).contains("not whole"), "{}", refusal(dir.path()));
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        std::fs::write(dir.path().join("pytorch_model.bin"), b"x").unwrap();
        assert!(refusal(dir.path()).contains("pickled (pytorch_model.bin)"), "{}", refusal(dir.path()));
    }

    #[test]
    fn the_template_is_only_guessed_where_it_is_certain() {
        assert_eq!(template_of("<|im_start|>x"), "qwen3_nothink");
        assert_eq!(template_of("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."), "qwen");
        assert_eq!([template_of("<|im_start|>You are a helpful assistant"), template_of("[INST]"), template_of("")], ["default"; 3]);
    }
}
