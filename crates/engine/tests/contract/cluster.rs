//! The engine of a Kubernetes cluster, where there is one: `ATELIER_CLUSTER` names the file that describes it. The program in the pods
//! plays `atelier task`: it runs the spec as a shell script. All of the pods' own is as in production.

use crate::world::World;
use engine::{
    Engine,
    kubernetes::{Account, Images, KubernetesEngine, Options, Placement, PullPolicy},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Of this executable; the image with the program has its name.
static IMAGE: OnceLock<String> = OnceLock::new();
static WORLDS: AtomicU32 = AtomicU32::new(0);

pub struct Cluster {
    description: Value,
}

impl Cluster {
    /// `what` is skipped where there is none.
    pub fn find(what: &str) -> Option<Self> {
        let Some(file) = std::env::var_os("ATELIER_CLUSTER") else {
            testing::leave_out(&format!("{what} on a cluster: ATELIER_CLUSTER names none"));
            return None;
        };
        let description = serde_json::from_slice(&std::fs::read(&file).expect("the cluster's description")).expect("JSON");
        Some(Self { description })
    }

    fn text(&self, key: &str) -> &str {
        self.description[key].as_str().unwrap_or_else(|| panic!("the cluster's description has no {key}"))
    }

    /// Host and port.
    pub fn api_server(&self) -> (&str, &str) {
        self.text("api_server").trim_start_matches("https://").rsplit_once(':').expect("a port")
    }

    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.text("kubectl"));
        command.args(["--kubeconfig", self.text("kubeconfig")]);
        command
    }
}

/// `None` = there is no cluster, and that was said.
pub async fn world() -> Option<World> {
    world_and_others().await.map(|(world, _)| world)
}

/// What others than the portal do with the objects of the tenant `acme`.
pub struct Others {
    kubectl: String,
    kubeconfig: PathBuf,
    namespace: String,
    options: Options,
}

impl Others {
    /// Returns what kubectl printed; it must have succeeded.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace]).args(args);
        command
    }

    pub fn create(&self, object: &Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("object.json");
        std::fs::write(&file, object.to_string()).unwrap();
        self.kubectl(&["create", "-f", &file.display().to_string()]);
    }

    /// The names of all pods of a task.
    pub fn pods(&self, task: &str) -> Vec<String> {
        let printed = self.kubectl(&["get", "pods", "-l", &format!("atelier.dev/task={task}"), "-o", "name"]);
        printed.lines().map(str::to_owned).collect()
    }

    /// A portal that was just started, and knows nothing.
    pub async fn another_engine(&self) -> Engine {
        Engine::Kubernetes(KubernetesEngine::new(self.options.clone()).await.unwrap())
    }

    /// The same, where whoever runs the cluster has decided otherwise.
    pub async fn engine_placed(&self, decide: impl FnOnce(&mut Placement)) -> Engine {
        let mut options = self.options.clone();
        decide(&mut options.placement);
        Engine::Kubernetes(KubernetesEngine::new(options).await.unwrap())
    }

    /// One whose way to the API server is this.
    pub async fn engine_by_way_of(&self, kubeconfig: PathBuf) -> Engine {
        Engine::Kubernetes(KubernetesEngine::new(Options { kubeconfig: Some(kubeconfig), ..self.options.clone() }).await.unwrap())
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

pub async fn world_and_others() -> Option<(World, Others)> {
    let cluster = Cluster::find("the engine's contract")?;
    let program = IMAGE.get_or_init(|| import_program(&cluster)).clone();
    let (prefix, options) = options(&cluster, program);
    let engine = Engine::Kubernetes(KubernetesEngine::new(options.clone()).await.unwrap());
    let others = Others {
        kubectl: cluster.text("kubectl").to_owned(),
        kubeconfig: cluster.text("kubeconfig").into(),
        namespace: format!("{prefix}acme"),
        options,
    };
    let (kubectl, config) = (cluster.text("kubectl").to_owned(), cluster.text("kubeconfig").to_owned());
    let namespace = format!("{prefix}acme");
    let seen_by_others = Box::new(move || {
        let mut command = Command::new(&kubectl);
        let kinds = "jobs,deployments,pods,configmaps,services,events";
        let output = command.args(["--kubeconfig", &config, "-n", &namespace, "get", kinds, "-o", "json"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let namespaces = ["acme", "other", "platform"].map(|tenant| format!("{prefix}{tenant}")).into();
    let world = World { engine, seen_by_others, start: Duration::from_secs(15), _keep: Box::new(Kept { cluster, namespaces }) };
    Some((world, others))
}

/// With the prefix of its namespaces: whoever runs at the same time has others. `program`: the image that plays this program.
pub async fn engine(cluster: &Cluster, program: String) -> (String, Engine) {
    let (prefix, options) = options(cluster, program);
    (prefix, Engine::Kubernetes(KubernetesEngine::new(options).await.unwrap()))
}

/// Of a portal that may make no namespaces.
pub async fn verifying_engine(cluster: &Cluster) -> (String, Engine) {
    let (prefix, options) = options(cluster, "none".into());
    let account = Some(Account { name: "atelier-controller".into(), role: "atelier-runtime".into() });
    (prefix, Engine::Kubernetes(KubernetesEngine::new(Options { provision: false, account, ..options }).await.unwrap()))
}

fn options(cluster: &Cluster, program: String) -> (String, Options) {
    let prefix = format!("c{}-{}-", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
    let system = cluster.description["images"]["task"].as_str().expect("an image with a shell and Python").to_owned();
    let options = Options {
        kubeconfig: Some(PathBuf::from(cluster.text("kubeconfig"))),
        namespace_prefix: prefix.clone(),
        platform_namespace: format!("{prefix}platform"),
        provision: true,
        account: None,
        reader: None,
        images: Images { task: program, trainer: system.clone(), vllm: system },
        image_pull_policy: PullPolicy::IfNotPresent,
        group_prefix: Some("oidc:/".into()),
        store_networks: Vec::new(),
        placement: Placement::default(),
        weights_cache: None,
    };
    // As the program does at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    (prefix, options)
}

/// What the builders make is kept in files; here a real API server reads them, and knows each of their fields.
#[test]
fn every_object_that_is_built_is_accepted_by_an_api_server() {
    let Some(cluster) = Cluster::find("the objects of the engine") else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kubernetes/golden");
    let folder = tempfile::tempdir().unwrap();
    let namespace = format!("c{}-golden", std::process::id());
    let _kept = Kept { cluster: Cluster::find("").unwrap(), namespaces: vec![namespace.clone()] };
    let run = |kubectl: &mut Command| {
        let output = kubectl.output().unwrap();
        assert!(output.status.success(), "{kubectl:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(cluster.kubectl().args(["create", "namespace", &namespace]));
    let mut tried = 0;
    for file in std::fs::read_dir(golden).unwrap().flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap().replace("\"atelier-acme\"", &format!("\"{namespace}\""));
        let object: Value = serde_json::from_str(&text).unwrap();
        let list = if object.is_array() { serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": object }) } else { object };
        let path = folder.path().join(file.file_name());
        std::fs::write(&path, list.to_string()).unwrap();
        let flags =
            ["apply", "--server-side", "--force-conflicts", "--field-manager=atelier", "--validate=strict", "--dry-run=server", "-f"];
        run(cluster.kubectl().args(flags).arg(&path));
        tried += 1;
    }
    assert!(tried > 5, "{tried} files");
}

/// A program that needs nothing but the kernel, in an image of its own.
fn import_program(cluster: &Cluster) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root/usr/local/bin");
    std::fs::create_dir_all(&root).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/program.rs.txt");
    let compiled = Command::new("rustc")
        .args(["--crate-name", "program", "--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
        .arg(root.join("atelier"))
        .arg(&source)
        .status()
        .unwrap();
    assert!(compiled.success());
    import(cluster, "atelier.local/contract", folder.path())
}

/// What is in `root` of this folder as an image of this name, with a tag that says what it was made of.
pub fn import(cluster: &Cluster, name: &str, folder: &Path) -> String {
    let run = |command: &mut Command| assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{command:?}");
    let layer = folder.join("layer.tar");
    run(Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C"])
        .arg(folder.join("root"))
        .arg("-cf")
        .arg(&layer)
        .arg("."));
    let digest = Command::new("sha256sum").arg(&layer).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap()[..64].to_owned();
    let image = format!("{name}:{}", &digest[..12]);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"] }]);
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let archive = folder.join("image.tar");
    run(Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(&archive).args(["manifest.json", "config.json", "layer.tar"]));
    run(Command::new("ctr").args(["--address", cluster.text("containerd"), "--namespace", "k8s.io", "images", "import"]).arg(&archive));
    image
}

/// What a test leaves behind goes with its namespaces.
pub struct Kept {
    pub cluster: Cluster,
    pub namespaces: Vec<String>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let mut kubectl = self.cluster.kubectl();
            kubectl.args(["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"]);
            let _ = kubectl.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}
