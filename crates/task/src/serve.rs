//! A model server: vLLM with the wanted adapters, as long as it is wanted.
//!
//! Which adapters there should be is a file beside the spec that the portal replaces (`adapters.json`); here is the loop that makes
//! it so, however the file and the server have changed meanwhile.

use crate::{
    Context, cache,
    failure::{Halt, TaskError},
    http::Http,
    program::{Ended, Next, Program},
    ready::{self, Readiness},
    reporter::size,
    vllm::{self, Parsers},
};
use domain::{
    artefacts,
    reason::{
        endpoint::AdapterReason,
        failure::{Cause, Failure},
    },
    report::{AdapterFailure, Phase, TaskMessage},
    run::LogLevel,
    task_spec::{Serve, WantedAdapter, WantedAdapters, Weights},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the wish is compared with what is there.
const LOOK: Duration = Duration::from_millis(200);
/// After this time a first call that failed is tried again.
const RETRY_TOKEN: Duration = Duration::from_secs(1);
/// After this time a refused adapter is tried again: its files may have come meanwhile.
const RETRY: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(15);
/// A server that answers is asked for its health this often,
const PROBE: Duration = Duration::from_secs(5);
/// may take this long to say so (on a CPU a long prompt keeps it busy),
const PATIENCE: Duration = Duration::from_secs(20);
/// and is ended after so many silences in a row. Together a little over a minute.
const SILENCES: u32 = 3;

/// How long whoever sends calls may take to hear that a replica takes none any more.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at what is under way while it ends.
const DRAIN_LOOK: Duration = Duration::from_millis(250);
/// So many looks in a row without a call, and nothing is left: one may be between its last token and its end.
const QUIET_LOOKS: u32 = 3;

/// How a server is asked whether it takes calls, and how it ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Where it says whether it is ready.
    pub ready_at: Option<SocketAddr>,
    /// How long calls under way may go on after it was asked to end. Zero: they break off.
    pub drain: Duration,
}

pub async fn serve(task: &Context, work: &Serve, at: SocketAddr, manner: Manner) -> i32 {
    let readiness = Arc::new(Readiness::default());
    let tell = async {
        match manner.ready_at {
            Some(at) => ready::tell(at, readiness.clone(), &task.reporter).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        code = serve_until_the_end(task, work, at, manner, &readiness) => code,
        () = cache::keep(&work.files) => crate::FAILED,
        () = tell => crate::FAILED,
    }
}

async fn serve_until_the_end(task: &Context, work: &Serve, at: SocketAddr, manner: Manner, readiness: &Readiness) -> i32 {
    match keep_serving(task, work, at, manner, readiness).await {
        Ok(code) => code,
        Err(Halt::Stopped) => 0,
        Err(Halt::Failed(failure)) => {
            task.reporter.log(LogLevel::Error, {
                let said = failure.said();
                format!("{} {}", said.sentence, said.next_step)
            });
            for line in failure.evidence {
                task.reporter.log(LogLevel::Error, line);
            }
            crate::FAILED
        }
    }
}

/// Until the server ends. One that does not start with the parsers that we chose is started once more without them.
async fn keep_serving(task: &Context, work: &Serve, at: SocketAddr, manner: Manner, readiness: &Readiness) -> Result<i32, Halt> {
    let weights = fetch(task, work).await?;
    let mut parsers = Parsers::of(work, &weights);
    loop {
        task.reporter.log(LogLevel::Info, parsers.sentence());
        let server = start(task, work, &parsers, &weights, at)?;
        readiness.begins();
        let ran = run(task, work, (at.port(), manner.drain), readiness, server).await;
        match parsers.without_guesses(work) {
            Some(fewer) if ran.parser_does_not_fit => parsers = fewer,
            _ => return Ok(ran.code),
        }
    }
}

/// The folder of the weights, fetched anew: a new process begins with no adapters and trusts no earlier files.
async fn fetch(task: &Context, work: &Serve) -> Result<PathBuf, Halt> {
    task.machine.vllm_python()?;
    task.reporter.phase(Phase::Loading, "fetching the weights");
    let folder = task.folder.join("work");
    let weights = folder.join("weights");
    let fetch = async {
        if folder.exists() {
            tokio::fs::remove_dir_all(&folder).await.map_err(TaskError::io("clearing the working folder"))?;
        }
        for name in ["hf", "tmp", "adapters"] {
            tokio::fs::create_dir_all(folder.join(name)).await.map_err(TaskError::io("making the working folder"))?;
        }
        let (from, what) = match work.weights {
            Weights::Base { base_model } => (artefacts::base_model(base_model), "The base model"),
            Weights::Merged { version } => (artefacts::model_version(&work.tenant, version), "The model version"),
        };
        cache::bring(&task.artefacts, &task.reporter, &from, &weights, &work.files).await?;
        Ok(task.artefacts.fetch_folder(&from, &weights, what, &work.files).await?)
    };
    let fetched = task.unless_stopped(fetch).await?;
    task.reporter.phase(Phase::Loading, format!("starting vLLM with {}", size(fetched.bytes)));
    Ok(weights)
}

fn start(task: &Context, work: &Serve, parsers: &Parsers, weights: &Path, at: SocketAddr) -> Result<Program, Halt> {
    let python = task.machine.vllm_python()?;
    let command = vllm::command(&task.machine, python, work, parsers, weights, &task.folder.join("work"), at);
    Program::start(command).map_err(|e| {
        Failure::of(Cause::NotInstalled { what: "model server".into(), path: None, variable: None })
            .with_evidence(vec![e.to_string()])
            .into()
    })
}

/// How a server came to its end.
struct Ran {
    code: i32,
    parser_does_not_fit: bool,
}

impl From<i32> for Ran {
    fn from(code: i32) -> Self {
        Self { code, parser_does_not_fit: false }
    }
}

/// Until the server ends or is told to and its calls are answered. `at`: its port, and how long they may take.
async fn run(task: &Context, work: &Serve, at: (u16, Duration), readiness: &Readiness, mut server: Program) -> Ran {
    let mut last = VecDeque::new();
    let (http, drain) = (Http::to(at.0), at.1);
    let keeper = async {
        wait_until_ready(task, work, &http).await;
        readiness.answers();
        tokio::select! { () = keep_adapters(task, work, &http, readiness) => {}, () = falls_silent(&http, readiness) => {} }
    };
    // Beside the server's output, which has to be read on, or the server stops at a full pipe.
    let ends = async {
        task.stop.asked().await;
        readiness.ends();
        if !drain.is_zero() {
            task.reporter.phase(Phase::Stopping, "takes no new calls and answers those under way");
            drained(&http, drain).await;
        }
    };
    tokio::pin!(keeper, ends);
    loop {
        tokio::select! {
            next = server.next() => match next {
                Ok(Next::Line(_, line)) => {
                    if let Some((level, text)) = vllm::log_line(&line) {
                        task.reporter.log(level, vllm::without_paths(&text));
                    }
                    if last.len() == 500 {
                        last.pop_front();
                    }
                    last.push_back(line);
                }
                Ok(Next::Ended(ended)) => {
                    let lines = last.make_contiguous();
                    task.reporter.log(LogLevel::Error, vllm::without_paths(&vllm::why_it_ended(ended, lines)));
                    let code = match ended {
                        // It should not have ended at all.
                        Ended::Exit(0) => crate::FAILED,
                        Ended::Exit(code) => code,
                        Ended::Signal(signal) => 128 + signal,
                    };
                    return Ran { code, parser_does_not_fit: vllm::parser_does_not_fit(lines) };
                }
                Err(e) => {
                    task.reporter.log(LogLevel::Error, format!("The model server cannot be watched: {e}"));
                    return crate::FAILED.into();
                }
            },
            () = &mut keeper => {
                task.reporter.log(LogLevel::Error, "The model server runs, but has not answered for more than a minute. It is ended and started anew.");
                return match server.stop(GRACE).await {
                    Ok(Ended::Signal(signal)) => (128 + signal).into(),
                    _ => crate::FAILED.into(),
                };
            }
            () = &mut ends => {
                task.reporter.phase(Phase::Stopping, "stopping vLLM");
                if let Err(e) = server.stop(GRACE).await {
                    task.reporter.log(LogLevel::Error, format!("The model server could not be stopped: {e}"));
                    return crate::FAILED.into();
                }
                return 0.into();
            }
        }
    }
}

/// A server that says it is well may still be unable to answer: its first token is the proof.
async fn wait_until_ready(task: &Context, work: &Serve, http: &Http) {
    let began = Instant::now();
    while !vllm::is_healthy(http, Duration::from_secs(2)).await {
        tokio::time::sleep(LOOK).await;
    }
    let mut said = String::new();
    while let Err(why) = vllm::writes_a_token(http, &work.served_name).await {
        if why != said {
            task.reporter
                .log(LogLevel::Warning, format!("The model server is up and does not answer a first call: {}", vllm::without_paths(&why)));
            said = why;
        }
        tokio::time::sleep(RETRY_TOKEN).await;
    }
    task.reporter.phase(Phase::Ready, format!("answers after {:.1} s", began.elapsed().as_secs_f64()));
}

/// Ends when a server that has answered does not any more. Its process may well run on: a hung engine answers nobody.
async fn falls_silent(http: &Http, readiness: &Readiness) {
    let mut silences = 0;
    while silences < SILENCES {
        tokio::time::sleep(PROBE).await;
        silences = if vllm::is_healthy(http, PATIENCE).await { 0 } else { silences + 1 };
        readiness.silent(silences > 0);
    }
}

/// Ends when no call is under way any more, or after this time.
async fn drained(http: &Http, at_most: Duration) {
    let answered = async {
        tokio::time::sleep(HEARD_WITHIN).await;
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            tokio::time::sleep(DRAIN_LOOK).await;
            // What cannot be told counts as one under way.
            quiet = if vllm::under_way(http).await == Some(0) { quiet + 1 } else { 0 };
        }
    };
    let _ = tokio::time::timeout(at_most, answered).await;
}

/// Makes the adapters of a server what they should be. Never ends.
async fn keep_adapters(task: &Context, work: &Serve, http: &Http, readiness: &Readiness) {
    let mut adapters = Adapters { folder: task.folder.join("work/adapters"), loaded: BTreeMap::new(), refused: BTreeMap::new() };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        look.tick().await;
        let Some(wanted) = read_wanted(&task.given.join("adapters.json")) else { continue };
        adapters.make_so(task, work, http, &wanted).await;
        readiness.adapters_tried();
        let now = adapters.state();
        // Also once at the beginning, so that the portal learns that there are none.
        if said.as_ref() != Some(&now) {
            task.reporter.say(now.clone());
            said = Some(now);
        }
    }
}

/// `None` = there is no file yet, or not a readable one: then nothing is changed.
fn read_wanted(path: &Path) -> Option<WantedAdapters> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(WantedAdapters::default()),
        Err(_) => None,
    }
}

struct Adapters {
    folder: PathBuf,
    loaded: BTreeMap<String, WantedAdapter>,
    /// Why, and when it was tried last.
    refused: BTreeMap<String, (WantedAdapter, AdapterReason, Instant)>,
}

impl Adapters {
    async fn make_so(&mut self, task: &Context, work: &Serve, http: &Http, wanted: &WantedAdapters) {
        let is_wanted = |adapter: &WantedAdapter| wanted.adapters.contains(adapter);
        self.refused.retain(|_, (adapter, ..)| is_wanted(adapter));
        let surplus: Vec<_> = self.loaded.values().filter(|a| !is_wanted(a)).cloned().collect();
        for adapter in surplus {
            match vllm::unload_adapter(http, &adapter.name).await {
                Ok(()) => {
                    self.loaded.remove(&adapter.name);
                    let _ = tokio::fs::remove_dir_all(self.folder.join(adapter.version.to_string())).await;
                    task.reporter.log(LogLevel::Info, format!("Adapter {} was taken off.", adapter.name));
                }
                Err(reason) => {
                    task.reporter.log(LogLevel::Warning, format!("Adapter {} could not be taken off: {}", adapter.name, reason.said()))
                }
            }
        }
        for adapter in &wanted.adapters {
            let waits = self.refused.get(&adapter.name).is_some_and(|(_, _, tried)| tried.elapsed() < RETRY);
            if waits || self.loaded.contains_key(&adapter.name) {
                continue;
            }
            let began = Instant::now();
            match self.load(task, work, http, adapter).await {
                Ok(()) => {
                    self.refused.remove(&adapter.name);
                    self.loaded.insert(adapter.name.clone(), adapter.clone());
                    task.reporter
                        .log(LogLevel::Info, format!("Adapter {} was loaded in {} ms.", adapter.name, began.elapsed().as_millis()));
                }
                Err(reason) => {
                    let known = self.refused.insert(adapter.name.clone(), (adapter.clone(), reason.clone(), Instant::now()));
                    if known.is_none_or(|(_, before, _)| before != reason) {
                        task.reporter.log(LogLevel::Warning, format!("Adapter {} could not be loaded: {}", adapter.name, reason.said()));
                    }
                }
            }
        }
    }

    async fn load(&self, task: &Context, work: &Serve, http: &Http, adapter: &WantedAdapter) -> Result<(), AdapterReason> {
        let folder = self.folder.join(adapter.version.to_string());
        // What a former try left.
        let _ = tokio::fs::remove_dir_all(&folder).await;
        let from = artefacts::model_version(&work.tenant, adapter.version);
        task.artefacts
            .fetch_folder(&from, &folder, "The adapter", &adapter.files)
            .await
            .map_err(|e| AdapterReason::NotFetched { error: e.to_string() })?;
        vllm::load_adapter(http, &adapter.name, &folder).await
    }

    fn state(&self) -> TaskMessage {
        TaskMessage::Adapters {
            loaded: self.loaded.keys().cloned().collect(),
            failed: self.refused.values().map(|(a, reason, _)| AdapterFailure { name: a.name.clone(), reason: reason.clone() }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_means_no_adapters_and_a_broken_one_means_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapters.json");
        assert_eq!(read_wanted(&path), Some(WantedAdapters::default()));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read_wanted(&path), None);
    }
}
