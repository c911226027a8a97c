//! The objects as they are sent, whole, in files that are read as a diff: `golden/`. `UPDATE_GOLDEN=1` writes them anew.

use super::{Account, Images, Options, Placement, PullPolicy, WeightsCache, account, config_map, job, nodes, secret, server, tenant};
use crate::{Place, Resources, Runtime, SecretRef, Task, TaskKind};
use domain::{compute::Compute, people::Role};
use serde_json::Value;
use std::{path::Path, time::Duration};

pub fn options() -> Options {
    Options {
        kubeconfig: None,
        namespace_prefix: "atelier-".into(),
        platform_namespace: "atelier".into(),
        provision: true,
        account: None,
        reader: None,
        images: Images { task: "atelier/task:1".into(), trainer: "llamafactory:1".into(), vllm: "vllm:1".into() },
        image_pull_policy: PullPolicy::IfNotPresent,
        group_prefix: None,
        store_networks: Vec::new(),
        placement: Placement::default(),
        weights_cache: None,
    }
}

fn small() -> Task {
    Task {
        tenant: "acme".parse().unwrap(),
        name: "run-0123456789abcdef0123456789abcdef-train".into(),
        kind: TaskKind::Batch,
        runtime: Runtime::Trainer,
        args: vec!["task".into(), "run".into()],
        spec: r#"{"n":1}"#.into(),
        resources: Resources::default(),
        secrets: Vec::new(),
        replicas: 1,
        deadline: None,
        grace: Duration::from_secs(10),
    }
}

fn full() -> Task {
    Task {
        resources: Resources {
            cpu_milli: Some(2500),
            memory: Some(64 << 30),
            gpus: 2,
            gpu_product: Some("H200".into()),
            mig_profile: None,
            shared_memory: Some(8 << 30),
            ephemeral_disk: Some(100 << 30),
            nodes: 0,
        },
        secrets: vec![SecretRef { name: "store".into(), file: "store".into() }, SecretRef { name: "hub".into(), file: "token".into() }],
        deadline: Some(Duration::from_millis(3_600_500)),
        grace: Duration::from_secs(120),
        ..small()
    }
}

fn spread() -> Task {
    Task { resources: Resources { nodes: 2, ..full().resources }, ..full() }
}

fn serving() -> Task {
    Task {
        name: "ep-0123456789abcdef0123456789abcdef-1".into(),
        kind: TaskKind::Server,
        runtime: Runtime::Vllm,
        replicas: 3,
        args: vec!["task".into(), "serve".into()],
        ..full()
    }
}

fn golden(name: &str, object: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kubernetes/golden").join(format!("{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(object).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{name} is built differently now: look at it, and set UPDATE_GOLDEN=1 if it should be so");
}

#[test]
fn objects_are_built_as_they_are_written_down() {
    let (options, products) = (options(), ["NVIDIA-H200".to_owned()]);
    golden("job", &job::job(&small(), &options, &[], None, None));
    golden("job_full", &job::job(&full(), &options, &products, None, None));
    golden("job_waits_for_secret", &job::job(&full(), &options, &products, Some("hub"), None));
    let placed = Options {
        placement: Placement {
            gpu_resource: "nvidia.com/mig-1g.10gb".into(),
            gpu_product: Some("H200".into()),
            tolerations: vec!["nvidia.com/gpu:NoSchedule".parse().unwrap(), "team=research:NoExecute".parse().unwrap()],
            priority_class: Some("training".into()),
            gpu_runtime_class: Some("nvidia".into()),
        },
        ..options.clone()
    };
    golden("job_placed", &job::job(&full(), &placed, &products, None, None));
    let slice = Task { resources: Resources { gpus: 1, mig_profile: Some("1g.10gb".into()), ..Resources::default() }, ..small() };
    let own = Task { runtime: Runtime::Image("registry.example.org/team/trainer:1".into()), ..full() };
    golden("job_of_an_image", &job::job(&own, &options, &products, None, None));
    golden("job_of_a_slice", &job::job(&slice, &options, &[], None, None));
    golden("job_in_a_queue", &job::job(&full(), &options, &products, None, Some("research")));
    golden("job_over_nodes", &job::job(&spread(), &options, &products, None, None));
    golden("service_of_nodes", &nodes::service(&spread(), &options));
    golden("policy_of_nodes", &nodes::policy(&spread(), &options));
    golden("deployment", &server::deployment(&serving(), &options, &products, None));
    let cached = Options { weights_cache: WeightsCache::new("500Gi", Some("shared".into())), ..options.clone() };
    golden("deployment_with_weights_cache", &server::deployment(&serving(), &cached, &products, None));
    assert_eq!(
        job::job(&full(), &cached, &products, None, None),
        job::job(&full(), &options, &products, None, None),
        "a training mounts none"
    );
    golden("disruption_budget", &server::disruption_budget(&serving(), &options));
    golden("service", &server::service(&serving(), &options));
    golden("config_map", &config_map::config_map(&small(), &options));
    golden("secret", &secret::secret(&"acme".parse().unwrap(), "hub", "correct-horse", &options));
    let place = Place::of("acme".parse().unwrap());
    golden("tenant", &tenant_objects(&place, &options));
    golden("bindings", &account::bindings(&place.tenant, &with_accounts()).into_iter().map(|wanted| wanted.object).collect::<Value>());
    let compute = Compute {
        gpus: Some(2),
        mig: [("1g.10gb".to_owned(), 4)].into(),
        cpu: Some(96),
        memory: Some(512 << 30),
        disk: Some(4_000_000_000_000),
    };
    let group = |name: &str, role| (name.to_owned(), role);
    let groups = vec![
        group("tenants/acme/owner", Role::Owner),
        group("tenants/acme/engineer", Role::Engineer),
        group("tenants/acme/viewer", Role::Viewer),
        group("company/nlp", Role::Viewer),
    ];
    let networks = vec!["10.1.2.0/24".to_owned()];
    let options = Options { group_prefix: Some("oidc:/".into()), store_networks: networks, ..cached };
    golden("tenant_full", &tenant_objects(&Place { compute, groups, ..place }, &options));
}

/// Kueue would let it begin without its secret.
#[test]
fn a_job_that_waits_for_a_secret_is_in_no_queue_yet() {
    let job = |queue| job::job(&full(), &options(), &[], Some("hub"), queue);
    assert_eq!(job(Some("research")), job(None));
}

fn tenant_objects(place: &Place, options: &Options) -> Value {
    tenant::objects(place, options).into_iter().map(|wanted| wanted.object).collect()
}

fn with_accounts() -> Options {
    let account = |name: &str, role: &str| Some(Account { name: name.into(), role: role.into() });
    let (account, reader) = (account("atelier-controller", "atelier-runtime"), account("atelier-web", "atelier-reader"));
    Options { account, reader, ..options() }
}

/// Somebody reads it, and applies it by hand.
#[test]
fn the_bundle_of_a_tenant_is_its_objects_and_what_the_portal_may_not_make_is_marked() {
    let place = Place::of("acme".parse().unwrap());
    let options = Options { provision: false, ..with_accounts() };
    let bundle = super::place::bundle(&place, &options).unwrap();
    let read: Vec<Value> = bundle.split("---\n").skip(1).map(|one| serde_yaml_ng::from_str(one).unwrap()).collect();
    assert_eq!(Value::from(read), tenant_objects(&place, &options));
    let by_others = tenant::objects(&place, &options).into_iter().filter(|w| w.by_others).map(|w| w.object["metadata"]["name"].clone());
    assert_eq!(by_others.collect::<Vec<_>>(), ["atelier-acme", "atelier-runtime"]);
    assert!(tenant::objects(&place, &with_accounts()).iter().all(|w| !w.by_others));
}

/// Whoever makes a namespace has no rights in it until the binding is there.
#[test]
fn the_rights_in_a_namespace_are_made_before_what_they_are_for() {
    let place = Place::of("acme".parse().unwrap());
    let kinds = |options: &Options| -> Vec<String> {
        tenant::objects(&place, options).iter().map(|wanted| wanted.object["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&with_accounts())[..4], ["Namespace", "RoleBinding", "RoleBinding", "ServiceAccount"]);
    assert!(!kinds(&options()).contains(&"RoleBinding".to_owned()));
}

#[test]
fn the_longest_name_of_a_task_is_one_that_a_cluster_takes() {
    // The tenth try of the longest step; a Job's name is a label of its pods, and labels have 63 characters.
    assert!(format!("run-{}-evaluate-10", "0".repeat(32)).len() <= 63);
    // A pod of several has its number behind that, as the name of its host.
    assert!(format!("run-{}-train-10-63", "0".repeat(32)).len() <= 63);
}

/// Scaling replaces no pod, and a task of before there were replicas is still the same.
#[test]
fn how_many_replicas_there_are_is_no_part_of_what_a_task_is() {
    let (three, one) = (serving(), Task { replicas: 1, ..serving() });
    assert_eq!(three.hash(), one.hash());
    let template = |task: &Task| server::deployment(task, &options(), &[], None)["spec"]["template"].clone();
    assert_eq!(template(&three), template(&one));
    assert_ne!(template(&one), template(&Task { spec: "{}".into(), ..one.clone() }), "what pods only read makes other pods too");
}
