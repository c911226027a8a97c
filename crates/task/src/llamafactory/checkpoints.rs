//! The checkpoints that the trainer writes into its output folder, as transformers lays them out.

use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Written last.
const STATE: &str = "trainer_state.json";
/// Lies there while a checkpoint is written because of SIGTERM.
const INCOMPLETE: &str = "checkpoint-is-incomplete.txt";
/// A pickle that going on does not need.
const ARGUMENTS: &str = "training_args.bin";
/// Processes beside the first write theirs into the same folder, and none waits for the others.
const AT_REST: Duration = Duration::from_secs(1);

/// A checkpoint that the trainer has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub step: u64,
    /// Of the whole training.
    pub total_steps: u64,
    pub folder: PathBuf,
    /// Relative to the folder, in order.
    pub files: Vec<PathBuf>,
}

/// The finished checkpoints in an output folder, oldest first. `now`: of one that changed just before, the rest is waited for; `None` = the
/// trainer has ended, and nothing more comes.
pub fn written(out: &Path, now: Option<SystemTime>) -> Vec<Written> {
    let Ok(entries) = fs::read_dir(out) else { return Vec::new() };
    let step = |name: &str| name.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((step(entry.file_name().to_str()?)?, entry.path())))
        // One that the trainer removes meanwhile is none.
        .filter_map(|(step, folder)| finished(step, folder, now).ok().flatten())
        .collect();
    found.sort_by_key(|w| w.step);
    found
}

fn finished(step: u64, folder: PathBuf, now: Option<SystemTime>) -> io::Result<Option<Written>> {
    let state: Value = match fs::read(folder.join(STATE)) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => return Ok(None),
    };
    if state["global_step"].as_u64() != Some(step) || folder.join(INCOMPLETE).exists() {
        return Ok(None);
    }
    let mut files = Vec::new();
    collect(&folder, Path::new(""), &mut files)?;
    for file in &files {
        let changed = fs::metadata(folder.join(file))?.modified()?;
        // A clock that was set back must not hide it for ever: what is of the future, is at rest.
        if now.and_then(|now| now.duration_since(changed).ok()).is_some_and(|age| age < AT_REST) {
            return Ok(None);
        }
    }
    files.retain(|file| file != Path::new(ARGUMENTS));
    files.sort();
    Ok(Some(Written { step, total_steps: state["max_steps"].as_u64().unwrap_or(step), folder, files }))
}

fn collect(folder: &Path, below: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(folder, &path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}

/// The lines of the trainer's log up to a step: with them the curves of another try begin where those of this one did.
pub fn log_until(out: &Path, step: u64) -> Vec<u8> {
    let text = fs::read_to_string(out.join(super::TRAINER_LOG)).unwrap_or_default();
    let of_step = |line: &str| {
        let from = line.split_once("\"current_steps\":")?.1.trim_start();
        from.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && of_step(line).is_some_and(|n| n <= step));
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(out: &Path, step: u64, state: &str) -> PathBuf {
        let folder = out.join(format!("checkpoint-{step}"));
        fs::create_dir_all(folder.join("global_step")).unwrap();
        for (name, text) in [("adapter_model.safetensors", "w"), ("global_step/zero.pt", "z"), (ARGUMENTS, "p"), (STATE, state)] {
            fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    fn steps(out: &Path, now: Option<SystemTime>) -> Vec<u64> {
        written(out, now).iter().map(|w| w.step).collect()
    }

    #[test]
    fn only_what_the_trainer_has_finished_is_a_checkpoint() {
        let out = tempfile::tempdir().unwrap();
        let out = out.path();
        assert_eq!(written(&out.join("none"), None), []);
        let whole = checkpoint(out, 20, r#"{"global_step": 20, "max_steps": 120}"#);
        checkpoint(out, 100, r#"{"global_step": 100}"#);
        checkpoint(out, 30, r#"{"global_st"#);
        checkpoint(out, 40, r#"{"global_step": 41}"#);
        fs::remove_file(checkpoint(out, 50, "{}").join(STATE)).unwrap();
        fs::write(checkpoint(out, 60, r#"{"global_step": 60}"#).join(INCOMPLETE), "").unwrap();
        fs::create_dir(out.join("checkpoint-best")).unwrap();
        assert_eq!(steps(out, None), [20, 100], "in the order of their numbers");
        let files = ["adapter_model.safetensors", "global_step/zero.pt", "trainer_state.json"].map(PathBuf::from);
        assert_eq!(written(out, None)[0], Written { step: 20, total_steps: 120, folder: whole, files: files.into() });
    }

    #[test]
    fn one_that_still_changes_is_waited_for() {
        let out = tempfile::tempdir().unwrap();
        checkpoint(out.path(), 20, r#"{"global_step": 20}"#);
        let now = SystemTime::now();
        assert_eq!(steps(out.path(), Some(now)), [] as [u64; 0]);
        assert_eq!(steps(out.path(), Some(now + 2 * AT_REST)), [20]);
        assert_eq!(steps(out.path(), Some(now - Duration::from_secs(3600))), [20], "a clock that was set back");
    }

    #[test]
    fn of_the_log_whole_lines_up_to_the_step_are_taken() {
        let out = tempfile::tempdir().unwrap();
        assert!(log_until(out.path(), 9).is_empty());
        let line = |n: u64| format!("{{\"current_steps\": {n}, \"total_steps\": 12, \"loss\": 1.0}}\n");
        let torn = line(4).trim_end().to_owned();
        fs::write(out.path().join(super::super::TRAINER_LOG), [line(2), line(4), "no json\n".into(), line(10), torn].concat()).unwrap();
        assert_eq!(String::from_utf8(log_until(out.path(), 4)).unwrap(), line(2) + &line(4));
    }
}
