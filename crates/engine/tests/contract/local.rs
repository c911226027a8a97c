//! The engine of this machine. The program is a shell script that runs the spec as a script, and hands `supervise` to this very test
//! executable, so that what runs here is what runs in production.

use crate::world::World;
use engine::{
    Engine,
    local::{LocalEngine, supervise},
};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, time::Duration};

/// Not a test: this executable as the supervisor, when the script asks for it.
#[test]
fn the_supervisor_itself() {
    if let Ok(folder) = std::env::var("SUPERVISE_FOLDER") {
        std::process::exit(supervise(Path::new(&folder)));
    }
}

pub async fn world() -> Option<World> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let script = format!(
        r#"#!/bin/sh
if [ "$2" = supervise ]; then
  SUPERVISE_FOLDER="$4" exec {exe} --exact local::the_supervisor_itself --nocapture
fi
while [ $# -gt 0 ]; do
  case "$1" in --spec) SPEC="$2" ;; --port) export PORT="$2" ;; esac
  shift
done
unset SUPERVISE_FOLDER
. "$SPEC"
"#,
        exe = std::env::current_exe().unwrap().display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let root = folder.path().join("tasks");
    let engine = Engine::Local(LocalEngine::new(root.clone(), program, BTreeMap::new()));
    Some(World { engine, seen_by_others: Box::new(move || seen(&root)), start: Duration::ZERO, _keep: Box::new(Kept(folder)) })
}

/// The files of all tasks but the secrets' own, and command line and environment of every process that works for them.
fn seen(root: &Path) -> String {
    let mut out = String::new();
    files(root, &mut out);
    let place = root.display().to_string();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file| String::from_utf8_lossy(&std::fs::read(process.path().join(file)).unwrap_or_default()).into_owned();
        let text = format!("{} {}", read("cmdline"), read("environ"));
        if text.contains(&place) {
            out.push_str(&text);
        }
    }
    out
}

fn files(folder: &Path, out: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !matches!(entry.file_name().to_str(), Some("secrets" | ".secrets")) {
            files(&path, out);
        } else if path.is_file() {
            out.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()));
        }
    }
}

/// A failed test leaves no processes behind.
struct Kept(tempfile::TempDir);

impl Drop for Kept {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.0.path().join("tasks")).into_iter().flatten().flatten() {
            let read = |file| serde_json::from_slice::<serde_json::Value>(&std::fs::read(entry.path().join(file)).ok()?).ok();
            if let (Some(started), None) = (read("started.json"), read("exit.json"))
                && let Some(pid) = started["pid"].as_i64().filter(|pid| *pid > 1)
            {
                // It takes its command with it.
                let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null()).status();
            }
        }
    }
}
