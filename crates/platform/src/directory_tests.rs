//! Which route answers to which name.

use super::*;
use crate::store::DirectoryKey;
use domain::{
    external::External,
    ids::{EndpointId, KeyId, ModelVersionId, PersonId},
    key::Limits,
    model_server::ModelServer,
    name::Name,
    replica::{Replica, ReplicaState},
    time::Timestamp,
};
use uuid::Uuid;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
fn version(n: u128) -> ModelVersionId {
    ModelVersionId::from_uuid(Uuid::from_u128(n))
}
fn id(n: u128) -> EndpointId {
    EndpointId::from_uuid(Uuid::from_u128(n))
}

fn endpoint(n: u128, state: EndpointState) -> DirectoryEndpoint {
    let addresses = vec![format!("http://127.0.0.1:{n}")];
    let created_at = Timestamp(n as i64);
    DirectoryEndpoint {
        tenant: name("acme"),
        id: id(n),
        name: name(&format!("ep{n}")),
        state,
        reason: EndpointReason::Told { text: "it is broken".into() },
        addresses,
        replicas: Vec::new(),
        model_server: ModelServer::Vllm,
        external: None,
        sealed_key: None,
        base_model: Some("base".into()),
        context: 512,
        merged: None,
        created_at,
        settings: Default::default(),
    }
}

fn attached(endpoint: u128, model: &str, number: i64, state: AdapterState) -> DirectoryAttachment {
    DirectoryAttachment {
        tenant: name("acme"),
        endpoint: id(endpoint),
        version: version(number as u128),
        model: model.into(),
        number,
        state,
        reason: Some(AdapterReason::Told { text: "bad rank".into() }),
        attached_at: Timestamp(number),
    }
}

fn routes(endpoints: Vec<DirectoryEndpoint>, attachments: Vec<DirectoryAttachment>) -> HashMap<String, Route> {
    let tenants = vec![(name("acme"), TenantState::Active, Default::default())];
    let rows = DirectoryRows { revision: 7, tenants, members: vec![], passes_from: vec![], keys: vec![], endpoints, attachments };
    let directory = assemble(rows, [1; 32], &TokenKey::new([7; 32]));
    assert_eq!(directory.revision, 7);
    directory.tenants[&name("acme")].routes.clone()
}

#[test]
fn a_ready_endpoint_answers_for_its_base_and_each_adapter() {
    let r = routes(vec![endpoint(1, EndpointState::Ready)], vec![attached(1, "facts", 3, AdapterState::Ready)]);
    let mut names: Vec<_> = r.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["base", "facts", "facts@v3"]);
    assert_eq!(
        (r["base"].upstreams.join(" "), r["base"].upstream_model.as_str(), r["base"].parent.as_deref()),
        ("http://127.0.0.1:1".to_owned(), "base", None)
    );
    let facts = &r["facts"];
    assert_eq!(
        (facts.upstream_model.clone(), facts.model_version, facts.parent.as_deref()),
        (version(3).to_string(), Some(version(3)), Some("base"))
    );
    assert_eq!(&r["facts@v3"], facts);
    assert_eq!((facts.context, r["base"].context), (512, 512), "prompt and answer are bounded by the context of the base");
}

#[test]
fn the_newest_version_that_answers_has_the_name_and_each_can_be_pinned() {
    let ready = || vec![endpoint(1, EndpointState::Ready)];
    let three = |newest| {
        vec![attached(1, "facts", 2, AdapterState::Ready), attached(1, "facts", 3, newest), attached(1, "facts", 1, AdapterState::Ready)]
    };
    let r = routes(ready(), three(AdapterState::Ready));
    assert_eq!(
        (r["facts"].model_version, r["facts@v1"].model_version, r["facts@v2"].model_version),
        (Some(version(3)), Some(version(1)), Some(version(2)))
    );
    for not_yet in [AdapterState::Loading, AdapterState::Failed] {
        let r = routes(ready(), three(not_yet));
        assert_eq!(r["facts"].model_version, Some(version(2)), "{not_yet:?}");
        assert!(r["facts@v3"].upstreams.is_empty());
    }
    let alone = routes(ready(), vec![attached(1, "facts", 3, AdapterState::Failed)]);
    assert_eq!(alone["facts"].reason.as_deref(), Some("The model “facts” v3 could not be loaded: bad rank"));
}

#[test]
fn what_does_not_answer_says_why() {
    for (state, says) in [
        (EndpointState::Starting, "is starting"),
        (EndpointState::Wanted, "is starting"),
        (EndpointState::Degraded, "being restarted"),
        (EndpointState::Stopped, "is stopped"),
        (EndpointState::Failed, "failed: it is broken"),
    ] {
        // One whose server is gone has no address any more.
        let addresses = if state == EndpointState::Degraded { Vec::new() } else { endpoint(1, state).addresses };
        let silent = DirectoryEndpoint { addresses, ..endpoint(1, state) };
        let r = routes(vec![silent], vec![attached(1, "facts", 1, AdapterState::Ready)]);
        for route in [&r["base"], &r["facts"]] {
            assert_eq!(route.upstreams, Vec::<String>::new(), "{state:?}");
            assert!(route.reason.as_deref().is_some_and(|why| why.contains(says)), "{state:?} {:?}", route.reason);
        }
    }
}

#[test]
fn while_some_replicas_are_missing_the_others_answer_and_an_adapter_where_it_is_loaded() {
    let (a, b) = ("http://a:8000".to_owned(), "http://b:8000".to_owned());
    let replica = |address: &String, adapters: &[String]| Replica {
        name: address.clone(),
        state: ReplicaState::Ready,
        node: String::new(),
        since: None,
        restarts: 0,
        outdated: false,
        address: Some(address.clone()),
        adapters: adapters.to_vec(),
    };
    let degraded = |replicas: Vec<Replica>| {
        let e = DirectoryEndpoint { addresses: vec![a.clone(), b.clone()], replicas, ..endpoint(1, EndpointState::Degraded) };
        routes(vec![e], vec![attached(1, "facts", 3, AdapterState::Ready)])
    };
    let loaded = [version(3).to_string()];
    let r = degraded(vec![replica(&a, &[]), replica(&b, &loaded)]);
    assert_eq!((r["base"].upstreams.as_slice(), r["facts"].upstreams.as_slice()), (&[a.clone(), b.clone()][..], &[b.clone()][..]));
    let r = degraded(vec![replica(&a, &[]), replica(&b, &[])]);
    assert!(r["facts"].upstreams.is_empty() && r["facts"].reason.as_deref().is_some_and(|why| why.contains("is being loaded")));
    assert_eq!(degraded(Vec::new())["facts"].upstreams.len(), 2, "noted by a version that knew no replicas");
}

#[test]
fn of_two_endpoints_of_one_base_the_one_that_answers_is_taken() {
    let r = routes(vec![endpoint(1, EndpointState::Ready), endpoint(2, EndpointState::Stopped)], vec![]);
    assert_eq!(r["base"].endpoint, id(1));
}

#[test]
fn full_weights_answer_to_the_models_name_and_not_for_the_base() {
    let merged = DirectoryEndpoint { merged: Some((version(4), "whole".into(), 2)), ..endpoint(1, EndpointState::Ready) };
    let r = routes(vec![merged], vec![]);
    assert_eq!(
        (r["whole"].upstream_model.clone(), r["whole@v2"].model_version, r.contains_key("base")),
        (version(4).to_string(), Some(version(4)), false)
    );
}

#[test]
fn an_adapter_that_loads_does_not_take_the_name_from_full_weights_that_answer() {
    let merged = || DirectoryEndpoint { merged: Some((version(4), "whole".into(), 2)), ..endpoint(1, EndpointState::Ready) };
    let r = routes(vec![merged(), endpoint(2, EndpointState::Ready)], vec![attached(2, "whole", 9, AdapterState::Loading)]);
    assert_eq!((r["whole"].model_version, r["whole@v9"].model_version), (Some(version(4)), Some(version(9))));
    let r = routes(vec![merged(), endpoint(2, EndpointState::Ready)], vec![attached(2, "whole", 9, AdapterState::Ready)]);
    assert_eq!((r["whole"].model_version, r["whole@v2"].model_version), (Some(version(9)), Some(version(4))));
}

#[test]
fn a_model_called_like_a_base_model_does_not_hide_it() {
    let r = routes(vec![endpoint(1, EndpointState::Ready)], vec![attached(1, "base", 1, AdapterState::Ready)]);
    assert_eq!((r["base"].model_version, r["base@v1"].model_version), (None, Some(version(1))));
}

#[test]
fn a_leavers_keys_stop_and_a_service_key_outlives_whoever_answers_for_it() {
    let person = |n| PersonId::from_uuid(Uuid::from_u128(n));
    let key = |n: u8| DirectoryKey {
        tenant: name("acme"),
        id: KeyId::from_uuid(Uuid::from_u128(n.into())),
        digest: hex::encode([n; 32]),
        owner: person(n.into()),
        service: false,
        models: None,
        limits: Limits::default(),
        expires_at: None,
        revoked: false,
    };
    let rows = DirectoryRows {
        revision: 1,
        tenants: vec![(name("acme"), TenantState::Active, Default::default())],
        members: vec![(name("acme"), person(1), Timestamp(5))],
        passes_from: vec![],
        keys: vec![key(1), key(2), DirectoryKey { service: true, ..key(3) }],
        endpoints: vec![],
        attachments: vec![],
    };
    let directory = assemble(rows, [1; 32], &TokenKey::new([7; 32]));
    let revoked = [1, 2, 3].map(|n| directory.keys[&[n; 32]].revoked);
    assert_eq!(revoked, [false, true, false]);
    assert_eq!(directory.keys[&[1; 32]].confirmed_until, Some(Timestamp(5 + 30 * DAY)));
    assert!(directory.keys[&[3; 32]].is_service());
}

fn offers(n: u128, state: EndpointState, models: &[(&str, &str)], sealed_key: Option<String>) -> DirectoryEndpoint {
    let offered =
        |(there, here): &(&str, &str)| ExternalModel { there: (*there).into(), here: Some(name(here)), context: 32_768, gone_since: None };
    let external = External { has_key: sealed_key.is_some(), models: models.iter().map(offered).collect(), ..External::default() };
    DirectoryEndpoint { model_server: ModelServer::External, external: Some(external), sealed_key, base_model: None, ..endpoint(n, state) }
}

#[test]
fn what_somebody_elses_server_offers_answers_to_its_name_here_with_its_key() {
    let sealed = TokenKey::new([7; 32]).seal(&format!("key of external endpoint {}", id(9)), "sk-house");
    let r = routes(vec![offers(9, EndpointState::Ready, &[("Qwen/Qwen3-32B", "house-32b")], Some(sealed.clone()))], vec![]);
    let route = &r["house-32b"];
    assert_eq!((route.upstream_model.as_str(), route.context, route.model_version), ("Qwen/Qwen3-32B", 32_768, None));
    assert_eq!(route.upstream_key.as_ref().map(UpstreamKey::reveal), Some("sk-house"));
    assert!(!route.upstreams.is_empty() && !format!("{route:?}").contains("sk-house"), "{route:?}");
    assert_eq!(r.len(), 1, "no base model, and nothing that was not chosen");
    // Sealed for another endpoint, or with another key of the portal: it is not called without its key.
    let r = routes(vec![offers(8, EndpointState::Ready, &[("Qwen/Qwen3-32B", "house-32b")], Some(sealed))], vec![]);
    assert!(r["house-32b"].upstreams.is_empty() && r["house-32b"].upstream_key.is_none());
    assert!(r["house-32b"].reason.as_deref().is_some_and(|why| why.contains("Enter the key again")), "{:?}", r["house-32b"].reason);
}

#[test]
fn what_somebody_elses_server_offers_hides_nothing_of_ours() {
    let external = offers(9, EndpointState::Ready, &[("a", "base"), ("b", "facts"), ("c", "own")], None);
    let r = routes(vec![endpoint(1, EndpointState::Ready), external], vec![attached(1, "facts", 1, AdapterState::Ready)]);
    assert_eq!([&r["base"], &r["facts"], &r["own"]].map(|r| r.endpoint), [id(1), id(1), id(9)]);
}

#[test]
fn a_model_that_is_gone_at_its_server_and_a_server_that_is_away_say_so() {
    let mut gone = offers(9, EndpointState::Ready, &[("a", "house-a"), ("b", "house-b")], None);
    gone.external.as_mut().unwrap().models[0].gone_since = Some(Timestamp(5));
    let r = routes(vec![gone], vec![]);
    assert!(r["house-a"].upstreams.is_empty() && !r["house-b"].upstreams.is_empty());
    assert!(r["house-a"].reason.as_deref().is_some_and(|why| why.contains("any more")));
    let away = DirectoryEndpoint {
        reason: EndpointReason::Unusable { trouble: OutsideTrouble::NoConnection },
        ..offers(9, EndpointState::Degraded, &[("a", "house-a")], None)
    };
    let r = routes(vec![away], vec![]);
    assert!(r["house-a"].upstreams.is_empty());
    assert!(r["house-a"].reason.as_deref().is_some_and(|why| why.contains("refuses connections")), "{:?}", r["house-a"].reason);
}
