//! Runs: drafting, checking, launching, cancelling, looking. What happens to a launched run is the controllers' work (`control::steps`).

mod document;
mod figures;

use crate::{
    Platform,
    access::{Scope, shortened},
    change::Change,
    problem::Doing,
    store::runs::InsertRun,
    tenants::storage_used_up,
};
use domain::{
    audit::Detail,
    base_model::{BaseModel, BaseModelState},
    dataset::{DatasetVersion, VersionState},
    filter::{BaseModelFilter, RunFilter, RunStates},
    free_number::FreeNumber,
    ids::{DatasetVersionId, RunId},
    model::WeightsKind,
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::{FieldProblem, Problem},
    run::{Holders, MOST_NODES, NewRun, PendingCause, Reason, Run, RunCounts, RunOnData, Step, StepId, StepKind, StepState, Work, plan},
    settings::{STANDARD_PRESET, catalogue, preset},
    supply::Times,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// What a plan would come to, before anything starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Optimiser steps.
    pub steps_total: u64,
    pub train_rows: u64,
    pub held_out_rows: u64,
    /// The trainer's settings in its own key names.
    pub yaml: String,
}

/// The runs of one tenant.
pub struct Runs<'a> {
    scope: &'a Scope,
}

/// What was asked for, with every part found and fitting.
struct Found {
    name: Name,
    model_name: Name,
    base: BaseModel,
    version: DatasetVersion,
    train_rows: u64,
    held_out_rows: u64,
    /// That share the rows.
    processes: u32,
}

impl Platform {
    pub fn runs<'a>(&self, scope: &'a Scope) -> Runs<'a> {
        Runs { scope }
    }
}

impl Runs<'_> {
    fn platform(&self) -> &Platform {
        self.scope.platform()
    }

    /// Newest first.
    pub async fn list(&self, filter: &RunFilter, after: &Cursor) -> Result<Page<Run>, Problem> {
        self.scope.permit(Action::RunRead)?;
        self.platform().store().runs(self.scope.tenant_name(), filter, after).await.doing("reading the runs")
    }

    /// Those that failed after a time, the last first; at most so many.
    pub async fn failed_since(&self, since: Timestamp, most: u32) -> Result<Vec<Run>, Problem> {
        self.scope.permit(Action::RunRead)?;
        self.platform().store().runs_failed_since(self.scope.tenant_name(), since, most).await.doing("reading the runs")
    }

    /// Ids and names of the newest: one page.
    pub async fn names(&self) -> Result<Page<(RunId, Name)>, Problem> {
        self.scope.permit(Action::RunRead)?;
        self.platform().store().run_names(self.scope.tenant_name()).await.doing("reading the runs")
    }

    pub async fn named(&self, name: &str) -> Result<Run, Problem> {
        self.scope.permit(Action::RunRead)?;
        let not_found = || Problem::not_found(format!("The run “{}”", shortened(name)));
        let parsed: Name = name.trim().parse().map_err(|_| not_found())?;
        let found = self.platform().store().run_by_name(self.scope.tenant_name(), &parsed).await.doing("looking for the run")?;
        self.get(found.ok_or_else(not_found)?).await
    }

    /// What else of the tenant is at work, where that is what the run waits for: runs, and endpoints as far as the person may see them.
    pub async fn holders(&self, run: &Run) -> Result<Holders, Problem> {
        self.scope.permit(Action::RunRead)?;
        if !run.waits_for().is_some_and(PendingCause::is_held_by_the_tenant) {
            return Ok(Holders::default());
        }
        let (store, tenant, doing) = (self.platform().store(), self.scope.tenant_name(), "reading what is at work");
        let active = RunFilter { states: RunStates::Active, ..RunFilter::default() };
        let runs = store.runs(tenant, &active, &Cursor::default()).await.doing(doing)?.rows;
        let works = |r: &&Run| r.id != run.id && r.state.is_active() && r.waits_for().is_none();
        let endpoints = match self.scope.permit(Action::EndpointRead) {
            Ok(_) => store.wanted_endpoints(tenant).await.doing(doing)?,
            Err(_) => Vec::new(),
        };
        Ok(Holders {
            runs: runs.iter().filter(works).map(|r| (r.id, r.name.clone())).collect(),
            endpoints: endpoints.into_iter().filter(|e| e.external.is_none()).map(|e| e.name).collect(),
        })
    }

    pub async fn counts(&self) -> Result<RunCounts, Problem> {
        self.scope.permit(Action::RunRead)?;
        self.platform().store().run_counts(self.scope.tenant_name()).await.doing("counting the runs")
    }

    /// The newest that train on a version of a dataset, at most so many, and how many there are.
    pub async fn on_version(&self, version: DatasetVersionId, most: u32) -> Result<(Vec<RunOnData>, u64), Problem> {
        self.scope.permit(Action::RunRead)?;
        let (store, tenant, doing) = (self.platform().store(), self.scope.tenant_name(), "reading the runs on a dataset");
        let newest = store.runs_on_version(tenant, version, most).await.doing(doing)?;
        Ok((newest, store.count_runs_on_version(tenant, version).await.doing(doing)?))
    }

    /// A name that no run has: `facts-8` for `facts-7`, or the first number after it that is free; with many in a row taken, any that
    /// comes right after a taken one.
    pub async fn free_name(&self, like: &str) -> Result<String, Problem> {
        self.scope.permit(Action::RunRead)?;
        let (stem, from) = Name::counted(like);
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let named = |n: u32| Name::numbered(stem, n).next();
        if named(from).is_none() {
            return Ok(like.to_owned());
        }
        let mut search = FreeNumber::from(from);
        loop {
            let numbers = search.look();
            if numbers.is_empty() {
                return Ok(search.found().and_then(named).map_or_else(|| like.to_owned(), String::from));
            }
            let names: Vec<String> = numbers.iter().filter_map(|n| named(*n)).map(String::from).collect();
            let taken = store.run_names_taken(tenant, &names).await.doing("looking for a name")?;
            search.saw(&numbers, &taken.iter().map(|name| Name::counted(name).1).collect());
        }
    }

    pub async fn get(&self, id: RunId) -> Result<Run, Problem> {
        self.scope.permit(Action::RunRead)?;
        self.platform().store().run(self.scope.tenant_name(), id).await.doing("reading the run")?.ok_or_else(|| not_found(id))
    }

    /// Whether a training can be spread over several nodes here.
    pub fn spread(&self) -> bool {
        self.platform().engine().spreads()
    }

    /// A form to start from, with nothing chosen yet: the settings of the standard preset, for a base model of this context (0 = not known).
    pub fn fresh(&self, context: u32) -> Result<NewRun, Problem> {
        self.scope.permit(Action::RunRead)?;
        Ok(NewRun {
            name: String::new(),
            base_model: String::new(),
            model_name: String::new(),
            dataset: String::new(),
            dataset_number: None,
            settings: preset(STANDARD_PRESET).unwrap_or_default().within(context),
            result: WeightsKind::default(),
            nodes: 1,
            resources: Default::default(),
            custom: None,
            cloned_from: None,
            submission: self.fresh_submission(),
        })
    }

    /// A form to start from that is a copy of an earlier run under the next free name; and that run.
    pub async fn draft(&self, from: RunId) -> Result<(NewRun, Run), Problem> {
        let run = self.get(from).await?;
        if run.custom().is_some() {
            let sentence = format!("The run “{}” trains by an image of its own, which the form does not hold.", run.name);
            return Err(Problem::conflict(sentence)
                .next("Export its document, give it another name, and apply that: `atelier export`, `atelier apply`."));
        }
        let new = NewRun {
            name: self.free_name(run.name.as_str()).await?,
            base_model: run.base_model_name.to_string(),
            dataset: run.dataset_name.to_string(),
            dataset_number: Some(run.dataset_number),
            model_name: run.model_name.to_string(),
            result: run.result(),
            nodes: run.nodes(),
            resources: run.resources(),
            custom: None,
            settings: run.settings.clone(),
            cloned_from: Some(from),
            submission: self.fresh_submission(),
        };
        Ok((new, run))
    }

    fn fresh_submission(&self) -> String {
        self.platform().fresh_uuid().simple().to_string()
    }

    /// Says everything that is wrong with the plan, or what it comes to. Nothing starts.
    pub async fn check(&self, new: &NewRun) -> Result<Checked, Problem> {
        self.scope.permit(Action::RunRead)?;
        let found = self.find(new).await?;
        Ok(Checked {
            steps_total: new.settings.steps_over(found.train_rows, found.processes),
            train_rows: found.train_rows,
            held_out_rows: found.held_out_rows,
            yaml: catalogue()
                .document(&new.settings, &about(&found.name, &found.base.name, &found.version.dataset_name, found.version.number))
                .text(),
        })
    }

    /// Puts the run into the queue. The same `submission` again returns the run that it made the first time.
    pub async fn launch(&self, new: NewRun) -> Result<Run, Problem> {
        let permit = self.scope.permit(Action::RunLaunch)?;
        let (platform, tenant) = (self.platform(), self.scope.tenant_name());
        let submission = match new.submission.trim() {
            "" => self.fresh_submission(),
            text if text.len() <= 100 => text.to_owned(),
            _ => return Err(Problem::field("submission", "The form's number is too long. Open the form again.")),
        };
        let earlier = async || platform.store().run_by_submission(tenant, &submission).await.doing("looking for the run");
        if let Some(run) = earlier().await? {
            return Ok(run);
        }
        let found = match self.find(&new).await {
            Ok(found) => found,
            // The same form that came a moment earlier may be all that stands in the way of this one.
            Err(refused) => return earlier().await?.ok_or(refused),
        };
        let id = RunId::from_uuid(platform.fresh_uuid());
        let wanted = plan::Wanted {
            settings: &new.settings,
            result: new.result,
            held_out_rows: found.held_out_rows,
            nodes: new.nodes,
            resources: &new.resources,
            custom: new.custom.as_ref(),
        };
        let steps = plan::plan(&wanted);
        let mut tx = Change::begin(platform, &permit).await?;
        let row = InsertRun {
            tenant,
            id,
            name: &found.name,
            reason: &Reason::WaitsForTurn,
            base_model: found.base.id,
            dataset_version: found.version.id,
            model_name: &found.model_name,
            settings: &new.settings,
            steps: &steps,
            cloned_from: new.cloned_from,
            submission: &submission,
            owner: self.scope.person().id,
            created_at: tx.at(),
        };
        if !tx.insert_run(row).await.doing("writing the run")? {
            drop(tx);
            // The same form came twice at once, or the name was taken between the check and now.
            let free = self.free_name(found.name.as_str()).await?;
            return earlier().await?.ok_or_else(|| Problem::invalid(vec![name_taken(&found.name, free)]));
        }
        let mut entry = tx.entry("run", id, &found.name);
        entry.detail = Detail::RunLaunched {
            base_model: found.base.name,
            dataset: found.version.dataset_name,
            version: found.version.number,
            image: new.custom.map(|custom| custom.image),
        };
        tx.commit(entry).await.doing("launching the run")?;
        self.get(id).await
    }

    /// Asks the run to stop: a queued one is stopped at once, a working one when its process is gone.
    pub async fn cancel(&self, id: RunId) -> Result<Run, Problem> {
        let permit = self.scope.permit(Action::RunCancel)?;
        let (platform, tenant) = (self.platform(), self.scope.tenant_name());
        let mut tx = Change::begin(platform, &permit).await?;
        let mut run = tx.run(tenant, id).await.doing("reading the run")?.ok_or_else(|| not_found(id))?;
        run.cancel(&self.scope.person().name, tx.at()).map_err(|refused| Problem::conflict(refused.to_string()))?;
        tx.save_run(&run).await.doing("writing the run")?;
        let entry = tx.entry("run", id, &run.name);
        tx.commit(entry).await.doing("cancelling the run")?;
        Ok(run)
    }

    /// Has the failed or stopped step of an ended run tried again. What earlier steps made stays; the run waits for a slot like any other.
    pub async fn try_again(&self, id: RunId, step: &str) -> Result<Run, Problem> {
        let permit = self.scope.permit(Action::RunRetry)?;
        let (platform, tenant) = (self.platform(), self.scope.tenant_name());
        let run = self.get(id).await?;
        self.room().await?;
        let step: StepId = step.parse().map_err(|_| Problem::not_found(format!("The step “{}”", shortened(step))))?;
        let mut tx = Change::begin(platform, &permit).await?;
        let mut now = tx.run(tenant, id).await.doing("reading the run")?.ok_or_else(|| not_found(id))?;
        now.try_again(&step).map_err(|refused| Problem::conflict(refused.to_string()))?;
        let data = tx.dataset_version(tenant, run.dataset_version).await.doing("reading the dataset")?;
        let by_process = |s: &Step| s.state == StepState::Pending && matches!(s.work, Work::Process { .. });
        if data.is_none_or(|v| v.erased_at.is_some()) && now.steps.iter().any(by_process) {
            let sentence = format!("The rows of {} v{} were erased.", run.dataset_name, run.dataset_number);
            return Err(Problem::conflict(sentence).next("Clone the run and choose a version that has its rows."));
        }
        // A training that goes on from a checkpoint tells the points before it again.
        if now.steps.iter().any(|s| s.kind == StepKind::Train && s.state == StepState::Pending) {
            tx.forget_metrics(tenant, id).await.doing("clearing the curves")?;
        }
        tx.save_run(&now).await.doing("writing the run")?;
        let mut entry = tx.entry("run", id, &now.name);
        entry.detail = Detail::StepTriedAgain { step: step.to_string(), attempt: now.step(&step).map_or(1, |s| s.attempt) };
        tx.commit(entry).await.doing("having the step tried again")?;
        Ok(now)
    }

    /// The first base model by name that can be trained.
    async fn ready_base(&self) -> Result<Option<BaseModel>, Problem> {
        let filter = BaseModelFilter { ready: true, ..BaseModelFilter::default() };
        let page = self.platform().store().base_models(&filter, &Cursor::default()).await.doing("reading the base models")?;
        Ok(page.rows.into_iter().next())
    }

    /// The tenant has room for what a run stores.
    async fn room(&self) -> Result<(), Problem> {
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let tenant_now = store.tenant(tenant).await.doing("reading the tenant")?.ok_or_else(|| Problem::not_found("The tenant"))?;
        let stored = store.holding(tenant).await.doing("counting what is stored")?.storage_bytes;
        if stored >= tenant_now.quota.storage_bytes {
            return Err(storage_used_up(tenant, stored, tenant_now.quota.storage_bytes));
        }
        Ok(())
    }

    /// Finds every part of what is asked for, or says everything that is wrong at once.
    async fn find(&self, new: &NewRun) -> Result<Found, Problem> {
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        self.room().await?;
        let mut wrong = Vec::new();
        let name = valid_name("name", &new.name, &mut wrong);
        if let Some(name) = &name
            && store.run_by_name(tenant, name).await.doing("looking for the name")?.is_some()
        {
            wrong.push(name_taken(name, self.free_name(name.as_str()).await?));
        }
        let named = async |text: &str| match text.trim().parse::<Name>() {
            Ok(name) => store.base_model_by_name(&name).await.doing("reading the base model"),
            Err(_) => Ok(None),
        };
        let base = match named(&new.base_model).await? {
            Some(base) if base.state == BaseModelState::Ready => Some(base),
            found => {
                let ready = self.ready_base().await?.map(|b| b.name.to_string());
                let sentence = match found {
                    Some(base) => format!("The base model “{}” is {}, so it cannot be trained now.", base.name, base.state.word()),
                    None => format!("There is no base model “{}”.", shortened(&new.base_model)),
                };
                wrong.push(FieldProblem { suggestion: ready, ..FieldProblem::new("base_model", sentence) });
                None
            }
        };
        let model_name = valid_name("model_name", &new.model_name, &mut wrong);
        if let Some(name) = &model_name
            && named(name.as_str()).await?.is_some()
        {
            let sentence = format!("“{name}” is a base model; clients could not tell the two apart.");
            let other = format!("{name}-tuned");
            wrong.push(FieldProblem {
                suggestion: other.parse::<Name>().ok().map(String::from),
                ..FieldProblem::new("model_name", sentence)
            });
        }
        let version = self.dataset_version(new, &mut wrong).await?;
        let rows = version.as_ref().and_then(|v| v.report.as_ref()).map_or((0, 0), |r| (r.train_rows, r.held_out_rows));
        if version.is_some() && rows.0 == 0 {
            wrong.push(FieldProblem::new(
                "dataset",
                "This version has no row to train on. Upload one with accepted rows, or keep fewer back.",
            ));
        }
        wrong.extend(self.wrong_nodes(new.nodes));
        wrong.extend(self.wrong_custom(new));
        wrong.extend(self.platform().wrong_resources(self.scope, &new.resources, Times::Nodes(new.nodes)).await);
        wrong.extend(catalogue().check(&new.settings, base.as_ref().map_or(0, |b| b.context)));
        if let Some(id) = new.cloned_from
            && store.run(tenant, id).await.doing("reading the run")?.is_none()
        {
            wrong.push(FieldProblem::new("cloned_from", "The run that this is a copy of was not found."));
        }
        match (name, model_name, base, version) {
            (Some(name), Some(model_name), Some(base), Some(version)) if wrong.is_empty() => {
                let gpus = new.resources.gpus.unwrap_or(self.platform().task_limits().gpus);
                let processes = new.nodes.saturating_mul(gpus.max(1));
                Ok(Found { name, model_name, base, version, train_rows: rows.0, held_out_rows: rows.1, processes })
            }
            _ => Err(Problem::invalid(wrong)),
        }
    }

    fn wrong_nodes(&self, nodes: u32) -> Option<FieldProblem> {
        let sentence = if !(1..=MOST_NODES).contains(&nodes) {
            format!("A training is spread over 1 to {MOST_NODES} nodes.")
        } else if nodes > 1 && !self.spread() {
            "Here trainings are processes of one machine, so there is 1 node. Several need a portal that works on a cluster.".into()
        } else {
            return None;
        };
        Some(FieldProblem { suggestion: Some("1".into()), ..FieldProblem::new("nodes", sentence) })
    }

    fn wrong_custom(&self, new: &NewRun) -> Vec<FieldProblem> {
        let Some(custom) = &new.custom else { return Vec::new() };
        let refused = custom.refused_here(self.spread(), &self.platform().task_limits().custom_images);
        refused.into_iter().chain(custom.check(&new.settings, new.nodes)).collect()
    }

    async fn dataset_version(&self, new: &NewRun, wrong: &mut Vec<FieldProblem>) -> Result<Option<DatasetVersion>, Problem> {
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        let dataset = match new.dataset.trim().parse::<Name>() {
            Ok(name) => store.dataset(tenant, &name).await.doing("reading the dataset")?,
            Err(_) => None,
        };
        let Some(dataset) = dataset else {
            wrong.push(FieldProblem::new("dataset", format!("There is no dataset “{}”.", shortened(&new.dataset))));
            return Ok(None);
        };
        let doing = "reading the dataset’s versions";
        let newest_ready = store.ready_version(tenant, dataset.id).await.doing(doing)?;
        let ready = newest_ready.as_ref().map(|v| v.number.to_string());
        let found = match new.dataset_number {
            Some(number) => store.version_of_dataset(tenant, dataset.id, Some(number)).await.doing(doing)?,
            None => newest_ready,
        };
        let sentence = match (&found, new.dataset_number) {
            (Some(v), _) if v.state == VersionState::Ready => return Ok(found),
            (Some(v), _) => format!("Version {} is {}, so it cannot be trained on now.", v.number, v.state.word()),
            (None, Some(number)) => format!("The dataset has no version {number}."),
            (None, None) => "The dataset has no version that is ready.".to_owned(),
        };
        let field = if new.dataset_number.is_some() { "dataset_number" } else { "dataset" };
        wrong.push(FieldProblem { suggestion: ready, ..FieldProblem::new(field, sentence) });
        Ok(None)
    }
}

/// The line above the settings of a run as a text.
pub fn about(name: &Name, base_model: &Name, dataset: &Name, number: u32) -> String {
    format!("{name}: {base_model} on {dataset} v{number}, {}", catalogue().trainer)
}

fn not_found(id: RunId) -> Problem {
    Problem::not_found(format!("The run “{id}”"))
}

fn valid_name(field: &str, text: &str, wrong: &mut Vec<FieldProblem>) -> Option<Name> {
    match text.trim().parse::<Name>() {
        Ok(name) => Some(name),
        Err(bad) => {
            wrong.push(bad.in_field(field));
            None
        }
    }
}

fn name_taken(name: &Name, free: String) -> FieldProblem {
    FieldProblem::new("name", format!("There is already a run “{name}”.")).suggesting(free)
}
