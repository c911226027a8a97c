//! A store with the demo's base model and dataset, and the task as a process of its own: this very test executable, called again.

use domain::{
    artefacts::{self, ArtefactStore, STORE_SECRET, StoreKey},
    base_model::StoredFile,
    ids::{BaseModelId, DatasetVersionId, EndpointId, ModelVersionId, RunId},
    model::WeightsKind,
    report::{Line, Phase, TaskMessage, Verdict},
    run::CustomTraining,
    settings::{FinetuningType, RunSettings},
    task_spec::{Custom, Evaluate, Merge, Serve, TaskSpec, Train, Weights, Work},
};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};
use storage::{Patience, Storage};
use testing::garage::{self, Garage};
use uuid::Uuid;

pub const BASE: BaseModelId = BaseModelId::from_uuid(Uuid::from_u128(1));
pub const DATA: DatasetVersionId = DatasetVersionId::from_uuid(Uuid::from_u128(2));
pub const RUN: RunId = RunId::from_uuid(Uuid::from_u128(3));

/// To be called by a test named `the_task_itself`: becomes the task when the environment says so.
pub fn be_the_task() {
    if let Ok(spec) = std::env::var("TASK_SPEC") {
        let spec = Path::new(&spec);
        std::process::exit(match std::env::var("TASK_PORT") {
            Ok(port) => task::serve(spec, None, ([127, 0, 0, 1], port.parse().unwrap()).into(), manner()),
            Err(_) => task::run(spec, None),
        });
    }
}

/// As the environment says: where it tells whether it is ready, and how long it drains.
fn manner() -> task::Manner {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse().unwrap());
    task::Manner {
        ready_at: number("TASK_READY_PORT").map(|port: u64| ([127, 0, 0, 1], port as u16).into()),
        drain: Duration::from_secs(number("TASK_DRAIN").unwrap_or(0)),
    }
}

/// The environment that `variable` names, and the machine for this test alone: two of these at once would only measure each other.
/// `None` = not installed here: the test is then skipped.
pub fn machine(variable: &str) -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    if std::env::var_os(variable).is_none() {
        testing::skip(&format!("{variable} is not set, so nothing real can be run (make test installs it)"));
        return None;
    }
    Some(ONE.lock().unwrap_or_else(|e| e.into_inner()))
}

pub struct World {
    folder: tempfile::TempDir,
    /// Where its artefacts lie, if not in a folder: the tenant's key is among the task's secrets.
    s3: Option<(ArtefactStore, StoreKey)>,
    pub train_rows: u64,
    pub held_out_rows: u64,
    /// Of what it serves: where that says whether it takes calls, and for how many seconds calls under way may go on at the end.
    pub drains: Option<(u16, u64)>,
}

impl World {
    /// `rows`: how many of the demo's rows are trained on; the next 8 are held out.
    pub fn new(rows: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/world");
        let world = Self { folder, s3: None, train_rows: rows as u64, held_out_rows: 8, drains: None };
        let base = world.stored(&artefacts::base_model(BASE));
        std::fs::create_dir_all(&base).unwrap();
        for entry in std::fs::read_dir(examples.join("base-model")).unwrap().flatten() {
            std::fs::copy(entry.path(), base.join(entry.file_name())).unwrap();
        }
        let text = std::fs::read_to_string(examples.join("datasets/lumenta-facts.jsonl")).unwrap();
        let lines: Vec<_> = text.lines().collect();
        world.put(&artefacts::dataset_train(&tenant(), DATA, None), &(lines[..rows].join("\n") + "\n"));
        world.put(&artefacts::dataset_held_out(&tenant(), DATA, None), &(lines[rows..rows + 8].join("\n") + "\n"));
        world
    }

    /// The same in buckets of a real S3 store: everything that the folder holds is put there, and taken from it.
    pub fn on_s3(garage: &Garage, rows: usize) -> Self {
        let location = ArtefactStore::S3 {
            endpoint: garage.endpoint.clone(),
            region: garage::REGION.into(),
            bucket_prefix: "house-".into(),
            path_style: true,
            ca: None,
        };
        let as_key = |(access_key_id, secret_access_key)| StoreKey { access_key_id, secret_access_key };
        let (portal, tenant) = (garage.key("portal"), garage.key("tenant"));
        let tenants = location.bucket(&self::tenant()).unwrap();
        let shared = location.platform_bucket().unwrap();
        for bucket in [&tenants, &shared] {
            garage.bucket(bucket);
            garage.allow(bucket, &portal, &["--read", "--write"]);
        }
        garage.allow(&tenants, &tenant, &["--read", "--write"]);
        garage.allow(&shared, &tenant, &["--read"]);
        let folder = Self::new(rows);
        let storage = Storage::open(&location, Some(&as_key(portal)), Patience::PORTAL).unwrap();
        let root = folder.stored("");
        for file in files_below(&root) {
            let path = object_store::path::Path::from(file.strip_prefix(&root).unwrap().to_str().unwrap());
            let bytes = std::fs::read(&file).unwrap();
            block_on(async { storage.of(path.as_ref()).unwrap().put(&path, bytes.into()).await.unwrap() });
        }
        // From here on nothing can be taken from the folder.
        std::fs::remove_dir_all(&root).unwrap();
        Self { s3: Some((location, as_key(tenant))), ..folder }
    }

    /// The bytes of an object in the tenant's bucket, read with its own key.
    pub fn in_bucket(&self, path: &str) -> Vec<u8> {
        let (location, key) = self.s3.as_ref().unwrap();
        let storage = Storage::open(location, Some(key), Patience::PORTAL).unwrap();
        let path = object_store::path::Path::from(path);
        block_on(async { storage.of(path.as_ref()).unwrap().get(&path).await.unwrap().bytes().await.unwrap().to_vec() })
    }

    /// The base model's files, as the portal knows them.
    fn base_files(&self) -> Vec<StoredFile> {
        if self.s3.is_none() {
            return Vec::new();
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/world/base-model");
        let file = |path: PathBuf| {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            StoredFile { path: name, bytes: bytes.len() as u64, digest: blake3::hash(&bytes).to_hex().to_string() }
        };
        files_below(&folder).into_iter().map(file).collect()
    }

    pub fn stored(&self, path: &str) -> PathBuf {
        self.folder.path().join("store").join(path)
    }
    pub fn put(&self, path: &str, text: &str) {
        let path = self.stored(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    pub fn task_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join("tasks").join(name)
    }
    pub fn result(&self, name: &str) -> PathBuf {
        self.stored(&artefacts::run_task(&tenant(), RUN, "train")).join("output").join(name)
    }

    pub fn train(&self, settings: RunSettings) -> Process {
        self.train_again(settings, "train", &[])
    }
    /// Another try, in a folder of its own, after these.
    pub fn train_again(&self, settings: RunSettings, folder: &str, earlier: &[&str]) -> Process {
        self.start(folder, self.training(settings, folder, earlier), None)
    }
    /// One of two processes of the same training, with the environment that a pod has.
    pub fn train_as_one_of_two(&self, settings: RunSettings, index: u32) -> Process {
        let index_text = index.to_string();
        let env = [("ATELIER_NODES", "2"), ("JOB_COMPLETION_INDEX", index_text.as_str()), ("ATELIER_FIRST_NODE", "127.0.0.1")];
        self.start_with(&format!("node-{index}"), self.training(settings, "train", &[]), None, &env)
    }
    fn training(&self, settings: RunSettings, folder: &str, earlier: &[&str]) -> Work {
        let (tenant, template) = (tenant(), "qwen3_nothink".into());
        let (train_rows, held_out_rows) = (self.train_rows, self.held_out_rows);
        Work::Train(Train {
            tenant,
            run: RUN,
            folder: folder.into(),
            base_model: BASE,
            base_files: self.base_files(),
            template,
            dataset_version: DATA,
            judgement: None,
            held_out_rows,
            train_rows,
            settings,
            gpus: 0,
            earlier: earlier.iter().map(|e| (*e).to_owned()).collect(),
        })
    }
    /// A training by a program of somebody's own.
    pub fn custom(&self, training: CustomTraining, leaves: FinetuningType) -> Process {
        let work = Custom {
            tenant: tenant(),
            run: RUN,
            folder: "train".into(),
            base_model: BASE,
            base_files: self.base_files(),
            dataset_version: DATA,
            judgement: None,
            held_out_rows: self.held_out_rows,
            train_rows: self.train_rows,
            training,
            leaves,
        };
        self.start("train", Work::Custom(work), None)
    }
    pub fn evaluate_merged(&self) -> Process {
        self.evaluate_weights("merge", WeightsKind::Merged)
    }
    pub fn evaluate(&self, settings: &RunSettings) -> Process {
        let weights_kind = match settings.finetuning_type() {
            FinetuningType::Lora => WeightsKind::Adapter,
            FinetuningType::Full => WeightsKind::Merged,
        };
        self.evaluate_weights("train", weights_kind)
    }
    /// Base against the weights that the task `weights` has left.
    fn evaluate_weights(&self, weights: &str, weights_kind: WeightsKind) -> Process {
        self.start(
            "evaluate",
            Work::Evaluate(Evaluate {
                tenant: tenant(),
                run: RUN,
                base_model: BASE,
                base_files: self.base_files(),
                dataset_version: DATA,
                judgement: None,
                folder: "evaluate".into(),
                weights: weights.into(),
                weights_files: Vec::new(),
                weights_kind,
            }),
            None,
        )
    }
    /// The adapter of `train`, into the weights of the base model.
    pub fn merge(&self) -> Process {
        let (tenant, template) = (tenant(), "qwen3_nothink".into());
        let (folder, adapter) = ("merge".into(), "train".into());
        let (base_files, adapter_files) = (self.base_files(), Vec::new());
        let work = Merge { tenant, run: RUN, folder, base_model: BASE, base_files, template, adapter, adapter_files };
        self.start("merge", Work::Merge(work), None)
    }
    pub fn serve(&self, name: &str, port: u16) -> Process {
        self.serve_weights(name, port, Weights::Base { base_model: BASE }, 32)
    }
    /// A model that a full fine-tuning run made: no adapters.
    pub fn serve_merged(&self, name: &str, port: u16, version: ModelVersionId) -> Process {
        self.serve_weights(name, port, Weights::Merged { version }, 0)
    }
    fn serve_weights(&self, name: &str, port: u16, weights: Weights, max_lora_rank: u32) -> Process {
        let endpoint = EndpointId::from_uuid(Uuid::from_u128(4));
        let work = Serve {
            tenant: tenant(),
            endpoint,
            weights,
            files: Vec::new(),
            served_name: "demo".into(),
            context: 512,
            max_lora_rank,
            gpus: 0,
            tool_call_parser: Default::default(),
            reasoning_parser: Default::default(),
            media_hosts: Vec::new(),
        };
        self.start(name, Work::Serve(work), Some(port))
    }
    pub fn verdict(&self, task: &str) -> Verdict {
        let path = artefacts::run_verdict(&tenant(), RUN, task);
        let bytes = if self.s3.is_some() { self.in_bucket(&path) } else { std::fs::read(self.stored(&path)).unwrap() };
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The steps of the checkpoints of a try that count, in order.
    pub fn checkpoints(&self, task: &str) -> Vec<u64> {
        let folder = artefacts::run_checkpoints(&tenant(), RUN, task);
        let paths: Vec<String> = match &self.s3 {
            Some((location, key)) => {
                let storage = Storage::open(location, Some(key), Patience::PORTAL).unwrap();
                let at = object_store::path::Path::from(folder.as_str());
                let listed = async { storage.of(&folder).unwrap().list(Some(&at)).try_collect::<Vec<_>>().await.unwrap() };
                block_on(listed).into_iter().map(|o| o.location.to_string()).collect()
            }
            None if !self.stored(&folder).exists() => Vec::new(),
            None => files_below(&self.stored(&folder)).iter().map(|p| p.to_string_lossy().into_owned()).collect(),
        };
        let step = |path: &String| path.split_once(&format!("{folder}/"))?.1.strip_suffix(".json")?.parse().ok();
        let mut steps: Vec<u64> = paths.iter().filter_map(step).collect();
        steps.sort_unstable();
        steps
    }

    fn start(&self, name: &str, work: Work, port: Option<u16>) -> Process {
        self.start_with(name, work, port, &[])
    }

    fn start_with(&self, name: &str, work: Work, port: Option<u16>, env: &[(&str, &str)]) -> Process {
        let folder = self.task_folder(name);
        std::fs::create_dir_all(&folder).unwrap();
        let secrets = folder.join("secrets");
        let store = match &self.s3 {
            Some((location, key)) => {
                std::fs::create_dir_all(&secrets).unwrap();
                std::fs::write(secrets.join(STORE_SECRET), serde_json::to_vec(key).unwrap()).unwrap();
                location.clone()
            }
            None => ArtefactStore::Local { root: self.stored("").to_string_lossy().into_owned() },
        };
        let spec = folder.join("spec.json");
        std::fs::write(&spec, serde_json::to_vec(&TaskSpec { store, work }).unwrap()).unwrap();
        let output = folder.join("output");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "the_task_itself", "--nocapture"])
            .env("TASK_SPEC", spec)
            .env("ATELIER_SECRETS", secrets)
            .env_remove("TASK_PORT")
            .envs(env.iter().copied());
        if let Some(port) = port {
            command.env("TASK_PORT", port.to_string());
        }
        if let Some((port, seconds)) = self.drains {
            command.env("TASK_READY_PORT", port.to_string()).env("TASK_DRAIN", seconds.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(std::fs::File::create(&output).unwrap()).spawn().unwrap();
        Process { child, output }
    }
}

pub fn tenant() -> domain::name::Name {
    "acme".parse().unwrap()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
pub fn version(n: u128) -> ModelVersionId {
    ModelVersionId::from_uuid(Uuid::from_u128(n))
}

pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }
    pub fn lines(&self) -> Vec<TaskMessage> {
        let text = std::fs::read_to_string(&self.output).unwrap();
        // The test harness of the called executable says a line or two of its own.
        text.lines().filter_map(|l| serde_json::from_str::<Line>(l).ok()).map(|l| l.message).collect()
    }
    pub fn phases(&self) -> Vec<Phase> {
        let mut out: Vec<_> =
            self.lines().iter().filter_map(|s| if let TaskMessage::Phase { phase, .. } = s { Some(*phase) } else { None }).collect();
        out.dedup();
        out
    }
    pub fn log(&self) -> String {
        self.lines()
            .iter()
            .filter_map(|s| if let TaskMessage::Log { level, text } = s { Some(format!("{level:?} {text}\n")) } else { None })
            .collect()
    }
    /// Waits for something that it says.
    pub fn wait_for<T>(&mut self, what: &str, seconds: u64, find: impl Fn(&TaskMessage) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = self.lines().iter().find_map(&find) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "waited for {what}; {ended:?}; it said\n{:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    pub fn wait(&mut self, seconds: u64) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it did not end; it said\n{:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    pub fn signal(&self, signal: &str) {
        kill(self.pid(), signal);
    }
    /// Waits until a child runs whose command line holds `text`; its process id.
    pub fn child_with(&self, text: &str) -> i32 {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let found = children(self.pid())
                .into_iter()
                .find(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(text)));
            if let Some(pid) = found {
                return pid;
            }
            assert!(Instant::now() < until, "no child with {text}; it said\n{:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn kill(pid: i32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

pub fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

pub fn wait_until_gone(pid: i32) {
    let until = Instant::now() + Duration::from_secs(20);
    while is_running(pid) {
        assert!(Instant::now() < until, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose parent is `pid`.
pub fn children(pid: i32) -> Vec<i32> {
    let parent = |stat: String| stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?.parse::<i32>().ok();
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    all.filter(|child| std::fs::read_to_string(format!("/proc/{child}/stat")).ok().and_then(parent) == Some(pid)).collect()
}
