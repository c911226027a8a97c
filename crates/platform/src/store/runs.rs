//! Runs and their steps. What arrives while a run works (metrics, log, offsets) is in [`super::run_live`].

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed, word};
use domain::{
    event::Topic,
    filter::{RunFilter, RunStates},
    ids::{BaseModelId, DatasetVersionId, ModelVersionId, PersonId, RunId},
    name::Name,
    page::{Cursor, Page},
    report::Outcome,
    run::{Failure, Progress, Reason, Run, RunCounts, RunOnData, RunRecord, RunState, Scores, Step, StepKind, StepState},
    settings::RunSettings,
    time::Timestamp,
};
use std::collections::{BTreeMap, HashMap};

/// What the units of a run said at their end, by unit (`Step::unit`); the evidence for card and version.
pub(crate) type Results = BTreeMap<String, Outcome>;

/// A run that is about to be written for the first time.
pub(crate) struct InsertRun<'a> {
    pub tenant: &'a Name,
    pub id: RunId,
    pub name: &'a Name,
    pub reason: &'a Reason,
    pub base_model: BaseModelId,
    pub dataset_version: DatasetVersionId,
    pub model_name: &'a Name,
    pub settings: &'a RunSettings,
    /// The plan.
    pub steps: &'a [Step],
    pub cloned_from: Option<RunId>,
    pub submission: &'a str,
    pub owner: PersonId,
    pub created_at: Timestamp,
}

/// What the queue needs to know of a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenRun {
    pub tenant: Name,
    pub id: RunId,
    pub name: Name,
    pub state: RunState,
    pub reason: Reason,
}

#[derive(sqlx::FromRow)]
struct RunRow {
    tenant: String,
    id: String,
    name: String,
    state: String,
    reason: String,
    base_model: String,
    base_model_name: String,
    dataset_version: String,
    dataset_name: String,
    dataset_number: i64,
    model_name: String,
    settings_json: String,
    cloned_from: Option<String>,
    progress_json: Option<String>,
    scores_json: Option<String>,
    failure_json: Option<String>,
    model_version: Option<String>,
    owner: String,
    owner_name: String,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct StepRow {
    run: String,
    id: String,
    place: i64,
    kind: String,
    needs_json: String,
    work_json: String,
    resources_json: String,
    deadline_ms: Option<i64>,
    attempt: i64,
    state: String,
    reason: String,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

macro_rules! select_runs {
    ($($rest:literal),+) => {
        concat!(
            "SELECT r.tenant, r.id, r.name, r.state, r.reason, r.base_model, b.name AS base_model_name, r.dataset_version, \
             d.name AS dataset_name, v.number AS dataset_number, r.model_name, r.settings_json, r.cloned_from, r.progress_json, \
             r.scores_json, r.failure_json, r.model_version, r.owner, p.name AS owner_name, r.created_at, r.started_at, r.ended_at \
             FROM runs r JOIN base_models b ON b.id = r.base_model \
             JOIN dataset_versions v ON v.tenant = r.tenant AND v.id = r.dataset_version \
             JOIN datasets d ON d.tenant = v.tenant AND d.id = v.dataset \
             JOIN people p ON p.id = r.owner ",
            $($rest),+
        )
    };
}
const BY_ID: &str = select_runs!("WHERE r.tenant = $1 AND r.id = $2");
const BY_SUBMISSION: &str = select_runs!("WHERE r.tenant = $1 AND r.submission = $2");
/// The states stand in the statement, so that each list is a piece of one index.
macro_rules! list_runs {
    ($states:literal) => {
        select_runs!(
            "WHERE r.tenant = $1 AND (r.created_at, r.id) < ($2, $3) ",
            $states,
            " AND ($4 = '' OR LOWER(r.name || ' ' || b.name || ' ' || d.name || ' ' || r.model_name || ' ' || p.name || ' ' || r.id) \
             LIKE LOWER($4) ESCAPE '!') ORDER BY r.created_at DESC, r.id DESC LIMIT $5"
        )
    };
}
const LIST: &str = list_runs!("");
const LIST_ACTIVE: &str = list_runs!("AND r.state IN ('queued', 'running', 'cancelling')");
const LIST_SUCCEEDED: &str = list_runs!("AND r.state = 'succeeded'");
const LIST_FAILED: &str = list_runs!("AND r.state IN ('failed', 'cancelled')");
/// In the order of their ends, so that the old ones are not read.
const LIST_FAILED_SINCE: &str =
    select_runs!("WHERE r.tenant = $1 AND r.state = 'failed' AND r.ended_at > $2 ORDER BY r.ended_at DESC, r.id DESC LIMIT $3");
const LIST_ON_VERSION: &str = "SELECT id, name, state FROM runs WHERE tenant = $1 AND dataset_version = $2 \
    ORDER BY created_at DESC, id DESC LIMIT $3";
/// In cursors.
const NEWEST: &str = "runs, newest first";
const STEPS: &str = "SELECT run, id, place, kind, needs_json, work_json, resources_json, deadline_ms, attempt, state, reason, started_at, \
                     ended_at FROM run_steps WHERE tenant = $1 AND run = $2";
const STEPS_OF_PAGE: &str = "SELECT run, id, place, kind, needs_json, work_json, resources_json, deadline_ms, attempt, state, reason, \
                             started_at, ended_at FROM run_steps WHERE tenant = ";

impl RunRow {
    fn run(self, steps: Vec<Step>) -> Result<Run> {
        let record = RunRecord {
            id: parsed(&self.id)?,
            tenant: parsed(&self.tenant)?,
            name: parsed(&self.name)?,
            state: word(RunState::from_word(&self.state), &self.state)?,
            reason: Reason::stored(&self.reason),
            base_model: parsed(&self.base_model)?,
            base_model_name: parsed(&self.base_model_name)?,
            dataset_version: parsed(&self.dataset_version)?,
            dataset_name: parsed(&self.dataset_name)?,
            dataset_number: self.dataset_number as u32,
            model_name: parsed(&self.model_name)?,
            settings: from_json(&self.settings_json)?,
            cloned_from: self.cloned_from.as_deref().map(parsed).transpose()?,
            steps,
            progress: self.progress_json.as_deref().map(from_json).transpose()?,
            scores: self.scores_json.as_deref().map(from_json).transpose()?,
            failure: self.failure_json.as_deref().map(from_json).transpose()?,
            model_version: self.model_version.as_deref().map(parsed).transpose()?,
            owner: parsed(&self.owner)?,
            owner_name: self.owner_name,
            created_at: at(self.created_at),
            started_at: self.started_at.map(at),
            ended_at: self.ended_at.map(at),
        };
        Run::try_from(record).map_err(|e| sqlx::Error::Decode(Box::new(e)))
    }
}

fn steps(rows: Vec<StepRow>) -> Result<HashMap<String, Vec<Step>>> {
    let mut out: HashMap<String, Vec<Step>> = HashMap::new();
    let mut rows = rows;
    rows.sort_by_key(|row| row.place);
    for row in rows {
        out.entry(row.run).or_default().push(Step {
            id: parsed(&row.id)?,
            kind: word(StepKind::from_word(&row.kind), &row.kind)?,
            needs: from_json(&row.needs_json)?,
            work: from_json(&row.work_json)?,
            resources: from_json(&row.resources_json)?,
            deadline: row.deadline_ms,
            attempt: count(row.attempt)?,
            state: word(StepState::from_word(&row.state), &row.state)?,
            reason: Reason::stored(&row.reason),
            started_at: row.started_at.map(at),
            ended_at: row.ended_at.map(at),
        });
    }
    Ok(out)
}

/// Earlier versions wrote a null for what was not there yet.
fn results(stored: Option<String>) -> Result<Results> {
    let Some(text) = stored else { return Ok(Results::default()) };
    let all: BTreeMap<String, Option<Outcome>> = from_json(&text)?;
    Ok(all.into_iter().filter_map(|(unit, outcome)| Some((unit, outcome?))).collect())
}

impl Store {
    pub(crate) async fn run(&self, tenant: &Name, id: RunId) -> Result<Option<Run>> {
        let row: Option<RunRow> =
            on_both!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        let Some(row) = row else { return Ok(None) };
        // Unlimited: the steps of one plan.
        let found: Vec<StepRow> =
            on_both!(self, db => sqlx::query_as(STEPS).bind(tenant.as_str()).bind(id.to_string()).fetch_all(db).await)?;
        Ok(Some(row.run(steps(found)?.remove(&id.to_string()).unwrap_or_default())?))
    }

    pub(crate) async fn run_by_submission(&self, tenant: &Name, submission: &str) -> Result<Option<Run>> {
        let row: Option<RunRow> =
            on_both!(self, db => sqlx::query_as(BY_SUBMISSION).bind(tenant.as_str()).bind(submission).fetch_optional(db).await)?;
        match row {
            None => Ok(None),
            Some(row) => self.run(tenant, parsed(&row.id)?).await,
        }
    }

    pub(crate) async fn run_by_name(&self, tenant: &Name, name: &Name) -> Result<Option<RunId>> {
        let sql = "SELECT id FROM runs WHERE tenant = $1 AND name = $2";
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(|(id,)| parsed(&id)).transpose()
    }

    /// Newest first.
    pub(crate) async fn runs(&self, tenant: &Name, filter: &RunFilter, after: &Cursor) -> Result<Page<Run>> {
        let sql = match filter.states {
            RunStates::All => LIST,
            RunStates::Active => LIST_ACTIVE,
            RunStates::Succeeded => LIST_SUCCEEDED,
            RunStates::Failed => LIST_FAILED,
        };
        let ((time, id), text) = (page::newest(NEWEST, after), page::anywhere(&filter.text));
        let rows: Vec<RunRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(time).bind(&id).bind(&text).bind(page::READ).fetch_all(db).await)?;
        let page = Page::cut(rows, NEWEST, |r| (r.created_at, r.id.clone()));
        Ok(Page { rows: self.with_steps(tenant, page.rows).await?, next: page.next })
    }

    /// Those that failed after a time, the last first.
    pub(crate) async fn runs_failed_since(&self, tenant: &Name, since: Timestamp, most: u32) -> Result<Vec<Run>> {
        let rows: Vec<RunRow> = on_both!(self, db => sqlx::query_as(LIST_FAILED_SINCE)
            .bind(tenant.as_str()).bind(since.0).bind(i64::from(most)).fetch_all(db).await)?;
        self.with_steps(tenant, rows).await
    }

    async fn with_steps(&self, tenant: &Name, rows: Vec<RunRow>) -> Result<Vec<Run>> {
        let ids: Vec<String> = rows.iter().map(|r| r.id.clone()).collect();
        let ids @ [_, ..] = ids.as_slice() else { return Ok(Vec::new()) };
        let found: Vec<StepRow> =
            on_both!(self, db => page::belonging(STEPS_OF_PAGE, tenant, " AND run", ids, "").build_query_as().fetch_all(db).await)?;
        let mut by_run = steps(found)?;
        let run = |row: RunRow| {
            let steps = by_run.remove(&row.id).unwrap_or_default();
            row.run(steps)
        };
        rows.into_iter().map(run).collect()
    }

    /// Only what they are called, the newest first: one page.
    pub(crate) async fn run_names(&self, tenant: &Name) -> Result<Page<(RunId, Name)>> {
        let sql = "SELECT created_at, id, name FROM runs WHERE tenant = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
        let rows: Vec<(i64, String, String)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, NEWEST, |r| (r.0, r.1.clone())).try_map(|(_, id, name)| Ok((parsed(&id)?, parsed(&name)?)))
    }

    /// The version of a dataset that a run trains on; none when there is no such run.
    pub(crate) async fn data_of_run(&self, tenant: &Name, id: RunId) -> Result<Option<DatasetVersionId>> {
        let sql = "SELECT dataset_version FROM runs WHERE tenant = $1 AND id = $2";
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(version,)| parsed(&version)).transpose()
    }

    /// How many there are in each state.
    pub(crate) async fn run_counts(&self, tenant: &Name) -> Result<RunCounts> {
        // Unlimited: at most one row a state.
        let sql = "SELECT state, COUNT(*) FROM runs WHERE tenant = $1 GROUP BY state";
        let rows: Vec<(String, i64)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        let mut counts = RunCounts::default();
        for (state, runs) in rows {
            counts.add(word(RunState::from_word(&state), &state)?, count(runs)?);
        }
        Ok(counts)
    }

    /// The newest runs that train on this version, at most so many.
    pub(crate) async fn runs_on_version(&self, tenant: &Name, version: DatasetVersionId, most: u32) -> Result<Vec<RunOnData>> {
        let rows: Vec<(String, String, String)> = on_both!(self, db => sqlx::query_as(LIST_ON_VERSION)
            .bind(tenant.as_str()).bind(version.to_string()).bind(i64::from(most)).fetch_all(db).await)?;
        let run = |(id, name, state): (String, String, String)| {
            Ok(RunOnData { id: parsed(&id)?, name: parsed(&name)?, state: word(RunState::from_word(&state), &state)? })
        };
        rows.into_iter().map(run).collect()
    }

    /// How many train on this version.
    pub(crate) async fn count_runs_on_version(&self, tenant: &Name, version: DatasetVersionId) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM runs WHERE tenant = $1 AND dataset_version = $2";
        let (runs,): (i64,) =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(version.to_string()).fetch_one(db).await)?;
        count(runs)
    }

    /// Those of these names that runs have.
    pub(crate) async fn run_names_taken(&self, tenant: &Name, names: &[String]) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = on_both!(self, db => page::belonging("SELECT name FROM runs WHERE tenant = ", tenant, " AND name", names, "")
            .build_query_as().fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Every run of every tenant that has not ended, oldest first; for the controller only.
    pub(crate) async fn open_runs(&self) -> Result<Vec<OpenRun>> {
        // Unlimited: the controller looks after all that have not ended.
        let sql = "SELECT tenant, id, name, state, reason FROM runs \
                   WHERE state NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY created_at, id";
        let rows: Vec<(String, String, String, String, String)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(tenant, id, name, state, reason)| {
                let state = word(RunState::from_word(&state), &state)?;
                Ok(OpenRun { tenant: parsed(&tenant)?, id: parsed(&id)?, name: parsed(&name)?, state, reason: Reason::stored(&reason) })
            })
            .collect()
    }

    /// State of a run whose tenant is not word, for tasks that the engine still holds.
    pub(crate) async fn run_state_anywhere(&self, id: RunId) -> Result<Option<RunState>> {
        let sql = "SELECT state FROM runs WHERE id = $1";
        let row: Option<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(state,)| word(RunState::from_word(&state), &state)).transpose()
    }

    pub(crate) async fn run_results(&self, tenant: &Name, id: RunId) -> Result<Results> {
        let sql = "SELECT results_json FROM runs WHERE tenant = $1 AND id = $2";
        let row: Option<(Option<String>,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        results(row.and_then(|(text,)| text))
    }
}

impl Tx {
    pub(crate) async fn run(&mut self, tenant: &Name, id: RunId) -> Result<Option<Run>> {
        let row: Option<RunRow> =
            in_tx!(self, db => sqlx::query_as(BY_ID).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        let Some(row) = row else { return Ok(None) };
        // Unlimited: the steps of one plan.
        let found: Vec<StepRow> = in_tx!(self, db => sqlx::query_as(STEPS).bind(tenant.as_str()).bind(id.to_string()).fetch_all(db).await)?;
        Ok(Some(row.run(steps(found)?.remove(&id.to_string()).unwrap_or_default())?))
    }

    /// A queued run with its plan. `false` = its name or submission is already there.
    pub(crate) async fn insert_run(&mut self, run: InsertRun<'_>) -> Result<bool> {
        let sql = "INSERT INTO runs (tenant, id, name, state, reason, base_model, dataset_version, model_name, settings_json, cloned_from, \
                   submission, owner, created_at) VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(run.tenant.as_str())
            .bind(run.id.to_string())
            .bind(run.name.as_str())
            .bind(json(run.reason))
            .bind(run.base_model.to_string())
            .bind(run.dataset_version.to_string())
            .bind(run.model_name.as_str())
            .bind(json(run.settings))
            .bind(run.cloned_from.map(|id| id.to_string()))
            .bind(run.submission)
            .bind(run.owner.to_string())
            .bind(run.created_at.0)
            .execute(db).await.map(|done| done.rows_affected()))?;
        if written == 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO run_steps (tenant, run, id, place, kind, needs_json, work_json, resources_json, deadline_ms, attempt, state, reason) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        for (place, step) in (0_i64..).zip(run.steps) {
            in_tx!(self, db => sqlx::query(sql)
                .bind(run.tenant.as_str())
                .bind(run.id.to_string())
                .bind(step.id.as_str())
                .bind(place)
                .bind(step.kind.word())
                .bind(json(&step.needs))
                .bind(json(&step.work))
                .bind(json(&step.resources))
                .bind(step.deadline)
                .bind(i64::from(step.attempt))
                .bind(step.state.word())
                .bind(json(&step.reason))
                .execute(db).await.map(|_| ()))?;
        }
        self.changed(run.tenant, Topic::Run, run.id);
        Ok(true)
    }

    /// Writes what a run's controller or canceller may change; everything else of a run is fixed at launch.
    pub(crate) async fn save_run(&mut self, run: &Run) -> Result<()> {
        let sql = "UPDATE runs SET state = $3, reason = $4, progress_json = $5, scores_json = $6, failure_json = $7, model_version = $8, \
                   started_at = $9, ended_at = $10 WHERE tenant = $1 AND id = $2";
        let (progress, scores): (Option<Progress>, Option<Scores>) = (run.progress, run.scores);
        let failure: Option<&Failure> = run.failure.as_ref();
        let version: Option<ModelVersionId> = run.model_version;
        in_tx!(self, db => sqlx::query(sql)
            .bind(run.tenant.as_str())
            .bind(run.id.to_string())
            .bind(run.state.word())
            .bind(json(&run.reason))
            .bind(progress.map(|p| json(&p)))
            .bind(scores.map(|s| json(&s)))
            .bind(failure.map(json))
            .bind(version.map(|v| v.to_string()))
            .bind(run.started_at.map(|t| t.0))
            .bind(run.ended_at.map(|t| t.0))
            .execute(db).await.map(|_| ()))?;
        let sql = "UPDATE run_steps SET attempt = $4, state = $5, reason = $6, started_at = $7, ended_at = $8 WHERE tenant = $1 AND run = $2 AND id = $3";
        for step in &run.steps {
            in_tx!(self, db => sqlx::query(sql)
                .bind(run.tenant.as_str())
                .bind(run.id.to_string())
                .bind(step.id.as_str())
                .bind(i64::from(step.attempt))
                .bind(step.state.word())
                .bind(json(&step.reason))
                .bind(step.started_at.map(|t| t.0))
                .bind(step.ended_at.map(|t| t.0))
                .execute(db).await.map(|_| ()))?;
        }
        self.changed(&run.tenant, Topic::Run, run.id);
        Ok(())
    }

    /// Only how far a run has come; nothing else of it has changed.
    pub(crate) async fn save_progress(&mut self, run: &Run) -> Result<()> {
        let sql = "UPDATE runs SET progress_json = $3 WHERE tenant = $1 AND id = $2";
        self.changed(&run.tenant, Topic::RunLive, run.id);
        in_tx!(self, db => sqlx::query(sql)
            .bind(run.tenant.as_str()).bind(run.id.to_string()).bind(run.progress.as_ref().map(json)).execute(db).await.map(drop))
    }

    pub(crate) async fn run_results(&mut self, tenant: &Name, id: RunId) -> Result<Results> {
        let sql = "SELECT results_json FROM runs WHERE tenant = $1 AND id = $2";
        let row: Option<(Option<String>,)> =
            in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        results(row.and_then(|(text,)| text))
    }

    pub(crate) async fn save_run_results(&mut self, tenant: &Name, id: RunId, results: &Results) -> Result<()> {
        let sql = "UPDATE runs SET results_json = $3 WHERE tenant = $1 AND id = $2";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(id.to_string()).bind(json(results)).execute(db).await.map(|_| ()))
    }

    /// Why a queued run waits. Changes nothing once it no longer waits.
    pub(crate) async fn set_waiting_reason(&mut self, tenant: &Name, id: RunId, reason: &Reason) -> Result<bool> {
        let sql = "UPDATE runs SET reason = $3 WHERE tenant = $1 AND id = $2 AND state = 'queued'";
        let changed = in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(id.to_string()).bind(json(reason)).execute(db).await.map(|d| d.rows_affected()))?;
        if changed == 1 {
            self.changed(tenant, Topic::Run, id);
        }
        Ok(changed == 1)
    }
}
