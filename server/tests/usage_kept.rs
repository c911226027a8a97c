//! No call goes uncounted: the portal is killed while it answers, the database goes away, streams are open at the end. With a
//! stand-in for the model server, which is a process of its own and lives on.

mod processes;

use processes::{Portal, Setup, Tasks, person::Person, postgres::Postgres, prepare, programs::Programs, within, world};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

const TENANT: &str = "lumenta";
const BASE: &str = "world-4m";
const PATIENCE: Duration = Duration::from_secs(120);

/// A portal with an endpoint that answers, and a key to it.
struct House {
    setup: Setup,
    portal: Option<Portal>,
    database_url: String,
    key: String,
    _tasks: Tasks,
    data: tempfile::TempDir,
}

impl House {
    async fn start(postgres: Option<&Postgres>) -> Self {
        prepare();
        let data = tempfile::tempdir().unwrap();
        let tasks = Tasks(data.path().to_owned());
        let programs = Programs::standins(&data.path().join("programs"), 0.02);
        let mut setup = Setup::new(data.path(), "portal").with("--vllm-python", programs.python().display());
        if let Some(postgres) = postgres {
            setup = setup.with("--database-url", &postgres.url);
        }
        let database_url = match postgres {
            Some(postgres) => postgres.url.clone(),
            None => format!("sqlite:{}", data.path().join("atelier.db").display()),
        };
        let portal = setup.start().await;
        let at = setup.address.clone();
        let (admin, jonas) = (Person::sign_in(&at, "admin").await, Person::sign_in(&at, "jonas").await);
        let folder = world("base-model").display().to_string();
        admin
            .did(&at, "admin/base-model-register", &[("folder", &folder), ("name", BASE), ("licence", "Apache-2.0"), ("template", "")])
            .await;
        within(PATIENCE, "the base model is ready", async || {
            (admin.did(&at, "admin/base-models", &[]).await.body["models"][0]["state"] == "ready").then_some(())
        })
        .await;
        jonas.did(&at, "endpoints/create", &[("tenant", TENANT), ("name", "front"), ("base_model", BASE)]).await;
        within(PATIENCE, "the endpoint is ready", async || {
            let e = jonas.did(&at, "endpoints/get", &[("tenant", TENANT), ("name", "front")]).await.body["endpoint"].clone();
            assert!(e["state"] != "failed", "{}", e["reason"]);
            (e["state"] == "ready").then_some(())
        })
        .await;
        let form = [("tenant", TENANT), ("form[label]", "counted"), ("form[may]", "all"), ("form[expires_in_days]", "1")];
        let key = jonas.did(&at, "keys/create", &form).await.body["secret"].as_str().unwrap().to_owned();
        let house = Self { setup, portal: Some(portal), database_url, key, _tasks: tasks, data };
        within(PATIENCE, "the gateway knows key and model", async || house.call(false).await).await;
        house
    }

    /// The number of the request, if the whole answer came.
    async fn call(&self, stream: bool) -> Option<String> {
        call(&self.setup.address, &self.key, stream).await
    }

    /// Ids of the requests that are in the usage table, each as often as it is there.
    async fn recorded(&self) -> Vec<String> {
        let sql = "SELECT request_id FROM calls ORDER BY request_id";
        if self.database_url.starts_with("sqlite:") {
            let pool = sqlx::SqlitePool::connect(&self.database_url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
        } else {
            let pool = sqlx::PgPool::connect(&self.database_url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
        }
    }

    /// Each of them is there exactly once, sooner or later.
    async fn counts_each_once(&self, answered: &BTreeSet<String>) {
        within(PATIENCE, "every answered call is in the usage table", async || {
            let recorded: BTreeSet<String> = self.recorded().await.into_iter().collect();
            answered.is_subset(&recorded).then_some(())
        })
        .await;
        let recorded = self.recorded().await;
        let once: BTreeSet<&String> = recorded.iter().collect();
        assert_eq!(once.len(), recorded.len(), "a call was counted twice");
    }

    fn spooled(&self) -> usize {
        std::fs::read_dir(self.data.path().join("usage-spool")).map_or(0, |files| files.count())
    }
}

async fn call(address: &str, key: &str, stream: bool) -> Option<String> {
    let body = json!({"model": BASE, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]});
    let request = reqwest::Client::new().post(format!("{address}/v1/chat/completions")).bearer_auth(key).json(&body);
    let answer = request.send().await.ok()?;
    let id = number(&answer);
    let ok = answer.status() == 200;
    let end = if stream { "data: [DONE]" } else { "answered by" };
    let text = answer.text().await.ok()?;
    (ok && text.contains(end)).then_some(id)
}

/// Under which its record is found.
fn number(answer: &reqwest::Response) -> String {
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}

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
