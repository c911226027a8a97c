//! A training over two nodes, as a person launches it at the portal: two real pods with the real trainer, which meet by LLaMA-Factory's own
//! variables and share the rows (gloo, on CPU); and what becomes of it when one of the two is killed. `ATELIER_CLUSTER` names the cluster.

mod processes;

use processes::{
    cluster::Cluster,
    house_on_a_cluster::{House, PATIENCE, TENANT, is_over},
    postgres::Postgres,
    within,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    process::Stdio,
    time::{Duration, Instant},
};

/// From the death of one pod until the run says why: the other's connection breaks at once, its trainer ends, and its task tells. A pod that
/// hung would be here until the deadline of days.
const NO_HANG: Duration = Duration::from_secs(120);
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

fn task(id: &str, attempt: u32) -> String {
    let again = if attempt > 1 { format!("-{attempt}") } else { String::new() };
    format!("{}-train{again}", id.replace('_', "-"))
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

/// Two trainers at a time are enough for a small machine.
static ONE_BY_ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_over_two_nodes_is_two_pods_one_curve_and_one_adapter() {
    let Some(cluster) = Cluster::find("a training over two nodes") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let _alone = ONE_BY_ONE.lock().await;
    two_pods_train_one_adapter(&House::start(&cluster, postgres).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_pods_that_is_killed_ends_both_and_another_try_goes_on() {
    let Some(cluster) = Cluster::find("a training over two nodes, one of which dies") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let _alone = ONE_BY_ONE.lock().await;
    one_that_is_killed_ends_both_and_another_try_goes_on(&House::start(&cluster, postgres).await).await;
}

async fn two_pods_train_one_adapter(house: &House<'_>) {
    let begun = Instant::now();
    let id = house.launch_with("over-two", &BATCH.to_string(), &[("form[nodes]", "2")]).await;
    let task = task(&id, 1);
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

async fn one_that_is_killed_ends_both_and_another_try_goes_on(house: &House<'_>) {
    let begun = Instant::now();
    // More steps: time between the first checkpoint and the end.
    let id = house.launch_with("one-is-killed", "8", &[("form[nodes]", "2")]).await;
    let first = task(&id, 1);
    let checkpoint = within(PATIENCE, "a checkpoint of the training is stored", async || {
        let run = house.run(&id).await?;
        assert!(!is_over(&run), "it is {} before a checkpoint was stored: {}", run["state"], run["failure"]);
        run["progress"]["checkpoint"].as_u64()
    })
    .await;
    let both = pods(house, &first);
    assert_eq!(at_work(&both), ["0", "1"]);
    let other = &both.iter().find(|pod| pod.index == "1").unwrap().name;
    let killed = Instant::now();
    let delete = ["-n", &house.namespace, "delete", "pod", other, "--grace-period=1", "--wait=false"];
    assert!(house.cluster.kubectl(&delete).stdout(Stdio::null()).status().unwrap().success());

    let run = within(NO_HANG, "the run says that one of its pods was killed", async || house.run(&id).await.filter(is_over)).await;
    println!("told {} s after one pod was killed: {}", killed.elapsed().as_secs(), run["failure"]);
    assert_eq!(run["state"], "failed");
    assert_eq!(run["failure"]["cause"]["code"], "removed", "{}\n{:#?}", run["failure"], log(house, &id).await);
    within(NO_HANG, "no pod of the failed try is at work", async || at_work(&pods(house, &first)).is_empty().then_some(())).await;
    assert_eq!(versions(house).await.unwrap_or(0), 0, "nothing was published of it");

    house.engineer.did(&house.setup.address, "runs/try-again", &[("tenant", TENANT), ("id", &id), ("step", "train")]).await;
    let run = within(PATIENCE, "the other try is over", async || {
        house.run(&id).await.filter(|run| is_over(run) && run["steps"][1]["attempt"] == 2)
    })
    .await;
    assert_eq!(run["state"], "succeeded", "{}\n{:#?}", run["failure"], log(house, &id).await);
    let resumed = run["progress"]["resumed_at"].as_u64();
    assert!(resumed.is_some_and(|step| step >= checkpoint), "it went on from {resumed:?}, and {checkpoint} was stored");
    is_told_once(house, &id, &run).await;
    assert_eq!(versions(house).await, Some(1), "published once");
    let seen = house.pods.seen();
    assert_eq!((seen[&first].len(), seen[&task(&id, 2)].len()), (2, 2), "{seen:?}");
    println!("succeeded after {} s", begun.elapsed().as_secs());
}
