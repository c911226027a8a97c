//! Whether tenants are kept apart, checked on a real cluster that enforces network policies: two tenants with buckets in a real S3, the
//! portal's database in a real PostgreSQL, a host outside, a pod that runs the program that was built last. `ATELIER_CLUSTER` names the cluster.

#[path = "../processes/cluster.rs"]
mod cluster;
mod program;
mod reach;

use cluster::{Cluster, Kept};
use domain::{
    audit::Detail,
    filter::AuditFilter,
    isolation::{Check, Ending, Finding, Judgement, LeftOut, Line, Outcome, Probe},
    problem::ProblemKind,
    tenant::Quota,
    time::Timestamp,
};
use engine::{
    Engine,
    kubernetes::{Images, KubernetesEngine, Options, Placement, PullPolicy},
};
use futures::FutureExt;
use platform::{Platform, access::PlatformScope, tenants::NewTenant};
use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use storage::GarageAdmin;

const PATIENCE: Duration = Duration::from_secs(180);

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64))
}

struct World {
    platform: Platform,
    database: String,
    garage: GarageAdmin,
    prefix: String,
}

impl World {
    /// `outside`: stands in for a host of the outside world.
    async fn open(cluster: &Cluster, database: &str, outside: String, program: &str, trainer: &str) -> Self {
        let prefix = format!("iso{}-", std::process::id());
        let system = cluster.text("/images/task").to_owned();
        let options = Options {
            kubeconfig: Some(PathBuf::from(cluster.text("/kubeconfig"))),
            namespace_prefix: prefix.clone(),
            platform_namespace: format!("{prefix}platform"),
            provision: true,
            account: None,
            reader: None,
            images: Images { task: program.to_owned(), trainer: trainer.to_owned(), vllm: system },
            image_pull_policy: PullPolicy::IfNotPresent,
            group_prefix: None,
            // The store's alone: all else that is tried is somewhere else.
            store_networks: vec![cluster.text("/s3/network").into()],
            placement: Placement::default(),
            weights_cache: None,
        };
        let read = |path: &str| std::fs::read_to_string(cluster.text(path)).unwrap();
        let garage = GarageAdmin::new(cluster.text("/s3/admin_endpoint"), read("/s3/admin_token_file").trim(), None).unwrap();
        let config = platform::Config {
            database_url: database.to_owned(),
            store: domain::artefacts::ArtefactStore::S3 {
                endpoint: cluster.text("/s3/endpoint").into(),
                region: cluster.text("/s3/region").into(),
                bucket_prefix: prefix.clone(),
                path_style: true,
                ca: None,
            },
            store_key: Some(serde_json::from_str(&read("/s3/portal_key_file")).unwrap()),
            garage: Some(garage.clone()),
            engine: Engine::Kubernetes(KubernetesEngine::new(options).await.unwrap()),
            task_limits: Default::default(),
            outside_allowed: Default::default(),
            session_hours: platform::SESSION_HOURS,
            session_idle_minutes: platform::SESSION_IDLE_MINUTES,
            confirm_seconds: platform::CONFIRM_SECONDS,
            token_key: platform::sealing::TokenKey::new([7; 32]),
            upload_bytes: platform::UPLOAD_BYTES,
            tenant_group: "atelier/{tenant}/{role}".into(),
            outside_host: Some(outside),
        };
        Self { platform: Platform::open(config, now).await.unwrap(), database: database.to_owned(), garage, prefix }
    }

    async fn tenant(&self, name: &str) {
        let scope = PlatformScope::command_line();
        let new = NewTenant { name: name.into(), title: String::new(), quota: Quota::default() };
        self.platform.tenants(&scope).create(new).await.unwrap();
    }

    async fn until(&self, check: &Check, what: impl Fn(&Check) -> bool) -> Check {
        let (scope, end) = (PlatformScope::command_line(), Instant::now() + PATIENCE);
        loop {
            let seen = self.platform.tenants(&scope).isolation_check(check).await.unwrap();
            if what(&seen) {
                return seen;
            }
            assert!(Instant::now() < end, "{}: {seen:?}", seen.doing());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn ended(check: &Check) -> bool {
    check.state() == domain::isolation::CheckState::Ended
}

fn of(check: &Check, probe: Probe) -> &Line {
    check.lines().iter().find(|l| l.target.probe == probe).unwrap()
}

/// Whoever leads is cut off at any await, as if it was killed, and another one follows.
async fn killed_while<T>(platform: &Platform, what: impl Future<Output = T>) -> T {
    tokio::select! {
        () = platform.control("first".into(), std::future::pending()) => unreachable!(),
        done = what => done,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_isolation_tells_what_a_pod_of_the_tenant_reaches() {
    let Some(cluster) = Cluster::find("the check of isolation") else { return };
    // As the program does at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (admin, name) = (cluster.text("/postgres/url").to_owned(), format!("iso_{}", std::process::id()));
    let url = format!("{}/{name}", admin.rsplit_once('/').unwrap().0);
    program::sql(&admin, &format!("CREATE DATABASE {name}")).await;
    let image = program::image(&cluster);
    // A host outside of the cluster, which listens, and to which a way leads from every pod that no policy holds.
    let outside = cluster.text("/outside").to_owned();
    let world = World::open(&cluster, &url, outside.clone(), &image, cluster.text("/images/task")).await;
    let namespaces = ["platform", "acme", "globex"].map(|n| format!("{}{n}", world.prefix)).into();
    let kept = Kept { cluster: &cluster, namespaces, objects: Vec::new() };
    let tests = async {
        checked(&cluster, &world).await;
        policies_are_in_the_way(&cluster, &world).await;
        let broken = World::open(&cluster, &url, outside.clone(), &image, "atelier.local/nowhere:test").await;
        unfriendly(&cluster, &broken).await;
    };
    let done = std::panic::AssertUnwindSafe(tests).catch_unwind().await;
    for tenant in ["acme", "globex", "platform"] {
        let _ = world.garage.remove(&format!("{}{tenant}", world.prefix)).await;
    }
    drop((world, kept));
    program::sql(&admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    program::remove_image(&cluster, &image);
    if let Err(why) = done {
        std::panic::resume_unwind(why);
    }
}

async fn checked(cluster: &Cluster, world: &World) {
    let scope = PlatformScope::command_line();
    let tenants = world.platform.tenants(&scope);
    world.tenant("acme").await;
    let first = tenants.check_isolation("acme").await.unwrap();
    let second = tenants.check_isolation("acme").await.unwrap_err();
    assert_eq!(second.kind, ProblemKind::Conflict, "two admins at once: {second}");
    let alone = killed_while(&world.platform, world.until(&first, ended)).await;
    assert_eq!(of(&alone, Probe::OtherBucket).target.way, Err(LeftOut::NoOtherTenant));
    assert_eq!(of(&alone, Probe::OtherEndpoint).said(true), "There is no other tenant to try.");

    world.tenant("globex").await;
    let has_key = async {
        let end = Instant::now() + PATIENCE;
        let held = ["-n", &format!("{}globex", world.prefix), "get", "networkpolicies", "default-deny", "store", "gateway"];
        while !program::has_row(&world.database, "SELECT 1 FROM tenant_store_keys WHERE tenant = 'globex'").await
            || !cluster.kubectl(&held).output().unwrap().status.success()
        {
            assert!(Instant::now() < end, "globex has no bucket, or no policies");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    killed_while(&world.platform, has_key).await;
    let check = tenants.check_isolation("acme").await.unwrap();
    // Its controller is killed as soon as the pod is there; the next one finds it.
    let namespace = format!("{}acme", world.prefix);
    let job = format!("iso-{}", check.id.uuid().simple());
    let made = async {
        let end = Instant::now() + PATIENCE;
        while !cluster.kubectl(&["-n", &namespace, "get", "job", &job]).output().unwrap().status.success() {
            assert!(Instant::now() < end, "no job {job}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    killed_while(&world.platform, made).await;
    let labels = cluster.asked(&["-n", &namespace, "get", "job", &job, "-o", "jsonpath={.spec.template.metadata.labels}"]);
    assert!(labels.contains(r#""atelier.dev/tenant":"acme""#) && labels.contains(&job), "{labels}");
    let done = killed_while(&world.platform, world.until(&check, ended)).await;
    assert_eq!(done.ending(), Some(&Ending::Whole), "{done:?}");
    assert_eq!(done.finding(), Some(Finding::Apart), "{}", domain::isolation::advice(done.lines()).concat());
    for must_pass in [Probe::Dns, Probe::OwnBucket] {
        assert_eq!(of(&done, must_pass).judgement(), Judgement::AsExpected, "{done:?}");
    }
    assert_eq!(of(&done, Probe::OtherBucket).outcome, Some(Outcome::Refused), "{done:?}");
    for held in [Probe::ApiServer, Probe::Database, Probe::Metadata, Probe::Outside] {
        assert_eq!(of(&done, held).judgement(), Judgement::AsExpected, "{done:?}");
    }
    assert_eq!(of(&done, Probe::OtherEndpoint).target.way, Err(LeftOut::NoOtherEndpoint));
    // A pod that was taken away takes a moment to end.
    let end = Instant::now() + PATIENCE;
    loop {
        let left = cluster.asked(&["-n", &namespace, "get", "jobs,pods,configmaps", "-l", "atelier.dev/task", "-o", "name"]);
        if !left.contains(&job) {
            break;
        }
        assert!(Instant::now() < end, "{left}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let checks = tenants.isolation(&tenants.get("acme").await.unwrap().tenant).await.unwrap().unwrap();
    assert_eq!((checks.open, checks.last), (None, Some(done)));
    let records = world.platform.platform_audit(&scope).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await;
    let details: Vec<Detail> = records.unwrap().rows.into_iter().map(|r| r.entry.detail).collect();
    assert!(details.iter().any(|d| matches!(d, Detail::IsolationChecked { .. })), "{details:?}");
    assert!(details.contains(&Detail::IsolationCheckAsked), "{details:?}");
}

/// The same without the portal's program, and what it leaves out: the model server of another tenant, and who does reach it. The portal's
/// namespace is there: its controllers made it.
async fn policies_are_in_the_way(cluster: &Cluster, world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let [platform, acme, globex] = ["platform", "acme", "globex"].map(|name| format!("{}{name}", world.prefix));
    let server = reach::stand_in(cluster, &globex, folder.path()).await;
    let at = |url: &str| url.split("//").nth(1).unwrap().rsplit('@').next().unwrap().split('/').next().unwrap().to_owned();
    let (store, outside) = (at(cluster.text("/s3/endpoint")), cluster.text("/outside").to_owned());
    let (api, database) = (at(cluster.text("/api_server")), at(cluster.text("/postgres/url")));
    let (endpoint, beside) = (format!("{server}:{}", reach::PORT), format!("{server}:{}", reach::OTHER_PORT));
    let metadata = domain::isolation::METADATA.to_owned();
    let all = [&store, &outside, &api, &database, &endpoint, &beside, &metadata].map(String::clone);
    let reached = async |namespace: &str| -> Vec<String> {
        let came = reach::from(cluster, namespace, folder.path(), &all).await;
        assert_eq!(came.len(), all.len(), "{came:?}");
        all.iter().filter(|target| came[*target]).cloned().collect()
    };
    assert_eq!(reached(&acme).await, std::slice::from_ref(&store), "a tenant's pod reaches its store and nothing else");
    assert_eq!(
        reached(&platform).await,
        [store, outside, api, database, endpoint, metadata],
        "a pod that no policy holds reaches all that listens, of a tenant's pods the port of model servers"
    );
}

/// An image that is nowhere, a namespace that somebody deletes, a tenant that is suspended.
async fn unfriendly(cluster: &Cluster, world: &World) {
    let scope = PlatformScope::command_line();
    let tenants = world.platform.tenants(&scope);
    let check = tenants.check_isolation("acme").await.unwrap();
    let waits = world.until(&check, |c| c.doing().contains("atelier.local/nowhere:test"));
    killed_while(&world.platform, waits).await;
    let namespace = format!("{}acme", world.prefix);
    cluster.asked(&["delete", "namespace", &namespace, "--wait=false"]);
    tenants.suspend("acme").await.unwrap();
    let closed = killed_while(&world.platform, world.until(&check, ended)).await;
    assert_eq!((closed.ending(), closed.finding()), (Some(&Ending::TenantClosed), None));
    let refused = tenants.check_isolation("acme").await.unwrap_err();
    assert!(refused.kind == ProblemKind::Conflict && refused.sentence.contains("suspended"), "{refused}");
    tenants.delete("acme", "acme").await.unwrap();
    assert_eq!(tenants.check_isolation("acme").await.unwrap_err().kind, ProblemKind::Conflict);
}
