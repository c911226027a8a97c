//! Endpoints at servers that somebody else runs, under their controller, with a server on this machine that plays one.

use crate::house::{House, until};
use domain::{
    endpoint::{Endpoint, EndpointState},
    filter::AuditFilter,
    ids::CallId,
    people::Role,
    problem::ProblemKind,
    reason::endpoint::{EndpointReason, OutsideTrouble},
    usage::Call,
};
use platform::{
    access::Scope,
    endpoints::{Deploy, NewEndpoint, NewExternal, Offer},
};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

crate::on_each_database!(
    a_server_is_asked_for_its_models_and_those_that_are_chosen_answer,
    a_server_that_goes_away_is_degraded_with_its_reason_and_comes_back,
    its_key_is_kept_sealed_and_shown_nowhere,
    only_owners_add_one_and_other_tenants_see_nothing_of_it,
    a_stopped_one_is_not_asked_and_counts_no_more,
    a_look_that_finds_nothing_new_tells_nobody_and_counts_as_time_that_it_was_there,
    a_removed_one_is_gone_from_the_gateway_at_once_and_what_was_counted_stays,
    an_endpoint_of_ours_is_removed_when_it_has_stopped,
    an_endpoint_that_is_removed_at_once_leaves_nothing_of_its_server_behind,
);

const KEY: &str = "sk-of-the-house-4711";

/// What the server says now, and the last request that it got.
struct Server {
    address: String,
    says: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: format!("http://{}/v1", listener.local_addr().unwrap()),
            says: Arc::new(Mutex::new(String::new())),
            asked: Arc::default(),
        };
        server.lists(&["Qwen/Qwen3-32B", "bge-m3"]);
        let (says, asked) = (server.says.clone(), server.asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 8192];
                let read = stream.read(&mut head).await.unwrap_or(0);
                asked.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
                let says = says.lock().unwrap().clone();
                let _ = stream.write_all(says.as_bytes()).await;
            }
        });
        server
    }
    fn answers(&self, status: &str, body: &str) {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        *self.says.lock().unwrap() = text;
    }
    fn lists(&self, models: &[&str]) {
        let data: Vec<_> = models.iter().map(|id| serde_json::json!({"id": id, "max_model_len": 32_768})).collect();
        self.answers("200 OK", &serde_json::json!({"object": "list", "data": data}).to_string());
    }
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn new(server: &Server, name: &str) -> NewExternal {
    NewExternal { name: name.into(), address: server.address.clone(), key: KEY.into() }
}

async fn endpoint_until(house: &House, scope: &Scope, what: impl Fn(&Endpoint) -> bool) -> Endpoint {
    until(|| async {
        let now = house.platform.endpoints(scope).get("house-llm").await.unwrap();
        if what(&now) { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await
}

fn offer(there: &str, here: &str) -> Offer {
    Offer { there: there.into(), here: here.into() }
}

async fn a_server_is_asked_for_its_models_and_those_that_are_chosen_answer(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let endpoints = house.platform.endpoints(&scope);
    let made = endpoints.add_external(new(&server, "house-llm")).await.unwrap();
    assert_eq!((made.state, &made.reason), (EndpointState::Wanted, &EndpointReason::NotAskedYet));
    let _controller = house.controller("a");
    let ready = endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    let external = ready.external.unwrap();
    let there: Vec<_> = external.models.iter().map(|m| (m.there.as_str(), m.context, m.here.is_some())).collect();
    assert_eq!(there, [("Qwen/Qwen3-32B", 32_768, false), ("bge-m3", 32_768, false)]);
    assert!(external.checked.is_some_and(|c| c.answered_ms.is_some()));
    let asked = server.asked.lock().unwrap()[0].to_lowercase();
    assert!(asked.starts_with("get /v1/models http/1.1") && asked.contains(&format!("authorization: bearer {KEY}")), "{asked}");
    // Nothing answers until it is chosen.
    let routes = async || house.platform.directory().await.unwrap().tenants[scope.tenant_name()].routes.clone();
    assert!(routes().await.is_empty());

    endpoints.offer("house-llm", offer("Qwen/Qwen3-32B", "house-32b")).await.unwrap();
    let route = routes().await.remove("house-32b").unwrap();
    assert_eq!(
        (route.upstreams.first().map(String::as_str), route.upstream_model.as_str()),
        (server.address.strip_suffix("/v1"), "Qwen/Qwen3-32B")
    );
    assert_eq!(endpoints.served().await.unwrap().model_ids(&endpoints.get("house-llm").await.unwrap()), ["house-32b"]);

    // A name of one's own models is not given away, nor one name twice.
    endpoints.create(NewEndpoint { name: "front".into(), base_model: "world".into(), resources: Default::default() }).await.unwrap();
    for (there, here) in [("bge-m3", "world"), ("bge-m3", "house-32b"), ("bge-m3", "Not A Name"), ("no-such", "other")] {
        let refused = endpoints.offer("house-llm", offer(there, here)).await.unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Invalid, "{there} as {here}: {refused}");
    }
    endpoints.offer("house-llm", offer("Qwen/Qwen3-32B", "")).await.unwrap();
    assert!(!routes().await.contains_key("house-32b"));
    // What a server of ours can do, this one cannot.
    let deploy = Deploy { model: "assistant".into(), number: 1, endpoint: Some("house-llm".into()) };
    assert!(endpoints.deploy(deploy).await.is_err());
}

async fn a_server_that_goes_away_is_degraded_with_its_reason_and_comes_back(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let endpoints = house.platform.endpoints(&scope);
    endpoints.add_external(new(&server, "house-llm")).await.unwrap();
    let _controller = house.controller("a");
    endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    endpoints.offer("house-llm", offer("bge-m3", "house-embed")).await.unwrap();

    for (status, trouble) in [
        ("401 Unauthorized", OutsideTrouble::KeyRefused),
        ("307 Temporary Redirect", OutsideTrouble::Redirects),
        ("503 Service Unavailable", OutsideTrouble::Refuses { status: 503 }),
    ] {
        server.answers(status, "");
        endpoints.check_external("house-llm").await.unwrap();
        let unusable = EndpointReason::Unusable { trouble };
        let away = endpoint_until(&house, &scope, |e| e.state == EndpointState::Degraded && e.reason == unusable).await;
        assert!(away.external.unwrap().checked.is_some_and(|c| c.answered_ms.is_none()));
        let directory = house.platform.directory().await.unwrap();
        let route = &directory.tenants[scope.tenant_name()].routes["house-embed"];
        assert!(route.upstreams.is_empty() && route.reason.as_deref().is_some_and(|why| why.contains("cannot be used now")), "{route:?}");
    }
    // Back, without the model that is offered.
    server.lists(&["Qwen/Qwen3-32B"]);
    endpoints.check_external("house-llm").await.unwrap();
    let back = endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    let external = back.external.unwrap();
    let gone = external.models.iter().find(|m| m.there == "bge-m3").unwrap();
    assert!(gone.gone_since.is_some() && gone.here.is_some());
    let log = endpoints.log("house-llm", 0, 100).await.unwrap();
    assert!(log.iter().any(|l| l.text.contains("refuses the key")) && log.last().unwrap().text == "Answers.", "{log:?}");
    // Somewhere that may not be called.
    let metadata = NewExternal { address: "https://169.254.169.254/latest".into(), ..new(&server, "trap") };
    endpoints.add_external(metadata).await.unwrap();
    let trap = until(|| async {
        let now = house.platform.endpoints(&scope).get("trap").await.unwrap();
        if now.state == EndpointState::Degraded { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert_eq!(trap.reason, EndpointReason::Unusable { trouble: OutsideTrouble::AddressNotAllowed { address: "169.254.169.254".into() } });
}

async fn its_key_is_kept_sealed_and_shown_nowhere(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let endpoints = house.platform.endpoints(&scope);
    let made = endpoints.add_external(new(&server, "house-llm")).await.unwrap();
    assert!(made.external.as_ref().unwrap().has_key);
    let _controller = house.controller("a");
    endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    endpoints.set_external_key("house-llm", "sk-another-4712").await.unwrap();
    until(|| async {
        let asked = server.asked.lock().unwrap().clone();
        if asked.iter().any(|a| a.to_lowercase().contains("bearer sk-another-4712")) { Ok(()) } else { Err(format!("{asked:?}")) }
    })
    .await;
    let shown = serde_json::to_string(&endpoints.get("house-llm").await.unwrap()).unwrap();
    let audit = house.platform.audit(&scope).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    let log = endpoints.log("house-llm", 0, 100).await.unwrap();
    let mut said = format!("{shown}{audit:?}{log:?}{:?}", house.platform.directory().await.unwrap().tenants);
    for file in ["db", "db-wal"] {
        said += &String::from_utf8_lossy(&std::fs::read(house.folder.path().join(file)).unwrap_or_default());
    }
    assert!(said.contains("house-llm") && !said.contains("sk-of-the-house") && !said.contains("sk-another"), "the key is shown");
    // Taken away: called without.
    assert!(!endpoints.set_external_key("house-llm", " ").await.unwrap().external.unwrap().has_key);
    until(|| async {
        let last = server.asked.lock().unwrap().last().cloned().unwrap_or_default();
        if last.to_lowercase().contains("authorization") { Err(last) } else { Ok(()) }
    })
    .await;
    assert!(endpoints.set_external_key("house-llm", "two words").await.is_err());
}

async fn only_owners_add_one_and_other_tenants_see_nothing_of_it(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let engineer = house.caller("ben", &[("lumenta", Role::Engineer)], None).await.scope(&house.platform, "lumenta").await.unwrap();
    let engineers = house.platform.endpoints(&engineer);
    assert_eq!(engineers.add_external(new(&server, "house-llm")).await.unwrap_err().kind, ProblemKind::Forbidden);
    house.platform.endpoints(&scope).add_external(new(&server, "house-llm")).await.unwrap();
    // Stopping is every engineer's, as of any endpoint; key and models are not.
    assert_eq!(engineers.set_external_key("house-llm", "x").await.unwrap_err().kind, ProblemKind::Forbidden);
    assert_eq!(engineers.offer("house-llm", offer("a", "b")).await.unwrap_err().kind, ProblemKind::Forbidden);
    assert_eq!(engineers.check_external("house-llm").await.unwrap_err().kind, ProblemKind::Forbidden);
    let stranger = house.stranger().await;
    let strangers = house.platform.endpoints(&stranger);
    assert_eq!(strangers.get("house-llm").await.unwrap_err().kind, ProblemKind::NotFound);
    assert_eq!(strangers.set_external_key("house-llm", "x").await.unwrap_err().kind, ProblemKind::NotFound);
    assert_eq!(strangers.offer("house-llm", offer("a", "b")).await.unwrap_err().kind, ProblemKind::NotFound);
    assert_eq!(strangers.check_external("house-llm").await.unwrap_err().kind, ProblemKind::NotFound);
    assert!(strangers.list(&Default::default()).await.unwrap().rows.is_empty());
    // What runs here has neither key nor models to choose.
    house
        .platform
        .endpoints(&scope)
        .create(NewEndpoint { name: "front".into(), base_model: "world".into(), resources: Default::default() })
        .await
        .unwrap();
    assert_eq!(house.platform.endpoints(&scope).set_external_key("front", "x").await.unwrap_err().kind, ProblemKind::NotFound);
    for address in ["", "llm.example.org", "file:///etc/passwd", "https://user:pw@llm.example.org"] {
        let wrong = NewExternal { address: address.into(), ..new(&server, "other") };
        let refused = house.platform.endpoints(&scope).add_external(wrong).await.unwrap_err();
        assert_eq!((refused.kind, refused.fields[0].field.as_str()), (ProblemKind::Invalid, "address"), "{address}");
    }
    let full = house.platform.endpoints(&scope).add_external(new(&server, "third")).await.unwrap_err();
    assert_eq!(full.kind, ProblemKind::QuotaExceeded);
}

async fn a_stopped_one_is_not_asked_and_counts_no_more(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let endpoints = house.platform.endpoints(&scope);
    endpoints.add_external(new(&server, "house-llm")).await.unwrap();
    let _controller = house.controller("a");
    endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    endpoints.stop("house-llm").await.unwrap();
    let stopped = endpoint_until(&house, &scope, |e| e.state == EndpointState::Stopped).await;
    assert_eq!(stopped.reason, EndpointReason::Stopped);
    let asked = server.asked();
    endpoints.check_external("house-llm").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(server.asked(), asked, "it was asked although it is stopped");
    endpoints.start("house-llm").await.unwrap();
    endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
}

async fn events(house: &House) -> i64 {
    house.count("SELECT COUNT(*) FROM events WHERE topic = 'endpoint'").await
}

async fn a_look_that_finds_nothing_new_tells_nobody_and_counts_as_time_that_it_was_there(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let endpoints = house.platform.endpoints(&scope);
    endpoints.add_external(new(&server, "house-llm")).await.unwrap();
    let controller = house.controller("a");
    let ready = endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    let checked = |e: &Endpoint| e.external.as_ref().unwrap().checked.unwrap().at;
    drop(controller);
    let (told, asked) = (events(&house).await, server.asked());
    // Its turn comes now, and not in half a minute.
    house.sql("UPDATE endpoints SET retry_at = 1 WHERE name = 'house-llm'".into()).await;
    let _controller = house.controller("b");
    let again = endpoint_until(&house, &scope, |e| checked(e) > checked(&ready)).await;
    assert_eq!((server.asked(), events(&house).await), (asked + 1, told), "asked, and nobody was told");
    let figures = endpoints.figures(&again).await.unwrap();
    assert!(figures.availability.known_ms > 0 && figures.availability.down_ms == 0, "{figures:?}");
    assert_eq!((figures.requests(), figures.first_token_p95), (0, None));

    server.answers("503 Service Unavailable", "");
    house.sql("UPDATE endpoints SET retry_at = 1 WHERE name = 'house-llm'".into()).await;
    endpoints.check_external("house-llm").await.unwrap();
    endpoint_until(&house, &scope, |e| e.state == EndpointState::Degraded).await;
    assert!(events(&house).await > told, "that it is away is told");
    endpoints.check_external("house-llm").await.unwrap();
    until(|| async {
        let figures = endpoints.figures(&again).await.unwrap();
        if figures.availability.down_ms > 0 { Ok(()) } else { Err(format!("{figures:?}")) }
    })
    .await;
}

async fn a_removed_one_is_gone_from_the_gateway_at_once_and_what_was_counted_stays(house: House) {
    let (scope, server) = (house.owner().await, Server::start().await);
    let endpoints = house.platform.endpoints(&scope);
    let made = endpoints.add_external(new(&server, "house-llm")).await.unwrap();
    let _controller = house.controller("a");
    endpoint_until(&house, &scope, |e| e.state == EndpointState::Ready).await;
    endpoints.offer("house-llm", offer("bge-m3", "house-embed")).await.unwrap();
    let call = |first_token_ms, status| Call {
        id: CallId::from_uuid(uuid::Uuid::now_v7()),
        tenant: scope.tenant_name().clone(),
        at: house.platform.now(),
        key: None,
        person: Some(scope.person().id),
        endpoint: Some(made.id),
        model: "house-embed".into(),
        model_version: None,
        route: "chat/completions".into(),
        stream: true,
        status,
        error: None,
        prompt_tokens: 3,
        completion_tokens: 4,
        estimated: false,
        first_token_ms,
        duration_ms: 900,
        finish_reason: None,
        request_id: String::new(),
    };
    let calls = [vec![call(Some(100), 200); 19], vec![call(Some(5_000), 200), call(Some(9_000), 500), call(None, 200)]].concat();
    let other = Call { model: "house-32b".into(), ..call(Some(100), 200) };
    let calls = calls.into_iter().chain([other]);
    let calls: Vec<Call> = calls.map(|c| Call { id: CallId::from_uuid(uuid::Uuid::now_v7()), ..c }).collect();
    house.platform.record_calls(calls).await.unwrap();
    let figures = endpoints.figures(&made).await.unwrap();
    assert_eq!((figures.requests(), figures.failed()), (23, 1));
    let by_model: Vec<_> = figures.by_model.iter().map(|m| (m.model.as_str(), m.requests, m.failed)).collect();
    assert_eq!(by_model, [("house-32b", 1, 0), ("house-embed", 22, 1)]);
    assert!((100..=110).contains(&figures.first_token_p95.unwrap()), "20 of 21 were that quick: {figures:?}");
    house.platform.rebuild_usage(&platform::access::PlatformScope::command_line()).await.unwrap();
    assert_eq!(endpoints.figures(&made).await.unwrap(), figures, "rebuilt from the calls, it is the same");

    let engineer = house.caller("ben", &[("lumenta", Role::Engineer)], None).await.scope(&house.platform, "lumenta").await.unwrap();
    assert_eq!(house.platform.endpoints(&engineer).remove("house-llm").await.unwrap_err().kind, ProblemKind::Forbidden);
    let stranger = house.stranger().await;
    assert_eq!(house.platform.endpoints(&stranger).remove("house-llm").await.unwrap_err().kind, ProblemKind::NotFound);
    endpoints.remove("house-llm").await.unwrap();
    assert!(house.platform.directory().await.unwrap().tenants[scope.tenant_name()].routes.is_empty());
    assert_eq!(endpoints.get("house-llm").await.unwrap_err().kind, ProblemKind::NotFound);
    assert_eq!(endpoints.remove("house-llm").await.unwrap_err().kind, ProblemKind::NotFound);
    let asked = server.asked();
    let records = house.platform.audit(&scope).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
    let last = &records.rows[0].entry;
    assert_eq!((last.object_name.as_str(), last.detail.said().as_str()), ("house-llm", "remove"));
    assert_eq!(house.count("SELECT COUNT(*) FROM calls WHERE model = 'house-embed'").await, 22);
    // Its name is free again, and it is asked no more.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(server.asked(), asked);
    endpoints.add_external(new(&server, "house-llm")).await.unwrap();
}

async fn an_endpoint_of_ours_is_removed_when_it_has_stopped(house: House) {
    let scope = house.owner().await;
    let endpoints = house.platform.endpoints(&scope);
    endpoints.create(NewEndpoint { name: "front".into(), base_model: "world".into(), resources: Default::default() }).await.unwrap();
    assert_eq!(endpoints.remove("front").await.unwrap_err().kind, ProblemKind::Conflict, "it is wanted");
    let _controller = house.controller("a");
    let until_it_is = async |state| {
        until(|| async {
            let now = endpoints.get("front").await.unwrap();
            if now.state == state { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await
    };
    until_it_is(EndpointState::Ready).await;
    assert_eq!(endpoints.remove("front").await.unwrap_err().kind, ProblemKind::Conflict, "it runs");
    endpoints.stop("front").await.unwrap();
    until_it_is(EndpointState::Stopped).await;
    endpoints.remove("front").await.unwrap();
    assert_eq!(endpoints.get("front").await.unwrap_err().kind, ProblemKind::NotFound);
    assert!(endpoints.list(&Default::default()).await.unwrap().rows.is_empty());
}

async fn an_endpoint_that_is_removed_at_once_leaves_nothing_of_its_server_behind(house: House) {
    let scope = house.owner().await;
    let endpoints = house.platform.endpoints(&scope);
    let _controller = house.controller("a");
    let folders = || {
        let tasks = std::fs::read_dir(house.folder.path().join("tasks")).unwrap().flatten();
        tasks.map(|task| task.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with("ep-")).collect::<Vec<_>>()
    };
    for ends in [EndpointState::Stopped, EndpointState::Failed] {
        if ends == EndpointState::Failed {
            std::fs::write(house.control_file("crash"), "").unwrap();
        }
        endpoints.create(NewEndpoint { name: "front".into(), base_model: "world".into(), resources: Default::default() }).await.unwrap();
        until(|| async {
            let now = endpoints.get("front").await.unwrap();
            if now.state == EndpointState::Ready {
                endpoints.stop("front").await.unwrap();
            }
            if now.state == ends { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        endpoints.remove("front").await.unwrap();
        until(|| async { if folders().is_empty() { Ok(()) } else { Err(format!("{ends:?}: {:?}", folders())) } }).await;
    }
}
