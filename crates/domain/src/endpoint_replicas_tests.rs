use super::*;
use crate::{
    endpoint::{Attachment, ServedBase},
    ids::{BaseModelId, EndpointId, PersonId},
    model_server::ModelServer,
    reason::task::End,
    serving::ServingSettings,
};
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn version() -> ModelVersionId {
    ModelVersionId::from_uuid(Uuid::from_u128(7))
}

/// Of two replicas, with one adapter.
fn endpoint(state: EndpointState) -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::from_u128(1)),
        tenant: "acme".parse().unwrap(),
        name: "front".parse().unwrap(),
        state,
        reason: EndpointReason::Starting,
        model_server: ModelServer::Vllm,
        base: Some(ServedBase { id: BaseModelId::from_uuid(Uuid::from_u128(2)), name: "tiny".parse().unwrap() }),
        external: None,
        merged_version: None,
        revision: 1,
        attachments: vec![Attachment {
            version: version(),
            model_name: "helpdesk".parse().unwrap(),
            number: 1,
            state: AdapterState::Ready,
            reason: None,
            attached_at: NOW,
        }],
        addresses: Vec::new(),
        replicas: Vec::new(),
        restarts: 0,
        created_by: PersonId::from_uuid(Uuid::from_u128(3)),
        created_by_name: "Mira".into(),
        created_at: NOW,
        ready_at: None,
        settings: ServingSettings { replicas: 2, ..ServingSettings::default() },
    }
}

fn replica(name: &str, state: ReplicaState) -> Replica {
    Replica {
        name: format!("ep-1-6d9f-{name}"),
        state,
        node: "gpu-1".into(),
        since: None,
        restarts: 0,
        outdated: false,
        address: Some(format!("http://{name}:8000")),
        adapters: Vec::new(),
    }
}

fn told(looked: &Looked) -> Vec<&str> {
    looked.told.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn an_endpoint_with_fewer_ready_replicas_than_wanted_is_degraded_and_says_how_many_answer() {
    let mut e = endpoint(EndpointState::Starting);
    let loading = || replica("b", ReplicaState::Loading);
    e.look(vec![replica("a", ReplicaState::Loading), loading()], true, NOW);
    assert_eq!((e.state, e.addresses.len()), (EndpointState::Starting, 0), "none has answered");
    assert!(!e.answers());
    e.look(vec![replica("a", ReplicaState::Ready), loading()], true, NOW);
    assert_eq!((e.state, e.addresses.as_slice()), (EndpointState::Degraded, &["http://a:8000".to_owned()][..]));
    assert!(e.answers() && e.has_server() && e.reason.said().starts_with("1 of 2 replicas answer"), "{}", e.reason.said());
    e.look(vec![replica("a", ReplicaState::Ready), replica("b", ReplicaState::Ready)], true, NOW);
    assert_eq!((e.state, &e.reason, e.addresses.len()), (EndpointState::Ready, &EndpointReason::Answers, 2));
    let cause = PendingCause::Quota { what: "gpus".into(), short: Vec::new(), holders: Vec::new() };
    e.look(vec![replica("a", ReplicaState::Draining), replica("b", ReplicaState::Waiting { cause: cause.clone() })], true, NOW);
    assert_eq!(e.reason, EndpointReason::ReplicasMissing { ready: 0, wanted: 2, cause: Some(cause) });
    assert!(!e.answers());
    assert!(e.state == EndpointState::Degraded && e.addresses.is_empty() && e.has_server(), "its server is there, and is not started anew");
}

#[test]
fn one_replica_more_than_wanted_is_no_fault_and_what_is_left_of_a_change_is_counted() {
    let mut e = endpoint(EndpointState::Ready);
    let old = |name: &str, state| Replica { outdated: true, ..replica(name, state) };
    e.look(vec![old("a", ReplicaState::Ready), old("b", ReplicaState::Ready), replica("c", ReplicaState::Loading)], true, NOW);
    assert_eq!((e.state, e.updating()), (EndpointState::Ready, Some((0, 2))));
    e.look(vec![old("b", ReplicaState::Ready), replica("c", ReplicaState::Ready), replica("d", ReplicaState::Ready)], true, NOW);
    assert_eq!((e.state, e.updating(), e.addresses.len()), (EndpointState::Ready, Some((2, 2)), 3));
    e.look(vec![replica("c", ReplicaState::Ready), replica("d", ReplicaState::Ready)], true, NOW);
    assert_eq!(e.updating(), None);
}

#[test]
fn a_server_whose_readiness_says_little_is_believed_by_its_word() {
    let mut e = endpoint(EndpointState::Starting);
    let looked = e.look(vec![replica("a", ReplicaState::Ready)], false, NOW);
    assert_eq!(
        (e.state, e.addresses.len(), looked.told.len()),
        (EndpointState::Starting, 0, 0),
        "it listens, and has not said that it answers"
    );
    e.state = EndpointState::Ready;
    e.look(vec![replica("a", ReplicaState::Ready)], false, NOW);
    assert_eq!(e.addresses.len(), 1);
}

#[test]
fn what_happens_to_replicas_is_told_in_a_sentence_each() {
    let mut e = endpoint(EndpointState::Starting);
    let looked = e.look(vec![replica("a", ReplicaState::Loading), replica("b", ReplicaState::Ready)], true, NOW);
    assert_eq!(told(&looked), ["Replica a loads the model on gpu-1.", "Replica b on gpu-1 takes calls."]);
    let again = e.look(vec![replica("a", ReplicaState::Loading), replica("b", ReplicaState::Ready)], true, NOW);
    assert_eq!(again, Looked::default(), "nothing has changed");
    let failed = replica("a", ReplicaState::Failed { end: End::OutOfMemory });
    let looked = e.look(vec![failed, replica("b", ReplicaState::Draining)], true, NOW);
    let wanted = [
        "Replica a on gpu-1 failed: it reached its memory limit. It is started again.",
        "Replica b takes no new calls; it ends when those under way are answered.",
    ];
    assert_eq!(told(&looked), wanted);
    let restarted = Replica { restarts: 1, ..replica("a", ReplicaState::Loading) };
    let looked = e.look(vec![restarted.clone()], true, NOW);
    assert_eq!(told(&looked), ["Replica a loads the model on gpu-1.", "Replica b has ended."]);
    let looked = e.look(vec![Replica { restarts: 2, ..restarted }], true, NOW);
    assert_eq!(told(&looked), ["Replica a ended and was started again."], "nobody saw it in between");
    let short = |holder: &str| ReplicaState::Waiting {
        cause: PendingCause::Quota { what: "gpus".into(), short: Vec::new(), holders: vec![holder.into()] },
    };
    assert_eq!(e.look(vec![replica("c", short("the run facts-1"))], true, NOW).told.len(), 2, "a is gone, c waits");
    assert!(e.look(vec![replica("c", short("the run facts-2"))], true, NOW).told.is_empty(), "c still waits for the same");
}

#[test]
fn an_adapter_is_where_a_replica_said_that_it_loaded_it_and_nowhere_once_that_is_gone() {
    let mut e = endpoint(EndpointState::Ready);
    // What a version that knew no replicas has noted stays true.
    assert_eq!(e.look(vec![replica("a", ReplicaState::Ready)], true, NOW).unloaded, []);
    assert!(e.replicas[0].has_loaded(version()));
    let both = vec![replica("a", ReplicaState::Ready), replica("b", ReplicaState::Ready)];
    assert_eq!(e.look(both, true, NOW).unloaded, []);
    assert!(e.replicas[0].has_loaded(version()) && !e.replicas[1].has_loaded(version()), "the new one has to say it");
    let restarted = Replica { restarts: 1, ..replica("a", ReplicaState::Loading) };
    let looked = e.look(vec![restarted, replica("b", ReplicaState::Ready)], true, NOW);
    assert_eq!((looked.unloaded, e.attachments[0].state), (vec![version()], AdapterState::Loading));
}

#[test]
fn the_json_of_a_replica_holds_no_address() {
    let replica = replica("a", ReplicaState::Failed { end: End::Exited { status: 3 } });
    let json = serde_json::to_string(&replica).unwrap();
    assert!(!json.contains("http"), "{json}");
    assert_eq!(serde_json::from_str::<Replica>(&json).unwrap(), Replica { address: None, ..replica });
}
