//! Shows that the cluster does what production does: Pod Security "restricted" refuses what it must, and under it each image starts.

use super::{
    binaries::Binaries,
    control_plane::{asked, kubectl},
    images, place,
    place::Place,
};
use crate::{interrupt, run::run};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

const NAMESPACE: &str = "proof";
/// Fails when the API server has no name, or the object store cannot be reached.
const REACHES: &str = "import socket, sys
print('kubernetes.default is', socket.gethostbyname('kubernetes.default'))
socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
print('the object store is reached')";
const MOST: Duration = Duration::from_secs(300);

pub fn prove(binaries: &Binaries, place: &Place) -> Result<()> {
    let on = || kubectl(binaries, place);
    let apply = |object: &Value| -> Result<String> {
        let file = place.dir.join("proof.json");
        fs::write(&file, object.to_string())?;
        asked(on().args(["apply", "-f"]).arg(&file))
    };
    apply(&json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }))?;
    let done = (|| {
        let mut as_root = pod("as-root", "task", &["true"]);
        as_root["spec"]["securityContext"] = json!({});
        let refused = apply(&as_root).unwrap_or_else(|e| e.to_string());
        ensure!(refused.contains("violates PodSecurity"), "a pod as root was not refused: {refused}");
        println!("  a pod as root is refused");
        let (address, store) = (place.store(), place::S3.to_string());
        let pods: [(&str, &str, &[&str]); 4] = [
            ("task", "task", &["/usr/local/bin/atelier", "--version"]),
            ("names", "task", &["python3", "-c", REACHES, &address, &store]),
            ("trainer", "trainer", &["python", "-m", "llamafactory.cli", "version"]),
            ("vllm", "vllm", &["python", "-c", "import vllm; print('vLLM', vllm.__version__)"]),
        ];
        for (name, image, command) in pods {
            let began = Instant::now();
            apply(&pod(name, image, command))?;
            let said = ended(&on, name)?;
            println!("  {name}: {:.1} s\n{}", began.elapsed().as_secs_f32(), said.trim_end());
        }
        Ok(())
    })();
    run(on().args(["delete", "namespace", NAMESPACE, "--wait=false"]))?;
    done
}

/// As the portal makes them: nobody's user, nothing writable but one folder.
fn pod(name: &str, image: &str, command: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main", "image": images::names()[image], "imagePullPolicy": "IfNotPresent", "command": command,
                // PyTorch asks who it is, and nobody in the image has this number.
                "env": [{"name": "HOME", "value": "/work"}, {"name": "TMPDIR", "value": "/work"}, {"name": "USER", "value": "atelier"}],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "work", "mountPath": "/work"}],
            }],
            "volumes": [{"name": "work", "emptyDir": {}}],
        },
    })
}

/// What the pod printed, when it has ended well.
fn ended(on: &dyn Fn() -> Command, name: &str) -> Result<String> {
    let until = Instant::now() + MOST;
    loop {
        let phase = asked(on().args(["-n", NAMESPACE, "get", "pod", name, "-o", "jsonpath={.status.phase}"]))?;
        let log = || asked(on().args(["-n", NAMESPACE, "logs", name])).unwrap_or_default();
        match phase.as_str() {
            "Succeeded" => return Ok(log()),
            "Failed" => bail!("the pod {name} failed:\n{}", log()),
            _ if Instant::now() > until => {
                let events = asked(on().args(["-n", NAMESPACE, "describe", "pod", name]))?;
                bail!("the pod {name} has not ended after {} s:\n{events}", MOST.as_secs())
            }
            _ => {}
        }
        interrupt::check()?;
        sleep(Duration::from_millis(300));
    }
}
