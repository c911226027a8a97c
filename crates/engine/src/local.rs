//! Tasks as processes on this machine: one folder a task, one supervisor a task.
//!
//! The portal may be killed at any moment, and there may be two of them. What makes that harmless:
//! - A folder appears complete or not at all (made beside, then renamed), under one lock for the whole root.
//! - Every task has a supervisor (`atelier task supervise --folder DIR`), the leader of a session of its own, which lives on
//!   when the portal dies. It claims the task by creating `started.json` exclusively, before it starts anything:
//!   however many supervisors are sent, one starts the command. It waits for the command and writes `exit.json`.
//! - So the folder tells everything, and any portal can read it: nothing is kept in memory here.
//! - Of two portals one leads. The root knows the number of the latest term (`.term`), read under the lock before every change:
//!   a leader that was frozen and thaws after its successor has begun is refused, however far it had come.

mod cgroup;
mod folder;
mod machine;
mod process;
mod quota;
mod secrets;
mod supervisor;
mod watch;

pub use supervisor::supervise;
pub use watch::Watch;

use crate::{Cursor, End, Error, Holds, Observation, Output, PendingCause, Place, Replica, ReplicaState, Task, TaskKind, TaskState};
use domain::{name::Name, time::Timestamp};
use folder::{Applying, Exit, Folder, Launch, Started};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Seek, SeekFrom},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// How long `apply` waits for the supervisor to claim the task. Starting takes some 20 ms; this is for a machine under load.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long `remove` waits for killed processes to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection to a port of this machine may take: whoever listens takes it at once.
const CONNECT_PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct LocalEngine {
    root: PathBuf,
    program: PathBuf,
    /// What every task gets in its environment: where this machine has the runtimes.
    env: BTreeMap<String, String>,
    /// In whose hands it is; `None` outside of any leadership (tests, one's own tools).
    term: Option<i64>,
}

impl LocalEngine {
    /// `root`: holds a folder per task; made when first needed. `program`: the `atelier` program. `env`: what every task gets in its
    /// environment beside `PATH`, `HOME` (its folder) and `TMPDIR`: where this machine has trainer and model server; never a secret.
    pub fn new(root: PathBuf, program: PathBuf, env: BTreeMap<String, String>) -> Self {
        // Relative paths would mean something else in the task, whose working directory is its folder.
        let absolute = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
        Self { root: absolute(root), program: absolute(program), env, term: None }
    }

    pub fn in_term(&self, term: i64) -> Self {
        Self { term: Some(term), ..self.clone() }
    }

    pub async fn begin_term(&self) -> Result<(), Error> {
        let engine = self.clone();
        blocking(move || engine.lock().map(drop)).await
    }

    pub async fn ensure_tenant(&self, place: &Place) -> Result<(), Error> {
        let (engine, place) = (self.clone(), place.clone());
        blocking(move || {
            let _lock = engine.lock()?;
            match quota::of(&engine.root, &place.tenant) {
                Ok(known) if known == place.compute => Ok(()),
                _ => quota::put(&engine.root, &place.tenant, &place.compute),
            }
        })
        .await
    }

    pub async fn remove_tenant(&self, tenant: &Name) -> Result<(), Error> {
        let (engine, tenant) = (self.clone(), tenant.clone());
        blocking(move || {
            let _lock = engine.lock()?;
            quota::remove(&engine.root, &tenant)?;
            secrets::remove_all(&engine.root, &tenant)
        })
        .await
    }

    pub async fn apply(&self, task: &Task) -> Result<(), Error> {
        let (engine, task) = (self.clone(), task.clone());
        blocking(move || engine.apply_now(&task)).await
    }

    pub async fn observe(&self, name: &str) -> Result<Option<Observation>, Error> {
        let folder = self.folder(name)?;
        blocking(move || observe(&folder)).await
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<Observation>, Error> {
        let (engine, prefix) = (self.clone(), prefix.to_owned());
        blocking(move || {
            let mut out = Vec::new();
            for name in engine.names()? {
                if name.starts_with(&prefix) {
                    out.extend(observe(&engine.folder(&name)?)?);
                }
            }
            Ok(out)
        })
        .await
    }

    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), Error> {
        let (engine, folder) = (self.clone(), self.folder(name)?);
        blocking(move || engine.stop_now(&folder, grace)).await
    }

    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let (engine, folder) = (self.clone(), self.folder(name)?);
        blocking(move || engine.remove_now(&folder)).await
    }

    /// The cursor is a byte offset in the file.
    pub async fn output(&self, name: &str, from: &Cursor, limit: usize) -> Result<Output, Error> {
        let folder = self.folder(name)?;
        let offset = match from.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| Error::BadCursor(name.to_owned()))?,
        };
        let (bytes, next) = blocking(move || whole_lines(&folder, offset, limit)).await?;
        let next = if bytes.is_empty() { from.clone() } else { Cursor::from_text(next.to_string()) };
        Ok(Output { bytes, next })
    }

    pub async fn put_file(&self, name: &str, file: &str, contents: &[u8]) -> Result<(), Error> {
        if !folder::is_file_name(file) {
            return Err(Error::BadName(file.to_owned()));
        }
        let (engine, folder, file, contents) = (self.clone(), self.folder(name)?, file.to_owned(), contents.to_owned());
        blocking(move || {
            if folder.applied()?.is_none() {
                return Err(Error::Unknown(folder.name().to_owned()));
            }
            let doing = because(format!("writing {file} of {}", folder.name()));
            // The slow part before the lock: whoever is frozen while he holds it stops everybody.
            let written = folder::Beside::write(&folder.path().join(&file), &contents).map_err(&doing)?;
            let _lock = engine.lock()?;
            written.publish().map_err(doing)
        })
        .await
    }

    pub async fn put_secret(&self, tenant: &Name, name: &str, secret: &str) -> Result<(), Error> {
        let (engine, tenant, name, secret) = (self.clone(), tenant.clone(), name.to_owned(), secret.to_owned());
        blocking(move || {
            let _lock = engine.lock()?;
            secrets::put(&engine.root, &tenant, &name, &secret)
        })
        .await
    }

    pub async fn remove_secret(&self, tenant: &Name, name: &str) -> Result<(), Error> {
        let (engine, tenant, name) = (self.clone(), tenant.clone(), name.to_owned());
        blocking(move || {
            let _lock = engine.lock()?;
            secrets::remove(&engine.root, &tenant, &name)
        })
        .await
    }

    pub fn watch(&self) -> Result<Watch, Error> {
        Watch::begin(self)
    }

    pub fn holds(&self) -> Holds {
        Holds { memory: cgroup::Parent::find().map(drop) }
    }

    fn folder(&self, name: &str) -> Result<Folder, Error> {
        Folder::new(&self.root, name)
    }

    /// The right to change something here: one at a time, and nobody whose term is over.
    fn lock(&self) -> Result<folder::Lock, Error> {
        let lock = folder::lock(&self.root)?;
        if let Some(mine) = self.term {
            folder::enter_term(&self.root, mine)?;
        }
        Ok(lock)
    }

    fn names(&self) -> Result<BTreeSet<String>, Error> {
        let doing = because("listing tasks");
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(e) => return Err(doing(e)),
        };
        let mut out = BTreeSet::new();
        for entry in entries {
            if let Some(name) = entry.map_err(&doing)?.file_name().to_str()
                && crate::is_task_name(name)
            {
                out.insert(name.to_owned());
            }
        }
        Ok(out)
    }

    fn apply_now(&self, task: &Task) -> Result<(), Error> {
        let folder = self.folder(&task.name)?;
        let hash = task.hash();
        let lock = self.lock()?;
        match folder.applied()? {
            Some(applied) if applied.hash != hash => return Err(Error::Different { name: task.name.clone() }),
            Some(_) => {}
            None => {
                let port = match task.kind {
                    TaskKind::Batch => None,
                    TaskKind::Server => Some(self.free_port()?),
                };
                let launch = Launch { program: self.program.clone(), port, env: self.env.clone() };
                folder.make(&self.root, &Applying { hash, task }, &launch)?;
            }
        }
        if folder.started()?.is_some() {
            return Ok(());
        }
        let obstacle = match machine::obstacle(&task.runtime, &task.resources, &self.root) {
            Some(cause) => Some(cause),
            None => match secrets::missing(&self.root, &task.tenant, &task.secrets)? {
                Some(cause) => Some(cause),
                None => self.over_quota(task)?,
            },
        };
        folder.set_pending(obstacle.as_ref())?;
        if obstacle.is_some() {
            return Ok(());
        }
        secrets::hand_over(&self.root, &task.tenant, &task.secrets, &folder.secrets())?;
        drop(lock);
        self.send_supervisor(&folder)
    }

    fn over_quota(&self, task: &Task) -> Result<Option<PendingCause>, Error> {
        let compute = quota::of(&self.root, &task.tenant)?;
        if compute.is_unlimited() {
            return Ok(None);
        }
        let mut others = Vec::new();
        for name in self.names()? {
            let folder = self.folder(&name)?;
            if name != task.name
                && let Some(applied) = folder.applied()?.filter(|a| a.task.tenant.as_ref() == Some(&task.tenant))
                && folder.exit()?.is_none()
                && match folder.started()? {
                    Some(started) => started.is_alive(),
                    // Its supervisor is on its way.
                    None => folder.pending()?.is_none(),
                }
            {
                others.push((name, applied.task.resources));
            }
        }
        Ok(quota::obstacle(&compute, &task.resources, &others))
    }

    /// Starts a supervisor and waits until one (perhaps another portal's) has claimed the task.
    fn send_supervisor(&self, folder: &Folder) -> Result<(), Error> {
        let name = folder.name().to_owned();
        let applied = folder.applied()?.ok_or_else(|| Error::Unknown(name.clone()))?;
        let launch = folder.launch()?;
        let errors = folder.append("errors").map_err(because(format!("opening the error file of {name}")))?;
        let mut command = std::process::Command::new(&launch.program);
        command
            .args(["task", "supervise", "--folder"])
            .arg(folder.path())
            .env_clear()
            .envs(folder.environment(&applied.task, &launch))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        process::detach(&mut command);
        let mut supervisor = command.spawn().map_err(because(format!("starting {} for {name}", launch.program.display())))?;
        let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = gone.clone();
        // It is our child as long as we live: someone has to take its exit status, or it stays as a zombie.
        let reaper = move || {
            let _ = supervisor.wait();
            told.store(true, std::sync::atomic::Ordering::Release);
        };
        std::thread::Builder::new().name("reaper".into()).spawn(reaper).map_err(because("starting a thread"))?;

        let until = Instant::now() + START_PATIENCE;
        loop {
            let ended = gone.load(std::sync::atomic::Ordering::Acquire);
            if folder.started()?.is_some() {
                return Ok(());
            }
            if ended || Instant::now() > until {
                let why = folder.last_error().unwrap_or_else(|| "it ended at once".into());
                return Err(because(format!("starting the supervisor of {name}"))(io::Error::other(why)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A port that nothing listens on and that no other task was given.
    fn free_port(&self) -> Result<u16, Error> {
        let mut given = BTreeSet::new();
        for name in self.names()? {
            if let Ok(Launch { port: Some(port), .. }) = self.folder(&name)?.launch() {
                given.insert(port);
            }
        }
        let doing = because("choosing a port");
        for _ in 0..1000 {
            let port = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).map_err(&doing)?.port();
            if !given.contains(&port) {
                return Ok(port);
            }
        }
        Err(doing(io::Error::other("no free port")))
    }

    fn stop_now(&self, folder: &Folder, grace: Duration) -> Result<(), Error> {
        let _lock = self.lock()?;
        if folder.applied()?.is_none() || folder.exit()?.is_some() {
            return Ok(());
        }
        // Applied but not started: claimed by us, it never will be.
        if folder.started()?.is_none() && folder.claim(&Started::nobody())? {
            return folder.ended(&Exit { code: None, signal: Some(libc::SIGTERM), because: None });
        }
        let Some(started) = folder.started()? else { return Ok(()) };
        if !started.is_alive() {
            // Nobody is left to keep the grace time.
            process::kill_session(started.pid, &[]);
            return Ok(());
        }
        folder.ask_to_stop(grace)?;
        process::signal(started.pid, libc::SIGTERM).map_err(because(format!("stopping {}", folder.name())))
    }

    fn remove_now(&self, folder: &Folder) -> Result<(), Error> {
        let _lock = self.lock()?;
        if !folder.path().exists() {
            return Ok(());
        }
        // A supervisor on its way finds the task claimed.
        if folder.started()?.is_none() {
            folder.claim(&Started::nobody())?;
        }
        if let Some(started) = folder.started()?.filter(|s| s.pid != 0 && s.same_boot()) {
            let until = Instant::now() + KILL_PATIENCE;
            if folder.exit()?.is_none() || started.is_alive() {
                // The supervisor last: while it lives its number cannot be given to another session.
                process::kill_session(started.pid, &[started.pid]);
                if started.is_alive() {
                    process::signal(started.pid, libc::SIGKILL).map_err(because(format!("killing {}", folder.name())))?;
                }
            }
            while started.is_alive() || process::kill_session(started.pid, &[]) > 0 {
                if Instant::now() > until {
                    return Err(because(format!("removing {}", folder.name()))(io::Error::other("its processes do not end")));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        if let Some(group) = folder.group() {
            // Left by a supervisor that was killed; one with processes cannot be removed, and has been emptied above.
            let _ = cgroup::Group::at(&group.path).remove();
        }
        folder.delete(&self.root)
    }
}

fn observe(folder: &Folder) -> Result<Option<Observation>, Error> {
    let Some(applied) = folder.applied()? else { return Ok(None) };
    let (name, hash) = (folder.name().to_owned(), applied.hash);
    let Some(started) = folder.started()? else {
        // Applied but neither started nor held up counts as nothing: applying it again starts it.
        let pending = |cause| Observation { name, hash, state: TaskState::Pending(cause), replicas: Vec::new(), wanted: 1 };
        return Ok(folder.pending()?.map(pending));
    };
    let state = match folder.exit()? {
        Some(exit) => TaskState::Ended(exit.end()),
        None if started.is_alive() => {
            let since = folder.started_at().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            TaskState::Running { since: i64::try_from(since.as_millis()).unwrap_or(i64::MAX), node: machine::node() }
        }
        // It may have ended between the two looks.
        None => TaskState::Ended(match folder.exit()? {
            Some(exit) => exit.end(),
            None if started.same_boot() => {
                // What its command left behind must not run on unseen.
                process::kill_session(started.pid, &[]);
                End::Removed
            }
            None => End::NodeLost,
        }),
    };
    let mut replicas = Vec::new();
    if let (Some(port), TaskState::Running { since, node }) = (folder.launch()?.port, &state) {
        let ready = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_PATIENCE).is_ok();
        replicas.push(Replica {
            name: name.clone(),
            state: if ready { ReplicaState::Ready } else { ReplicaState::Loading },
            node: node.clone(),
            since: Some(Timestamp(*since)),
            restarts: 0,
            outdated: false,
            address: Some(format!("http://127.0.0.1:{port}")),
            adapters: Vec::new(),
        });
    }
    Ok(Some(Observation { name, hash, state, replicas, wanted: 1 }))
}

/// Complete lines from `offset` on. One line longer than `limit` is returned whole, else it would block the rest for ever.
fn whole_lines(folder: &Folder, offset: u64, limit: usize) -> Result<(Vec<u8>, u64), Error> {
    let doing = because(format!("reading the output of {}", folder.name()));
    let mut file = match std::fs::File::open(folder.path().join("output")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound && folder.applied()?.is_some() => return Ok((Vec::new(), offset)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::Unknown(folder.name().to_owned())),
        Err(e) => return Err(doing(e)),
    };
    file.seek(SeekFrom::Start(offset)).map_err(&doing)?;
    let step = limit.max(1);
    let mut bytes = Vec::new();
    loop {
        let read = file.by_ref().take(step as u64).read_to_end(&mut bytes).map_err(&doing)?;
        if let Some(end) = bytes.iter().rposition(|&b| b == b'\n') {
            // After the first step only the rest of the long line is wanted.
            let end = if bytes.len() > step { bytes.iter().position(|&b| b == b'\n').unwrap_or(end) } else { end };
            bytes.truncate(end + 1);
            let next = offset + bytes.len() as u64;
            return Ok((bytes, next));
        }
        if read < step {
            return Ok((Vec::new(), offset));
        }
    }
}

fn because(doing: impl Into<String>) -> impl Fn(io::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Io { doing: doing.clone(), source }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Io { doing: "working on a task folder".into(), source: io::Error::other(e) }),
    }
}
