//! What a machine must have to run the cluster, and how it gets it.

use crate::{debian, envs::which};
use anyhow::Result;
use std::path::Path;

const MAVEN: &str = "maven";
/// A Debian package and a file or program that it brings.
const PACKAGES: [(&str, &str); 10] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("iptables", "iptables"),
    ("ipset", "ipset"),
    ("iproute2", "ip"),
    ("debootstrap", "debootstrap"),
    ("openssl", "openssl"),
    (MAVEN, "mvn"),
    ("postgresql-15", "/usr/lib/postgresql/15/bin/initdb"),
];

/// Why no cluster can run here: what a package manager cannot change.
pub fn obstacle() -> Option<String> {
    if !debian::is_root() {
        return Some("it runs containers, for which one has to be root".into());
    }
    if which("go").is_none() {
        return Some("Go 1.26 or newer is missing (https://go.dev/dl): Kubernetes and etcd are built from their modules".into());
    }
    if which("apt-get").is_none() && !missing().is_empty() {
        return Some(format!("{} are missing, and this is no Debian", missing().join(", ")));
    }
    None
}

fn missing() -> Vec<&'static str> {
    let there = |what: &str| if what.starts_with('/') { Path::new(what).exists() } else { which(what).is_some() };
    PACKAGES.into_iter().filter(|(_, brings)| !there(brings)).map(|(package, _)| package).collect()
}

/// Installs what Keycloak alone needs: Maven, and Java with it.
pub fn prepare_for_keycloak() -> Result<()> {
    debian::install(&missing().into_iter().filter(|package| *package == MAVEN).collect::<Vec<_>>())
}

/// Installs what is missing.
pub fn prepare() -> Result<()> {
    super::possible()?;
    debian::install(&missing())
}
