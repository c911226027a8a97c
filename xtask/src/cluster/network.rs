//! The network of a cluster, in two network namespaces of its own. One is the node: containerd, the kubelet and the enforcer of policies
//! live there, and a cable leads from it to this machine. The other is the world outside, as pods would reach it without policies: a host
//! with a public address that is also the place where clouds hand out credentials. Rules, sets and settings of the kernel are made in
//! them and go with them; nothing of this machine's own network is changed.

use super::{binaries::Binaries, names, place, place::Place, processes::Processes};
use crate::run::run;
use anyhow::{Context, Result};
use serde_json::json;
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Documentation's addresses: nobody has them. The node's end and the outside's of the cable between them.
const TO_OUTSIDE: &str = "198.51.100.1";
pub const OUTSIDE: &str = "198.51.100.2";
const METADATA: &str = "169.254.169.254";
/// The node's end of the cable to this machine.
const MACHINE: &str = "machine";
/// Where Debian puts the plug-ins for networks.
const PLUGINS: &str = "/usr/lib/cni";
const READY: Duration = Duration::from_secs(60);

fn node_namespace(place: &Place) -> PathBuf {
    place.run().join("node")
}

fn outside_namespace(place: &Place) -> PathBuf {
    place.run().join("outside")
}

/// A program that sees the node's network; all else is this machine's.
pub fn on_the_node(place: &Place, program: impl AsRef<OsStr>) -> Command {
    within(&node_namespace(place), program)
}

fn within(namespace: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).arg("--").arg(program);
    command
}

/// The namespaces, the cables between them, and routes. Begun anew where a start was broken off in the middle of it.
pub fn lay(place: &Place) -> Result<()> {
    let done = place.run().join("network-is-laid");
    if done.exists() {
        return Ok(());
    }
    let (node, outside, device) = (node_namespace(place), outside_namespace(place), place.device());
    if Path::new("/sys/class/net").join(&device).exists() {
        ip(None, &format!("link delete {device}"))?;
    }
    for namespace in [&node, &outside] {
        // Of the start before; fails where there is none.
        let _ = Command::new("umount").arg(namespace).stderr(Stdio::null()).status();
        fs::write(namespace, "")?;
        run(Command::new("unshare").arg(format!("--net={}", namespace.display())).arg("true"))?;
        ip(Some(namespace), "link set lo up")?;
    }
    ip(None, &format!("link add {device} type veth peer name {MACHINE} netns {}", node.display()))?;
    for address in [place.address(), place.store()] {
        ip(None, &format!("address add {address}/24 dev {device}"))?;
    }
    ip(None, &format!("link set {device} up"))?;
    ip(Some(&node), &format!("address add {}/24 dev {MACHINE}", place.node()))?;
    ip(Some(&node), &format!("link set {MACHINE} up"))?;
    ip(Some(&node), &format!("route add default via {}", place.address()))?;
    ip(None, &format!("route add {} via {}", place.pods(), place.node()))?;

    ip(Some(&node), &format!("link add outside type veth peer name node netns {}", outside.display()))?;
    ip(Some(&node), &format!("address add {TO_OUTSIDE}/30 dev outside"))?;
    ip(Some(&node), "link set outside up")?;
    ip(Some(&outside), &format!("address add {OUTSIDE}/30 dev node"))?;
    ip(Some(&outside), &format!("address add {METADATA}/32 dev lo"))?;
    ip(Some(&outside), "link set node up")?;
    ip(Some(&outside), &format!("route add default via {TO_OUTSIDE}"))?;
    ip(Some(&node), &format!("route add {METADATA} via {OUTSIDE}"))?;
    // Each network namespace has a setting of its own.
    run(on_the_node(place, "sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
    Ok(fs::write(done, "")?)
}

fn ip(namespace: Option<&Path>, words: &str) -> Result<()> {
    let mut command = namespace.map_or_else(|| Command::new("ip"), |namespace| within(namespace, "ip"));
    run(command.args(words.split(' ')))
}

/// How pods are connected, for containerd: each by a cable of its own to the node, which hands on what they send. On a bridge, packets
/// between pods of one node would pass policies by unless the kernel is told otherwise. Returns the folder of the plug-ins.
pub fn describe(place: &Place) -> Result<PathBuf> {
    let text = json!({
        "cniVersion": "0.4.0",
        "name": place.device(),
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "addresses",
                    "dataDir": place.run().join("addresses"),
                    "ranges": [[{"subnet": place.pods(), "rangeStart": place.first_pod()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "loopback"},
        ],
    });
    fs::write(place.folder("network")?.join("10-pods.conflist"), serde_json::to_vec_pretty(&text)?)?;
    let plugins = place.folder("plugins")?;
    for plugin in ["ptp", "loopback", "host-local"] {
        let link = plugins.join(plugin);
        if !link.exists() {
            symlink(Path::new(PLUGINS).join(plugin), &link).with_context(|| format!("{} cannot be made", link.display()))?;
        }
    }
    // Pods are told where names are known before any pod is there: that pod has an address that is not drawn.
    let addresses = plugins.join("addresses");
    let script = format!(
        "#!/bin/sh\n# host-local, but for one pod.\ncase \"$CNI_ARGS;\" in\n*'K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME={pod}-'*)\n    \
         sed 's/\"rangeStart\": *\"[^\"]*\"/\"rangeStart\":\"{at}\",\"rangeEnd\":\"{at}\"/' | exec {PLUGINS}/host-local ;;\n*)\n    exec \
         {PLUGINS}/host-local ;;\nesac\n",
        pod = names::POD,
        at = place.names(),
    );
    fs::write(&addresses, script)?;
    fs::set_permissions(&addresses, fs::Permissions::from_mode(0o755))?;
    Ok(plugins)
}

/// Something that listens outside: CoreDNS once more, of which only the page is used that says that it is ready.
pub fn outside(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    let file = place.folder("outside")?.join("Corefile");
    fs::write(&file, ".:53 {\n    errors\n    ready :80\n}\n")?;
    let log = place.log("outside");
    let mut program = within(&outside_namespace(place), binaries.coredns.join("coredns"));
    processes.start("outside", &log, program.arg("-conf").arg(&file))?;
    processes.wait("outside", &log, READY, || fs::read_to_string(&log).is_ok_and(|said| said.contains("CoreDNS-")))
}

/// kube-router, which holds pods to the policies of their namespaces. Before the kubelet: no pod shall start without.
pub fn enforce(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    let log = place.log("enforcer");
    let mut program = on_the_node(place, binaries.kube_router.join("kube-router"));
    program.arg("--kubeconfig").arg(place.kubeconfig());
    program.args(["--node", place::NODE, "--pods", &place.pods(), "--services", &place.services(), "--machine", MACHINE]);
    processes.start("enforcer", &log, &mut program)
}

pub fn wait_until_enforced(place: &Place, processes: &Processes) -> Result<()> {
    processes.wait("enforcer", &place.log("enforcer"), READY, || {
        let mut rules = on_the_node(place, "iptables");
        rules.args(["-w", "-S", "KUBE-ROUTER-FORWARD"]).stderr(Stdio::null());
        rules.output().is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(&place.names()))
    })
}
