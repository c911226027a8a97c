//! One vocabulary for states: icon, word, colour. A percentage is never a status.

use super::icon::Icon;
use domain::{
    base_model::BaseModelState,
    dataset::VersionState,
    endpoint::{AdapterState, EndpointState},
    key::KeyState,
    model::Stage,
    replica::ReplicaState,
    run::{Reason, Run, RunState, Step, StepState, Verdict},
    tenant::TenantState,
};
use leptos::prelude::*;

/// How a state looks. `tone`: `neutral`, `info`, `violet`, `success`, `warning`, `danger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub icon: &'static str,
    pub word: &'static str,
    pub tone: &'static str,
    /// The icon turns: something is at work.
    pub turns: bool,
}

/// The state of one object, in its head: a tinted chip.
#[component]
pub fn Chip(#[prop(into)] status: Status, #[prop(optional, into)] title: Option<String>) -> impl IntoView {
    view! { <span class=format!("chip {}", status.tone) title=title><Icon name=status.icon turning=status.turns/>{status.word}</span> }
}

/// The same in tables: without tint.
#[component]
pub fn StateWord(#[prop(into)] status: Status) -> impl IntoView {
    view! { <span class=format!("state {}", status.tone)><Icon name=status.icon/>{status.word}</span> }
}

const fn at_rest(icon: &'static str, word: &'static str, tone: &'static str) -> Status {
    Status { icon, word, tone, turns: false }
}
const fn at_work(word: &'static str) -> Status {
    Status { icon: "running", word, tone: "info", turns: true }
}

impl From<RunState> for Status {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => at_rest("queued", "Queued", "neutral"),
            RunState::Running => at_work("Running"),
            RunState::Succeeded => at_rest("succeeded", "Succeeded", "success"),
            RunState::Failed => at_rest("failed", "Failed", "danger"),
            RunState::Cancelling => at_rest("cancelled", "Stopping", "neutral"),
            RunState::Cancelled => at_rest("cancelled", "Stopped", "neutral"),
        }
    }
}
/// A running run is called after what it does, and one that ended well and taught nothing is no success for whoever waits for it.
impl From<&Run> for Status {
    fn from(run: &Run) -> Self {
        let verdict = run.scores.and_then(|s| s.verdict());
        match run.state {
            RunState::Succeeded if verdict == Some(Verdict::NothingLearnt) => at_rest("degraded", "Nothing learnt", "warning"),
            RunState::Running if run.waits_for().is_some() => at_rest("queued", "Waiting", "warning"),
            state => run.doing().map_or_else(|| state.into(), |step| at_work(step.kind.doing())),
        }
    }
}
impl From<&Step> for Status {
    fn from(step: &Step) -> Self {
        match step.state {
            StepState::Pending => at_rest("pending", "Pending", "neutral"),
            StepState::Starting | StepState::Running if matches!(step.reason, Reason::WaitsForMachine { .. }) => {
                at_rest("queued", "Waiting", "warning")
            }
            StepState::Starting => at_work("Starting"),
            StepState::Running => at_work("Running"),
            StepState::Done => at_rest("succeeded", "Done", "success"),
            StepState::Failed => at_rest("failed", "Failed", "danger"),
            StepState::Stopped => at_rest("cancelled", "Stopped", "neutral"),
            StepState::Skipped => at_rest("skipped", "Skipped", "neutral"),
        }
    }
}
impl From<VersionState> for Status {
    fn from(state: VersionState) -> Self {
        match state {
            VersionState::Uploading => at_work("Uploading"),
            VersionState::Checking => at_rest("validating", "Checking", "info"),
            VersionState::Ready => at_rest("ready", "Ready", "success"),
            VersionState::Rejected => at_rest("failed", "Rejected", "danger"),
        }
    }
}
impl From<BaseModelState> for Status {
    fn from(state: BaseModelState) -> Self {
        match state {
            BaseModelState::Registering => at_work("Registering"),
            BaseModelState::Ready => at_rest("ready", "Ready", "success"),
            BaseModelState::Broken => at_rest("failed", "Broken", "danger"),
        }
    }
}
impl From<EndpointState> for Status {
    fn from(state: EndpointState) -> Self {
        match state {
            EndpointState::Wanted => at_rest("queued", "Queued", "neutral"),
            EndpointState::Starting => at_work("Starting"),
            EndpointState::Ready => at_rest("ready", "Ready", "success"),
            EndpointState::Degraded => at_rest("degraded", "Degraded", "warning"),
            EndpointState::Stopping => at_rest("retiring", "Stopping", "neutral"),
            EndpointState::Stopped => at_rest("asleep", "Stopped", "neutral"),
            EndpointState::Failed => at_rest("failed", "Failed", "danger"),
        }
    }
}
impl From<&ReplicaState> for Status {
    fn from(state: &ReplicaState) -> Self {
        match state {
            ReplicaState::Waiting { .. } => at_rest("pending", "Waiting", "neutral"),
            ReplicaState::Loading => at_rest("preparing", "Loading", "info"),
            ReplicaState::Ready => at_rest("ready", "Ready", "success"),
            ReplicaState::Draining => at_rest("paused", "Draining", "neutral"),
            ReplicaState::Failed { .. } => at_rest("failed", "Failed", "danger"),
        }
    }
}
impl From<AdapterState> for Status {
    fn from(state: AdapterState) -> Self {
        match state {
            AdapterState::Loading => at_work("Loading"),
            AdapterState::Ready => at_rest("ready", "Ready", "success"),
            AdapterState::Failed => at_rest("failed", "Failed", "danger"),
        }
    }
}
impl From<Stage> for Status {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Candidate => at_rest("draft", "Candidate", "neutral"),
            Stage::Approved => at_rest("succeeded", "Approved", "success"),
            Stage::Archived => at_rest("retired", "Archived", "neutral"),
        }
    }
}
impl From<KeyState> for Status {
    fn from(state: KeyState) -> Self {
        match state {
            KeyState::Active => at_rest("ready", "Active", "success"),
            KeyState::Expiring => at_rest("degraded", "Expires soon", "warning"),
            KeyState::Expired => at_rest("retired", "Expired", "neutral"),
            KeyState::Unconfirmed => at_rest("paused", "Stopped", "warning"),
            KeyState::OwnerLeft => at_rest("retired", "Owner left", "neutral"),
            KeyState::Revoked => at_rest("cancelled", "Revoked", "neutral"),
        }
    }
}
impl From<TenantState> for Status {
    fn from(state: TenantState) -> Self {
        match state {
            TenantState::Active => at_rest("ready", "Active", "success"),
            TenantState::Suspended => at_rest("paused", "Suspended", "warning"),
            TenantState::Deleting => at_rest("cancelled", "Being deleted", "danger"),
        }
    }
}
