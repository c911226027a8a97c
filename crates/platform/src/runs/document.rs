//! Runs as documents. A run cannot be changed: the same spec under its name is no change, and another one is refused.

use super::Runs;
use crate::{
    access::shortened,
    put::{Outcome, Put},
};
use domain::{
    filter::RunFilter,
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::{Problem, ProblemKind},
    resource::{Document, RunSpec, RunStatus, Spec},
    run::{Run, RunState},
};

impl Runs<'_> {
    pub async fn document(&self, name: &str) -> Result<Document<RunSpec>, Problem> {
        Ok(document(&self.named(name).await?))
    }

    /// Newest first.
    pub async fn documents(&self, after: &Cursor) -> Result<Page<Document<RunSpec>>, Problem> {
        Ok(self.list(&RunFilter::default(), after).await?.map(|run| document(&run)))
    }

    /// Launches the run, if there is none of this name.
    pub async fn put(&self, name: &Name, spec: RunSpec) -> Result<Put<RunSpec>, Problem> {
        // Not the permit: what is there already holds in a suspended tenant too.
        self.scope.allowed(Action::RunLaunch)?;
        match self.named(name.as_str()).await {
            Ok(run) => {
                same(&run, &spec)?;
                return Ok(Put { outcome: Outcome::Unchanged, document: document(&run) });
            }
            Err(problem) if problem.kind == ProblemKind::NotFound => {}
            Err(problem) => return Err(problem),
        }
        let run = self.launch(spec.clone().new_run(name.as_str())).await.map_err(|problem| match problem.kind {
            ProblemKind::Invalid => Problem::invalid(RunSpec::placed(problem.fields)),
            _ => problem,
        })?;
        // Somebody may have sent another spec under this name in the same moment.
        same(&run, &spec)?;
        Ok(Put { outcome: Outcome::Created, document: document(&run) })
    }

    /// Asks a run to stop that has not ended. What has ended stays: models and records name it.
    pub async fn end(&self, name: &str) -> Result<Document<RunSpec>, Problem> {
        self.scope.permit(Action::RunCancel)?;
        let run = self.named(name).await?;
        match run.state {
            RunState::Queued | RunState::Running => Ok(document(&self.cancel(run.id).await?)),
            RunState::Cancelling | RunState::Cancelled => Ok(document(&run)),
            RunState::Succeeded | RunState::Failed => {
                let sentence = format!("The run “{}” has ended ({}), so there is nothing to stop.", shortened(name), run.state.word());
                Err(Problem::conflict(sentence).next("Runs that have ended stay: models, cards and the audit log name them."))
            }
        }
    }
}

fn document(run: &Run) -> Document<RunSpec> {
    Document::new(Some(&run.tenant), &run.name, RunSpec::of(run), &RunStatus::of(run))
}

fn same(run: &Run, wanted: &RunSpec) -> Result<(), Problem> {
    let differences = wanted.differences(&RunSpec::of(run));
    if differences.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let sentence = format!("There is already a run “{}” with another spec, and a run cannot be changed ({}).", run.name, listed.join("; "));
    Err(Problem::conflict(sentence).next("Give the new run another name."))
}
