//! A portal beside a real cluster, with a base model and a dataset: real trainers in real pods, PostgreSQL, an S3 store.

use super::{
    Portal, Setup,
    cluster::{Cluster, Kept},
    house::BASE,
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
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Each has its own namespaces and buckets.
static HOUSES: AtomicU32 = AtomicU32::new(0);
pub const TENANT: &str = "lumenta";
/// Of a pod of the trainer on a small machine.
pub const PATIENCE: Duration = Duration::from_secs(400);

/// Every pod that there ever was in the tenant's namespace.
pub struct Pods {
    watching: Child,
    file: std::path::PathBuf,
}

impl Pods {
    pub fn watch(cluster: &Cluster, namespace: &str, folder: &Path) -> Self {
        let file = folder.join("pods");
        let line = r#"jsonpath={.metadata.labels.atelier\.dev/task} {.metadata.uid}{"\n"}"#;
        let mut kubectl = cluster.kubectl(&["-n", namespace, "get", "pods", "--watch", "-o", line]);
        let watching = kubectl.stdout(File::create(&file).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        Self { watching, file }
    }

    /// By the name of their task.
    pub fn seen(&self) -> BTreeMap<String, BTreeSet<String>> {
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
pub struct House<'c> {
    pub setup: Setup,
    pub portal: Option<Portal>,
    pub postgres: Postgres,
    pub wire: Wire,
    pub engineer: Person,
    pub admin: Person,
    pub pods: Pods,
    pub namespace: String,
    pub cluster: &'c Cluster,
    _kept: Kept<'c>,
    _data: tempfile::TempDir,
}

/// A kubeconfig that leads through this port of this machine.
pub fn kubeconfig(cluster: &Cluster, folder: &Path, port: u16) -> String {
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
    pub async fn start(cluster: &'c Cluster, postgres: Postgres) -> Self {
        Self::start_with_store(cluster, postgres, cluster.text("/s3/endpoint")).await
    }

    /// The same with an S3 store that is reached at this address, from here and from pods.
    pub async fn start_with_store(cluster: &'c Cluster, postgres: Postgres, s3_endpoint: &str) -> Self {
        prepare();
        let data = tempfile::tempdir().unwrap();
        let prefix = format!("f{}-{}-", std::process::id(), HOUSES.fetch_add(1, Ordering::Relaxed));
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
            .with("--custom-images", cluster.text("/images/trainer"))
            .with("--store", "s3")
            .with("--s3-endpoint", s3_endpoint)
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
        // A new tenant has a bucket a moment later.
        within(PATIENCE, "the dataset is taken", async || engineer.upload(&at, TENANT, "facts", BASE, &rows, None).await.ok()).await;
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
    pub async fn asked(&self, function: &str, fields: &[(&str, &str)]) -> Option<Value> {
        self.engineer.send(&self.setup.address, function, fields).await.ok().map(|done| done.body)
    }

    pub async fn run(&self, id: &str) -> Option<Value> {
        self.asked("runs/get", &[("tenant", TENANT), ("id", id)]).await.map(|page| page["run"].clone())
    }

    pub async fn launch(&self, name: &str) -> String {
        self.launch_with(name, "16", &[]).await
    }

    /// `batch`: rows a step; `more`: further fields of the form.
    pub async fn launch_with(&self, name: &str, batch: &str, more: &[(&str, &str)]) -> String {
        let mut form: Vec<(&str, &str)> =
            Launch { tenant: TENANT, name, dataset: "facts", model: "assistant", batch, submission: name }.fields();
        form.extend(more);
        let leads_to = self.engineer.did(&self.setup.address, "runs/launch", &form).await.leads_to.unwrap();
        leads_to.rsplit('/').next().unwrap().to_owned()
    }

    /// Steps of the training that the run's curve shows.
    pub async fn curve(&self, id: &str) -> Vec<u64> {
        let metrics = self.asked("runs/metrics", &[("tenant", TENANT), ("id", id)]).await.unwrap_or_default();
        let points = metrics.as_array().into_iter().flatten();
        points.filter(|m| m["loss"].is_number()).filter_map(|m| m["step"].as_u64()).collect()
    }

    pub async fn until_at(&self, id: &str, step: &str, points: usize) {
        within(PATIENCE, &format!("the run is at {step} with {points} points"), async || {
            let run = self.run(id).await?;
            assert!(!is_over(&run), "it is {} before it was seen at {step}: {}", run["state"], run["failure"]);
            (at_work(&run) == Some(step) && self.curve(id).await.len() >= points).then_some(())
        })
        .await;
    }

    pub async fn until_over(&self, id: &str) -> Value {
        within(PATIENCE, "the run is over", async || self.run(id).await.filter(is_over)).await
    }

    pub async fn kill_and_start_again(&mut self) {
        self.portal.take().unwrap().kill();
        self.portal = Some(self.setup.start().await);
    }

    pub async fn quota(&self, memory_gb: &str) {
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
    pub async fn log_is_whole(&self, id: &str) {
        let fields = [("tenant", TENANT), ("id", id), ("lines", "2000"), ("level", ""), ("text", "")];
        let log = self.asked("runs/log", &fields).await.unwrap();
        let numbers: Vec<u64> = log["lines"].as_array().unwrap().iter().map(|l| l["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
}

pub fn is_over(run: &Value) -> bool {
    ["succeeded", "failed", "cancelled"].iter().any(|state| run["state"] == *state)
}

/// The kind of the step that has a process.
pub fn at_work(run: &Value) -> Option<&str> {
    let mut steps = run["steps"].as_array()?.iter();
    steps.find(|s| matches!(s["state"].as_str(), Some("starting" | "running")))?["kind"].as_str()
}
