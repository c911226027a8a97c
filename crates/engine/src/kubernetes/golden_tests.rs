//! The objects as they are sent, whole, in files that are read as a diff: `golden/`. `UPDATE_GOLDEN=1` writes them anew.

use super::{Images, Options, Placement, PullPolicy, config_map, job, nodes, secret, server, tenant};
use crate::{Place, Resources, Runtime, SecretRef, Task, TaskKind};
use domain::{compute::Compute, people::Role};
use serde_json::Value;
use std::{path::Path, time::Duration};

pub fn options() -> Options {
    Options {
        kubeconfig: None,
        namespace_prefix: "atelier-".into(),
        platform_namespace: "atelier".into(),
        images: Images { task: "atelier/task:1".into(), trainer: "llamafactory:1".into(), vllm: "vllm:1".into() },
        image_pull_policy: PullPolicy::IfNotPresent,
        group_prefix: None,
        store_networks: Vec::new(),
        placement: Placement::default(),
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
    golden("job", &job::job(&small(), &options, &[], None));
    golden("job_full", &job::job(&full(), &options, &products, None));
    golden("job_waits_for_secret", &job::job(&full(), &options, &products, Some("hub")));
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
    golden("job_placed", &job::job(&full(), &placed, &products, None));
    golden("job_over_nodes", &job::job(&spread(), &options, &products, None));
    golden("service_of_nodes", &nodes::service(&spread(), &options));
    golden("policy_of_nodes", &nodes::policy(&spread(), &options));
    golden("deployment", &server::deployment(&serving(), &options, &products, None));
    golden("service", &server::service(&serving(), &options));
    golden("config_map", &config_map::config_map(&small(), &options));
    golden("secret", &secret::secret(&"acme".parse().unwrap(), "hub", "correct-horse", &options));
    let place = Place::of("acme".parse().unwrap());
    golden("tenant", &tenant_objects(&place, &options));
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
    let options = Options { group_prefix: Some("oidc:/".into()), store_networks: networks, ..options };
    golden("tenant_full", &tenant_objects(&Place { compute, groups, ..place }, &options));
}

fn tenant_objects(place: &Place, options: &Options) -> Value {
    tenant::objects(place, options).into_iter().map(|wanted| wanted.object).collect()
}

#[test]
fn the_longest_name_of_a_task_is_one_that_a_cluster_takes() {
    // The tenth try of the longest step; a Job's name is a label of its pods, and labels have 63 characters.
    assert!(format!("run-{}-evaluate-10", "0".repeat(32)).len() <= 63);
    // A pod of several has its number behind that, as the name of its host.
    assert!(format!("run-{}-train-10-63", "0".repeat(32)).len() <= 63);
}
