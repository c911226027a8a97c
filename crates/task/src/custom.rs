//! A training by an image of somebody's own: fetch what it works on, start its program, tell what it says and posts, store what it leaves.
//! The program finds its folders in its environment, and leaves the same files as LLaMA-Factory would.

use crate::{
    Context, catalogue,
    failure::{Halt, TaskError},
    llamafactory as lf,
    program::{Ended, Next, Program},
    progress::{Course, Receiver, Status},
    reporter::now,
};
use domain::{
    artefacts,
    base_model::StoredFile,
    reason::{
        failure::{Cause, Failure},
        run::Reason,
    },
    report::{Outcome, Phase},
    settings::FinetuningType,
    task_spec::Custom,
};
use std::{path::Path, time::Duration};
use tokio::process::Command;

/// Time for the program to end after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_secs(30);

pub async fn custom(task: &Context, work: &Custom) -> Result<Outcome, Halt> {
    let folder = task.folder.join("work");
    task.unless_stopped(prepare(task, work, &folder)).await?;
    let image = work.training.image.clone();
    task.reporter.does(Phase::Train, Reason::ImageTrains { image: image.clone(), gpu: task.machine.gpu });
    follow(task, work, &folder).await?;
    let out = folder.join(lf::OUT);
    has_a_result(&out, work.leaves)?;
    task.reporter.does(Phase::Upload, Reason::Stores);
    let files = task.unless_stopped(upload(task, work, &out)).await?;
    let results = lf::numbers(&out).unwrap_or_default();
    Ok(Outcome { files, results, scores: None, software: [("image".to_owned(), image)].into() })
}

async fn prepare(task: &Context, work: &Custom, folder: &Path) -> Result<(), Halt> {
    task.reporter.does(Phase::Prepare, Reason::FetchesTrainingInputs);
    for name in ["", lf::DATA, lf::OUT] {
        tokio::fs::create_dir_all(folder.join(name)).await.map_err(TaskError::io("making the working folder"))?;
    }
    let base = task
        .artefacts
        .fetch_folder(&artefacts::base_model(work.base_model), &folder.join(lf::BASE), "The base model", &work.base_files)
        .await?;
    let (data, judgement) = (folder.join(lf::DATA), work.judgement.as_deref());
    task.artefacts.fetch(&artefacts::dataset_train(&work.tenant, work.dataset_version, judgement), &data.join(lf::TRAIN_FILE)).await?;
    if work.held_out_rows > 0 {
        task.artefacts
            .fetch(&artefacts::dataset_held_out(&work.tenant, work.dataset_version, judgement), &data.join(lf::HELD_OUT_FILE))
            .await?;
    }
    let inputs = Reason::TrainingInputs { bytes: base.bytes, train_rows: work.train_rows, held_out_rows: work.held_out_rows };
    task.reporter.does(Phase::Prepare, inputs);
    Ok(())
}

/// The image's own environment, then what the run says, then where things are. Nothing of ours but that.
fn command(work: &Custom, folder: &Path, progress: &Receiver) -> Command {
    let (program, more) = work.training.command.split_first().map_or(("", &[][..]), |(program, more)| (program.as_str(), more));
    let mut command = Command::new(program);
    command.args(more).args(&work.training.args).current_dir(folder).env("PYTHONUNBUFFERED", "1");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_")) {
        command.env_remove(name);
    }
    if std::env::var_os("USER").is_none() {
        // PyTorch asks for the user's name, and in an image of somebody's own the number of the pod's user has none.
        command.env("USER", "atelier");
    }
    command.envs(&work.training.env);
    command.env("ATELIER_BASE_MODEL", folder.join(lf::BASE)).env("ATELIER_OUTPUT", folder.join(lf::OUT));
    command.env("ATELIER_TRAIN_FILE", folder.join(lf::DATA).join(lf::TRAIN_FILE));
    if work.held_out_rows > 0 {
        command.env("ATELIER_HELD_OUT_FILE", folder.join(lf::DATA).join(lf::HELD_OUT_FILE));
    }
    command.envs(progress.environment(|name| work.training.env.get(name).cloned().or_else(|| std::env::var(name).ok())));
    command
}

/// Runs the program to its end and tells what happens meanwhile.
async fn follow(task: &Context, work: &Custom, folder: &Path) -> Result<(), Halt> {
    let mut progress = Receiver::open(folder).await?;
    let mut program = Program::start(command(work, folder, &progress)).map_err(|e| {
        let name = work.training.command.first().map_or("", String::as_str);
        Failure::of(Cause::ProgramNotStarted { program: name.into(), error: e.to_string().into() })
    })?;
    let (mut console, mut course) = (lf::Console::default(), Course::default());
    let mut tell = |status: &Status| course.take(status, now()).into_iter().for_each(|said| task.reporter.say(said));
    let ended = loop {
        tokio::select! {
            next = program.next() => match next.map_err(TaskError::io("waiting for the program"))? {
                Next::Line(stream, line) => {
                    if let Some((level, text)) = console.hear(stream, &line) {
                        task.reporter.log(level, text);
                    }
                }
                Next::Ended(ended) => break ended,
            },
            status = progress.next() => tell(&status),
            () = task.stop.asked() => {
                task.reporter.does(Phase::Stopping, Reason::Stops);
                program.stop(GRACE).await.map_err(TaskError::io("stopping the program"))?;
                return Err(Halt::Stopped);
            }
        }
    };
    progress.rest().iter().for_each(tell);
    if ended == Ended::Exit(0) { Ok(()) } else { Err(catalogue::classify_foreign(ended, &console.errors()).into()) }
}

/// What the next step takes: weights of the kind that the run promised, and what says how to read them.
fn has_a_result(out: &Path, leaves: FinetuningType) -> Result<(), Failure> {
    let config = match leaves {
        FinetuningType::Lora => "adapter_config.json",
        FinetuningType::Full => "config.json",
    };
    let read = std::fs::read(out.join(config)).ok().and_then(|text| serde_json::from_slice::<serde_json::Map<_, _>>(&text).ok());
    if !lf::weights(out, leaves).is_empty() && read.is_some() {
        return Ok(());
    }
    let weights = match leaves {
        FinetuningType::Lora => "adapter_model.safetensors",
        FinetuningType::Full => "model*.safetensors",
    };
    let wanted = format!("Wanted in the folder that ATELIER_OUTPUT names: {weights} and {config}.");
    Err(Failure::of(Cause::NoResult).with_exit(Ended::Exit(0)).with_evidence(vec![wanted]))
}

async fn upload(task: &Context, work: &Custom, out: &Path) -> Result<Vec<StoredFile>, Halt> {
    if work.leaves == FinetuningType::Lora {
        lf::adapter_config(out, &work.base_model.to_string())?;
    }
    let target = artefacts::run_output(&work.tenant, work.run, &work.folder);
    let mut files = Vec::new();
    for path in lf::results_to_keep(out, work.leaves) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        files.push(task.artefacts.put_file(&path, &format!("{target}/{name}")).await?);
    }
    let bytes = files.iter().map(|f| f.bytes).sum();
    task.reporter.does(Phase::Upload, Reason::Stored { files: files.len() as u64, bytes });
    Ok(files)
}
