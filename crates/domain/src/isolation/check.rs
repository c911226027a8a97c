//! One check of a tenant, from the button to its result. What it does next is decided by controllers; which state may follow which is here.

use super::{Finding, Line, Outcome, Probe, Target, finding};
use crate::{
    ids::IsolationCheckId,
    name::Name,
    reason::{
        store_key::NoStoreKey,
        task::{End, PendingCause},
    },
    time::{MINUTE, SECOND, Timestamp},
};
use serde::{Deserialize, Serialize};

/// Milliseconds for which things are tried from inside the pod.
const TRYING: i64 = 60 * SECOND;
/// And until that is known here: the end of the pod has to be seen.
const GRACE: i64 = 30 * SECOND;
/// How long a pod may wait for something that comes by itself (room, an image of some gigabytes).
const WAITING: i64 = 10 * MINUTE;
/// The same for something that somebody has to do.
const WAITING_FOR_SOMEBODY: i64 = MINUTE;
/// From the making of the pod to its end, whoever looks after it: images are brought in this time too.
pub const AT_MOST: i64 = WAITING + TRYING + GRACE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Nobody has begun with it.
    Asked,
    /// Its pod cannot start yet.
    Waiting,
    /// Its pod tries.
    Running,
    /// The result stands; the pod is still to be taken away.
    Ending,
    Ended,
}

word!(CheckState);

/// Why the pod cannot start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waits {
    Place { cause: PendingCause },
    StoreKey { why: NoStoreKey },
}

impl Waits {
    pub fn said(&self) -> String {
        match self {
            Self::Place { cause } => cause.said(),
            Self::StoreKey { why } => why.said(),
        }
    }

    const fn needs_somebody(&self) -> bool {
        match self {
            Self::Place { cause } => cause.needs_somebody(),
            Self::StoreKey { why } => !matches!(why, NoStoreKey::BeingMade),
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Ending {
    /// The pod told everything.
    Whole,
    /// The pod never started.
    NotStarted { waits: Option<Waits> },
    /// The pod ended before it had told everything.
    Broke { end: End },
    /// It took longer than it may.
    TooLong,
    /// The tenant was suspended, or is being deleted.
    TenantClosed,
}

impl Ending {
    /// Why there is no whole result; empty where there is.
    pub fn said(&self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::NotStarted { waits: Some(waits) } => format!("The pod of the check could not start. {}", waits.said()),
            Self::NotStarted { waits: None } => {
                "The pod of the check could not start: no controller took it up. Look whether one runs.".into()
            }
            Self::Broke { end } => format!("The pod of the check ended early: {}. Check again.", end.said()),
            Self::TooLong => "The check took longer than it may and was ended. Check again.".into(),
            Self::TenantClosed => "The tenant was suspended or deleted meanwhile, and nothing of it runs any more.".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub id: IsolationCheckId,
    pub tenant: Name,
    pub asked_at: Timestamp,
    /// Who asked, by name.
    pub asked_by: String,
    state: CheckState,
    lines: Vec<Line>,
    waits: Option<Waits>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    ending: Option<Ending>,
}

impl Check {
    pub fn asked(id: IsolationCheckId, tenant: Name, asked_by: String, asked_at: Timestamp) -> Self {
        Self {
            id,
            tenant,
            asked_at,
            asked_by,
            state: CheckState::Asked,
            lines: Vec::new(),
            waits: None,
            started_at: None,
            ended_at: None,
            ending: None,
        }
    }

    pub const fn state(&self) -> CheckState {
        self.state
    }

    /// Whether the result stands.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, CheckState::Ending | CheckState::Ended)
    }

    /// Empty until it is planned.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What is tried is decided once: the pod is built from it.
    pub fn plan(&mut self, targets: Vec<Target>) {
        if self.lines.is_empty() && !self.is_over() {
            self.lines = targets.into_iter().map(|target| Line { target, outcome: None }).collect();
        }
    }

    pub fn waits(&mut self, waits: Waits) {
        if matches!(self.state, CheckState::Asked | CheckState::Waiting) {
            (self.state, self.waits) = (CheckState::Waiting, Some(waits));
        }
    }

    pub fn runs(&mut self, at: Timestamp) {
        if matches!(self.state, CheckState::Asked | CheckState::Waiting) {
            (self.state, self.waits, self.started_at) = (CheckState::Running, None, Some(at));
        }
    }

    /// The pod tells what came of a try. What it told first, holds; nothing is added to what was planned.
    pub fn record(&mut self, probe: Probe, outcome: Outcome) {
        let line = self.lines.iter_mut().find(|l| l.target.probe == probe && l.target.way.is_ok());
        if let Some(line) = line.filter(|l| l.outcome.is_none() && !matches!(self.state, CheckState::Ending | CheckState::Ended)) {
            line.outcome = Some(outcome);
        }
    }

    /// The pod is gone, like this.
    pub fn pod_ended(&mut self, end: End, at: Timestamp) {
        let all_told = self.lines.iter().all(|l| l.outcome.is_some() || l.target.way.is_err());
        self.end(if all_told { Ending::Whole } else { Ending::Broke { end } }, at);
    }

    /// The tenant takes nothing new any more.
    pub fn tenant_closed(&mut self, at: Timestamp) {
        self.end(Ending::TenantClosed, at);
    }

    /// Ends what has waited or run for too long.
    pub fn look_at_the_clock(&mut self, now: Timestamp) {
        let patience = match &self.waits {
            Some(waits) if waits.needs_somebody() => WAITING_FOR_SOMEBODY,
            _ => WAITING,
        };
        match (self.state, self.started_at) {
            (CheckState::Running, Some(started)) if now.since(started) > TRYING + GRACE => self.end(Ending::TooLong, now),
            (CheckState::Asked | CheckState::Waiting, _) if now.since(self.asked_at) > patience => {
                let waits = self.waits.take();
                self.end(Ending::NotStarted { waits }, now);
            }
            _ => {}
        }
    }

    fn end(&mut self, ending: Ending, at: Timestamp) {
        if !self.is_over() {
            (self.state, self.ended_at, self.ending, self.waits) = (CheckState::Ending, Some(at), Some(ending), None);
        }
    }

    /// Nothing is left of its pod.
    pub fn removed(&mut self) {
        if self.state == CheckState::Ending {
            self.state = CheckState::Ended;
        }
    }

    /// What was found; `None` while it goes on, and where no pod has tried anything.
    pub fn finding(&self) -> Option<Finding> {
        (self.is_over() && self.lines.iter().any(|l| l.outcome.is_some())).then(|| finding(&self.lines))
    }

    /// What it does now, in a sentence; empty when it is over.
    pub fn doing(&self) -> String {
        match (self.state, &self.waits) {
            (CheckState::Waiting, Some(waits)) => waits.said(),
            (CheckState::Asked | CheckState::Waiting, _) => "Its pod is being made.".into(),
            (CheckState::Running, _) => "Its pod tries to reach what it must not, and what it must.".into(),
            (CheckState::Ending | CheckState::Ended, _) => String::new(),
        }
    }
}
