//! The objects as they are sent, whole, in files that are read as a diff: `golden/`. `UPDATE_GOLDEN=1` writes them anew.

use super::{Images, Options, PullPolicy, config_map, job, secret, server, tenant};
use crate::{Resources, Runtime, SecretRef, Task, TaskKind};
use serde_json::Value;
use std::{path::Path, time::Duration};

fn options() -> Options {
    Options {
        kubeconfig: None,
        namespace_prefix: "atelier-".into(),
        platform_namespace: "atelier".into(),
        images: Images { task: "atelier/task:1".into(), trainer: "llamafactory:1".into(), vllm: "vllm:1".into() },
        image_pull_policy: PullPolicy::IfNotPresent,
        store_networks: Vec::new(),
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
        },
        secrets: vec![SecretRef { name: "store".into(), file: "store".into() }, SecretRef { name: "hub".into(), file: "token".into() }],
        deadline: Some(Duration::from_millis(3_600_500)),
        grace: Duration::from_secs(120),
        ..small()
    }
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
    golden("deployment", &server::deployment(&serving(), &options, &products, None));
    golden("service", &server::service(&serving(), &options));
    golden("config_map", &config_map::config_map(&small(), &options));
    golden("secret", &secret::secret(&"acme".parse().unwrap(), "hub", "correct-horse", &options));
    golden("tenant", &tenant::objects(&"acme".parse().unwrap(), &options).into());
}

#[test]
fn the_longest_name_of_a_task_is_one_that_a_cluster_takes() {
    // The tenth try of the longest step; a Job's name is a label of its pods, and labels have 63 characters.
    assert!(format!("run-{}-evaluate-10", "0".repeat(32)).len() <= 63);
}
