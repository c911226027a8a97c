//! Jobs in queues of the real Kueue, which runs in a pod for these tests only: its webhooks are asked about the namespaces of these tests alone,
//! and all of it goes with the test. `ATELIER_KUEUE` names the folder with its program (`kueue`) and its objects (`kueue.yaml`).
//!
//! Addresses of services lead nowhere in the cluster of the tests, so those of Kueue are names for the address of its pod; the API server takes that
//! way to them as well.

use crate::{
    cluster::{self, Cluster, Others},
    world::World,
};
use engine::{End, Engine, PendingCause, Task, TaskState};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

const SYSTEM: &str = "kueue-system";
/// Starting Kueue, or what it does next, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(240);
const LONG: &str = "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done";
const CONFIG: &str = "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\nhealth:\n  healthProbeBindAddress: :8081\n\
                      metrics:\n  bindAddress: \"0\"\nwebhook:\n  port: 9443\nleaderElection:\n  leaderElect: false\n\
                      integrations:\n  frameworks:\n  - batch/job\n";

/// There is one Kueue to a cluster.
pub static ALONE: Mutex<()> = Mutex::const_new(());

/// Kueue, as long as this is kept.
pub struct Kueue {
    cluster: Cluster,
    objects: Vec<Value>,
    queue: String,
}

impl Kueue {
    /// For Jobs in the namespace of the tenant of `others`, which has to be there. `None` = it was not built, or there is no cluster.
    fn start(others: &Others) -> Option<Self> {
        let (folder, cluster) = found()?;
        let image = import(&cluster, &folder.join("kueue"));
        let all = objects(&folder).into_iter().filter(is_wanted);
        let objects = all.map(|object| adapted(object, &cluster, &image, others.namespace())).chain(everybody_may_ask()).collect();
        let kueue = Self { cluster, objects, queue: format!("{}-research", others.namespace()) };
        // What points to its pod comes when there is one.
        let later = |o: &Value| o["kind"] == "APIService" || o["kind"] == "Service";
        kueue.apply(kueue.objects.iter().filter(|o| !later(o)));
        let address = kueue.address_of_its_pod();
        let services = kueue.objects.iter().filter(|o| later(o)).cloned().map(|mut object| {
            if object["kind"] == "Service" {
                object["spec"] = json!({ "type": "ExternalName", "externalName": address });
            }
            object
        });
        kueue.apply(&services.collect::<Vec<_>>());
        Some(kueue)
    }

    /// Only its kinds, and nobody who reads them. The first that is made of one waits until the API server knows it.
    pub fn kinds(others: &Others) -> Option<Self> {
        let (folder, cluster) = found()?;
        let mut objects: Vec<Value> = objects(&folder).into_iter().filter(|o| o["kind"] == "CustomResourceDefinition").collect();
        for kind in &mut objects {
            let spec = kind["spec"].as_object_mut().unwrap();
            spec.remove("conversion");
            let versions = spec["versions"].as_array_mut().unwrap();
            versions.retain(|v| v["name"] == "v1beta2");
            versions[0]["storage"] = json!(true);
        }
        let kueue = Self { cluster, objects, queue: format!("{}-research", others.namespace()) };
        kueue.apply(&kueue.objects);
        Some(kueue)
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn apply<'a>(&self, objects: impl IntoIterator<Item = &'a Value>) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects.into_iter().collect::<Vec<_>>() });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.json");
        std::fs::write(&file, list.to_string()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            // Its webhooks answer a while after its pod has started.
            let output = self.cluster.kubectl().args(["apply", "--server-side", "--force-conflicts", "-f"]).arg(&file).output().unwrap();
            if output.status.success() {
                return;
            }
            assert!(Instant::now() < end, "{}\n{}", String::from_utf8_lossy(&output.stderr), self.log());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Once it answers. The node looks at a pod that changed at once, and hands over the certificate that Kueue has made meanwhile.
    fn address_of_its_pod(&self) -> String {
        let end = Instant::now() + PATIENCE;
        let path = "jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.status.containerStatuses[0].ready}{\"\\n\"}{end}";
        for n in 0.. {
            let pods = self.kubectl(&["-n", SYSTEM, "get", "pods", "-o", path]);
            if let Some((name, rest)) = pods.lines().next().and_then(|line| line.split_once(' ')) {
                let (address, ready) = rest.split_once(' ').unwrap_or_default();
                if ready == "true" {
                    return address.to_owned();
                }
                if n % 3 == 0 {
                    self.kubectl(&["-n", SYSTEM, "annotate", "--overwrite", "pod", name, &format!("looked={n}")]);
                }
            }
            assert!(Instant::now() < end, "{pods}\n{}", self.log());
            std::thread::sleep(Duration::from_secs(1));
        }
        unreachable!()
    }

    fn log(&self) -> String {
        let output =
            self.cluster.kubectl().args(["-n", SYSTEM, "logs", "deployment/kueue-controller-manager", "--tail=30"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A queue of 1 GiB for the tenant, in which what is more important takes the place of what is less.
    pub fn queue(&self, namespace: &str) {
        let name = &self.queue;
        let resource = |name: &str, amount: &str| json!({ "name": name, "nominalQuota": amount });
        let kueue = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": { "name": name }, "spec": spec });
        let resources = [resource("cpu", "64"), resource("memory", "1Gi")];
        let flavors = json!([{ "name": name, "resources": resources }]);
        let mut local = kueue("LocalQueue", "research", json!({ "clusterQueue": name }));
        local["metadata"]["namespace"] = json!(namespace);
        self.apply([
            &kueue("ResourceFlavor", name, json!({})),
            &kueue(
                "ClusterQueue",
                name,
                json!({
                    "namespaceSelector": {},
                    "preemption": { "withinClusterQueue": "LowerPriority" },
                    "resourceGroups": [{ "coveredResources": ["cpu", "memory"], "flavors": flavors }],
                }),
            ),
            &local,
        ]);
    }
}

impl Drop for Kueue {
    /// Its objects while it still runs, which lets them go; then what would ask for it, then it.
    fn drop(&mut self) {
        let run = |args: &[&str]| {
            let _ = self.cluster.kubectl().args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        run(&["delete", "clusterqueue,resourceflavor", &self.queue, "--ignore-not-found", "--timeout=60s"]);
        for first in
            [["APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"].as_slice(), &["CustomResourceDefinition"]]
        {
            for object in self.objects.iter().filter(|o| first.contains(&o["kind"].as_str().unwrap_or_default())) {
                let (kind, name) = (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
                run(&["delete", kind, name, "--ignore-not-found", "--timeout=30s"]);
            }
        }
        for object in self.objects.iter().filter(|o| o["kind"].as_str().is_some_and(|k| k.starts_with("Cluster") || k == "RoleBinding")) {
            let (kind, name) = (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
            run(&["-n", namespace, "delete", kind, name, "--ignore-not-found", "--wait=false"]);
        }
        run(&["delete", "namespace", SYSTEM, "--ignore-not-found", "--wait=false"]);
    }
}

fn found() -> Option<(PathBuf, Cluster)> {
    let cluster = Cluster::find("Kueue")?;
    let Some(folder) = std::env::var_os("ATELIER_KUEUE") else {
        testing::leave_out("Kueue: ATELIER_KUEUE names no folder with it");
        return None;
    };
    Some((folder.into(), cluster))
}

/// As it is installed.
fn objects(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("kueue.yaml")).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap()).collect()
}

fn is_wanted(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    object["kind"] != "APIService" || name.starts_with("v1beta2.")
}

/// As it is installed, but for where its parts find each other here, and for whom it is asked.
fn adapted(mut object: Value, cluster: &Cluster, image: &str, namespace: &str) -> Value {
    match object["kind"].as_str().unwrap_or_default() {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            let hooks = object["webhooks"].as_array_mut().unwrap();
            let ours = ["job", "clusterqueue", "resourceflavor", "workload", "cohort"];
            hooks.retain(|h| ours.iter().any(|kind| h["name"].as_str().is_some_and(|n| n[1..] == format!("{kind}.kb.io"))));
            for hook in hooks {
                hook["clientConfig"]["service"]["port"] = json!(9443);
                let only = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
                hook["namespaceSelector"] = only;
            }
        }
        "CustomResourceDefinition" if !object["spec"]["conversion"].is_null() => {
            object["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["port"] = json!(9443);
        }
        "APIService" => object["spec"]["service"]["port"] = json!(8082),
        "ConfigMap" => object["data"] = json!({ "controller_manager_config.yaml": CONFIG }),
        "Deployment" => {
            let (host, port) = cluster.api_server();
            let spec = &mut object["spec"]["template"]["spec"];
            spec["securityContext"]["runAsUser"] = json!(65532);
            let container = &mut spec["containers"][0];
            container["image"] = json!(image);
            container["imagePullPolicy"] = json!("Never");
            container["resources"] = json!({});
            container["env"] = json!([
                { "name": "KUBERNETES_SERVICE_HOST", "value": host }, { "name": "KUBERNETES_SERVICE_PORT", "value": port },
            ]);
            container["readinessProbe"]["initialDelaySeconds"] = json!(1);
            container["readinessProbe"]["periodSeconds"] = json!(1);
        }
        _ => {}
    }
    object
}

/// The API server of the tests has no certificate by which Kueue would believe who calls through it. What the caller may, the API server has
/// judged before.
fn everybody_may_ask() -> [Value; 2] {
    let rbac = "rbac.authorization.k8s.io";
    [("ask", "kueue-pending-workloads-lq-viewer-role"), ("look", "system:discovery")].map(|(what, role)| {
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": format!("kueue-everybody-may-{what}") },
            "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": rbac, "kind": "Group", "name": "system:unauthenticated" }],
        })
    })
}

fn import(cluster: &Cluster, program: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::copy(program, root.join("manager")).unwrap();
    cluster::import(cluster, "atelier.local/kueue", folder.path())
}

fn with_memory(task: Task, mebibytes: u64) -> Task {
    let resources = engine::Resources { memory: Some(mebibytes << 20), ..task.resources.clone() };
    Task { resources, ..task }
}

async fn until_queued(world: &World, name: &str, place: u32) -> String {
    let at = |state: &TaskState| matches!(state, TaskState::Pending(PendingCause::Queue { position, short, .. }) if *position == place && !short.is_empty());
    match world.until(name, |o| at(&o.state)).await.state {
        TaskState::Pending(cause) => cause.said(),
        other => panic!("{other:?}"),
    }
}

/// One test, because there is one Kueue to a cluster.
#[tokio::test]
async fn jobs_wait_in_the_queue_of_their_tenant_and_say_why_and_where() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let _alone = ALONE.lock().await;
    // So that its namespace is there.
    world.engine.put_secret(&"acme".parse().unwrap(), "other", "x").await.unwrap();
    let Some(kueue) = Kueue::start(&others) else { return };
    kueue.queue(others.namespace());
    let world = World { engine: others.another_engine().await, ..world };

    // Told before anything waits.
    let limits = world.engine.queue_limits(&"acme".parse().unwrap()).await.unwrap().expect("a queue");
    assert_eq!((limits.name.as_str(), limits.cpu, limits.memory, limits.gpus), ("research", Some(64), Some(1 << 30), None));

    // Room for one: the others wait with their places, and begin when it has ended.
    for name in ["job-1", "job-2", "job-3"] {
        world.engine.apply(&with_memory(world.job(name, LONG), 900)).await.unwrap();
        if name == "job-1" {
            world.until_it_says("job-1", "ready").await;
        }
    }
    let said = until_queued(&world, "job-2", 1).await;
    assert!(said.contains("queue “research”, place 1: it needs 814\u{a0}MB of memory more than"), "{said}");
    until_queued(&world, "job-3", 2).await;
    // Asked for again, by somebody who knows nothing, it is the same task, and waits on.
    others.another_engine().await.apply(&with_memory(world.job("job-2", LONG), 900)).await.unwrap();
    assert_eq!(others.pods("job-2"), [] as [String; 0]);
    // One that is stopped while it waits never begins, also when its turn comes.
    world.engine.stop("job-2", Duration::from_secs(20)).await.unwrap();
    assert_eq!(world.end("job-2").await, End::Signalled { signal: 15 });
    world.engine.stop("job-1", Duration::from_secs(20)).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Signalled { signal: 15 });
    world.until_it_says("job-3", "ready").await;
    assert_eq!((world.end("job-2").await, others.pods("job-2")), (End::Signalled { signal: 15 }, Vec::new()));

    // What never fits says so.
    world.engine.apply(&with_memory(world.job("job-4", LONG), 2048)).await.unwrap();
    let never =
        |state: &TaskState| matches!(state, TaskState::Pending(PendingCause::Admission { why }) if why.contains("never gives more than"));
    let TaskState::Pending(cause) = world.until("job-4", |o| never(&o.state)).await.state else { panic!() };
    assert!(
        cause.said().contains("it needs 2.1\u{a0}GB of memory, and the queue “research” never gives more than 1.1\u{a0}GB"),
        "{}",
        cause.said()
    );
    world.engine.remove("job-4").await.unwrap();

    interrupted(&world, &others, &kueue).await;
    for name in ["job-1", "job-2", "job-3"] {
        world.engine.remove(name).await.unwrap();
    }
}

/// `job-3` runs: something more important takes its place, and it goes on when that has ended.
async fn interrupted(world: &World, others: &Others, kueue: &Kueue) {
    let class = format!("{}-urgent", others.namespace());
    others.create(
        &json!({ "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "WorkloadPriorityClass", "metadata": { "name": class }, "value": 1000 }),
    );
    let container = json!({ "name": "main", "image": "none", "resources": { "requests": { "memory": "500Mi" } } });
    others.create(&json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": "urgent", "labels": { "kueue.x-k8s.io/queue-name": "research", "kueue.x-k8s.io/priority-class": class } },
        "spec": { "suspend": true, "parallelism": 1, "template": { "spec": { "restartPolicy": "Never", "containers": [container] } } },
    }));
    let interrupted =
        |state: &TaskState| matches!(state, TaskState::Pending(PendingCause::Queue { interrupted: true, position, .. }) if *position == 1);
    let seen = world.until("job-3", |o| interrupted(&o.state)).await;
    let TaskState::Pending(cause) = seen.state else { panic!() };
    assert!(cause.said().starts_with("Was interrupted to make room for something else."), "{}", cause.said());
    let engine: &Engine = &world.engine;
    let listed = engine.list("job-3").await.unwrap();
    assert!(matches!(listed[0].state, TaskState::Pending(PendingCause::Queue { .. })), "{listed:?}");
    others.kubectl(&["delete", "job", "urgent", "--wait=false"]);
    world.until("job-3", |o| o.state.is_running()).await;
    assert_eq!(others.pods("job-3").len(), 1);
    kueue.kubectl(&["delete", "workloadpriorityclass", &class]);
}
