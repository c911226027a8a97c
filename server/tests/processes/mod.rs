//! The real program as processes: started, killed, started again on the same data.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod balancer;
pub mod cluster;
pub mod house;
pub mod house_on_a_cluster;
pub mod launch;
pub mod person;
pub mod postgres;
pub mod programs;
pub mod two_tenants;
pub mod wire;

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How a process of the portal is started; the same again after a kill.
pub struct Setup {
    pub address: String,
    /// Flags of `atelier serve`.
    args: Vec<String>,
    /// What is logged; none = as usual.
    says: Option<String>,
    /// Further variables of its environment.
    variables: Vec<(String, String)>,
    log: PathBuf,
}

impl Setup {
    /// A portal with all roles on a free port; `name` is the file of its log in `data`.
    pub fn new(data: &Path, name: &str) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut args = vec!["serve".to_owned(), "--listen".into(), listen.clone(), "--data".into(), data.display().to_string()];
        // Pages are only read as HTML here, so the browser's files may be missing.
        args.extend(["--site".to_owned(), data.join("site").display().to_string()]);
        std::fs::create_dir_all(data.join("site")).unwrap();
        Self { address: format!("http://{listen}"), args, says: None, variables: Vec::new(), log: data.join(format!("{name}.log")) }
    }

    pub fn with(mut self, flag: &str, value: impl std::fmt::Display) -> Self {
        self.args.extend([flag.to_owned(), value.to_string()]);
        self
    }

    /// Lets it log what `ATELIER_LOG` says here.
    pub fn saying(mut self, filter: &str) -> Self {
        self.says = Some(filter.to_owned());
        self
    }

    pub fn variable(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&self) -> Portal {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
        for (name, _) in std::env::vars_os()
            .filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_") || name.to_string_lossy().starts_with("OTEL_"))
        {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(self.says.iter().map(|filter| ("ATELIER_LOG", filter)));
        command.args(&self.args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Portal { child: command.spawn().unwrap(), address: self.address.clone() }
    }

    /// Starts the process and waits until it says that it is ready.
    pub async fn start(&self) -> Portal {
        let mut portal = self.spawn();
        let http = reqwest::Client::new();
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = portal.child.try_wait().unwrap() {
                panic!("the portal ended with {status}:\n{}", self.last_words());
            }
            if http.get(format!("{}/readyz", self.address)).send().await.is_ok_and(|a| a.status().is_success()) {
                return portal;
            }
            assert!(Instant::now() < until, "the portal was not ready within 60 s:\n{}", self.last_words());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

pub struct Portal {
    child: Child,
    pub address: String,
}

impl Portal {
    /// Sends a signal by its name: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "SIG{name} could not be sent");
    }
    /// SIGTERM, and then waits until it has ended by itself; whether it ended well.
    pub async fn stop(mut self) -> bool {
        self.signal("TERM");
        within(Duration::from_secs(120), "the portal has ended after SIGTERM", async || self.child.try_wait().unwrap()).await.success()
    }
    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
    /// SIGKILL: it gets no chance to tidy up.
    pub fn kill(mut self) {
        self.end();
    }
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.end();
    }
}

/// The tasks in a data folder. Ends them at the end, whatever becomes of the test: tasks outlive the portal on purpose.
pub struct TaskFolders(pub PathBuf);

impl TaskFolders {
    /// Folders of tasks whose name begins and ends so.
    pub fn folders(&self, prefix: &str, suffix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.0.join("engine")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) && name.ends_with(suffix) && entry.path().join("task.json").exists() {
                found.push(entry.path());
            }
        }
        found
    }
}

impl Drop for TaskFolders {
    fn drop(&mut self) {
        for folder in self.folders("", "") {
            let started = std::fs::read_to_string(folder.join("started.json")).unwrap_or_default();
            let pid = serde_json::from_str::<serde_json::Value>(&started).ok().and_then(|v| v["pid"].as_i64()).unwrap_or(0);
            if pid > 1 && !folder.join("exit.json").exists() {
                // The kernel kills the supervisor's children with it.
                let _ = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).stderr(Stdio::null()).status();
            }
        }
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Asks again and again until there is an answer.
pub async fn within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "not within {} s: {what}", limit.as_secs_f32());
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// A file of the demo world.
pub fn world(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/world").join(name).canonicalize().unwrap()
}

/// The client of these tests speaks plain http only, but its TLS must be told where its arithmetic comes from.
pub fn prepare() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// CPU time of a process until now, user and system.
pub fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // Linux counts in hundredths for programs, whatever the kernel's own clock.
    Duration::from_millis(ticks * 10)
}

/// How often the threads of a process went to sleep so far: each time something woke them.
#[allow(dead_code, reason = "for benches")]
pub fn wake_ups(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of_thread =
        |status: String| status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok());
    threads.filter_map(|thread| of_thread(std::fs::read_to_string(thread.path().join("status")).ok()?)).sum()
}
