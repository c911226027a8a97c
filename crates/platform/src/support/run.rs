//! A run: what was asked for, its plan, what became of each step, what it said, and what the engine sees of it.

use super::{Asked, Body, Piece, Support, not_found, tasks::Task, value};
use crate::{control::tasks, store::Store};
use domain::{
    ids::RunId,
    name::Name,
    problem::Problem,
    run::{LogLevel, LogLine, Run},
    time::{Timestamp, span},
};
use std::{collections::BTreeMap, fmt::Write};

impl Support {
    pub(super) async fn of_run(&self, id: RunId, asked: &Asked) -> Result<Vec<Piece>, Problem> {
        let prefix = tasks::run_task(id, "");
        let (tenant, run) = match self.run(id).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Err(not_found(format!("There is no run {id}."), "Its id is at the end of its page's address: /t/TENANT/runs/ID."));
            }
            Err(why) => {
                let mut pieces: Vec<_> = ["run.json", "steps.txt", "log.txt", "events.json"].map(|file| Piece::missing(file, &why)).into();
                pieces.push(self.audit(Some(id.to_string()), asked.audit).await);
                pieces.extend(self.tasks_unknown(&prefix).await);
                return Ok(pieces);
            }
        };
        let mut pieces = vec![Piece::json("run.json", value(&run)), Piece::new("steps.txt", Body::Text(steps(&run)))];
        let lines = async |store: &Store| store.newest_log_lines(&tenant, id, false, "", asked.log_lines).await;
        pieces.push(self.read("log.txt", lines, |lines: Vec<LogLine>| Body::Text(lines.iter().map(line).collect())).await);
        pieces.push(self.events(&tenant, &id.to_string(), asked.audit).await);
        pieces.push(self.audit(Some(id.to_string()), asked.audit).await);
        pieces.extend(self.tasks_of(&tenant, &prefix, self.tasks_of_run(&run).await).await);
        Ok(pieces)
    }

    /// The outer error: nobody knows.
    async fn run(&self, id: RunId) -> Result<Option<(Name, Run)>, String> {
        let store = self.store.as_ref().map_err(Clone::clone)?;
        let found = async {
            let Some(tenant) = store.tenant_of_run(id).await? else { return Ok(None) };
            Ok(store.run(&tenant, id).await?.map(|run| (tenant, run)))
        };
        found.await.map_err(|e: sqlx::Error| format!("The database does not tell: {}.", domain::causes::in_words(&e)))
    }

    /// Those that its plan names, and those that were seen: of earlier tries too.
    async fn tasks_of_run(&self, run: &Run) -> Vec<Task> {
        let planned = run.steps.iter().map(|step| (tasks::run_task(run.id, &step.folder()), None));
        let mut all: BTreeMap<_, _> = planned.collect();
        if let Ok(store) = &self.store {
            let seen = store.tasks_of_run(&run.tenant, run.id).await.unwrap_or_default();
            all.extend(seen.into_iter().map(|(task, cursor)| (task, Some(cursor))));
        }
        all.into_iter().map(|(name, read_to)| Task { name, read_to }).collect()
    }
}

fn line(l: &LogLine) -> String {
    format!("{} {} {} {}\n", l.at.rfc3339(), l.step, level(l.level), l.text)
}

pub(super) const fn level(level: LogLevel) -> &'static str {
    crate::store::run_live::level_word(level)
}

/// What it is doing, for people: each step with its times and its reason.
fn steps(run: &Run) -> String {
    let at = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), Timestamp::rfc3339);
    let mut out = format!(
        "{} {} of {}: {}\n{}\ncreated {}, started {}, ended {}\n\n",
        run.id,
        run.name,
        run.tenant,
        run.state.word(),
        run.said(),
        run.created_at.rfc3339(),
        at(run.started_at),
        at(run.ended_at)
    );
    for step in &run.steps {
        let took = step.started_at.zip(step.ended_at).map(|(from, to)| format!(", took {}", span(to.since(from)))).unwrap_or_default();
        let _ = writeln!(
            out,
            "{} ({}, try {}): {}\n  started {}, ended {}{took}\n  {}",
            step.id,
            step.kind.word(),
            step.attempt,
            step.state.word(),
            at(step.started_at),
            at(step.ended_at),
            step.reason.said()
        );
    }
    out
}
