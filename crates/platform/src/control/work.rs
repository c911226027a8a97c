//! What the steps of a plan do: the task that a process is started with, what the portal does itself, and what a good end says.

use super::{Halt, Leader, publish, tasks::TaskBuilder};
use crate::problem::Doing;
use domain::{
    problem::Problem,
    report::Outcome,
    run::{PortalWork, ProcessWork, Reason, Run, Step, StepId, Work},
    time::Timestamp,
};
use engine::Task;

pub(super) async fn task(leader: &Leader, run: &Run, step: &Step) -> Result<Task, Halt> {
    let store = leader.platform.store();
    let missing = |what: &str| Halt::Trouble(Problem::not_found(what));
    let Work::Process { work, .. } = &step.work else { return Err(missing("The process of this step")) };
    let base = store.base_model(run.base_model).await.doing("reading the base model")?.ok_or_else(|| missing("The base model"))?;
    let version = store
        .dataset_version(&run.tenant, run.dataset_version)
        .await
        .doing("reading the dataset")?
        .ok_or_else(|| missing("The dataset"))?;
    let results = store.run_results(&run.tenant, run.id).await.doing("reading a run’s results")?;
    let left = |step: &StepId| run.step(step).and_then(|s| results.get(s.unit().as_str())).map_or(&[][..], |outcome| &outcome.files);
    let tasks = TaskBuilder { location: leader.platform.location(), limits: leader.platform.task_limits() };
    Ok(match work {
        ProcessWork::Train => tasks.train(run, step, &base, &version),
        ProcessWork::Custom(training) => tasks.custom(run, step, &base, &version, training),
        ProcessWork::Merge { adapter } => tasks.merge(run, step, &base, adapter, left(adapter)),
        ProcessWork::Evaluate { weights } => tasks.evaluate(run, step, &base, &version, (weights, left(weights))),
    })
}

/// What a good end of a process says of its step.
pub(super) fn done(run: &Run, step: &Step, outcome: &Outcome, at: Timestamp) -> Reason {
    let files = outcome.files.len() as u64;
    let took = step.started_at.map(|began| at.since(began));
    match (&step.work, run.progress) {
        (Work::Process { work: ProcessWork::Evaluate { .. }, .. }, _) => Reason::Evaluated { scores: outcome.scores },
        (Work::Process { work: ProcessWork::Train | ProcessWork::Custom(_), .. }, Some(progress)) if progress.total_steps > 0 => {
            Reason::Trained { steps: progress.total_steps, files, resumed_at: progress.resumed_at, took }
        }
        _ => Reason::Done { files, took },
    }
}

/// What the portal does meanwhile.
pub(super) const fn does(work: &PortalWork) -> Reason {
    match work {
        PortalWork::Publish { .. } => Reason::CopiesFiles,
    }
}

/// Does the whole of the portal's work; may be called any number of times until the unit has ended.
pub(super) async fn by_portal(leader: &Leader, run: &Run, unit: &StepId, work: &PortalWork) -> Result<(), Halt> {
    match work {
        PortalWork::Publish { weights, evaluation } => publish::publish(leader, run, unit, weights, evaluation.as_ref()).await,
    }
}
