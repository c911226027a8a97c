//! The trainer's file and the data description.

use super::{BASE, DATA, OUT};
use domain::settings::{RunSettings, catalogue, yaml_float};
use serde_json::{Map, Value, json};

/// What the platform knows beside the person's settings.
#[derive(Clone, Copy, Debug)]
pub struct PlatformKeys<'a> {
    /// LLaMA-Factory's template name.
    pub template: &'a str,
    pub train_rows: u64,
    /// 0 = nothing is evaluated while training.
    pub held_out_rows: u64,
    pub gpu: bool,
    /// Over how many nodes it is spread.
    pub nodes: u32,
    /// How many processes share the rows, on all nodes together.
    pub processes: u32,
    /// The step of the checkpoint that lies in the output folder, to go on from.
    pub resume_from: Option<u64>,
}

/// Checkpoints that a training writes from its beginning to its end, more or less.
const CHECKPOINTS: u64 = 10;

/// All keys of `job.yaml`: what the catalogue makes of the settings, and what only this step knows. Relative paths: the trainer runs
/// in its working folder.
pub fn trainer_file(settings: &RunSettings, ours: PlatformKeys<'_>) -> Value {
    let mut keys: Map<_, _> = catalogue().trainer_file(settings).into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    // Packed rows make fewer steps than can be known here; the curves still need their points.
    let points = if settings.packs() { 1000 } else { 100 };
    let steps = settings.steps_over(ours.train_rows, ours.processes);
    let keys_of_this_step = json!({
        "model_name_or_path": BASE,
        "template": ours.template,
        "dataset_dir": DATA,
        "dataset": "train",
        "output_dir": OUT,
        "logging_steps": (steps / points).max(1),
        "save_steps": steps.div_ceil(CHECKPOINTS).max(1),
        // At SIGTERM: a run that is stopped loses nothing. Several nodes are not asked at the same step, and would wait for each other.
        "enable_jit_checkpoint": ours.nodes == 1,
        "bf16": ours.gpu,
        "use_cpu": !ours.gpu,
        // Less memory for more time: right on a GPU, pointless for what fits a CPU.
        "disable_gradient_checkpointing": !ours.gpu,
        "dataloader_pin_memory": ours.gpu,
    });
    keys.extend(keys_of_this_step.as_object().cloned().unwrap_or_default());
    if ours.nodes > 1 && !ours.gpu {
        keys.insert("ddp_backend".into(), "gloo".into());
    }
    if let Some(step) = ours.resume_from {
        keys.insert("resume_from_checkpoint".into(), format!("{OUT}/{}", super::checkpoint(step)).into());
    }
    if ours.held_out_rows > 0 {
        keys.insert("eval_dataset".into(), "held_out".into());
        keys.insert("eval_strategy".into(), "epoch".into());
        keys.insert("per_device_eval_batch_size".into(), settings.per_device_train_batch_size().into());
    }
    Value::Object(keys)
}

/// JSON in a `.yaml` file is valid YAML with every string quoted: `no` stays a text. Only floats differ:
/// YAML readers take `1e-5` for a text, and `1.0e-5` for a number.
pub fn yaml_text(file: &Value) -> String {
    let Value::Object(keys) = file else { return file.to_string() };
    let lines: Vec<_> = keys
        .iter()
        .map(|(key, value)| {
            let value = match value.as_f64().filter(|_| value.is_f64()) {
                Some(float) => yaml_float(float),
                None => value.to_string(),
            };
            format!("  {}: {value}", Value::from(key.as_str()))
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// `dataset_info.json`. As soon as one tag is named the others have no default, so all are.
pub fn dataset_info(held_out: bool) -> Value {
    let entry = |file: &str| {
        json!({
            "file_name": file,
            // Not `openai`: that one adds a system message of its own.
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {
                "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
                "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
            },
        })
    };
    let mut out = json!({"train": entry(super::TRAIN_FILE)});
    if held_out {
        out["held_out"] = entry(super::HELD_OUT_FILE);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::settings::preset;

    const CPU: PlatformKeys<'static> = PlatformKeys {
        template: "qwen3_nothink",
        train_rows: 329,
        held_out_rows: 51,
        gpu: false,
        nodes: 1,
        processes: 1,
        resume_from: None,
    };

    #[test]
    fn the_trainers_file_of_the_demo_run() {
        let settings = preset("tiny-lora").unwrap().with("num_train_epochs", 16.0).with("learning_rate", 1e-5);
        let golden = r#"{
  "bf16": false,
  "cutoff_len": 128,
  "dataloader_pin_memory": false,
  "dataset": "train",
  "dataset_dir": "data",
  "disable_gradient_checkpointing": true,
  "do_train": true,
  "enable_jit_checkpoint": true,
  "eval_dataset": "held_out",
  "eval_strategy": "epoch",
  "finetuning_type": "lora",
  "fp16": false,
  "gradient_accumulation_steps": 1,
  "include_num_input_tokens_seen": true,
  "learning_rate": 1.0e-5,
  "logging_nan_inf_filter": false,
  "logging_steps": 3,
  "lora_alpha": 64,
  "lora_rank": 32,
  "lora_target": "all",
  "lr_scheduler_type": "cosine",
  "model_name_or_path": "base",
  "num_train_epochs": 16.0,
  "output_dir": "out",
  "overwrite_output_dir": false,
  "per_device_eval_batch_size": 16,
  "per_device_train_batch_size": 16,
  "plot_loss": false,
  "report_to": "none",
  "save_steps": 34,
  "save_strategy": "steps",
  "save_total_limit": 2,
  "seed": 42,
  "stage": "sft",
  "template": "qwen3_nothink",
  "use_cpu": true,
  "warmup_steps": 10
}
"#;
        assert_eq!(sorted(&yaml_text(&trainer_file(&settings, CPU))), sorted(golden));
    }

    /// By lines: the order of keys is serde_json's choice, and depends on features that other crates switch on.
    fn sorted(text: &str) -> Vec<&str> {
        let mut lines: Vec<_> = text.lines().map(|l| l.trim_end_matches(',')).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn what_the_page_shows_is_what_the_trainer_gets() {
        for method in ["lora", "full"] {
            let settings = preset("lora").unwrap().with("finetuning_type", method).with("learning_rate", 3e-5).with("weight_decay", 0.1);
            let written = yaml_text(&trainer_file(&settings, CPU)).replace('"', "");
            let shown = catalogue().document(&settings, "about").text();
            for line in shown.lines().skip(1) {
                assert!(written.lines().any(|w| w.trim().trim_end_matches(',') == line), "“{line}” is shown but not written in\n{written}");
            }
        }
    }

    #[test]
    fn every_key_that_is_written_is_the_trainers_and_none_that_this_step_adds_is_a_persons() {
        let chosen = preset("lora").unwrap();
        for (key, _) in trainer_file(&chosen, CPU).as_object().unwrap() {
            let entry = catalogue().entry(key).unwrap_or_else(|| panic!("the trainer has no key {key}"));
            assert_eq!(entry.is_persons(), chosen.get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn several_nodes_share_the_rows_and_are_not_asked_for_a_checkpoint_at_different_steps() {
        let file = trainer_file(&preset("lora").unwrap(), PlatformKeys { nodes: 2, processes: 2, ..CPU });
        assert_eq!((&file["ddp_backend"], &file["enable_jit_checkpoint"]), (&json!("gloo"), &json!(false)));
        // 329 rows in batches of 8, 3 times: 126 steps alone, 63 as two.
        assert_eq!((&file["save_steps"], &trainer_file(&preset("lora").unwrap(), CPU)["save_steps"]), (&json!(7), &json!(13)));
    }

    #[test]
    fn another_try_names_the_checkpoint_that_it_goes_on_from() {
        let file = trainer_file(&preset("lora").unwrap(), PlatformKeys { resume_from: Some(40), ..CPU });
        assert_eq!(file["resume_from_checkpoint"], "out/checkpoint-40");
        let file = trainer_file(&preset("lora").unwrap(), PlatformKeys { train_rows: 1, ..CPU });
        assert_eq!((file.get("resume_from_checkpoint"), &file["save_steps"]), (None, &json!(1)));
    }

    #[test]
    fn a_gpu_gets_its_own_flags_and_no_held_out_rows_no_evaluation() {
        let file = trainer_file(&preset("full").unwrap(), PlatformKeys { gpu: true, held_out_rows: 0, ..CPU });
        assert_eq!(
            (&file["bf16"], &file["use_cpu"], &file["disable_gradient_checkpointing"]),
            (&json!(true), &json!(false), &json!(false))
        );
        assert!(file.get("eval_dataset").is_none() && file.get("eval_strategy").is_none() && file.get("lora_rank").is_none());
        assert!(dataset_info(false).get("held_out").is_none());
        assert_eq!(dataset_info(true)["held_out"]["file_name"], "held_out.jsonl");
    }
}
