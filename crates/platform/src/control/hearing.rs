//! What a line of a task's output means for its run. Pure: the run as it is, the line, and what follows.

use super::tasks::Job;
use crate::counted::counted;
use domain::{
    report::{Line, Outcome, Phase, Said, Verdict},
    run::{Failure, LogLevel, LogLine, MetricPoint, Progress, Run, RunEvent, RunState, Scores, Step, StepKind, StepState},
    time::{Timestamp, span},
};

/// The longest text of a log line that is kept, characters.
const LONGEST: usize = 16_000;

/// What a line asks to be written beside the run itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    /// Without its number, which the transaction gives.
    pub log: Option<LogLine>,
    pub metric: Option<MetricPoint>,
    pub verdict: Option<Verdict>,
}

/// One raw line of output. What is not of our protocol is what the trainer printed by itself: a log line.
pub(super) fn line(raw: &[u8], now: Timestamp) -> Option<Line> {
    let raw = raw.trim_ascii_end();
    if raw.is_empty() {
        return None;
    }
    let read = serde_json::from_slice(raw).ok();
    read.or_else(|| Some(Line { at: now, said: Said::Log { level: LogLevel::Info, text: String::from_utf8_lossy(raw).into_owned() } }))
}

/// Text that every database takes: without NUL, not endless.
pub(super) fn clean(text: &str) -> String {
    domain::text::clipped(text, LONGEST)
}

pub(super) fn hear(run: &mut Run, job: Job, line: Line) -> Heard {
    let Line { at, said } = line;
    let mut heard = Heard::default();
    match said {
        Said::Phase { phase, detail } => enter(run, job, phase, detail, at),
        Said::Progress { step, total_steps, metric } => {
            let began = find(run, StepKind::Train).started_at.unwrap_or(at);
            run.progress = Some(Progress { step, total_steps, remaining_ms: remaining(step, total_steps, at.since(began)) });
            if find(run, StepKind::Train).state == StepState::Running {
                find(run, StepKind::Train).reason = format!("{step} of {total_steps} steps");
            }
            heard.metric = metric;
        }
        Said::Evaluated { done, total } => {
            find(run, StepKind::Evaluate).reason = format!("{done} of {total} answers, base and tuned together")
        }
        Said::Log { level, text } => {
            heard.log = Some(LogLine { number: 0, at, step: current(run, job), level, text: clean(&text) });
        }
        // Only model servers speak of adapters.
        Said::Adapters { .. } => {}
        Said::Verdict { verdict } => heard.verdict = Some(verdict),
    }
    heard
}

/// Milliseconds for the rest at the pace so far: our own clock, since the trainer's estimate is wrong after a resume.
fn remaining(step: u64, total: u64, elapsed: i64) -> Option<i64> {
    (step > 0).then(|| (elapsed as f64 / step as f64 * total.saturating_sub(step) as f64).round() as i64)
}

fn current(run: &mut Run, job: Job) -> StepKind {
    match job {
        Job::Evaluate => StepKind::Evaluate,
        Job::Train if find(run, StepKind::Train).started_at.is_some() => StepKind::Train,
        Job::Train => StepKind::Prepare,
    }
}

fn enter(run: &mut Run, job: Job, phase: Phase, detail: String, at: Timestamp) {
    let detail = clean(&detail);
    match (job, phase) {
        (Job::Train, Phase::Prepare) => begin(run, StepKind::Prepare, detail, at),
        (Job::Train, Phase::Train) => {
            finish(run, StepKind::Prepare, None, at);
            begin(run, StepKind::Train, detail, at);
            if let Ok(state) = run.state.next(RunEvent::TrainerStarted) {
                run.state = state;
                run.reason = "Training.".into();
            }
        }
        (Job::Train, _) => {
            let step = current(run, job);
            begin(run, step, detail, at);
        }
        (Job::Evaluate, _) => begin(run, StepKind::Evaluate, detail, at),
    }
}

/// The step of this kind; a run always has all four.
pub(super) fn find(run: &mut Run, kind: StepKind) -> &mut Step {
    let i = run.steps.iter().position(|s| s.kind == kind).unwrap_or_else(|| {
        run.steps.push(Step { kind, state: StepState::Pending, reason: String::new(), started_at: None, ended_at: None });
        run.steps.len() - 1
    });
    &mut run.steps[i]
}

/// The step runs; an empty detail keeps the reason that it has.
pub(super) fn begin(run: &mut Run, kind: StepKind, detail: String, at: Timestamp) {
    let step = find(run, kind);
    if matches!(step.state, StepState::Pending | StepState::Running) {
        step.state = StepState::Running;
        step.started_at.get_or_insert(at);
        if !detail.is_empty() {
            step.reason = detail;
        }
    }
}

pub(super) fn finish(run: &mut Run, kind: StepKind, reason: Option<String>, at: Timestamp) {
    let step = find(run, kind);
    if matches!(step.state, StepState::Pending | StepState::Running) {
        step.state = StepState::Done;
        step.started_at.get_or_insert(at);
        step.ended_at = Some(at);
        if let Some(reason) = reason {
            step.reason = reason;
        }
    }
}

pub(super) fn skip(run: &mut Run, kind: StepKind, reason: &str) {
    let step = find(run, kind);
    step.state = StepState::Skipped;
    step.reason = reason.to_owned();
}

/// The training is done: on to the evaluation, or past it when there is nothing to evaluate on.
pub(super) fn trained(run: &mut Run, outcome: &Outcome, held_out_rows: u64, at: Timestamp) {
    let Ok(state) = run.state.next(RunEvent::TrainerDone) else { return };
    run.state = state;
    run.reason = "The training is done; base and tuned model are compared on the held-out rows.".into();
    finish(run, StepKind::Prepare, None, at);
    let took = find(run, StepKind::Train).started_at.map(|began| format!(" in {}", span(at.since(began)))).unwrap_or_default();
    let steps = run.progress.map_or(0, |p| p.total_steps);
    let files = counted(outcome.files.len() as u64, "file", "files");
    let done = if steps > 0 { format!("{}{took}, {files}", counted(steps, "step", "steps")) } else { format!("Done{took}, {files}") };
    finish(run, StepKind::Train, Some(done), at);
    if let Some(progress) = &mut run.progress {
        progress.remaining_ms = Some(0);
    }
    if held_out_rows == 0 {
        skip(run, StepKind::Evaluate, "No rows were kept back for an evaluation.");
        to_publishing(run);
    } else {
        find(run, StepKind::Evaluate).reason = "Waits for the trainer’s process to end.".into();
    }
}

pub(super) fn evaluated(run: &mut Run, scores: Option<Scores>, at: Timestamp) {
    if run.state != RunState::Evaluating {
        return;
    }
    run.scores = scores;
    let said = scores.map_or_else(
        || "Done, without a score.".to_owned(),
        |s| format!("{} of {} right, base {}; {} gained, {} lost", s.tuned_right, s.rows, s.base_right, s.gained, s.lost),
    );
    finish(run, StepKind::Evaluate, Some(said), at);
    to_publishing(run);
}

fn to_publishing(run: &mut Run) {
    if let Ok(state) = run.state.next(RunEvent::EvaluationDone) {
        run.state = state;
        run.reason = "The result is being registered as a model version.".into();
        find(run, StepKind::Publish).reason = "Copying and checking the files.".into();
    }
}

/// The run failed: the step that was at work says why, those after it were not reached.
pub(super) fn fail(run: &mut Run, failure: Failure, at: Timestamp) {
    let Ok(state) = run.state.next(RunEvent::Fail) else { return };
    let at_work = match run.state {
        RunState::Evaluating => StepKind::Evaluate,
        RunState::Publishing => StepKind::Publish,
        _ => current(run, Job::Train),
    };
    run.state = state;
    run.reason = failure.sentence.clone();
    run.ended_at = Some(at);
    for step in &mut run.steps {
        if step.kind == at_work {
            step.state = StepState::Failed;
            step.reason = failure.sentence.clone();
            step.started_at.get_or_insert(at);
            step.ended_at = Some(at);
        } else if matches!(step.state, StepState::Pending | StepState::Running) {
            step.state = StepState::Skipped;
            step.reason = "Not reached, because an earlier step failed.".into();
        }
    }
    run.failure = Some(failure);
}
