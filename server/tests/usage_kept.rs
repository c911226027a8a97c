//! No call goes uncounted: the portal is killed while it answers, the database goes away, streams are open at the end. With a
//! stand-in for the model server, which is a process of its own and lives on.

mod portal;
mod processes;

use domain::{ids::CallId, time::Timestamp, usage::Call};
use portal::{TestPortal, says};
use processes::{
    Setup,
    house::{BASE, House, PATIENCE, TENANT, call, number},
    person::Person,
    postgres::Postgres,
    within,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The lock that `platform::store` takes for each change.
const WRITERS_LINE: i64 = 0x61_74_65_6c_69_65_72;
/// What the portal says when a batch could not be written.
const GIVEN_UP: &str = "usage cannot be written now";

async fn kills_lose_no_answered_call(house: House) {
    let mut house = house;
    let mut all = BTreeSet::new();
    for _ in 0..3 {
        let answered = Arc::new(Mutex::new(BTreeSet::new()));
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let (answered, address, key) = (answered.clone(), house.setup.address.clone(), house.key.clone());
                tokio::spawn(async move {
                    // Until the portal is gone.
                    let mut missed = 0;
                    for n in 0.. {
                        if let Some(id) = call(&address, &key, n % 2 == 0).await {
                            answered.lock().unwrap().insert(id);
                            missed = 0;
                        } else {
                            missed += 1;
                            if missed > 50 {
                                return;
                            }
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                })
            })
            .collect();
        within(PATIENCE, "a hundred calls are answered", async || (answered.lock().unwrap().len() >= 100).then_some(())).await;
        house.portal.take().unwrap().kill();
        for client in clients {
            client.await.unwrap();
        }
        all.extend(answered.lock().unwrap().iter().cloned());
        house.portal = Some(house.setup.start().await);
    }
    println!("{} calls answered through 3 kills", all.len());
    house.counts_each_once(&all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_killed_portal_has_counted_every_call_that_it_answered() {
    kills_lose_no_answered_call(House::start(None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_killed_portal_has_counted_every_call_that_it_answered() {
    let Some(database) = Postgres::start() else { return };
    kills_lose_no_answered_call(House::start(Some(&database)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_gateway_goes_on_answering_and_every_call_is_counted_when_it_is_back() {
    let Some(mut database) = Postgres::start() else { return };
    let mut house = House::start(Some(&database)).await;
    let mut answered = BTreeSet::new();
    let away = async |house: &House, answered: &mut BTreeSet<String>| {
        for n in 0..150 {
            answered.insert(house.call(n % 2 == 0).await.expect("a call was not answered while the database was away"));
        }
    };
    database.go_away();
    away(&house, &mut answered).await;
    // Longer than anything waits for a connection, so that whatever gives up has given up: what is away for an hour is away no other way.
    within(PATIENCE, "the portal has given up on it several times", async || (house.said(GIVEN_UP) >= 3).then_some(())).await;
    away(&house, &mut answered).await;
    database.come_back();
    house.counts_each_once(&answered).await;

    // And a portal that is told to stop while it is away keeps them for the next one.
    database.go_away();
    away(&house, &mut answered).await;
    assert!(house.portal.take().unwrap().stop().await);
    assert!(house.spooled() > 0);
    database.come_back();
    house.portal = Some(house.setup.start().await);
    house.counts_each_once(&answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_falls_silent_and_never_hangs_up_is_given_up_and_asked_anew() {
    let Some(database) = Postgres::start() else { return };
    let (wire, address) = database.wire().await;
    let house = House::through(&address, &database).await;
    let at = house.setup.address.clone();
    let jonas = Person::sign_in(&at, "jonas").await;
    let make_key = async || {
        let form = [("tenant", TENANT), ("form[label]", "later"), ("form[may]", "all"), ("form[expires_in_days]", "1")];
        jonas.send(&at, "keys/create", &form).await.ok()
    };
    // Locks by which a batch of calls and a change are under way in the database when it falls silent.
    let direct = sqlx::PgPool::connect(&database.url).await.unwrap();
    let mut locks = direct.begin().await.unwrap();
    sqlx::query("LOCK TABLE usage_hours IN EXCLUSIVE MODE").execute(&mut *locks).await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS_LINE).execute(&mut *locks).await.unwrap();
    let mut answered = BTreeSet::new();
    answered.insert(house.call(false).await.expect("a call was not answered"));
    let falling_silent = async {
        within(PATIENCE, "both wait", async || {
            let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            let (waiting,): (i64,) = sqlx::query_as(sql).fetch_one(&direct).await.unwrap();
            (waiting >= 2).then_some(())
        })
        .await;
        wire.fall_silent();
        locks.rollback().await.unwrap();
    };
    let (made, ()) = tokio::join!(make_key(), falling_silent);
    assert!(made.is_none(), "it is told that the database is away");
    for n in 0..100 {
        answered.insert(house.call(n % 2 == 0).await.expect("a call was not answered while the database was silent"));
    }
    within(PATIENCE, "the portal does not wait for ever", async || (house.said(GIVEN_UP) > 0).then_some(())).await;

    // The connections of before stay silent for good: whoever still waits for one of them waits for ever.
    wire.speak();
    house.counts_each_once(&answered).await;
    let made = within(PATIENCE, "changes are made again", make_key).await;
    let key = made.body["secret"].as_str().unwrap().to_owned();
    within(PATIENCE, "the gateway hears of it", async || call(&at, &key, false).await).await;
    let ready = async || reqwest::get(format!("{at}/readyz")).await.is_ok_and(|a| a.status() == 200).then_some(());
    within(PATIENCE, "the portal is ready again", ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_takes_longer_than_the_end_of_the_portal_is_broken_off_for_all_to_see_and_counted() {
    let mut house = House::with(None, |setup| setup.with("--drain-timeout", "1")).await;
    let body = json!({"model": BASE, "stream": true, "messages": [{"role": "user", "content": "slowly"}]});
    let mut streams = Vec::new();
    let mut open = BTreeSet::new();
    for _ in 0..5 {
        let request = reqwest::Client::new().post(format!("{}/v1/chat/completions", house.setup.address));
        let mut answer = request.bearer_auth(&house.key).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.chunk().await.unwrap().is_some(), "it has begun");
        open.insert(number(&answer));
        streams.push(answer);
    }
    assert!(house.portal.take().unwrap().stop().await);
    for mut answer in streams {
        let end = loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_err(), "a client takes it for whole");
    }
    house.portal = Some(house.setup.start().await);
    house.counts_each_once(&open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_on_one_data_folder_count_every_call_of_both_also_when_one_is_killed() {
    let Some(database) = Postgres::start() else { return };
    let house = House::start(Some(&database)).await;
    let second = Setup::new(house.data.path(), "gateway-2").with("--role", "gateway").with("--database-url", &database.url);
    let portal = second.start().await;
    let mut answered = BTreeSet::new();
    for n in 0..100 {
        let address = if n % 2 == 0 { &house.setup.address } else { &second.address };
        answered.insert(call(address, &house.key, false).await.unwrap_or_else(|| panic!("call {n} at {address}")));
    }
    portal.kill();
    let again = second.start().await;
    house.counts_each_once(&answered).await;
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refused_is_shown_to_the_admin_with_the_reason_and_tried_again_from_the_page() {
    let portal = TestPortal::start().await;
    let homeless = Call {
        id: CallId::from_uuid(uuid::Uuid::from_u128(7)),
        tenant: "not-yet".parse().unwrap(),
        at: Timestamp(1_800_000_000_000),
        key: None,
        person: None,
        endpoint: None,
        model: "the-model-of-then".into(),
        model_version: None,
        route: "chat/completions".into(),
        stream: false,
        status: 200,
        error: None,
        prompt_tokens: 1_234,
        completion_tokens: 5,
        estimated: false,
        first_token_ms: None,
        duration_ms: 100,
        finish_reason: None,
        request_id: "req-7".into(),
    };
    assert_eq!(portal.portal.platform.record_calls(vec![homeless.clone()]).await.unwrap(), 1);
    let mut admin = portal.signed_in("admin").await;
    let page = admin.get("/admin/usage").await;
    for shown in [homeless.id.to_string().as_str(), "not-yet", "the-model-of-then", "1\u{a0}234", "Try again"] {
        assert!(says(&page, shown), "{shown}: {}", page.body);
    }
    let file = admin.get("/admin/usage/set-aside.jsonl").await;
    assert_eq!((file.status, file.body.lines().count()), (200, 1), "{}", file.body);
    assert!(says(&file, "\"request_id\":\"req-7\""), "{}", file.body);
    for nobody in ["mira", "otto"] {
        assert_eq!(portal.signed_in(nobody).await.get("/admin/usage/set-aside.jsonl").await.status, 404, "{nobody}");
    }

    let again = admin.call("/rpc/admin/usage-try-again", "").await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert!(says(&admin.get("/admin/usage").await, "not-yet"), "the cause is still there");
    let form =
        [("name", "not-yet"), ("title", "Not yet"), ("quota[concurrent_runs]", "1"), ("quota[storage_gb]", "5"), ("quota[endpoints]", "1")];
    assert_eq!(admin.post_form("/rpc/admin/tenant-create", &form).await.status, 302);
    admin.call("/rpc/admin/usage-try-again", "").await;
    assert!(says(&admin.get("/admin/usage").await, "Every call is recorded"));
}
