//! What each tenant may use of this machine, in a file beside the task folders: `.tenants/{tenant}.json`. Looked at under the lock
//! before a task starts, so of two that start at once only one gets the last GPU.

use super::{because, folder};
use crate::{Amount, Error, PendingCause, Resources, Shortage};
use domain::{compute::Compute, name::Name};
use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

fn file_of(root: &Path, tenant: &Name) -> PathBuf {
    root.join(".tenants").join(format!("{tenant}.json"))
}

pub fn put(root: &Path, tenant: &Name, compute: &Compute) -> Result<(), Error> {
    let path = file_of(root, tenant);
    let write = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(root))?;
        folder::write_atomically(&path, &serde_json::to_vec(compute)?)
    };
    write().map_err(because(format!("keeping the quota of {tenant}")))
}

pub fn remove(root: &Path, tenant: &Name) -> Result<(), Error> {
    match std::fs::remove_file(file_of(root, tenant)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(because(format!("forgetting the quota of {tenant}"))(e)),
        _ => Ok(()),
    }
}

/// No limit where nobody has set one.
pub fn of(root: &Path, tenant: &Name) -> Result<Compute, Error> {
    let doing = because(format!("reading the quota of {tenant}"));
    match std::fs::read(file_of(root, tenant)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| doing(io::Error::other(e))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Compute::default()),
        Err(e) => Err(doing(e)),
    }
}

/// Why a task with these needs has to wait; `others`: what runs of the tenant by name. Slices of GPUs are nothing that this machine gives.
pub fn obstacle(compute: &Compute, needs: &Resources, others: &[(String, Resources)]) -> Option<PendingCause> {
    let gpus: fn(u64) -> Amount = |n| Amount::Gpus { count: u32::try_from(n).unwrap_or(u32::MAX), product: None };
    /// What people call it, its limit, how much of it is asked for, and such an amount in words.
    type Limit = (&'static str, Option<u64>, fn(&Resources) -> u64, fn(u64) -> Amount);
    let limits: [Limit; 4] = [
        ("gpus", compute.gpus.map(u64::from), |r| r.gpus.into(), gpus),
        ("cpu", compute.cpu.map(|n| u64::from(n) * 1000), |r| r.cpu_milli.unwrap_or(0), |milli| Amount::Cpu { milli }),
        ("memory", compute.memory, |r| r.memory.unwrap_or(0), |bytes| Amount::Memory { bytes }),
        ("disk", compute.disk, |r| r.ephemeral_disk.unwrap_or(0), |bytes| Amount::EphemeralDisk { bytes }),
    ];
    let (mut what, mut short, mut holders) = (Vec::new(), Vec::new(), Vec::new());
    for (word, most, get, amount) in limits {
        let (Some(most), needs) = (most, get(needs)) else { continue };
        let used = others.iter().fold(0_u64, |sum, (_, r)| sum.saturating_add(get(r)));
        // What asks for nothing takes nothing.
        if needs == 0 || used.saturating_add(needs) <= most {
            continue;
        }
        what.push(word);
        short.push(Shortage { needs: amount(needs), used: amount(used), most: amount(most) });
        holders.extend(others.iter().filter(|(_, r)| get(r) > 0).map(|(name, _)| name.clone()));
    }
    holders.sort();
    holders.dedup();
    (!what.is_empty()).then(|| PendingCause::Quota { what: what.join(", "), short, holders })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_beside_the_others_waits_and_names_them() {
        let gpus = |gpus| Resources { gpus, ..Resources::default() };
        let others = [("run-1-train".to_owned(), gpus(1)), ("run-2-train".to_owned(), Resources::default())];
        let two = Compute { gpus: Some(2), ..Compute::default() };
        assert_eq!(obstacle(&two, &gpus(1), &others), None);
        let Some(PendingCause::Quota { what, short, holders }) = obstacle(&two, &gpus(2), &others) else { panic!() };
        assert_eq!((what.as_str(), holders), ("gpus", vec!["run-1-train".to_owned()]));
        let amount = |count| Amount::Gpus { count, product: None };
        assert_eq!(short, [Shortage { needs: amount(2), used: amount(1), most: amount(2) }]);
        let nothing = Compute { gpus: Some(0), memory: Some(1 << 30), ..Compute::default() };
        assert_eq!(obstacle(&nothing, &gpus(0), &others), None);
        assert!(obstacle(&nothing, &gpus(1), &[]).unwrap().said().starts_with("Cannot start"));
        let memory = Resources { memory: Some(1 << 30), ..Resources::default() };
        assert_eq!(obstacle(&nothing, &memory, &others), None);
        assert!(obstacle(&nothing, &memory, &[("ep-1-1".to_owned(), memory.clone())]).is_some());
    }
}
