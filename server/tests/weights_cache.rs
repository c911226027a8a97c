//! Weights on a tenant's own volume, on a real cluster: model servers' pods run the program that was built last, a real S3 has the files, and the
//! volume is a folder of the node. The model server itself is none: it ends at once, when the weights have been fetched.

#[path = "processes/cluster.rs"]
mod cluster;
#[path = "isolation/program.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod program;

use cluster::{Cluster, Kept};
use domain::{
    artefacts::{self, ArtefactStore, STORE_SECRET},
    base_model::StoredFile,
    ids::{EndpointId, ModelVersionId},
    name::Name,
    serving::ParserChoice,
    task_spec::{Serve, TaskSpec, Weights, Work},
    tenant_objects::{Found, TenantObject},
};
use engine::{
    Engine, Place, Resources, Runtime, SecretRef, Task, TaskKind,
    kubernetes::{Images, KubernetesEngine, Options, Placement, PullPolicy, WeightsCache},
};
use futures::FutureExt;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use serde_json::json;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use storage::{GarageAdmin, Patience, Storage};

/// The node may be full of others' pods.
const PATIENCE: Duration = Duration::from_secs(400);
/// Long enough to be killed in the middle of it.
const BYTES: usize = 96 << 20;

struct World<'c> {
    cluster: &'c Cluster,
    engine: Engine,
    prefix: String,
    /// What the volume holds, on the node.
    volume: tempfile::TempDir,
    store: ArtefactStore,
    version: ModelVersionId,
    files: Vec<StoredFile>,
}

fn acme() -> Name {
    "acme".parse().unwrap()
}

impl<'c> World<'c> {
    async fn open(cluster: &'c Cluster, image: &str) -> Self {
        let prefix = format!("weights{}-", std::process::id());
        let volume = tempfile::tempdir().unwrap();
        std::fs::set_permissions(volume.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let class = format!("{prefix}class");
        let object = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": format!("{prefix}volume") },
            "spec": {
                "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteMany"], "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": volume.path(), "type": "Directory" },
            },
        });
        cluster.apply(tempfile::tempdir().unwrap().path(), &[object], &[]);
        let options = Options {
            kubeconfig: Some(PathBuf::from(cluster.text("/kubeconfig"))),
            namespace_prefix: prefix.clone(),
            platform_namespace: format!("{prefix}platform"),
            provision: true,
            account: None,
            reader: None,
            images: Images {
                task: image.to_owned(),
                trainer: cluster.text("/images/task").into(),
                vllm: cluster.text("/images/task").into(),
            },
            image_pull_policy: PullPolicy::IfNotPresent,
            group_prefix: None,
            store_networks: Vec::new(),
            placement: Placement::default(),
            weights_cache: WeightsCache::new("1Gi", Some(class)),
        };
        let store = ArtefactStore::S3 {
            endpoint: cluster.text("/s3/endpoint").into(),
            region: cluster.text("/s3/region").into(),
            bucket_prefix: prefix.clone(),
            path_style: true,
            ca: None,
        };
        let engine = Engine::Kubernetes(KubernetesEngine::new(options).await.unwrap()).in_term(1);
        engine.begin_term().await.unwrap();
        Self { cluster, engine, prefix, volume, store, version: ModelVersionId::from_uuid(uuid::Uuid::from_u128(7)), files: Vec::new() }
    }

    fn garage(&self) -> GarageAdmin {
        let token = std::fs::read_to_string(self.cluster.text("/s3/admin_token_file")).unwrap();
        GarageAdmin::new(self.cluster.text("/s3/admin_endpoint"), token.trim(), None).unwrap()
    }

    fn bucket(&self) -> String {
        self.store.bucket(&acme()).unwrap()
    }

    /// A bucket with a model, and its key with the engine.
    async fn store_a_model(&mut self) {
        let (garage, bucket) = (self.garage(), self.bucket());
        let key = garage.key(&bucket).await.unwrap();
        let id = garage.bucket(&bucket).await.unwrap();
        garage.allow(&id, &key.access_key_id, true).await.unwrap();
        let storage = Storage::open(&self.store, Some(&key), Patience::TASK).unwrap();
        let weights: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
        for (path, bytes) in [("model.safetensors", &weights[..]), ("config.json", b"{}")] {
            let mut writer = storage.writer(&self.object(path)).await.unwrap();
            writer.write(bytes).await.unwrap();
            writer.finish().await.unwrap();
            let digest = blake3::hash(bytes).to_hex().to_string();
            self.files.push(StoredFile { path: path.into(), bytes: bytes.len() as u64, digest });
        }
        self.engine.put_secret(&acme(), STORE_SECRET, &serde_json::to_string(&key).unwrap()).await.unwrap();
    }

    fn object(&self, path: &str) -> ObjectPath {
        ObjectPath::from(format!("{}/{path}", artefacts::model_version(&acme(), self.version)))
    }

    fn kept(&self, n: usize) -> PathBuf {
        self.volume.path().join("blake3").join(&self.files[n].digest)
    }

    fn is_whole(&self, n: usize) -> bool {
        std::fs::read(self.kept(n)).is_ok_and(|bytes| blake3::hash(&bytes).to_hex().as_str() == self.files[n].digest)
    }

    async fn begin(&self, name: &str) -> String {
        let work = Serve {
            tenant: acme(),
            endpoint: EndpointId::from_uuid(uuid::Uuid::from_u128(8)),
            weights: Weights::Merged { version: self.version },
            files: self.files.clone(),
            served_name: "m".into(),
            context: 512,
            max_lora_rank: 0,
            gpus: 0,
            tool_call_parser: ParserChoice::default(),
            reasoning_parser: ParserChoice::default(),
            media_hosts: Vec::new(),
        };
        let task = Task {
            tenant: acme(),
            name: name.into(),
            kind: TaskKind::Server,
            runtime: Runtime::Vllm,
            args: vec!["task".into(), "serve".into()],
            spec: serde_json::to_string(&TaskSpec { store: self.store.clone(), work: Work::Serve(work) }).unwrap(),
            resources: Resources::default(),
            secrets: vec![SecretRef { name: STORE_SECRET.into(), file: STORE_SECRET.into() }],
            replicas: 1,
            deadline: None,
            grace: Duration::from_secs(5),
        };
        self.engine.apply(&task).await.unwrap();
        name.to_owned()
    }

    /// What a first start says of the volume.
    async fn start(&self, name: &str) -> String {
        self.begin(name).await;
        let said = until(name, async || {
            let pod = self.pod(name)?;
            // A container that was started again has a log of its own.
            let earlier = self.logs(&pod, &["--previous"]);
            let log = if earlier.contains("tenant's volume") { earlier } else { self.logs(&pod, &[]) };
            log.lines().find(|line| line.contains("Weights on the tenant's volume")).map(str::to_owned)
        })
        .await;
        self.end(name).await;
        said
    }

    /// Until nothing of it can touch the volume any more: its container is started again and again, since no model server is in the image.
    async fn end(&self, name: &str) {
        self.engine.remove(name).await.unwrap();
        until("its pod is gone", async || self.pod(name).is_none().then_some(())).await;
    }

    fn pod(&self, name: &str) -> Option<String> {
        let label = format!("atelier.dev/task={name}");
        let pods = self.cluster.asked(&["-n", &self.namespace(), "get", "pods", "-l", &label, "-o", "name"]);
        pods.lines().next().map(str::to_owned)
    }

    fn logs(&self, pod: &str, more: &[&str]) -> String {
        let output = self.cluster.kubectl(&[&["-n", &self.namespace(), "logs", pod, "-c", "main"][..], more].concat()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn namespace(&self) -> String {
        format!("{}acme", self.prefix)
    }

    async fn leave_nothing(&self) {
        let garage = self.garage();
        if let Ok(key) = garage.key(&self.bucket()).await {
            let storage = Storage::open(&self.store, Some(&key), Patience::TASK).unwrap();
            for file in ["model.safetensors", "config.json"] {
                let at = self.object(file);
                let _ = storage.of(at.as_ref()).unwrap().delete(&at).await;
            }
        }
        let _ = garage.remove(&self.bucket()).await;
    }
}

async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn claim(objects: &[TenantObject]) -> &TenantObject {
    objects.iter().find(|o| o.kind == "PersistentVolumeClaim").expect("a claim")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_of_a_model_server_takes_the_weights_from_the_tenants_volume() {
    let Some(cluster) = Cluster::find("weights on a tenant's volume") else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let image = program::image(&cluster);
    let mut world = World::open(&cluster, &image).await;
    let prefix = world.prefix.clone();
    let _kept = Kept {
        cluster: &cluster,
        namespaces: ["platform", "acme", "other"].map(|end| format!("{prefix}{end}")).into(),
        objects: vec![format!("persistentvolume/{prefix}volume")],
    };
    let done = std::panic::AssertUnwindSafe(all_of_it(&mut world)).catch_unwind().await;
    world.leave_nothing().await;
    program::remove_image(&cluster, &image);
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

async fn all_of_it(world: &mut World<'_>) {
    the_claim_is_made_and_shown(world).await;
    world.store_a_model().await;
    a_killed_fetch_leaves_nothing_that_is_served(world).await;

    let said = world.start("ep-2-1").await;
    assert!(said.contains("2 files, 100.7 MB, checked; 0 files, 0 B, fetched"), "nothing is fetched twice: {said}");

    // Somebody cuts it off on the volume.
    std::fs::File::options().write(true).open(world.kept(0)).unwrap().set_len(1 << 20).unwrap();
    let said = world.start("ep-3-1").await;
    assert!(said.contains("1 files, 2 B, checked; 1 files, 100.7 MB, fetched"), "{said}");
    assert!(world.is_whole(0) && world.is_whole(1));

    // In the quota, and as its own: another tenant's claim is another, and gets no volume of this one's.
    let used = "jsonpath={.status.used.persistentvolumeclaims} {.status.used.requests\\.storage}";
    let quota = ["-n", &world.namespace(), "get", "resourcequota", "atelier", "-o", used];
    assert_eq!(world.cluster.asked(&quota), "1 1Gi");
    let other = Place::of("other".parse().unwrap());
    let made = world.engine.ensure_tenant(&other).await.unwrap();
    assert_eq!(claim(&made).refused, None);
    let seen = world.engine.tenant_objects(&other).await.unwrap().unwrap();
    assert!(claim(&seen).content.ends_with("has no volume yet"), "{}", claim(&seen).content);
}

async fn the_claim_is_made_and_shown(world: &World<'_>) {
    let place = Place::of(acme());
    let made = world.engine.ensure_tenant(&place).await.unwrap();
    assert_eq!(made.iter().find_map(|o| o.refused.clone()), None, "with its quota, at once");
    until("the claim has its volume", async || {
        let seen = world.engine.tenant_objects(&place).await.unwrap().unwrap();
        assert!(seen.iter().all(|o| o.found == Found::InSync), "what the cluster fills in is nobody's change: {seen:?}");
        claim(&seen).content.ends_with("has a volume of 2Gi").then_some(())
    })
    .await;
}

async fn a_killed_fetch_leaves_nothing_that_is_served(world: &World<'_>) {
    let name = world.begin("ep-1-1").await;
    let parts = || -> Vec<u64> {
        let files = std::fs::read_dir(world.volume.path().join("parts")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|m| m.len()).filter(|bytes| *bytes > 0).collect()
    };
    until("the weights begin to come", async || (!parts().is_empty()).then_some(())).await;
    killed(world.pod(&name).unwrap().trim_start_matches("pod/"));
    let left = parts();
    assert!(!world.kept(0).exists() && left.iter().any(|bytes| *bytes < BYTES as u64), "it was killed too late: {left:?}");
    // Either it is not there, or it is whole: at no moment half of it.
    until("the next container has the weights", async || {
        assert!(!world.kept(0).exists() || world.is_whole(0), "half a file under its digest");
        (world.kept(0).exists() && world.kept(1).exists()).then_some(())
    })
    .await;
    assert_eq!(parts(), Vec::<u64>::new(), "what was left of the first is gone");
    world.end(&name).await;
}

/// Its program, from the node: nothing of it has a chance to clean up.
fn killed(pod: &str) {
    let variable = format!("ATELIER_REPLICA={pod}");
    let of_the_pod = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
    };
    let processes: Vec<_> = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(|p| of_the_pod(p)).collect();
    assert!(!processes.is_empty(), "no process of {pod}");
    for process in processes {
        let number = process.file_name().unwrap().to_str().unwrap();
        let _ = std::process::Command::new("kill").args(["-9", number]).status();
    }
}
