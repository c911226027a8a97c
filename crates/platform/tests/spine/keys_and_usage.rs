//! Keys are shown once and revoked at once; calls are counted once.

use crate::support::{World, every, kind, now};
use domain::{
    ids::{CallId, EndpointId, KeyId, PersonId},
    key::{Limits, NewKey, text},
    page::Cursor,
    people::{PlatformRole, Role},
    problem::ProblemKind,
    reason::usage::SetAsideReason,
    time::{DAY, HOUR, MINUTE, SECOND, Timestamp},
    usage::{Call, UsageBy},
};
use std::time::{Duration, Instant};

crate::on_both_databases!(
    a_key_is_found_by_its_digest_and_its_text_is_nowhere,
    a_revoked_key_is_revoked_in_every_directory_within_a_second,
    people_revoke_their_own_and_owners_any,
    a_bad_key_form_names_the_fields,
    a_batch_of_calls_that_comes_twice_counts_once,
    a_call_that_the_database_refuses_is_set_aside_and_stops_nobody_elses,
    only_the_admin_has_refused_calls_tried_again,
    usage_is_told_by_day_model_key_and_member_and_only_ones_own_without_the_right,
    sums_of_calls_are_those_of_the_calls_and_can_be_rebuilt,
    a_batch_with_more_sums_than_a_statement_takes_adds_each_of_them,
);

fn new_key(label: &str) -> NewKey {
    NewKey { label: label.into(), models: None, limits: Limits::default(), expires_in_days: Some(30), responsible: None }
}

async fn a_key_is_found_by_its_digest_and_its_text_is_nowhere(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let limits = Limits { requests_per_minute: Some(5), tokens_per_minute: None, concurrent_calls: Some(2) };
    let new = NewKey { models: Some(vec!["facts".into(), " ".into()]), limits, ..new_key(" bot ") };
    let created = world.platform.keys(&scope).create(new).await.unwrap();
    assert!(text::well_formed(&created.secret) && created.secret.starts_with(&created.key.hint));
    let listed = world.platform.keys(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows;
    assert_eq!(listed, std::slice::from_ref(&created.key));
    assert_eq!(
        (listed[0].label.as_str(), listed[0].models.as_deref(), listed[0].owner_name.as_str()),
        ("bot", Some(&["facts".to_owned()][..]), "ann")
    );
    assert_eq!(listed[0].expires_at, Some(listed[0].created_at.plus(30 * DAY)));
    let directory = world.platform.directory().await.unwrap();
    let entry = &directory.keys[&text::digest(&created.secret)];
    assert_eq!((entry.id, entry.limits, entry.revoked, entry.expires_at), (created.key.id, limits, false, listed[0].expires_at));
    // Neither in the table of keys nor in the audit log.
    let secret = &created.secret[8..40];
    for sql in [
        format!("DELETE FROM api_keys WHERE digest LIKE '%{secret}%' OR label LIKE '%{secret}%'"),
        format!("DELETE FROM events WHERE object LIKE '%{secret}%'"),
    ] {
        assert_eq!(world.execute(sql).await.unwrap(), 0);
    }
    assert!(!format!("{created:?}").contains(secret));
}

async fn a_revoked_key_is_revoked_in_every_directory_within_a_second(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let created = world.platform.keys(&scope).create(new_key("bot")).await.unwrap();
    let other = world.replica(now).await;
    let (mut directory, keeping) = other.directory_changes(std::future::pending()).await.unwrap();
    tokio::spawn(keeping);
    let digest = text::digest(&created.secret);
    assert!(!directory.borrow_and_update().keys[&digest].revoked);
    let began = Instant::now();
    world.platform.keys(&scope).revoke(created.key.id).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), directory.wait_for(|d| d.keys[&digest].revoked)).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

async fn people_revoke_their_own_and_owners_any(world: World) {
    world.tenant("acme").await;
    let (ann, eve) = (world.scope("ann", "acme", Role::Engineer).await, world.scope("eve", "acme", Role::Engineer).await);
    let (vera, olga) = (world.scope("vera", "acme", Role::Viewer).await, world.scope("olga", "acme", Role::Owner).await);
    let one = world.platform.keys(&ann).create(new_key("one")).await.unwrap().key;
    let two = world.platform.keys(&ann).create(new_key("two")).await.unwrap().key;
    assert_eq!(kind(world.platform.keys(&eve).revoke(one.id).await), ProblemKind::Forbidden);
    assert_eq!(kind(world.platform.keys(&vera).revoke(one.id).await), ProblemKind::Forbidden);
    assert_eq!(kind(world.platform.keys(&vera).list(&Default::default(), &Cursor::default()).await), ProblemKind::Forbidden);
    let revoked = world.platform.keys(&ann).revoke(one.id).await.unwrap();
    assert_eq!(world.platform.keys(&ann).revoke(one.id).await.unwrap().revoked_at, revoked.revoked_at);
    world.platform.keys(&olga).revoke(two.id).await.unwrap();
    assert!(
        world.platform.keys(&ann).list(&Default::default(), &Cursor::default()).await.unwrap().rows.iter().all(|k| k.revoked_at.is_some())
    );
    assert_eq!(world.platform.overview(&ann).await.unwrap().counts.keys, 0);
}

async fn a_bad_key_form_names_the_fields(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let bad = NewKey { label: " ".into(), models: Some(vec![]), limits: Limits::default(), expires_in_days: Some(0), responsible: None };
    let problem = world.platform.keys(&scope).create(bad).await.unwrap_err();
    assert_eq!(problem.fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), ["label", "expires_in_days", "models"]);
    assert!(world.platform.keys(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
}

pub(crate) fn call(n: u128, at: Timestamp, key: Option<KeyId>, person: PersonId) -> Call {
    Call {
        id: CallId::from_uuid(uuid::Uuid::from_u128(n)),
        tenant: "acme".parse().unwrap(),
        at,
        key,
        person: Some(person),
        endpoint: None,
        model: if n.is_multiple_of(2) { "facts".into() } else { "base".into() },
        model_version: None,
        route: "chat/completions".into(),
        stream: true,
        status: if n == 3 { 429 } else { 200 },
        error: None,
        prompt_tokens: 10,
        completion_tokens: 5,
        estimated: false,
        first_token_ms: Some(20),
        duration_ms: 100,
        finish_reason: Some("stop".into()),
        request_id: format!("req-{n}"),
    }
}

async fn a_batch_of_calls_that_comes_twice_counts_once(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("olga", "acme", Role::Owner).await;
    let key = world.platform.keys(&scope).create(new_key("bot")).await.unwrap().key;
    let start = Timestamp(now().0 - 10 * MINUTE);
    let batch: Vec<Call> = (0..10).map(|n| call(n, start.plus(n as i64 * SECOND), Some(key.id), scope.person().id)).collect();
    let revision = world.platform.directory().await.unwrap().revision;
    // At the same time, in opposite order.
    let reversed: Vec<Call> = batch.iter().rev().cloned().collect();
    let (a, b) = tokio::join!(world.platform.record_calls(batch.clone()), world.platform.record_calls(reversed));
    a.unwrap();
    b.unwrap();
    let calls = world.platform.usage(&scope).calls(&Cursor::default()).await.unwrap().rows;
    assert_eq!(calls, batch.iter().rev().cloned().collect::<Vec<_>>());
    // Last use is coarse, and no reason to make the directory anew.
    let used =
        async || world.platform.keys(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows[0].last_used_at.unwrap();
    assert_eq!(used().await, start.plus(9 * SECOND));
    world.platform.record_calls(vec![call(11, start.plus(40 * SECOND), Some(key.id), scope.person().id)]).await.unwrap();
    assert_eq!(used().await, start.plus(9 * SECOND));
    world.platform.record_calls(vec![call(12, start.plus(70 * SECOND), Some(key.id), scope.person().id)]).await.unwrap();
    assert_eq!(used().await, start.plus(70 * SECOND));
    assert_eq!(world.platform.directory().await.unwrap().revision, revision);
}

const REFUSE_ON_SQLITE: &str =
    "CREATE TRIGGER refuses BEFORE INSERT ON calls WHEN NEW.model = 'poison' BEGIN SELECT RAISE(ABORT, 'no poison'); END";
const REFUSE_ON_POSTGRES: [&str; 2] = [
    "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.model = 'poison' THEN RAISE EXCEPTION 'no poison'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER refuses BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION refuses()",
];

/// Lets the database refuse calls of one model.
async fn poison(world: &World) {
    if world.config.database_url.starts_with("sqlite:") {
        world.execute(REFUSE_ON_SQLITE).await.unwrap();
    } else {
        for sql in REFUSE_ON_POSTGRES {
            world.execute(sql).await.unwrap();
        }
    }
}

async fn cure(world: &World) {
    let sql = if world.config.database_url.starts_with("sqlite:") { "DROP TRIGGER refuses" } else { "DROP TRIGGER refuses ON calls" };
    world.execute(sql).await.unwrap();
}

async fn a_call_that_the_database_refuses_is_set_aside_and_stops_nobody_elses(world: World) {
    world.tenant("acme").await;
    world.tenant("rival").await;
    let scope = world.scope("olga", "acme", Role::Owner).await;
    let rival = world.scope("rolf", "rival", Role::Owner).await;
    let admin = world.caller("root", &[], Some(PlatformRole::Admin)).await.platform_scope().unwrap();
    poison(&world).await;
    let start = Timestamp(now().0 - MINUTE);
    let good = |n: u128| call(n, start.plus(n as i64), None, scope.person().id);
    let bad = |n: u128| Call { model: "poison".into(), ..good(n) };
    let nul = Call { model: "a\0b".into(), request_id: "r\0".into(), ..good(203) };
    let homeless = Call { tenant: "nobody".parse().unwrap(), ..good(204) };
    let mut batch: Vec<Call> = (0..200).map(|n| if [3, 4, 199].contains(&n) { bad(n) } else { good(n) }).collect();
    batch.extend([nul.clone(), homeless.clone(), Call { tenant: "rival".parse().unwrap(), ..good(205) }]);
    let refuses_nul = u64::from(!world.config.database_url.starts_with("sqlite:"));
    assert_eq!(world.platform.record_calls(batch.clone()).await.unwrap(), 4 + refuses_nul);
    // What comes twice is set aside once.
    assert_eq!(world.platform.record_calls(batch).await.unwrap(), 4 + refuses_nul);
    let recorded = async || {
        let usage = world.platform.usage(&scope);
        every(async |after| usage.calls(&after).await.unwrap()).await.len() as u64
    };
    assert_eq!(recorded().await, 197 + 1 - refuses_nul);
    assert_eq!(world.platform.usage(&rival).calls(&Cursor::default()).await.unwrap().rows.len(), 1, "another tenant's in the same batch");

    let aside = world.platform.calls_set_aside(&admin);
    let list = aside.list(&Cursor::default()).await.unwrap().rows;
    assert_eq!((list.len() as u64, aside.count().await.unwrap()), (4 + refuses_nul, 4 + refuses_nul));
    let about = |id: CallId| list.iter().find(|a| a.call.id == id).unwrap();
    assert_eq!(about(bad(3).id).call, bad(3), "whole");
    assert!(matches!(&about(bad(3).id).reason, SetAsideReason::Refused { error } if error.contains("no poison")), "{list:?}");
    assert_eq!(about(homeless.id).reason, SetAsideReason::NoTenant);
    assert!(refuses_nul == 0 || about(nul.id).call == nul);

    assert_eq!(aside.try_again().await.unwrap(), (0, 4 + refuses_nul), "the cause is still there");
    cure(&world).await;
    world.tenant("nobody").await;
    assert_eq!(aside.try_again().await.unwrap(), (4, refuses_nul));
    assert_eq!((recorded().await, aside.count().await.unwrap()), (201 - refuses_nul, refuses_nul));
    assert_eq!(aside.try_again().await.unwrap(), (0, refuses_nul), "nothing is counted twice");
    assert_eq!(recorded().await, 201 - refuses_nul);
}

async fn only_the_admin_has_refused_calls_tried_again(world: World) {
    let auditor = world.caller("audit", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    let aside = world.platform.calls_set_aside(&auditor);
    assert_eq!(aside.list(&Cursor::default()).await.unwrap().rows, []);
    assert_eq!(kind(aside.try_again().await), ProblemKind::Forbidden);
    let admin = world.caller("root", &[], Some(PlatformRole::Admin)).await.platform_scope().unwrap();
    world.platform.calls_set_aside(&admin).try_again().await.unwrap();
    let scope = world.caller("audit", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    let filter = domain::filter::AuditFilter { action: Some("platform.usage.write".into()), limit: 10, ..Default::default() };
    let records = world.platform.platform_audit(&scope).page(filter).await.unwrap().rows;
    assert_eq!(records.iter().filter(|r| r.entry.result == "done").count(), 1, "{records:?}");
}

async fn usage_is_told_by_day_model_key_and_member_and_only_ones_own_without_the_right(world: World) {
    world.tenant("acme").await;
    let (olga, ann) = (world.scope("olga", "acme", Role::Owner).await, world.scope("ann", "acme", Role::Engineer).await);
    let key = world.platform.keys(&ann).create(new_key("bot")).await.unwrap().key;
    let today = Timestamp(now().0.div_euclid(DAY) * DAY);
    let mut calls: Vec<Call> = (0..4).map(|n| call(n, today, Some(key.id), ann.person().id)).collect();
    calls.push(call(4, today.plus(-DAY), None, olga.person().id));
    calls.push(call(5, today.plus(-9 * DAY), None, olga.person().id));
    let refused = |n, model: &str, error: &str| Call {
        model: model.into(),
        error: Some(error.into()),
        status: 404,
        prompt_tokens: 0,
        completion_tokens: 0,
        ..call(n, today.plus(-DAY), None, olga.person().id)
    };
    calls.extend([refused(20, "", "invalid_json"), refused(21, "gone", "model_not_found")]);
    calls[3].error = Some("model_not_found".into());
    world.platform.record_calls(calls).await.unwrap();
    let table = async |by, scope| {
        let lines = world.platform.usage(scope).table(by, 7, &Cursor::default()).await.unwrap().rows;
        lines.into_iter().map(|l| (l.label, l.requests, l.errors, l.prompt_tokens, l.completion_tokens)).collect::<Vec<_>>()
    };
    let days = table(UsageBy::Day, &olga).await;
    assert_eq!(
        (days.len(), days[6].clone(), days[5].clone(), days[4].1),
        (7, (today.day(), 4, 1, 40, 20), (today.plus(-DAY).day(), 3, 2, 10, 5), 0)
    );
    assert_eq!(
        table(UsageBy::Model, &olga).await,
        [
            ("facts".into(), 3, 0, 30, 15),
            ("base".into(), 2, 1, 20, 10),
            ("no model named".into(), 1, 1, 0, 0),
            ("gone, unknown or not deployed".into(), 1, 1, 0, 0)
        ]
    );
    assert_eq!(table(UsageBy::Key, &olga).await, [(format!("bot, {}…", key.hint), 4, 1, 40, 20), ("Playground".into(), 3, 2, 10, 5)]);
    assert_eq!(table(UsageBy::Member, &olga).await, [("ann".into(), 4, 1, 40, 20), ("olga".into(), 3, 2, 10, 5)]);
    assert_eq!(table(UsageBy::Member, &ann).await, [("ann".into(), 4, 1, 40, 20)]);
    assert_eq!(table(UsageBy::Version, &ann).await, [("base models".into(), 4, 1, 40, 20)]);
    assert_eq!(world.platform.usage(&ann).calls(&Cursor::default()).await.unwrap().rows.len(), 4);
}

async fn sums_of_calls_are_those_of_the_calls_and_can_be_rebuilt(world: World) {
    world.tenant("acme").await;
    let olga = world.scope("olga", "acme", Role::Owner).await;
    let hour = Timestamp(now().0.div_euclid(HOUR) * HOUR);
    let calls: Vec<Call> = (0..6).map(|n| call(n, hour.plus(-HOUR * (n % 3) as i64), None, olga.person().id)).collect();
    let all = async || {
        let mut all = Vec::new();
        for by in UsageBy::ALL {
            all.push(every(async |after: Cursor| world.platform.usage(&olga).table(by, 7, &after).await.unwrap()).await);
        }
        all
    };
    // Twice, in other parts: each call counts once.
    world.platform.record_calls(calls[..4].to_vec()).await.unwrap();
    world.platform.record_calls(calls.clone()).await.unwrap();
    let added = all().await;
    assert_eq!(added[1].iter().map(|l| (l.requests, l.prompt_tokens)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (6, 60));
    let admin = platform::access::PlatformScope::command_line();
    // One hour has two calls of two models, at most: fewer sums than calls, never none.
    let sums = world.platform.rebuild_usage(&admin).await.unwrap();
    assert!((3..=6).contains(&sums), "{sums}");
    assert_eq!(all().await, added);
    // Calls that come while the sums are made anew are in them, once.
    // Each begins a sum of its own: one that appears half-way through would be made twice.
    let late: Vec<Call> = (100..340).map(|n| Call { model: format!("m{n}"), ..call(n, hour, None, olga.person().id) }).collect();
    let record = async {
        for one in late.chunks(3) {
            world.platform.record_calls(one.to_vec()).await.unwrap();
        }
    };
    let rebuild = async {
        for _ in 0..30 {
            world.platform.rebuild_usage(&admin).await.unwrap();
        }
    };
    tokio::join!(record, rebuild);
    let while_rebuilt = all().await;
    assert_eq!(while_rebuilt[1].iter().map(|l| l.requests).sum::<u64>(), 246);
    world.platform.rebuild_usage(&admin).await.unwrap();
    assert_eq!(all().await, while_rebuilt);
}

async fn a_batch_with_more_sums_than_a_statement_takes_adds_each_of_them(world: World) {
    world.tenant("acme").await;
    let olga = world.scope("olga", "acme", Role::Owner).await;
    let hour = Timestamp(now().0.div_euclid(HOUR) * HOUR);
    let sums = 10..1_213u128;
    for round in 0..2 {
        let of_its_own = |n: u128| Call {
            model: format!("m{n}"),
            endpoint: Some(EndpointId::from_uuid(uuid::Uuid::from_u128(n))),
            ..call(n + round * 10_000, hour, None, olga.person().id)
        };
        assert_eq!(world.platform.record_calls(sums.clone().map(of_its_own).collect()).await.unwrap(), 0);
    }
    for twice in ["usage_hours WHERE requests = 2 AND prompt_tokens = 20 AND completion_tokens = 10", "first_token_hours WHERE calls = 2"] {
        assert_eq!(world.execute(format!("DELETE FROM {twice}")).await.unwrap(), 1_203, "{twice}");
    }
}
