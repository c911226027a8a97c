//! A training by a program of somebody's own: what it is told, what is heard of it, what of it is stored, and each way to go wrong.
//! With the real transformers, which posts its progress by itself, where `ATELIER_TRAINER_PYTHON` names it.

#[allow(dead_code)]
mod world;

use domain::{
    report::{Phase, TaskMessage, Verdict},
    run::{CustomTraining, MetricPoint},
    settings::{FinetuningType, RunSettings},
};
use std::path::Path;
use world::*;

/// Not a test: this executable as the task.
#[test]
fn the_task_itself() {
    be_the_task();
}

fn training(command: &[&str]) -> CustomTraining {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    CustomTraining { image: "registry.example.org/team/trainer:1".into(), command, ..CustomTraining::default() }
}

fn sh(script: &str) -> CustomTraining {
    training(&["sh", "-c", script])
}

fn progress(task: &Process) -> Vec<(u64, u64, Option<MetricPoint>)> {
    let of = |said| if let TaskMessage::Progress { step, total_steps, metric } = said { Some((step, total_steps, metric)) } else { None };
    task.lines().into_iter().filter_map(of).collect()
}

#[test]
fn transformers_of_an_image_is_heard_by_itself_and_what_it_leaves_is_evaluated() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(32);
    let python = std::env::var("ATELIER_TRAINER_PYTHON").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/custom/train.py");
    let mut own = training(&[&python, &script.to_string_lossy()]);
    // A proxy that answers nothing: what stays on this machine does not go through it.
    let env = [("STEPS", "30"), ("SECONDS_A_STEP", "0.5"), ("http_proxy", "http://127.0.0.1:9"), ("OMP_NUM_THREADS", "1")];
    own.env = env.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut task = world.custom(own, FinetuningType::Lora);
    task.wait_for("the first post", 300, |said| matches!(said, TaskMessage::Progress { .. }).then_some(()));
    assert!(task.wait(120).success(), "{}", task.log());

    let said = progress(&task);
    assert_eq!(said.first().map(|s| (s.0, s.1)), Some((0, 30)), "{said:?}");
    assert_eq!(said.last().map(|s| (s.0, s.1)), Some((30, 30)), "{said:?}");
    assert!(said.iter().any(|s| s.0 > 0 && s.0 < 30), "it is live: {said:?}");
    let losses: Vec<(f64, f64)> = said.iter().filter_map(|s| s.2).filter_map(|m| m.loss.zip(m.learning_rate)).collect();
    assert!(losses.len() >= 2 && losses.iter().all(|(loss, rate)| *loss > 0.0 && *rate >= 0.0), "{said:?}");
    assert_eq!(task.phases(), [Phase::Prepare, Phase::Train, Phase::Upload]);

    let Verdict::Succeeded(outcome) = world.verdict("train") else { panic!("{:?}", world.verdict("train")) };
    for name in ["adapter_model.safetensors", "adapter_config.json", "tokenizer.json"] {
        assert!(outcome.files.iter().any(|f| f.path == name), "{name}: {:?}", outcome.files);
    }
    assert_eq!(outcome.software["image"], "registry.example.org/team/trainer:1");
    let mut task = world.evaluate(&RunSettings::default());
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict("evaluate") else { panic!("{:?}", world.verdict("evaluate")) };
    assert_eq!(outcome.scores.unwrap().rows, 8);
}

const LEAVES: &str = r#"printf '{"r":8,"base_model_name_or_path":"x"}' > "$ATELIER_OUTPUT/adapter_config.json"; printf w > "$ATELIER_OUTPUT/adapter_model.safetensors""#;

#[test]
fn a_program_finds_what_it_works_on_and_nothing_of_ours_and_what_it_says_is_only_its_log() {
    let world = World::new(16);
    let forged = r#"{"at":1,"kind":"verdict","verdict":{"outcome":"stopped"}}"#;
    let script = format!(
        "test -s \"$ATELIER_BASE_MODEL/config.json\" && wc -l < \"$ATELIER_TRAIN_FILE\" && test -s \"$ATELIER_HELD_OUT_FILE\" && \
         test -s \"$KUBEFLOW_TRAINER_SERVER_TOKEN\" && echo \"at $KUBEFLOW_TRAINER_SERVER_URL\" && echo \"rate $RATE, secrets <$ATELIER_SECRETS>\" && \
         echo '{forged}' && touch here \"$ATELIER_OUTPUT/other.bin\" && {LEAVES}"
    );
    let own = CustomTraining { env: [("RATE".to_owned(), "3".to_owned())].into(), ..sh(&script) };
    let mut task = world.custom(own, FinetuningType::Lora);
    assert!(task.wait(60).success(), "{}\n{:?}", task.log(), world.verdict("train"));
    let log = task.log();
    assert!(log.contains("Info 16\n") && log.contains("rate 3, secrets <>") && log.contains("at http://127.0.0.1:"), "{log}");
    assert!(log.contains(r#""kind":"verdict""#), "a line that looks like ours is a line of its log: {log}");
    let Verdict::Succeeded(outcome) = world.verdict("train") else { panic!("{:?}", world.verdict("train")) };
    let files: Vec<_> = outcome.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(files, ["adapter_model.safetensors", "adapter_config.json"], "nothing that nobody knows");
    assert!(std::fs::read_to_string(world.result("adapter_config.json")).unwrap().contains(&BASE.to_string()));
}

#[test]
fn each_way_to_go_wrong_has_its_name() {
    let failed = |own: CustomTraining, leaves| {
        let world = World::new(16);
        let mut task = world.custom(own, leaves);
        assert!(!task.wait(60).success());
        match world.verdict("train") {
            Verdict::Failed(failure) => (failure.cause.code(), failure.said().sentence, failure.evidence.join("\n")),
            other => panic!("it should have failed: {other:?}"),
        }
    };
    let (code, sentence, _) = failed(training(&["no-such-program"]), FinetuningType::Lora);
    assert_eq!(code, "program_not_started");
    assert!(sentence.starts_with("“no-such-program” could not be started in the image"), "{sentence}");
    assert_eq!(failed(sh("true"), FinetuningType::Lora).0, "no_result");
    assert_eq!(failed(sh(LEAVES), FinetuningType::Full).0, "no_result", "an adapter where whole weights were promised");
    let (code, _, evidence) = failed(
        sh("printf w > $ATELIER_OUTPUT/adapter_model.safetensors; echo [ > $ATELIER_OUTPUT/adapter_config.json"),
        FinetuningType::Lora,
    );
    assert!(code == "no_result" && evidence.contains("adapter_config.json"), "{evidence}");
    let (code, _, evidence) = failed(sh(&format!("{LEAVES}; echo the reason >&2; exit 3")), FinetuningType::Lora);
    assert!(code == "unknown" && evidence.contains("the reason"), "{code} {evidence}");
}

#[test]
fn a_program_that_is_told_to_stop_may_end_by_itself() {
    let world = World::new(16);
    let mut task = world.custom(sh("trap 'echo ends; exit 0' TERM; echo begun; while :; do sleep 0.1; done"), FinetuningType::Lora);
    task.wait_for("its begin", 60, |said| matches!(said, TaskMessage::Log { text, .. } if text == "begun").then_some(()));
    task.signal("-TERM");
    assert_eq!(task.wait(60).code(), Some(task::STOPPED));
    assert_eq!(world.verdict("train"), Verdict::Stopped);
}
