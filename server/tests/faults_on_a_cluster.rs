//! What goes wrong around a run on a real cluster, as the portal sees it and tells it: its own death at each step, an API server that falls
//! silent, a database that is started again, a quota below what is used, a namespace that somebody deletes. The trainer is the real one.
//! What the engine makes of single faults is in its contract.

mod processes;

use processes::{
    Portal, Setup,
    cluster::{Cluster, Kept},
    launch::Launch,
    person::Person,
    postgres::Postgres,
    prepare,
    wire::Wire,
    within, world,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

const TENANT: &str = "lumenta";
const BASE: &str = "world-4m";
/// Of a pod of the trainer on a small machine.
const PATIENCE: Duration = Duration::from_secs(400);
/// How long the API server says nothing: longer than any request to it may take.
const SILENCE: Duration = Duration::from_secs(30);

/// Every pod that there ever was in the tenant's namespace.
struct Pods {
    watching: Child,
    file: std::path::PathBuf,
}

impl Pods {
    fn watch(cluster: &Cluster, namespace: &str, folder: &Path) -> Self {
        let file = folder.join("pods");
        let line = r#"jsonpath={.metadata.labels.atelier\.dev/task} {.metadata.uid}{"\n"}"#;
        let mut kubectl = cluster.kubectl(&["-n", namespace, "get", "pods", "--watch", "-o", line]);
        let watching = kubectl.stdout(File::create(&file).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        Self { watching, file }
    }

    /// By the name of their task.
    fn seen(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
        for line in std::fs::read_to_string(&self.file).unwrap().lines() {
            let (task, uid) = line.split_once(' ').unwrap();
            seen.entry(task.to_owned()).or_default().insert(uid.to_owned());
        }
        seen
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        let _ = self.watching.kill();
        let _ = self.watching.wait();
    }
}

/// A portal beside the cluster, which reaches the API server by a wire.
struct House<'c> {
    setup: Setup,
    portal: Option<Portal>,
    postgres: Postgres,
    wire: Wire,
    engineer: Person,
    admin: Person,
    pods: Pods,
    namespace: String,
    cluster: &'c Cluster,
    _kept: Kept<'c>,
    _data: tempfile::TempDir,
}

/// A kubeconfig that leads through this port of this machine.
fn kubeconfig(cluster: &Cluster, folder: &Path, port: u16) -> String {
    let mut config: Value = serde_json::from_slice(&std::fs::read(cluster.text("/kubeconfig")).unwrap()).unwrap();
    let at = &mut config["clusters"][0]["cluster"];
    let host = at["server"].as_str().unwrap().trim_start_matches("https://").split(':').next().unwrap().to_owned();
    // The certificate is the server's own, and names it.
    (at["server"], at["tls-server-name"]) = (format!("https://127.0.0.1:{port}").into(), host.into());
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

impl<'c> House<'c> {
    /// With a base model and a dataset.
    async fn start(cluster: &'c Cluster, postgres: Postgres) -> Self {
        prepare();
        let data = tempfile::tempdir().unwrap();
        let prefix = format!("f{}-", std::process::id());
        let wire = Wire::to_server(cluster.text("/api_server").trim_start_matches("https://").to_owned()).await;
        let setup = Setup::new(data.path(), "portal")
            .with("--database-url", &postgres.url)
            .with("--engine", "kubernetes")
            .with("--kubeconfig", kubeconfig(cluster, data.path(), wire.port))
            .with("--namespace-prefix", &prefix)
            .with("--platform-namespace", format!("{prefix}platform"))
            .with("--task-image", cluster.text("/images/task"))
            .with("--trainer-image", cluster.text("/images/trainer"))
            .with("--vllm-image", cluster.text("/images/vllm"))
            .with("--store", "s3")
            .with("--s3-endpoint", cluster.text("/s3/endpoint"))
            .with("--s3-region", cluster.text("/s3/region"))
            .with("--s3-bucket-prefix", &prefix)
            .with("--s3-key", cluster.text("/s3/portal_key_file"))
            .with("--garage-admin-url", cluster.text("/s3/admin_endpoint"))
            .with("--garage-admin-token", cluster.text("/s3/admin_token_file"));
        // Of the tenants that the development provider knows, and of the portal.
        let namespaces = [TENANT, "velkor", "platform"].map(|end| format!("{prefix}{end}"));
        let namespace = namespaces[0].clone();
        let kept = Kept { cluster, namespaces: namespaces.into(), objects: Vec::new() };
        let pods = Pods::watch(cluster, &namespace, data.path());
        let portal = setup.start().await;
        let at = setup.address.clone();
        let (admin, engineer) = (Person::sign_in(&at, "admin").await, Person::sign_in(&at, "jonas").await);
        let folder = world("base-model").display().to_string();
        let form = [("folder", folder.as_str()), ("name", BASE), ("licence", "Apache-2.0"), ("template", "")];
        admin.did(&at, "admin/base-model-register", &form).await;
        within(PATIENCE, "the base model is ready", async || {
            (admin.did(&at, "admin/base-models", &[]).await.body["models"]["rows"][0]["state"] == "ready").then_some(())
        })
        .await;
        let rows = std::fs::read(world("datasets/lumenta-facts.jsonl")).unwrap();
        engineer.upload(&at, TENANT, "facts", BASE, &rows, None).await.unwrap();
        let house =
            Self { setup, portal: Some(portal), postgres, wire, engineer, admin, pods, namespace, cluster, _kept: kept, _data: data };
        within(PATIENCE, "the dataset is judged", async || {
            let page = house.asked("datasets/get", &[("tenant", TENANT), ("name", "facts"), ("number", "0")]).await?;
            (page["version"]["state"] == "ready").then_some(())
        })
        .await;
        house
    }

    /// `None` where the portal says no more than that something is away just now.
    async fn asked(&self, function: &str, fields: &[(&str, &str)]) -> Option<Value> {
        self.engineer.send(&self.setup.address, function, fields).await.ok().map(|done| done.body)
    }

    async fn run(&self, id: &str) -> Option<Value> {
        self.asked("runs/get", &[("tenant", TENANT), ("id", id)]).await.map(|page| page["run"].clone())
    }

    async fn launch(&self, name: &str) -> String {
        let form = Launch { tenant: TENANT, name, dataset: "facts", model: "assistant", batch: "16", submission: name }.fields();
        let leads_to = self.engineer.did(&self.setup.address, "runs/launch", &form).await.leads_to.unwrap();
        leads_to.rsplit('/').next().unwrap().to_owned()
    }

    /// Steps of the training that the run's curve shows.
    async fn curve(&self, id: &str) -> Vec<u64> {
        let metrics = self.asked("runs/metrics", &[("tenant", TENANT), ("id", id)]).await.unwrap_or_default();
        let points = metrics.as_array().into_iter().flatten();
        points.filter(|m| m["loss"].is_number()).filter_map(|m| m["step"].as_u64()).collect()
    }

    async fn until_at(&self, id: &str, step: &str, points: usize) {
        within(PATIENCE, &format!("the run is at {step} with {points} points"), async || {
            let run = self.run(id).await?;
            assert!(!is_over(&run), "it is {} before it was seen at {step}: {}", run["state"], run["failure"]);
            (at_work(&run) == Some(step) && self.curve(id).await.len() >= points).then_some(())
        })
        .await;
    }

    async fn until_over(&self, id: &str) -> Value {
        within(PATIENCE, "the run is over", async || self.run(id).await.filter(is_over)).await
    }

    async fn kill_and_start_again(&mut self) {
        self.portal.take().unwrap().kill();
        self.portal = Some(self.setup.start().await);
    }

    async fn quota(&self, memory_gb: &str) {
        let form = [
            ("name", TENANT),
            ("quota[concurrent_runs]", "4"),
            ("quota[endpoints]", "2"),
            ("quota[storage_gb]", "50"),
            ("quota[memory_gb]", memory_gb),
        ];
        self.admin.did(&self.setup.address, "admin/tenant-quota", &form).await;
    }

    /// The log has no gap and no double.
    async fn log_is_whole(&self, id: &str) {
        let fields = [("tenant", TENANT), ("id", id), ("lines", "2000"), ("level", ""), ("text", "")];
        let log = self.asked("runs/log", &fields).await.unwrap();
        let numbers: Vec<u64> = log["lines"].as_array().unwrap().iter().map(|l| l["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
}

fn is_over(run: &Value) -> bool {
    ["succeeded", "failed", "cancelled"].iter().any(|state| run["state"] == *state)
}

/// The kind of the step that has a process.
fn at_work(run: &Value) -> Option<&str> {
    let mut steps = run["steps"].as_array()?.iter();
    steps.find(|s| matches!(s["state"].as_str(), Some("starting" | "running")))?["kind"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_a_cluster_come_through_what_fails_around_them_and_nothing_is_started_twice() {
    let Some(cluster) = Cluster::find("faults around a run") else { return };
    let Some(postgres) = Postgres::start() else { return };
    let mut house = House::start(&cluster, postgres).await;
    killed_silent_and_restarted(&mut house).await;
    quota_lowered_and_namespace_deleted(&house).await;
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
