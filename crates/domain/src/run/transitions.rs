//! Every change of a run and of its steps. Nothing else sets a state: a [`Run`] can be made from a record that fits together, and
//! then only be changed by these methods.
//!
//! What a unit does is told by its unit's id ([`Step::unit`]): a process with several parts is started once and ends once.

use super::{Failure, Progress, Reason, Refused, Run, RunRecord, RunState, Scores, Step, StepId, StepKind, StepState, Work, plan};
use crate::{ids::ModelVersionId, time::Timestamp};
use std::collections::HashSet;

/// A record that no sequence of changes leads to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run does not fit together: {0}")]
pub struct Inconsistent(String);

impl TryFrom<RunRecord> for Run {
    type Error = Inconsistent;

    /// The only way to a run: from its stored row, or from its wire form.
    fn try_from(record: RunRecord) -> Result<Self, Inconsistent> {
        let mut seen = HashSet::new();
        for step in &record.steps {
            if let Some(missing) = step.needs.iter().find(|n| !seen.contains(*n)) {
                return Err(Inconsistent(format!("the step {} needs {missing}, which does not come before it", step.id)));
            }
            if !seen.insert(&step.id) {
                return Err(Inconsistent(format!("two steps are called {}", step.id)));
            }
        }
        let any = |what: fn(&StepState) -> bool| record.steps.iter().find(|s| what(&s.state));
        let wrong = match record.state {
            RunState::Queued => any(|s| s.is_active()),
            RunState::Running | RunState::Cancelling => None,
            RunState::Succeeded => any(|s| !matches!(s, StepState::Done | StepState::Skipped)),
            RunState::Failed | RunState::Cancelled => any(|s| !s.is_final()),
        };
        match wrong {
            Some(step) => Err(Inconsistent(format!("it is {}, and its step {} is {}", record.state.word(), step.id, step.state.word()))),
            None => Ok(Self(record)),
        }
    }
}

impl Run {
    /// It has a slot now.
    pub fn admit(&mut self, at: Timestamp) -> Result<(), Refused> {
        self.must_be(RunState::Queued)?;
        let run = &mut self.0;
        run.state = RunState::Running;
        run.reason = Reason::Underway;
        run.started_at.get_or_insert(at);
        self.settle(at);
        Ok(())
    }

    /// Units that may start now: nothing of them has begun, and what their first step needs is there.
    pub fn ready(&self) -> Vec<StepId> {
        if self.state != RunState::Running {
            return Vec::new();
        }
        let mut out: Vec<StepId> = Vec::new();
        for step in self.steps.iter().filter(|s| s.state == StepState::Pending) {
            let (unit, first) = (step.unit(), self.part(step.unit()));
            if !out.contains(unit) && first.is_some_and(|f| f.id == step.id) && self.has_what_it_needs(step) {
                out.push(unit.clone());
            }
        }
        out
    }

    /// Every step that it needs is done. One that the plan left out is passed over: what that one would have needed must be done.
    fn has_what_it_needs(&self, step: &Step) -> bool {
        let met = |s: &Step| s.state == StepState::Done || (s.reason.is_by_plan() && self.has_what_it_needs(s));
        step.needs.iter().all(|id| self.step(id).is_some_and(met))
    }

    /// Units that are at work.
    pub fn at_work(&self) -> Vec<StepId> {
        let mut out: Vec<StepId> = Vec::new();
        for step in self.steps.iter().filter(|s| s.state.is_active()) {
            if !out.contains(step.unit()) {
                out.push(step.unit().clone());
            }
        }
        out
    }

    /// The step that a unit is at: the one at work, else the first that has not ended.
    pub fn part(&self, unit: &StepId) -> Option<&Step> {
        let of = || self.steps.iter().filter(|s| s.unit() == unit);
        of().find(|s| s.state.is_active()).or_else(|| of().find(|s| !s.state.is_final()))
    }

    /// The unit is being started.
    pub fn start(&mut self, unit: &StepId, at: Timestamp) -> Result<(), Refused> {
        if !self.ready().contains(unit) {
            return Err(Refused(format!("{unit} cannot start now.")));
        }
        let Some(step) = self.part_mut(unit) else { return Err(no_such(unit)) };
        step.state = StepState::Starting;
        step.started_at = Some(at);
        step.reason = Reason::Starting;
        Ok(())
    }

    /// The unit has come to its part of this kind, or is at work on the part that it has come to before; earlier parts are done by that.
    /// Says nothing of a unit that is not at work.
    pub fn enter(&mut self, unit: &StepId, kind: Option<StepKind>, reason: Option<Reason>, at: Timestamp) {
        let Some(current) = self.part(unit).filter(|s| s.state.is_active()).map(|s| s.id.clone()) else { return };
        let open = |s: &Step| s.unit() == unit && !s.state.is_final();
        let named = self.steps.iter().find(|s| open(s) && Some(s.kind) == kind).map(|s| s.id.clone());
        let target = named.unwrap_or(current);
        for step in self.0.steps.iter_mut().filter(|s| open(s)) {
            step.started_at.get_or_insert(at);
            if step.id == target {
                step.state = StepState::Running;
                step.reason = reason.unwrap_or_else(|| step.reason.clone());
                return;
            }
            step.state = StepState::Done;
            step.ended_at = Some(at);
        }
    }

    /// What the unit's part at work says of itself.
    pub fn tell(&mut self, unit: &StepId, reason: Reason) {
        if let Some(step) = self.part_mut(unit).filter(|s| s.state.is_active()) {
            step.reason = reason;
        }
    }

    /// The unit's process runs: what it may take counts from now, and not from when it began to wait for a place.
    pub fn runs(&mut self, unit: &StepId, at: Timestamp) {
        if let Some(step) = self.part_mut(unit).filter(|s| s.state.is_active()) {
            step.started_at = Some(at);
            step.reason = Reason::Started;
        }
    }

    /// How far the unit's part at work has come.
    pub fn progressed(&mut self, unit: &StepId, step: u64, total: u64, at: Timestamp) {
        let Some(part) = self.part(unit).filter(|s| s.state.is_active()) else { return };
        // By our own clock, since the trainer's estimate is wrong after a resume.
        let elapsed = at.since(part.started_at.unwrap_or(at));
        let before = self.progress.unwrap_or_default();
        let here = step.saturating_sub(before.resumed_at.unwrap_or(0));
        let remaining_ms = (here > 0).then(|| (elapsed as f64 / here as f64 * total.saturating_sub(step) as f64).round() as i64);
        // One that began anew after all has no use for a later checkpoint.
        let checkpoint = before.checkpoint.filter(|c| *c <= step);
        self.0.progress = Some(Progress { step, total_steps: total, remaining_ms, resumed_at: before.resumed_at, checkpoint });
        self.tell(unit, Reason::Progress { step, total, resumed_at: before.resumed_at });
    }

    /// The unit's part at work goes on from the checkpoint of this step.
    pub fn resumed(&mut self, unit: &StepId, step: u64, total: u64) {
        if self.part(unit).is_none_or(|s| !s.state.is_active()) {
            return;
        }
        self.0.progress = Some(Progress { step, total_steps: total, remaining_ms: None, resumed_at: Some(step), checkpoint: Some(step) });
        self.tell(unit, Reason::Resumed { step, total });
    }

    /// The checkpoint of this step is in the store.
    pub fn checkpointed(&mut self, unit: &StepId, step: u64) {
        let at_work = self.part(unit).is_some_and(|s| s.state.is_active());
        if let Some(progress) = self.0.progress.as_mut().filter(|_| at_work) {
            progress.checkpoint = Some(step);
        }
    }

    /// The unit has done all of its parts.
    pub fn done(&mut self, unit: &StepId, reason: Reason, scores: Option<Scores>, at: Timestamp) -> Result<(), Refused> {
        self.must_be(RunState::Running)?;
        self.must_be_at_work(unit)?;
        let run = &mut self.0;
        let mut open: Vec<&mut Step> = run.steps.iter_mut().filter(|s| s.unit() == unit && !s.state.is_final()).collect();
        for step in &mut open {
            step.state = StepState::Done;
            step.started_at.get_or_insert(at);
            step.ended_at = Some(at);
        }
        if let Some(last) = open.last_mut() {
            last.reason = reason;
        }
        run.scores = scores.or(run.scores);
        if let Some(progress) = &mut run.progress {
            progress.remaining_ms = Some(0);
        }
        self.settle(at);
        Ok(())
    }

    /// The unit that publishes has registered this version.
    pub fn published(&mut self, unit: &StepId, version: ModelVersionId, reason: Reason, at: Timestamp) -> Result<(), Refused> {
        self.done(unit, reason, None, at)?;
        self.0.model_version = Some(version);
        Ok(())
    }

    /// The unit has failed at the part that it was at. What needs it is not reached; what does not goes on.
    pub fn fail(&mut self, unit: &StepId, failure: Failure, at: Timestamp) -> Result<(), Refused> {
        self.must_be(RunState::Running)?;
        self.must_be_at_work(unit)?;
        let Some(step) = self.part_mut(unit) else { return Err(no_such(unit)) };
        step.state = StepState::Failed;
        step.reason = Reason::Failed { cause: failure.cause.clone() };
        step.started_at.get_or_insert(at);
        step.ended_at = Some(at);
        let mut lost = HashSet::from([step.id.clone()]);
        for step in &mut self.0.steps {
            let is_lost = step.unit() == unit || step.needs.iter().any(|n| lost.contains(n));
            if is_lost && step.state == StepState::Pending {
                step.state = StepState::Skipped;
                step.reason = Reason::AfterFailure;
            }
            // Through a step that the plan left out, too.
            if is_lost && step.state == StepState::Skipped {
                lost.insert(step.id.clone());
            }
        }
        self.0.failure = Some(failure);
        self.settle(at);
        Ok(())
    }

    /// A person asks to stop it. What waits is stopped at once; what works, when its processes have ended ([`Run::stopped`]).
    pub fn cancel(&mut self, by: &str, at: Timestamp) -> Result<(), Refused> {
        let past = |how: &str| Err(Refused(format!("The run has already ended: it {how}.")));
        match self.state {
            RunState::Succeeded => past("succeeded"),
            RunState::Failed => past("failed"),
            RunState::Cancelled => past("was stopped"),
            RunState::Cancelling => Err(Refused("The run is already being stopped.".into())),
            RunState::Queued => {
                self.end_stopped(Reason::StoppedBeforeStart { by: by.to_owned() }, at);
                Ok(())
            }
            RunState::Running if !self.can_be_stopped() => {
                Err(Refused("The model is being published; that takes a moment and cannot be stopped.".into()))
            }
            RunState::Running => {
                self.0.state = RunState::Cancelling;
                self.0.reason = Reason::StopAsked { by: by.to_owned() };
                Ok(())
            }
        }
    }

    /// Whether [`Run::cancel`] would do something now.
    pub fn can_be_stopped(&self) -> bool {
        let by_portal = |s: &Step| s.state.is_active() && matches!(s.work, Work::Portal { .. });
        match self.state {
            RunState::Queued => true,
            RunState::Running => !self.steps.iter().any(by_portal),
            _ => false,
        }
    }

    /// Its processes are gone after a cancel.
    pub fn stopped(&mut self, at: Timestamp) -> Result<(), Refused> {
        self.must_be(RunState::Cancelling)?;
        self.end_stopped(Reason::Stopped, at);
        Ok(())
    }

    /// The step that a person may have tried again: the first that failed, was stopped, or was not reached because of the stop.
    pub fn to_try_again(&self) -> Option<&Step> {
        if !matches!(self.state, RunState::Failed | RunState::Cancelled) {
            return None;
        }
        self.steps.iter().find(|s| !matches!(s.state, StepState::Done) && !s.reason.is_by_plan())
    }

    /// A person has the step tried again. What earlier steps made stays; everything that is not done waits again, and the run for a slot.
    pub fn try_again(&mut self, step: &StepId) -> Result<(), Refused> {
        if self.state == RunState::Succeeded {
            return Err(Refused("The run has succeeded; there is nothing to try again.".into()));
        }
        match self.to_try_again() {
            Some(open) if open.id == *step => {}
            Some(open) => return Err(Refused(format!("The step to try again is “{}”.", open.kind.label()))),
            None => return Err(Refused("The run has not ended yet.".into())),
        }
        let again: HashSet<StepId> =
            self.steps.iter().filter(|s| s.state != StepState::Done && !s.reason.is_by_plan()).map(|s| s.unit().clone()).collect();
        let run = &mut self.0;
        for unit in &again {
            // A process begins with its first part, and what it did before is gone with it.
            let of = |s: &&mut Step| s.unit() == unit;
            let begun = run.steps.iter().any(|s| s.unit() == unit && s.started_at.is_some());
            for step in run.steps.iter_mut().filter(of) {
                step.state = StepState::Pending;
                step.attempt += u32::from(begun);
                (step.started_at, step.ended_at) = (None, None);
                match step.kind {
                    StepKind::Train => run.progress = run.progress.and_then(Progress::at_checkpoint),
                    StepKind::Evaluate => run.scores = None,
                    _ => {}
                }
            }
        }
        plan::waiting(&mut run.steps);
        run.state = RunState::Queued;
        run.reason = Reason::WaitsForTurn;
        (run.failure, run.ended_at) = (None, None);
        Ok(())
    }

    fn must_be(&self, state: RunState) -> Result<(), Refused> {
        if self.state == state { Ok(()) } else { Err(Refused(format!("The run is {}, not {}.", self.state.word(), state.word()))) }
    }

    fn must_be_at_work(&self, unit: &StepId) -> Result<(), Refused> {
        if self.at_work().contains(unit) { Ok(()) } else { Err(Refused(format!("{unit} is not at work."))) }
    }

    fn part_mut(&mut self, unit: &StepId) -> Option<&mut Step> {
        let id = self.part(unit)?.id.clone();
        self.0.steps.iter_mut().find(|s| s.id == id)
    }

    fn end_stopped(&mut self, reason: Reason, at: Timestamp) {
        let run = &mut self.0;
        (run.state, run.reason, run.ended_at) = (RunState::Cancelled, reason, Some(at));
        for step in &mut run.steps {
            if step.state.is_active() {
                (step.state, step.reason, step.ended_at) = (StepState::Stopped, Reason::StoppedAtWork, Some(at));
            } else if step.state == StepState::Pending {
                (step.state, step.reason) = (StepState::Skipped, Reason::AfterStop);
            }
        }
    }

    /// Ends the run when nothing is at work and nothing can start any more.
    fn settle(&mut self, at: Timestamp) {
        if self.steps.iter().any(|s| !s.state.is_final()) {
            return;
        }
        let run = &mut self.0;
        run.ended_at = Some(at);
        let failed = run.failure.as_ref().filter(|_| run.steps.iter().any(|s| s.state == StepState::Failed));
        match failed {
            Some(failure) => {
                run.reason = Reason::Failed { cause: failure.cause.clone() };
                run.state = RunState::Failed;
            }
            None => {
                if let Some(last) = run.steps.iter().rev().find(|s| s.state == StepState::Done) {
                    run.reason = last.reason.clone();
                }
                run.state = RunState::Succeeded;
            }
        }
    }
}

fn no_such(unit: &StepId) -> Refused {
    Refused(format!("The run has no step {unit}."))
}

#[cfg(test)]
#[path = "transitions_tests.rs"]
mod tests;
