//! The process between the portal and the command: it outlives the portal, keeps the grace time of a stop, and writes down how the
//! command ended. `atelier task supervise --folder DIR`.

use super::{
    because, cgroup,
    folder::{Because, Exit, Folder, InGroup, Started},
    process,
};
use crate::Error;
use std::{
    io::{self, Read},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Runs the task of this folder to its end. Returns the exit code for this process: 0 = the command ended and that is written down
/// (however it ended), or another supervisor has the task; 1 = it could not be started, the reason is on stderr.
///
/// Call it from a thread that lives as long as the process: the command is killed when the thread ends.
pub fn supervise(folder: &Path) -> i32 {
    match Folder::at(folder).and_then(|folder| run(&folder)) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("supervisor: {e}");
            1
        }
    }
}

fn run(folder: &Folder) -> Result<(), Error> {
    let mut signals = Signals::catch().map_err(because("catching signals"))?;
    let applied = folder.applied()?.ok_or_else(|| Error::Unknown(folder.name().to_owned()))?;
    let launch = folder.launch()?;
    // Children whose parent dies become ours, so that none is left when the command has ended.
    // SAFETY: prctl has no memory effects.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };

    let streams = folder.append("output").and_then(|output| Ok((output, folder.append("errors")?)));
    let (output, errors) = streams.map_err(because(format!("opening the output of {}", folder.name())))?;
    let mut command = Command::new(&launch.program);
    command.args(&applied.task.args).arg("--spec").arg(folder.path().join("spec.json"));
    if let Some(port) = launch.port {
        command.arg("--port").arg(port.to_string());
    }
    command.env_clear().envs(folder.environment(&applied.task, &launch)).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    process::attach(&mut command);

    let myself = Started::myself().map_err(because("looking at /proc"))?;
    if !folder.claim(&myself)? {
        return Ok(());
    }
    let group = applied.task.resources.memory.and_then(|bytes| hold(folder, bytes));
    if let Some(group) = &group {
        let entrance = group.entrance().map_err(because("opening the control group"))?;
        process::enter(&mut command, entrance);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            // 127 is what shells say of a command that is not there.
            folder.ended(&Exit { code: Some(127), signal: None, because: None })?;
            return Err(because(format!("starting {}", launch.program.display()))(e));
        }
    };
    let limits = Limits { deadline: applied.task.deadline.map(|d| Instant::now() + d), grace: applied.task.grace };
    let (status, overdue) = wait(&mut child, folder, &mut signals, &limits).map_err(because("waiting for the command"))?;
    // What the command started and left behind ends with it.
    let me = myself.pid;
    let until = Instant::now() + Duration::from_secs(5);
    while process::kill_session(me, &[me]) > 0 && Instant::now() < until {
        reap_strangers();
        std::thread::sleep(Duration::from_millis(2));
    }
    // One that ended well in spite of a process that the kernel took from it, ended well.
    let ran_out = group.as_ref().is_some_and(cgroup::Group::ran_out) && !status.success();
    let because = if ran_out { Some(Because::OutOfMemory) } else { overdue.then_some(Because::Deadline) };
    if let Some(group) = group {
        let _ = group.remove();
    }
    folder.ended(&Exit { code: status.code(), signal: status.signal(), because })
}

/// A control group with this memory limit, where the machine allows one; else the task runs without, and its errors say so.
fn hold(folder: &Folder, bytes: u64) -> Option<cgroup::Group> {
    // Portals of several data folders on one machine may have tasks of one name.
    let place = blake3::hash(folder.path().as_os_str().as_encoded_bytes()).to_hex();
    let name = format!("atelier-{}-{}", &place[..12], folder.name());
    let made = cgroup::Parent::find().and_then(|parent| parent.make(&name, bytes).map_err(|e| format!("{e}.")));
    let group = made.inspect_err(|why| eprintln!("supervisor: the memory limit is not held: {why}")).ok()?;
    folder.entered(&InGroup { path: group.path().to_owned() }).ok()?;
    Some(group)
}

/// What the command is held to while it runs.
struct Limits {
    deadline: Option<Instant>,
    /// Between SIGTERM and SIGKILL, where nobody who stops it says otherwise.
    grace: Duration,
}

/// Waits for the command; true = it was ended at its deadline. SIGTERM to us goes on to its group; when the grace time is over, all its
/// processes are killed.
fn wait(child: &mut std::process::Child, folder: &Folder, signals: &mut Signals, limits: &Limits) -> io::Result<(ExitStatus, bool)> {
    let group = child.id().cast_signed();
    let mut deadline = limits.deadline;
    let (mut kill_at, mut overdue) = (None::<Instant>, false);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, overdue));
        }
        reap_strangers_but(group);
        let next = [deadline, kill_at].into_iter().flatten().min();
        let asked = signals.wait(next.map(|at| at.saturating_duration_since(Instant::now())))?;
        let late = deadline.is_some_and(|at| Instant::now() >= at);
        if late {
            deadline = None;
            // Whoever was asked to end before is not late.
            overdue = kill_at.is_none();
        }
        if asked || late {
            // Asked again: only an earlier end counts.
            let grace = if asked { folder.grace(limits.grace) } else { limits.grace };
            let end = Instant::now() + grace.min(Duration::from_secs(86_400));
            kill_at = Some(kill_at.map_or(end, |at| at.min(end)));
            process::signal(-group, libc::SIGTERM)?;
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            let me = std::process::id().cast_signed();
            process::kill_session(me, &[me]);
            // Look again soon; a process in the kernel's hands takes a moment.
            kill_at = Some(Instant::now() + Duration::from_millis(100));
        }
    }
}

fn reap_strangers() {
    reap_strangers_but(0);
}

/// Takes the status of children that were handed to us, but not that of the command itself.
fn reap_strangers_but(command: i32) {
    loop {
        // SAFETY: `info` is plain memory that waitid fills; WNOWAIT leaves the child as it is.
        let pid = unsafe {
            let mut info = std::mem::zeroed::<libc::siginfo_t>();
            if libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) != 0 {
                return;
            }
            info.si_pid()
        };
        if pid == 0 || pid == command {
            return;
        }
        // SAFETY: waitpid without a status pointer.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

/// SIGTERM, SIGINT, SIGHUP and SIGCHLD wake whoever waits, in whatever thread they arrive.
struct Signals {
    woken: UnixStream,
    /// We were asked to end since the last look.
    asked: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let (woken, wake) = UnixStream::pair()?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            // First, so that whoever is woken sees it.
            signal_hook::flag::register(signal, asked.clone())?;
            signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(libc::SIGCHLD, wake)?;
        Ok(Self { woken, asked })
    }

    /// Until a signal comes or the time is over. True = we were asked to end.
    fn wait(&mut self, at_most: Option<Duration>) -> io::Result<bool> {
        // None = as long as it takes; 0 would be refused.
        self.woken.set_read_timeout(at_most.map(|d| d + Duration::from_millis(1)))?;
        match self.woken.read(&mut [0; 64]) {
            Err(e) if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => Err(e),
            _ => Ok(self.asked.swap(false, Ordering::AcqRel)),
        }
    }
}
