//! The audit chain holds under many writers, and shows every tampering.

use crate::support::{World, kind, now};
use domain::{
    audit::Broken,
    people::{PlatformRole, Role},
    policy::Action,
    problem::ProblemKind,
};
use platform::{access::PlatformScope, audit::AuditFilter, tenants::NewTenant};

crate::on_both_databases!(
    twenty_writers_on_two_replicas_make_one_chain,
    a_changed_record_and_missing_ones_are_found,
    records_cannot_be_changed_or_removed,
    a_refusal_is_in_the_record,
    refusals_in_masses_are_all_in_the_record,
    who_is_nobody_is_counted_by_door_address_and_minute,
    the_filter_finds_by_actor_action_and_object,
);

async fn twenty_writers_on_two_replicas_make_one_chain(world: World) {
    let other = world.replica(now).await;
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let platform = if i % 2 == 0 { world.platform.clone() } else { other.clone() };
            tokio::spawn(async move {
                for j in 0..5 {
                    let new = NewTenant { name: format!("t{i}-{j}"), title: String::new(), quota: Default::default() };
                    platform.tenants(&PlatformScope::command_line()).create(new).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let verified = world.platform.verify_audit().await.unwrap();
    assert_eq!((verified.records, verified.broken), (100, None));
    assert_eq!(other.verify_audit().await.unwrap().last_hash, verified.last_hash);
}

async fn three_records(world: &World) {
    for name in ["a", "b", "c"] {
        world.tenant(name).await;
    }
}

const OPEN_SQLITE: [&str; 2] = ["DROP TRIGGER audit_is_append_only_update", "DROP TRIGGER audit_is_append_only_delete"];
const OPEN_POSTGRES: [&str; 1] = ["DROP TRIGGER audit_is_append_only ON audit"];

/// What somebody with the database in hand can do.
async fn unlock(world: &World) {
    let statements = if world.config.database_url.starts_with("sqlite") { &OPEN_SQLITE[..] } else { &OPEN_POSTGRES[..] };
    for sql in statements {
        world.execute(*sql).await.unwrap();
    }
}

async fn a_changed_record_and_missing_ones_are_found(world: World) {
    three_records(&world).await;
    unlock(&world).await;
    world.execute("UPDATE audit SET entry_json = REPLACE(entry_json, '\"object\":\"b\"', '\"object\":\"x\"') WHERE seq = 2").await.unwrap();
    assert_eq!(world.platform.verify_audit().await.unwrap().broken, Some(Broken::Changed { seq: 2 }));
    world.execute("DELETE FROM audit WHERE seq = 2").await.unwrap();
    assert_eq!(world.platform.verify_audit().await.unwrap().broken, Some(Broken::Gap { missing: 2 }));
    // Cutting off the end leaves a chain that holds, but not as long as it was.
    world.execute("DELETE FROM audit WHERE seq >= 2").await.unwrap();
    assert_eq!(world.platform.verify_audit().await.unwrap().broken, Some(Broken::Gap { missing: 2 }));
}

async fn records_cannot_be_changed_or_removed(world: World) {
    three_records(&world).await;
    for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"] {
        let refused = world.execute(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    assert_eq!(world.platform.verify_audit().await.unwrap().records, 3);
}

async fn a_refusal_is_in_the_record(world: World) {
    world.tenant("acme").await;
    let viewer = world.scope("vera", "acme", Role::Viewer).await;
    assert_eq!(kind(viewer.permit(Action::RunLaunch).map(drop)), ProblemKind::Forbidden);
    let owner = world.scope("olga", "acme", Role::Owner).await;
    let refused = AuditFilter { action: Some("run.launch".into()), limit: 10, ..AuditFilter::default() };
    for _ in 0..100 {
        let page = world.platform.audit(&owner).page(refused.clone()).await.unwrap();
        if let [one] = page.as_slice() {
            assert_eq!(
                (one.entry.result.as_str(), one.entry.actor_name.as_str(), one.entry.from_ip.as_str()),
                ("refused", "vera", "192.0.2.7")
            );
            assert!(one.entry.detail.contains("engineer"), "{:?}", one.entry);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the refusal never came into the log");
}

async fn the_filter_finds_by_actor_action_and_object(world: World) {
    three_records(&world).await;
    let auditor = world.caller("aud%it", &[], Some(PlatformRole::Auditor)).await;
    let scope = auditor.platform_scope().unwrap();
    let page = async |filter: AuditFilter| {
        let records = world.platform.platform_audit(&scope).page(AuditFilter { limit: 10, ..filter }).await.unwrap();
        records.into_iter().map(|r| r.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(AuditFilter::default()).await, [4, 3, 2, 1]);
    assert_eq!(page(AuditFilter { before_seq: Some(3), ..Default::default() }).await, [2, 1]);
    assert_eq!(page(AuditFilter { object: Some("b".into()), ..Default::default() }).await, [2]);
    assert_eq!(page(AuditFilter { action: Some("session.".into()), ..Default::default() }).await, [4]);
    for (actor, found) in [("system", vec![3, 2, 1]), ("AUD%", vec![4]), ("%", vec![]), ("nobody", vec![])] {
        assert_eq!(page(AuditFilter { actor: Some(actor.into()), ..Default::default() }).await, found, "{actor}");
    }
}

async fn refusals_in_masses_are_all_in_the_record(world: World) {
    world.tenant("acme").await;
    let viewer = world.scope("vera", "acme", Role::Viewer).await;
    for _ in 0..300 {
        assert!(viewer.permit(Action::RunLaunch).is_err());
    }
    let owner = world.scope("olga", "acme", Role::Owner).await;
    let refused = AuditFilter { action: Some("run.launch".into()), limit: 500, ..AuditFilter::default() };
    let began = std::time::Instant::now();
    loop {
        let written = world.platform.audit(&owner).page(refused.clone()).await.unwrap().len();
        if written == 300 {
            break;
        }
        assert!(began.elapsed().as_secs() < 60, "{written} of 300 refusals came into the log");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.platform.verify_audit().await.unwrap().broken, None);
}

/// A clock that stands still: a minute never ends.
fn noon() -> domain::time::Timestamp {
    domain::time::Timestamp(1_800_000_000_000)
}

async fn who_is_nobody_is_counted_by_door_address_and_minute(world: World) {
    use platform::{access::Origin, refusals::Door};
    let platform = world.replica(noon).await;
    let from = |ip: &str| Origin { request_id: "req_1".into(), from_ip: ip.into() };
    for _ in 0..50 {
        platform.refused_at(Door::Key, &from("198.51.100.7"));
    }
    platform.refused_at(Door::Key, &from("198.51.100.8"));
    platform.refused_at(Door::SignIn, &from("198.51.100.7"));
    platform.write_refusals().await.unwrap();
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    let all = AuditFilter { limit: 100, ..AuditFilter::default() };
    let records = platform.platform_audit(&auditor).page(all).await.unwrap();
    let refused = records.into_iter().map(|r| r.entry).filter(|e| e.result == "refused");
    let mut told: Vec<_> = refused.map(|e| (e.action, e.from_ip, e.detail)).collect();
    told.sort();
    let expected = [
        ("key.use", "198.51.100.7", "Refused 50 times within a minute."),
        ("key.use", "198.51.100.8", "Refused once within a minute."),
        ("session.sign_in", "198.51.100.7", "Refused once within a minute."),
    ];
    assert_eq!(told, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
}
