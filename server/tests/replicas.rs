//! Calls while the replicas of an endpoint change: the real gateway before `atelier task serve`, whose model server is a stand-in. What a cluster
//! does to pods is done here to processes: it asks `/ready`, takes out who is not ready, sends SIGTERM and waits, or kills.

#[path = "processes/programs.rs"]
#[allow(dead_code)]
mod programs;

use domain::{
    artefacts::{self, ArtefactStore},
    directory::{Directory, KeyEntry, Route, TenantEntry},
    ids::{BaseModelId, EndpointId, KeyId, PersonId},
    key::{self, Limits},
    name::Name,
    serving::{ParserChoice, ServingSettings},
    task_spec::{Serve, TaskSpec, Weights, Work},
    time::{DAY, Timestamp},
};
use futures::StreamExt;
use gateway::{Gateway, GatewayConfig, SpoolConfig, UsageSink};
use programs::Programs;
use serde_json::json;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// How long after a replica is ready or not any more the gateway hears of it: the cluster's watch, a commit, the directory.
const HEARD: Duration = Duration::from_millis(500);
/// Clients, each with one call at a time.
const CLIENTS: usize = 8;
/// Calls through each of the three changes, at least: together a thousand.
const CALLS: usize = 340;
const BASE: BaseModelId = BaseModelId::from_uuid(Uuid::from_u128(1));

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn free_port() -> u16 {
    // Below those that the system gives to others.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 20_000 + (std::process::id() as u16 % 4_000) + NEXT.fetch_add(1, SeqCst);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

struct Replica {
    process: Mutex<Child>,
    url: String,
    ready_at: String,
    /// The cluster was told to take it away: it takes no calls, whatever it says of itself.
    deleted: AtomicBool,
}

impl Replica {
    fn start(folder: &Path, programs: &Programs) -> Arc<Self> {
        let (port, ready_port) = (free_port(), free_port());
        let own = folder.join(format!("replica-{port}"));
        std::fs::create_dir_all(&own).unwrap();
        let work = Work::Serve(Serve {
            tenant: name("acme"),
            endpoint: EndpointId::from_uuid(Uuid::from_u128(5)),
            weights: Weights::Base { base_model: BASE },
            files: Vec::new(),
            served_name: "tiny".into(),
            context: 512,
            max_lora_rank: 0,
            gpus: 0,
            tool_call_parser: ParserChoice::Off,
            reasoning_parser: ParserChoice::Off,
            media_hosts: Vec::new(),
        });
        let spec = TaskSpec { store: ArtefactStore::Local { root: folder.join("store").display().to_string() }, work };
        std::fs::write(own.join("spec.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_atelier"))
            .args(["task", "serve", "--drain", "60", "--port", &port.to_string(), "--ready-port", &ready_port.to_string(), "--spec"])
            .arg(own.join("spec.json"))
            .env("ATELIER_VLLM_PYTHON", programs.python())
            .env("ATELIER_DEVICE", "cpu")
            .stdout(std::fs::File::create(own.join("said")).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Arc::new(Self {
            process: Mutex::new(process),
            url: format!("http://127.0.0.1:{port}"),
            ready_at: format!("http://127.0.0.1:{ready_port}/ready"),
            deleted: AtomicBool::new(false),
        })
    }

    /// As the cluster takes a pod away: out of the list, SIGTERM, and the grace time.
    fn delete(&self) {
        self.deleted.store(true, SeqCst);
        let pid = self.process.lock().unwrap().id();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    fn kill(&self) {
        self.process.lock().unwrap().kill().unwrap();
    }

    /// Its exit code, once it has ended.
    async fn ended(&self) -> Option<i32> {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            if let Some(status) = self.process.lock().unwrap().try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "a replica does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// How a call ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// It got status 200 and the beginning of an answer, which broke off.
    BrokeOff,
    Failed(String),
}

struct World {
    folder: tempfile::TempDir,
    programs: Programs,
    replicas: Arc<Mutex<Vec<Arc<Replica>>>>,
    directory: watch::Sender<Arc<Directory>>,
    gateway: String,
    client: reqwest::Client,
}

impl World {
    async fn start(replicas: usize) -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("store").join(artefacts::base_model(BASE));
        std::fs::create_dir_all(&weights).unwrap();
        std::fs::write(weights.join("config.json"), "{}").unwrap();
        let programs = Programs::standins(&folder.path().join("programs"), 0.02);

        let made = key::text::make([1; 32]);
        let entry = KeyEntry {
            id: KeyId::from_uuid(Uuid::from_u128(1)),
            tenant: name("acme"),
            owner: PersonId::from_uuid(Uuid::from_u128(2)),
            models: None,
            limits: Limits::default(),
            expires_at: None,
            revoked: false,
            confirmed_until: Some(NOW.plus(30 * DAY)),
        };
        let route = Route {
            endpoint: EndpointId::from_uuid(Uuid::from_u128(5)),
            endpoint_name: name("front"),
            upstreams: Vec::new(),
            upstream_model: "tiny".into(),
            upstream_key: None,
            model_server: Default::default(),
            model_version: None,
            parent: None,
            created: NOW,
            context: 4_096,
            settings: ServingSettings::default(),
            reason: None,
        };
        let tenant = TenantEntry { active: true, routes: [("tiny".into(), route)].into(), ..TenantEntry::default() };
        let directory = Directory {
            revision: 1,
            tenants: [(name("acme"), tenant)].into(),
            keys: [(made.digest, entry)].into(),
            ..Directory::default()
        };
        let (directory, seen) = watch::channel(Arc::new(directory));
        let (sink, _) = UsageSink::open(SpoolConfig::new(folder.path().join("spool"))).unwrap();
        let gateway = Gateway::new(GatewayConfig::default(), seen, sink, || NOW);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, gateway.router()).await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = Arc::new(Self { folder, programs, replicas: Arc::default(), directory, gateway: address, client });
        tokio::spawn(keep_directory(Arc::downgrade(&world)));
        for _ in 0..replicas {
            world.add();
        }
        world.until_ready(replicas).await;
        world
    }

    fn add(&self) -> Arc<Replica> {
        let replica = Replica::start(self.folder.path(), &self.programs);
        self.replicas.lock().unwrap().push(replica.clone());
        replica
    }

    fn first(&self) -> Arc<Replica> {
        self.replicas.lock().unwrap()[0].clone()
    }

    fn forget(&self, gone: &Arc<Replica>) {
        self.replicas.lock().unwrap().retain(|r| !Arc::ptr_eq(r, gone));
    }

    fn upstreams(&self) -> Vec<String> {
        self.directory.borrow().tenants[&name("acme")].routes["tiny"].upstreams.clone()
    }

    /// The gateway knows so many.
    async fn until_ready(&self, wanted: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.upstreams().len() != wanted {
            assert!(Instant::now() < end, "{:?} and not {wanted} are ready", self.upstreams());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn call(&self, stream: bool) -> Outcome {
        let body = json!({"model": "tiny", "stream": stream, "messages": [{"role": "user", "content": "in a moment"}]});
        let key = key::text::make([1; 32]).text;
        let sent = self.client.post(&self.gateway).bearer_auth(key).json(&body).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(e) => return Outcome::Failed(e.to_string()),
        };
        let status = answer.status();
        let mut text = String::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => text.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => break,
            }
        }
        match (status.as_u16(), stream) {
            (200, true) if text.ends_with("data: [DONE]\n\n") && text.contains("\"stop\"") => Outcome::Answered,
            (200, false) if text.contains("answered by tiny word") => Outcome::Answered,
            (200, true) => Outcome::BrokeOff,
            _ => Outcome::Failed(format!("{status} {text}")),
        }
    }

    /// Calls, every other streamed, from before `during` begins until after it has ended; at least [`CALLS`].
    async fn calls_during(self: &Arc<Self>, during: impl Future<Output = ()>) -> Vec<(bool, Outcome)> {
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (world, over, done) = (self.clone(), over.clone(), done.clone());
                tokio::spawn(async move {
                    let mut outcomes = Vec::new();
                    // Bounded, whatever happens.
                    for call in 0..1_000 {
                        if over.load(SeqCst) && done.load(SeqCst) >= CALLS {
                            break;
                        }
                        let stream = (n + call) % 2 == 0;
                        outcomes.push((stream, world.call(stream).await));
                        done.fetch_add(1, SeqCst);
                    }
                    outcomes
                })
            })
            .collect();
        while done.load(SeqCst) < CLIENTS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        during.await;
        over.store(true, SeqCst);
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.await.unwrap());
        }
        eprintln!("{} calls, {} of them streamed", all.len(), all.iter().filter(|(stream, _)| *stream).count());
        all
    }
}

/// What the kubelet, the watch, the controller and the directory do together: the ready ones, a little late.
async fn keep_directory(world: std::sync::Weak<World>) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    while let Some(world) = world.upgrade() {
        let replicas = world.replicas.lock().unwrap().clone();
        let mut ready = Vec::new();
        for replica in replicas {
            let says = client.get(&replica.ready_at).send().await.is_ok_and(|a| a.status().is_success());
            if says && !replica.deleted.load(SeqCst) {
                ready.push(replica.url.clone());
            }
        }
        if ready != world.upstreams() {
            tokio::time::sleep(HEARD).await;
            world.directory.send_modify(|directory| {
                let mut next = Directory::clone(directory);
                next.revision += 1;
                next.tenants.get_mut(&name("acme")).unwrap().routes.get_mut("tiny").unwrap().upstreams = ready;
                *directory = Arc::new(next);
            });
        }
        drop(world);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn assert_all_answered(outcomes: &[(bool, Outcome)]) {
    let not: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Answered).collect();
    assert!(not.is_empty(), "{} of {} calls: {not:?}", not.len(), outcomes.len());
    assert!(outcomes.len() >= CALLS && [true, false].iter().all(|kind| outcomes.iter().any(|(stream, _)| stream == kind)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_all_replicas_are_replaced_one_by_one() {
    let world = World::start(2).await;
    let outcomes = world
        .calls_during(async {
            let mut old = Vec::new();
            for _ in 0..2 {
                // As the cluster does with one more at a time and none fewer: the next is ready first.
                world.add();
                world.until_ready(3).await;
                let replaced = world.first();
                replaced.delete();
                world.forget(&replaced);
                world.until_ready(2).await;
                old.push(replaced);
            }
            for replaced in old {
                assert_eq!(replaced.ended().await, Some(0), "it ends well when its calls are answered");
            }
        })
        .await;
    assert_all_answered(&outcomes);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_calls_at_a_killed_replica_only_those_fail_that_had_begun_to_answer() {
    let world = World::start(3).await;
    let outcomes = world
        .calls_during(async {
            for _ in 0..2 {
                let killed = world.first();
                killed.kill();
                killed.ended().await;
                // The gateway hears of it late, and sends calls there until then.
                tokio::time::sleep(HEARD).await;
                world.forget(&killed);
                world.add();
                world.until_ready(3).await;
            }
        })
        .await;
    let not: Vec<_> = outcomes.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Answered | Outcome::BrokeOff)).collect();
    assert!(not.is_empty(), "{} of {} calls: {not:?}", not.len(), outcomes.len());
    let broke_off = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::BrokeOff).count();
    assert!(broke_off <= 2 * CLIENTS, "{broke_off} streams broke off; no more than were under way at the two that were killed");
    assert!(outcomes.iter().all(|(stream, outcome)| *stream || *outcome == Outcome::Answered));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_replica_is_evicted_from_its_node() {
    let world = World::start(2).await;
    let outcomes = world
        .calls_during(async {
            // An eviction does not wait for the next one; the budget for disruptions lets one go at a time.
            let evicted = world.first();
            evicted.delete();
            world.forget(&evicted);
            world.add();
            world.until_ready(1).await;
            world.until_ready(2).await;
            assert_eq!(evicted.ended().await, Some(0));
        })
        .await;
    assert_all_answered(&outcomes);
}
