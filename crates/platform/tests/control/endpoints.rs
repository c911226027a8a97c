//! Endpoints under their controller, with real processes that play the model server.

use crate::house::{House, controller, plan, until};
use domain::reason::endpoint::EndpointReason;
use domain::{
    endpoint::{AdapterState, Endpoint, EndpointState},
    event::Topic,
    filter::AuditFilter,
    problem::ProblemKind,
    run::RunState,
    settings::{RunSettings, preset},
};
use platform::{
    access::{PlatformScope, Scope},
    endpoints::{Deploy, NewEndpoint},
};
use std::time::{Duration, Instant};

crate::on_each_database!(
    an_adapter_is_deployed_without_a_restart_and_taken_off_again,
    a_server_that_is_killed_comes_back_with_its_adapters,
    a_server_that_never_answers_is_given_up_with_its_reason,
    stopping_and_starting_hold_the_quota,
    an_adapter_of_a_higher_rank_restarts_the_server_and_says_why,
    a_killed_controller_leaves_the_server_running,
    a_suspended_tenants_server_ends_and_comes_back_when_it_is_resumed,
);

fn lora() -> RunSettings {
    preset("lora").unwrap()
}

async fn version(house: &House, scope: &Scope, run: &str, settings: RunSettings) {
    let mut plan = plan(run, 42);
    plan.settings = settings.with("cutoff_len", 128);
    let run = house.platform.runs(scope).launch(plan).await.unwrap();
    let run = house.run_until(scope, &run, |r| r.state.is_final()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
}

async fn endpoint_until(house: &House, scope: &Scope, name: &str, what: impl Fn(&Endpoint) -> bool) -> Endpoint {
    until(|| async {
        let now = house.platform.endpoints(scope).get(name).await.unwrap();
        if what(&now) { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await
}

fn serves(e: &Endpoint, adapters: usize) -> bool {
    e.state == EndpointState::Ready && e.attachments.len() == adapters && e.attachments.iter().all(|a| a.state == AdapterState::Ready)
}

fn deploy(number: u32) -> Deploy {
    Deploy { model: "assistant".into(), number, endpoint: None }
}

async fn an_adapter_is_deployed_without_a_restart_and_taken_off_again(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    version(&house, &scope, "facts-1", lora()).await;
    version(&house, &scope, "facts-2", lora()).await;
    let endpoints = house.platform.endpoints(&scope);
    let made = endpoints.deploy(deploy(1)).await.unwrap();
    let name = made.name.as_str();
    assert_eq!((made.source(), made.attachments[0].state), ("world", AdapterState::Loading));
    let ready = endpoint_until(&house, &scope, name, |e| serves(e, 1)).await;
    let first = ready.attachments[0].version;

    let route = |model: &str| {
        let (platform, model) = (house.platform.clone(), model.to_owned());
        async move { platform.directory().await.unwrap().tenants[&"lumenta".parse().unwrap()].routes.get(&model).cloned() }
    };
    let answered = route("assistant").await.unwrap();
    assert_eq!(
        (answered.upstream_model, !answered.upstreams.is_empty(), answered.parent.as_deref()),
        (first.to_string(), true, Some("world"))
    );

    let asked = Instant::now();
    assert_eq!(endpoints.deploy(deploy(2)).await.unwrap().id, made.id);
    let both = endpoint_until(&house, &scope, name, |e| serves(e, 2)).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "the second adapter took {:?}", asked.elapsed());
    assert_eq!(route("assistant").await.unwrap().model_version, Some(both.attachments[1].version));
    assert_eq!(endpoints.deploy(deploy(2)).await.unwrap().revision, both.revision, "asking twice changed something");
    assert_eq!(house.starts(&made.id.to_string()).len(), 1, "an adapter needed a restart");

    let gone = both.attachments[1].version;
    let before = house.platform.events_after(&scope, 0, 1000).await.unwrap().last().unwrap().seq;
    endpoints.detach(name, gone).await.unwrap();
    let events = house.platform.events_after(&scope, before, 1000).await.unwrap();
    for (topic, object) in [(Topic::ModelVersion, gone.to_string()), (Topic::Endpoint, made.id.to_string())] {
        assert!(events.iter().any(|e| e.topic == topic && e.object == object), "open pages do not hear of {topic:?}: {events:?}");
    }
    endpoint_until(&house, &scope, name, |e| serves(e, 1)).await;
    assert_eq!(route("assistant").await.unwrap().model_version, Some(first));
    assert_eq!(endpoints.detach(name, both.attachments[1].version).await.unwrap_err().kind, ProblemKind::NotFound);
    let log = endpoints.log(name, 0, 100).await.unwrap();
    assert!(log.iter().any(|l| l.text == "answers"), "{log:?}");
    // The record names a version the same way, coming and going.
    let records = house.platform.audit(&scope).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    for detail in ["attach assistant v2", "detach assistant v2"] {
        assert!(records.iter().any(|r| r.entry.detail.said() == detail), "no record says {detail}");
    }
}

async fn a_server_that_is_killed_comes_back_with_its_adapters(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    version(&house, &scope, "facts-1", lora()).await;
    let name = house.platform.endpoints(&scope).deploy(deploy(1)).await.unwrap().name;
    let before = endpoint_until(&house, &scope, name.as_str(), |e| serves(e, 1)).await;
    std::fs::write(house.control_file("die"), "").unwrap();
    let degraded = endpoint_until(&house, &scope, name.as_str(), |e| e.state == EndpointState::Degraded).await;
    assert!(degraded.reason.said().contains("signal 9") && degraded.addresses.is_empty(), "{}", degraded.reason.said());
    assert_eq!(degraded.attachments[0].state, AdapterState::Loading);
    let after = endpoint_until(&house, &scope, name.as_str(), |e| serves(e, 1)).await;
    assert!(after.ready_at > before.ready_at);
    assert_eq!(house.starts(&before.id.to_string()).len(), 2);
}

async fn a_server_that_never_answers_is_given_up_with_its_reason(house: House) {
    let scope = house.owner().await;
    let _controller = house.controller("a");
    std::fs::write(house.control_file("crash"), "").unwrap();
    let new = NewEndpoint { name: "helpdesk".into(), base_model: "world".into(), resources: Default::default() };
    let made = house.platform.endpoints(&scope).create(new).await.unwrap();
    let failed = endpoint_until(&house, &scope, "helpdesk", |e| e.state == EndpointState::Failed).await;
    assert!(
        failed.reason.said().contains("5 starts")
            && failed.reason.said().contains("status 3")
            && failed.reason.said().contains("no such device"),
        "{}",
        failed.reason.said()
    );
    assert_eq!(house.starts(&made.id.to_string()).len(), 5);
    // A person may try again once the cause is gone.
    std::fs::remove_file(house.control_file("crash")).unwrap();
    house.platform.endpoints(&scope).start("helpdesk").await.unwrap();
    endpoint_until(&house, &scope, "helpdesk", |e| e.state == EndpointState::Ready).await;
}

async fn stopping_and_starting_hold_the_quota(house: House) {
    let scope = house.owner().await;
    let _controller = house.controller("a");
    let endpoints = house.platform.endpoints(&scope);
    let create =
        |name: &str| endpoints.create(NewEndpoint { name: name.into(), base_model: "world".into(), resources: Default::default() });
    create("one").await.unwrap();
    create("two").await.unwrap();
    let full = create("three").await.unwrap_err();
    assert_eq!(full.kind, ProblemKind::QuotaExceeded);
    assert!(full.sentence.contains("allows 2 running endpoints"), "{full}");
    assert_eq!(
        endpoints
            .create(NewEndpoint { name: "No Name!".into(), base_model: "none".into(), resources: Default::default() })
            .await
            .unwrap_err()
            .fields
            .len(),
        2
    );

    endpoint_until(&house, &scope, "one", |e| e.state == EndpointState::Ready).await;
    assert_eq!(endpoints.stop("one").await.unwrap().state, EndpointState::Stopping);
    let stopped = endpoint_until(&house, &scope, "one", |e| e.state == EndpointState::Stopped).await;
    assert!(stopped.addresses.is_empty());
    assert_eq!(endpoints.stop("one").await.unwrap_err().kind, ProblemKind::Conflict);
    create("three").await.unwrap();
    assert_eq!(endpoints.start("one").await.unwrap_err().kind, ProblemKind::QuotaExceeded);
    endpoints.stop("three").await.unwrap();
    endpoint_until(&house, &scope, "three", |e| e.state == EndpointState::Stopped).await;
    endpoints.start("one").await.unwrap();
    endpoint_until(&house, &scope, "one", |e| e.state == EndpointState::Ready).await;
    assert_eq!(house.starts(&stopped.id.to_string()).len(), 2);
}

async fn an_adapter_of_a_higher_rank_restarts_the_server_and_says_why(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    version(&house, &scope, "facts-1", lora()).await;
    version(&house, &scope, "facts-2", lora().with("lora_rank", 128)).await;
    let endpoints = house.platform.endpoints(&scope);
    let made = endpoints.deploy(deploy(1)).await.unwrap();
    endpoint_until(&house, &scope, made.name.as_str(), |e| serves(e, 1)).await;
    endpoints.deploy(deploy(2)).await.unwrap();
    endpoint_until(&house, &scope, made.name.as_str(), |e| serves(e, 2)).await;
    let ranks: Vec<String> = house.starts(&made.id.to_string()).iter().map(|l| l.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(ranks, ["64", "128"]);
    let log = endpoints.log(made.name.as_str(), 0, 1000).await.unwrap();
    assert!(log.iter().any(|l| l.text.contains("needs rank 128")), "{log:?}");
}

async fn a_killed_controller_leaves_the_server_running(house: House) {
    let scope = house.owner().await;
    let first = house.controller("a");
    let new = NewEndpoint { name: "helpdesk".into(), base_model: "world".into(), resources: Default::default() };
    let made = house.platform.endpoints(&scope).create(new).await.unwrap();
    let before = endpoint_until(&house, &scope, "helpdesk", |e| e.state == EndpointState::Ready).await;
    drop(first);
    let _second = controller(house.another().await, "b");
    house.platform.endpoints(&scope).stop("helpdesk").await.unwrap();
    // The new one leads as soon as it obeys; until then it must not have started a second server.
    endpoint_until(&house, &scope, "helpdesk", |e| e.state == EndpointState::Stopped).await;
    assert_eq!(house.starts(&made.id.to_string()).len(), 1);
    assert!(!before.addresses.is_empty());
}

async fn a_suspended_tenants_server_ends_and_comes_back_when_it_is_resumed(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    version(&house, &scope, "facts-1", lora()).await;
    let made = house.platform.endpoints(&scope).deploy(deploy(1)).await.unwrap();
    let name = made.name.as_str();
    endpoint_until(&house, &scope, name, |e| serves(e, 1)).await;

    let admin = PlatformScope::command_line();
    let task = made.id.to_string().replace('_', "-");
    assert!(processes(&task) > 0);
    house.platform.tenants(&admin).suspend("lumenta").await.unwrap();
    let held = endpoint_until(&house, &scope, name, |e| e.state == EndpointState::Degraded && e.addresses.is_empty()).await;
    assert!(held.reason == EndpointReason::TenantSuspended, "{:?}", held.reason);
    until(|| async { if processes(&task) == 0 { Ok(()) } else { Err(format!("{} processes still run", processes(&task))) } }).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(house.starts(&made.id.to_string()).len(), 1, "it was started again while suspended");

    house.platform.tenants(&admin).resume("lumenta").await.unwrap();
    let back = endpoint_until(&house, &scope, name, |e| serves(e, 1)).await;
    assert_eq!((back.restarts, house.starts(&made.id.to_string()).len()), (0, 2), "being held is no death");
}

/// Processes of this machine whose command line holds `text`.
fn processes(text: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}
