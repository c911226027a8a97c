//! No call goes uncounted: the portal is killed while it answers, the database goes away, streams are open at the end. With a
//! stand-in for the model server, which is a process of its own and lives on.

mod processes;

use processes::{
    Setup,
    house::{BASE, House, PATIENCE, call, number},
    postgres::Postgres,
    within,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

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
async fn a_stream_that_is_cut_off_by_the_end_of_the_portal_is_counted() {
    let mut house = House::start(None).await;
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
