//! The real LLaMA-Factory on the demo's base model: what a run leaves, and what each way to fail is called.
//! Needs `ATELIER_TRAINER_PYTHON`; about two minutes on two cores.

#[allow(dead_code)]
mod world;

use domain::{
    artefacts,
    report::{Phase, TaskMessage, Verdict},
    run::{EvaluatedRow, LogLevel},
    settings::{RunSettings, preset},
};
use world::*;

/// Not a test: this executable as the task.
#[test]
fn the_task_itself() {
    be_the_task();
}

fn settings() -> RunSettings {
    let quick = preset("quick-check").unwrap().with("num_train_epochs", 2.0).with("learning_rate", 4e-3);
    quick.with("warmup_steps", 0).with("per_device_train_batch_size", 16).with("cutoff_len", 128)
}

fn cause_of(verdict: Verdict) -> (String, String) {
    match verdict {
        Verdict::Failed(failure) => (failure.cause.code(), failure.said().sentence),
        other => panic!("it should have failed: {other:?}"),
    }
}

/// Over a real S3 store, with the tenant's key, from training to the score; the store restarts in between.
#[test]
fn a_run_over_s3_leaves_its_files_in_the_tenants_bucket() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let Some(mut garage) = testing::garage::start() else { return };
    let world = World::on_s3(&garage, 64);
    let quick = settings().with("num_train_epochs", 1.0);
    let mut task = world.train(quick.clone());
    task.wait_for("the first step", 180, |said| matches!(said, TaskMessage::Progress { .. }).then_some(()));
    garage.stop();
    garage.run();
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict("train") else { panic!("{:?}", world.verdict("train")) };
    assert!(outcome.files.iter().any(|f| f.path == "adapter_model.safetensors"), "{:?}", outcome.files);
    for file in &outcome.files {
        let bytes = world.in_bucket(&format!("{}/{}", artefacts::run_output(&tenant(), RUN, "train"), file.path));
        assert_eq!((bytes.len() as u64, blake3::hash(&bytes).to_hex().to_string()), (file.bytes, file.digest.clone()), "{}", file.path);
    }
    // Fetched, not linked.
    let weights = world.task_folder("train").join("work/base/model.safetensors");
    assert!(!weights.is_symlink(), "{}", weights.display());
    let mut task = world.evaluate(&quick);
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict("evaluate") else { panic!("{:?}", world.verdict("evaluate")) };
    assert_eq!(outcome.scores.unwrap().rows, 8);
    // Neither spec nor log tells the key.
    let key = std::fs::read_to_string(world.task_folder("train").join("secrets/store")).unwrap();
    let key: domain::artefacts::StoreKey = serde_json::from_str(&key).unwrap();
    for file in ["spec.json", "log.jsonl", "output"] {
        let text = std::fs::read_to_string(world.task_folder("train").join(file)).unwrap();
        assert!(!text.contains(&key.secret_access_key), "{file}");
    }
}

#[test]
fn a_lora_run_leaves_an_adapter_its_figures_and_a_score() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let mut world = World::new(64);
    // One row that the trainer drops: two user turns in a row.
    let path = artefacts::dataset_train(&tenant(), DATA, None);
    let rows = std::fs::read_to_string(world.stored(&path)).unwrap();
    let bad = r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":"d"}]}"#;
    world.put(&path, &format!("{rows}{bad}\n"));
    world.train_rows += 1;

    let mut task = world.train(settings());
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict("train") else { panic!("{:?}", world.verdict("train")) };
    assert_eq!(task.lines().last(), Some(&TaskMessage::Verdict { verdict: Verdict::Succeeded(outcome.clone()) }));
    assert_eq!(task.phases(), [Phase::Prepare, Phase::Train, Phase::Upload]);

    let points: Vec<_> =
        task.lines().into_iter().filter_map(|s| if let TaskMessage::Progress { metric, .. } = s { metric } else { None }).collect();
    let losses: Vec<f64> = points.iter().filter_map(|p| p.loss).collect();
    assert_eq!(losses.len(), 8, "a loss a step: {points:?}");
    assert!(losses[7] < losses[0], "{losses:?}");
    assert_eq!(points.iter().filter(|p| p.eval_loss.is_some()).count(), 2, "an evaluation an epoch");
    assert!(points.iter().all(|p| p.tokens_per_second.is_some() && p.total_tokens.is_some()));
    assert!(task.log().contains("Warning The trainer dropped 1 of 65 rows"), "{}", task.log());
    assert!(!task.log().contains("input_ids") && !task.log().contains("it/s]"), "{}", task.log());

    for name in [
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "trainer_state.json",
        "train_results.json",
        "trainer_log.jsonl",
        "job.yaml",
    ] {
        let file = outcome.files.iter().find(|f| f.path == name).unwrap_or_else(|| panic!("{name} was not stored: {:?}", outcome.files));
        let bytes = std::fs::read(world.result(name)).unwrap();
        assert_eq!((file.bytes, file.digest.as_str()), (bytes.len() as u64, blake3::hash(&bytes).to_hex().as_str()), "{name}");
        let here = world.task_folder("").to_string_lossy().into_owned();
        assert!(!String::from_utf8_lossy(&bytes).contains(&here), "{name} names a folder of this machine");
    }
    assert!(std::fs::read_to_string(world.result("adapter_config.json")).unwrap().contains(&BASE.to_string()));
    assert!(outcome.results["train_loss"].is_finite() && outcome.results.contains_key("eval_loss"), "{:?}", outcome.results);
    for name in ["llamafactory", "transformers", "torch", "peft", "python"] {
        assert!(outcome.software.contains_key(name), "{:?}", outcome.software);
    }
    assert!(world.stored(&artefacts::run_log(&tenant(), RUN, "train")).exists());

    let mut task = world.evaluate(&settings());
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict("evaluate") else { panic!("{:?}", world.verdict("evaluate")) };
    let scores = outcome.scores.unwrap();
    assert_eq!((scores.rows, scores.base_right + scores.gained), (8, scores.tuned_right + scores.lost));
    let evaluated =
        std::fs::read_to_string(world.stored(&artefacts::run_task(&tenant(), RUN, "evaluate")).join("evaluated.jsonl")).unwrap();
    let rows: Vec<EvaluatedRow> = evaluated.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.iter().map(|r| r.row).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!(rows.iter().all(|r| !r.prompt.is_empty() && !r.expected.is_empty() && !r.base.is_empty()), "{rows:?}");
    let last = task.lines().into_iter().rev().find(|s| matches!(s, TaskMessage::Evaluated { .. }));
    assert_eq!(last, Some(TaskMessage::Evaluated { done: 16, total: 16 }));
}

#[test]
fn a_merged_adapter_is_a_whole_model_that_answers_as_the_adapter_did() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    assert!(world.train(settings()).wait(180).success());
    let scores = |mut task: Process| {
        assert!(task.wait(180).success(), "{}", task.log());
        let Verdict::Succeeded(outcome) = world.verdict("evaluate") else { panic!("{:?}", world.verdict("evaluate")) };
        outcome.scores.unwrap()
    };
    let of_the_adapter = scores(world.evaluate(&settings()));
    std::fs::remove_dir_all(world.task_folder("evaluate")).unwrap();

    let mut task = world.merge();
    assert!(task.wait(180).success(), "{}", task.log());
    assert_eq!(task.phases(), [Phase::Merge, Phase::Upload]);
    let Verdict::Succeeded(outcome) = world.verdict("merge") else { panic!("{:?}", world.verdict("merge")) };
    for name in ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"] {
        let file = outcome.files.iter().find(|f| f.path == name).unwrap_or_else(|| panic!("{name} was not stored: {:?}", outcome.files));
        let bytes = std::fs::read(world.stored(&artefacts::run_output(&tenant(), RUN, "merge")).join(name)).unwrap();
        assert_eq!((file.bytes, file.digest.as_str()), (bytes.len() as u64, blake3::hash(&bytes).to_hex().as_str()), "{name}");
        let here = world.task_folder("").to_string_lossy().into_owned();
        assert!(!String::from_utf8_lossy(&bytes).contains(&here), "{name} names a folder of this machine");
    }
    let base = std::fs::metadata(world.stored(&artefacts::base_model(BASE)).join("model.safetensors")).unwrap().len();
    let merged = outcome.files.iter().find(|f| f.path == "model.safetensors").unwrap().bytes;
    assert!(merged.abs_diff(base) < base / 100, "the precision is the base's: {merged} of {base} bytes");
    assert!(outcome.software.contains_key("peft"));
    assert_eq!(scores(world.evaluate_merged()), of_the_adapter);
}

#[test]
fn a_full_run_leaves_a_whole_model() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let mut world = World::new(64);
    world.held_out_rows = 0;
    let mut task = world.train(settings().with("finetuning_type", "full").with("learning_rate", 5e-4));
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict("train") else { panic!("{:?}", world.verdict("train")) };
    for name in ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"] {
        assert!(outcome.files.iter().any(|f| f.path == name), "{name} was not stored: {:?}", outcome.files);
    }
    assert!(!outcome.results.contains_key("eval_loss"), "nothing was held out");
}

#[test]
fn a_layer_that_the_model_does_not_have_is_named() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(16);
    let mut task = world.train(settings().with("lora_target", "no_such_proj"));
    assert_eq!(task.wait(120).code(), Some(task::FAILED));
    let expected = ("bad_lora_target".to_owned(), "The model has no layer “no_such_proj”.".to_owned());
    assert_eq!(cause_of(world.verdict("train")), expected, "{}", task.log());
    assert!(task.log().contains("Error ValueError: Target modules"), "{}", task.log());
}

#[test]
fn rows_that_cannot_be_used_are_no_training() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(16);
    world.put(&artefacts::dataset_train(&tenant(), DATA, None), "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}\n");
    let mut task = world.train(settings());
    assert_eq!(task.wait(120).code(), Some(task::FAILED));
    assert_eq!(cause_of(world.verdict("train")).0, "no_usable_row", "{}", task.log());
}

#[test]
fn a_learning_rate_beyond_reason_is_a_failure_although_the_trainer_is_content() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    let mut task = world.train(settings().with("finetuning_type", "full").with("learning_rate", 1.0));
    assert_eq!(task.wait(180).code(), Some(task::FAILED), "{}", task.log());
    let Verdict::Failed(failure) = world.verdict("train") else { panic!() };
    assert_eq!((failure.exit.as_deref(), failure.cause.code().as_str()), (Some("exit 0"), "diverged"));
    assert!(!world.result("model.safetensors").exists(), "a diverged model was stored");
}

#[test]
fn a_trainer_killed_by_the_kernel_is_out_of_memory() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(16);
    let mut task = world.train(settings());
    kill(task.child_with("llamafactory-cli"), "-9");
    assert_eq!(task.wait(60).code(), Some(task::FAILED));
    let (cause, sentence) = cause_of(world.verdict("train"));
    assert_eq!(cause, "out_of_memory");
    assert!(sentence.contains("killed by the system"), "{sentence}");
}

#[test]
fn a_stop_ends_the_trainer_and_is_not_a_failure() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(16);
    let mut task = world.train(settings());
    let trainer = task.child_with("llamafactory-cli");
    task.signal("-TERM");
    assert_eq!(task.wait(30).code(), Some(task::STOPPED));
    assert_eq!(world.verdict("train"), Verdict::Stopped);
    assert!(!is_running(trainer));
    assert!(task.phases().contains(&Phase::Stopping));
}

#[test]
fn a_killed_task_takes_the_trainer_with_it() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(16);
    let task = world.train(settings());
    let trainer = task.child_with("llamafactory-cli");
    task.signal("-9");
    wait_until_gone(trainer);
}

#[test]
fn a_base_model_that_is_gone_fails_before_anything_starts() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(16);
    std::fs::remove_dir_all(world.stored(&artefacts::base_model(BASE))).unwrap();
    let mut task = world.train(settings());
    assert_eq!(task.wait(30).code(), Some(task::FAILED));
    assert_eq!(cause_of(world.verdict("train")), ("input_missing".to_owned(), "The base model is not in the store.".to_owned()));
    assert!(!task.lines().iter().any(|s| matches!(s, TaskMessage::Log { level: LogLevel::Error, .. })));
}
