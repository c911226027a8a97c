//! Why a task does not run yet, from conditions, container states and events of the real cluster.

use super::{
    super::pod::{GPU_PRODUCT, is_gpu},
    quota,
    requests::{amount_of, requests},
};
use crate::{Amount, PendingCause};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ContainerStateWaiting, ContainerStatus, Event, Node, Pod},
    },
    jiff::Timestamp,
};

/// What is around a task that waits.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Milliseconds since 1970; `None` = no time has passed.
    pub now: Option<i64>,
    /// Of its pod, or of its Job where it has none; oldest first.
    pub events: Vec<Event>,
    /// All of the cluster; empty where we may not see them.
    pub nodes: Vec<Node>,
    /// What the queue says in which it waits.
    pub queued: Option<PendingCause>,
}

impl Circumstances {
    /// Of a task of which no more than its objects was looked at.
    pub fn of_now() -> Self {
        Self { now: Some(Timestamp::now().as_millisecond()), ..Self::default() }
    }
}

pub fn cause(pod: Option<&Pod>, circumstances: &Circumstances) -> PendingCause {
    let events = &circumstances.events;
    let Some(pod) = pod else {
        let refused = events.iter().rev().find(|e| e.reason.as_deref() == Some("FailedCreate"));
        return refused.map_or(PendingCause::Starting, |e| refusal(e.message.as_deref().unwrap_or_default()));
    };
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let unscheduled = conditions.into_iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(unscheduled) = unscheduled {
        return unschedulable(pod, unscheduled.message.as_deref().unwrap_or_default(), &circumstances.nodes);
    }
    if let Some((container, waiting)) = waiting_containers(pod).find(|(_, w)| trouble(w)) {
        return in_trouble(container, waiting);
    }
    let mount = events.iter().rev().find(|e| matches!(e.reason.as_deref(), Some("FailedMount" | "FailedAttachVolume")));
    match mount {
        Some(event) => volume(event.message.as_deref().unwrap_or_default()),
        None => PendingCause::Starting,
    }
}

/// Its pods are made by a ReplicaSet, and refusals end up here.
pub fn of_deployment(server: &Deployment) -> Option<PendingCause> {
    let conditions = server.status.as_ref()?.conditions.as_ref()?;
    let refused = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(refusal(refused.message.as_deref().unwrap_or_default()))
}

/// Why the API server refuses a pod.
fn refusal(message: &str) -> PendingCause {
    // The quota is new, and nobody has counted yet.
    if message.contains("status unknown for quota") {
        return PendingCause::Starting;
    }
    quota::exceeded(message).unwrap_or_else(|| {
        // What follows the pod's name is the reason.
        PendingCause::Admission { why: sentence(message.split_once(" is forbidden: ").map_or(message, |(_, why)| why)) }
    })
}

fn waiting_containers(pod: &Pod) -> impl Iterator<Item = (&ContainerStatus, &ContainerStateWaiting)> {
    let status = pod.status.as_ref();
    let first = status.and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten();
    let then = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
    first.chain(then).filter_map(|c| Some((c, c.state.as_ref()?.waiting.as_ref()?)))
}

fn trouble(waiting: &ContainerStateWaiting) -> bool {
    !matches!(waiting.reason.as_deref(), None | Some("ContainerCreating" | "PodInitializing"))
}

fn in_trouble(container: &ContainerStatus, waiting: &ContainerStateWaiting) -> PendingCause {
    let said = waiting.message.clone().unwrap_or_default();
    let reason = waiting.reason.clone().unwrap_or_default();
    let why = sentence(if said.is_empty() { &reason } else { &said });
    match reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" | "RegistryUnavailable" => {
            PendingCause::Image { image: container.image.clone(), why }
        }
        _ => PendingCause::Admission { why },
    }
}

/// `MountVolume.SetUp failed for volume "secrets" : references non-existent secret key`
fn volume(message: &str) -> PendingCause {
    let secret = message.split_once("secret \"").and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
    if let Some(name) = secret.filter(|_| message.contains("not found")) {
        let name = name.rsplit('/').next().unwrap_or(name);
        return PendingCause::Secret { secret: name.strip_prefix("atelier-").unwrap_or(name).to_owned() };
    }
    let volume = message.split_once("volume \"").and_then(|(_, rest)| rest.split_once('"')).map_or("?", |(name, _)| name);
    PendingCause::Volume { volume: volume.to_owned(), why: sentence(message) }
}

/// The scheduler found no node. Whether one could ever do is seen from the nodes; what is in use now, it says itself:
/// `0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint {...}. preemption: ...`
fn unschedulable(pod: &Pod, message: &str, nodes: &[Node]) -> PendingCause {
    let needs = requests(pod);
    let products = wanted_products(pod);
    let fitting: Vec<&Node> = nodes.iter().filter(|n| products.is_empty() || product(n).is_some_and(|p| products.contains(&p))).collect();
    let named = products.first().map(|p| (*p).to_owned());
    let amount = |name: &str, n: u64| match name {
        "cpu" => Some(Amount::Cpu { milli: n }),
        "memory" => Some(Amount::Memory { bytes: n }),
        "ephemeral-storage" => Some(Amount::EphemeralDisk { bytes: n }),
        gpu if is_gpu(gpu) => Some(Amount::Gpus { count: u32::try_from(n).unwrap_or(u32::MAX), product: named.clone() }),
        _ => None,
    };
    if !nodes.is_empty() {
        // The GPU first: of a product that nobody has, no other number matters.
        let gpus = needs.keys().map(String::as_str).filter(|name| is_gpu(name));
        for name in gpus.chain(["memory", "cpu", "ephemeral-storage"]) {
            let Some(wanted) = needs.get(name).copied().filter(|n| *n > 0) else { continue };
            let most = fitting.iter().filter_map(|n| amount_of(name, n.status.as_ref()?.allocatable.as_ref()?)).max().unwrap_or(0);
            if most < wanted
                && let (Some(needs), Some(has)) = (amount(name, wanted), amount(name, most))
            {
                return PendingCause::NoNodeFits { needs, has };
            }
        }
    }
    let insufficient = message.split("Insufficient ").nth(1).map(|rest| rest.split([',', ' ']).next().unwrap_or_default());
    let short = insufficient.map(|name| name.trim_end_matches('.'));
    match short.and_then(|name| amount(name, needs.get(name).copied()?)) {
        Some(needs) => PendingCause::Busy { needs },
        // It has not been looked at yet.
        None if message.is_empty() => PendingCause::Starting,
        None => PendingCause::Unschedulable { why: sentence(message.split(" preemption:").next().unwrap_or(message)) },
    }
}

/// The GPU products of which one must be on the node.
fn wanted_products(pod: &Pod) -> Vec<&str> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()?.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.into_iter().flat_map(|r| &r.node_selector_terms).flat_map(|t| t.match_expressions.iter().flatten());
    terms.filter(|e| e.key == GPU_PRODUCT).flat_map(|e| e.values.iter().flatten()).map(String::as_str).collect()
}

pub fn product(node: &Node) -> Option<&str> {
    node.metadata.labels.as_ref()?.get(GPU_PRODUCT).map(String::as_str)
}

/// In the middle of our own sentence: no period at the end, not without end, on one line.
pub(super) fn sentence(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').chars().take(400).collect()
}
