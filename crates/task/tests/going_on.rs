//! A training that broke off goes on from its last checkpoint, with the real LLaMA-Factory: what is stored while it trains, and what another
//! try makes of it. Needs `ATELIER_TRAINER_PYTHON`; about two minutes on two cores.

#[allow(dead_code)]
mod world;

use domain::{
    artefacts,
    report::{TaskMessage, Verdict},
    settings::{RunSettings, preset},
};
use world::*;

/// Not a test: this executable as the task.
#[test]
fn the_task_itself() {
    be_the_task();
}

/// 40 steps, and a checkpoint every 4.
fn settings() -> RunSettings {
    let quick = preset("quick-check").unwrap().with("num_train_epochs", 10.0).with("learning_rate", 4e-3);
    quick.with("warmup_steps", 0).with("per_device_train_batch_size", 16).with("cutoff_len", 128)
}

fn checkpoint_of(said: &TaskMessage) -> Option<u64> {
    if let TaskMessage::Checkpoint { step } = said { Some(*step) } else { None }
}

fn resumed_at(task: &Process) -> Option<u64> {
    task.lines().iter().find_map(|said| if let TaskMessage::Resumed { step, .. } = said { Some(*step) } else { None })
}

/// Trains until checkpoints of two steps are stored, and kills the task with everything that it started. Returns the steps that count.
fn killed_in_the_middle(world: &World, folder: &str, earlier: &[&str]) -> Vec<u64> {
    let mut task = world.train_again(settings(), folder, earlier);
    let first = task.wait_for("a checkpoint", 180, checkpoint_of);
    task.wait_for("another checkpoint", 180, |said| checkpoint_of(said).filter(|step| *step > first));
    let trainer = task.child_with("llamafactory-cli");
    task.signal("-9");
    wait_until_gone(trainer);
    world.checkpoints(folder)
}

/// The last try: it ends well, and its curve has a point for every step, from the first of the first try on.
fn ends_well(world: &World, task: &mut Process, folder: &str) {
    assert!(task.wait(180).success(), "{}", task.log());
    let Verdict::Succeeded(outcome) = world.verdict(folder) else { panic!("{:?}", world.verdict(folder)) };
    assert!(outcome.files.iter().any(|f| f.path == "adapter_model.safetensors"), "{:?}", outcome.files);
    assert!(!outcome.files.iter().any(|f| f.path.contains("checkpoint")), "{:?}", outcome.files);
    let points = task.lines().into_iter().filter_map(|s| if let TaskMessage::Progress { metric, .. } = s { metric } else { None });
    let steps: Vec<u64> = points.filter(|p| p.loss.is_some()).map(|p| p.step).collect();
    assert_eq!(steps, (1..=40).collect::<Vec<_>>(), "{}", task.log());
}

/// Steps that the trainer itself did.
fn trained(task: &Process) -> u64 {
    let after = task.lines().into_iter().skip_while(|said| !matches!(said, TaskMessage::Resumed { .. }));
    after.filter(|said| matches!(said, TaskMessage::Progress { metric: Some(p), .. } if p.loss.is_some())).count() as u64
}

#[test]
fn another_try_goes_on_from_the_last_checkpoint_and_does_no_step_twice() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    let counted = killed_in_the_middle(&world, "train", &[]);
    let Some(&last) = counted.last() else { panic!("none was stored") };

    let mut task = world.train_again(settings(), "train-2", &["train"]);
    ends_well(&world, &mut task, "train-2");
    assert_eq!((resumed_at(&task), trained(&task)), (Some(last), 40 - last), "{}", task.log());
    assert!(task.log().contains(&format!("Goes on from step {last} of 40: checkpoint of the try “train”")), "{}", task.log());
    assert!(task.log().contains(&format!("and global step {last}")), "{}", task.log());
    let (first, second) = (world.checkpoints("train"), world.checkpoints("train-2"));
    assert_eq!(first.len() + second.len(), 2, "the last two of all tries stay: {first:?}, {second:?}");
}

#[test]
fn a_damaged_checkpoint_and_a_half_stored_one_are_passed_over() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    let [.., before, last] = killed_in_the_middle(&world, "train", &[])[..] else { panic!("two stay") };
    let at = |step| world.stored(&artefacts::run_checkpoint(&tenant(), RUN, "train", step));
    // One bit of the last, and one after it of which the files arrived and the manifest did not.
    let weights = at(last).join("adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    world.put(&format!("{}/trainer_state.json", artefacts::run_checkpoint(&tenant(), RUN, "train", 36)), r#"{"global_step": 36}"#);

    let mut task = world.train_again(settings(), "train-2", &["train"]);
    ends_well(&world, &mut task, "train-2");
    assert_eq!((resumed_at(&task), trained(&task)), (Some(before), 40 - before), "{}", task.log());
    let warning = format!("Warning The checkpoint of step {last} cannot be used: ");
    assert!(task.log().contains(&warning) && task.log().contains("what lies there is not what was written"), "{}", task.log());
}

#[test]
fn with_other_settings_it_begins_at_the_first_step_and_says_why() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    killed_in_the_middle(&world, "train", &[]);
    let mut task = world.train_again(settings().with("seed", 7), "train-2", &["train"]);
    ends_well(&world, &mut task, "train-2");
    assert_eq!(resumed_at(&task), None);
    assert!(task.log().contains("it was made with other settings, data or devices"), "{}", task.log());
    assert!(task.log().contains("the training begins at the first step"), "{}", task.log());
}

/// Cancelled, at its deadline, evicted: all of them are a SIGTERM with a grace time.
#[test]
fn one_that_is_asked_to_stop_stores_a_checkpoint_of_the_step_at_which_it_was() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    // One checkpoint by itself, in the middle; 400 steps.
    let long = settings().with("num_train_epochs", 100.0);
    let mut task = world.train(long.clone());
    task.wait_for("the first point of the curves", 180, |said| matches!(said, TaskMessage::Progress { .. }).then_some(()));
    task.signal("-TERM");
    assert_eq!(task.wait(60).code(), Some(task::STOPPED), "{}", task.log());
    assert_eq!(world.verdict("train"), Verdict::Stopped);
    let [step] = world.checkpoints("train")[..] else { panic!("{:?}\n{}", world.checkpoints("train"), task.log()) };
    assert!((4..40).contains(&step), "{step}: there was no reason for another one");
    assert!(task.log().contains(&format!("Stored the checkpoint of step {step}")), "{}", task.log());

    let mut task = world.train_again(long, "train-2", &["train"]);
    task.wait_for("the try that goes on", 180, |said| matches!(said, TaskMessage::Resumed { .. }).then_some(()));
    assert_eq!(resumed_at(&task), Some(step));
    let next = |said: &TaskMessage| if let TaskMessage::Progress { step: n, .. } = said { Some(*n).filter(|n| *n > step) } else { None };
    // A point of the curves every 4 steps.
    assert_eq!(task.wait_for("its first step", 180, next), (step / 4 + 1) * 4);
}

#[test]
fn checkpoints_in_a_bucket_are_gone_on_from_by_a_try_elsewhere() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let Some(garage) = testing::garage::start() else { return };
    let world = World::on_s3(&garage, 64);
    let counted = killed_in_the_middle(&world, "train", &[]);
    std::fs::remove_dir_all(world.task_folder("train")).unwrap();
    let mut task = world.train_again(settings(), "train-2", &["train"]);
    ends_well(&world, &mut task, "train-2");
    assert_eq!(resumed_at(&task), counted.last().copied(), "{}", task.log());
}

/// As in two pods; here both are on this machine.
#[test]
fn two_processes_share_one_training_and_only_the_first_reports_and_stores() {
    let Some(_machine) = machine("ATELIER_TRAINER_PYTHON") else { return };
    let world = World::new(64);
    let mut second = world.train_as_one_of_two(settings(), 1);
    let mut first = world.train_as_one_of_two(settings(), 0);
    assert!(first.wait(300).success(), "{}", first.log());
    assert!(second.wait(60).success(), "{}", second.log());
    let Verdict::Succeeded(outcome) = world.verdict("train") else { panic!("{:?}", world.verdict("train")) };
    assert!(outcome.files.iter().any(|f| f.path == "adapter_model.safetensors"), "{:?}", outcome.files);
    assert!(first.log().contains("distributed & accumulation) = 32"), "16 rows on each of two: {}", first.log());
    let steps = |task: &Process| {
        task.lines().iter().filter_map(|s| if let TaskMessage::Progress { step, .. } = s { Some(*step) } else { None }).max()
    };
    assert_eq!((steps(&first), steps(&second)), (Some(20), None), "half as many steps as alone, and the second tells of none");
    assert!(!second.lines().iter().any(|s| matches!(s, TaskMessage::Verdict { .. })), "the verdict is the first one's");
    assert!(!world.checkpoints("train").is_empty());
}
