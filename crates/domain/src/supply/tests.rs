//! What is told before anything waits for it.

use super::*;
use std::collections::BTreeMap;

fn sized(product: Option<&str>, gpus: u32, cores: u64, gb: u64) -> MachineSize {
    let has = Amounts { gpus, mig: BTreeMap::new(), cpu_milli: cores * 1000, memory: gb * size::GB };
    MachineSize { product: product.map(str::to_owned), has }
}

/// A cluster of H200 by fours, of L4, of slices, and of CPUs; a tenant without limits.
fn supply() -> Supply {
    let mut slices = sized(Some("NVIDIA-A100"), 0, 16, 64);
    slices.has.mig.insert("1g.10gb".into(), 7);
    let sizes = vec![sized(Some("NVIDIA-H200"), 4, 96, 1000), sized(Some("NVIDIA-L4"), 1, 8, 32), slices, sized(None, 0, 64, 512)];
    Supply { machines: Machines { sizes, ..Machines::default() }, ..Supply::default() }
}

fn asks(gpus: u32) -> ResourceRequest {
    ResourceRequest { gpus: Some(gpus), ..ResourceRequest::default() }
}

fn one(supply: &Supply, request: &ResourceRequest, times: Times) -> (String, String, Option<String>) {
    let mut wrong = supply.check(request, times);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let FieldProblem { field, sentence, suggestion } = wrong.remove(0);
    (field, sentence, suggestion)
}

#[test]
fn more_than_the_quota_is_told_with_what_would_fit() {
    let two = Supply { quota: Compute { gpus: Some(2), ..Compute::default() }, ..supply() };
    let (field, sentence, fits) = one(&two, &asks(4), Times::Nodes(1));
    assert_eq!(
        (field.as_str(), sentence.as_str(), fits.as_deref()),
        (
            "gpus",
            "It asks for 4 GPUs, and the tenant’s quota is 2 GPUs. Ask for less, or ask the platform admin for a larger quota.",
            Some("2")
        )
    );
    let (_, sentence, fits) = one(&two, &asks(2), Times::Nodes(2));
    assert!(sentence.starts_with("It asks for 4 GPUs (2 on each of 2 nodes), and"), "{sentence}");
    assert_eq!(fits.as_deref(), Some("1"));
    let (_, sentence, _) = one(&two, &asks(1), Times::Replicas(3));
    assert!(sentence.starts_with("It asks for 3 GPUs (1 for each of 3 replicas), and"), "{sentence}");
    assert_eq!(two.check(&asks(2), Times::Replicas(1)), []);
    // A portal that gives one by itself, and a tenant with none: 0 is what can be.
    let none = Supply { default_gpus: 1, quota: Compute { gpus: Some(0), ..Compute::default() }, ..supply() };
    assert_eq!(one(&none, &ResourceRequest::default(), Times::Nodes(1)).2.as_deref(), Some("0"));
    assert_eq!(none.check(&asks(0), Times::Nodes(1)), []);
    let quota = Compute { cpu: Some(2), memory: Some(8 * size::GB), mig: BTreeMap::from([("1g.10gb".into(), 0)]), ..Compute::default() };
    let small = Supply { quota, ..supply() };
    let asked = ResourceRequest {
        gpus: Some(1),
        mig_profile: Some("1g.10gb".into()),
        cpu: Some(4),
        memory: Some(16 * size::GB),
        ..ResourceRequest::default()
    };
    let said: Vec<_> = small.check(&asked, Times::Nodes(1)).into_iter().map(|p| (p.field, p.suggestion.unwrap_or_default())).collect();
    let expected = [("gpus", ""), ("cpu", "2"), ("memory_gb", "8")].map(|(f, s)| (f.to_owned(), s.to_owned()));
    assert_eq!(said, expected);
}

#[test]
fn what_the_queue_can_never_give_is_told_of_a_run_and_not_of_a_model_server() {
    let limits = QueueLimits { name: "research".into(), gpus: Some(2), cpu: Some(8), ..QueueLimits::default() };
    let queued = Supply { queue: Some(limits), ..supply() };
    let (field, sentence, fits) = one(&queued, &asks(2), Times::Nodes(2));
    assert_eq!((field.as_str(), fits.as_deref()), ("gpus", Some("1")));
    assert_eq!(
        sentence,
        "It asks for 4 GPUs (2 on each of 2 nodes), and the cluster’s queue “research” never gives more than 2 GPUs. Ask for less, or \
         ask the platform admin for a larger quota of that queue."
    );
    assert_eq!(queued.check(&asks(2), Times::Nodes(1)), []);
    assert_eq!(queued.check(&asks(4), Times::Replicas(2)), [], "model servers do not wait there");
    let memory = ResourceRequest { memory: Some(400 * size::GB), cpu: Some(8), ..asks(0) };
    assert_eq!(queued.check(&memory, Times::Nodes(1)), [], "nobody can tell what it lends");
    let slice = ResourceRequest { mig_profile: Some("1g.10gb".into()), ..asks(1) };
    assert_eq!(queued.check(&slice, Times::Nodes(1)), [], "it does not count them");
    // One sentence for each field, that of the tenant's own quota first.
    let both = Supply { quota: Compute { gpus: Some(1), ..Compute::default() }, ..queued };
    assert!(one(&both, &asks(4), Times::Nodes(1)).1.contains("tenant’s quota"));
}

#[test]
fn what_no_node_has_is_told_with_what_the_largest_has() {
    let supply = supply();
    let of = |gpus, product: &str| ResourceRequest { gpu_product: Some(product.into()), ..asks(gpus) };
    for fits in [asks(4), asks(0), of(4, "H200"), of(1, "nvidia l4"), ResourceRequest::default()] {
        assert_eq!(supply.check(&fits, Times::Nodes(2)), [], "{fits:?}");
    }
    let said = |request: &ResourceRequest| one(&supply, request, Times::Nodes(1));
    let (field, sentence, fits) = said(&of(4, "L4"));
    assert_eq!((field.as_str(), fits.as_deref()), ("gpus", Some("1")));
    assert_eq!(sentence, "No node has 4 GPUs of L4; the largest has 1. Ask for fewer on each, or for several nodes.");
    assert_eq!(said(&asks(8)).1, "No node has 8 GPUs; the largest has 4. Ask for fewer on each, or for several nodes.");
    let (field, sentence, fits) = said(&of(1, "B300"));
    assert_eq!((field.as_str(), fits.as_deref()), ("gpu_product", Some("NVIDIA-A100")));
    assert_eq!(sentence, "No node has a GPU of the product “B300”. Products of this cluster: NVIDIA-A100, NVIDIA-H200, NVIDIA-L4.");
    let slice = |profile: &str| ResourceRequest { mig_profile: Some(profile.into()), ..asks(1) };
    assert_eq!(supply.check(&slice("1g.10gb"), Times::Nodes(1)), []);
    assert_eq!(said(&slice("3g.40gb")).2.as_deref(), Some("1g.10gb"));
    // Of nodes that have the GPUs.
    let (field, sentence, fits) = said(&ResourceRequest { cpu: Some(16), ..of(1, "L4") });
    assert_eq!((field.as_str(), fits.as_deref()), ("cpu", Some("8")));
    assert_eq!(sentence, "No node with 1 such GPU has 16 CPU cores for runs and endpoints; the largest has 8. Ask for less.");
    let (field, _, fits) = said(&ResourceRequest { cpu: Some(90), memory: Some(2000 * size::GB), ..ResourceRequest::default() });
    assert_eq!((field.as_str(), fits.as_deref()), ("memory_gb", Some("1000")));
}

#[test]
fn nothing_is_held_against_a_request_where_nobody_can_tell_what_there_is() {
    let blind = Supply { machines: Machines::default(), ..supply() };
    assert_eq!(blind.check(&asks(64), Times::Nodes(1)), []);
    let by_itself = Supply { default_gpus: 8, ..supply() };
    assert_eq!(by_itself.check(&ResourceRequest::default(), Times::Nodes(1)), [], "nobody asked for these");
    let limited = Supply { most_memory: Some(16 * size::GB), ..supply() };
    let asked = ResourceRequest { memory: Some(17 * size::GB), ..ResourceRequest::default() };
    assert_eq!(one(&limited, &asked, Times::Nodes(1)).2.as_deref(), Some("16"));
    let product = ResourceRequest { gpu_product: Some("L4".into()), ..ResourceRequest::default() };
    assert_eq!(one(&supply(), &product, Times::Nodes(1)).0, "gpus");
    assert_eq!(Supply { default_gpus: 1, ..supply() }.check(&product, Times::Nodes(1)), []);
}

#[test]
fn where_a_gpu_is_a_slice_the_slices_count() {
    let mut sliced = supply();
    sliced.machines.mig_profile = Some("1g.10gb".into());
    sliced.quota = Compute { gpus: Some(0), mig: BTreeMap::from([("1g.10gb".into(), 2)]), ..Compute::default() };
    assert_eq!(sliced.check(&asks(1), Times::Replicas(2)), []);
    assert!(one(&sliced, &asks(1), Times::Replicas(3)).1.starts_with("It asks for 3 × MIG 1g.10gb (1 for each of 3 replicas)"));
}

#[test]
fn a_size_is_typed_as_it_is_shown() {
    assert_eq!([16 * size::GB, 64 << 30, 500_000_000].map(gigabytes), ["16", "68.719476736", "0.5"]);
}
