//! Executes the plan of an admitted run, whatever is in it: starts what may start, follows what is at work, and writes what became of it.
//! What a step's work is, [`super::work`] knows; which change a run allows, `domain::run` decides.

mod process;

use super::{Halt, Leader, failing::fail, runs::commit, tasks, tasks::STEP_GRACE, work};
use crate::{audit, problem::Doing};
use domain::{
    ids::RunId,
    name::Name,
    reason::failure::{Cause, Failure},
    run::{PortalWork, Run, RunState, Step, StepState, Work},
};
use std::{collections::BTreeSet, time::Duration};

/// How soon a run at work is looked at again if nothing wakes it: a deadline may have passed.
const AT_WORK: Duration = Duration::from_secs(5);

/// Says how soon the run is to be looked at again; `None` = nothing happens to it by itself.
pub(super) async fn reconcile(leader: Leader, tenant: Name, id: RunId) -> Result<Option<Duration>, Halt> {
    let Some(run) = leader.platform.store().run(&tenant, id).await.doing("reading a run")? else { return Ok(None) };
    match run.state {
        RunState::Running => advance(&leader, &run).await?,
        RunState::Cancelling => stop(&leader, &run).await?,
        RunState::Queued | RunState::Succeeded | RunState::Failed | RunState::Cancelled => return Ok(None),
    }
    Ok(Some(AT_WORK))
}

/// Looks at each unit that is at work or may start. Trouble with one does not hold up the others.
async fn advance(leader: &Leader, run: &Run) -> Result<(), Halt> {
    let mut trouble = Ok(());
    for unit in run.at_work().into_iter().chain(run.ready()) {
        let Some(step) = run.part(&unit) else { continue };
        let done = match &step.work {
            Work::Process { .. } => process::work(leader, run, step).await,
            Work::Portal { work } => by_portal(leader, run, step, work).await,
        };
        match done {
            Err(Halt::LeaseLost) => return Err(Halt::LeaseLost),
            Err(halt) => trouble = Err(halt),
            Ok(()) => {}
        }
    }
    trouble
}

async fn by_portal(leader: &Leader, run: &Run, step: &Step, work: &PortalWork) -> Result<(), Halt> {
    // Committed before anything is done: from here on the run cannot be stopped.
    if step.state == StepState::Pending && !begin(leader, run, step).await? {
        return Ok(());
    }
    let unit = step.unit();
    let began = step.started_at.unwrap_or_else(|| leader.platform.now());
    let left = step.deadline.map_or(i64::MAX, |allowed| allowed - leader.platform.now().since(began));
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
    match tokio::time::timeout(left, work::by_portal(leader, run, unit, work)).await {
        Ok(done) => done,
        Err(_) => fail(leader.begin().await?, run, unit, too_long(step)).await,
    }
}

/// Writes that a unit is being started. False = it may not any more.
async fn begin(leader: &Leader, run: &Run, step: &Step) -> Result<bool, Halt> {
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(false) };
    if now.start(step.unit(), tx.at()).is_err() {
        return Ok(false);
    }
    if let Work::Portal { work } = &step.work {
        now.enter(step.unit(), None, Some(work::does(work)), tx.at());
    }
    tx.save_run(&now).await.doing("writing a run")?;
    commit(tx).await?;
    Ok(true)
}

fn too_long(step: &Step) -> Failure {
    Failure::of(Cause::DeadlineExceeded { allowed: step.deadline.unwrap_or_default() })
}

/// Asks the processes of a run that is being stopped to end; once none is left, it is stopped.
async fn stop(leader: &Leader, run: &Run) -> Result<(), Halt> {
    let processes: BTreeSet<_> =
        run.steps.iter().filter(|s| matches!(s.work, Work::Process { .. })).map(|s| (s.unit(), s.folder())).collect();
    for (unit, folder) in processes {
        let name = tasks::run_task(run.id, &folder);
        leader.platform.engine().belongs_to(&name, &run.tenant);
        let Some(seen) = leader.platform.engine().observe(&name).await.doing("looking at a process")? else { continue };
        process::read(leader, run, unit, &folder).await?;
        if seen.state.is_running() {
            return leader.stop(&name, STEP_GRACE).await;
        }
    }
    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    if now.stopped(tx.at()).is_err() {
        return Ok(());
    }
    tx.save_run(&now).await.doing("writing a run")?;
    let entry = audit::by_system(tx.at(), Some(&now.tenant), "run.cancelled", "run", now.id, &now.name);
    audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    commit(tx).await?;
    Ok(())
}
