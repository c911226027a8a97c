//! What this machine has, and why a task does not fit it.

use crate::{Amount, PendingCause, Resources, Runtime};
use std::path::Path;

/// The machine's name, as it calls itself.
pub fn node() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|h| h.trim().to_owned()).unwrap_or_else(|_| "localhost".into())
}

/// The first thing that keeps a task from ever starting here.
pub fn obstacle(runtime: &Runtime, resources: &Resources, folder: &Path) -> Option<PendingCause> {
    if let Runtime::Image(image) = runtime {
        return Some(PendingCause::Image { image: image.clone(), why: "tasks run as processes of this machine, not from images".into() });
    }
    let too_much = |needs: u64, has: Option<u64>, amount: fn(u64) -> Amount| {
        // What cannot be told is not held against the task.
        has.filter(|has| needs > *has).map(|has| PendingCause::NoNodeFits { needs: amount(needs), has: amount(has) })
    };
    let Resources { cpu_milli, memory, gpus, gpu_product, mig_profile, shared_memory, ephemeral_disk, nodes } = resources;
    // Slices are nothing that this machine gives: no product is called so.
    let product = mig_profile.as_deref().or(gpu_product.as_deref());
    let cores = || std::thread::available_parallelism().ok().map(|n| n.get() as u64 * 1000);
    let one = (*nodes > 1).then_some(PendingCause::NoNodeFits { needs: Amount::Nodes { count: *nodes }, has: Amount::Nodes { count: 1 } });
    one.or_else(|| cpu_milli.and_then(|n| too_much(n, cores(), |milli| Amount::Cpu { milli })))
        .or_else(|| memory.and_then(|n| too_much(n, total_memory(), |bytes| Amount::Memory { bytes })))
        .or_else(|| shared_memory.and_then(|n| too_much(n, size(Path::new("/dev/shm")), |bytes| Amount::SharedMemory { bytes })))
        .or_else(|| ephemeral_disk.and_then(|n| too_much(n, free(folder), |bytes| Amount::EphemeralDisk { bytes })))
        .or_else(|| (*gpus > 0).then(|| no_gpus(*gpus, product, &gpu_products())).flatten())
}

fn no_gpus(count: u32, product: Option<&str>, there: &[String]) -> Option<PendingCause> {
    let fit = there.iter().filter(|p| product.is_none_or(|wanted| p.contains(wanted))).count();
    let has = u32::try_from(fit).unwrap_or(u32::MAX);
    let amount = |count| Amount::Gpus { count, product: product.map(str::to_owned) };
    (has < count).then(|| PendingCause::NoNodeFits { needs: amount(count), has: amount(has) })
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kb| kb << 10)
}

fn size(path: &Path) -> Option<u64> {
    let v = nix::sys::statvfs::statvfs(path).ok()?;
    Some(v.blocks() * v.fragment_size())
}

fn free(path: &Path) -> Option<u64> {
    let v = nix::sys::statvfs::statvfs(path).ok()?;
    Some(v.blocks_available() * v.fragment_size())
}

/// By NVIDIA's driver, one line a card.
fn gpu_products() -> Vec<String> {
    let cards = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    cards
        .map(|card| {
            let text = std::fs::read_to_string(card.path().join("information")).unwrap_or_default();
            text.lines().find_map(|l| l.strip_prefix("Model:")).map(|m| m.trim().to_owned()).unwrap_or_default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_told_with_what_this_one_has() {
        let said = |resources: Resources| obstacle(&Runtime::Trainer, &resources, Path::new("/"));
        assert_eq!(said(Resources::default()), None);
        assert_eq!(said(Resources { memory: Some(1 << 20), cpu_milli: Some(100), ..Resources::default() }), None);
        let memory = said(Resources { memory: Some(1 << 60), ..Resources::default() });
        assert!(matches!(memory, Some(PendingCause::NoNodeFits { has: Amount::Memory { bytes }, .. }) if bytes > 0), "{memory:?}");
        let slice = said(Resources { gpus: 1, mig_profile: Some("1g.10gb".into()), ..Resources::default() });
        assert!(matches!(slice, Some(PendingCause::NoNodeFits { has: Amount::Gpus { count: 0, .. }, .. })), "{slice:?}");
        let nodes = said(Resources { nodes: 2, ..Resources::default() });
        assert_eq!(
            nodes.map(|n| n.said().split('.').next().unwrap().to_owned()).as_deref(),
            Some("Waits: it needs 2 nodes, and the machine has 1 node")
        );
        let cpu = said(Resources { cpu_milli: Some(100_000_000), ..Resources::default() });
        assert!(matches!(cpu, Some(PendingCause::NoNodeFits { needs: Amount::Cpu { milli: 100_000_000 }, .. })), "{cpu:?}");
    }

    #[test]
    fn a_gpu_of_another_product_does_not_count() {
        let there = ["NVIDIA H200".to_owned(), "NVIDIA L4".to_owned()];
        assert_eq!(no_gpus(2, None, &there), None);
        assert_eq!(no_gpus(1, Some("H200"), &there), None);
        let amount = |count| Amount::Gpus { count, product: Some("H200".into()) };
        assert_eq!(no_gpus(2, Some("H200"), &there), Some(PendingCause::NoNodeFits { needs: amount(2), has: amount(1) }));
    }
}
