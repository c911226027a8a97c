//! What runs inside the process of a task: `atelier task run` trains or evaluates, `atelier task serve` serves a model,
//! `atelier task check-isolation` tries what must be out of reach.
//!
//! It reads one spec file, says what it does as JSON lines on standard output (`domain::report`), and leaves its results, its log and
//! at last its verdict in the artefact store. It knows nothing of the portal: when the portal is gone, it goes on.

mod cache;
mod catalogue;
mod checkpoints;
mod custom;
mod evaluate;
mod failure;
mod http;
mod install;
mod isolation;
pub mod llamafactory;
mod machine;
mod merge;
mod program;
mod progress;
mod ready;
mod reporter;
mod serve;
mod train;
mod transfer;
mod vllm;

pub use install::install;
pub use isolation::check_isolation;
pub use serve::Manner;

use domain::{
    artefacts,
    report::{TaskMessage, Verdict},
    run::LogLevel,
    task_spec::{TaskSpec, Work},
};
use failure::Halt;
use machine::Machine;
use reporter::Reporter;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use transfer::Artefacts;

/// Exit codes of `run`: the verdict in the store says more.
pub const SUCCEEDED: i32 = 0;
pub const FAILED: i32 = 1;
/// The spec cannot be read, or is of the other kind.
pub const BAD_SPEC: i32 = 2;
/// As if ended by SIGTERM: it was told to.
pub const STOPPED: i32 = 143;

/// What every part of a task needs.
struct Context {
    /// Holds the spec, and files beside it that the portal may replace while the task runs. It need not be writable.
    given: PathBuf,
    /// Everything that the task makes lies below it.
    folder: PathBuf,
    artefacts: Artefacts,
    reporter: Reporter,
    machine: Machine,
    stop: program::StopSign,
}

impl Context {
    /// The work, unless it is told to stop first; then what was begun is dropped.
    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
        tokio::select! {
            done = work => done,
            () = self.stop.asked() => Err(Halt::Stopped),
        }
    }
}

/// Does the job of a spec (training or evaluation) to its end. `work`: where it writes; `None` = beside the spec. Returns the exit code.
/// Blocks; must not be called in an async context.
pub fn run(spec_path: &Path, work: Option<&Path>) -> i32 {
    let (spec_path, work) = (spec_path.to_owned(), work.map(Path::to_owned));
    on_a_thread_of_its_own(move || async move {
        let (spec, task) = match begin(&spec_path, work).await {
            Ok(begun) => begun,
            Err(code) => return code,
        };
        let (tenant, run, name, done) = match &spec.work {
            Work::Train(work) => (&work.tenant, work.run, &work.folder, train::train(&task, work).await),
            Work::Custom(work) => (&work.tenant, work.run, &work.folder, custom::custom(&task, work).await),
            Work::Merge(work) => (&work.tenant, work.run, &work.folder, merge::merge(&task, work).await),
            Work::Evaluate(work) => (&work.tenant, work.run, &work.folder, evaluate::evaluate(&task, work).await),
            Work::Serve(_) => return bad_spec("This spec is for “task serve”."),
            Work::CheckIsolation(_) => return bad_spec("This spec is for “task check-isolation”."),
        };
        let verdict = match done {
            Ok(outcome) => Verdict::Succeeded(outcome),
            Err(Halt::Stopped) => Verdict::Stopped,
            Err(Halt::Failed(failure)) => Verdict::Failed(failure),
        };
        let code = match &verdict {
            Verdict::Succeeded(_) => SUCCEEDED,
            Verdict::Failed(_) => FAILED,
            Verdict::Stopped => STOPPED,
        };
        if !task.machine.nodes.is_first() {
            return code;
        }
        // The log first: who sees the verdict finds everything else in place.
        let said = task.artefacts.put_file(task.reporter.file(), &artefacts::run_log(tenant, run, name)).await.map(drop);
        let said = match said {
            Ok(()) => {
                task.artefacts.put(&artefacts::run_verdict(tenant, run, name), serde_json::to_vec(&verdict).unwrap_or_default()).await
            }
            error => error,
        };
        if let Err(e) = said {
            // The line below still tells the portal.
            task.reporter.log(LogLevel::Error, format!("The verdict could not be written to the store: {e}"));
        }
        task.reporter.say(TaskMessage::Verdict { verdict });
        code
    })
}

/// Serves the model of a spec on `at` until SIGTERM (exit code 0) or until the model server ends (its exit code).
pub fn serve(spec_path: &Path, work: Option<&Path>, at: SocketAddr, manner: Manner) -> i32 {
    let (spec_path, work) = (spec_path.to_owned(), work.map(Path::to_owned));
    on_a_thread_of_its_own(move || async move {
        let (spec, task) = match begin(&spec_path, work).await {
            Ok(begun) => begun,
            Err(code) => return code,
        };
        match &spec.work {
            Work::Serve(work) => serve::serve(&task, work, at, manner).await,
            _ => bad_spec("This spec is for “task run”."),
        }
    })
}

async fn begin(spec_path: &Path, work: Option<PathBuf>) -> Result<(TaskSpec, Context), i32> {
    // First of all: a stop that comes while the inputs are fetched must not just kill.
    let stop = program::StopSign::listen().map_err(|e| bad_spec(&format!("Signals cannot be caught: {e}")))?;
    let text = std::fs::read(spec_path).map_err(|e| bad_spec(&format!("{} cannot be read: {e}", spec_path.display())))?;
    let spec: TaskSpec =
        serde_json::from_slice(&text).map_err(|e| bad_spec(&format!("{} is not a task spec: {e}", spec_path.display())))?;
    let given = std::path::absolute(spec_path).ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or_else(|| PathBuf::from("."));
    let folder = match work {
        Some(work) => std::path::absolute(&work).map_err(|e| bad_spec(&format!("{} is no folder: {e}", work.display())))?,
        None => given.clone(),
    };
    let artefacts = Artefacts::open(&spec.store).map_err(|e| bad_spec(&format!("The store cannot be opened: {e}")))?;
    let reporter =
        Reporter::new(&folder.join("log.jsonl"), std::io::stdout()).map_err(|e| bad_spec(&format!("The log cannot be written: {e}")))?;
    Ok((spec, Context { given, folder, artefacts, reporter, machine: Machine::look(), stop }))
}

fn bad_spec(sentence: &str) -> i32 {
    eprintln!("atelier task: {sentence}");
    BAD_SPEC
}

/// A plain thread, so that the caller may have a runtime of its own. It lives until the work is done: the programs that it starts are
/// killed by the kernel when it ends, and so also when this process is killed.
fn on_a_thread_of_its_own<F: Future<Output = i32>>(work: impl FnOnce() -> F + Send + 'static) -> i32 {
    let body = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work()),
        Err(e) => bad_spec(&format!("The runtime cannot be started: {e}")),
    };
    std::thread::Builder::new().name("task".into()).spawn(body).map(|t| t.join().unwrap_or(FAILED)).unwrap_or(FAILED)
}
