//! What the portal does: one use-case file per noun, access, store (all SQL), blobs, controllers.
//!
//! The way in: [`sessions::Sessions::caller`] proves who asks, [`access::Caller::scope`] gives a handle on one tenant, and
//! `platform.<noun>(&scope)` the use cases. Changes need an [`access::Permit`] and commit with their audit record, event
//! and follow-up job, or not at all.

pub mod access;
pub mod audit;
pub mod base_models;
pub mod blobs;
pub mod by_token;
mod cards;
mod change;
pub mod chats;
pub mod cluster;
mod confirm;
mod control;
pub mod datasets;
pub mod directory;
pub mod endpoints;
pub mod events;
pub mod freshness;
pub mod inspect;
pub mod isolation;
pub mod jobs;
pub mod keys;
pub mod leavers;
pub mod leftovers;
mod limit_shares;
pub mod lineage;
pub mod members;
pub mod models;
pub mod places;
mod problem;
pub mod put;
pub mod redaction;
pub mod refusals;
mod rights;
pub mod runs;
pub mod sealing;
pub mod sessions;
pub(crate) mod store;
pub mod store_copy;
mod store_keys;
mod supply;
pub mod support;
mod task_names;
pub mod tenants;
pub mod usage;
mod write_access;

use domain::{
    artefacts::{ArtefactStore, StoreKey},
    counted,
    problem::{Problem, ProblemKind},
    supply::Machines,
    time::Timestamp,
};
use engine::Engine;
use outside::{Allowed, Outside};
use problem::Doing;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::Store;
use tokio::sync::{Mutex, broadcast};
use uuid::Uuid;

/// What the platform is opened with.
#[derive(Clone)]
pub struct Config {
    /// `sqlite:PATH`, `sqlite::memory:` or `postgres://...`.
    pub database_url: String,
    pub store: ArtefactStore,
    /// The portal's own, for a store that has keys: reads and writes all buckets.
    pub store_key: Option<StoreKey>,
    /// Makes buckets and keys of tenants; `None` = an admin gives them.
    pub garage: Option<storage::GarageAdmin>,
    pub engine: Engine,
    /// What tasks may use.
    pub task_limits: TaskLimits,
    /// Addresses of this machine and its neighbours that somebody else's model server may have.
    pub outside_allowed: Allowed,
    /// Hours until a session ends, whatever happens in it; see [`SESSION_HOURS`].
    pub session_hours: i64,
    /// Minutes without use until a session ends; see [`SESSION_IDLE_MINUTES`].
    pub session_idle_minutes: i64,
    /// Seconds until the identity provider is asked again whether a person may still come in; see [`CONFIRM_SECONDS`].
    pub confirm_seconds: i64,
    /// Encrypts what the identity provider gives us; the same for all replicas.
    pub token_key: sealing::TokenKey,
    /// Bytes of one dataset file; see [`UPLOAD_BYTES`].
    pub upload_bytes: u64,
    /// How a group of the identity provider names a tenant and a role: `atelier/{tenant}/{role}`.
    pub tenant_group: String,
    /// Host and port outside of the cluster that pods of tenants must not reach; a check of isolation tries it. `None` = it tries none.
    pub outside_host: Option<String>,
}

/// What the tasks of all tenants are held to. Nothing said = whatever the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskLimits {
    /// Bytes that one training, evaluation or model server may hold.
    pub memory: Option<u64>,
    /// GPUs of each that does not ask for a number of its own; 0 = what there is on its machine, and on a cluster none.
    pub gpus: u32,
    /// How long one training or evaluation may take.
    pub run: Option<Duration>,
    /// How names of images begin that may train in place of LLaMA-Factory; none = no image may.
    pub custom_images: Vec<String>,
}

/// The usual length of a session, hours.
pub const SESSION_HOURS: i64 = 12;
/// The usual time without use until a session ends, minutes: a long lunch, not a night.
pub const SESSION_IDLE_MINUTES: i64 = 120;
/// The usual time between two questions to the identity provider, seconds; whoever was disabled is out two minutes after it at the latest.
pub const CONFIRM_SECONDS: i64 = 180;
/// The usual limit of one dataset file: 20 GB.
pub const UPLOAD_BYTES: u64 = 20 * domain::size::GB;

/// How long the answer to "does the database take changes" is good.
const PROBE_HOLDS: Duration = Duration::from_secs(2);
/// How long one asks for it.
const PROBE_WAITS: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Database(#[from] store::ConnectError),
    #[error(transparent)]
    Store(#[from] storage::OpenError),
    #[error("the database's secrets cannot be read: {0}")]
    Secrets(String),
    #[error("the audit log of before cannot be closed: {0}")]
    Audit(Problem),
}

/// The portal without its listeners: cheap to clone, one per process.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    blobs: blobs::Blobs,
    location: ArtefactStore,
    store_key: Option<StoreKey>,
    garage: Option<storage::GarageAdmin>,
    engine: Engine,
    task_limits: TaskLimits,
    /// The way to servers that somebody else runs.
    outside: Outside,
    session_hours: i64,
    session_idle_minutes: i64,
    confirm_seconds: i64,
    token_key: sealing::TokenKey,
    upload_bytes: u64,
    tenant_group: String,
    outside_host: Option<String>,
    clock: fn() -> Timestamp,
    /// HMAC secret of session passes, shared by all replicas.
    pass_secret: [u8; 32],
    listeners: events::Listeners,
    /// People whose rights changed, as this process hears of it.
    rights: broadcast::Sender<domain::ids::PersonId>,
    /// On their way into the audit log.
    refusals: refusals::Refusals,
    /// When the database was last asked whether it takes changes, and what came of it.
    probed: Mutex<Option<(Instant, Result<(), Problem>)>>,
    /// When the cluster was last asked for its machines, and what it said.
    machines: Mutex<Option<(Instant, Machines)>>,
    freshness: freshness::Freshness,
}

impl Platform {
    /// Opens database and artefact store, and brings the schema up to date. `clock` is the only source of time.
    pub async fn open(config: Config, clock: fn() -> Timestamp) -> Result<Self, OpenError> {
        let store = Store::connect(&config.database_url).await?;
        let blobs = blobs::Blobs::open(&config.store, config.store_key.as_ref())?;
        let text = store.secret("pass", &hex::encode(random::<32>())).await.map_err(|e| OpenError::Secrets(e.to_string()))?;
        let mut pass_secret = [0; 32];
        hex::decode_to_slice(text, &mut pass_secret).map_err(|e| OpenError::Secrets(e.to_string()))?;
        let latest = store.counter("events").await.map_err(|e| OpenError::Secrets(e.to_string()))?;
        let Config {
            database_url: _,
            store: location,
            store_key,
            garage,
            engine,
            task_limits,
            outside_allowed,
            session_hours,
            session_idle_minutes,
            confirm_seconds,
            token_key,
            upload_bytes,
            tenant_group,
            outside_host,
        } = config;
        let listeners = events::Listeners::new(latest);
        let inner = Inner {
            store,
            blobs,
            location,
            store_key,
            garage,
            engine,
            task_limits,
            outside: Outside::new(outside_allowed),
            session_hours,
            session_idle_minutes,
            confirm_seconds,
            token_key,
            upload_bytes,
            tenant_group: tenant_group.trim_start_matches('/').to_owned(),
            outside_host,
            clock,
            pass_secret,
            listeners,
            rights: broadcast::Sender::new(1024),
            refusals: Default::default(),
            probed: Mutex::default(),
            machines: Mutex::default(),
            freshness: Default::default(),
        };
        let platform = Self { inner: Arc::new(inner) };
        platform.close_first_segment().await.map_err(OpenError::Audit)?;
        Ok(platform)
    }

    /// Whether the database takes changes now: what `/readyz` asks. A row is written as every change is, in the line of writers, so that
    /// a full disk or a line that stands still shows. However often it is asked, it is tried once in two seconds.
    pub async fn ready(&self) -> Result<(), Problem> {
        let mut last = self.inner.probed.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < PROBE_HOLDS
        {
            return found.clone();
        }
        let probe = self.store().probe(self.now());
        let found = match tokio::time::timeout(PROBE_WAITS, probe).await {
            Ok(done) => done.doing("asking whether the database takes changes"),
            Err(_) => Err(Problem::new(ProblemKind::Unavailable, "The database takes no changes now.").next("Try again in a moment.")),
        };
        *last = Some((Instant::now(), found.clone()));
        found
    }

    pub fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }
    pub(crate) fn blobs(&self) -> &blobs::Blobs {
        &self.inner.blobs
    }
    /// Where artefacts lie, as tasks are told.
    pub(crate) fn location(&self) -> &ArtefactStore {
        &self.inner.location
    }
    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }
    pub(crate) fn outside(&self) -> &Outside {
        &self.inner.outside
    }
    pub(crate) fn tenant_group(&self) -> &str {
        &self.inner.tenant_group
    }
    pub(crate) fn outside_host(&self) -> Option<&str> {
        self.inner.outside_host.as_deref()
    }
    pub(crate) fn task_limits(&self) -> &TaskLimits {
        &self.inner.task_limits
    }
    /// For a log: why a task is not held to its limits on this machine. `None` = it is, or has none.
    pub(crate) fn unheld_limits(&self) -> Option<String> {
        let bytes = self.inner.task_limits.memory?;
        let why = self.inner.engine.holds().memory.err()?;
        Some(format!("Its memory limit of {} is not held on this machine. {why}", domain::size::bytes(bytes)))
    }
    /// For a new id: `RunId::from_uuid(platform.fresh_uuid())`.
    pub(crate) fn fresh_uuid(&self) -> Uuid {
        uuid_at(self.now())
    }
}

/// A version 7 UUID: ids that were made later sort later.
pub(crate) fn uuid_at(at: Timestamp) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random()).into_uuid()
}

/// Random bytes from the operating system. Without them nothing here is safe, so there is no way on.
#[expect(clippy::expect_used, reason = "a machine without random numbers can make neither sessions nor keys")]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
