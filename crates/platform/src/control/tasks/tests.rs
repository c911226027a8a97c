//! Each kind of task against its committed file: a change of what is run shows as a diff of that file.

use super::*;
use domain::{
    base_model::BaseModelState,
    dataset::{Documentation, VersionState},
    endpoint::{Endpoint, EndpointState, ServedBase},
    ids::{BaseModelId, DatasetId, DatasetVersionId, ModelVersionId, PersonId},
    inspect::Report,
    model::WeightsKind,
    model_server::ModelServer,
    reason::endpoint::EndpointReason,
    resource_request::ResourceRequest,
    run::{Reason, RunRecord, RunState, StepId, plan},
    settings::{FinetuningType, preset},
    time::Timestamp,
};

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// With the step that is to be started.
fn run(finetuning_type: FinetuningType) -> Run {
    Run::try_from(record(finetuning_type)).unwrap()
}

fn record(finetuning_type: FinetuningType) -> RunRecord {
    let settings = preset("lora").unwrap().with("finetuning_type", finetuning_type.word());
    let resources = Default::default();
    let wanted =
        plan::Wanted { settings: &settings, result: WeightsKind::Merged, held_out_rows: 50, nodes: 1, resources: &resources, custom: None };
    let steps = plan::plan(&wanted);
    RunRecord {
        id: RunId::from_uuid(uuid(1)),
        tenant: "lumenta".parse().unwrap(),
        name: "facts-lora-7".parse().unwrap(),
        state: RunState::Running,
        reason: Reason::Underway,
        base_model: BaseModelId::from_uuid(uuid(2)),
        base_model_name: "world-4m".parse().unwrap(),
        dataset_version: DatasetVersionId::from_uuid(uuid(3)),
        dataset_name: "lumenta-facts".parse().unwrap(),
        dataset_number: 3,
        model_name: "lumenta-assistant".parse().unwrap(),
        settings,
        cloned_from: None,
        steps,
        progress: None,
        scores: None,
        failure: None,
        model_version: None,
        owner: PersonId::from_uuid(uuid(4)),
        owner_name: "Mira Castro".into(),
        created_at: Timestamp(0),
        started_at: None,
        ended_at: None,
    }
}

fn step<'r>(run: &'r Run, id: &str) -> &'r Step {
    run.step(&id.parse::<StepId>().unwrap()).unwrap()
}

fn base() -> BaseModel {
    BaseModel {
        id: BaseModelId::from_uuid(uuid(2)),
        name: "world-4m".parse().unwrap(),
        state: BaseModelState::Ready,
        reason: None,
        architecture: "LlamaForCausalLM".into(),
        parameters: 3_930_000,
        context: 512,
        template: "qwen3_nothink".into(),
        licence: "Apache-2.0".into(),
        digest: "00".into(),
        files: Vec::new(),
        created_at: Timestamp(0),
    }
}

fn version() -> DatasetVersion {
    let report = Report {
        format: None,
        container: None,
        rows: 330,
        accepted: 329,
        rejected: 1,
        train_rows: 279,
        held_out_rows: 50,
        turns: 658,
        tokens: 10_181,
        longest_tokens: 141,
        histogram: Vec::new(),
        findings: Vec::new(),
    };
    DatasetVersion {
        id: DatasetVersionId::from_uuid(uuid(3)),
        tenant: "lumenta".parse().unwrap(),
        dataset: DatasetId::from_uuid(uuid(5)),
        dataset_name: "lumenta-facts".parse().unwrap(),
        number: 3,
        state: VersionState::Ready,
        reason: None,
        file_name: "facts.jsonl".into(),
        bytes: 1,
        digest: None,
        judgement: None,
        judged_bytes: 0,
        erased_at: None,
        same_as: None,
        format: None,
        container: None,
        held_out_percent: 15,
        tokenizer: None,
        report: Some(report),
        documentation: Documentation::default(),
        created_by: PersonId::from_uuid(uuid(4)),
        created_by_name: "Mira Castro".into(),
        created_at: Timestamp(0),
    }
}

fn endpoint(merged: Option<ModelVersionId>) -> EndpointRecord {
    let endpoint = Endpoint {
        id: EndpointId::from_uuid(uuid(6)),
        tenant: "lumenta".parse().unwrap(),
        name: "assistant".parse().unwrap(),
        state: EndpointState::Starting,
        reason: EndpointReason::Starting,
        base: Some(ServedBase { id: BaseModelId::from_uuid(uuid(2)), name: "world-4m".parse().unwrap() }),
        model_server: ModelServer::Vllm,
        external: None,
        merged_version: merged,
        revision: 1,
        attachments: Vec::new(),
        addresses: Vec::new(),
        replicas: Vec::new(),
        restarts: 0,
        created_by: PersonId::from_uuid(uuid(4)),
        created_by_name: "Mira Castro".into(),
        created_at: Timestamp(0),
        ready_at: None,
        settings: Default::default(),
    };
    EndpointRecord { launch: 2, max_lora_rank: if merged.is_some() { 0 } else { 64 }, ..EndpointRecord::new(endpoint) }
}

/// The task with its spec opened up, so that the file can be read.
fn shown(task: &Task) -> String {
    let mut value = serde_json::to_value(task).unwrap();
    value["spec"] = serde_json::from_str(&task.spec).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

fn matches(file: &str, committed: &str, task: &Task) {
    let shown = shown(task);
    if std::env::var_os("ATELIER_WRITE_GOLDEN").is_some() {
        std::fs::write(format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR")), &shown).unwrap();
        return;
    }
    assert_eq!(shown, committed, "tests/golden/{file} differs; set ATELIER_WRITE_GOLDEN=1 to write it, and review the diff");
}

fn golden(check: impl Fn(&TaskBuilder<'_>)) {
    let location = ArtefactStore::Local { root: "/srv/atelier/store".into() };
    let limits = TaskLimits { memory: Some(16 << 30), gpus: 0, run: Some(Duration::from_secs(6 * 3600)), ..TaskLimits::default() };
    check(&TaskBuilder { location: &location, limits: &limits });
}

#[test]
fn training_is_the_committed_task() {
    let run = run(FinetuningType::Lora);
    let task = |p: &TaskBuilder<'_>| p.train(&run, step(&run, "prepare"), &base(), &version());
    golden(|p| matches("train.json", include_str!("../../../tests/golden/train.json"), &task(p)));
}

#[test]
fn a_training_by_an_image_of_ones_own_is_the_committed_task() {
    let mut record = record(FinetuningType::Lora);
    let (settings, resources) = (record.settings.clone(), ResourceRequest::default());
    let custom = CustomTraining {
        image: "registry.example.org/team/trainer:1".into(),
        command: vec!["python".into(), "train.py".into()],
        args: vec!["--epochs=2".into()],
        env: [("LOG".to_owned(), "info".to_owned())].into(),
    };
    let wanted = plan::Wanted {
        settings: &settings,
        result: WeightsKind::Merged,
        held_out_rows: 50,
        nodes: 1,
        resources: &resources,
        custom: Some(&custom),
    };
    record.steps = plan::plan(&wanted);
    let run = Run::try_from(record).unwrap();
    assert_eq!(run.custom(), Some(&custom));
    golden(|p| {
        let task = p.custom(&run, step(&run, "prepare"), &base(), &version(), run.custom().unwrap());
        matches("custom.json", include_str!("../../../tests/golden/custom.json"), &task);
    });
}

#[test]
fn another_try_knows_the_folders_of_the_ones_before_it_the_last_first() {
    let mut record = record(FinetuningType::Lora);
    for step in &mut record.steps {
        step.attempt = 3;
    }
    let run = Run::try_from(record).unwrap();
    let location = ArtefactStore::Local { root: "/srv".into() };
    let task = TaskBuilder { location: &location, limits: &TaskLimits::default() }.train(&run, step(&run, "prepare"), &base(), &version());
    let spec: serde_json::Value = serde_json::from_str(&task.spec).unwrap();
    assert_eq!((&spec["work"]["folder"], &spec["work"]["earlier"]), (&"train-3".into(), &serde_json::json!(["train-2", "train"])));
}

#[test]
fn merging_is_the_committed_task_and_what_it_leaves_is_what_is_evaluated() {
    let run = run(FinetuningType::Lora);
    let task = |p: &TaskBuilder<'_>| p.merge(&run, step(&run, "merge"), &base(), &"train".parse().unwrap(), &[]);
    golden(|p| matches("merge.json", include_str!("../../../tests/golden/merge.json"), &task(p)));
    let [train, merge] = ["train", "merge"].map(|id| run.weights_of(&id.parse().unwrap()));
    assert_eq!((train, merge), (WeightsKind::Adapter, WeightsKind::Merged));
}

#[test]
fn evaluation_is_the_committed_task() {
    let run = run(FinetuningType::Full);
    let task = |p: &TaskBuilder<'_>| p.evaluate(&run, step(&run, "evaluate"), &base(), &version(), (&"train".parse().unwrap(), &[]));
    golden(|p| matches("evaluate.json", include_str!("../../../tests/golden/evaluate.json"), &task(p)));
}

#[test]
fn a_check_of_isolation_is_the_committed_task_and_tries_what_there_is_to_try() {
    use domain::isolation::{Check, LeftOut, Probe, Target, Way};
    let target = |probe, way| Target { probe, what: "of globex".into(), way, allowed: false };
    let mut check = Check::asked(IsolationCheckId::from_uuid(uuid(8)), "lumenta".parse().unwrap(), "Ann".into(), Timestamp(0));
    check.plan(vec![
        target(Probe::ApiServer, Ok(Way::Connect { address: "10.0.0.1:6443".into() })),
        target(Probe::OtherEndpoint, Err(LeftOut::NoOtherEndpoint)),
        target(Probe::OwnBucket, Ok(Way::Write { tenant: "lumenta".parse().unwrap() })),
    ]);
    golden(|p| {
        let task = p.check_isolation(&check);
        assert_eq!(isolation_check_of(&task.name), Some(check.id));
        let run = run(FinetuningType::Lora);
        let train = p.train(&run, step(&run, "prepare"), &base(), &version());
        assert_eq!((task.kind, &task.runtime, &task.secrets), (train.kind, &train.runtime, &train.secrets), "a pod like a run's");
        matches("check_isolation.json", include_str!("../../../tests/golden/check_isolation.json"), &task);
    });
}

#[test]
fn a_process_gets_what_the_most_demanding_of_its_steps_asks_for_and_no_more_memory_than_the_portal_allows() {
    let asking = |memory: [u64; 2], allowed: Option<u64>| {
        let mut record = record(FinetuningType::Lora);
        for (step, memory_bytes) in record.steps.iter_mut().zip(memory) {
            step.resources = domain::run::Resources { gpus: Some(2), cpu_millis: 4000, memory_bytes, ..Default::default() };
        }
        let run = Run::try_from(record).unwrap();
        let location = ArtefactStore::Local { root: "/srv".into() };
        let limits = TaskLimits { memory: allowed, gpus: 1, ..TaskLimits::default() };
        TaskBuilder { location: &location, limits: &limits }.train(&run, step(&run, "prepare"), &base(), &version()).resources
    };
    let both = asking([1 << 30, 8 << 30], Some(16 << 30));
    assert_eq!((both.gpus, both.cpu_milli, both.memory), (2, Some(4000), Some(8 << 30)));
    assert_eq!(asking([0, 8 << 30], None).memory, Some(8 << 30));
    assert_eq!(asking([0, 64 << 30], Some(16 << 30)).memory, Some(16 << 30));
    assert_eq!(asking([0, 0], Some(16 << 30)).memory, Some(16 << 30));
    assert_eq!(asking([0, 0], None).memory, None, "what there is");
    let plain = run(FinetuningType::Lora);
    let (location, limits) = (ArtefactStore::Local { root: "/srv".into() }, TaskLimits { gpus: 1, ..TaskLimits::default() });
    let tasks = TaskBuilder { location: &location, limits: &limits };
    let gpus = [tasks.train(&plain, step(&plain, "prepare"), &base(), &version()), tasks.serve(&endpoint(None), &base(), &[])];
    assert_eq!(gpus.map(|t| t.resources.gpus), [1, 1], "what the portal asks for each");
}

/// A run and an endpoint that ask for the same, on a portal that gives one GPU and up to 32 GiB by itself.
fn asking(resources: &ResourceRequest) -> [Task; 2] {
    let mut record = record(FinetuningType::Lora);
    let settings = record.settings.clone();
    record.steps = plan::plan(&plan::Wanted {
        settings: &settings,
        result: WeightsKind::Adapter,
        held_out_rows: 50,
        nodes: 1,
        resources,
        custom: None,
    });
    let run = Run::try_from(record).unwrap();
    let limits = TaskLimits { gpus: 1, memory: Some(32 << 30), ..TaskLimits::default() };
    let tasks = TaskBuilder { location: &ArtefactStore::Local { root: "/srv".into() }, limits: &limits };
    let mut serving = endpoint(None);
    serving.endpoint.settings.resources = resources.clone();
    [tasks.train(&run, step(&run, "prepare"), &base(), &version()), tasks.serve(&serving, &base(), &[])]
}

#[test]
fn what_a_run_or_an_endpoint_asks_for_goes_before_what_the_portal_gives_by_itself() {
    let asked = ResourceRequest {
        gpus: Some(2),
        gpu_product: Some("H200".into()),
        cpu: Some(8),
        memory: Some(16 << 30),
        ..ResourceRequest::default()
    };
    for task in asking(&asked) {
        let r = &task.resources;
        assert_eq!((r.gpus, r.gpu_product.as_deref(), r.cpu_milli, r.memory), (2, Some("H200"), Some(8000), Some(16 << 30)));
        let spec: serde_json::Value = serde_json::from_str(&task.spec).unwrap();
        assert_eq!(spec["work"]["gpus"], 2, "{}: what shares the rows, and what the weights are spread over", task.name);
    }
    let usual = asking(&ResourceRequest::default());
    for (task, usual) in asking(&ResourceRequest { gpus: Some(0), ..ResourceRequest::default() }).into_iter().zip(&usual) {
        assert_eq!((task.resources.gpus, usual.resources.gpus), (0, 1), "only the CPU, where one GPU is usual");
        assert_ne!(task.hash(), usual.hash(), "it is another task");
        assert!(!usual.spec.contains("gpus"), "what asks for nothing is the same task as before: {}", usual.spec);
    }
    let slice = ResourceRequest { gpus: Some(1), mig_profile: Some("1g.10gb".into()), ..ResourceRequest::default() };
    assert_eq!(asking(&slice).map(|t| t.resources.mig_profile), [Some("1g.10gb".to_owned()), Some("1g.10gb".to_owned())]);
    let too_much = ResourceRequest { memory: Some(64 << 30), ..ResourceRequest::default() };
    assert_eq!(asking(&too_much).map(|t| t.resources.memory), [Some(32 << 30); 2], "a limit that was lowered since then");
}

#[test]
fn serving_a_base_and_serving_full_weights_are_the_committed_tasks() {
    golden(|p| matches("serve.json", include_str!("../../../tests/golden/serve.json"), &p.serve(&endpoint(None), &base(), &[])));
    let merged = endpoint(Some(ModelVersionId::from_uuid(uuid(7))));
    golden(|p| matches("serve_merged.json", include_str!("../../../tests/golden/serve_merged.json"), &p.serve(&merged, &base(), &[])));
}

#[test]
fn over_s3_a_task_refers_to_the_tenants_key_and_knows_the_digests_of_what_it_fetches() {
    let location = ArtefactStore::S3 {
        endpoint: "https://s3.example.org".into(),
        region: "house".into(),
        bucket_prefix: "atelier-".into(),
        path_style: true,
        ca: None,
    };
    let limits = TaskLimits::default();
    let (run, file) = (run(FinetuningType::Lora), |path: &str| StoredFile { path: path.into(), bytes: 7, digest: "d1".into() });
    let base = BaseModel { files: vec![file("model.safetensors")], ..base() };
    let train: StepId = "train".parse().unwrap();
    let of = |location| {
        let tasks = TaskBuilder { location, limits: &limits };
        [
            tasks.train(&run, step(&run, "prepare"), &base, &version()),
            tasks.merge(&run, step(&run, "merge"), &base, &train, &[file("adapter.safetensors")]),
            tasks.evaluate(&run, step(&run, "evaluate"), &base, &version(), (&train, &[file("adapter.safetensors")])),
            tasks.serve(&endpoint(None), &base, &base.files),
        ]
    };
    for task in of(&location) {
        assert_eq!(task.secrets, [SecretRef { name: "store".into(), file: "store".into() }], "{}", task.name);
        let spec: serde_json::Value = serde_json::from_str(&task.spec).unwrap();
        assert_eq!(spec["store"]["endpoint"], "https://s3.example.org");
        assert!(task.spec.contains(r#"{"path":"model.safetensors","bytes":7,"digest":"d1"}"#), "{}", task.spec);
    }
    assert_eq!(of(&location)[1].spec.matches("adapter.safetensors").count(), 1);
    for task in of(&ArtefactStore::Local { root: "/srv".into() }) {
        assert!(task.secrets.is_empty() && !task.spec.contains("digest"), "{}", task.spec);
    }
}

#[test]
fn a_task_name_leads_back_to_its_owner_and_foreign_names_lead_nowhere() {
    let (run, endpoint) = (RunId::from_uuid(uuid(1)), EndpointId::from_uuid(uuid(6)));
    assert_eq!(run_of(&run_task(run, "evaluate-2")), Some(run));
    assert_eq!(endpoint_of(&endpoint_task(endpoint, 12)), Some((endpoint, 12)));
    assert_eq!((run_of("ep-1-2"), run_of("run-x-train"), endpoint_of("ep-x-1")), (None, None, None));
    assert!(run_task(run, &format!("{}-{}", "a".repeat(20), 999)).len() <= 63);
}

#[test]
fn the_server_is_started_for_the_smallest_rank_that_fits_and_never_below_the_usual() {
    assert_eq!([vec![], vec![8], vec![64], vec![65], vec![8, 200], vec![256]].map(max_lora_rank), [64, 64, 64, 128, 256, 256]);
}
