//! A training over two nodes, as a person launches it at the portal: two real pods with the real trainer, which meet by LLaMA-Factory's own
//! variables and share the rows (gloo, on CPU). `ATELIER_CLUSTER` names the cluster.

mod processes;

use processes::{
    cluster::Cluster,
    house_on_a_cluster::{House, PATIENCE, TENANT, is_over},
    postgres::Postgres,
    within,
};
use serde_json::Value;
use std::{collections::BTreeSet, time::Instant};

/// Rows in a step of one process, of epochs that [`processes::launch::Launch`] asks for.
const BATCH: u64 = 16;
const EPOCHS: u64 = 4;

/// A pod of the training: name, number, phase.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pod {
    name: String,
    index: String,
    phase: String,
}

fn pods(house: &House<'_>, task: &str) -> Vec<Pod> {
    let line = r#"jsonpath={range .items[*]}{.metadata.name} {.metadata.labels.batch\.kubernetes\.io/job-completion-index} {.status.phase}{"\n"}{end}"#;
    let labels = format!("atelier.dev/task={task}");
    let seen = house.cluster.asked(&["-n", &house.namespace, "get", "pods", "-l", &labels, "-o", line]);
    let pod = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some(Pod { name: words.next()?, index: words.next()?, phase: words.next()? })
    };
    seen.lines().filter_map(pod).collect()
}

fn at_work(pods: &[Pod]) -> Vec<&str> {
    pods.iter().filter(|pod| pod.phase == "Running").map(|pod| pod.index.as_str()).collect()
}

/// The name of the training's task.
fn task(id: &str) -> String {
    format!("{}-train", id.replace('_', "-"))
}

async fn log(house: &House<'_>, id: &str) -> Vec<String> {
    let fields = [("tenant", TENANT), ("id", id), ("lines", "2000"), ("level", ""), ("text", "")];
    let log = house.asked("runs/log", &fields).await.unwrap();
    log["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn versions(house: &House<'_>) -> Option<u64> {
    let model = house.asked("models/get", &[("tenant", TENANT), ("name", "assistant"), ("number", "0")]).await?;
    model["versions_total"].as_u64()
}

/// One curve from the first step to the last, and nothing of it or of the log twice.
async fn is_told_once(house: &House<'_>, id: &str, run: &Value) {
    let curve = house.curve(id).await;
    assert_eq!(curve.last().copied(), run["progress"]["total_steps"].as_u64(), "{curve:?}");
    assert!(curve.windows(2).all(|w| w[1] - w[0] == curve[0]), "a gap or a double in the curve: {curve:?}");
    house.log_is_whole(id).await;
    let log = log(house, id).await;
    let stored: Vec<&String> = log.iter().filter(|line| line.starts_with("Stored the checkpoint")).collect();
    assert!(!stored.is_empty(), "no checkpoint was stored: {log:#?}");
    assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), stored.len(), "a checkpoint was stored by both: {stored:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_over_two_nodes_is_two_pods_one_curve_and_one_adapter() {
    let Some(cluster) = Cluster::find("a training over two nodes") else { return };
    let Some(postgres) = Postgres::start() else { return };
    two_pods_train_one_adapter(&House::start(&cluster, postgres).await).await;
}

async fn two_pods_train_one_adapter(house: &House<'_>) {
    let begun = Instant::now();
    let id = house.launch_with("over-two", &BATCH.to_string(), &[("form[nodes]", "2")]).await;
    let task = task(&id);
    within(PATIENCE, "two pods of the training run at once", async || {
        let run = house.run(&id).await?;
        assert!(!is_over(&run), "it is {} before two pods ran at once: {}", run["state"], run["failure"]);
        (at_work(&pods(house, &task)) == ["0", "1"]).then_some(())
    })
    .await;
    let both = pods(house, &task);
    house.until_at(&id, "train", 1).await;
    assert_eq!(at_work(&pods(house, &task)), ["0", "1"], "with a point in the curve, both are at work: {both:?}");
    println!("two pods and a first point after {} s", begun.elapsed().as_secs());

    let run = house.until_over(&id).await;
    assert_eq!(run["state"], "succeeded", "{}\n{:#?}", run["failure"], log(house, &id).await);
    let page = house.asked("datasets/get", &[("tenant", TENANT), ("name", "facts"), ("number", "0")]).await.unwrap();
    let rows = page["version"]["report"]["train_rows"].as_u64().unwrap_or_else(|| panic!("{}", page["version"]));
    assert_eq!(run["progress"]["total_steps"], rows.div_ceil(2 * BATCH) * EPOCHS, "two share the rows of each step");
    is_told_once(house, &id, &run).await;
    assert_eq!(versions(house).await, Some(1), "published once");
    let seen = house.pods.seen();
    assert_eq!(seen[&task].len(), 2, "the pods of the training: {seen:?}");
    assert!(seen.iter().all(|(of, uids)| *of == task || uids.len() == 1), "only the training is spread: {seen:?}");
    println!("succeeded after {} s", begun.elapsed().as_secs());
}
