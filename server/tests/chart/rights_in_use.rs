//! The engine at work with the rights of the chart and no more: a tenant's task from nothing to its end, and what it must not do.

use crate::{
    cluster::{Cluster, Kept},
    helm::{self, kind, name, rendered, values},
};
use domain::{
    compute::Compute,
    people::Role,
    tenant_objects::{Found, TenantObject},
};
use engine::{
    Cursor, Engine, Place, Resources, Runtime, Task, TaskKind,
    kubernetes::{Account, Images, KubernetesEngine, Options, Placement, PullPolicy, WeightsCache},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);

struct World {
    engine: Engine,
    /// Of the process that only shows pages.
    web: Engine,
    prefix: String,
    namespace: String,
    /// Of the account that drives tasks, and of the one that shows pages.
    kubeconfigs: [String; 2],
    objects: Vec<Value>,
    folder: tempfile::TempDir,
}

/// The chart's accounts, with their rights, in namespaces of this test.
async fn world(cluster: &Cluster) -> Option<(World, Kept<'_>)> {
    let prefix = format!("rights{}-", std::process::id());
    let namespace = format!("{prefix}platform");
    let default = values("default").display().to_string();
    let set = format!("tenants.namespacePrefix={prefix}");
    let mut objects = rendered(&["--values", &default, "--set", &set, "--namespace", &namespace])?;
    let of_rights = ["ServiceAccount", "Role", "RoleBinding"];
    objects.retain(|o| of_rights.contains(&kind(o)) || kind(o).starts_with("Cluster") || kind(o).starts_with("ValidatingAdmissionPolicy"));
    for object in objects.iter_mut().filter(|o| of_rights.contains(&kind(o))) {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let of_the_cluster = objects.iter().filter(|o| !of_rights.contains(&kind(o)));
    let kept = Kept {
        cluster,
        namespaces: ["platform", "acme", "other", "somebodys"].map(|tenant| format!("{prefix}{tenant}")).into(),
        objects: of_the_cluster.map(|o| format!("{}/{}", kind(o), name(o))).collect(),
    };
    let folder = tempfile::tempdir().unwrap();
    cluster.asked(&["create", "namespace", &namespace]);
    cluster.apply(folder.path(), &objects, &[]);
    let admin: Value = serde_json::from_slice(&std::fs::read(cluster.text("/kubeconfig")).unwrap()).unwrap();
    let kubeconfigs = ["atelier-controller", "atelier-web"].map(|account| {
        let token = cluster.asked(&["-n", &namespace, "create", "token", account, "--duration=1h"]);
        let mut own = admin.clone();
        own["users"] = json!([{ "name": "portal", "user": { "token": token.trim() } }]);
        own["contexts"][0]["context"]["user"] = json!("portal");
        let kubeconfig = folder.path().join(account);
        std::fs::write(&kubeconfig, own.to_string()).unwrap();
        kubeconfig.display().to_string()
    });
    let account = |called: &str, end: &str| {
        let role = objects.iter().map(name).find(|n| n.ends_with(end)).unwrap().to_owned();
        Some(Account { name: called.into(), role })
    };
    let image = cluster.text("/images/task").to_owned();
    let options = Options {
        kubeconfig: Some(kubeconfigs[0].clone().into()),
        namespace_prefix: prefix.clone(),
        platform_namespace: namespace.clone(),
        provision: true,
        account: account("atelier-controller", "-runtime"),
        reader: account("atelier-web", "-reader"),
        images: Images { task: image.clone(), trainer: image.clone(), vllm: image },
        image_pull_policy: PullPolicy::IfNotPresent,
        group_prefix: Some("oidc:/".into()),
        store_networks: Vec::new(),
        placement: Placement::default(),
        // Nobody makes its volume here: what is asked of the cluster is the same.
        weights_cache: WeightsCache::new("1Gi", None),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let of_web = Options { kubeconfig: Some(kubeconfigs[1].clone().into()), ..options.clone() };
    let web = Engine::Kubernetes(KubernetesEngine::new(of_web).await.unwrap());
    let engine = Engine::Kubernetes(KubernetesEngine::new(options).await.unwrap());
    Some((World { engine, web, prefix, namespace, kubeconfigs, objects, folder }, kept))
}

/// Its spec is none: the program in the pod says so and ends.
fn task(name: &str, kind: TaskKind) -> Task {
    Task {
        tenant: "acme".parse().unwrap(),
        name: name.into(),
        kind,
        replicas: 1,
        runtime: Runtime::Trainer,
        args: vec!["task".into(), if kind == TaskKind::Batch { "run" } else { "serve" }.into()],
        spec: "{}".into(),
        resources: Resources::default(),
        secrets: vec![engine::SecretRef { name: "store".into(), file: "store".into() }],
        deadline: None,
        grace: Duration::from_secs(5),
    }
}

async fn until(engine: &Engine, name: &str, what: impl Fn(&engine::Observation) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = engine.observe(name).await.unwrap();
        if seen.as_ref().is_some_and(&what) {
            return;
        }
        assert!(Instant::now() < end, "{name}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_tasks_begin_and_end_by_the_rights_of_the_chart_alone() {
    let Some(cluster) = Cluster::find("the rights of the chart") else { return };
    let Some((world, _kept)) = world(&cluster).await else { return };
    let engine = world.engine.in_term(1);
    engine.begin_term().await.unwrap();
    let acme = "acme".parse().unwrap();
    let mut watch = engine.watch().unwrap();
    // Nothing of the tenant is there yet, and that is no failure.
    assert_eq!(engine.observe("run-1-train").await.unwrap(), None);
    engine.belongs_to("run-2-train", &acme);
    assert_eq!(engine.observe("run-2-train").await.unwrap(), None);
    engine.remove("run-2-train").await.unwrap();
    engine.remove_secret(&acme, "store").await.unwrap();
    assert_eq!(engine.list("").await.unwrap(), []);

    // The namespace comes with the first that is asked for; the Job waits until its secret is there.
    let batch = task("run-1-train", TaskKind::Batch);
    engine.apply(&batch).await.unwrap();
    until(&engine, &batch.name, |o| matches!(o.state, engine::TaskState::Pending(_))).await;
    let server = task("ep-1-1", TaskKind::Server);
    engine.apply(&server).await.unwrap();
    engine.put_secret(&acme, "store", "much").await.unwrap();
    engine.apply(&batch).await.unwrap();
    until(&engine, &batch.name, |o| o.state.end().is_some()).await;
    let output = engine.output(&batch.name, &Cursor::start(), 1 << 16).await.unwrap();
    assert!(!output.bytes.is_empty(), "the log of its pod can be read");
    engine.apply(&server).await.unwrap();
    engine.put_file(&server.name, "adapters.json", b"{}").await.unwrap();
    assert_eq!(engine.list("").await.unwrap().len(), 2);
    let told = tokio::time::timeout(PATIENCE, watch.next()).await.expect("a change is told").unwrap();
    assert!(told.contains(&batch.name) || told.contains(&server.name), "{told:?}");
    engine.stop(&server.name, Duration::from_secs(1)).await.unwrap();
    until(&engine, &server.name, |o| o.state.end().is_some()).await;
    for name in [&batch.name, &server.name] {
        engine.remove(name).await.unwrap();
    }
    engine.remove_secret(&acme, "store").await.unwrap();
    its_objects_are_kept(&cluster, &world, &engine).await;
    // The next leader.
    engine.in_term(2).begin_term().await.unwrap();
    let Engine::Kubernetes(kubernetes) = &engine else { unreachable!() };
    assert_eq!(kubernetes.diagnose().await.unwrap().refused, Vec::<String>::new());

    assert_only_what_is_needed(&cluster, &world);
}

/// Limits, policies, and rights of people, made and put right; by an account that must have what it gives.
async fn its_objects_are_kept(cluster: &Cluster, world: &World, engine: &Engine) {
    let refused = |objects: &[TenantObject]| -> Vec<String> { objects.iter().filter_map(|o| o.refused.clone()).collect() };
    let groups = [Role::Owner, Role::Engineer, Role::Viewer].map(|role| (format!("tenants/other/{}", role.word()), role)).into();
    let compute = Compute { gpus: Some(2), ..Compute::default() };
    let place = Place { compute, groups, ..Place::of("other".parse().unwrap()) };
    let made = engine.ensure_tenant(&place).await.unwrap();
    assert_eq!(refused(&made), Vec::<String>::new());
    assert!(made.len() > 12 && made.iter().all(|o| o.found == Found::Missing), "{made:?}");
    let other = format!("{}other", world.prefix);
    cluster.asked(&["-n", &other, "delete", "limitrange", "atelier"]);
    cluster.asked(&["-n", &other, "patch", "networkpolicy", "default-deny", "--type=merge", "-p", r#"{"spec":{"egress":[{}]}}"#]);
    let fixed = engine.ensure_tenant(&place).await.unwrap();
    assert_eq!((refused(&fixed), fixed.iter().filter(|o| o.found.differs()).count()), (Vec::new(), 2), "{fixed:?}");
    let seen = engine.tenant_objects(&place).await.unwrap().unwrap();
    assert!(seen.iter().all(|o| o.found == Found::InSync), "{seen:?}");

    // The pages show the same. Its rights were given a moment ago.
    let end = Instant::now() + PATIENCE;
    let shown = loop {
        let shown = world.web.tenant_objects(&place).await.unwrap().unwrap();
        if refused(&shown).is_empty() {
            break shown;
        }
        assert!(Instant::now() < end, "{shown:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(shown, seen);
    let nobodys = world.web.tenant_objects(&Place::of("nobody".parse().unwrap())).await.unwrap().unwrap();
    assert!(
        nobodys.iter().all(|o| o.found == Found::Missing && o.refused.is_none()),
        "what is not there is missing, not closed: {nobodys:?}"
    );
    let whole = world.web.cluster().await.unwrap().unwrap();
    assert!(!whole.machines.is_empty() && !whole.with_others, "{whole:?}");

    // A tenant that is deleted takes its namespace along.
    let end = Instant::now() + PATIENCE;
    while let Some(left) = engine.remove_tenant(&place.tenant).await.unwrap() {
        assert!(Instant::now() < end, "{left}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everything else is out of reach.
fn assert_only_what_is_needed(cluster: &Cluster, world: &World) {
    let by_way_of = |kubeconfig: &str, words: &[&str]| {
        let output = std::process::Command::new(cluster.text("/kubectl")).args(["--kubeconfig", kubeconfig]).args(words).output().unwrap();
        (output.status.success(), helm::said(&output))
    };
    let [driver, web] = &world.kubeconfigs;
    let as_the_portal = |words: &[&str]| by_way_of(driver, words);
    let acme = format!("{}acme", world.prefix);
    assert!(as_the_portal(&["-n", &acme, "get", "pods"]).0, "in a tenant's namespace it may look");
    for words in [
        &["get", "pods", "--all-namespaces"][..],
        &["get", "jobs", "--all-namespaces"],
        &["get", "secrets", "--all-namespaces"],
        &["-n", &acme, "get", "secrets"],
        // As `kubectl exec` asks, which looks for the pod first.
        &["create", "--raw", &format!("/api/v1/namespaces/{acme}/pods/nothing/exec?command=true"), "-f", "/dev/null"],
        &["-n", &acme, "create", "token", "default"],
        &["-n", "kube-system", "get", "pods"],
        &["-n", &world.namespace, "get", "secrets"],
        &["get", "nodes", "--as=admin", "--as-group=system:masters"],
    ] {
        let (done, said) = as_the_portal(words);
        assert!(!done && said.contains("orbidden"), "{words:?}: {said}");
    }
    // Whoever shows pages changes nothing, and sees no secret and no log.
    assert!(by_way_of(web, &["-n", &acme, "get", "pods"]).0);
    for words in [
        &["get", "pods", "--all-namespaces"][..],
        &["-n", &acme, "get", "secret", "atelier-store"],
        &["-n", &acme, "get", "configmaps"],
        &["-n", &acme, "logs", "nothing"],
        &["-n", &acme, "create", "configmap", "mine"],
        &["-n", &acme, "delete", "resourcequota", "atelier"],
        &["-n", &acme, "create", "rolebinding", "mine", "--clusterrole=view", "--serviceaccount=default:default"],
        &["-n", &world.namespace, "get", "configmaps"],
    ] {
        let (done, said) = by_way_of(web, words);
        assert!(!done && said.contains("orbidden"), "{words:?}: {said}");
    }
    // What roles cannot say, the admission policy says.
    let role = world.objects.iter().map(name).find(|n| n.ends_with("-runtime")).unwrap();
    let account = format!("{}:atelier-controller", world.namespace);
    let mine = format!("--serviceaccount={account}");
    let somebodys = format!("{}somebodys", world.prefix);
    cluster.asked(&["create", "namespace", &somebodys]);
    for words in [
        &["create", "namespace", "somebody-elses"][..],
        &["delete", "namespace", &somebodys],
        &["label", "namespace", "default", "pod-security.kubernetes.io/enforce=privileged"],
        &["-n", "default", "create", "rolebinding", "mine", &format!("--clusterrole={role}"), &mine],
    ] {
        let (done, said) = as_the_portal(words);
        assert!(
            !done && (said.contains("works in namespaces that begin with") || said.contains("not made by the portal")),
            "{words:?}: {said}"
        );
    }
    // Nor may it give itself a role of another name.
    let (done, said) = as_the_portal(&["-n", &acme, "create", "rolebinding", "more", "--clusterrole=cluster-admin", &mine]);
    assert!(!done && said.contains("orbidden"), "{said}");
    assert!(world.folder.path().exists());
}
