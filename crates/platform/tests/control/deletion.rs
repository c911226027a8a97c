//! A tenant that is deleted: with work under way, and with controllers that are killed, until nothing is left of it.

use crate::house::{House, until};
use domain::{
    audit::{Detail, Record},
    deletion::{Stage, WillGo},
    filter::AuditFilter,
    page::Cursor,
    people::{PlatformRole, Role},
    problem::ProblemKind,
    run::{StepKind, StepState},
    tenant::TenantState,
};
use platform::{access::PlatformScope, tenants::NewTenant};
use std::time::Duration;

crate::on_each_database!(
    a_deleted_tenant_leaves_nothing_but_its_audit_log,
    a_tenant_is_deleted_only_by_its_name_and_not_changed_meanwhile,
    who_takes_the_name_of_a_deleted_tenant_finds_nothing_of_it,
);

/// What the platform's log says of tenants' deletions.
async fn told(house: &House) -> Vec<Record> {
    let filter = AuditFilter { action: Some("tenant.delete".into()), limit: 100, ..AuditFilter::default() };
    house.platform.platform_audit(&PlatformScope::command_line()).page(filter).await.unwrap().rows
}

async fn is_there(house: &House, tenant: &str) -> bool {
    match house.platform.tenants(&PlatformScope::command_line()).get(tenant).await {
        Ok(_) => true,
        Err(problem) if problem.kind == ProblemKind::NotFound => false,
        Err(problem) => panic!("{problem:?}"),
    }
}

async fn until_gone(house: &House, tenant: &str) {
    let scope = PlatformScope::command_line();
    until(|| async {
        match house.platform.tenants(&scope).get(tenant).await {
            Ok(overview) => {
                let stage = house.platform.tenants(&scope).deletion(&overview.tenant).await;
                Err(format!("{stage:?}"))
            }
            Err(problem) if problem.kind == ProblemKind::NotFound => Ok(()),
            Err(problem) => Err(format!("{problem:?}")),
        }
    })
    .await;
}

async fn a_deleted_tenant_leaves_nothing_but_its_audit_log(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let admin = PlatformScope::command_line();
    let tenants = house.platform.tenants(&admin);
    let controller = house.controller("a");
    let done = house.launch(&scope, "facts-1", 42).await;
    house.run_until(&scope, &done, |r| r.state.is_final()).await;
    let busy = house.launch(&scope, "facts-2", 200).await;
    house.run_until(&scope, &busy, |r| r.doing().is_some_and(|s| s.kind == StepKind::Train && s.state == StepState::Running)).await;
    drop(controller);

    let will_go = tenants.will_go(&tenants.get("lumenta").await.unwrap()).await.unwrap();
    assert_eq!((will_go.runs, will_go.open_runs, will_go.datasets, will_go.models, will_go.members), (2, 1, 1, 1, 1));
    tenants.delete("lumenta", "lumenta").await.unwrap();
    let owner = house.caller("mira", &[("lumenta", Role::Owner)], None).await;
    assert!(owner.memberships.is_empty(), "no sign-in brings it back: {:?}", owner.memberships);
    assert_eq!(owner.scope(&house.platform, "lumenta").await.map(drop).unwrap_err().kind, ProblemKind::NotFound);
    let overview = tenants.get("lumenta").await.unwrap();
    assert_eq!((overview.tenant.state, overview.holding.members), (TenantState::Deleting, 0));
    assert_eq!(tenants.deletion(&overview.tenant).await.unwrap().unwrap().stage, Stage::Workloads);
    // Killed again and again, each goes on from what is there.
    for round in 1..=6 {
        // So that nobody waits for the lease of the one before.
        house.sql("UPDATE leases SET expires_at = 0".into()).await;
        let controller = house.controller("b");
        tokio::time::sleep(Duration::from_millis(200 * round)).await;
        drop(controller);
        if !is_there(&house, "lumenta").await {
            break;
        }
    }
    let _controller = house.controller("c");
    until_gone(&house, "lumenta").await;

    let folder = house.folder.path();
    let left_in = |path: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder.join(path)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(left_in("store/t/lumenta"), Vec::<String>::new());
    assert_eq!(left_in("tasks/.tenants").into_iter().filter(|name| name.starts_with("lumenta")).count(), 0);
    assert_eq!(left_in("tasks").into_iter().filter(|name| name.starts_with("run-")).count(), 0);
    let left = "SELECT (SELECT COUNT(*) FROM runs WHERE tenant = 'lumenta') + (SELECT COUNT(*) FROM run_steps WHERE tenant = 'lumenta') \
                + (SELECT COUNT(*) FROM run_log WHERE tenant = 'lumenta') + (SELECT COUNT(*) FROM datasets WHERE tenant = 'lumenta') \
                + (SELECT COUNT(*) FROM model_versions WHERE tenant = 'lumenta') + (SELECT COUNT(*) FROM members WHERE tenant = 'lumenta') \
                + (SELECT COUNT(*) FROM jobs WHERE tenant = 'lumenta') + (SELECT COUNT(*) FROM job_turns WHERE tenant = 'lumenta')";
    assert_eq!(house.count(left).await, 0);
    let told = told(&house).await;
    let [gone, asked] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((gone.entry.action.as_str(), &gone.entry.detail), ("tenant.deleted", &Detail::TenantDeleted));
    assert_eq!((asked.entry.action.as_str(), asked.entry.object.as_str()), ("tenant.delete", "lumenta"));
    assert!(matches!(asked.entry.detail, Detail::TenantDeletionAsked { will_go: WillGo { runs: 2, .. }, .. }), "{asked:?}");
    assert_eq!(house.platform.verify_audit().await.unwrap().broken(), None);
    let others = tenants.list("", &Cursor::default()).await.unwrap().rows;
    assert_eq!(others.iter().map(|o| o.tenant.name.as_str()).collect::<Vec<_>>(), ["velkor"]);
}

async fn a_tenant_is_deleted_only_by_its_name_and_not_changed_meanwhile(house: House) {
    let admin = PlatformScope::command_line();
    let tenants = house.platform.tenants(&admin);
    let refused = tenants.delete("velkor", "lumenta").await.unwrap_err();
    assert_eq!(refused.fields[0].field, "confirm");
    assert_eq!(tenants.delete("nobody", "nobody").await.unwrap_err().kind, ProblemKind::NotFound);
    let auditor = house.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    assert_eq!(house.platform.tenants(&auditor).delete("velkor", "velkor").await.unwrap_err().kind, ProblemKind::Forbidden);
    assert_eq!((told(&house).await.len(), tenants.get("velkor").await.unwrap().tenant.state), (0, TenantState::Active));

    tenants.delete("velkor", " velkor ").await.unwrap();
    let changes = [
        tenants.resume("velkor").await.err(),
        tenants.set_quota("velkor", Default::default()).await.err(),
        tenants.set_groups("velkor", Vec::new()).await.err(),
        tenants.delete("velkor", "velkor").await.err(),
    ];
    for refused in changes {
        assert_eq!(refused.unwrap().kind, ProblemKind::Conflict);
    }
    let _controller = house.controller("a");
    until_gone(&house, "velkor").await;
}

async fn who_takes_the_name_of_a_deleted_tenant_finds_nothing_of_it(house: House) {
    let admin = PlatformScope::command_line();
    let tenants = house.platform.tenants(&admin);
    let stranger = house.stranger().await;
    house.dataset(&stranger, "facts", 20).await;
    let _controller = house.controller("a");
    tenants.delete("velkor", "velkor").await.unwrap();
    until_gone(&house, "velkor").await;

    let new = NewTenant { name: "velkor".into(), title: String::new(), quota: Default::default() };
    tenants.create(new).await.unwrap();
    assert_eq!(tenants.get("velkor").await.unwrap().holding, Default::default());
    let owner = house.stranger().await;
    let log = house.platform.audit(&owner).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    let actions: Vec<&str> = log.iter().map(|r| r.entry.action.as_str()).collect();
    assert_eq!(actions, ["platform.tenants.write"], "what was before is the platform's to read: {log:?}");
    assert_eq!(house.platform.verify_audit().await.unwrap().broken(), None);
}
