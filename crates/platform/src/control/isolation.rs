//! Brings a check of isolation forward: its pod is made once, found again by its name, read to its end, and taken away. Whoever is killed
//! when: the next leader finds the row, and goes on from it.

use super::{Halt, Leader, holders, isolation_targets, output, places, store_keys, tasks, tasks::TaskBuilder};
use crate::{audit, problem::Doing};
use domain::{
    audit::Detail,
    ids::IsolationCheckId,
    isolation::{Check, CheckState, Judgement, Outcome, Waits},
    name::Name,
    report::TaskMessage,
    tenant::TenantState,
};
use engine::{Cursor, Engine, Error as EngineError, PendingCause, TaskState};
use std::time::Duration;

/// Between two looks while it goes on: minutes at most.
const LOOK: Duration = Duration::from_secs(2);
/// Of what its pod printed, bytes; it prints eight lines.
const OUTPUT: usize = 64 * 1024;

/// Says how soon to look again; `None` = nothing is left to do.
pub(super) async fn reconcile(leader: Leader, tenant: Name, id: IsolationCheckId) -> Result<Option<Duration>, Halt> {
    let store = leader.platform.store();
    let Some(before) = store.isolation_check(&tenant, id).await.doing("reading a check of isolation")? else { return Ok(None) };
    let task = tasks::isolation_task(id);
    leader.platform.engine().belongs_to(&task, &tenant);
    let mut now = before.clone();
    match before.state() {
        CheckState::Ended => return Ok(None),
        CheckState::Ending => {
            leader.effects().await?.remove(&task).await.doing("removing the pod of a check of isolation")?;
            now.removed();
        }
        CheckState::Asked | CheckState::Waiting | CheckState::Running => bring_forward(&leader, &mut now, &task).await?,
    }
    save(&leader, &before, &now).await?;
    Ok(match now.state() {
        CheckState::Ended => None,
        CheckState::Ending => Some(Duration::ZERO),
        CheckState::Asked | CheckState::Waiting | CheckState::Running => Some(LOOK),
    })
}

async fn bring_forward(leader: &Leader, check: &mut Check, task: &str) -> Result<(), Halt> {
    let (platform, at) = (&leader.platform, leader.platform.now());
    let tenant = platform.store().tenant(&check.tenant).await.doing("reading a tenant")?;
    if tenant.is_none_or(|t| t.state != TenantState::Active) {
        check.tenant_closed(at);
        return Ok(());
    }
    if check.lines().is_empty() {
        let before = check.clone();
        check.plan(isolation_targets::of(leader, &check.tenant).await?);
        // The pod is built from it: whoever comes next must build the same.
        save(leader, &before, check).await?;
    }
    let seen = platform.engine().observe(task).await.doing("looking at the pod of a check of isolation")?;
    match seen.map(|seen| seen.state) {
        // It was there, and somebody took it away, or its namespace.
        None if check.state() == CheckState::Running => check.pod_ended(engine::End::Removed, at),
        None => {
            if let Some(waits) = start(leader, check).await? {
                check.waits(waits);
            }
        }
        Some(TaskState::Pending(cause)) => {
            let cause = holders::named(leader, &check.tenant, cause).await?;
            // Applied again, it starts as soon as it can.
            check.waits(start(leader, check).await?.unwrap_or(Waits::Place { cause }));
        }
        Some(TaskState::Running { .. }) => {
            check.runs(at);
            read_output(platform.engine(), check, task).await?;
        }
        Some(TaskState::Ended(end)) => {
            check.runs(at);
            read_output(platform.engine(), check, task).await?;
            check.pod_ended(end, at);
        }
    }
    check.look_at_the_clock(at);
    Ok(())
}

/// Why its pod cannot be made; `None` = it is.
async fn start(leader: &Leader, check: &Check) -> Result<Option<Waits>, Halt> {
    if let Err(cause) = places::ready(leader, &check.tenant).await? {
        return Ok(Some(Waits::Place { cause }));
    }
    if let Err(why) = store_keys::hand_over(leader, &check.tenant).await? {
        return Ok(Some(Waits::StoreKey { why }));
    }
    let tasks = TaskBuilder { location: leader.platform.location(), limits: leader.platform.task_limits() };
    match leader.effects().await?.apply(&tasks.check_isolation(check)).await {
        // Under our name there is only ever our task; another text comes from another version of this program.
        Ok(()) | Err(EngineError::Different { .. }) => Ok(None),
        Err(e @ EngineError::Away { .. }) => Err::<(), _>(e).doing("starting a check of isolation").map_err(Halt::from).map(|()| None),
        Err(EngineError::Outdated { .. }) => Err(Halt::LeaseLost),
        Err(e) => Ok(Some(Waits::Place { cause: PendingCause::Admission { why: e.to_string() } })),
    }
}

/// All that its pod has said so far: a few lines, read anew each time.
async fn read_output(engine: &Engine, check: &mut Check, task: &str) -> Result<(), Halt> {
    let said = match engine.output(task, &Cursor::start(), OUTPUT).await {
        Ok(said) => said.bytes,
        Err(e @ EngineError::Away { .. }) => return Err::<(), _>(e).doing("reading what a check of isolation says").map_err(Halt::from),
        // Its pod is gone, or does not run yet: what it did not tell is not known.
        Err(_) => return Ok(()),
    };
    let at = check.asked_at;
    let lines = said.split(|b| *b == b'\n').filter_map(|raw| output::line(raw, at));
    for line in lines {
        if let TaskMessage::Tried { probe, outcome } = line.message {
            let outcome = match outcome {
                Outcome::Failed { why } => Outcome::Failed { why: output::clean(&why) },
                other => other,
            };
            check.record(probe, outcome);
        }
    }
    Ok(())
}

/// Only what changed is written; that it is over, with its audit record.
async fn save(leader: &Leader, before: &Check, now: &Check) -> Result<(), Halt> {
    if before == now {
        return Ok(());
    }
    let doing = "writing a check of isolation";
    let mut tx = leader.begin().await?;
    // Deleted with its tenant meanwhile.
    if tx.isolation_check(&now.tenant, now.id).await.doing(doing)?.is_none() {
        return Ok(());
    }
    tx.save_isolation_check(now).await.doing(doing)?;
    if let Some(ending) = now.ending().filter(|_| !before.is_over()) {
        let mut entry = audit::by_system(tx.at(), Some(&now.tenant), "tenant.isolation_checked", "tenant", &now.tenant, &now.tenant);
        let which = |judgement: Judgement, must_pass: bool| {
            let lines = now.lines().iter().filter(|l| l.judgement() == judgement && (must_pass || !l.target.probe.must_pass()));
            lines.map(|l| l.target.probe).collect()
        };
        entry.detail = Detail::IsolationChecked {
            finding: now.finding(),
            reached: which(Judgement::NotAsExpected, false),
            undecided: which(Judgement::Undecided, true),
            ending: ending.clone(),
        };
        audit::append(&mut tx, entry).await.doing(doing)?;
    }
    tx.commit().await.doing(doing)?;
    Ok(())
}
