//! A folder with a program and an engine on it, as a portal has them.

use engine::{Resources, Runtime, Task, TaskKind, TaskState, local::LocalEngine};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub struct House {
    pub folder: tempfile::TempDir,
}

impl House {
    /// `script`: what the command does, in sh; `$SPEC` and `$PORT` are set.
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = format!(
            r#"#!/bin/sh
if [ "$2" = supervise ]; then
  SUPERVISE_FOLDER="$4" exec {exe} --exact the_supervisor_itself --nocapture
fi
while [ $# -gt 0 ]; do
  case "$1" in --spec) SPEC="$2" ;; --port) PORT="$2" ;; esac
  shift
done
unset SUPERVISE_FOLDER
{script}
"#,
            exe = std::env::current_exe().unwrap().display()
        );
        let path = folder.path().join("program");
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }
    /// As a portal that was just started sees it.
    pub fn engine(&self) -> LocalEngine {
        local_engine(self.folder.path())
    }
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }
    /// A portal in a process group of its own.
    pub fn portal(&self) -> std::process::Child {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_portal_itself", "--nocapture"]).env("PORTAL_FOLDER", self.folder.path());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).process_group(0).spawn().unwrap()
    }
    pub fn file(&self, task: &str, file: &str) -> Option<String> {
        std::fs::read_to_string(self.root().join(task).join(file)).ok()
    }
    /// The folder of an ended task, as a portal leaves it that was killed between making the folder and starting the supervisor.
    pub fn as_never_started(&self, task: &str) {
        for file in ["started.json", "exit.json", "output"] {
            std::fs::remove_file(self.root().join(task).join(file)).unwrap();
        }
    }
    pub async fn state_of(&self, task: &str) -> Option<TaskState> {
        self.engine().observe(task).await.unwrap().map(|o| o.state)
    }
    pub async fn wait_for(&self, task: &str, what: impl Fn(&TaskState) -> bool) -> TaskState {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match self.state_of(task).await {
                Some(state) if what(&state) => return state,
                other => assert!(Instant::now() < until, "{task} is {other:?}; errors: {:?}", self.file(task, "errors")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    pub async fn wait_for_end(&self, task: &str) -> TaskState {
        self.wait_for(task, |s| s.end().is_some()).await
    }
    pub async fn wait_for_output(&self, task: &str, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.file(task, "output").is_some_and(|o| o.contains(text)) {
            assert!(Instant::now() < until, "{task} did not print {text}: {:?}", self.file(task, "output"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    pub fn supervisor_of(&self, task: &str) -> i32 {
        let started: serde_json::Value = serde_json::from_str(&self.file(task, "started.json").unwrap()).unwrap();
        i32::try_from(started["pid"].as_i64().unwrap()).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A failed test leaves no processes behind.
        for entry in std::fs::read_dir(self.root()).into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|n| !n.starts_with('.'))
                && self.file(name, "started.json").is_some()
                && self.file(name, "exit.json").is_none()
                && is_running(self.supervisor_of(name))
            {
                kill(-self.supervisor_of(name));
                kill(self.supervisor_of(name));
            }
        }
    }
}

pub fn kill(pid: i32) {
    let _ = std::process::Command::new("kill").args(["-9", "--", &pid.to_string()]).stderr(std::process::Stdio::null()).status();
}

/// Also false for a process that has ended and only waits for its parent.
pub fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

pub async fn wait_until_gone(pid: i32) {
    let until = Instant::now() + Duration::from_secs(10);
    while is_running(pid) {
        assert!(Instant::now() < until, "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn local_engine(folder: &Path) -> LocalEngine {
    let env = BTreeMap::from([("GREETING".into(), "good morning".into())]);
    LocalEngine::new(folder.join("tasks"), folder.join("program"), env)
}

pub fn job(name: &str) -> Task {
    Task {
        name: name.into(),
        kind: TaskKind::Batch,
        tenant: "acme".parse().unwrap(),
        runtime: Runtime::Trainer,
        args: vec!["task".into(), "run".into()],
        spec: "{\"n\":1}".into(),
        resources: Resources::default(),
        secrets: Vec::new(),
        replicas: 1,
        deadline: None,
        grace: Duration::from_secs(10),
    }
}
pub fn server(name: &str) -> Task {
    Task { kind: TaskKind::Server, args: vec!["task".into(), "serve".into()], ..job(name) }
}
