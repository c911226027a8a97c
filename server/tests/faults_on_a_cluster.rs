//! What goes wrong around a run on a real cluster, as the portal sees it and tells it: its own death at each step, an API server that falls
//! silent, a database that is started again, a quota below what is used, a namespace that somebody deletes, a store that breaks off an upload.
//! The trainer is the real one.
//! What the engine makes of single faults is in its contract. `ATELIER_CLUSTER` names the cluster.

mod processes;

use processes::{
    cluster::Cluster,
    house_on_a_cluster::{House, PATIENCE, TENANT, at_work, is_over},
    postgres::Postgres,
    wire::Wire,
    within,
};
use std::{process::Stdio, time::Duration};

/// How long the API server says nothing: longer than any request to it may take.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the store refuses everybody, after it broke off an upload.
const REFUSAL: Duration = Duration::from_secs(20);
/// In the middle of a file of a checkpoint, and more than any other request of a run has.
const HALF_A_CHECKPOINT: usize = 200_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_a_cluster_come_through_what_fails_around_them_and_nothing_is_started_twice() {
    let Some(cluster) = Cluster::find("faults around a run") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let mut house = House::start(&cluster, postgres).await;
    killed_silent_and_restarted(&mut house).await;
    quota_lowered_and_namespace_deleted(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_breaks_off_an_upload_and_then_refuses_costs_a_run_time_and_nothing_else() {
    let Some(cluster) = Cluster::find("a store that breaks off an upload") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let store = cluster.text("/s3/endpoint").trim_start_matches("http://").to_owned();
    let wire = Wire::between(store.split(':').next().unwrap(), store.clone()).await;
    let endpoint = format!("http://{}:{}", store.split(':').next().unwrap(), wire.port);
    let house = House::start_with_store(&cluster, postgres, &endpoint).await;
    upload_is_broken_off(&house, &wire).await;
}

async fn upload_is_broken_off(house: &House<'_>, wire: &Wire) {
    // Many short steps: a checkpoint is stored before the result.
    let id = house.launch_with("with-a-broken-store", "8", &[]).await;
    house.until_at(&id, "train", 1).await;
    wire.cut_after(HALF_A_CHECKPOINT);
    within(PATIENCE, "an upload is cut off", async || tokio::time::timeout(Duration::from_millis(200), wire.was_cut()).await.ok()).await;
    tokio::time::sleep(REFUSAL).await;
    let run = house.run(&id).await.unwrap();
    assert!(!is_over(&run), "a store that is away for a moment ends nothing: {} {}", run["state"], run["failure"]);
    wire.speak();
    let run = house.until_over(&id).await;
    assert_eq!(run["state"], "succeeded", "{}", run["failure"]);
    assert!(run["progress"]["checkpoint"].is_u64(), "the checkpoint was stored after all: {}", run["progress"]);
    house.log_is_whole(&id).await;
    let pods = house.pods.seen();
    assert!(pods.values().all(|uids| uids.len() == 1), "a step had more than one pod: {pods:?}");
    let model = house.asked("models/get", &[("tenant", TENANT), ("name", "assistant"), ("number", "0")]).await.unwrap();
    assert_eq!(model["versions_total"].as_u64(), Some(1), "published once");
}

async fn killed_silent_and_restarted(house: &mut House<'_>) {
    let id = house.launch("through-it-all").await;
    house.kill_and_start_again().await;
    for step in ["prepare", "train"] {
        house.until_at(&id, step, 0).await;
        house.kill_and_start_again().await;
    }

    // The pod goes on while nobody can ask for it.
    house.until_at(&id, "train", 1).await;
    house.wire.fall_silent();
    let silent = tokio::time::Instant::now();
    house.postgres.go_away();
    tokio::time::sleep(Duration::from_secs(3)).await;
    house.postgres.come_back();
    within(Duration::from_secs(60), "the portal has its database again", async || house.run(&id).await.map(drop)).await;
    tokio::time::sleep_until(silent + SILENCE).await;
    let run = house.run(&id).await.unwrap();
    assert!(!is_over(&run), "an API server that says nothing says nothing of a run: {} {}", run["state"], run["failure"]);
    house.wire.speak();

    house.until_at(&id, "evaluate", 0).await;
    house.kill_and_start_again().await;
    let run = house.until_over(&id).await;
    assert_eq!(run["state"], "succeeded", "{}", run["failure"]);
    let steps = run["steps"].as_array().unwrap();
    assert!(steps.len() == 4 && steps.iter().all(|s| s["state"] == "done" && s["attempt"] == 1), "{steps:?}");
    let curve = house.curve(&id).await;
    assert_eq!(curve.last().copied(), run["progress"]["total_steps"].as_u64(), "{curve:?}");
    assert!(curve.windows(2).all(|w| w[1] - w[0] == curve[0]), "a gap in the curve: {curve:?}");
    house.log_is_whole(&id).await;
    let pods = house.pods.seen();
    assert!(pods.len() >= 2 && pods.values().all(|uids| uids.len() == 1), "a step had more than one pod: {pods:?}");
    let model = house.asked("models/get", &[("tenant", TENANT), ("name", "assistant"), ("number", "0")]).await.unwrap();
    assert_eq!(model["versions_total"].as_u64(), Some(1), "published once");
}

async fn quota_lowered_and_namespace_deleted(house: &House<'_>) {
    let id = house.launch("under-a-lower-quota").await;
    house.until_at(&id, "train", 1).await;
    house.quota("0.01").await;
    let waits = house.launch("has-to-wait").await;
    let why = within(PATIENCE, "the new run says what it waits for", async || {
        let said = house.run(&waits).await?.to_string();
        said.contains("quota").then_some(said)
    })
    .await;
    assert!(why.contains("memory"), "{why}");
    assert!(!is_over(&house.run(&id).await.unwrap()), "what runs already goes on");
    house.engineer.did(&house.setup.address, "runs/cancel", &[("tenant", TENANT), ("id", &waits)]).await;
    house.quota("").await;

    let deleted = house.cluster.kubectl(&["delete", "namespace", &house.namespace, "--wait=false"]).stdout(Stdio::null()).status();
    assert!(deleted.unwrap().success());
    let run = house.until_over(&id).await;
    assert_eq!((&run["state"], &run["failure"]["cause"]["code"]), (&"failed".into(), &"removed".into()), "{}", run["failure"]);
    house.engineer.did(&house.setup.address, "runs/try-again", &[("tenant", TENANT), ("id", &id), ("step", "train")]).await;
    let run = within(PATIENCE, "the other try is over", async || {
        house.run(&id).await.filter(|run| run["state"] == "succeeded" || (run["state"] == "failed" && at_work(run).is_none()))
    })
    .await;
    assert_eq!(run["state"], "succeeded", "{}", run["failure"]);
    let train = run["steps"].as_array().unwrap().iter().find(|s| s["kind"] == "train").unwrap();
    assert_eq!(train["attempt"], 2);
}
