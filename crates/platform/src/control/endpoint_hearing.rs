//! What a line of a model server's output means for its endpoint. Pure.

use super::output::clean;
use domain::{
    endpoint::{AdapterState, EndpointEvent},
    ids::ModelVersionId,
    reason::endpoint::{AdapterReason, EndpointReason},
    report::{AdapterFailure, Line, Phase, Said, Verdict},
    run::LogLevel,
    time::Timestamp,
};

use crate::store::endpoints::EndpointRecord;

/// What is to be written beside the endpoint's row.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub log: Vec<(Timestamp, LogLevel, String)>,
    /// Attachments whose state changed.
    pub adapters: Vec<(ModelVersionId, AdapterState, Option<AdapterReason>)>,
}

pub(super) fn hear(record: &mut EndpointRecord, line: Line, heard: &mut Heard) {
    let Line { at, said } = line;
    let e = &mut record.endpoint;
    match said {
        Said::Phase { phase: Phase::Ready, detail, .. } => {
            heard.log.push((at, LogLevel::Info, clean(if detail.is_empty() { "Answers." } else { &detail })));
            if let Ok(state) = e.state.next(EndpointEvent::Answers) {
                e.state = state;
                e.reason = EndpointReason::Answers;
                e.ready_at = Some(at);
            }
        }
        Said::Phase { detail, .. } => {
            let detail = clean(&detail);
            if !detail.is_empty() {
                heard.log.push((at, LogLevel::Info, detail.clone()));
                if e.ready_at.is_none() {
                    e.reason = EndpointReason::Loading { detail };
                }
            }
        }
        Said::Log { level, text } => heard.log.push((at, level, clean(&text))),
        Said::Adapters { loaded, failed } => adapters(record, &loaded, &failed, heard),
        // A server that ends with a word says why.
        Said::Verdict { verdict: Verdict::Failed(failure) } => {
            let said = failure.said();
            heard.log.push((at, LogLevel::Error, clean(format!("{} {}", said.sentence, said.next_step).trim_end())));
        }
        Said::Verdict { .. } | Said::Progress { .. } | Said::Evaluated { .. } => {}
    }
}

/// The server's own list is the truth about what answers now.
fn adapters(record: &mut EndpointRecord, loaded: &[String], failed: &[AdapterFailure], heard: &mut Heard) {
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
            heard.adapters.retain(|(version, ..)| *version != a.version);
            heard.adapters.push((a.version, state, reason));
        }
    }
}
