//! The local engine with real processes. The program is a shell script that plays the command, and hands `supervise` to this very
//! test executable (see `the_supervisor_itself`), so that what runs here is what runs in production.

use engine::{
    Address, Cursor, End, Error, Resources, Runtime, Task, TaskKind, TaskState,
    local::{LocalEngine, supervise},
};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Not a test: this executable as the supervisor, when the script asks for it.
#[test]
fn the_supervisor_itself() {
    if let Ok(folder) = std::env::var("SUPERVISE_FOLDER") {
        std::process::exit(supervise(Path::new(&folder)));
    }
}

/// Not a test: this executable as a portal that applies one task and then goes on living.
#[tokio::test]
async fn the_portal_itself() {
    if let Ok(folder) = std::env::var("PORTAL_FOLDER") {
        let folder = PathBuf::from(folder);
        local_engine(&folder).apply(&job("job-1")).await.unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }
}

struct House {
    folder: tempfile::TempDir,
}

impl House {
    /// `script`: what the command does, in sh; `$SPEC` and `$PORT` are set.
    fn new(script: &str) -> Self {
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
    fn engine(&self) -> LocalEngine {
        local_engine(self.folder.path())
    }
    fn root(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }
    /// A portal in a process group of its own.
    fn portal(&self) -> std::process::Child {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_portal_itself", "--nocapture"]).env("PORTAL_FOLDER", self.folder.path());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).process_group(0).spawn().unwrap()
    }
    fn file(&self, task: &str, file: &str) -> Option<String> {
        std::fs::read_to_string(self.root().join(task).join(file)).ok()
    }
    async fn state_of(&self, task: &str) -> Option<TaskState> {
        self.engine().observe(task).await.unwrap().map(|o| o.state)
    }
    async fn wait_for(&self, task: &str, what: impl Fn(&TaskState) -> bool) -> TaskState {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match self.state_of(task).await {
                Some(state) if what(&state) => return state,
                other => assert!(Instant::now() < until, "{task} is {other:?}; errors: {:?}", self.file(task, "errors")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    async fn wait_for_end(&self, task: &str) -> TaskState {
        self.wait_for(task, |s| s.end().is_some()).await
    }
    async fn wait_for_output(&self, task: &str, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.file(task, "output").is_some_and(|o| o.contains(text)) {
            assert!(Instant::now() < until, "{task} did not print {text}: {:?}", self.file(task, "output"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    fn supervisor_of(&self, task: &str) -> i32 {
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

fn kill(pid: i32) {
    let _ = std::process::Command::new("kill").args(["-9", "--", &pid.to_string()]).stderr(std::process::Stdio::null()).status();
}

/// Also false for a process that has ended and only waits for its parent.
fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

async fn wait_until_gone(pid: i32) {
    let until = Instant::now() + Duration::from_secs(10);
    while is_running(pid) {
        assert!(Instant::now() < until, "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn local_engine(folder: &Path) -> LocalEngine {
    let env = BTreeMap::from([("GREETING".into(), "good morning".into())]);
    LocalEngine::new(folder.join("tasks"), folder.join("program"), env)
}

fn job(name: &str) -> Task {
    Task {
        name: name.into(),
        kind: TaskKind::Batch,
        tenant: "acme".parse().unwrap(),
        runtime: Runtime::Trainer,
        args: vec!["task".into(), "run".into()],
        spec: "{\"n\":1}".into(),
        resources: Resources::default(),
        secrets: Vec::new(),
        deadline: None,
        grace: Duration::from_secs(10),
    }
}
fn server(name: &str) -> Task {
    Task { kind: TaskKind::Server, args: vec!["task".into(), "serve".into()], ..job(name) }
}

#[tokio::test]
async fn the_command_gets_its_spec_and_only_its_own_environment() {
    let house = House::new(r#"cat "$SPEC"; echo; env | cut -d= -f1 | sort | tr '\n' ' '; echo "$GREETING in $PWD" "#);
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
    let output = house.file("job-1", "output").unwrap();
    let folder = house.root().join("job-1");
    assert_eq!(output.lines().next(), Some("{\"n\":1}"));
    assert!(output.ends_with(&format!("good morning in {}\n", folder.display())), "{output}");
    // PWD, OLDPWD, SHLVL and _ are the shell's own.
    let names: Vec<_> = output
        .lines()
        .nth(1)
        .unwrap()
        .split("good")
        .next()
        .unwrap()
        .split_whitespace()
        .filter(|n| !matches!(*n, "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect();
    assert_eq!(names, ["GREETING", "HOME", "PATH", "TMPDIR"]);
}

#[tokio::test]
async fn applying_twice_starts_once() {
    let house = House::new("echo started; sleep 0.2");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    engine.apply(&job("job-1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"));
    let other = Task { spec: "{\"n\":2}".into(), ..job("job-1") };
    assert!(matches!(engine.apply(&other).await, Err(Error::Different { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn two_portals_that_race_start_one_process() {
    let house = House::new("echo started; sleep 0.3");
    let racers: Vec<_> = (0..8).map(|_| house.engine()).map(|e| tokio::spawn(async move { e.apply(&job("job-1")).await })).collect();
    for racer in racers {
        racer.await.unwrap().unwrap();
    }
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"));
}

#[tokio::test]
async fn killing_the_portal_changes_nothing_for_its_task() {
    let house = House::new("echo started; while [ ! -f go ]; do sleep 0.02; done; echo done; exit 4");
    let mut portal = house.portal();
    house.wait_for_output("job-1", "started").await;
    kill(-portal.id().cast_signed());
    portal.wait().unwrap();
    assert!(house.state_of("job-1").await.is_some_and(|s| s.is_running()));
    house.engine().apply(&job("job-1")).await.unwrap();
    std::fs::write(house.root().join("job-1/go"), "").unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 4 }));
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\ndone\n"));
}

#[tokio::test]
async fn a_portal_killed_at_any_moment_of_the_start_neither_loses_nor_doubles_it() {
    // From before the folder is made to after the command runs.
    for milliseconds in (0..60).step_by(4) {
        let house = House::new("echo started");
        let mut portal = house.portal();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        kill(-portal.id().cast_signed());
        portal.wait().unwrap();
        house.engine().apply(&job("job-1")).await.unwrap();
        assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }), "killed after {milliseconds} ms");
        // A second supervisor that was on its way when the portal died.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"), "killed after {milliseconds} ms");
    }
}

#[tokio::test]
async fn a_folder_without_a_start_is_started_by_the_next_apply() {
    let house = House::new("echo started");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    // As a portal leaves it that was killed between making the folder and starting the supervisor.
    for file in ["started.json", "exit.json", "output"] {
        std::fs::remove_file(house.root().join("job-1").join(file)).unwrap();
    }
    assert_eq!(engine.observe("job-1").await.unwrap(), None);
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"));
}

#[tokio::test]
async fn a_half_made_folder_is_made_anew() {
    let house = House::new("echo started");
    std::fs::create_dir_all(house.root().join(".new-job-1/tmp")).unwrap();
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
}

#[tokio::test]
async fn how_it_ended_is_known_to_a_portal_that_did_not_see_it() {
    let house = House::new("sleep 0.1; exit 3");
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 3 }));
    let house = House::new("kill -SEGV $$");
    house.engine().apply(&job("job-2")).await.unwrap();
    assert_eq!(house.wait_for_end("job-2").await, TaskState::Ended(End::Signalled { signal: libc::SIGSEGV }));
}

#[tokio::test]
async fn a_program_that_is_missing_is_an_error_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::new(folder.path().join("tasks"), folder.path().join("nothing-here"), BTreeMap::new());
    let error = engine.apply(&job("job-1")).await.unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound), "{error}");
    assert_eq!(engine.observe("job-1").await.unwrap(), None);
}

#[tokio::test]
async fn a_stop_gives_the_command_time_to_end_well() {
    let house = House::new("trap 'echo asked; sleep 0.2; echo done; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "ready").await;
    engine.stop("job-1", Duration::from_secs(20)).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 5 }));
    assert_eq!(house.file("job-1", "output").as_deref(), Some("ready\nasked\ndone\n"));
    engine.stop("job-1", Duration::ZERO).await.unwrap();
    engine.stop("job-never-applied", Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn who_does_not_end_is_killed_after_the_grace_time_with_all_children() {
    let house =
        House::new("trap '' TERM; (trap '' TERM; setsid -f true; sleep 60) & echo child $!; echo ready; while :; do sleep 0.05; done");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "ready").await;
    let child: i32 = house.file("job-1", "output").unwrap().lines().next().unwrap().trim_start_matches("child ").parse().unwrap();
    let asked = Instant::now();
    engine.stop("job-1", Duration::from_millis(400)).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(300), "stop returns at once");
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Signalled { signal: libc::SIGKILL }));
    assert!(asked.elapsed() >= Duration::from_millis(400), "killed before the grace time was over");
    assert!(!is_running(child), "a child was left behind");
}

#[tokio::test]
async fn nothing_of_a_command_that_ended_runs_on() {
    let house = House::new("(trap '' HUP; sleep 60) & echo $!");
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
    let child: i32 = house.file("job-1", "output").unwrap().trim().parse().unwrap();
    assert!(!is_running(child), "the child of an ended command was left behind");
}

#[tokio::test]
async fn a_task_stopped_before_it_started_never_starts() {
    let house = House::new("echo started");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    for file in ["started.json", "exit.json", "output"] {
        std::fs::remove_file(house.root().join("job-1").join(file)).unwrap();
    }
    engine.stop("job-1", Duration::from_secs(1)).await.unwrap();
    engine.apply(&job("job-1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Signalled { signal: libc::SIGTERM })));
    assert_eq!(house.file("job-1", "output"), None);
}

#[tokio::test]
async fn a_killed_supervisor_means_lost_and_takes_the_command_with_it() {
    let house = House::new("sleep 60 & echo $$ $!; wait");
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "\n").await;
    let pids: Vec<i32> = house.file("job-1", "output").unwrap().split_whitespace().map(|p| p.parse().unwrap()).collect();
    assert!(pids.iter().all(|p| is_running(*p)));
    kill(house.supervisor_of("job-1"));
    wait_until_gone(pids[0]).await;
    house.wait_for("job-1", |s| *s == TaskState::Ended(End::Removed)).await;
    // The grandchild is found by its session.
    wait_until_gone(pids[1]).await;
    // Lost is not forgotten: it is not started again.
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Removed)));
}

#[tokio::test]
async fn a_process_with_the_number_of_a_lost_task_is_not_taken_for_it() {
    let house = House::new("sleep 60");
    house.engine().apply(&job("job-1")).await.unwrap();
    let supervisor = house.supervisor_of("job-1");
    let path = house.root().join("job-1/started.json");
    let real = std::fs::read_to_string(&path).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&real).unwrap();
    other["start_time"] = 1.into();
    std::fs::write(&path, other.to_string()).unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Removed)));
    house.engine().stop("job-1", Duration::ZERO).await.unwrap();
    assert!(is_running(supervisor), "a stranger was signalled");
    std::fs::write(&path, real).unwrap();
    house.engine().remove("job-1").await.unwrap();
    assert!(!is_running(supervisor));
}

#[tokio::test]
async fn after_a_restart_of_the_machine_a_process_of_the_same_number_is_not_taken_for_the_task() {
    let answers = tempfile::tempdir().unwrap();
    let answer = answers.path().join("here");
    let house = House::new(&format!("trap 'echo here > {}' USR1; echo $$; while :; do sleep 0.05; done", answer.display()));
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "\n").await;
    let command: i32 = house.file("job-1", "output").unwrap().trim().parse().unwrap();
    let supervisor = house.supervisor_of("job-1");
    // All is as it was but for the machine, which has started anew: number and start time say nothing then.
    let path = house.root().join("job-1/started.json");
    let mut before: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    before["boot"] = "before the restart".into();
    std::fs::write(&path, before.to_string()).unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::NodeLost)));
    house.engine().stop("job-1", Duration::ZERO).await.unwrap();
    house.engine().remove("job-1").await.unwrap();
    // Nobody has touched the stranger's session: it still answers.
    let until = Instant::now() + Duration::from_secs(30);
    while !answer.exists() {
        let _ = std::process::Command::new("kill").args(["-USR1", &command.to_string()]).stderr(std::process::Stdio::null()).status();
        assert!(is_running(supervisor) && is_running(command), "a stranger was killed");
        assert!(Instant::now() < until, "the stranger does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(supervisor);
    kill(command);
}

#[tokio::test]
async fn output_is_read_in_whole_lines_from_an_offset() {
    let house = House::new(
        "printf 'one\\ntwo\\nthr'; while [ ! -f go ]; do sleep 0.02; done; printf 'ee\\n0123456789012345678901234567890123456789\\nlast\\n'",
    );
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "thr").await;
    let read = async |from: &str, limit| {
        let read = engine.output("job-1", &Cursor::from_text(from), limit).await.unwrap();
        (String::from_utf8(read.bytes).unwrap(), read.next.as_str().to_owned())
    };
    let said = |text: &str, next: &str| (text.to_owned(), next.to_owned());
    assert_eq!(read("", 1000).await, said("one\ntwo\n", "8"));
    assert_eq!(read("0", 5).await, said("one\n", "4"));
    assert_eq!(read("8", 1000).await, said("", "8"), "a torn line waits");
    std::fs::write(house.root().join("job-1/go"), "").unwrap();
    house.wait_for_end("job-1").await;
    assert_eq!(read("8", 7).await, said("three\n", "14"));
    let (long, next) = read("14", 7).await;
    assert_eq!((long.len(), next.as_str()), (41, "55"), "a line longer than the limit comes whole, and alone");
    assert_eq!(read("55", 7).await, said("last\n", "60"));
    assert_eq!(read("60", 7).await, said("", "60"));
    assert!(matches!(engine.output("job-2", &Cursor::start(), 7).await, Err(Error::Unknown(_))));
    assert!(matches!(engine.output("job-1", &Cursor::from_text("2026-01-01T00:00:00Z"), 7).await, Err(Error::BadCursor(_))));
}

#[tokio::test]
async fn servers_get_ports_of_their_own() {
    let house = House::new("echo port $PORT; exec sleep 60");
    let engine = house.engine();
    for name in ["ep-1", "ep-2", "job-1"] {
        engine.apply(&if name.starts_with("ep") { server(name) } else { job(name) }).await.unwrap();
        house.wait_for_output(name, "\n").await;
    }
    let seen = engine.list("ep-").await.unwrap();
    assert_eq!(seen.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["ep-1", "ep-2"]);
    assert!(seen.iter().all(|o| o.state.is_running() && o.hash == server(&o.name).hash()));
    assert_ne!(seen[0].addresses, seen[1].addresses);
    for o in seen {
        let port = house.file(&o.name, "output").unwrap().trim().trim_start_matches("port ").to_owned();
        assert_eq!(o.addresses, [Address { url: format!("http://127.0.0.1:{port}"), ready: false }], "nothing listens there");
        engine.remove(&o.name).await.unwrap();
    }
    assert_eq!(engine.observe("job-1").await.unwrap().unwrap().addresses, []);
    assert_eq!(house.file("job-1", "output").as_deref(), Some("port\n"));
    engine.remove("job-1").await.unwrap();
}

#[tokio::test]
async fn removing_kills_and_forgets() {
    let house = House::new("trap '' TERM; echo $$; while :; do sleep 0.05; done");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "\n").await;
    let pid: i32 = house.file("job-1", "output").unwrap().trim().parse().unwrap();
    engine.remove("job-1").await.unwrap();
    assert!(!is_running(pid));
    assert_eq!(engine.observe("job-1").await.unwrap(), None);
    assert!(!house.root().join("job-1").exists());
    engine.remove("job-1").await.unwrap();
}

#[tokio::test]
async fn a_file_beside_the_spec_is_replaced_whole() {
    let house = House::new("exec sleep 60");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    for text in ["{\"adapters\":[]}", "{}"] {
        engine.put_file("job-1", "adapters.json", text.as_bytes()).await.unwrap();
        assert_eq!(house.file("job-1", "adapters.json").as_deref(), Some(text));
    }
    for bad in ["spec.json", "../adapters.json", "output"] {
        assert!(matches!(engine.put_file("job-1", bad, b"").await, Err(Error::BadName(_))), "{bad}");
    }
    assert!(matches!(engine.put_file("job-2", "adapters.json", b"").await, Err(Error::Unknown(_))));
    assert!(matches!(engine.observe("../job-1").await, Err(Error::BadName(_))));
    engine.remove("job-1").await.unwrap();
}

#[tokio::test]
async fn a_leader_whose_term_is_over_can_change_nothing_however_late_it_comes() {
    let house = House::new("exec sleep 60");
    let engine = engine::Engine::Local(house.engine());
    let (old, new) = (engine.in_term(3), engine.in_term(4));
    old.begin_term().await.unwrap();
    old.apply(&job("job-1")).await.unwrap();
    old.put_file("job-1", "adapters.json", b"old").await.unwrap();
    new.begin_term().await.unwrap();
    let refused = [
        old.begin_term().await,
        old.apply(&job("job-2")).await,
        old.put_file("job-1", "adapters.json", b"late").await,
        old.stop("job-1", Duration::ZERO).await,
        old.remove("job-1").await,
    ];
    for (i, result) in refused.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::Outdated { mine: 3, current: 4 })), "{i}: {result:?}");
    }
    assert_eq!(house.file("job-1", "adapters.json").as_deref(), Some("old"));
    assert!(house.state_of("job-1").await.is_some_and(|s| s.is_running()));
    assert_eq!(house.state_of("job-2").await, None);
    assert!(
        std::fs::read_dir(house.root().join("job-1")).unwrap().flatten().all(|e| !e.file_name().to_string_lossy().contains(".adapters"))
    );
    // Looking is free; the new one goes on with what the old one began.
    assert_eq!(old.list("job-").await.unwrap().len(), 1);
    new.put_file("job-1", "adapters.json", b"new").await.unwrap();
    new.remove("job-1").await.unwrap();
}

/// As the version before wrote it: the environment in `task.json`, and neither tenant nor resources.
fn as_the_version_before(house: &House, name: &str) {
    let folder = house.root().join(name);
    let hash = serde_json::from_str::<serde_json::Value>(&house.file(name, "task.json").unwrap()).unwrap()["hash"].clone();
    let task = serde_json::json!({"hash": hash, "task": {
        "name": name, "kind": "job", "args": ["task", "run"], "spec": "{\"n\":1}", "env": {"GREETING": "from before"}
    }});
    std::fs::write(folder.join("task.json"), task.to_string()).unwrap();
    let mut launch: serde_json::Value = serde_json::from_str(&house.file(name, "launch.json").unwrap()).unwrap();
    launch.as_object_mut().unwrap().remove("env");
    std::fs::write(folder.join("launch.json"), launch.to_string()).unwrap();
}

#[tokio::test]
async fn a_task_that_the_version_before_started_is_adopted() {
    let house = House::new("echo started; while [ ! -f go ]; do sleep 0.02; done; exit 4");
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "started").await;
    as_the_version_before(&house, "job-1");
    let engine = house.engine();
    assert!(house.state_of("job-1").await.is_some_and(|s| s.is_running()));
    assert_eq!(engine.list("job-").await.unwrap().len(), 1);
    // The same work has another hash by now; whoever asks for it leaves what runs alone.
    let asked = Task { grace: Duration::from_secs(11), ..job("job-1") };
    assert!(matches!(engine.apply(&asked).await, Err(Error::Different { .. })));
    std::fs::write(house.root().join("job-1/go"), "").unwrap();
    house.wait_for_end("job-1").await;
    // Its supervisor knew nothing of reasons.
    std::fs::write(house.root().join("job-1/exit.json"), r#"{"code":4,"signal":null}"#).unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Exited { status: 4 })));
}

#[tokio::test]
async fn a_folder_that_the_version_before_made_and_did_not_start_is_started_with_its_environment() {
    let house = House::new("echo $GREETING");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    for file in ["started.json", "exit.json", "output"] {
        std::fs::remove_file(house.root().join("job-1").join(file)).unwrap();
    }
    as_the_version_before(&house, "job-1");
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    assert_eq!(house.file("job-1", "output").as_deref(), Some("from before\n"));
}

#[tokio::test]
async fn the_control_group_of_a_task_goes_with_it_also_when_its_supervisor_was_killed() {
    let house = House::new("echo ready; sleep 60");
    let engine = house.engine();
    if let Err(why) = engine.holds().memory {
        return testing::skip(&format!("memory limits: {why}"));
    }
    let limited = |name: &str| Task { resources: Resources { memory: Some(1 << 28), ..Resources::default() }, ..job(name) };
    for (name, killed) in [("job-1", false), ("job-2", true)] {
        engine.apply(&limited(name)).await.unwrap();
        house.wait_for_output(name, "ready").await;
        let group: serde_json::Value = serde_json::from_str(&house.file(name, "group.json").unwrap()).unwrap();
        let group = PathBuf::from(group["path"].as_str().unwrap());
        assert!(!std::fs::read_to_string(group.join("cgroup.procs")).unwrap().is_empty(), "the command is not in its group");
        if killed {
            kill(house.supervisor_of(name));
            house.wait_for(name, |s| s.end().is_some()).await;
        } else {
            engine.stop(name, Duration::ZERO).await.unwrap();
            house.wait_for_end(name).await;
            assert!(!group.exists(), "a group was left behind");
        }
        engine.remove(name).await.unwrap();
        assert!(!group.exists(), "a group was left behind");
    }
}
