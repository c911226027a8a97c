//! What a line of a model server's output means for its endpoint. Pure.

use super::output::clean;
use domain::{
    endpoint::{AdapterState, EndpointEvent},
    ids::ModelVersionId,
    reason::endpoint::{AdapterReason, EndpointReason},
    report::{AdapterFailure, Line, Phase, TaskMessage, Verdict},
    run::LogLevel,
    time::Timestamp,
};

use crate::store::endpoints::EndpointRecord;

/// What is to be written beside the endpoint's row.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Beside {
    pub log: Vec<(Timestamp, LogLevel, String)>,
    /// Attachments whose state changed.
    pub adapters: Vec<(ModelVersionId, AdapterState, Option<AdapterReason>)>,
}

pub(super) fn apply(record: &mut EndpointRecord, line: Line, beside: &mut Beside) {
    let Line { at, message } = line;
    let e = &mut record.endpoint;
    match message {
        TaskMessage::Phase { phase: Phase::Ready, detail, .. } => {
            beside.log.push((at, LogLevel::Info, clean(if detail.is_empty() { "Answers." } else { &detail })));
            if let Ok(state) = e.state.next(EndpointEvent::Answers) {
                e.state = state;
                e.reason = EndpointReason::Answers;
                e.ready_at = Some(at);
            }
        }
        TaskMessage::Phase { detail, .. } => {
            let detail = clean(&detail);
            if !detail.is_empty() {
                beside.log.push((at, LogLevel::Info, detail.clone()));
                if e.ready_at.is_none() {
                    e.reason = EndpointReason::Loading { detail };
                }
            }
        }
        TaskMessage::Log { level, text } => beside.log.push((at, level, clean(&text))),
        TaskMessage::Adapters { loaded, failed } => adapters(record, &loaded, &failed, beside),
        // A server that ends with a word says why.
        TaskMessage::Verdict { verdict: Verdict::Failed(failure) } => {
            let said = failure.said();
            beside.log.push((at, LogLevel::Error, clean(format!("{} {}", said.sentence, said.next_step).trim_end())));
        }
        TaskMessage::Verdict { .. }
        | TaskMessage::Progress { .. }
        | TaskMessage::Resumed { .. }
        | TaskMessage::Checkpoint { .. }
        | TaskMessage::Evaluated { .. } => {}
    }
}

/// The server's own list is the truth about what answers now.
fn adapters(record: &mut EndpointRecord, loaded: &[String], failed: &[AdapterFailure], beside: &mut Beside) {
    for a in &mut record.endpoint.attachments {
        let name = a.version.to_string();
        let (state, reason) = if loaded.contains(&name) {
            (AdapterState::Ready, None)
        } else if let Some(f) = failed.iter().find(|f| f.name == name) {
            (AdapterState::Failed, Some(f.reason.clone()))
        } else {
            (AdapterState::Loading, None)
        };
        if (a.state, &a.reason) != (state, &reason) {
            a.state = state;
            a.reason.clone_from(&reason);
            beside.adapters.retain(|(version, ..)| *version != a.version);
            beside.adapters.push((a.version, state, reason));
        }
    }
}
