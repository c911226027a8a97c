//! The processes of a cluster: started in sessions of their own with their streams in files, remembered with the moment of their
//! start, and ended by their ids.

use super::secret;
use crate::interrupt;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Lines of a log that an error repeats.
const LAST_WORDS: usize = 12;
const LOOK: Duration = Duration::from_millis(100);

/// A process, told apart from a later one with the same id by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub id: u32,
    /// In ticks since the machine's start.
    began: u64,
}

impl Process {
    /// The living process with this id. One that has ended and is only waited for by its parent is none.
    pub fn living(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name before may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let began = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { id, began })
    }

    pub fn lives(self) -> bool {
        Self::living(self.id) == Some(self)
    }

    /// Asked first; killed when it is not gone after `patience`.
    pub fn end(self, patience: Duration) {
        self.signal("TERM");
        self.end_of(patience);
    }

    /// Of one that was asked already.
    fn end_of(self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.lives() {
            if Instant::now() > until {
                self.signal("KILL");
            }
            sleep(LOOK);
        }
    }

    pub fn signal(self, name: &str) {
        if self.lives() {
            let _ = Command::new("kill").args([&format!("-{name}"), &self.id.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

pub struct Processes {
    file: PathBuf,
    all: BTreeMap<String, Process>,
}

impl Processes {
    /// Those that were started for the cluster in `dir`, whether they still live or not.
    pub fn of(dir: &Path) -> Result<Self> {
        let file = dir.join("processes.json");
        let all = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", file.display()))?,
            Err(_) => BTreeMap::new(),
        };
        Ok(Self { file, all })
    }

    pub fn runs(&self, name: &str) -> bool {
        self.all.get(name).is_some_and(|p| p.lives())
    }

    pub fn ids(&self) -> BTreeMap<&str, u32> {
        self.all.iter().map(|(name, p)| (name.as_str(), p.id)).collect()
    }

    /// Starts what does not run yet; remembered before anything else happens.
    pub fn start(&mut self, name: &str, log: &Path, program: &mut Command) -> Result<()> {
        if self.runs(name) {
            return Ok(());
        }
        let said = fs::File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        // A session of its own: nothing that happens to this terminal concerns it.
        let mut command = Command::new("setsid");
        command.arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(dir) = program.get_current_dir() {
            command.current_dir(dir);
        }
        let child = command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).spawn();
        let child = child.with_context(|| format!("{name} cannot be started: {program:?}"))?;
        let process = Process::living(child.id()).with_context(|| format!("{name} ended at once; see {}", log.display()))?;
        self.all.insert(name.to_owned(), process);
        self.write()
    }

    /// Until `ready`, or until the process ends or takes too long: then an error with its last words.
    pub fn wait(&self, name: &str, log: &Path, most: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let until = Instant::now() + most;
        while !ready() {
            interrupt::check()?;
            if !self.runs(name) {
                bail!("{name} has ended. The end of {}:\n{}", log.display(), last_words(log));
            }
            if Instant::now() > until {
                bail!("{name} is not ready after {} s. The end of {}:\n{}", most.as_secs(), log.display(), last_words(log));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Asks all of them, so that they end side by side.
    pub fn ask_to_end(&self) {
        self.all.iter().for_each(|(name, process)| process.signal(asks(name)));
    }

    pub fn end(&mut self, name: &str, patience: Duration) -> Result<()> {
        if let Some(process) = self.all.get(name) {
            process.signal(asks(name));
            process.end_of(patience);
            // A script may have been killed before what it started.
            in_session(process.id).into_iter().for_each(|left| left.end(patience));
        }
        self.all.remove(name);
        self.write()
    }

    pub fn names(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }

    fn write(&self) -> Result<()> {
        secret::write(&self.file, &serde_json::to_string_pretty(&self.all)?)
    }
}

/// The signal that asks a program to end. PostgreSQL waits for its clients at the usual one.
fn asks(name: &str) -> &'static str {
    if name == "postgres" { "INT" } else { "TERM" }
}

/// Who lives in the session that the process with this id began.
fn in_session(id: u32) -> Vec<Process> {
    let session = id.to_string();
    let belongs = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(3)) == Some(&session)
    };
    every_id().filter(belongs).filter_map(Process::living).collect()
}

/// The id of every process of this machine.
pub fn every_id() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_again_by_its_record_and_ended_by_its_id() {
        let dir = std::env::temp_dir().join(format!("atelier-processes-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let log = dir.join("sleeper.log");
        Processes::of(&dir).unwrap().start("sleeper", &log, Command::new("sleep").arg("60")).unwrap();
        let mut again = Processes::of(&dir).unwrap();
        assert!(again.runs("sleeper") && !again.runs("another"));
        let id = again.ids()["sleeper"];
        // A later process that happens to get this id is not ours.
        let later = Process { id, began: Process::living(id).unwrap().began + 1 };
        later.signal("KILL");
        assert!(!later.lives() && again.runs("sleeper"));
        again.end("sleeper", Duration::from_secs(30)).unwrap();
        assert!(Process::living(id).is_none() && Processes::of(&dir).unwrap().names().is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_a_killed_script_had_started_is_ended_too() {
        let dir = std::env::temp_dir().join(format!("atelier-script-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let log = dir.join("script.log");
        let mut all = Processes::of(&dir).unwrap();
        all.start("script", &log, Command::new("sh").args(["-c", "sleep 60 & echo $!; wait"])).unwrap();
        let child = || fs::read_to_string(&log).ok()?.trim().parse().ok().and_then(Process::living);
        all.wait("script", &log, Duration::from_secs(60), || child().is_some()).unwrap();
        let child = child().unwrap();
        Process::living(all.ids()["script"]).unwrap().signal("KILL");
        assert!(child.lives());
        all.end("script", Duration::from_secs(30)).unwrap();
        assert!(!child.lives());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_program_that_ends_is_told_with_its_last_words() {
        let dir = std::env::temp_dir().join(format!("atelier-last-words-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let log = dir.join("short.log");
        let mut all = Processes::of(&dir).unwrap();
        all.start("short", &log, Command::new("sh").args(["-c", "sleep 0.2; echo no such port; exit 1"])).unwrap();
        let said = all.wait("short", &log, Duration::from_secs(60), || false).unwrap_err().to_string();
        assert!(said.contains("no such port"), "{said}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
