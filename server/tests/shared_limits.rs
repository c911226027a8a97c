//! One key at two gateways: its limit holds over both together. On PostgreSQL, with two processes.

mod processes;

use futures::future::join_all;
use processes::{
    Setup,
    house::{BASE, House, TENANT},
    person::Person,
    postgres::Postgres,
    within,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

const LIMIT: u32 = 300;
const CLIENTS: usize = 200;
/// Less than a window of the limit: what gets through in it may be all of the limit, and never more.
const FOR: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_of_one_key_at_two_gateways_get_its_limit_and_no_more() {
    let Some(database) = Postgres::start() else { return };
    let house = House::start(Some(&database)).await;
    let second = Setup::new(house.data.path(), "gateway-2").with("--role", "gateway").with("--database-url", &database.url);
    let _second = second.start().await;
    let jonas = Person::sign_in(&house.setup.address, "jonas").await;
    let limit = LIMIT.to_string();
    let form = [
        ("tenant", TENANT),
        ("form[label]", "limited"),
        ("form[may]", "all"),
        ("form[requests_per_minute]", limit.as_str()),
        ("form[expires_in_days]", "1"),
    ];
    let key = jonas.did(&house.setup.address, "keys/create", &form).await.body["secret"].as_str().unwrap().to_owned();
    let http = reqwest::Client::new();
    let gateways = [house.setup.address.clone(), second.address.clone()];
    // A list of models counts under no limit.
    for address in &gateways {
        within(Duration::from_secs(30), "the gateway knows the key", async || {
            let answer = http.get(format!("{address}/v1/models")).bearer_auth(&key).send().await.unwrap();
            answer.status().is_success().then_some(())
        })
        .await;
    }

    let (through, refused, other) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let end = Instant::now() + FOR;
    join_all((0..CLIENTS).map(|client| {
        // Three of four at the first gateway: a share that does not move would leave half of the limit unused.
        let address = gateways[usize::from(client % 4 == 0)].clone();
        let (http, key, through, refused, other) = (http.clone(), key.clone(), through.clone(), refused.clone(), other.clone());
        async move {
            while Instant::now() < end {
                let body = json!({"model": BASE, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4});
                let answer = http.post(format!("{address}/v1/chat/completions")).bearer_auth(&key).json(&body).send().await;
                let status = answer.map_or(0, |answer| answer.status().as_u16());
                let counted = match status {
                    200 => &through,
                    429 => &refused,
                    _ => &other,
                };
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(if status == 200 { 20 } else { 500 })).await;
            }
        }
    }))
    .await;
    let [through, refused, other] = [through, refused, other].map(|n| n.load(Ordering::Relaxed));
    println!("{through} of {LIMIT} got through, {refused} were refused, {other} otherwise");
    assert!(through <= LIMIT, "{through} of {LIMIT}");
    assert!(through * 100 >= LIMIT * 95, "{through} of {LIMIT}: more than a twentieth is unused");
    assert!(refused > 0, "nobody met the limit");
}
