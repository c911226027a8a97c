//! The committed catalogue of settings against the installed LLaMA-Factory: what its argument classes say, and what its parser takes
//! and refuses. Needs `ATELIER_TRAINER_PYTHON`; about a minute.

#[allow(dead_code)]
mod world;

use domain::settings::{Kind, RunSettings, SettingValue, catalogue, preset};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn settings_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../domain/settings")
}

/// What the trainer's Python prints for a program.
fn printed(program: &[&str], input: &str) -> String {
    let python = std::env::var_os("ATELIER_TRAINER_PYTHON").unwrap();
    let mut child = Command::new(python)
        .args(program)
        .envs([("CUDA_VISIBLE_DEVICES", ""), ("HF_HUB_OFFLINE", "1"), ("LLAMAFACTORY_VERBOSITY", "ERROR")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_committed_catalogue_is_what_the_installed_trainer_says() {
    let Some(_machine) = world::machine("ATELIER_TRAINER_PYTHON") else { return };
    let script = settings_folder().join("read_trainer.py");
    let fresh = printed(&[script.to_str().unwrap()], "");
    let committed = std::fs::read_to_string(settings_folder().join("trainer.json")).unwrap();
    let first = fresh.lines().zip(committed.lines()).find(|(now, then)| now != then);
    assert!(
        fresh == committed,
        "write it anew with TRAINER/bin/python crates/domain/settings/read_trainer.py > crates/domain/settings/trainer.json, and review the \
         difference, which begins with {first:#?}"
    );
}

/// Parses jobs as `llamafactory-cli train` does, and prints what was refused and why, by their place.
const PARSE: &str = r#"
import json, sys
from transformers import HfArgumentParser
from llamafactory.hparams import parser
out = []
for job in json.load(sys.stdin):
    try:
        parser.get_train_args(job)
        out.append(None)
    except Exception as error:
        out.append(f"{type(error).__name__}: {error}")
print("ANSWER" + json.dumps(out))
"#;

/// For each of these settings what the trainer's parser says against them.
fn refused(of: &[RunSettings]) -> Vec<Option<String>> {
    let folder = tempfile::tempdir().unwrap();
    let base = |key: &str| catalogue().entry(key).is_some();
    assert!(base("model_name_or_path") && base("output_dir") && base("use_cpu"));
    let jobs: Vec<Value> = of
        .iter()
        .map(|settings| {
            let mut job: serde_json::Map<_, _> =
                catalogue().trainer_file(settings).into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
            job.extend([
                ("model_name_or_path".to_owned(), json!("base")),
                ("dataset".to_owned(), json!("train")),
                ("output_dir".to_owned(), json!(folder.path().join("out"))),
                ("use_cpu".to_owned(), json!(true)),
            ]);
            Value::Object(job)
        })
        .collect();
    let said = printed(&["-c", PARSE], &Value::Array(jobs).to_string());
    let answer = said.lines().rev().find_map(|l| l.strip_prefix("ANSWER")).unwrap_or_else(|| panic!("{said}"));
    serde_json::from_str(answer).unwrap()
}

/// A value that is allowed and is not the default, where there is one.
fn sample(key: &str) -> SettingValue {
    let entry = catalogue().entry(key).unwrap();
    let range = entry.range.unwrap_or_default();
    match entry.kind {
        Kind::Bool => (entry.default != Some(true.into())).into(),
        Kind::Choice => entry.choices.last().unwrap().value.as_str().into(),
        Kind::Int => range.most.map_or(64, |most| most.min(64.0) as i32).into(),
        Kind::Float => (range.most.or(range.below).unwrap_or(1.0) / 2.0).into(),
        Kind::Text | Kind::List | Kind::Map => "all".into(),
    }
}

#[test]
fn every_setting_that_is_offered_is_one_that_the_parser_takes_and_what_it_refuses_we_refuse_first() {
    let Some(_machine) = world::machine("ATELIER_TRAINER_PYTHON") else { return };
    let offered: Vec<&str> = catalogue().entries.iter().filter(|e| e.is_persons()).map(|e| e.key.as_str()).collect();
    let mut tried: Vec<RunSettings> = offered.iter().map(|key| preset("lora").unwrap().with(key, sample(key))).collect();
    tried.extend(["lora", "full", "quick-check", "tiny-lora"].map(|id| preset(id).unwrap()));
    // Settings of the other method are left out of the file, or the parser would refuse them.
    let all_of_lora = catalogue().entries.iter().filter(|e| e.is_persons() && !e.methods.is_empty());
    tried.push(all_of_lora.fold(preset("full").unwrap(), |s, e| s.with(&e.key, sample(&e.key))));
    for settings in &tried {
        assert_eq!(catalogue().check(&settings.clone().within(4096), 4096), [], "{settings:?}");
    }
    let broken: Vec<_> = catalogue()
        .rules
        .iter()
        .map(|r| (r.trainer, r.when.iter().fold(preset("lora").unwrap(), |s, c| s.with(&c.key, c.equals.clone()))))
        .collect();
    tried.extend(broken.iter().map(|(_, settings)| settings.clone()));
    let answers = refused(&tried);
    assert_eq!(answers.len(), tried.len());
    let (allowed, of_rules) = answers.split_at(tried.len() - broken.len());
    for (settings, answer) in tried.iter().zip(allowed) {
        assert_eq!(*answer, None, "{settings:?}");
    }
    for ((trainer, settings), answer) in broken.iter().zip(of_rules) {
        assert_eq!(*trainer, answer.is_some(), "{settings:?}: {answer:?}");
    }
}
