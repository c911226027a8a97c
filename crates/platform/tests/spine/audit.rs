//! The audit chains hold under many writers, and show every tampering.

use crate::support::{World, kind, now};
use domain::{
    audit::{Broken, FIRST_PREV, chain::Row},
    filter::AuditFilter,
    people::{PlatformRole, Role},
    policy::Action,
    problem::ProblemKind,
    tenant::Quota,
};
use platform::access::PlatformScope;

crate::on_both_databases!(
    twenty_writers_on_two_replicas_make_one_chain,
    a_change_of_any_column_is_found,
    swapped_inserted_and_missing_records_are_found,
    a_record_cut_off_the_end_with_its_counter_set_back_is_found_by_the_checkpoint,
    a_chain_written_anew_is_found_by_the_checkpoint,
    a_tenant_that_is_gone_with_all_its_records_is_found_by_the_checkpoint,
    a_checkpoint_is_signed_once_and_never_over_a_log_that_does_not_hold,
    an_altered_or_foreign_checkpoint_is_not_believed,
    a_tenant_verifies_its_own_chain_alone,
    records_cannot_be_changed_or_removed,
    a_refusal_is_in_the_record,
    refusals_in_masses_are_all_in_the_record,
    who_is_nobody_is_counted_by_kind_address_and_minute,
    the_filter_finds_by_actor_action_and_object,
);

async fn twenty_writers_on_two_replicas_make_one_chain(world: World) {
    world.tenant("acme").await;
    let other = world.replica(now).await;
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let platform = if i % 2 == 0 { world.platform.clone() } else { other.clone() };
            tokio::spawn(async move {
                for j in 0..5 {
                    let quota = Quota { concurrent_runs: i * 5 + j, ..Quota::default() };
                    platform.tenants(&PlatformScope::command_line()).set_quota("acme", quota).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let verified = world.platform.verify_audit().await.unwrap();
    assert_eq!((verified.chains.len(), verified.records(), verified.broken()), (1, 101, None));
    assert_eq!(other.verify_audit().await.unwrap(), verified);
}

/// Three records in the chain of `acme`, one in that of `other`.
async fn three_records(world: &World) {
    world.tenant("acme").await;
    world.tenant("other").await;
    set_quota(world, 7).await;
    set_quota(world, 8).await;
}

async fn set_quota(world: &World, concurrent_runs: u32) {
    let quota = Quota { concurrent_runs, ..Quota::default() };
    world.platform.tenants(&PlatformScope::command_line()).set_quota("acme", quota).await.unwrap();
}

async fn found(world: &World) -> Option<(String, Broken)> {
    world.platform.verify_audit().await.unwrap().broken().map(|(chain, broken)| (chain.to_owned(), broken.clone()))
}

async fn found_with(world: &World, checkpoint: &str) -> Option<(String, Broken)> {
    let verified = world.platform.verify_against(checkpoint, None).await.unwrap();
    verified.broken().map(|(chain, broken)| (chain.to_owned(), broken.clone()))
}

fn in_acme(broken: Broken) -> Option<(String, Broken)> {
    Some(("tenants/acme".into(), broken))
}

const OPEN_SQLITE: [&str; 2] = ["DROP TRIGGER audit_is_append_only_update", "DROP TRIGGER audit_is_append_only_delete"];
const OPEN_POSTGRES: [&str; 1] = ["DROP TRIGGER audit_is_append_only ON audit_records"];

/// What somebody with the database in hand can do.
async fn unlock(world: &World) {
    let statements = if world.config.database_url.starts_with("sqlite") { &OPEN_SQLITE[..] } else { &OPEN_POSTGRES[..] };
    for sql in statements {
        world.execute(*sql).await.unwrap();
    }
}

async fn a_change_of_any_column_is_found(world: World) {
    three_records(&world).await;
    unlock(&world).await;
    let changed = in_acme(Broken::Changed { seq: 2 });
    for (column, value) in [
        ("at", "at + 1"),
        ("tenant", "'other'"),
        ("actor_kind", "'person'"),
        ("actor", "'x'"),
        ("actor_name", "'x'"),
        ("action", "'x'"),
        ("object_kind", "'x'"),
        ("object", "'x'"),
        ("object_name", "'x'"),
        ("result", "'refused'"),
        ("detail_json", "'x'"),
        ("request_id", "'x'"),
        ("from_ip", "'x'"),
        ("hash", "'x'"),
        ("first_entry", "'{}'"),
    ] {
        world
            .execute(format!("CREATE TABLE kept AS SELECT {column} AS v FROM audit_records WHERE chain = 'tenants/acme' AND seq = 2"))
            .await
            .unwrap();
        world.execute(format!("UPDATE audit_records SET {column} = {value} WHERE chain = 'tenants/acme' AND seq = 2")).await.unwrap();
        assert_eq!(found(&world).await, changed, "{column}");
        let back = format!("UPDATE audit_records SET {column} = (SELECT v FROM kept) WHERE chain = 'tenants/acme' AND seq = 2");
        world.execute(back).await.unwrap();
        world.execute("DROP TABLE kept").await.unwrap();
        assert_eq!(found(&world).await, None, "{column}");
    }
    world.execute("UPDATE audit_records SET prev_hash = 'x' WHERE chain = 'tenants/acme' AND seq = 2").await.unwrap();
    assert_eq!(found(&world).await, in_acme(Broken::Unlinked { seq: 2 }));
}

async fn swapped_inserted_and_missing_records_are_found(world: World) {
    three_records(&world).await;
    unlock(&world).await;
    for (from, to) in [(2, 9), (3, 2), (9, 3)] {
        world.execute(format!("UPDATE audit_records SET seq = {to} WHERE chain = 'tenants/acme' AND seq = {from}")).await.unwrap();
    }
    assert_eq!(found(&world).await, in_acme(Broken::Unlinked { seq: 2 }), "swapped");
    for (from, to) in [(2, 9), (3, 2), (9, 3)] {
        world.execute(format!("UPDATE audit_records SET seq = {to} WHERE chain = 'tenants/acme' AND seq = {from}")).await.unwrap();
    }
    let columns =
        "at, tenant, actor_kind, actor, actor_name, action, object_kind, object, object_name, result, detail_json, request_id, from_ip";
    let insert = format!(
        "INSERT INTO audit_records (chain, seq, prev_hash, hash, {columns}) SELECT chain, 4, hash, hash, {columns} FROM audit_records \
         WHERE chain = 'tenants/acme' AND seq = 3"
    );
    world.execute(insert).await.unwrap();
    assert_eq!(found(&world).await, in_acme(Broken::Changed { seq: 4 }), "inserted");
    world.execute("DELETE FROM audit_records WHERE chain = 'tenants/acme' AND seq = 4").await.unwrap();
    assert_eq!(found(&world).await, None);
    // One that is well made, at the end: the counter does not know it.
    forge(&world, |entry| entry.object = "acme".into(), 3).await;
    world.execute("UPDATE audit_chains SET size = 2 WHERE chain = 'tenants/acme'").await.unwrap();
    assert_eq!(found(&world).await, in_acme(Broken::Added { seq: 3 }));
    world.execute("UPDATE audit_chains SET size = 3 WHERE chain = 'tenants/acme'").await.unwrap();
    world.execute("DELETE FROM audit_records WHERE chain = 'tenants/acme' AND seq = 3").await.unwrap();
    assert_eq!(found(&world).await, in_acme(Broken::Gap { missing: 3 }), "cut off");
    world.execute("DELETE FROM audit_records WHERE chain = 'tenants/acme' AND seq = 1").await.unwrap();
    assert_eq!(found(&world).await, in_acme(Broken::Gap { missing: 1 }), "missing");
}

/// Writes the chain of `acme` anew from its first record on, as somebody does who knows how and has the database.
async fn forge(world: &World, change: impl Fn(&mut domain::audit::Entry), most: i64) {
    let all = AuditFilter { limit: 500, ..AuditFilter::default() };
    let records = world.platform.platform_audit(&PlatformScope::command_line()).page(all).await.unwrap().rows;
    let mut prev = FIRST_PREV.to_owned();
    for record in records.into_iter().rev().filter(|r| r.chain == "tenants/acme" && r.seq <= most) {
        let mut entry = record.entry;
        change(&mut entry);
        let row = Row::new(record.seq, &prev, entry);
        let sql = format!(
            "UPDATE audit_records SET object = '{}', prev_hash = '{prev}', hash = '{}' WHERE chain = 'tenants/acme' AND seq = {}",
            row.object, row.hash, row.seq
        );
        world.execute(sql).await.unwrap();
        prev = row.hash;
    }
    world.execute(format!("UPDATE audit_chains SET head = '{prev}' WHERE chain = 'tenants/acme'")).await.unwrap();
}

async fn a_record_cut_off_the_end_with_its_counter_set_back_is_found_by_the_checkpoint(world: World) {
    three_records(&world).await;
    let taken_away = world.platform.write_checkpoint().await.unwrap();
    unlock(&world).await;
    world.execute("DELETE FROM audit_records WHERE chain = 'tenants/acme' AND seq = 3").await.unwrap();
    let back = "UPDATE audit_chains SET size = 2, head = (SELECT hash FROM audit_records WHERE chain = 'tenants/acme' AND seq = 2) \
        WHERE chain = 'tenants/acme'";
    world.execute(back).await.unwrap();
    let cut_off = in_acme(Broken::CutOff { signed: 3, found: 2 });
    assert_eq!(found(&world).await, cut_off, "the newest checkpoint of the store knows it too");
    std::fs::remove_dir_all(world.store_folder().join("audit")).unwrap();
    assert_eq!(found(&world).await, None, "without a checkpoint there is nothing to see");
    assert_eq!(found_with(&world, &taken_away.text).await, cut_off);
    // Later records do not make up for it: the log goes on, and the checkpoint still knows.
    set_quota(&world, 9).await;
    assert_eq!(found_with(&world, &taken_away.text).await, in_acme(Broken::Rewritten { signed: 3 }));
}

async fn a_chain_written_anew_is_found_by_the_checkpoint(world: World) {
    three_records(&world).await;
    let taken_away = world.platform.write_checkpoint().await.unwrap();
    set_quota(&world, 9).await;
    assert_eq!(found_with(&world, &taken_away.text).await, None, "a log that goes on is no forgery");
    unlock(&world).await;
    forge(&world, |entry| entry.object = "forged".into(), 4).await;
    assert_eq!(found_with(&world, &taken_away.text).await, in_acme(Broken::Rewritten { signed: 3 }));
    std::fs::remove_dir_all(world.store_folder().join("audit")).unwrap();
    assert_eq!(found(&world).await, None, "without a checkpoint there is nothing to see");
}

async fn a_tenant_that_is_gone_with_all_its_records_is_found_by_the_checkpoint(world: World) {
    three_records(&world).await;
    let taken_away = world.platform.write_checkpoint().await.unwrap();
    unlock(&world).await;
    world.execute("DELETE FROM audit_records WHERE chain = 'tenants/acme'").await.unwrap();
    world.execute("DELETE FROM audit_chains WHERE chain = 'tenants/acme'").await.unwrap();
    assert_eq!(found_with(&world, &taken_away.text).await, in_acme(Broken::CutOff { signed: 3, found: 0 }));
}

async fn a_checkpoint_is_signed_once_and_never_over_a_log_that_does_not_hold(world: World) {
    three_records(&world).await;
    let first = world.platform.write_checkpoint().await.unwrap();
    assert!(first.fresh && first.text.contains("/tenants/acme\n3\n"), "{}", first.text);
    let key = world.platform.checkpoint_key().await.unwrap();
    assert!(first.text.starts_with(&format!("{}/platform\n", key.split('+').next().unwrap())), "{key}: {}", first.text);
    assert_eq!(world.replica(now).await.checkpoint_key().await.unwrap(), key, "all replicas sign with one key");
    let again = world.platform.write_checkpoint().await.unwrap();
    assert_eq!((again.fresh, &again.path), (false, &first.path), "nothing happened");
    let owner = world.scope("olga", "acme", Role::Owner).await;
    let last = world.platform.audit(&owner).last_checkpoint().await.unwrap().unwrap();
    assert_eq!(last.records, 3);
    assert!(world.platform.write_checkpoint().await.unwrap().fresh, "somebody signed in");

    unlock(&world).await;
    forge(&world, |entry| entry.object = "forged".into(), 3).await;
    let refused = world.platform.write_checkpoint().await.unwrap_err();
    assert!(refused.sentence.contains("tenants/acme"), "{refused}");

    // A new key knows nothing of what the old one signed; whoever took that away does.
    assert_ne!(world.platform.renew_checkpoint_key().await.unwrap(), key);
    assert_eq!(kind(world.platform.verify_against(&first.text, None).await), ProblemKind::Conflict);
    let found = world.platform.verify_against(&first.text, Some(&key)).await.unwrap();
    assert_eq!(found.broken().map(|(chain, _)| chain), Some("tenants/acme"));
}

async fn an_altered_or_foreign_checkpoint_is_not_believed(world: World) {
    three_records(&world).await;
    let signed = world.platform.write_checkpoint().await.unwrap();
    for text in [signed.text.replace("\n3\n", "\n2\n"), signed.text.replace("/acme", "/other"), String::new(), "x\n\ny".into()] {
        assert_eq!(kind(world.platform.verify_against(&text, None).await), ProblemKind::Conflict, "{text}");
    }
    let other = crate::support::sqlite().await;
    three_records(&other).await;
    let foreign = other.platform.write_checkpoint().await.unwrap();
    assert_eq!(kind(world.platform.verify_against(&foreign.text, None).await), ProblemKind::Conflict);
    let altered = signed.text.replace("\n3\n", "\n2\n");
    std::fs::write(world.store_folder().join(&signed.path), altered).unwrap();
    assert_eq!(kind(world.platform.verify_audit().await), ProblemKind::Conflict, "one in the store neither");
}

async fn a_tenant_verifies_its_own_chain_alone(world: World) {
    three_records(&world).await;
    let owner = world.scope("olga", "acme", Role::Owner).await;
    unlock(&world).await;
    world.execute("UPDATE audit_records SET actor = 'x' WHERE chain = 'tenants/other'").await.unwrap();
    let verified = world.platform.audit(&owner).verify().await.unwrap();
    assert_eq!((verified.records(), verified.broken()), (3, None), "what is wrong in another tenant's is not told here");
    assert!(found(&world).await.is_some());
    let records = world.platform.audit(&owner).page(AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap().rows;
    assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), [3, 2, 1], "numbered without gaps, however much others do");
}

async fn records_cannot_be_changed_or_removed(world: World) {
    three_records(&world).await;
    for sql in ["UPDATE audit_records SET actor = 'x'", "DELETE FROM audit_records"] {
        let refused = world.execute(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    assert_eq!(world.platform.verify_audit().await.unwrap().records(), 4);
}

async fn a_refusal_is_in_the_record(world: World) {
    world.tenant("acme").await;
    let viewer = world.scope("vera", "acme", Role::Viewer).await;
    assert_eq!(kind(viewer.permit(Action::RunLaunch).map(drop)), ProblemKind::Forbidden);
    let owner = world.scope("olga", "acme", Role::Owner).await;
    let refused = AuditFilter { action: Some("run.launch".into()), limit: 10, ..AuditFilter::default() };
    for _ in 0..100 {
        let page = world.platform.audit(&owner).page(refused.clone()).await.unwrap().rows;
        if let [one] = page.as_slice() {
            assert_eq!(
                (one.entry.result.as_str(), one.entry.actor_name.as_str(), one.entry.from_ip.as_str()),
                ("refused", "vera", "192.0.2.7")
            );
            assert!(one.entry.detail.said().contains("engineer"), "{:?}", one.entry);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the refusal never came into the log");
}

async fn the_filter_finds_by_actor_action_and_object(world: World) {
    for name in ["a", "b", "c"] {
        world.tenant(name).await;
        // Two records of one moment stand in no certain order.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let auditor = world.caller("aud%it", &[], Some(PlatformRole::Auditor)).await;
    let scope = auditor.platform_scope().unwrap();
    let page = async |filter: AuditFilter| {
        let records = world.platform.platform_audit(&scope).page(AuditFilter { limit: 10, ..filter }).await.unwrap().rows;
        records.into_iter().map(|r| r.chain).collect::<Vec<_>>()
    };
    let (a, b, c, platform) = ("tenants/a", "tenants/b", "tenants/c", "platform");
    assert_eq!(page(AuditFilter::default()).await, [platform, c, b, a]);
    let newest = AuditFilter { limit: 2, ..AuditFilter::default() };
    let after = world.platform.platform_audit(&scope).page(newest).await.unwrap().next.unwrap();
    assert_eq!(page(AuditFilter { after, ..Default::default() }).await, [b, a]);
    assert_eq!(page(AuditFilter { object: Some("b".into()), ..Default::default() }).await, [b]);
    assert_eq!(page(AuditFilter { action: Some("session.".into()), ..Default::default() }).await, [platform]);
    for (actor, found) in [("system", vec![c, b, a]), ("AUD%", vec![platform]), ("%", vec![]), ("nobody", vec![])] {
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
        let written = world.platform.audit(&owner).page(refused.clone()).await.unwrap().rows.len();
        if written == 300 {
            break;
        }
        assert!(began.elapsed().as_secs() < 60, "{written} of 300 refusals came into the log");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.platform.verify_audit().await.unwrap().broken(), None);
}

/// A clock that stands still: a minute never ends.
fn noon() -> domain::time::Timestamp {
    domain::time::Timestamp(1_800_000_000_000)
}

async fn who_is_nobody_is_counted_by_kind_address_and_minute(world: World) {
    use platform::{access::Origin, refusals::Attempt};
    let platform = world.replica(noon).await;
    let from = |ip: &str| Origin { request_id: "req_1".into(), from_ip: ip.into() };
    for _ in 0..50 {
        platform.refused_attempt(Attempt::Key, &from("198.51.100.7"));
    }
    platform.refused_attempt(Attempt::Key, &from("198.51.100.8"));
    platform.refused_attempt(Attempt::SignIn, &from("198.51.100.7"));
    platform.write_refusals().await.unwrap();
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    let all = AuditFilter { limit: 100, ..AuditFilter::default() };
    let records = platform.platform_audit(&auditor).page(all).await.unwrap().rows;
    let refused = records.into_iter().map(|r| r.entry).filter(|e| e.result == "refused");
    let mut told: Vec<_> = refused.map(|e| (e.action, e.from_ip, e.detail.said())).collect();
    told.sort();
    let expected = [
        ("key.use", "198.51.100.7", "Refused 50 times within a minute."),
        ("key.use", "198.51.100.8", "Refused once within a minute."),
        ("session.sign_in", "198.51.100.7", "Refused once within a minute."),
    ];
    assert_eq!(told, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
}
