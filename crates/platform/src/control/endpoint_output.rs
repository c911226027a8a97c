//! What a line of a model server's output means for its endpoint. Pure.

use super::output::clean;
use domain::{
    endpoint::{AdapterState, EndpointEvent},
    endpoint_replicas::Looked,
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

impl Beside {
    /// What a look at the replicas has found.
    pub(super) fn take(&mut self, looked: Looked, at: Timestamp) {
        self.log.extend(looked.told.into_iter().map(|(level, text)| (at, level, text)));
        self.adapters.extend(looked.unloaded.into_iter().map(|version| (version, AdapterState::Loading, None)));
    }
}

/// `by_word`: that it answers is what the server says; otherwise the engine knows it.
pub(super) fn apply(record: &mut EndpointRecord, line: Line, beside: &mut Beside, by_word: bool) {
    let Line { at, replica, message } = line;
    let e = &mut record.endpoint;
    // Of several, each line says whose it is.
    let whose = match replica.as_deref() {
        Some(name) if e.replicas.len() > 1 => format!("[{}] ", name.rsplit('-').next().unwrap_or(name)),
        _ => String::new(),
    };
    let named = |text: &str| clean(&format!("{whose}{text}"));
    match message {
        TaskMessage::Phase { phase: Phase::Ready, detail, .. } => {
            beside.log.push((at, LogLevel::Info, named(if detail.is_empty() { "Answers." } else { &detail })));
            if by_word && let Ok(state) = e.state.next(EndpointEvent::Answers) {
                e.state = state;
                e.reason = EndpointReason::Answers;
                e.ready_at = Some(at);
            }
        }
        TaskMessage::Phase { detail, .. } => {
            let detail = clean(&detail);
            if !detail.is_empty() {
                beside.log.push((at, LogLevel::Info, named(&detail)));
                if e.ready_at.is_none() {
                    e.reason = EndpointReason::Loading { detail };
                }
            }
        }
        TaskMessage::Log { level, text } => beside.log.push((at, level, named(&text))),
        TaskMessage::Adapters { loaded, failed } => adapters(record, replica.as_deref(), loaded, &failed, beside),
        // A server that ends with a word says why.
        TaskMessage::Verdict { verdict: Verdict::Failed(failure) } => {
            let said = failure.said();
            beside.log.push((at, LogLevel::Error, named(format!("{} {}", said.sentence, said.next_step).trim_end())));
        }
        TaskMessage::Verdict { .. }
        | TaskMessage::Progress { .. }
        | TaskMessage::Resumed { .. }
        | TaskMessage::Checkpoint { .. }
        | TaskMessage::Tried { .. }
        | TaskMessage::Evaluated { .. } => {}
    }
}

/// A replica's own list is the truth about what it answers for now. A version answers as soon as one replica has it.
fn adapters(record: &mut EndpointRecord, replica: Option<&str>, loaded: Vec<String>, failed: &[AdapterFailure], beside: &mut Beside) {
    let e = &mut record.endpoint;
    // One that says no name is the only one.
    let speaks = e.replicas.iter_mut().find(|r| replica.is_none_or(|name| r.name == name));
    let mut all = loaded.clone();
    if let Some(speaks) = speaks {
        speaks.adapters = loaded;
        all = e.replicas.iter().flat_map(|r| r.adapters.iter().cloned()).collect();
    }
    for a in &mut e.attachments {
        let name = a.version.to_string();
        let (state, reason) = if all.contains(&name) {
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
