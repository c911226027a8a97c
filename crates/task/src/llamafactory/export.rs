//! The file for `llamafactory-cli export`, which merges an adapter into its base model.

use super::{ADAPTER, BASE, OUT};
use serde_json::{Value, json};

/// `config`: the base model's `config.json`. The result has the precision of the base: left to itself the export takes what fits the
/// machine that it runs on.
pub fn export_file(template: &str, config: &Value) -> Value {
    let known = |text: &&str| ["float32", "bfloat16", "float16"].contains(text);
    let dtype = config["dtype"].as_str().or(config["torch_dtype"].as_str()).filter(known);
    json!({
        "model_name_or_path": BASE,
        "adapter_name_or_path": ADAPTER,
        "finetuning_type": "lora",
        "template": template,
        "infer_dtype": dtype.unwrap_or("auto"),
        "export_dir": OUT,
        // Gigabytes a file.
        "export_size": 5,
        "export_device": "cpu",
        "export_legacy_format": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_has_the_precision_of_its_base() {
        let of = |config: Value| export_file("qwen3", &config)["infer_dtype"].as_str().unwrap().to_owned();
        assert_eq!(of(json!({"dtype": "float32"})), "float32");
        assert_eq!(of(json!({"torch_dtype": "bfloat16"})), "bfloat16");
        assert_eq!(of(json!({"dtype": "int8"})), "auto");
        assert_eq!(of(json!({})), "auto");
    }
}
