//! A quota that leaves no room: what it says of itself, and which of the tenant's tasks have what is short.

use super::{
    super::{names::TASK, pod::GPU, quantity},
    requests::requests,
};
use crate::{Amount, Observation, PendingCause, ReplicaState, Shortage, TaskState};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;

/// NVIDIA's slices: `nvidia.com/mig-1g.10gb`.
const MIG: &str = "nvidia.com/mig-";

/// `pods "x" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=2, limited: ...`
pub fn exceeded(message: &str) -> Option<PendingCause> {
    let (_, rest) = message.split_once("exceeded quota:")?;
    let (_, rest) = rest.split_once("requested:")?;
    let (requested, rest) = rest.split_once(", used:").unwrap_or((rest, ""));
    let (used, limited) = rest.split_once(", limited:").unwrap_or((rest, ""));
    let (used, limited) = (amounts(used), amounts(limited));
    let (mut words, mut short) = (Vec::new(), Vec::new());
    for (name, needs) in amounts(requested) {
        words.push(word(name));
        let of = |all: &[(&str, &str)]| all.iter().find(|(n, _)| *n == name).and_then(|(_, text)| amount(name, text));
        // Requests and limits of one resource say the same.
        if let (Some(needs), Some(used), Some(most)) = (amount(name, needs), of(&used), of(&limited))
            && !short.iter().any(|s: &Shortage| s.needs == needs)
        {
            short.push(Shortage { needs, used, most });
        }
    }
    words.dedup();
    Some(PendingCause::Quota { what: words.join(", "), short, holders: Vec::new() })
}

/// `requests.cpu=1,requests.memory=8Gi`
fn amounts(text: &str) -> Vec<(&str, &str)> {
    text.split(',').filter_map(|one| one.trim().split_once('=')).collect()
}

fn bare(name: &str) -> &str {
    name.trim_start_matches("requests.").trim_start_matches("limits.")
}

/// A resource of a quota, as people call it.
fn word(name: &str) -> String {
    match bare(name) {
        GPU => "gpus".into(),
        "ephemeral-storage" => "disk".into(),
        other => match other.strip_prefix(MIG) {
            Some(profile) => format!("MIG {profile}"),
            None => other.trim_start_matches("count/").split('.').next().unwrap_or(other).to_owned(),
        },
    }
}

/// Of this resource of a quota.
pub(super) fn amount(name: &str, text: &str) -> Option<Amount> {
    let whole = || quantity::whole(text);
    let gpus = |product| Some(Amount::Gpus { count: u32::try_from(whole()?).ok()?, product });
    match bare(name) {
        "cpu" => quantity::milli(text).map(|milli| Amount::Cpu { milli }),
        "memory" => whole().map(|bytes| Amount::Memory { bytes }),
        "ephemeral-storage" => whole().map(|bytes| Amount::EphemeralDisk { bytes }),
        GPU => gpus(None),
        other => gpus(Some(format!("MIG {}", other.strip_prefix(MIG)?))),
    }
}

/// Whether it, or a replica of it, waits for a quota.
pub fn is_short(seen: &Observation) -> bool {
    let of = |cause: &PendingCause| matches!(cause, PendingCause::Quota { .. });
    matches!(&seen.state, TaskState::Pending(cause) if of(cause))
        || seen.replicas.iter().any(|r| matches!(&r.state, ReplicaState::Waiting { cause } if of(cause)))
}

/// The same, with the tasks that have what it and its replicas wait for; `pods`: all of the tenant.
pub fn holders_in(mut seen: Observation, pods: &[Pod]) -> Observation {
    if let TaskState::Pending(cause) = seen.state {
        seen.state = TaskState::Pending(with_holders(cause, &seen.name, pods));
    }
    for replica in &mut seen.replicas {
        if let ReplicaState::Waiting { cause } = &mut replica.state {
            *cause = with_holders(cause.clone(), &seen.name, pods);
        }
    }
    seen
}

/// The same cause, with the tasks whose pods have of what is short; `pods`: all of the tenant.
pub(super) fn with_holders(cause: PendingCause, task: &str, pods: &[Pod]) -> PendingCause {
    let PendingCause::Quota { what, short, .. } = cause else { return cause };
    let wanted: Vec<&str> = what.split(", ").collect();
    let mut holders = BTreeSet::new();
    for pod in pods {
        let over = matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
        let owner = pod.metadata.labels.as_ref().and_then(|l| l.get(TASK)).filter(|owner| *owner != task);
        if let Some(owner) = owner.filter(|_| !over)
            && requests(pod).iter().any(|(name, n)| *n > 0 && wanted.contains(&word(name).as_str()))
        {
            holders.insert(owner.clone());
        }
    }
    PendingCause::Quota { what, short, holders: holders.into_iter().collect() }
}
