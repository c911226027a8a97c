//! CoreDNS: names of services and of the pods behind them, as in any cluster, and no others. On the node's address, so that it needs no
//! service of its own.

use super::{binaries::Binaries, place, place::Place, processes::Processes};
use anyhow::Result;
use std::{fs, process::Command, time::Duration};

/// Behind every name of the cluster.
pub const DOMAIN: &str = "cluster.local";
const READY: Duration = Duration::from_secs(60);

pub fn start(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    let file = place.folder("names")?.join("Corefile");
    let ready = format!("{}:{}", place.address(), place::NAMES_READY);
    fs::write(
        &file,
        format!(
            ".:53 {{\n    bind {}\n    errors\n    ready {ready}\n    kubernetes {DOMAIN} in-addr.arpa {{\n        kubeconfig {}\n        \
             ttl 1\n    }}\n}}\n",
            place.address(),
            place.kubeconfig().display()
        ),
    )?;
    let log = place.log("names");
    processes.start("names", &log, Command::new(binaries.coredns.join("coredns")).arg("-conf").arg(&file))?;
    processes.wait("names", &log, READY, || {
        reqwest::blocking::get(format!("http://{ready}/ready")).is_ok_and(|answer| answer.status().is_success())
    })
}
