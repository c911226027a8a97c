//! An image of somebody's own that trains on a real cluster: transformers alone in a pod, launched by a document, live by what transformers posts
//! by itself. `ATELIER_CLUSTER` names the cluster.

mod processes;

use processes::{
    cluster::Cluster,
    house::BASE,
    house_on_a_cluster::{House, PATIENCE, TENANT, is_over},
    person::access_token,
    postgres::Postgres,
    within,
};
use serde_json::{Value, json};

/// transformers and peft, and not a word about the portal.
const PROGRAM: &str = include_str!("../../crates/task/tests/custom/train.py");
const NAME: &str = "of-our-own";

async fn put(house: &House<'_>, document: &Value) -> (u16, Value) {
    let url = format!("{}/api/v1/tenants/{TENANT}/runs/{NAME}", house.setup.address);
    let request = reqwest::Client::new().put(url).bearer_auth(access_token(&house.setup.address, "jonas").await);
    let answer = request.header("content-type", "application/json").body(document.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn document(image: &str) -> Value {
    json!({
        "apiVersion": "atelier.dev/v1",
        "kind": "Run",
        "metadata": {"tenant": TENANT, "name": NAME},
        "spec": {
            "baseModel": BASE,
            "dataset": "facts",
            "model": "assistant",
            "settings": {"finetuning_type": "lora"},
            "custom": {
                "image": image,
                "command": ["python", "-c", PROGRAM],
                "env": {"STEPS": "30", "SECONDS_A_STEP": "0.5", "OMP_NUM_THREADS": "1"},
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_ones_own_trains_in_a_pod_and_is_live_and_what_it_leaves_is_published() {
    let Some(cluster) = Cluster::find("a training by an image of one's own") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let house = House::start(&cluster, postgres).await;
    trains_and_is_live(&house, cluster.text("/images/trainer")).await;
}

async fn trains_and_is_live(house: &House<'_>, image: &str) {
    let (status, said) = put(house, &document("registry.example.org/of/nobody:1")).await;
    assert_eq!(status, 422, "an image that is not allowed: {said}");
    assert!(said.to_string().contains(image), "what is allowed is told: {said}");

    let (status, said) = put(house, &document(image)).await;
    assert_eq!(status, 201, "{said}");
    let id = said["status"]["id"].as_str().unwrap().to_owned();
    within(PATIENCE, "its curve begins while it runs", async || {
        let run = house.run(&id).await?;
        assert!(!is_over(&run), "it is {} before anything was heard of it: {}", run["state"], run["failure"]);
        (run["progress"]["total_steps"] == 30 && !house.curve(&id).await.is_empty()).then_some(())
    })
    .await;
    let run = house.until_over(&id).await;
    assert_eq!(run["state"], "succeeded", "{}", run["failure"]);
    assert_eq!(run["progress"]["step"], 30, "{}", run["progress"]);
    let curve = house.curve(&id).await;
    assert!(curve.len() >= 2 && curve.is_sorted(), "{curve:?}");
    house.log_is_whole(&id).await;
    let pods = house.pods.seen();
    assert!(pods.len() >= 2 && pods.values().all(|uids| uids.len() == 1), "a step had more than one pod: {pods:?}");
    let model = house.asked("models/get", &[("tenant", TENANT), ("name", "assistant"), ("number", "0")]).await.unwrap();
    assert_eq!(model["versions_total"].as_u64(), Some(1), "published once");
    let (status, said) = put(house, &document(image)).await;
    assert_eq!(status, 200, "the same document changes nothing: {said}");
}
