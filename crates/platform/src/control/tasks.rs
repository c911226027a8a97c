//! What the engine is asked to run, built purely from records: the same records give the same task, byte for byte.

use crate::TaskLimits;
use crate::store::endpoints::EndpointRecord;
use domain::{
    artefacts::{ArtefactStore, STORE_SECRET},
    base_model::{BaseModel, StoredFile},
    dataset::DatasetVersion,
    ids::{EndpointId, IsolationCheckId, RunId},
    isolation,
    name::Name,
    run::{CustomTraining, Run, Step, StepId},
    serving::ParserChoice,
    task_spec::{CheckIsolation, Custom, Evaluate, Merge, Serve, TaskSpec, Train, Weights, Work},
};
use engine::{Resources, Runtime, SecretRef, Task, TaskKind};
use std::time::Duration;
use uuid::Uuid;

/// `run-{32 hex}-train`; `folder` as of `Step::folder`.
pub(crate) fn run_task(run: RunId, folder: &str) -> String {
    format!("run-{}-{folder}", run.uuid().simple())
}
/// `ep-{32 hex}-{launch}`
pub(crate) fn endpoint_task(endpoint: EndpointId, launch: u32) -> String {
    format!("{}{launch}", endpoint_prefix(endpoint))
}
pub(crate) fn endpoint_prefix(endpoint: EndpointId) -> String {
    format!("ep-{}-", endpoint.uuid().simple())
}
/// `iso-{32 hex}`
pub(crate) fn isolation_task(check: IsolationCheckId) -> String {
    format!("iso-{}", check.uuid().simple())
}
/// The check that a task belongs to.
pub(crate) fn isolation_check_of(task: &str) -> Option<IsolationCheckId> {
    Uuid::try_parse(task.strip_prefix("iso-")?).ok().map(IsolationCheckId::from_uuid)
}
/// The run that a task belongs to; `None` for other tasks.
pub(crate) fn run_of(task: &str) -> Option<RunId> {
    let (hex, _) = task.strip_prefix("run-")?.split_once('-')?;
    Uuid::try_parse(hex).ok().map(RunId::from_uuid)
}
/// The endpoint and the launch that a task belongs to.
pub(crate) fn endpoint_of(task: &str) -> Option<(EndpointId, u32)> {
    let (hex, launch) = task.strip_prefix("ep-")?.split_once('-')?;
    Some((EndpointId::from_uuid(Uuid::try_parse(hex).ok()?), launch.parse().ok()?))
}

/// Thousandths of a core that a model server asks for; it may use what is free beyond that. Without a wish of its own it would have the
/// least weight of all on a busy node: beside a compiler it took 6 minutes to load what takes 1.
const SERVER_CPU: u64 = 500;
/// How long each thing is tried by a check of isolation: a connection is asked for anew after one and three seconds.
const TRY_SECONDS: u32 = 8;
/// Of its pod, bytes. It starts beside whatever else the tenant's quota holds.
const CHECK_MEMORY: u64 = 256 << 20;
/// How long a model server may take to end after it was asked to.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// The same for the process of a step: a training writes and stores a last checkpoint.
pub(crate) const STEP_GRACE: Duration = Duration::from_secs(60);
/// The same of a model server that the engine replaces: calls under way are answered first.
const SERVER_GRACE: Duration = Duration::from_secs(120);

/// Where tasks find artefacts, and what they may use; the same for all of them.
pub(crate) struct TaskBuilder<'a> {
    pub location: &'a ArtefactStore,
    pub limits: &'a TaskLimits,
}

impl TaskBuilder<'_> {
    /// The process of a step.
    fn batch(&self, run: &Run, step: &Step, work: Work) -> Task {
        let task = self.task(&run.tenant, run_task(run.id, &step.folder()), TaskKind::Batch, work);
        Task { resources: resources(run, step, self.limits), deadline: deadline(run, step, self.limits), ..task }
    }

    fn task(&self, tenant: &Name, name: String, kind: TaskKind, work: Work) -> Task {
        let (args, runtime, grace) = match kind {
            TaskKind::Batch => (["task", "run"], Runtime::Trainer, STEP_GRACE),
            TaskKind::Server => (["task", "serve"], Runtime::Vllm, GRACE),
        };
        let spec = TaskSpec { store: self.location.clone(), work };
        Task {
            tenant: tenant.clone(),
            name,
            kind,
            runtime,
            args: args.map(str::to_owned).into(),
            spec: crate::store::json(&spec),
            resources: Resources { memory: self.limits.memory, gpus: self.limits.gpus, ..Resources::default() },
            secrets: self.secrets(),
            replicas: 1,
            deadline: None,
            grace,
        }
    }

    /// The tenant's key of the store, where that has keys.
    fn secrets(&self) -> Vec<SecretRef> {
        // A folder has no keys.
        self.fetches().then(|| SecretRef { name: STORE_SECRET.into(), file: STORE_SECRET.into() }).into_iter().collect()
    }

    /// Whether tasks fetch files over the network. Those of a folder are linked.
    pub(crate) fn fetches(&self) -> bool {
        matches!(self.location, ArtefactStore::S3 { .. })
    }

    /// What a task compares with what it fetches.
    fn files(&self, files: &[StoredFile]) -> Vec<StoredFile> {
        if self.fetches() { files.to_vec() } else { Vec::new() }
    }

    pub(crate) fn train(&self, run: &Run, step: &Step, base: &BaseModel, version: &DatasetVersion) -> Task {
        let (train_rows, held_out_rows) = version.report.as_ref().map_or((0, 0), |r| (r.train_rows, r.held_out_rows));
        let work = Work::Train(Train {
            tenant: run.tenant.clone(),
            run: run.id,
            folder: step.folder(),
            base_model: base.id,
            base_files: self.files(&base.files),
            template: base.template.clone(),
            dataset_version: version.id,
            judgement: version.judgement.clone(),
            held_out_rows,
            train_rows,
            settings: run.settings.clone(),
            gpus: resources(run, step, self.limits).gpus,
            earlier: (1..step.attempt).rev().map(|attempt| Step { attempt, ..step.clone() }.folder()).collect(),
        });
        self.batch(run, step, work)
    }

    /// The same by an image of somebody's own: our program brings it what it works on, and stores what it leaves.
    pub(crate) fn custom(&self, run: &Run, step: &Step, base: &BaseModel, version: &DatasetVersion, training: &CustomTraining) -> Task {
        let (train_rows, held_out_rows) = version.report.as_ref().map_or((0, 0), |r| (r.train_rows, r.held_out_rows));
        let work = Work::Custom(Custom {
            tenant: run.tenant.clone(),
            run: run.id,
            folder: step.folder(),
            base_model: base.id,
            base_files: self.files(&base.files),
            dataset_version: version.id,
            judgement: version.judgement.clone(),
            held_out_rows,
            train_rows,
            training: training.clone(),
            leaves: run.settings.finetuning_type(),
        });
        Task { runtime: Runtime::Image(training.image.clone()), ..self.batch(run, step, work) }
    }

    /// The adapter that the step `adapter` has left, into the weights of its base.
    pub(crate) fn merge(&self, run: &Run, step: &Step, base: &BaseModel, adapter: &StepId, files: &[StoredFile]) -> Task {
        let work = Work::Merge(Merge {
            tenant: run.tenant.clone(),
            run: run.id,
            folder: step.folder(),
            base_model: base.id,
            base_files: self.files(&base.files),
            template: base.template.clone(),
            adapter: run.folder_of(adapter),
            adapter_files: self.files(files),
        });
        self.batch(run, step, work)
    }

    /// Base against the weights that the step `weights` has left.
    pub(crate) fn evaluate(
        &self,
        run: &Run,
        step: &Step,
        base: &BaseModel,
        version: &DatasetVersion,
        weights: (&StepId, &[StoredFile]),
    ) -> Task {
        let (weights, files) = weights;
        let work = Work::Evaluate(Evaluate {
            tenant: run.tenant.clone(),
            run: run.id,
            folder: step.folder(),
            base_model: run.base_model,
            base_files: self.files(&base.files),
            dataset_version: version.id,
            judgement: version.judgement.clone(),
            weights: run.folder_of(weights),
            weights_files: self.files(files),
            weights_kind: run.weights_of(weights),
        });
        self.batch(run, step, work)
    }

    /// Everything of the pod is as a run's, but for what it does: else it would prove something about another pod.
    pub(crate) fn check_isolation(&self, check: &isolation::Check) -> Task {
        let tries = check.lines().iter().filter_map(|l| Some((l.target.probe, l.target.way.clone().ok()?))).collect();
        let work = Work::CheckIsolation(CheckIsolation { tenant: check.tenant.clone(), tries, patience: TRY_SECONDS });
        let task = self.task(&check.tenant, isolation_task(check.id), TaskKind::Batch, work);
        Task {
            args: ["task", "check-isolation"].map(str::to_owned).into(),
            resources: Resources { cpu_milli: Some(50), memory: Some(CHECK_MEMORY), ..Resources::default() },
            deadline: Some(Duration::from_millis(isolation::AT_MOST.unsigned_abs())),
            grace: GRACE,
            ..task
        }
    }

    /// `files`: of the weights.
    pub(crate) fn serve(&self, record: &EndpointRecord, base: &BaseModel, files: &[StoredFile]) -> Task {
        let e = &record.endpoint;
        let asked = &e.settings.resources;
        let (weights, served_name) = match e.merged_version {
            Some(version) => (Weights::Merged { version }, version.to_string()),
            None => (Weights::Base { base_model: base.id }, base.name.to_string()),
        };
        // A model that was trained without reasoning answers at once: a parser would look for reasoning that never ends.
        let reasoning_parser = match &e.settings.reasoning_parser {
            ParserChoice::Auto if base.template.ends_with("_nothink") => ParserChoice::Off,
            chosen => chosen.clone(),
        };
        let work = Work::Serve(Serve {
            tenant: e.tenant.clone(),
            endpoint: e.id,
            weights,
            files: self.files(files),
            served_name,
            context: base.context,
            max_lora_rank: record.max_lora_rank,
            gpus: asked.gpus.unwrap_or(self.limits.gpus),
            tool_call_parser: e.settings.tool_call_parser.clone(),
            reasoning_parser,
            media_hosts: e.settings.media_hosts.clone(),
        });
        let mut task = self.task(&e.tenant, endpoint_task(e.id, record.launch), TaskKind::Server, work);
        task.resources = Resources {
            cpu_milli: Some(asked.cpu.map_or(SERVER_CPU, |cores| u64::from(cores) * 1000)),
            memory: asked.memory.into_iter().chain(self.limits.memory).min(),
            gpus: asked.gpus.unwrap_or(self.limits.gpus),
            gpu_product: asked.gpu_product.clone(),
            mig_profile: asked.mig_profile.clone(),
            ..Resources::default()
        };
        task.replicas = e.settings.replicas;
        task.grace = SERVER_GRACE;
        task
    }
}

/// What the process of a step may use: what the most demanding of its parts asks for, and no more memory than this portal allows.
fn resources(run: &Run, step: &Step, limits: &TaskLimits) -> Resources {
    let asked = run.steps.iter().filter(|s| s.unit() == step.unit()).fold(step.resources.clone(), |all, part| all.with(&part.resources));
    let some = |n: u64| (n > 0).then_some(n);
    Resources {
        cpu_milli: some(asked.cpu_millis.into()),
        memory: some(asked.memory_bytes).into_iter().chain(limits.memory).min(),
        gpus: asked.gpus.unwrap_or(limits.gpus),
        gpu_product: asked.gpu_product,
        mig_profile: asked.mig_profile,
        nodes: asked.nodes,
        ..Resources::default()
    }
}

/// How long the process of a step may take: all of its parts together, and no longer than this portal allows any run.
pub(crate) fn deadline(run: &Run, step: &Step, limits: &TaskLimits) -> Option<Duration> {
    let parts: Option<i64> = run.steps.iter().filter(|s| s.unit() == step.unit()).map(|s| s.deadline).sum();
    let planned = parts.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    planned.into_iter().chain(limits.run).min()
}

/// The ranks that vLLM can be started for.
const RANKS: [u32; 6] = [8, 16, 32, 64, 128, 256];
/// Covers what people usually train, so that a later adapter seldom needs a restart.
const USUAL_RANK: u32 = 64;

/// What a server must be started for, so that adapters of these ranks fit.
pub(crate) fn max_lora_rank(ranks: impl IntoIterator<Item = u32>) -> u32 {
    let most = ranks.into_iter().fold(USUAL_RANK, u32::max);
    RANKS.into_iter().find(|r| *r >= most).unwrap_or(256)
}

#[cfg(test)]
mod tests;
