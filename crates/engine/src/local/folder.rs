//! The folder of one task: what lies in it, and how each file is written so that a crash leaves the old or the new one.
//!
//! `task.json` what was applied · `launch.json` program, port and environment · `spec.json` for the command · `secrets/` what it may
//! read besides · `pending.json` why it cannot start · `started.json` who runs it · `group.json` its control group · `stop.json` the
//! wish to end · `exit.json` how it ended · `output`, `errors` its two streams · `tmp/`

mod records;

use super::because;
use crate::{Error, PendingCause, is_task_name};
use records::Stop;
pub use records::{Applied, AppliedTask, Applying, Because, Exit, InGroup, Launch, Started};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// A file that a caller may put beside the spec: a plain `.json` name, and none of ours.
pub fn is_file_name(name: &str) -> bool {
    let ours = ["task.json", "launch.json", "spec.json", "started.json", "stop.json", "exit.json", "pending.json", "group.json"];
    name.strip_suffix(".json").is_some_and(is_task_name) && !ours.contains(&name)
}

#[derive(Clone, Debug)]
pub struct Folder {
    name: String,
    path: PathBuf,
}

impl Folder {
    pub fn new(root: &Path, name: &str) -> Result<Self, Error> {
        if !is_task_name(name) {
            return Err(Error::BadName(name.chars().take(80).collect()));
        }
        Ok(Self { name: name.to_owned(), path: root.join(name) })
    }

    /// As the supervisor gets it.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        Self::new(path.parent().unwrap_or(Path::new("/")), name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the whole folder beside its place, then moves it there. Only under the lock.
    pub fn make(&self, root: &Path, applied: &Applying<'_>, launch: &Launch) -> Result<(), Error> {
        let doing = because(format!("making the folder of {}", self.name));
        let new = root.join(format!(".new-{}", self.name));
        let build = || -> io::Result<()> {
            // Left by a portal that was killed here; we hold the lock, so nobody else is making it.
            remove_tree(&new)?;
            private_folder(&new)?;
            private_folder(&new.join("tmp"))?;
            write_atomically(&new.join("task.json"), &to_json(applied)?)?;
            write_atomically(&new.join("launch.json"), &to_json(launch)?)?;
            write_atomically(&new.join("spec.json"), applied.task.spec.as_bytes())?;
            std::fs::rename(&new, &self.path)?;
            File::open(root)?.sync_all()
        };
        build().map_err(doing)
    }

    /// Moves the folder away in one step, then deletes it. Only under the lock.
    pub fn delete(&self, root: &Path) -> Result<(), Error> {
        let doing = because(format!("removing the folder of {}", self.name));
        let gone = root.join(format!(".gone-{}", self.name));
        remove_tree(&gone).and_then(|()| std::fs::rename(&self.path, &gone)).and_then(|()| remove_tree(&gone)).map_err(doing)
    }

    pub fn applied(&self) -> Result<Option<Applied>, Error> {
        self.read("task.json")
    }
    pub fn launch(&self) -> Result<Launch, Error> {
        self.read("launch.json")?.ok_or_else(|| Error::Unknown(self.name.clone()))
    }
    pub fn started(&self) -> Result<Option<Started>, Error> {
        self.read("started.json")
    }
    pub fn exit(&self) -> Result<Option<Exit>, Error> {
        self.read("exit.json")
    }

    /// When it was started.
    pub fn started_at(&self) -> Option<SystemTime> {
        std::fs::metadata(self.path.join("started.json")).and_then(|m| m.modified()).ok()
    }
    pub fn pending(&self) -> Result<Option<PendingCause>, Error> {
        self.read("pending.json")
    }
    /// `None` = nothing is in its way any more.
    pub fn set_pending(&self, cause: Option<&PendingCause>) -> Result<(), Error> {
        match cause {
            Some(cause) => self.write("pending.json", cause),
            None => match std::fs::remove_file(self.path.join("pending.json")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(because(format!("starting {}", self.name))(e)),
                _ => Ok(()),
            },
        }
    }
    pub fn group(&self) -> Option<InGroup> {
        self.read("group.json").ok().flatten()
    }
    pub fn entered(&self, group: &InGroup) -> Result<(), Error> {
        self.write("group.json", group)
    }
    pub fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// How long the command may take to end after whoever stops it has asked; `own` when nobody said.
    pub fn grace(&self, own: Duration) -> Duration {
        let asked: Option<Stop> = self.read("stop.json").ok().flatten();
        asked.map_or(own, |s| Duration::from_millis(s.grace_ms))
    }
    pub fn ask_to_stop(&self, grace: Duration) -> Result<(), Error> {
        self.write("stop.json", &Stop { grace_ms: grace.as_millis().try_into().unwrap_or(u64::MAX) })
    }
    pub fn ended(&self, exit: &Exit) -> Result<(), Error> {
        self.write("exit.json", exit)
    }

    /// The one who creates `started.json` may start the command. False = someone else did.
    /// Written beside and linked into place, so that it is never seen half written.
    pub fn claim(&self, by: &Started) -> Result<bool, Error> {
        let doing = because(format!("claiming {}", self.name));
        let claim = || -> io::Result<bool> {
            let beside = beside(&self.path.join("started.json"));
            write_new(&beside, &to_json(by)?)?;
            let linked = std::fs::hard_link(&beside, self.path.join("started.json"));
            std::fs::remove_file(&beside)?;
            match linked {
                Ok(()) => File::open(&self.path)?.sync_all().map(|()| true),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(e) => Err(e),
            }
        };
        claim().map_err(doing)
    }

    pub fn append(&self, file: &str) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path.join(file))
    }

    /// The whole environment of the task: nothing of the portal's own (database addresses, secrets) but the search path.
    pub fn environment(&self, task: &AppliedTask, launch: &Launch) -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into());
        let folder = self.path.to_string_lossy().into_owned();
        let mut env = BTreeMap::from([("PATH".into(), path), ("TMPDIR".into(), format!("{folder}/tmp")), ("HOME".into(), folder)]);
        if !task.secrets.is_empty() {
            // Where they lie, never what is in them: an environment can be read by others.
            env.insert("ATELIER_SECRETS".into(), self.secrets().to_string_lossy().into_owned());
        }
        env.extend(task.env.clone());
        env.extend(launch.env.clone());
        env
    }

    /// Last line of `errors`, to say why something did not start.
    pub fn last_error(&self) -> Option<String> {
        let mut file = File::open(self.path.join("errors")).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096))).ok()?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).ok()?;
        String::from_utf8_lossy(&tail).lines().rev().find(|l| !l.trim().is_empty()).map(str::to_owned)
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, Error> {
        let doing = because(format!("reading {file} of {}", self.name));
        match std::fs::read(self.path.join(file)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| doing(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(doing(e)),
        }
    }
    fn write(&self, file: &str, value: &impl Serialize) -> Result<(), Error> {
        let doing = because(format!("writing {file} of {}", self.name));
        to_json(value).and_then(|bytes| write_atomically(&self.path.join(file), &bytes)).map_err(doing)
    }
}

pub type Lock = nix::fcntl::Flock<File>;

/// One writer at a time among all portals that use this root. Given back when the file is closed, also by a kill.
pub fn lock(root: &Path) -> Result<Lock, Error> {
    let doing = because("locking the task folder");
    let open = || -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(root.join(".lock"))
    };
    let file = open().map_err(&doing)?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, e)| doing(e.into()))
}

/// Refuses a term that is over, and notes one that begins. Only under the lock.
pub fn enter_term(root: &Path, mine: i64) -> Result<(), Error> {
    let path = root.join(".term");
    let current = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| because("reading the term")(io::Error::other(format!("“{text}” is not a number"))))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(because("reading the term")(e)),
    };
    if mine < current {
        return Err(Error::Outdated { mine, current });
    }
    if mine > current {
        write_atomically(&path, mine.to_string().as_bytes()).map_err(because("writing the term"))?;
    }
    Ok(())
}

/// The file is the old or the new one at every moment, also after a power cut.
pub fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    Beside::write(path, contents)?.publish()
}

/// A file that is written and on the disk, but does not have its name yet; dropped, it is gone.
pub struct Beside {
    beside: PathBuf,
    path: PathBuf,
}

impl Beside {
    pub fn write(path: &Path, contents: &[u8]) -> io::Result<Self> {
        let beside = beside(path);
        write_new(&beside, contents)?;
        Ok(Self { beside, path: path.to_owned() })
    }

    pub fn publish(self) -> io::Result<()> {
        std::fs::rename(&self.beside, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After `publish` there is nothing under this name.
        let _ = std::fs::remove_file(&self.beside);
    }
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

/// A name beside `path` that no other writer uses, in this process or another.
fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    path.with_file_name(format!(".{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

fn to_json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(io::Error::other)
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        for good in ["run-0af3-train", "ep-1", "7"] {
            assert!(is_task_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", ".lock", ".new-a", "-a", "A", "a b", "a\0", "ä", &"a".repeat(64)] {
            assert!(!is_task_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_put_file_cannot_be_one_of_ours() {
        assert!(is_file_name("adapters.json"));
        for bad in ["spec.json", "exit.json", "started.json", "../adapters.json", "output", "a/b.json", ".json", "adapters.JSON"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_process_with_the_same_number_but_another_start_is_not_the_same() {
        let me = Started::myself().unwrap();
        assert!(me.is_alive());
        assert!(!Started { start_time: me.start_time + 1, boot: me.boot.clone(), pid: me.pid }.is_alive());
        assert!(!Started { boot: "before the restart".into(), ..me }.is_alive());
    }

    #[test]
    fn a_task_is_claimed_once() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("job-1")).unwrap();
        let folder = Folder::new(root.path(), "job-1").unwrap();
        let won: Vec<bool> = std::thread::scope(|s| {
            let threads: Vec<_> = (0..8).map(|_| s.spawn(|| folder.claim(&Started::myself().unwrap()).unwrap())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(won.iter().filter(|w| **w).count(), 1, "{won:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside started.json");
    }
}
