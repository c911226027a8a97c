//! What Kueue says of a Job that waits in one of its queues, and how much a queue gives at most. From its objects as JSON: `v1beta1` and
//! `v1beta2` are the same in what is read here.

use super::{super::quantity, pending::sentence, quota::amount};
use crate::{Amount, PendingCause};
use domain::queue::QueueLimits;
use serde_json::Value;
use std::collections::BTreeMap;

/// Before what a Workload needs more of than is free now...
const SHORT: &str = "insufficient unused quota for ";
/// ... and than there is in all.
const NEVER: &str = "insufficient quota for ";
/// Words of what does not end by itself.
const FOR_EVER: [&str; 4] = [" unavailable in ClusterQueue", "untolerated taint", "doesn't match node affinity", " not found"];

/// Why it waits. `position`: 1 = the next, 0 = not known.
pub fn cause(workload: &Value, queue: &str, position: u32) -> PendingCause {
    let said = |condition: &Value| sentence(condition["message"].as_str().unwrap_or_default());
    let evicted = condition(workload, "Evicted").filter(is_true);
    if workload["spec"]["active"] == false {
        let why = evicted.map(|c| said(&c)).filter(|why| !why.is_empty()).unwrap_or_else(|| "it was deactivated".into());
        return PendingCause::Admission { why: format!("Kueue has taken it out of the queue “{queue}” ({why})") };
    }
    let interrupted = evicted.is_some_and(|c| c["reason"] == "Preempted");
    let waits = |short| PendingCause::Queue { position, queue: queue.to_owned(), short, interrupted };
    let Some(reserved) = condition(workload, "QuotaReserved").filter(|c| !is_true(c)) else {
        // It was not looked at yet, or has its quota and is about to begin.
        return waits(Vec::new());
    };
    let message = reserved["message"].as_str().unwrap_or_default();
    let short = short(message);
    if !short.is_empty() {
        return waits(short);
    }
    if let Some((needs, most)) = never(message) {
        return PendingCause::Admission { why: format!("it needs {needs}, and the queue “{queue}” never gives more than {most}") };
    }
    if reserved["reason"] == "Inadmissible" || FOR_EVER.iter().any(|words| message.contains(words)) {
        return PendingCause::Admission { why: format!("the queue “{queue}” does not take it ({})", said(&reserved)) };
    }
    waits(Vec::new())
}

fn condition(workload: &Value, kind: &str) -> Option<Value> {
    workload["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind).cloned()
}

fn is_true(condition: &Value) -> bool {
    condition["status"] == "True"
}

/// `... insufficient unused quota for cpu in flavor default, 500m more needed, ...`: of each resource once, from the first flavor.
fn short(message: &str) -> Vec<Amount> {
    let mut out = BTreeMap::new();
    for rest in message.split(SHORT).skip(1) {
        let Some((resource, rest)) = rest.split_once(" in flavor ") else { continue };
        let more = rest.split_once(" more needed").and_then(|(before, _)| before.rsplit_once(", ")).map(|(_, more)| more);
        if let Some(amount) = more.and_then(|more| amount(resource, more)) {
            out.entry(resource.to_owned()).or_insert(amount);
        }
    }
    out.into_values().collect()
}

/// `insufficient quota for cpu in flavor default, previously considered podsets requests (0) + current podset request (4) > maximum capacity
/// (2)`: of the flavor that has most.
fn never(message: &str) -> Option<(Amount, Amount)> {
    let read = |rest: &str| {
        let (resource, rest) = rest.split_once(" in flavor ")?;
        let within = |after: &str| rest.split_once(after)?.1.split_once(')').map(|(text, _)| text);
        Some((amount(resource, within("current podset request (")?)?, amount(resource, within("maximum capacity (")?)?))
    };
    message.split(NEVER).skip(1).filter_map(read).max_by_key(|(_, most)| most.number())
}

/// Of a Workload among those that wait for the same quota, as Kueue lists them; it counts from 0.
pub fn position(pending: &Value, workload: &str) -> Option<u32> {
    let mut items = pending["items"].as_array()?.iter();
    let position = items.find(|item| item["metadata"]["name"] == workload)?["positionInClusterQueue"].as_u64()?;
    u32::try_from(position).ok()?.checked_add(1)
}

/// What a ClusterQueue gives at most: each flavor its own quota and what it may borrow. All pods of a Job are of one flavor, so flavors do not
/// add up. `gpu`: the resource that a GPU is here; `slices`: what its slices begin with.
pub fn limits(name: &str, cluster_queue: &Value, gpu: &str, slices: &str) -> QueueLimits {
    let spec = &cluster_queue["spec"];
    let borrows = ["cohortName", "cohort"].iter().any(|key| spec[key].as_str().is_some_and(|name| !name.is_empty()));
    let mut most: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let groups = list(&spec["resourceGroups"]);
    let flavors: Vec<Value> = groups.iter().flat_map(|group| list(&group["flavors"])).collect();
    let resources: Vec<Value> = flavors.iter().flat_map(|flavor| list(&flavor["resources"])).collect();
    for resource in &resources {
        let Some(kind) = resource["name"].as_str() else { continue };
        let nominal = number(kind, &resource["nominalQuota"]).unwrap_or(0);
        let all = match (borrows, number(kind, &resource["borrowingLimit"])) {
            (false, _) => Some(nominal),
            (true, Some(more)) => Some(nominal.saturating_add(more)),
            // As much as the others of its cohort leave it.
            (true, None) => None,
        };
        let before = most.entry(kind).or_insert(Some(0));
        *before = before.zip(all).map(|(one, other)| one.max(other));
    }
    let of = |kind: &str| most.get(kind).copied().flatten();
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let mig = most.iter().filter_map(|(kind, n)| Some((kind.strip_prefix(slices)?.to_owned(), count((*n)?)))).collect();
    QueueLimits {
        name: name.to_owned(),
        gpus: of(gpu).map(count),
        mig,
        cpu: of("cpu").map(|milli| count(milli / 1000)),
        memory: of("memory"),
    }
}

/// In its own unit; an amount may be written as a number.
fn number(kind: &str, amount: &Value) -> Option<u64> {
    let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    if kind == "cpu" { quantity::milli(&text) } else { quantity::whole(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(conditions: Value) -> Value {
        json!({ "metadata": { "name": "job-run-1-abc" }, "spec": { "queueName": "research" }, "status": { "conditions": conditions } })
    }

    fn waits(message: &str) -> PendingCause {
        let reserved = json!([{ "type": "QuotaReserved", "status": "False", "reason": "Pending", "message": message }]);
        cause(&workload(reserved), "research", 2)
    }

    fn queue(short: Vec<Amount>, interrupted: bool) -> PendingCause {
        PendingCause::Queue { position: 2, queue: "research".into(), short, interrupted }
    }

    #[test]
    fn a_workload_that_waits_says_what_is_short() {
        let flavors = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor small, 500m more needed, \
                       insufficient unused quota for nvidia.com/gpu in flavor h200, 2 more needed, insufficient unused quota for cpu in \
                       flavor large, 1 more needed";
        let short = vec![Amount::Cpu { milli: 500 }, Amount::Gpus { count: 2, product: None }];
        assert_eq!(waits(flavors), queue(short, false));
        assert_eq!(waits("Workload no longer fits after processing another workload"), queue(Vec::new(), false));
        assert_eq!(cause(&workload(json!([])), "research", 2), queue(Vec::new(), false), "Kueue has not looked at it yet");
        let admitted = json!([{ "type": "QuotaReserved", "status": "True", "reason": "QuotaReserved", "message": "Quota reserved" }]);
        assert_eq!(cause(&workload(admitted), "research", 2), queue(Vec::new(), false));
    }

    #[test]
    fn what_can_never_be_let_in_is_told_apart_from_what_waits() {
        let why = |message: &str| match waits(message) {
            PendingCause::Admission { why } => why,
            other => panic!("{other:?}"),
        };
        let of = |flavor: &str, most: u32| {
            format!(
                "insufficient quota for nvidia.com/gpu in flavor {flavor}, previously considered podsets requests (0) + current podset \
                 request (4) > maximum capacity ({most})"
            )
        };
        assert_eq!(
            why(&format!("couldn't assign flavors to pod set main: {}, {}", of("l4", 1), of("h200", 2))),
            "it needs 4 GPUs, and the queue “research” never gives more than 2 GPUs"
        );
        // One flavor is too small, and another only in use.
        let free = "insufficient unused quota for nvidia.com/gpu in flavor b300, 1 more needed";
        assert_eq!(waits(&format!("{}, {free}", of("l4", 1))), queue(vec![Amount::Gpus { count: 1, product: None }], false));
        let covered = "couldn't assign flavors to pod set main: resource ephemeral-storage unavailable in ClusterQueue";
        assert!(why(covered).starts_with("the queue “research” does not take it (couldn't assign"));
        let gone = json!([{ "type": "QuotaReserved", "status": "False", "reason": "Inadmissible", "message": "LocalQueue research doesn't exist" }]);
        let gone = cause(&workload(gone), "research", 0);
        assert!(gone.needs_somebody() && gone.said().contains("LocalQueue research doesn't exist"), "{}", gone.said());
    }

    #[test]
    fn one_that_lost_its_place_waits_again_and_one_that_was_taken_out_needs_somebody() {
        let evicted = |reason: &str| {
            workload(json!([
                { "type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "Preempted to accommodate a workload" },
                { "type": "Evicted", "status": "True", "reason": reason, "message": "The workload is deactivated" },
            ]))
        };
        assert_eq!(cause(&evicted("Preempted"), "research", 2), queue(Vec::new(), true));
        assert_eq!(cause(&evicted("PodsReadyTimeout"), "research", 2), queue(Vec::new(), false));
        let mut inactive = evicted("Deactivated");
        inactive["spec"]["active"] = json!(false);
        let cause = cause(&inactive, "research", 2);
        assert!(cause.needs_somebody() && cause.said().contains("The workload is deactivated"), "{}", cause.said());
    }

    #[test]
    fn a_place_is_counted_from_one() {
        let pending = json!({ "items": [{ "metadata": { "name": "a" }, "positionInClusterQueue": 0 },
                                        { "metadata": { "name": "b" }, "positionInClusterQueue": 4, "positionInLocalQueue": 1 }] });
        assert_eq!((position(&pending, "a"), position(&pending, "b"), position(&pending, "c")), (Some(1), Some(5), None));
    }

    #[test]
    fn the_most_of_a_queue_is_that_of_its_largest_flavor_with_what_it_may_borrow() {
        let resource =
            |name: &str, nominal: Value, borrow: Value| json!({ "name": name, "nominalQuota": nominal, "borrowingLimit": borrow });
        let flavors = json!([
            { "name": "small", "resources": [resource("cpu", json!("3500m"), json!(null)), resource("memory", json!("64Gi"), json!(null)),
                                             resource("nvidia.com/gpu", json!(1), json!("3"))] },
            { "name": "large", "resources": [resource("cpu", json!("2"), json!(null)), resource("memory", json!("8Gi"), json!(null)),
                                             resource("nvidia.com/gpu", json!("2"), json!(1)),
                                             resource("nvidia.com/mig-1g.10gb", json!("7"), json!(null))] },
        ]);
        let mut cluster_queue = json!({ "spec": { "resourceGroups": [{ "coveredResources": [], "flavors": flavors }] } });
        let of = |queue: &Value| limits("research", queue, "nvidia.com/gpu", "nvidia.com/mig-");
        let alone = of(&cluster_queue);
        assert_eq!((alone.gpus, alone.cpu, alone.memory), (Some(2), Some(3), Some(64 << 30)));
        assert_eq!(alone.mig, [("1g.10gb".to_owned(), 7)].into());
        for key in ["cohort", "cohortName"] {
            let mut lent = cluster_queue.clone();
            lent["spec"][key] = json!("all");
            let lent = of(&lent);
            assert_eq!((lent.gpus, lent.cpu, lent.memory, lent.mig.len()), (Some(4), None, None, 0), "{key}");
        }
        cluster_queue["spec"]["resourceGroups"] = json!([]);
        assert_eq!(of(&cluster_queue), QueueLimits { name: "research".into(), ..QueueLimits::default() }, "nothing is counted there");
    }
}
