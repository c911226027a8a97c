//! Who may start: per tenant so many runs at once, the oldest first. Decides only; `control` acts on it.

use crate::store::runs::OpenRun;
use domain::{
    name::Name,
    run::{Reason, RunState},
    tenant::{Tenant, TenantState},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is a slot for it now.
    Start,
    Wait(Reason),
}

/// What becomes of each queued run of one tenant. `open`: all runs of the tenant that have not ended, oldest first.
pub(super) fn turns<'a>(tenant: &Tenant, open: &'a [OpenRun]) -> Vec<(&'a OpenRun, Turn)> {
    let busy: Vec<&OpenRun> = open.iter().filter(|r| r.state.is_active()).collect();
    let queued: Vec<&OpenRun> = open.iter().filter(|r| r.state == RunState::Queued).collect();
    let slots = tenant.quota.concurrent_runs as usize;
    if tenant.state != TenantState::Active {
        return queued.into_iter().map(|r| (r, Turn::Wait(Reason::TenantSuspended))).collect();
    }
    if slots == 0 {
        return queued.into_iter().map(|r| (r, Turn::Wait(Reason::NoSlots))).collect();
    }
    let free = slots.saturating_sub(busy.len());
    let starting: Vec<&OpenRun> = queued.iter().take(free).copied().collect();
    let named: Vec<Name> = busy.iter().chain(&starting).map(|r| r.name.clone()).collect();
    let waiting = queued.len() - starting.len();
    queued
        .into_iter()
        .enumerate()
        .map(|(i, run)| {
            if i < free {
                return (run, Turn::Start);
            }
            let place = (waiting > 1).then_some(((i - starting.len() + 1) as u64, waiting as u64));
            let reason = Reason::WaitsForSlot {
                ahead: named.iter().take(2).cloned().collect(),
                more: named.len().saturating_sub(2) as u64,
                busy: (busy.len() + starting.len()).max(slots) as u64,
                slots: slots as u64,
                place,
            };
            (run, Turn::Wait(reason))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ids::RunId, tenant::Quota, time::Timestamp};
    use uuid::Uuid;

    fn tenant(slots: u32, state: TenantState) -> Tenant {
        let quota = Quota { concurrent_runs: slots, ..Quota::default() };
        Tenant { name: "lumenta".parse().unwrap(), title: "Lumenta".into(), state, quota, created_at: Timestamp(0) }
    }
    fn run(name: &str, state: RunState) -> OpenRun {
        let name: Name = name.parse().unwrap();
        OpenRun { tenant: "lumenta".parse().unwrap(), id: RunId::from_uuid(Uuid::nil()), name, state, reason: Reason::WaitsForTurn }
    }
    fn said(tenant: &Tenant, open: &[OpenRun]) -> Vec<String> {
        turns(tenant, open)
            .into_iter()
            .map(|(_, turn)| match turn {
                Turn::Start => "start".into(),
                Turn::Wait(why) => why.said(),
            })
            .collect()
    }

    #[test]
    fn the_oldest_starts_and_the_others_say_what_they_wait_for() {
        let open = [run("facts-6", RunState::Queued), run("facts-7", RunState::Queued), run("facts-8", RunState::Queued)];
        assert_eq!(
            said(&tenant(1, TenantState::Active), &open),
            [
                "start",
                "Waits for run facts-6: 1 of 1 slots busy. Place 1 of 2 in the queue.",
                "Waits for run facts-6: 1 of 1 slots busy. Place 2 of 2 in the queue."
            ]
        );
    }

    #[test]
    fn a_single_waiting_run_names_the_run_it_waits_for() {
        let open = [run("facts-6", RunState::Running), run("facts-7", RunState::Queued)];
        assert_eq!(said(&tenant(1, TenantState::Active), &open), ["Waits for run facts-6: 1 of 1 slots busy."]);
    }

    #[test]
    fn a_run_that_is_being_cancelled_still_holds_its_slot() {
        let open = [run("facts-6", RunState::Cancelling), run("facts-7", RunState::Queued)];
        assert_eq!(said(&tenant(1, TenantState::Active), &open), ["Waits for run facts-6: 1 of 1 slots busy."]);
        assert_eq!(said(&tenant(2, TenantState::Active), &open), ["start"]);
    }

    #[test]
    fn a_suspended_tenant_and_one_without_slots_start_nothing() {
        let open = [run("facts-7", RunState::Queued)];
        assert!(said(&tenant(1, TenantState::Suspended), &open)[0].contains("suspended"));
        assert!(said(&tenant(0, TenantState::Active), &open)[0].contains("0 slots"));
    }
}
