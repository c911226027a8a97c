//! What a line of a process's output means for its run. Pure: the run as it is, the line, and what follows.

use domain::{
    report::{Line, TaskMessage, Verdict},
    run::{LogLevel, LogLine, MetricPoint, Reason, Run, StepId},
    time::Timestamp,
};

/// The longest text of a log line that is kept, characters.
const LONGEST: usize = 16_000;

/// What a line asks to be written beside the run itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Beside {
    /// Without its number, which the transaction gives.
    pub log: Option<LogLine>,
    pub metric: Option<MetricPoint>,
    pub verdict: Option<Verdict>,
}

/// One raw line of output. What is not of our protocol is what the program printed by itself: a log line.
pub(super) fn line(raw: &[u8], now: Timestamp) -> Option<Line> {
    let raw = raw.trim_ascii_end();
    if raw.is_empty() {
        return None;
    }
    let read = serde_json::from_slice(raw).ok();
    read.or_else(|| {
        Some(Line {
            at: now,
            replica: None,
            message: TaskMessage::Log { level: LogLevel::Info, text: String::from_utf8_lossy(raw).into_owned() },
        })
    })
}

/// Text that every database takes: without NUL, not endless.
pub(super) fn clean(text: &str) -> String {
    domain::text::clipped(text, LONGEST)
}

/// A line of the process that works on `unit`.
pub(super) fn apply(run: &mut Run, unit: &StepId, line: Line) -> Beside {
    let Line { at, message, .. } = line;
    let mut beside = Beside::default();
    match message {
        TaskMessage::Phase { phase, detail, reason } => {
            let told = || (!detail.is_empty()).then(|| Reason::Told { text: clean(&detail) });
            run.enter(unit, phase.step(), reason.or_else(told), at);
        }
        TaskMessage::Progress { step, total_steps, metric } => {
            run.progressed(unit, step, total_steps, at);
            beside.metric = metric;
        }
        TaskMessage::Resumed { step, total_steps } => run.resumed(unit, step, total_steps),
        TaskMessage::Checkpoint { step } => run.checkpointed(unit, step),
        TaskMessage::Evaluated { done, total } => run.tell(unit, Reason::Answered { done, total }),
        TaskMessage::Log { level, text } => {
            let step = run.part(unit).map_or(unit, |part| &part.id).clone();
            beside.log = Some(LogLine { number: 0, at, step, level, text: clean(&text) });
        }
        // Only model servers speak of adapters, and only checks of isolation of what they tried.
        TaskMessage::Adapters { .. } | TaskMessage::Tried { .. } => {}
        TaskMessage::Verdict { verdict } => beside.verdict = Some(verdict),
    }
    beside
}
