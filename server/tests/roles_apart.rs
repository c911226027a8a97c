//! The roles as processes of their own: two webs, a gateway, two controllers on one PostgreSQL, one store and one engine. The main job is
//! done through both webs in turn with one session, and the leading controller is killed in the middle of it.

mod processes;

use futures::StreamExt;
use processes::{
    Portal, Setup, TaskFolders, launch::Launch, person::Person, postgres::Postgres, prepare, programs::Programs, within, world,
};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const TENANT: &str = "lumenta";
const BASE: &str = "world-4m";
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_main_job_on_two_webs_a_gateway_and_two_controllers_of_which_one_is_killed() {
    prepare();
    let Some(database) = Postgres::start() else { return };
    let data = tempfile::tempdir().unwrap();
    let _tasks = TaskFolders(data.path().to_owned());
    let programs = Programs::standins(&data.path().join("programs"), 0.15);
    let setup = |name: &str, role: &str| {
        Setup::new(data.path(), name)
            .with("--role", role)
            .with("--database-url", &database.url)
            .with("--trainer-python", programs.python().display())
            .with("--vllm-python", programs.python().display())
    };
    let gateway = setup("gateway", "gateway");
    let web = |name| setup(name, "web").with("--gateway-url", &gateway.address);
    let webs = [web("web-1"), web("web-2")];
    // The first one brings the schema up to date.
    let _first = webs[0].start().await;
    let _second = webs[1].start().await;
    let _gateway = gateway.start().await;
    let controllers = [setup("controller-1", "controller"), setup("controller-2", "controller")];
    let mut running: Vec<Option<Portal>> = vec![Some(controllers[0].start().await), Some(controllers[1].start().await)];

    let (one, two) = (webs[0].address.as_str(), webs[1].address.as_str());
    let admin = Person::sign_in(one, "admin").await;
    let jonas = Person::sign_in(one, "jonas").await;

    // Signed in at the first web, one is signed in at the second.
    admin
        .did(
            two,
            "admin/base-model-register",
            &[("folder", &world("base-model").display().to_string()), ("name", BASE), ("licence", "Apache-2.0"), ("template", "")],
        )
        .await;
    within(PATIENCE, "the base model is ready", async || {
        (admin.did(one, "admin/base-models", &[]).await.body["models"]["rows"][0]["state"] == "ready").then_some(())
    })
    .await;

    let rows = std::fs::read(world("datasets/lumenta-facts.jsonl")).unwrap();
    jonas.upload(two, TENANT, "facts", BASE, &rows, None).await.unwrap();
    within(PATIENCE, "the dataset is judged", async || {
        let page = jonas.did(one, "datasets/get", &[("tenant", TENANT), ("name", "facts"), ("number", "0")]).await.body;
        (page["version"]["state"] == "ready").then_some(())
    })
    .await;

    let form = launch_form();
    let launched = jonas.did(one, "runs/launch", &form).await.leads_to.unwrap();
    assert_eq!(jonas.did(two, "runs/launch", &form).await.leads_to.as_deref(), Some(launched.as_str()), "the same form at the other web");
    let id = launched.rsplit('/').next().unwrap().to_owned();
    let this_run = [("tenant", TENANT), ("id", id.as_str())];

    within(PATIENCE, "the curve has five points", async || {
        let points = jonas.did(two, "runs/metrics", &this_run).await.body.as_array().map_or(0, Vec::len);
        (points >= 5).then_some(())
    })
    .await;
    let leading = leader(data.path());
    running[leading].take().unwrap().kill();
    let killed = Instant::now();
    let points = jonas.did(one, "runs/metrics", &this_run).await.body.as_array().map_or(0, Vec::len);
    within(Duration::from_secs(15), "the other controller goes on with the curve", async || {
        let now = jonas.did(two, "runs/metrics", &this_run).await.body.as_array().map_or(0, Vec::len);
        (now > points).then_some(())
    })
    .await;
    println!("the other controller went on {:.1} s after the kill", killed.elapsed().as_secs_f32());

    let mut turn = 0;
    let run = within(PATIENCE, "the run has succeeded", async || {
        turn += 1;
        let run = jonas.did([one, two][turn % 2], "runs/get", &this_run).await.body["run"].clone();
        assert!(run["state"] != "failed", "{}", run["failure"]);
        (run["state"] == "succeeded").then_some(run)
    })
    .await;
    nothing_is_doubled(&jonas, one, &this_run, &run, &programs).await;

    // Deploy at one, watch at two.
    jonas.did(one, "endpoints/create", &[("tenant", TENANT), ("name", "assistant"), ("base_model", BASE)]).await;
    jonas.did(two, "endpoints/deploy", &[("tenant", TENANT), ("model", "assistant"), ("number", "1"), ("endpoint", "assistant")]).await;
    within(PATIENCE, "the adapter is served", async || {
        let e = jonas.did(two, "endpoints/get", &[("tenant", TENANT), ("name", "assistant")]).await.body["endpoint"].clone();
        assert!(e["state"] != "failed", "{}", e["reason"]);
        (e["state"] == "ready" && e["attachments"][0]["state"] == "ready").then_some(())
    })
    .await;
    assert_eq!(programs.starts("serve"), 1, "one model server");

    key_and_call(&jonas, one, two, &gateway.address, run["model_version"].as_str().unwrap()).await;
    playground(&jonas, two).await;
    let checked = Command::new(env!("CARGO_BIN_EXE_atelier"))
        .args(["audit", "verify", "--database-url", &database.url, "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
}

fn launch_form() -> Vec<(&'static str, &'static str)> {
    Launch { tenant: TENANT, name: "facts-lora", dataset: "facts", model: "assistant", batch: "64", submission: "once-and-only-once" }
        .fields()
}

/// Which controller's log says that it leads. Before the kill it is exactly one.
fn leader(data: &Path) -> usize {
    let leads = |n: usize| {
        std::fs::read_to_string(data.join(format!("controller-{}.log", n + 1))).unwrap_or_default().contains("leads the controllers")
    };
    match (leads(0), leads(1)) {
        (true, false) => 0,
        (false, true) => 1,
        both => panic!("who leads? {both:?}"),
    }
}

async fn nothing_is_doubled(jonas: &Person, address: &str, this_run: &[(&str, &str); 2], run: &Value, programs: &Programs) {
    assert_eq!((programs.starts("train"), programs.starts("evaluate")), (1, 1), "each program is started exactly once");
    let mut asked = this_run.to_vec();
    asked.extend([("lines", "2000"), ("level", ""), ("text", "")]);
    let log = jonas.did(address, "runs/log", &asked).await.body;
    let numbers: Vec<u64> = log["lines"].as_array().unwrap().iter().map(|l| l["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "the log has no gap and no double");
    let said: Vec<&str> =
        log["lines"].as_array().unwrap().iter().filter_map(|l| l["text"].as_str()).filter(|t| t.starts_with("trained step ")).collect();
    assert_eq!(said, (1..=40).map(|n| format!("trained step {n:03} of 40")).collect::<Vec<_>>());
    let metrics = jonas.did(address, "runs/metrics", this_run).await.body;
    let steps: Vec<u64> = metrics.as_array().unwrap().iter().filter(|m| m["loss"].is_number()).filter_map(|m| m["step"].as_u64()).collect();
    assert_eq!(steps, (1..=40).collect::<Vec<_>>());
    assert!(run["steps"].as_array().unwrap().iter().all(|s| s["state"] == "done"), "{}", run["steps"]);
    let model = jonas.did(address, "models/get", &[("tenant", TENANT), ("name", "assistant"), ("number", "0")]).await.body;
    assert_eq!(model["versions_total"].as_u64(), Some(1), "published once");
}

/// A key made at one web works at the gateway, is revoked at the other, and the pages of both hear of it.
async fn key_and_call(jonas: &Person, one: &str, two: &str, gateway: &str, version: &str) {
    let form = [("tenant", TENANT), ("form[label]", "roles apart"), ("form[may]", "all"), ("form[expires_in_days]", "1")];
    let made = jonas.did(two, "keys/create", &form).await.body;
    let (key, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let call = async || {
        let body = json!({"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]});
        let answer =
            reqwest::Client::new().post(format!("{gateway}/v1/chat/completions")).bearer_auth(secret).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let answer = within(Duration::from_secs(10), "the gateway knows key and model", async || match call().await {
        (200, answer) => Some(answer),
        _ => None,
    })
    .await;
    assert_eq!(answer["choices"][0]["message"]["content"], format!("answered by {version}"), "the tuned version answers");
    assert_eq!(answer["model"], "assistant", "under the name that was asked for");
    within(Duration::from_secs(15), "the call is in the usage", async || {
        let usage = jonas.did(one, "usage/get", &[("tenant", TENANT), ("by", "key"), ("days", "1")]).await.body;
        usage.to_string().contains(key).then_some(())
    })
    .await;

    let mut events = jonas.events(two, TENANT).await;
    jonas.did(one, "keys/revoke", &[("tenant", TENANT), ("key", key)]).await;
    let revoked = Instant::now();
    within(Duration::from_millis(1000), "the revoked key is refused", async || (call().await.0 == 401).then_some(())).await;
    let told = async {
        let mut heard = String::new();
        while let Some(piece) = events.next().await {
            heard.push_str(&String::from_utf8_lossy(&piece.unwrap()));
            if heard.contains("\"topic\":\"key\"") && heard.contains(key) {
                return;
            }
        }
        panic!("the stream of events ended: {heard}");
    };
    tokio::time::timeout(Duration::from_secs(3), told).await.expect("the other web tells its pages within 3 s");
    println!("revoked and told after {:.1} s", revoked.elapsed().as_secs_f32());
}

/// The web asks the gateway in the person's name; the conversation is kept.
async fn playground(jonas: &Person, address: &str) {
    let asked = json!({"models": ["assistant", BASE], "system": "", "question": "Who leads Velkor?"});
    let stream = jonas.post_json(address, &format!("/t/{TENANT}/playground/chat"), &asked).await.unwrap();
    assert!(stream.contains("event: saved") && !stream.contains("event: failed"), "{stream}");
    assert!(stream.contains(&format!("answered by {BASE}")), "{stream}");
}
