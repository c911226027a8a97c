//! LLaMA-Factory 0.9.5: the only place that knows its command line, its files and its console.

mod checkpoints;
mod console;
mod export;
mod log;
mod results;
mod trainer_file;

pub use trainer_file::{PlatformKeys, dataset_info, trainer_file, yaml_text};

pub(crate) use checkpoints::{Written, log_until, written};
pub(crate) use console::Console;
pub(crate) use export::export_file;
pub(crate) use log::{Curve, Follower, Judgement};
pub(crate) use results::{adapter_config, numbers, results_to_keep, weights};

use crate::machine::Machine;
use std::path::{Path, PathBuf};

/// Names inside the working folder; the trainer's file names them relatively, so that no path of this machine gets into the results.
pub const BASE: &str = "base";
pub const DATA: &str = "data";
pub const OUT: &str = "out";
pub const TRAINER_FILE: &str = "job.yaml";
pub const ADAPTER: &str = "adapter";
pub const EXPORT: &str = "export.yaml";
pub const TRAIN_FILE: &str = "train.jsonl";
pub const HELD_OUT_FILE: &str = "held_out.jsonl";
pub const TRAINER_LOG: &str = "trainer_log.jsonl";

/// The folder of a checkpoint in the trainer's output folder.
pub fn checkpoint(step: u64) -> String {
    format!("checkpoint-{step}")
}

/// The environment of the trainer; everything else is cut off.
pub(crate) fn environment(machine: &Machine, python: &Path, folder: &Path) -> Vec<(String, String)> {
    let mut out = machine.environment(python, folder);
    out.extend(machine.nodes.environment(machine.gpu));
    out.extend([
        // A second thread buys 12 % on a small model, and takes the other core from everybody else.
        ("OMP_NUM_THREADS".into(), "1".into()),
        // Both together switch on the graceful stop by SIGABRT.
        ("LLAMABOARD_ENABLED".into(), "1".into()),
        ("LLAMABOARD_WORKDIR".into(), folder.join("board").to_string_lossy().into_owned()),
    ]);
    out
}

/// Lies beside the Python of its environment.
pub(crate) fn program(python: &Path) -> PathBuf {
    python.with_file_name("llamafactory-cli")
}

/// Prints the versions of the environment as JSON, without importing anything big.
pub(crate) const VERSIONS: &str = r#"
import importlib.metadata, json, platform
versions = {"python": platform.python_version()}
for name in ("llamafactory", "transformers", "torch", "peft", "datasets"):
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(versions))
"#;
