//! An adapter into the weights of its base model, by LLaMA-Factory's export: the result needs no adapter when it is served.

use crate::{
    Context, catalogue,
    failure::{Halt, TaskError},
    llamafactory as lf,
    program::{Ended, Next, Program},
    train,
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
    task_spec::Merge,
};
use std::{path::Path, time::Duration};
use tokio::process::Command;

/// Time for the export to end after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

pub async fn merge(task: &Context, work: &Merge) -> Result<Outcome, Halt> {
    let python = task.machine.trainer_python()?;
    let folder = task.folder.join("work");
    let ((), software) =
        task.unless_stopped(async { Ok(tokio::try_join!(prepare(task, work, &folder), train::versions(task, python, &folder))?) }).await?;
    task.reporter.does(Phase::Merge, Reason::Merges);
    follow(task, python, &folder).await?;
    let out = folder.join(lf::OUT);
    if lf::weights(&out, FinetuningType::Full).is_empty() {
        return Err(Failure::of(Cause::NoResult).with_exit(Ended::Exit(0)).into());
    }
    task.reporter.does(Phase::Upload, Reason::Stores);
    let files = task.unless_stopped(upload(task, work, &folder)).await?;
    Ok(Outcome { files, software, ..Outcome::default() })
}

async fn prepare(task: &Context, work: &Merge, folder: &Path) -> Result<(), Halt> {
    task.reporter.does(Phase::Merge, Reason::FetchesAdapter);
    for name in ["", "hf", "tmp", "board"] {
        tokio::fs::create_dir_all(folder.join(name)).await.map_err(TaskError::io("making the working folder"))?;
    }
    task.artefacts
        .fetch_folder(&artefacts::base_model(work.base_model), &folder.join(lf::BASE), "The base model", &work.base_files)
        .await?;
    let adapter = artefacts::run_output(&work.tenant, work.run, &work.adapter);
    task.artefacts.fetch_folder(&adapter, &folder.join(lf::ADAPTER), "The adapter", &work.adapter_files).await?;
    let config = tokio::fs::read(folder.join(lf::BASE).join("config.json")).await.unwrap_or_default();
    let export = lf::export_file(&work.template, &serde_json::from_slice(&config).unwrap_or_default());
    tokio::fs::write(folder.join(lf::EXPORT), lf::yaml_text(&export)).await.map_err(TaskError::io("writing the export's settings"))?;
    Ok(())
}

async fn follow(task: &Context, python: &Path, folder: &Path) -> Result<(), Halt> {
    let mut command = Command::new(lf::program(python));
    command.args(["export", lf::EXPORT]).current_dir(folder).env_clear().envs(lf::environment(&task.machine, python, folder));
    let mut export = Program::start(command).map_err(|e| {
        Failure::of(Cause::NotInstalled { what: "trainer".into(), path: None, variable: None }).with_evidence(vec![e.to_string()])
    })?;
    let mut console = lf::Console::default();
    let ended = loop {
        tokio::select! {
            next = export.next() => match next.map_err(TaskError::io("waiting for the export"))? {
                Next::Line(stream, line) => {
                    if let Some((level, text)) = console.hear(stream, &line) {
                        task.reporter.log(level, text);
                    }
                }
                Next::Ended(ended) => break ended,
            },
            () = task.stop.asked() => {
                task.reporter.does(Phase::Stopping, Reason::Stops);
                export.stop(GRACE).await.map_err(TaskError::io("stopping the export"))?;
                return Err(Halt::Stopped);
            }
        }
    };
    if ended == Ended::Exit(0) { Ok(()) } else { Err(catalogue::classify(ended, &console.errors()).into()) }
}

async fn upload(task: &Context, work: &Merge, folder: &Path) -> Result<Vec<StoredFile>, Halt> {
    let target = artefacts::run_output(&work.tenant, work.run, &work.folder);
    let mut files = Vec::new();
    for path in lf::results_to_keep(&folder.join(lf::OUT), FinetuningType::Full) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        files.push(task.artefacts.put_file(&path, &format!("{target}/{name}")).await?);
    }
    let bytes = files.iter().map(|f| f.bytes).sum();
    task.reporter.does(Phase::Upload, Reason::Stored { files: files.len() as u64, bytes });
    Ok(files)
}
