//! A whole platform on a temporary folder, with the local engine and real processes: the program is a script that plays
//! `atelier task` (`task.py`) and hands `supervise` to this very test executable, so that what supervises is the real thing.

#[path = "../../support/postgres.rs"]
pub mod postgres;
#[path = "../../support/strangers.rs"]
pub mod strangers;

use domain::{
    artefacts::{ArtefactStore, StoreKey},
    dataset::{DatasetVersion, Documentation, PersonalData, VersionState},
    people::{PlatformRole, Role},
    run::{NewRun, Run},
    settings::preset,
    tenant::Quota,
    time::Timestamp,
};
use engine::{
    Engine,
    local::{LocalEngine, supervise},
};
use platform::{
    Config, Platform, SESSION_HOURS, UPLOAD_BYTES,
    access::{Caller, Origin, PlatformScope, Scope},
    base_models::NewBaseModel,
    datasets::NewUpload,
    sessions::Profile,
    tenants::NewTenant,
};
use std::{
    collections::BTreeMap,
    future::Future,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use storage::GarageAdmin;

/// This executable as the supervisor, when the script asks for it. See `the_supervisor_itself`.
pub fn supervise_if_asked() {
    if let Ok(folder) = std::env::var("SUPERVISE_FOLDER") {
        std::process::exit(supervise(Path::new(&folder)));
    }
}

pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis() as i64)
}

pub struct House {
    pub platform: Platform,
    pub folder: tempfile::TempDir,
    database: String,
    store: Store,
}

/// Where artefacts lie.
#[derive(Clone)]
pub struct Store {
    pub location: ArtefactStore,
    pub key: Option<StoreKey>,
    pub garage: Option<GarageAdmin>,
}

impl Store {
    fn folder(folder: &Path) -> Self {
        Self { location: ArtefactStore::Local { root: folder.join("store").display().to_string() }, key: None, garage: None }
    }
}

impl Drop for House {
    /// Without this folder every process of the script ends by itself, also one that is just being started.
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(self.folder.path().join("control")) {
            eprintln!("processes may stay behind: {e}");
        }
    }
}

impl House {
    /// A tenant `lumenta`, and a registered base model `world`.
    pub async fn new(database: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(folder.path());
        Self::on(folder, database, store).await
    }

    /// The same on this store.
    pub async fn on(folder: tempfile::TempDir, database: Option<String>, store: Store) -> Self {
        let script = format!(
            "#!/bin/sh\nif [ \"$2\" = supervise ]; then\n  SUPERVISE_FOLDER=\"$4\" exec {} --exact the_supervisor_itself --nocapture\nfi\n\
             while [ $# -gt 0 ]; do case \"$1\" in --spec) SPEC=\"$2\" ;; --port) PORT=\"$2\" ;; esac; shift; done\nunset SUPERVISE_FOLDER\nexec python3 {} \"$SPEC\" $PORT\n",
            std::env::current_exe().unwrap().display(),
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control/house/task.py").display(),
        );
        let program = folder.path().join("program");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(folder.path().join("control")).unwrap();
        let database = database.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("db").display()));
        let platform = open(folder.path(), &database, store.clone(), now).await;
        let house = Self { platform, folder, database, store };
        let quota = Quota { concurrent_runs: 1, endpoints: 2, ..Quota::default() };
        for name in ["lumenta", "velkor"] {
            let new = NewTenant { name: name.into(), title: String::new(), quota: quota.clone() };
            house.platform.tenants(&PlatformScope::command_line()).create(new).await.unwrap();
        }
        house.register("world").await;
        house
    }

    /// The same portal, started anew with another way to make buckets and keys.
    pub async fn with_garage(mut self, garage: GarageAdmin) -> Self {
        self.store.garage = Some(garage);
        self.platform = self.another().await;
        self
    }

    /// The same portal, started anew with another engine.
    pub async fn with_engine(mut self, engine: Engine) -> Self {
        self.platform = open_with(engine, &self.database, self.store.clone(), now).await;
        self
    }

    /// Another process of the portal on the same database, store and engine.
    pub async fn another(&self) -> Platform {
        self.another_by(now).await
    }

    /// The same by another clock.
    pub async fn another_by(&self, clock: fn() -> Timestamp) -> Platform {
        open(self.folder.path(), &self.database, self.store.clone(), clock).await
    }

    /// Changes rows behind the program's back.
    pub async fn sql(&self, sql: String) {
        let sql = sqlx::AssertSqlSafe(sql);
        let changed = if self.database.starts_with("sqlite") {
            sqlx::query(sql).execute(&sqlx::SqlitePool::connect(&self.database).await.unwrap()).await.unwrap().rows_affected()
        } else {
            sqlx::query(sql).execute(&sqlx::PgPool::connect(&self.database).await.unwrap()).await.unwrap().rows_affected()
        };
        assert!(changed > 0, "nothing was changed");
    }

    /// One number of the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        if self.database.starts_with("sqlite") {
            sqlx::query_scalar(sql).fetch_one(&sqlx::SqlitePool::connect(&self.database).await.unwrap()).await.unwrap()
        } else {
            sqlx::query_scalar(sql).fetch_one(&sqlx::PgPool::connect(&self.database).await.unwrap()).await.unwrap()
        }
    }

    /// Whether this machine holds processes to a memory limit; else why not.
    pub fn holds_memory(&self) -> Result<(), String> {
        let folder = self.folder.path();
        LocalEngine::new(folder.join("unused"), folder.join("program"), BTreeMap::new()).holds().memory
    }

    pub fn control_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("control").join(name)
    }

    /// What the script noted at each start that mentions `text`.
    pub fn starts(&self, text: &str) -> Vec<String> {
        let all = std::fs::read_to_string(self.control_file("starts")).unwrap_or_default();
        all.lines().filter(|l| l.contains(text)).map(str::to_owned).collect()
    }

    pub async fn caller(&self, subject: &str, roles: &[(&str, Role)], platform_role: Option<PlatformRole>) -> Caller {
        let profile = Profile {
            issuer: "https://id.example".into(),
            subject: subject.into(),
            name: subject.into(),
            email: None,
            groups: Vec::new(),
            platform_role,
            memberships: roles.iter().map(|(t, r)| (t.parse().unwrap(), *r)).collect(),
            id_token: None,
            session: None,
            refresh_token: None,
        };
        let secret = self.platform.sessions().sign_in(profile, &Origin::default()).await.unwrap();
        self.platform.sessions().caller(&secret, Origin::default()).await.unwrap().unwrap()
    }

    pub async fn owner(&self) -> Scope {
        self.caller("mira", &[("lumenta", Role::Owner)], None).await.scope(&self.platform, "lumenta").await.unwrap()
    }
    /// Owner of another tenant.
    pub async fn stranger(&self) -> Scope {
        self.caller("jan", &[("velkor", Role::Owner)], None).await.scope(&self.platform, "velkor").await.unwrap()
    }

    pub fn model_folder(&self) -> PathBuf {
        let folder = self.folder.path().join("model");
        std::fs::create_dir_all(&folder).unwrap();
        let header = br#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        let mut weights = (header.len() as u64).to_le_bytes().to_vec();
        weights.extend(header);
        weights.extend([0; 24]);
        std::fs::write(folder.join("model.safetensors"), weights).unwrap();
        std::fs::write(folder.join("config.json"), r#"{"architectures":["LlamaForCausalLM"],"max_position_embeddings":512}"#).unwrap();
        std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        std::fs::write(folder.join("chat_template.jinja"), "<|im_start|>").unwrap();
        folder
    }

    async fn register(&self, name: &str) {
        let new = NewBaseModel { folder: self.model_folder(), name: name.into(), licence: "Apache-2.0".into(), template: None };
        self.platform.base_models().register_as_system(new).await.unwrap();
        self.platform.run_due_jobs("test").await.unwrap();
        let model = self.platform.base_models().get(name).await.unwrap();
        assert_eq!(model.state, domain::base_model::BaseModelState::Ready, "{:?}", model.reason);
    }

    /// A ready dataset version of ten rows.
    pub async fn dataset(&self, scope: &Scope, name: &str, held_out_percent: u8) -> DatasetVersion {
        let row = |i: u32| format!(r#"{{"messages":[{{"role":"user","content":"q{i}"}},{{"role":"assistant","content":"a{i}"}}]}}"#) + "\n";
        let text: String = (0..10).map(row).collect();
        let documentation = Documentation {
            licence: "CC-BY-4.0".into(),
            personal_data: PersonalData::None,
            languages: vec!["en".into()],
            ..Documentation::default()
        };
        let new = NewUpload { name: name.into(), file_name: "rows.jsonl".into(), held_out_percent, documentation, ..NewUpload::default() };
        let body = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(text))]);
        self.platform.datasets(scope).upload(new, body).await.unwrap();
        self.platform.run_due_jobs("test").await.unwrap();
        // A controller that runs may have taken the job.
        until(|| async {
            let version = self.platform.datasets(scope).version(name, None).await.unwrap();
            if version.state == VersionState::Ready { Ok(version) } else { Err(format!("{:?} {:?}", version.state, version.reason)) }
        })
        .await
    }

    pub async fn launch(&self, scope: &Scope, name: &str, seed: u32) -> Run {
        self.platform.runs(scope).launch(plan(name, seed)).await.unwrap()
    }

    /// A controller that runs until the returned guard is dropped: as good as a kill.
    pub fn controller(&self, holder: &str) -> Controller {
        controller(self.platform.clone(), holder)
    }

    /// On a real PostgreSQL; `None` where there is none.
    pub async fn on_postgres() -> Option<Self> {
        Some(Self::new(Some(postgres::fresh_database().await?)).await)
    }

    pub async fn run_until(&self, scope: &Scope, run: &Run, what: impl Fn(&Run) -> bool) -> Run {
        until(|| async {
            let now = self.platform.runs(scope).get(run.id).await.unwrap();
            if what(&now) { Ok(now) } else { Err(format!("{:?} {} {:?}", now.state, now.said(), now.failure)) }
        })
        .await
    }
}

/// Writes each test twice: `sqlite::name` and `postgres::name`.
#[macro_export]
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name($crate::house::House::new(None).await).await })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            if let Some(house) = $crate::house::House::on_postgres().await {
                super::$name(house).await
            }
        })* }
    };
}

pub fn plan(name: &str, seed: u32) -> NewRun {
    NewRun {
        name: name.into(),
        base_model: "world".into(),
        dataset: "facts".into(),
        dataset_number: None,
        model_name: "assistant".into(),
        settings: preset("lora").unwrap().with("seed", seed).with("cutoff_len", 128),
        result: Default::default(),
        nodes: 1,
        resources: Default::default(),
        custom: None,
        cloned_from: None,
        submission: format!("form-{name}"),
    }
}

pub struct Controller(tokio::task::JoinHandle<()>);

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub fn controller(platform: Platform, holder: &str) -> Controller {
    let holder = holder.to_owned();
    Controller(tokio::spawn(async move { platform.control(holder, std::future::pending()).await }))
}

/// Asks again until it is so; panics with what it saw last after a minute.
pub async fn until<T, F: Future<Output = Result<T, String>>>(mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < end, "still not so; last seen: {seen}"),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

async fn open(folder: &Path, database: &str, store: Store, clock: fn() -> Timestamp) -> Platform {
    let env = BTreeMap::from([
        ("CONTROL".to_owned(), folder.join("control").display().to_string()),
        ("DIGEST".to_owned(), blake3::hash(b"weights").to_hex().to_string()),
    ]);
    open_with(Engine::Local(LocalEngine::new(folder.join("tasks"), folder.join("program"), env)), database, store, clock).await
}

async fn open_with(engine: Engine, database: &str, store: Store, clock: fn() -> Timestamp) -> Platform {
    let config = Config {
        database_url: database.into(),
        store: store.location,
        store_key: store.key,
        garage: store.garage,
        engine,
        task_limits: Default::default(),
        outside_allowed: outside::Allowed::of(["127.0.0.1"]).unwrap(),
        session_hours: SESSION_HOURS,
        session_idle_minutes: platform::SESSION_IDLE_MINUTES,
        confirm_seconds: platform::CONFIRM_SECONDS,
        token_key: platform::sealing::TokenKey::new([7; 32]),
        upload_bytes: UPLOAD_BYTES,
        tenant_group: "atelier/{tenant}/{role}".into(),
        outside_host: None,
    };
    Platform::open(config, clock).await.unwrap()
}
