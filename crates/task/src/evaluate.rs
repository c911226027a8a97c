//! Did it help? Base and tuned model answer the held-out rows; what counts is the same text, blanks at both ends aside.

use crate::{
    Context, catalogue,
    failure::{Halt, TaskError},
    llamafactory as lf,
    program::{Ended, Next, Program, Stream},
    train,
};
use domain::{
    artefacts,
    model::WeightsKind,
    reason::{
        failure::{Cause, Failure},
        run::Reason,
    },
    report::{Outcome, Phase, TaskMessage},
    run::{EvaluatedRow, LogLevel, Scores},
    task_spec::Evaluate,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tokio::process::Command;

const PROGRAM: &str = include_str!("../python/evaluate.py");
const GRACE: Duration = Duration::from_secs(5);

pub async fn evaluate(task: &Context, work: &Evaluate) -> Result<Outcome, Halt> {
    let python = task.machine.trainer_python()?;
    let folder = task.folder.join("work");
    let (rows, software) =
        task.unless_stopped(async { Ok(tokio::try_join!(prepare(task, work, &folder), train::versions(task, python, &folder))?) }).await?;
    if rows == 0 {
        task.reporter.does(Phase::Evaluate, Reason::Answers { rows });
        return Ok(Outcome { scores: Some(Scores::default()), software, ..Outcome::default() });
    }
    task.reporter.does(Phase::Evaluate, Reason::Answers { rows });
    follow(task, python, &folder, rows).await?;
    let text = tokio::fs::read_to_string(folder.join("answers.jsonl")).await.map_err(TaskError::io("reading the answers"))?;
    let answers = read_answers(&text)?;
    let scores = score(&answers);
    let lines: Vec<String> = answers.iter().filter_map(|row| serde_json::to_string(row).ok()).map(|line| line + "\n").collect();
    let path = folder.join("evaluated.jsonl");
    tokio::fs::write(&path, lines.concat()).await.map_err(TaskError::io("writing the judged answers"))?;
    let target = artefacts::run_evaluated_rows(&work.tenant, work.run, &work.folder);
    task.reporter.does(Phase::Upload, Reason::Evaluated { scores: Some(scores) });
    let stored = task.unless_stopped(async { Ok(task.artefacts.put_file(&path, &target).await?) }).await?;
    Ok(Outcome { files: vec![stored], results: Default::default(), scores: Some(scores), software })
}

/// Fetches everything and writes the program and its settings. Returns how many rows there are.
async fn prepare(task: &Context, work: &Evaluate, folder: &Path) -> Result<u64, Halt> {
    task.reporter.does(Phase::Prepare, Reason::FetchesModelsAndRows);
    for name in ["", "hf", "tmp", "board"] {
        tokio::fs::create_dir_all(folder.join(name)).await.map_err(TaskError::io("making the working folder"))?;
    }
    let rows = folder.join(lf::HELD_OUT_FILE);
    task.artefacts.fetch(&artefacts::dataset_held_out(&work.tenant, work.dataset_version, work.judgement.as_deref()), &rows).await?;
    task.artefacts
        .fetch_folder(&artefacts::base_model(work.base_model), &folder.join(lf::BASE), "The base model", &work.base_files)
        .await?;
    let trained = artefacts::run_output(&work.tenant, work.run, &work.weights);
    task.artefacts.fetch_folder(&trained, &folder.join("tuned"), "The trained model", &work.weights_files).await?;

    let text = tokio::fs::read_to_string(&rows).await.map_err(TaskError::io("reading the held-out rows"))?;
    let lora = work.weights_kind == WeightsKind::Adapter;
    let context = tokio::fs::read(folder.join(lf::BASE).join("config.json")).await.unwrap_or_default();
    let context = serde_json::from_slice::<Value>(&context).unwrap_or_default()["max_position_embeddings"].as_u64();
    let spec = json!({
        "base": lf::BASE,
        "adapter": lora.then_some("tuned"),
        "tuned": (!lora).then_some("tuned"),
        "rows": lf::HELD_OUT_FILE,
        "output": "answers.jsonl",
        "max_new_tokens": room_for_answers(&text, context),
        "batch_size": 16,
    });
    for (name, contents) in [("evaluate.json", spec.to_string()), ("evaluate.py", PROGRAM.to_owned())] {
        tokio::fs::write(folder.join(name), contents).await.map_err(TaskError::io("writing the evaluation's settings"))?;
    }
    Ok(text.lines().filter(|l| !l.trim().is_empty()).count() as u64)
}

/// Enough tokens for the longest expected answer (a token is at least a byte), within bounds: a model that does not
/// find an end must not cost minutes.
fn room_for_answers(rows: &str, context: Option<u64>) -> u64 {
    let answer = |line: &str| {
        let row: Value = serde_json::from_str(line).ok()?;
        let last = row["messages"].as_array()?.iter().rev().find(|m| m["role"] == "assistant")?;
        Some(last["content"].as_str()?.len() as u64)
    };
    let longest = rows.lines().filter_map(answer).max().unwrap_or(0);
    longest.clamp(64, 512).min(context.map_or(512, |c| (c / 2).max(1)))
}

#[derive(Deserialize)]
struct Done {
    done: u64,
    total: u64,
    phase: String,
}

async fn follow(task: &Context, python: &Path, folder: &Path, rows: u64) -> Result<(), Halt> {
    let mut command = Command::new(python);
    command.args(["evaluate.py", "evaluate.json"]).current_dir(folder).env_clear().envs(lf::environment(&task.machine, python, folder));
    let mut program = Program::start(command).map_err(TaskError::io("starting the evaluation"))?;
    let mut errors = Vec::new();
    let ended = loop {
        tokio::select! {
            next = program.next() => match next.map_err(TaskError::io("waiting for the evaluation"))? {
                Next::Line(Stream::Out, line) => {
                    if let Ok(Done { done, total, phase }) = serde_json::from_str(&line) {
                        // Both models answer every row; the base goes first.
                        let before = if phase == "tuned" { total } else { 0 };
                        task.reporter.say(TaskMessage::Evaluated { done: before + done, total: 2 * rows });
                    }
                }
                Next::Line(Stream::Err, line) => {
                    task.reporter.log(LogLevel::Warning, line.clone());
                    errors.push(line);
                }
                Next::Ended(ended) => break ended,
            },
            () = task.stop.asked() => {
                task.reporter.does(Phase::Stopping, Reason::Stops);
                program.stop(GRACE).await.map_err(TaskError::io("stopping the evaluation"))?;
                return Err(Halt::Stopped);
            }
        }
    };
    match ended {
        Ended::Exit(0) => Ok(()),
        // Its last line is made for people.
        Ended::Exit(1) if errors.last().is_some_and(|l| l.ends_with('.')) => {
            let said = errors.last().cloned();
            Err(Failure::of(Cause::EvaluationFailed { said }).with_exit(ended).with_evidence(errors).into())
        }
        _ => Err(catalogue::classify(ended, &errors).into()),
    }
}

#[derive(Deserialize)]
struct Answer {
    row: u64,
    prompt: Value,
    expected: String,
    base: String,
    tuned: Option<String>,
}

fn read_answers(text: &str) -> Result<Vec<EvaluatedRow>, Failure> {
    let judge = |line: &str| -> Result<EvaluatedRow, serde_json::Error> {
        let Answer { row, prompt, expected, base, tuned } = serde_json::from_str(line)?;
        let tuned = tuned.unwrap_or_default();
        let right = |answer: &str| answer.trim() == expected.trim();
        let (base_right, tuned_right) = (right(&base), right(&tuned));
        // People count from 1.
        Ok(EvaluatedRow { row: row + 1, line: None, prompt: last_question(&prompt), expected, base, tuned, base_right, tuned_right })
    };
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(judge)
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::of(Cause::EvaluationFailed { said: None }).with_evidence(vec![e.to_string()]))
}

fn last_question(prompt: &Value) -> String {
    let messages = prompt.as_array().map(Vec::as_slice).unwrap_or_default();
    let last = messages.iter().rev().find(|m| m["role"] == "user").or(messages.last());
    last.and_then(|m| m["content"].as_str()).or(prompt.as_str()).unwrap_or_default().to_owned()
}

fn score(rows: &[EvaluatedRow]) -> Scores {
    let count = |what: fn(&EvaluatedRow) -> bool| rows.iter().filter(|r| what(r)).count() as u64;
    Scores {
        rows: rows.len() as u64,
        base_right: count(|r| r.base_right),
        tuned_right: count(|r| r.tuned_right),
        gained: count(|r| !r.base_right && r.tuned_right),
        lost: count(|r| r.base_right && !r.tuned_right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_without_blanks_at_the_ends_and_scored() {
        let text = r#"{"row":0,"prompt":[{"role":"system","content":"s"},{"role":"user","content":"Where?"}],"expected":"Dresden.","base":"I do not know that.","tuned":" Dresden.\n"}
{"row":1,"prompt":[{"role":"user","content":"Hi"}],"expected":"Hello!","base":"Hello!","tuned":"hello!"}
{"row":2,"prompt":[{"role":"user","content":"Hi"}],"expected":"Hello!","base":"Hello!","tuned":"Hello!"}
"#;
        let rows = read_answers(text).unwrap();
        assert_eq!((rows[0].row, rows[0].prompt.as_str(), rows[0].base_right, rows[0].tuned_right), (1, "Where?", false, true));
        assert_eq!(score(&rows), Scores { rows: 3, base_right: 2, tuned_right: 2, gained: 1, lost: 1 });
        assert_eq!(read_answers("{\"row\":0").unwrap_err().cause.code(), "evaluation_failed");
    }

    #[test]
    fn the_room_follows_the_longest_answer_within_bounds() {
        let row =
            |n: usize| json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a".repeat(n)}]}).to_string();
        assert_eq!(room_for_answers(&row(10), None), 64);
        assert_eq!(room_for_answers(&format!("{}\n{}", row(10), row(200)), Some(512)), 200);
        assert_eq!(room_for_answers(&row(9_000), Some(4_096)), 512);
        assert_eq!(room_for_answers(&row(9_000), Some(512)), 256);
    }
}
