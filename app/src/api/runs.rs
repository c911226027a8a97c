//! Runs: the list, one run with curves, log and scores, the form of a new one, launching and stopping.

use super::{AppError, Wire, run_form::RunForm};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    page::Page,
    run::{EvaluatedRow, Holders, LogLine, MetricPoint, Run},
    settings::{Catalogue, RunSettings, Shown},
    supply::Supply,
    time::Timestamp,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunList {
    /// Newest first.
    pub runs: Page<Run>,
    /// Without the filter: all, active (queued ones too), succeeded, failed.
    pub counts: [u64; 4],
    pub launch_refused: Option<String>,
    pub now: Timestamp,
}

/// `state` is empty, `active`, `succeeded` or `failed`; `text` looks in names, dataset, base model and owner; `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "runs/list", output = Wire)]
pub async fn list_runs(tenant: String, state: String, text: String, #[server(default)] after: String) -> Result<RunList, AppError> {
    use domain::filter::{RunFilter, RunStates};
    let (platform, scope) = super::scope(&tenant).await?;
    let runs = platform.runs(&scope);
    let counts = runs.counts().await?;
    let states = match state.as_str() {
        "active" => RunStates::Active,
        "succeeded" => RunStates::Succeeded,
        "failed" => RunStates::Failed,
        _ => RunStates::All,
    };
    Ok(RunList {
        counts: [counts.all(), counts.active, counts.succeeded, counts.failed],
        runs: runs.list(&RunFilter { states, text }, &Cursor::from_text(after)).await?,
        launch_refused: scope.why_not(domain::policy::Action::RunLaunch),
        now: platform.now(),
    })
}

/// One run, and what may be done to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPage {
    pub run: Run,
    /// What it waits for, these hold.
    pub holders: Holders,
    /// Name of the run that this one was cloned from.
    pub parent: Option<String>,
    /// Name and number of the model version that came out.
    pub version: Option<(String, u32)>,
    /// What was set, in the order of the form.
    pub settings: Vec<Shown>,
    /// The same as a text that a new run can start from.
    pub yaml: String,
    pub cancel_refused: Option<String>,
    pub retry_refused: Option<String>,
    pub launch_refused: Option<String>,
    pub now: Timestamp,
}

#[server(prefix = "/rpc", endpoint = "runs/get", output = Wire)]
pub async fn get_run(tenant: String, id: String) -> Result<RunPage, AppError> {
    use domain::policy::Action;
    let (platform, scope) = super::scope(&tenant).await?;
    let runs = platform.runs(&scope);
    let run = runs.get(known(&id)?).await?;
    let parent = match run.cloned_from {
        // A parent that is gone is no reason to refuse the page.
        Some(id) => runs.get(id).await.ok().map(|r| r.name.to_string()),
        None => None,
    };
    let version = match run.model_version {
        Some(id) => platform.models(&scope).by_version_id(id).await.ok().map(|v| (v.model_name.to_string(), v.number)),
        None => None,
    };
    Ok(RunPage {
        holders: runs.holders(&run).await?,
        parent,
        version,
        settings: domain::settings::catalogue().shown(&run.settings),
        yaml: text_of(&run),
        cancel_refused: scope.why_not(Action::RunCancel),
        retry_refused: scope.why_not(Action::RunRetry),
        launch_refused: scope.why_not(Action::RunLaunch),
        now: platform.now(),
        run,
    })
}

#[cfg(feature = "ssr")]
fn text_of(run: &Run) -> String {
    let about = platform::runs::about(&run.name, &run.base_model_name, &run.dataset_name, run.dataset_number);
    domain::settings::catalogue().document(&run.settings, &about).text()
}

#[cfg(feature = "ssr")]
pub(super) fn known(id: &str) -> Result<domain::ids::RunId, AppError> {
    id.parse().map_err(|_| domain::problem::Problem::not_found(format!("The run “{}”", id.chars().take(60).collect::<String>())).into())
}

/// Points of each curve.
#[cfg(feature = "ssr")]
const POINTS: u32 = 600;

/// The curves, each thinned to about 600 points, the first and the last among them.
#[server(prefix = "/rpc", endpoint = "runs/metrics", output = Wire)]
pub async fn get_metrics(tenant: String, id: String) -> Result<Vec<MetricPoint>, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    Ok(platform.runs(&scope).metrics(known(&id)?, POINTS).await?)
}

/// The newest lines of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTail {
    pub lines: Vec<LogLine>,
    pub total: u64,
    pub warnings: u64,
}

/// At most `lines` (1 to 2000) of the newest; `level` is empty or `warning` (warnings and errors only); `text` must be in the line.
#[server(prefix = "/rpc", endpoint = "runs/log", output = Wire)]
pub async fn get_log(tenant: String, id: String, lines: u32, level: String, text: String) -> Result<LogTail, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let (lines, total, warnings) = platform.runs(&scope).log_tail(known(&id)?, !level.is_empty(), &text, lines.clamp(1, 2000)).await?;
    Ok(LogTail { lines, total, warnings })
}

/// `which` is empty (flipped), `all` or `wrong`.
#[server(prefix = "/rpc", endpoint = "runs/evaluated", output = Wire)]
pub async fn get_evaluated(
    tenant: String,
    id: String,
    which: String,
    #[server(default)] after: String,
) -> Result<Page<EvaluatedRow>, AppError> {
    use domain::filter::EvaluatedFilter;
    let (platform, scope) = super::scope(&tenant).await?;
    let filter = match which.as_str() {
        "all" => EvaluatedFilter::All,
        "wrong" => EvaluatedFilter::Wrong,
        _ => EvaluatedFilter::Flipped,
    };
    Ok(platform.runs(&scope).evaluated(known(&id)?, filter, &Cursor::from_text(after)).await?)
}

/// A base model in the form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseChoice {
    pub name: String,
    pub parameters: u64,
    pub context: u32,
    pub licence: String,
}

/// A dataset in the form: its newest version that can be trained on, or the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataChoice {
    pub name: String,
    pub number: u32,
    pub train_rows: u64,
    pub held_out_rows: u64,
    /// Of all accepted rows, held-out ones included; 0 = not counted.
    pub tokens: u64,
    pub left_out: u64,
}

impl DataChoice {
    /// Its value in the form: `facts@3`.
    pub fn key(&self) -> String {
        format!("{}@{}", self.name, self.number)
    }
    pub fn is(&self, key: &str) -> bool {
        key.split_once('@').is_some_and(|(name, number)| name == self.name && number.parse() == Ok(self.number))
    }

    /// About how many tokens the trainer reads; `None` = not counted. The report counts all accepted rows together, so the
    /// held-out ones are taken out by their share.
    pub fn tokens_to_train(&self, epochs: f64) -> Option<u64> {
        let rows = self.train_rows + self.held_out_rows;
        (self.tokens > 0 && rows > 0).then(|| (self.tokens as f64 * self.train_rows as f64 / rows as f64 * epochs) as u64)
    }
}

/// What the form starts with and offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub form: RunForm,
    /// The settings of the form, and those that its text names.
    pub catalogue: Catalogue,
    /// Name of the run that is cloned.
    pub parent: Option<String>,
    /// Its settings.
    pub parent_settings: Option<RunSettings>,
    pub bases: Vec<BaseChoice>,
    pub datasets: Vec<DataChoice>,
    /// There are base models and datasets that are not offered, but found by their name.
    pub more_bases: bool,
    pub more_datasets: bool,
    pub runs_active: u32,
    pub runs_queued: u32,
    pub runs_quota: u32,
    pub launch_refused: Option<String>,
    /// A training may be spread over several nodes.
    pub spreads: bool,
    /// What its processes may ask the machines for; none where they are processes of one machine.
    pub supply: Option<Supply>,
}

/// Keys whose values are chosen in fields of ours: shown, with the reason, where the settings are a text.
#[cfg(feature = "ssr")]
const CHOSEN_ELSEWHERE: [&str; 2] = ["model_name_or_path", "dataset"];

/// One page of the datasets that can be trained on, the newest first, with the one that is asked for (`name` or `name@3`) before them.
#[cfg(feature = "ssr")]
async fn data_choices(
    platform: &platform::Platform,
    scope: &platform::access::Scope,
    asked: &str,
    text: &str,
) -> Result<(Vec<DataChoice>, bool), AppError> {
    use domain::dataset::VersionState;
    let datasets = platform.datasets(scope);
    let page = datasets.ready(text).await?;
    let mut found = page.rows;
    let (name, number) = asked.split_once('@').map_or((asked, None), |(name, n)| (name, n.parse().ok()));
    let known = found.iter().any(|v| v.dataset_name.as_str() == name && number.is_none_or(|n| n == v.number));
    if !name.is_empty() && !known {
        // One that is gone, or not ready, is no reason to refuse the form.
        let version = match number {
            Some(_) => datasets.version(name, number).await.ok(),
            None => datasets.ready(name).await?.rows.into_iter().find(|v| v.dataset_name.as_str() == name),
        };
        found.splice(0..0, version.filter(|v| v.state == VersionState::Ready));
    }
    let choice = |v: domain::dataset::DatasetVersion| {
        let r = v.report.as_ref();
        DataChoice {
            name: v.dataset_name.to_string(),
            number: v.number,
            train_rows: r.map_or(0, |r| r.train_rows),
            held_out_rows: r.map_or(0, |r| r.held_out_rows),
            tokens: r.map_or(0, |r| r.tokens),
            left_out: r.map_or(0, |r| r.rejected),
        }
    };
    Ok((found.into_iter().map(choice).collect(), page.next.is_some()))
}

#[cfg(feature = "ssr")]
async fn base_choices(platform: &platform::Platform, text: &str) -> Result<(Vec<BaseChoice>, bool), AppError> {
    let filter = domain::filter::BaseModelFilter { text: text.to_owned(), ready: true };
    let page = platform.base_models().list(&super::caller()?, &filter, &Cursor::default()).await?;
    let more = page.next.is_some();
    let choice = |b: domain::base_model::BaseModel| BaseChoice {
        name: b.name.to_string(),
        parameters: b.parameters,
        context: b.context,
        licence: b.licence,
    };
    Ok((page.rows.into_iter().map(choice).collect(), more))
}

/// What a search in the form of a run finds: at most a page of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub bases: Vec<BaseChoice>,
    pub datasets: Vec<DataChoice>,
}

/// `text` is part of a name; `of` is `bases` or `datasets`.
#[server(prefix = "/rpc", endpoint = "runs/choices", output = Wire)]
pub async fn find_choices(tenant: String, #[server(default)] of: String, #[server(default)] text: String) -> Result<Found, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::RunRead)?;
    let bases = if of == "bases" { base_choices(&platform, &text).await?.0 } else { Vec::new() };
    let datasets = if of == "datasets" { data_choices(&platform, &scope, "", &text).await?.0 } else { Vec::new() };
    Ok(Found { bases, datasets })
}

/// The first name of a run on this dataset, free or not.
pub fn first_name(dataset: &str) -> String {
    domain::name::Name::numbered(dataset, 1).next().map_or_else(|| format!("{dataset}-1"), String::from)
}

/// A free name for a run on this dataset.
#[server(prefix = "/rpc", endpoint = "runs/name", output = Wire)]
pub async fn free_run_name(tenant: String, #[server(default)] dataset: String) -> Result<String, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    Ok(platform.runs(&scope).free_name(&first_name(&dataset)).await?)
}

/// A fresh form: from a run (`from`), from a preset, on a dataset (`name` or `name@3`). Each may be empty.
#[server(prefix = "/rpc", endpoint = "runs/draft", output = Wire)]
pub async fn get_draft(tenant: String, from: String, preset: String, dataset: String) -> Result<Draft, AppError> {
    use domain::settings::{catalogue, preset as settings_of};
    let (platform, scope) = super::scope(&tenant).await?;
    let runs = platform.runs(&scope);
    let (mut bases, more_bases) = base_choices(&platform, "").await?;
    let (mut new, parent) = match from.as_str() {
        "" => (runs.fresh(bases.first().map_or(0, |b| b.context))?, None),
        id => runs.draft(known(id)?).await.map(|(new, run)| (new, Some(run)))?,
    };
    if !new.base_model.is_empty() && bases.iter().all(|b| b.name != new.base_model) {
        let named = base_choices(&platform, &new.base_model).await?.0;
        bases.splice(0..0, named.into_iter().filter(|b| b.name == new.base_model));
    }
    if let Some(settings) = settings_of(&preset) {
        let base = bases.iter().find(|b| b.name == new.base_model).or(bases.first());
        new.settings = settings.within(base.map_or(0, |b| b.context));
    }
    let about = match &parent {
        Some(run) => format!("Settings of {}, {}", run.name, catalogue().trainer),
        None => format!("Settings of a run, {}", catalogue().trainer),
    };
    let mut form = RunForm::of(&new, catalogue().document(&new.settings, &about).text());
    // The one that was asked for, else the one that was looked at last, else the newest.
    let wanted = if dataset.is_empty() && parent.is_none() { super::last_dataset(&tenant).unwrap_or_default() } else { dataset };
    let before = if wanted.is_empty() { form.dataset.clone() } else { std::mem::replace(&mut form.dataset, wanted) };
    let asked = if form.dataset.is_empty() { before.clone() } else { form.dataset.clone() };
    let (datasets, more_datasets) = data_choices(&platform, &scope, &asked, "").await?;
    let find = |wanted: &str| datasets.iter().find(|d| d.is(wanted)).or_else(|| datasets.iter().find(|d| d.name == wanted));
    // A name without number means the newest; the field then shows which one that is.
    // A fresh form begins with one that there is, whatever was asked for.
    let newest = || datasets.first().filter(|_| parent.is_none());
    if let Some(d) = find(&form.dataset).or_else(|| find(&before)).or_else(newest) {
        form.dataset = d.key();
        if parent.is_none() {
            (form.name, form.model_name) = (runs.free_name(&first_name(&d.name)).await?, d.name.clone());
        }
    }
    if let Some(first) = bases.first().filter(|_| form.base_model.is_empty()) {
        form.base_model = first.name.clone();
    }
    let holding = platform.holding(&scope).await?;
    let shown = new.settings.keys().chain(parent.iter().flat_map(|r| r.settings.keys())).chain(CHOSEN_ELSEWHERE);
    Ok(Draft {
        catalogue: catalogue().part(&shown.map(str::to_owned).collect()),
        parent: parent.as_ref().map(|r| r.name.to_string()),
        parent_settings: parent.map(|r| r.settings.clone()),
        form,
        bases,
        datasets,
        more_bases,
        more_datasets,
        runs_active: holding.runs_active,
        runs_queued: holding.runs_queued,
        runs_quota: scope.tenant().quota.concurrent_runs,
        launch_refused: scope.why_not(domain::policy::Action::RunLaunch),
        spreads: runs.spread(),
        supply: platform.supply(&scope).await,
    })
}

/// Starts the run and leads to its page. The same form sent twice leads to the same run.
#[server(prefix = "/rpc", endpoint = "runs/launch", output = Wire)]
pub async fn launch(tenant: String, form: RunForm) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    // Whoever may not launch hears nothing of the fields.
    scope.permit(domain::policy::Action::RunLaunch)?;
    let launched = match form.new_run(domain::settings::catalogue()) {
        Ok(new) => platform.runs(&scope).launch(new).await,
        Err(fields) => Err(domain::problem::Problem::invalid(fields)),
    };
    match launched {
        Ok(run) => {
            super::redirect(&crate::links::run(&run.tenant, &run.id));
            Ok(())
        }
        Err(problem) => {
            let text = form.document().text();
            let form = RunForm { yaml: text, ..form };
            let kept: Vec<(String, String)> =
                RunForm::OURS.iter().filter(|k| **k != "submission").map(|k| (format!("form[{k}]"), form.get(k))).collect();
            let fields: Vec<(String, &str)> = kept.iter().map(|(k, v)| (k.clone(), v.as_str())).collect();
            Err(super::back_to_form::<Launch>(&crate::links::run_new(&scope.tenant().name), &fields, problem.into()))
        }
    }
}

/// Asks the run to stop; what it has done so far stays on its page.
#[server(prefix = "/rpc", endpoint = "runs/cancel", output = Wire)]
pub async fn cancel(tenant: String, id: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let run = platform.runs(&scope).cancel(known(&id)?).await?;
    super::redirect(&crate::links::run(&run.tenant, &run.id));
    Ok(())
}

/// Has the failed or stopped step tried again; what earlier steps made is kept.
#[server(prefix = "/rpc", endpoint = "runs/try-again", output = Wire)]
pub async fn try_again(tenant: String, id: String, step: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let run = platform.runs(&scope).try_again(known(&id)?, &step).await?;
    super::redirect(&crate::links::run(&run.tenant, &run.id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_held_out_rows_are_not_trained_on() {
        let data = |tokens| DataChoice { name: "facts".into(), number: 1, train_rows: 300, held_out_rows: 100, tokens, left_out: 0 };
        assert_eq!(data(4_000).tokens_to_train(2.0), Some(6_000));
        assert_eq!(data(0).tokens_to_train(2.0), None);
        assert_eq!(DataChoice { train_rows: 0, held_out_rows: 0, ..data(10) }.tokens_to_train(1.0), None);
    }
}
