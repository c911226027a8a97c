//! A training: fetch, train with LLaMA-Factory, judge, store. Another try goes on from the last checkpoint of the ones before. Of the
//! processes of several nodes the first does all of that, the others only train.

use crate::{
    Context, catalogue,
    checkpoints::Checkpoints,
    failure::{Halt, TaskError},
    llamafactory as lf,
    program::{Ended, Next, Program},
    reporter::now,
};
use domain::{
    artefacts,
    reason::{
        failure::{Cause, Failure},
        run::Reason,
    },
    report::{Outcome, Phase, TaskMessage},
    run::LogLevel,
    settings::FinetuningType,
    task_spec::Train,
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Time for the trainer to write a last checkpoint after SIGTERM, before it is killed: 3 s that it waits, its step, and the writing.
const GRACE: Duration = Duration::from_secs(30);
/// Time to store that one. Both together, and what is left to say, fit into what a run's task is given.
const STORE_GRACE: Duration = Duration::from_secs(20);
/// How often its log file is looked at.
const LOOK: Duration = Duration::from_millis(250);

pub async fn train(task: &Context, work: &Train) -> Result<Outcome, Halt> {
    let python = task.machine.trainer_python()?;
    let folder = task.folder.join("work");
    let (vocabulary, software) =
        task.unless_stopped(async { Ok(tokio::try_join!(prepare(task, work, &folder), versions(task, python, &folder))?) }).await?;
    let mut checkpoints = Checkpoints::new(task, work, folder.join(lf::OUT), &trainer_file(task, work, None));
    let resumed = task.unless_stopped(async { Ok(checkpoints.fetch_last().await?) }).await?;
    write(&folder.join(lf::TRAINER_FILE), trainer_file(task, work, resumed.map(|(step, _)| step))).await?;
    let steps = work.settings.steps_over(work.train_rows, processes(task, work));
    task.reporter.does(Phase::Train, Reason::Trains { steps, gpu: task.machine.gpu });
    let mut told = Told::of(&folder.join(lf::OUT));
    if let Some((step, total_steps)) = resumed {
        // First the points that the curves had then.
        told.progress(task);
        task.reporter.say(TaskMessage::Resumed { step, total_steps });
    }
    if !task.machine.nodes.is_first() {
        follow(task, work, python, &folder, &mut told).await?;
        return Ok(Outcome::default());
    }
    let followed = tokio::select! {
        followed = follow(task, work, python, &folder, &mut told) => followed,
        never = checkpoints.keep() => match never {},
    };
    match followed {
        Ok(()) => {}
        Err(Halt::Stopped) => {
            // As far as the time reaches.
            let _ = tokio::time::timeout(STORE_GRACE, checkpoints.store_last()).await;
            return Err(Halt::Stopped);
        }
        Err(halt) => {
            let last = async {
                checkpoints.store_last().await;
                Ok(())
            };
            task.unless_stopped(last).await?;
            return Err(halt);
        }
    }
    let curve = told.curve;
    let results = judge(task, work, &folder.join(lf::OUT), &curve, vocabulary)?;
    task.reporter.does(Phase::Upload, Reason::Stores);
    let files = task.unless_stopped(upload(task, work, &folder)).await?;
    Ok(Outcome { files, results, scores: None, software })
}

/// Everything that the trainer reads. Returns the size of the base model's vocabulary, where its configuration says it.
async fn prepare(task: &Context, work: &Train, folder: &Path) -> Result<Option<u64>, Halt> {
    task.reporter.does(Phase::Prepare, Reason::FetchesTrainingInputs);
    for name in ["", lf::DATA, "hf", "tmp", "board"] {
        tokio::fs::create_dir_all(folder.join(name)).await.map_err(TaskError::io("making the working folder"))?;
    }
    let base = task
        .artefacts
        .fetch_folder(&artefacts::base_model(work.base_model), &folder.join(lf::BASE), "The base model", &work.base_files)
        .await?;
    let data = folder.join(lf::DATA);
    let judgement = work.judgement.as_deref();
    task.artefacts.fetch(&artefacts::dataset_train(&work.tenant, work.dataset_version, judgement), &data.join(lf::TRAIN_FILE)).await?;
    if work.held_out_rows > 0 {
        task.artefacts
            .fetch(&artefacts::dataset_held_out(&work.tenant, work.dataset_version, judgement), &data.join(lf::HELD_OUT_FILE))
            .await?;
    }
    write(&data.join("dataset_info.json"), lf::dataset_info(work.held_out_rows > 0).to_string()).await?;
    let inputs = Reason::TrainingInputs { bytes: base.bytes, train_rows: work.train_rows, held_out_rows: work.held_out_rows };
    task.reporter.does(Phase::Prepare, inputs);
    let config = tokio::fs::read(folder.join(lf::BASE).join("config.json")).await.unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    Ok(config["vocab_size"].as_u64())
}

/// What shares the rows: LLaMA-Factory starts a process for each GPU.
fn processes(task: &Context, work: &Train) -> u32 {
    let on_each_node = if task.machine.gpu { work.gpus.max(1) } else { 1 };
    task.machine.nodes.count.saturating_mul(on_each_node)
}

/// `resume_from`: the step of the checkpoint that lies in the output folder.
fn trainer_file(task: &Context, work: &Train, resume_from: Option<u64>) -> String {
    let ours = lf::PlatformKeys {
        template: &work.template,
        train_rows: work.train_rows,
        held_out_rows: work.held_out_rows,
        gpu: task.machine.gpu,
        nodes: task.machine.nodes.count,
        processes: processes(task, work),
        resume_from,
    };
    lf::yaml_text(&lf::trainer_file(&work.settings, ours))
}

async fn write(path: &Path, text: String) -> Result<(), TaskError> {
    tokio::fs::write(path, text).await.map_err(TaskError::io(format!("writing {}", path.display())))
}

/// Versions of what trains, for the record. Not knowing them is no reason to fail.
pub async fn versions(task: &Context, python: &Path, folder: &Path) -> Result<BTreeMap<String, String>, Halt> {
    let mut command = Command::new(python);
    command.args(["-c", lf::VERSIONS]).env_clear().envs(lf::environment(&task.machine, python, folder)).kill_on_drop(true);
    let printed = command.output().await.map(|o| o.stdout).unwrap_or_default();
    Ok(serde_json::from_slice(&printed).unwrap_or_default())
}

/// Runs the trainer to its end and tells what happens meanwhile.
async fn follow(task: &Context, work: &Train, python: &Path, folder: &Path, told: &mut Told) -> Result<(), Halt> {
    let mut command = Command::new(lf::program(python));
    command.args(["train", lf::TRAINER_FILE]).current_dir(folder).env_clear().envs(lf::environment(&task.machine, python, folder));
    let mut trainer = Program::start(command).map_err(|e| {
        Failure::of(Cause::NotInstalled { what: "trainer".into(), path: None, variable: None }).with_evidence(vec![e.to_string()])
    })?;
    let mut console = lf::Console::default();
    let mut look = tokio::time::interval(LOOK);
    let mut rows_said = false;
    let ended = loop {
        tokio::select! {
            next = trainer.next() => match next.map_err(TaskError::io("waiting for the trainer"))? {
                Next::Line(stream, line) => {
                    if let Some((level, text)) = console.hear(stream, &line) {
                        task.reporter.log(level, text);
                    }
                    if !rows_said && let Some(rows) = console.rows_trained() {
                        rows_said = true;
                        tell_dropped_rows(task, work, rows);
                    }
                }
                Next::Ended(ended) => break ended,
            },
            _ = look.tick() => told.progress(task),
            () = task.stop.asked() => {
                task.reporter.does(Phase::Stopping, Reason::Stops);
                stop(&mut trainer, &folder.join(lf::OUT)).await.map_err(TaskError::io("stopping the trainer"))?;
                told.progress(task);
                return Err(Halt::Stopped);
            }
        }
    };
    told.progress(task);
    if ended == Ended::Exit(0) { Ok(()) } else { Err(catalogue::classify(ended, &console.errors()).into()) }
}

/// Asks the trainer to end, lets it write a checkpoint, and ends it then: what it would do after that, nobody waits for.
async fn stop(trainer: &mut Program, out: &Path) -> io::Result<()> {
    let last = || lf::written(out, None).last().map(|w| w.step);
    let before = last();
    trainer.ask_to_stop();
    let written = async {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                next = trainer.next() => if let Next::Ended(_) = next? { return Ok::<_, io::Error>(()) },
                _ = look.tick() => if last() > before { return Ok(()) },
            }
        }
    };
    if let Ok(done) = tokio::time::timeout(GRACE, written).await {
        done?;
    }
    trainer.stop(Duration::ZERO).await.map(drop)
}

/// What was told of the trainer's log.
struct Told {
    log: lf::Follower,
    curve: lf::Curve,
}

impl Told {
    fn of(out: &Path) -> Self {
        Self { log: lf::Follower::new(out.join(lf::TRAINER_LOG)), curve: lf::Curve::default() }
    }

    /// What is new in it.
    fn progress(&mut self, task: &Context) {
        for entry in self.log.read_new(now()) {
            if let Some(loss) = entry.loss {
                self.curve.add(loss);
            }
            task.reporter.say(TaskMessage::Progress { step: entry.step, total_steps: entry.total_steps, metric: entry.metric });
        }
    }
}

fn tell_dropped_rows(task: &Context, work: &Train, taken: u64) {
    let expected = work.settings.rows_taken(work.train_rows);
    // Packed rows are counted as blocks.
    if taken < expected && !work.settings.packs() {
        let dropped = expected - taken;
        task.reporter.log(
            LogLevel::Warning,
            format!("The trainer dropped {dropped} of {expected} rows, because it could not read them as conversations."),
        );
    }
}

/// Exit code 0 does not mean that something was learnt.
fn judge(task: &Context, work: &Train, out: &Path, curve: &lf::Curve, vocabulary: Option<u64>) -> Result<BTreeMap<String, f64>, Failure> {
    let zero = Ended::Exit(0);
    let (Some(results), false) = (lf::numbers(out), lf::weights(out, work.settings.finetuning_type()).is_empty()) else {
        return Err(Failure::of(Cause::NoResult).with_exit(zero));
    };
    match curve.judge(vocabulary) {
        lf::Judgement::Learnt => Ok(results),
        lf::Judgement::Flat { first, last } => {
            let text = format!(
                "The loss did not fall: {first:.2} at the beginning, {last:.2} at the end. Try more epochs, or another learning rate."
            );
            task.reporter.log(LogLevel::Warning, text);
            Ok(results)
        }
        lf::Judgement::Diverged { first, last } => {
            Err(Failure::of(Cause::Diverged { first: format!("{first:.2}"), last: format!("{last:.2}") }).with_exit(zero))
        }
        lf::Judgement::Silent => Err(Failure::of(Cause::NoLoss).with_exit(zero)),
    }
}

async fn upload(task: &Context, work: &Train, folder: &Path) -> Result<Vec<domain::base_model::StoredFile>, Halt> {
    let out = folder.join(lf::OUT);
    let kind = work.settings.finetuning_type();
    if kind == FinetuningType::Lora {
        lf::adapter_config(&out, &work.base_model.to_string())?;
    }
    let mut paths: Vec<PathBuf> = lf::results_to_keep(&out, kind);
    paths.push(folder.join(lf::TRAINER_FILE));
    let target = artefacts::run_output(&work.tenant, work.run, &work.folder);
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        files.push(task.artefacts.put_file(&path, &format!("{target}/{name}")).await?);
    }
    let bytes = files.iter().map(|f| f.bytes).sum();
    task.reporter.does(Phase::Upload, Reason::Stored { files: files.len() as u64, bytes });
    Ok(files)
}
