//! What the jobs of a plan are: the task that a process is started with, what the portal does itself, and what a good end says.

use super::{Halt, Leader, publish, tasks::Place};
use crate::problem::Doing;
use domain::{
    problem::Problem,
    report::Outcome,
    run::{Job, PortalJob, Reason, Run, Step, StepId, Work},
    time::Timestamp,
};
use engine::Task;

pub(super) async fn task(leader: &Leader, run: &Run, step: &Step) -> Result<Task, Halt> {
    let store = leader.platform.store();
    let missing = |what: &str| Halt::Trouble(Problem::not_found(what));
    let Work::Process { job, .. } = &step.work else { return Err(missing("The process of this step")) };
    let base = store.base_model(run.base_model).await.doing("reading the base model")?.ok_or_else(|| missing("The base model"))?;
    let version = store
        .dataset_version(&run.tenant, run.dataset_version)
        .await
        .doing("reading the dataset")?
        .ok_or_else(|| missing("The dataset"))?;
    let place = Place { location: leader.platform.location(), limits: leader.platform.task_limits() };
    Ok(match job {
        Job::Train => place.train(run, step, &base, &version),
        Job::Merge { adapter } => place.merge(run, step, &base, adapter),
        Job::Evaluate { weights } => place.evaluate(run, step, &version, weights),
    })
}

/// What a good end of a process says of its step.
pub(super) fn done(run: &Run, step: &Step, outcome: &Outcome, at: Timestamp) -> Reason {
    let files = outcome.files.len() as u64;
    let took = step.started_at.map(|began| at.since(began));
    match (&step.work, run.progress) {
        (Work::Process { job: Job::Evaluate { .. }, .. }, _) => Reason::Evaluated { scores: outcome.scores },
        (Work::Process { job: Job::Train, .. }, Some(progress)) if progress.total_steps > 0 => {
            Reason::Trained { steps: progress.total_steps, files, took }
        }
        _ => Reason::Done { files, took },
    }
}

/// What the portal does meanwhile.
pub(super) const fn does(job: &PortalJob) -> Reason {
    match job {
        PortalJob::Publish { .. } => Reason::CopiesFiles,
    }
}

/// Does the whole of a portal's job; may be called any number of times until the unit has ended.
pub(super) async fn by_portal(leader: &Leader, run: &Run, unit: &StepId, job: &PortalJob) -> Result<(), Halt> {
    match job {
        PortalJob::Publish { weights, evaluation } => publish::publish(leader, run, unit, weights, evaluation.as_ref()).await,
    }
}
