//! Takes jobs out of the queue and does them.

use super::{CLAIM, Claimed, Job, base_model_files, job::Columns};
use crate::{Platform, inspect, problem::Doing};
use domain::{
    problem::{Problem, ProblemKind},
    time::{MINUTE, SECOND, Timestamp},
    traces::TARGET,
};
use std::time::Duration;
use tracing::Instrument;

const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How long a job waits for a part that is away.
const WHEN_AWAY: i64 = 20 * SECOND;

impl Platform {
    /// Does the jobs that are due now, one after the other; returns how many were begun. `holder` names this process.
    pub async fn run_due_jobs(&self, holder: &str) -> Result<u32, Problem> {
        let mut begun = 0;
        while self.run_next_job(holder, u32::MAX).await? {
            begun += 1;
        }
        Ok(begun)
    }

    /// Does one job; false when none is due. `most`: of one tenant's jobs this holder has at most so many at a time.
    pub async fn run_next_job(&self, holder: &str, most: u32) -> Result<bool, Problem> {
        let Some((held, columns)) = self.claim(holder, most).await? else { return Ok(false) };
        let trace = tracing::info_span!(
            target: TARGET, "job", otel.name = columns.kind, atelier.object = columns.object, atelier.attempt = held.attempts
        );
        let done = tokio::select! {
            done = self.work(&held, &columns).instrument(trace) => done,
            () = self.keep_claim(&held) => {
                tracing::warn!(job = held.id, "another process took this job over");
                return Ok(true);
            }
        };
        if let Err(problem) = done {
            tracing::warn!(job = held.id, kind = columns.kind, attempt = held.attempts, %problem, "a job failed; it is tried again");
            self.put_back(&held, &problem).await?;
        }
        Ok(true)
    }

    /// One arm per kind. Each may run twice, at any time, and finishes its job in its own transaction.
    async fn work(&self, held: &Claimed, columns: &Columns) -> Result<(), Problem> {
        let unknown = |e| Problem::new(ProblemKind::Internal, format!("This program cannot do a job of kind “{}”: {e}.", columns.kind));
        match Job::of(columns).map_err(unknown)? {
            Job::Inspect { tenant, version } => inspect::work(self, held, &tenant, version).await,
            Job::RegisterBaseModel { model, folder, files } => base_model_files::work(self, held, model, &folder, &files).await,
        }
    }

    async fn claim(&self, holder: &str, most: u32) -> Result<Option<(Claimed, Columns)>, Problem> {
        let now = self.now();
        let row = self.store().claim_job(holder, most, now, now.plus(CLAIM)).await.doing("taking a job")?;
        Ok(row.map(|r| (Claimed { id: r.id, attempts: r.attempts, holder: holder.to_owned() }, r.columns)))
    }

    /// Ends only when the claim is lost. A database that is away for a while loses nothing: the commit checks the claim.
    pub(crate) async fn keep_claim(&self, job: &Claimed) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match self.store().renew_job(&job.id, &job.holder, self.now().plus(CLAIM)).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => tracing::warn!(error = %e, "a job's claim could not be renewed now"),
            }
        }
    }

    /// A part that was away (a full disk, a store that does not answer) is nobody's fault: such attempts are not counted.
    async fn put_back(&self, job: &Claimed, problem: &Problem) -> Result<(), Problem> {
        let now = self.now();
        let counts = problem.kind != ProblemKind::Unavailable;
        let again = if counts { again_at(now, job.attempts) } else { now.plus(WHEN_AWAY) };
        self.store().release_job(&job.id, &job.holder, again, counts).await.doing("putting a job back")
    }
}

/// 2, 4, 8 ... seconds, at most five minutes.
fn again_at(now: Timestamp, attempts: u32) -> Timestamp {
    now.plus((SECOND << attempts.clamp(1, 9)).min(5 * MINUTE))
}
