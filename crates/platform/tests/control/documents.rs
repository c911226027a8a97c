//! Tenants, runs and endpoints as documents: what is sent twice changes nothing, and what cannot become another is refused.

use crate::house::{House, until};
use domain::{
    compute::Compute,
    model::WeightsKind,
    name::Name,
    page::Cursor,
    people::{PlatformRole, Role},
    problem::{Problem, ProblemKind},
    resource::{CallsSpec, EndpointSpec, GroupSpec, QuotaSpec, ResourcesSpec, RunSpec, ServingSpec, Spec, TenantSpec, VersionSpec},
    run::RunState,
    settings::{RunSettings, preset},
    tenant::TenantState,
};
use platform::{
    access::PlatformScope,
    put::{Outcome, Put},
};

crate::on_each_database!(
    a_tenant_becomes_what_its_document_says_and_the_same_again_writes_nothing,
    limits_of_the_machines_follow_the_document_and_stay_where_it_says_nothing_of_them,
    a_run_is_launched_once_and_another_spec_of_its_name_is_refused,
    an_endpoint_becomes_what_its_document_says_and_the_same_again_writes_nothing,
    adapters_and_full_weights_follow_the_document,
    whoever_may_not_change_things_changes_nothing_by_a_document,
);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Everything that a change would leave: records, events, the directory's revision.
async fn traces(house: &House) -> (i64, i64, i64) {
    let counted = async |sql| house.count(sql).await;
    (
        counted("SELECT COUNT(*) FROM audit_records").await,
        counted("SELECT value FROM counters WHERE name = 'events'").await,
        counted("SELECT value FROM counters WHERE name = 'directory'").await,
    )
}

fn outcome<S>(put: Result<Put<S>, Problem>) -> Outcome {
    put.unwrap_or_else(|problem| panic!("{problem:?}")).outcome
}

#[track_caller]
fn refused<S>(put: Result<Put<S>, Problem>, kind: ProblemKind, words: &str) {
    let Err(problem) = put else { panic!("this must be refused: {words}") };
    assert!(problem.kind == kind && problem.sentence.contains(words), "{words}: {problem:?}");
}

async fn a_tenant_becomes_what_its_document_says_and_the_same_again_writes_nothing(house: House) {
    let scope = PlatformScope::command_line();
    let tenants = house.platform.tenants(&scope);
    let spec = TenantSpec {
        title: Some("Acme".into()),
        suspended: Some(false),
        quota: Some(QuotaSpec { endpoints: Some(5), ..QuotaSpec::default() }),
        calls: Some(CallsSpec { requests_per_minute: Some(Some(60)), ..CallsSpec::default() }),
        groups: Some(vec![GroupSpec { group: "/b/nlp".into(), role: Role::Viewer }, GroupSpec { group: "a".into(), role: Role::Owner }]),
    };
    let acme = name("acme");
    let made = tenants.put(&acme, spec.clone()).await.unwrap();
    assert_eq!(made.outcome, Outcome::Created);
    assert_eq!(made.document, tenants.document("acme").await.unwrap());
    let quota = made.document.spec.quota.clone().unwrap();
    assert_eq!((quota.endpoints, quota.concurrent_runs), (Some(5), Some(1)), "what is not said has its default");

    let before = traces(&house).await;
    assert_eq!(outcome(tenants.put(&acme, spec.clone()).await), Outcome::Unchanged);
    assert_eq!(outcome(tenants.put(&acme, made.document.spec.clone()).await), Outcome::Unchanged, "as it is shown");
    assert_eq!(outcome(tenants.put(&acme, TenantSpec::default()).await), Outcome::Unchanged);
    assert_eq!(traces(&house).await, before);

    // One record for each thing that is another, and nothing else is touched.
    let other = TenantSpec {
        title: Some("Acme and sons".into()),
        suspended: Some(true),
        calls: Some(CallsSpec { requests_per_minute: Some(None), ..CallsSpec::default() }),
        groups: Some(Vec::new()),
        quota: None,
    };
    let changed = tenants.put(&acme, other).await.unwrap();
    assert_eq!((changed.outcome, traces(&house).await.0 - before.0), (Outcome::Changed, 4));
    let found = tenants.get("acme").await.unwrap().tenant;
    assert_eq!((found.title.as_str(), found.state, found.quota.endpoints), ("Acme and sons", TenantState::Suspended, 5));
    assert_eq!(tenants.call_rules("acme").await.unwrap().limits.requests_per_minute, None);
    assert_eq!(tenants.groups(&found).await.unwrap(), []);
    assert_eq!(outcome(tenants.put(&acme, TenantSpec { suspended: Some(false), ..TenantSpec::default() }).await), Outcome::Changed);

    refused(tenants.post(&acme, spec.clone()).await, ProblemKind::Conflict, "exists already");
    assert_eq!(outcome(tenants.post(&name("another"), spec).await), Outcome::Created);
    // Nothing of a document holds when one thing in it cannot be.
    let half = TenantSpec {
        title: Some("New".into()),
        quota: Some(QuotaSpec { endpoints: Some(1001), ..QuotaSpec::default() }),
        ..TenantSpec::default()
    };
    let before = traces(&house).await;
    refused(tenants.put(&acme, half.clone()).await, ProblemKind::Invalid, "1000 endpoints");
    refused(tenants.put(&name("half"), half).await, ProblemKind::Invalid, "1000 endpoints");
    assert_eq!(traces(&house).await, before);
    let listed = tenants.documents(&Cursor::default()).await.unwrap().rows;
    let names: Vec<_> = listed.iter().map(|d| d.metadata.name.as_str()).collect();
    assert_eq!(names, ["acme", "another", "lumenta", "velkor"]);
}

async fn limits_of_the_machines_follow_the_document_and_stay_where_it_says_nothing_of_them(house: House) {
    let scope = PlatformScope::command_line();
    let tenants = house.platform.tenants(&scope);
    let of = |quota: &str| TenantSpec { quota: Some(serde_json::from_str(quota).unwrap()), ..TenantSpec::default() };
    let acme = name("acme");
    let limits = r#"{"gpus":4,"mig":{"1g.10gb":2},"cpu":96,"memoryBytes":512000000000,"diskBytes":0}"#;
    let made = tenants.put(&acme, of(limits)).await.unwrap();
    assert_eq!(made.outcome, Outcome::Created);
    let set = async || tenants.get("acme").await.unwrap().tenant.quota.compute;
    let at_first =
        Compute { gpus: Some(4), mig: [("1g.10gb".into(), 2)].into(), cpu: Some(96), memory: Some(512_000_000_000), disk: Some(0) };
    assert_eq!(set().await, at_first);

    let before = traces(&house).await;
    for same in [of(limits), made.document.spec, of("{}"), of(r#"{"mig":{},"gpus":4}"#), of(r#"{"mig":{"3g.40gb":null}}"#)] {
        assert_eq!(outcome(tenants.put(&acme, same).await), Outcome::Unchanged);
    }
    assert_eq!(traces(&house).await, before);
    // A document of before there were such limits.
    assert_eq!(outcome(tenants.put(&acme, of(r#"{"endpoints":7}"#)).await), Outcome::Changed);
    assert_eq!(set().await, at_first);

    let before = traces(&house).await.0;
    let other = of(r#"{"gpus":null,"mig":{"3g.40gb":1},"memoryBytes":64000000000}"#);
    assert_eq!(outcome(tenants.put(&acme, other.clone()).await), Outcome::Changed);
    assert_eq!(outcome(tenants.put(&acme, other).await), Outcome::Unchanged);
    assert_eq!(traces(&house).await.0 - before, 1, "one record");
    let mig = [("1g.10gb".to_owned(), 2), ("3g.40gb".to_owned(), 1)].into();
    assert_eq!(set().await, Compute { gpus: None, mig, memory: Some(64_000_000_000), ..at_first });

    // Each by its place; and what is too much only together with what is there already.
    let mut title = of(r#"{"gpus":100001,"memoryBytes":18446744073709551615,"mig":{"gpu":1}}"#);
    title.title = Some("New".into());
    let many: Vec<String> = (10..29).map(|n| format!("\"1g.{n}gb.x\":1")).collect();
    let before = traces(&house).await;
    for (wrong, fields) in [
        (title, vec!["spec.quota.gpus", "spec.quota.memoryBytes", "spec.quota.mig"]),
        (of(&format!("{{\"mig\":{{{}}}}}", many.join(","))), vec!["spec.quota.mig"]),
    ] {
        let Err(problem) = tenants.put(&acme, wrong).await else { panic!("this cannot be: {fields:?}") };
        assert_eq!((problem.kind, problem.fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>()), (ProblemKind::Invalid, fields));
    }
    assert_eq!(traces(&house).await, before);

    let none = of(r#"{"gpus":null,"mig":null,"cpu":null,"memoryBytes":null,"diskBytes":null}"#);
    assert_eq!(outcome(tenants.put(&acme, none.clone()).await), Outcome::Changed);
    assert_eq!(outcome(tenants.put(&acme, none).await), Outcome::Unchanged);
    assert!(set().await.is_unlimited());
}

fn run_spec() -> RunSpec {
    RunSpec {
        nodes: 1,
        resources: ResourcesSpec::default(),
        base_model: name("world"),
        dataset: name("facts"),
        dataset_version: None,
        model: name("assistant"),
        result: WeightsKind::Adapter,
        custom: None,
        settings: preset("lora").unwrap().with("cutoff_len", 128),
    }
}

async fn a_run_is_launched_once_and_another_spec_of_its_name_is_refused(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs = house.platform.runs(&scope);
    let first = name("facts-1");
    let made = runs.put(&first, run_spec()).await.unwrap();
    assert_eq!((made.outcome, made.document.spec.dataset_version), (Outcome::Created, Some(1)));

    let before = traces(&house).await;
    assert_eq!(outcome(runs.put(&first, run_spec()).await), Outcome::Unchanged);
    assert_eq!(outcome(runs.put(&first, made.document.spec.clone()).await), Outcome::Unchanged, "as it is shown");
    let same = RunSpec { settings: run_spec().settings.with("weight_decay", 0), ..run_spec() };
    assert_eq!(outcome(runs.put(&first, same).await), Outcome::Unchanged, "what is the default anyhow");
    let other = RunSpec { settings: run_spec().settings.with("seed", 7), ..run_spec() };
    refused(runs.put(&first, other.clone()).await, ProblemKind::Conflict, "spec.settings.seed: 42 -> 7");
    assert_eq!(traces(&house).await, before);

    // Twice at once is one run; two specs at once are one run and a refusal.
    let second = name("facts-2");
    let (a, b) = tokio::join!(runs.put(&second, run_spec()), runs.put(&second, run_spec()));
    assert_eq!(a.unwrap().document.status.unwrap()["id"], b.unwrap().document.status.unwrap()["id"]);
    let third = name("facts-3");
    let (a, b) = tokio::join!(runs.put(&third, run_spec()), runs.put(&third, other));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(runs.documents(&Cursor::default()).await.unwrap().rows.len(), 3);

    // What there is holds in a suspended tenant too, and nothing new starts there.
    house.platform.tenants(&PlatformScope::command_line()).suspend("lumenta").await.unwrap();
    let suspended = house.owner().await;
    assert_eq!(outcome(house.platform.runs(&suspended).put(&first, run_spec()).await), Outcome::Unchanged);
    refused(house.platform.runs(&suspended).put(&name("facts-4"), run_spec()).await, ProblemKind::Conflict, "suspended");
    house.platform.tenants(&PlatformScope::command_line()).resume("lumenta").await.unwrap();

    // What is usual is no difference, and this engine gives what the machine has.
    let resources = |text: &str| RunSpec { resources: serde_json::from_str(text).unwrap(), ..run_spec() };
    assert_eq!(outcome(runs.put(&first, resources(r#"{"cpu":1,"gpus":null}"#)).await), Outcome::Unchanged);
    refused(runs.put(&first, resources(r#"{"gpus":2}"#)).await, ProblemKind::Conflict, "spec.resources.gpus: not set -> 2");
    let Err(problem) = runs.put(&name("facts-6"), resources(r#"{"gpus":0,"memoryBytes":16000000000}"#)).await else {
        panic!("it is one machine")
    };
    let fields: Vec<_> = problem.fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!((problem.kind, fields), (ProblemKind::Invalid, vec!["spec.resources.gpus", "spec.resources.memoryBytes"]));

    // One machine runs no images, whoever allows them.
    let custom = |text: &str| RunSpec { custom: serde_json::from_str(text).unwrap(), settings: RunSettings::default(), ..run_spec() };
    let Err(problem) = runs.put(&name("facts-7"), custom(r#"{"image":"registry.example.org/team/trainer:1","command":[]}"#)).await else {
        panic!("it is one machine")
    };
    let fields: Vec<_> = problem.fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!((problem.kind, fields), (ProblemKind::Invalid, vec!["spec.custom.image", "spec.custom.command"]));
    assert!(problem.fields[0].sentence.contains("cluster"), "{problem:?}");

    let wrong =
        RunSpec { dataset_version: Some(9), base_model: name("none"), settings: run_spec().settings.with("lora_rank", 0), ..run_spec() };
    let Err(problem) = runs.put(&name("facts-5"), wrong).await else { panic!("nothing of it is there") };
    let fields: Vec<_> = problem.fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["spec.baseModel", "spec.datasetVersion", "spec.settings.lora_rank"]);

    assert_eq!(runs.end("facts-1").await.unwrap().status.unwrap()["state"], "cancelled");
    let before = traces(&house).await;
    assert_eq!(runs.end("facts-1").await.unwrap().status.unwrap()["state"], "cancelled", "once more is no change");
    assert_eq!(traces(&house).await, before);
}

async fn an_endpoint_becomes_what_its_document_says_and_the_same_again_writes_nothing(house: House) {
    let scope = house.owner().await;
    let endpoints = house.platform.endpoints(&scope);
    let spec = EndpointSpec {
        base_model: Some(name("world")),
        adapters: Some(Vec::new()),
        stopped: Some(false),
        serving: Some(ServingSpec { answer_seconds: Some(60), ..ServingSpec::default() }),
        ..EndpointSpec::default()
    };
    let desk = name("helpdesk");
    let made = endpoints.put(&desk, spec.clone()).await.unwrap();
    assert_eq!((made.outcome, made.document.spec.serving.as_ref().unwrap().answer_seconds), (Outcome::Created, Some(60)));
    assert_eq!(made.document.spec.replicas, Some(1));
    let before = traces(&house).await;
    assert_eq!(outcome(endpoints.put(&desk, spec.clone()).await), Outcome::Unchanged);
    assert_eq!(outcome(endpoints.put(&desk, made.document.spec.clone()).await), Outcome::Unchanged, "as it is shown");
    assert_eq!(outcome(endpoints.put(&desk, EndpointSpec::default()).await), Outcome::Unchanged);
    refused(
        endpoints.put(&desk, EndpointSpec { base_model: Some(name("other")), ..EndpointSpec::default() }).await,
        ProblemKind::Conflict,
        "cannot become another (spec.baseModel",
    );
    for (endpoint, base_model) in [(&desk, None), (&name("several"), Some(name("world")))] {
        // This engine runs one process of each.
        let several = EndpointSpec { base_model, replicas: Some(2), ..EndpointSpec::default() };
        let Err(problem) = endpoints.put(endpoint, several).await else { panic!("{endpoint} has two replicas") };
        assert_eq!((problem.kind, problem.fields[0].field.as_str()), (ProblemKind::Invalid, "spec.replicas"));
        assert!(problem.sentence.contains("need a Kubernetes cluster"), "{problem:?}");
    }
    for (endpoint, base_model) in [(&desk, None), (&name("several"), Some(name("world")))] {
        let resources = serde_json::from_str(r#"{"gpus":2,"cpu":4}"#).unwrap();
        let asking = EndpointSpec { base_model, resources: Some(resources), ..EndpointSpec::default() };
        let Err(problem) = endpoints.put(endpoint, asking).await else { panic!("{endpoint} has GPUs of its own") };
        let fields: Vec<_> = problem.fields.iter().map(|f| f.field.as_str()).collect();
        assert_eq!((problem.kind, fields), (ProblemKind::Invalid, vec!["spec.resources.gpus", "spec.resources.cpu"]));
    }
    assert_eq!(traces(&house).await, before);

    let stopped = EndpointSpec { stopped: Some(true), ..spec.clone() };
    assert_eq!(outcome(endpoints.put(&desk, stopped.clone()).await), Outcome::Changed);
    let before = traces(&house).await;
    assert_eq!(outcome(endpoints.put(&desk, stopped).await), Outcome::Unchanged, "also while it still stops");
    assert_eq!(traces(&house).await, before);
    let adapter = VersionSpec { model: name("assistant"), version: 1 };
    let onto = EndpointSpec { adapters: Some(vec![adapter]), ..EndpointSpec::default() };
    refused(endpoints.put(&desk, onto).await, ProblemKind::Invalid, "while it is stopped");

    refused(endpoints.put(&name("empty"), EndpointSpec::default()).await, ProblemKind::Invalid, "baseModel or fullWeights");
    refused(
        endpoints.put(&name("none"), EndpointSpec { base_model: Some(name("none")), ..EndpointSpec::default() }).await,
        ProblemKind::Invalid,
        "no base model “none”",
    );
    assert_eq!(endpoints.documents(&Cursor::default()).await.unwrap().rows.len(), 1);
}

async fn adapters_and_full_weights_follow_the_document(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let runs = house.platform.runs(&scope);
    let full = RunSpec { model: name("whole"), result: WeightsKind::Merged, ..run_spec() };
    for (run, spec) in [("facts-1", run_spec()), ("facts-2", run_spec()), ("facts-3", full)] {
        runs.put(&name(run), spec).await.unwrap();
        until(|| async {
            let now = runs.named(run).await.unwrap();
            if now.state == RunState::Succeeded { Ok(()) } else { Err(format!("{:?} {} {:?}", now.state, now.said(), now.failure)) }
        })
        .await;
    }
    let Err(problem) = runs.end("facts-1").await else { panic!("it has ended") };
    assert!(problem.kind == ProblemKind::Conflict && problem.sentence.contains("has ended (succeeded)"), "{problem:?}");

    let endpoints = house.platform.endpoints(&scope);
    let with = |numbers: &[u32]| EndpointSpec {
        base_model: Some(name("world")),
        adapters: Some(numbers.iter().map(|n| VersionSpec { model: name("assistant"), version: *n }).collect()),
        ..EndpointSpec::default()
    };
    let desk = name("helpdesk");
    assert_eq!(outcome(endpoints.put(&desk, with(&[2, 1])).await), Outcome::Created);
    let before = traces(&house).await.0;
    assert_eq!(outcome(endpoints.put(&desk, with(&[1, 2])).await), Outcome::Unchanged);
    assert_eq!(traces(&house).await.0, before);
    assert_eq!(outcome(endpoints.put(&desk, with(&[2])).await), Outcome::Changed);
    let left: Vec<_> = endpoints.get("helpdesk").await.unwrap().attachments.iter().map(|a| a.number).collect();
    assert_eq!(left, [2]);

    let weights = EndpointSpec { full_weights: Some(VersionSpec { model: name("whole"), version: 1 }), ..EndpointSpec::default() };
    let whole = name("whole");
    let made = endpoints.put(&whole, weights.clone()).await.unwrap();
    assert_eq!((made.outcome, made.document.metadata.name.as_str()), (Outcome::Created, "whole"));
    assert_eq!(outcome(endpoints.put(&whole, made.document.spec.clone()).await), Outcome::Unchanged);
    assert!(weights.differences(&made.document.spec).is_empty() && made.document.spec.base_model.is_none());
    refused(endpoints.put(&name("again"), weights).await, ProblemKind::Conflict, "served by the endpoint “whole” already");
}

async fn whoever_may_not_change_things_changes_nothing_by_a_document(house: House) {
    let owner = house.owner().await;
    house.dataset(&owner, "facts", 20).await;
    let first = name("facts-1");
    house.platform.runs(&owner).put(&first, run_spec()).await.unwrap();
    let viewer = house.caller("vera", &[("lumenta", Role::Viewer)], None).await;
    let scope = viewer.scope(&house.platform, "lumenta").await.unwrap();
    let desk = EndpointSpec { base_model: Some(name("world")), ..EndpointSpec::default() };
    // Also of what would be no change.
    refused(house.platform.runs(&scope).put(&first, run_spec()).await, ProblemKind::Forbidden, "engineer");
    refused(house.platform.endpoints(&scope).put(&name("helpdesk"), desk).await, ProblemKind::Forbidden, "engineer");
    assert_eq!(house.platform.runs(&scope).end("facts-1").await.err().map(|p| p.kind), Some(ProblemKind::Forbidden));
    assert!(house.platform.runs(&scope).document("facts-1").await.is_ok());
    // Of another tenant there is nothing.
    let stranger = house.stranger().await;
    assert_eq!(house.platform.runs(&stranger).document("facts-1").await.err().map(|p| p.kind), Some(ProblemKind::NotFound));
    assert_eq!(house.platform.runs(&stranger).end("facts-1").await.err().map(|p| p.kind), Some(ProblemKind::NotFound));
    let auditor = house.caller("karin", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    refused(house.platform.tenants(&auditor).put(&name("lumenta"), TenantSpec::default()).await, ProblemKind::Forbidden, "admin");
    assert!(house.platform.tenants(&auditor).document("lumenta").await.is_ok());
}
