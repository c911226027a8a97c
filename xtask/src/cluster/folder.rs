//! The cluster's folder: whose it is while it is started or ended, and the file that tells others how to reach everything.

use super::{binaries::Binaries, images, network, place, place::Place, processes::Processes, secret};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Tests find the cluster by this file; its path is in `ATELIER_CLUSTER`.
const DESCRIPTION: &str = "cluster.json";

/// The folder for us alone until the answer is dropped. It holds keys: nobody else may look into it.
pub fn lock(dir: &Path) -> Result<fs::File> {
    fs::create_dir_all(dir.join("logs")).with_context(|| format!("{} cannot be made", dir.display()))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    let file = fs::File::options().create(true).append(true).open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!("somebody else starts or ends the cluster in {} now", dir.display()),
        Err(fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("{} cannot be locked", dir.display())),
    }
}

/// Writes where everything is. `parts`: what the parts beside Kubernetes say about themselves.
pub fn describe(place: &Place, binaries: &Binaries, processes: &Processes, parts: &Value) -> Result<PathBuf> {
    let mut all = json!({
        "kubeconfig": place.kubeconfig(),
        "containerd": place.containerd_socket(),
        "kubectl": binaries.kubernetes.join("kubectl"),
        "api_server": place.url("https", place::API),
        "node": place::NODE,
        "node_address": place.address(),
        "outside": format!("{}:80", network::OUTSIDE),
        "pod_network": place.pods(),
        "images": images::names(),
        "containerd": place.containerd_socket(),
        "pids": processes.ids(),
    });
    for (name, part) in parts.as_object().into_iter().flatten() {
        all[name] = part.clone();
    }
    let file = place.dir.join(DESCRIPTION);
    secret::write(&file, &serde_json::to_string_pretty(&all)?)?;
    Ok(file)
}

/// What it said is not so any more.
pub fn forget_description(dir: &Path) -> Result<()> {
    secret::remove(&dir.join(DESCRIPTION))
}
