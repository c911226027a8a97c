//! containerd's own client.

use super::place::Place;
use std::process::{Command, Stdio};

/// In the namespace that the kubelet looks at.
pub fn ctr(place: &Place) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(place.containerd_socket()).args(["--namespace", "k8s.io"]).stdin(Stdio::null());
    command
}
