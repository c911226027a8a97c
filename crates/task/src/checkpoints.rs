//! Checkpoints of a training in the artefact store: stored beside the training, and fetched by another try of it.
//!
//! A checkpoint counts when its manifest is there, which is written after its files. Each try has a folder of its own: one that was
//! believed to be dead and still writes, writes where the next try does not.

use crate::{Context, failure::TaskError, llamafactory as lf, reporter::size};
use domain::{artefacts, base_model::StoredFile, report::TaskMessage, run::LogLevel, task_spec::Train};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How many stay in the store: the last, and the one before in case that the last is damaged.
const KEPT: usize = 2;
/// How often is looked for a new one.
const LOOK: Duration = Duration::from_secs(1);

/// What belongs to a checkpoint.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    step: u64,
    total_steps: u64,
    /// See [`made_of`]: one of other settings or data would be continued into something that nobody asked for.
    made_of: String,
    files: Vec<StoredFile>,
}

/// One in the store: in the folder of which try, and of which step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    task: String,
    step: u64,
}

pub struct Checkpoints<'t> {
    task: &'t Context,
    work: &'t Train,
    /// The trainer's output folder.
    out: PathBuf,
    made_of: String,
    /// Steps that need not be looked at again.
    seen: BTreeSet<u64>,
}

/// Everything that decides what is learnt; alike in two tries of a step, unless the portal or the machine has changed in between.
fn made_of(work: &Train, nodes: u32, trainer_file: &str) -> String {
    let work = Train { folder: String::new(), earlier: Vec::new(), base_files: Vec::new(), ..work.clone() };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&serde_json::to_vec(&work).unwrap_or_default());
    hasher.update(&nodes.to_le_bytes()).update(trainer_file.as_bytes());
    hasher.finalize().to_hex().to_string()
}

impl<'t> Checkpoints<'t> {
    /// `trainer_file`: the trainer's file of a try that begins at the first step.
    pub fn new(task: &'t Context, work: &'t Train, out: PathBuf, trainer_file: &str) -> Self {
        Self { task, work, out, made_of: made_of(work, task.machine.nodes.count, trainer_file), seen: BTreeSet::new() }
    }

    /// Puts the last checkpoint where the trainer finds it. Returns its step and how many there are in all; `None` =
    /// there is none that can be used, and the log says why.
    pub async fn fetch_last(&mut self) -> Result<Option<(u64, u64)>, TaskError> {
        for stored in self.stored(&self.tries()).await? {
            let folder = self.out.join(lf::checkpoint(stored.step));
            match self.fetch(&stored, &folder).await {
                Ok(Some(total)) => {
                    self.seen.insert(stored.step);
                    return Ok(Some((stored.step, total)));
                }
                Ok(None) => self.warn(format!(
                    "The checkpoint of step {} cannot be used: it was made with other settings, data or devices.",
                    stored.step
                )),
                // What is not whole is passed over; a store that does not answer is not: days of work may lie in it.
                Err(e @ (TaskError::Missing(_) | TaskError::Altered(_))) => {
                    self.warn(format!("The checkpoint of step {} cannot be used: {e}.", stored.step));
                }
                Err(e) => return Err(e),
            }
            match tokio::fs::remove_dir_all(&folder).await {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(TaskError::io("removing a checkpoint that cannot be used")(e)),
                _ => {}
            }
        }
        if !self.work.earlier.is_empty() {
            self.task.reporter.log(LogLevel::Info, "No checkpoint of an earlier try can be used; the training begins at the first step.");
        }
        Ok(None)
    }

    /// Returns how many steps there are in all. `None` = it is of something else.
    async fn fetch(&self, stored: &Stored, folder: &Path) -> Result<Option<u64>, TaskError> {
        let (at, path) = (self.at(stored), self.manifest(stored));
        let text = self.task.artefacts.get(&path).await?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| TaskError::Altered(path))?;
        if manifest.made_of != self.made_of || manifest.step != stored.step {
            return Ok(None);
        }
        for file in &manifest.files {
            let to = match file.path.as_str() {
                lf::TRAINER_LOG => self.out.join(lf::TRAINER_LOG),
                path => folder.join(below(path)?),
            };
            self.task.artefacts.fetch_checked(&format!("{at}/{}", file.path), &to, &file.digest).await?;
        }
        let bytes = manifest.files.iter().map(|f| f.bytes).sum();
        let of = if stored.task == self.work.folder { String::new() } else { format!(" of the try “{}”", stored.task) };
        self.task.reporter.log(
            LogLevel::Info,
            format!("Goes on from step {} of {}: checkpoint{of}, {}, digests checked.", stored.step, manifest.total_steps, size(bytes)),
        );
        Ok(Some(manifest.total_steps))
    }

    /// Stores each checkpoint that the trainer has finished, until it is dropped. Trouble is told and holds up nothing.
    pub async fn keep(&mut self) -> Infallible {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.store_new(Some(SystemTime::now())).await;
        }
    }

    /// Stores what the trainer has finished before it ended.
    pub async fn store_last(&mut self) {
        self.store_new(None).await;
    }

    /// The newest that is not yet stored; those before it are of no use any more.
    async fn store_new(&mut self, now: Option<SystemTime>) {
        let Some(newest) = lf::written(&self.out, now).pop().filter(|w| !self.seen.contains(&w.step)) else { return };
        let step = newest.step;
        match self.store(&newest).await {
            Ok(()) => self.task.reporter.say(TaskMessage::Checkpoint { step }),
            // The trainer keeps the last ones only, and was quicker.
            Err(TaskError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(e) => self.warn(format!("The checkpoint of step {step} could not be stored, and the training goes on: {e}.")),
        }
        self.seen.insert(step);
    }

    async fn store(&self, written: &lf::Written) -> Result<(), TaskError> {
        let stored = Stored { task: self.work.folder.clone(), step: written.step };
        let at = self.at(&stored);
        let mut files = Vec::new();
        for file in &written.files {
            let path = file.to_string_lossy().into_owned();
            let put = self.task.artefacts.put_file(&written.folder.join(file), &format!("{at}/{path}")).await?;
            files.push(StoredFile { path, ..put });
        }
        let log = lf::log_until(&self.out, written.step);
        let digest = blake3::hash(&log).to_hex().to_string();
        files.push(StoredFile { path: lf::TRAINER_LOG.into(), bytes: log.len() as u64, digest });
        self.task.artefacts.put(&format!("{at}/{}", lf::TRAINER_LOG), log).await?;
        let bytes = files.iter().map(|f| f.bytes).sum();
        let manifest = Manifest { step: written.step, total_steps: written.total_steps, made_of: self.made_of.clone(), files };
        self.task.artefacts.put(&self.manifest(&stored), serde_json::to_vec(&manifest).unwrap_or_default()).await?;
        self.task.reporter.log(LogLevel::Info, format!("Stored the checkpoint of step {}: {}.", written.step, size(bytes)));
        if let Err(e) = self.remove_old().await {
            self.warn(format!("Checkpoints that are no longer needed could not be removed: {e}."));
        }
        Ok(())
    }

    /// Of this try and the earlier ones, all but the last.
    async fn remove_old(&self) -> Result<(), TaskError> {
        for old in self.stored(&self.tries()).await?.iter().skip(KEPT) {
            // The manifest first: what is half gone is no checkpoint.
            self.task.artefacts.delete(&self.manifest(old)).await?;
            for path in self.task.artefacts.list(&self.at(old)).await? {
                self.task.artefacts.delete(&path).await?;
            }
        }
        Ok(())
    }

    /// The folders of this try and the earlier ones, the last first. Of this one there is something when the cluster has put a pod in the
    /// place of one that it took away.
    fn tries(&self) -> Vec<String> {
        std::iter::once(&self.work.folder).chain(&self.work.earlier).cloned().collect()
    }

    /// Those with a manifest, the one to go on from first: what a later try has stored, is later, whatever its step.
    async fn stored(&self, tries: &[String]) -> Result<Vec<Stored>, TaskError> {
        let mut out = Vec::new();
        for task in tries {
            let folder = artefacts::run_checkpoints(&self.work.tenant, self.work.run, task);
            let step = |path: &String| path.strip_prefix(&folder)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok();
            let mut steps: Vec<u64> = self.task.artefacts.list(&folder).await?.iter().filter_map(step).collect();
            steps.sort_unstable_by_key(|step| std::cmp::Reverse(*step));
            out.extend(steps.into_iter().map(|step| Stored { task: task.clone(), step }));
        }
        Ok(out)
    }

    fn at(&self, of: &Stored) -> String {
        artefacts::run_checkpoint(&self.work.tenant, self.work.run, &of.task, of.step)
    }

    fn manifest(&self, of: &Stored) -> String {
        artefacts::run_checkpoint_manifest(&self.work.tenant, self.work.run, &of.task, of.step)
    }

    fn warn(&self, text: String) {
        self.task.reporter.log(LogLevel::Warning, text);
    }
}

/// A path of a manifest, which may not lead out of the checkpoint's folder.
fn below(path: &str) -> Result<&Path, TaskError> {
    let relative = Path::new(path);
    let plain = relative.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if plain { Ok(relative) } else { Err(TaskError::Altered(path.to_owned())) }
}
