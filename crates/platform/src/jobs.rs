//! Work that follows from a change and was committed with it. Any controller role takes a job, keeps it by renewing its
//! claim, and finishes it in the transaction of the result; a job whose worker died is free again after a minute.

mod base_model_files;
pub(crate) mod job;
mod worker;

pub(crate) use job::Job;

use crate::{
    store::{self, JobRow, Tx},
    uuid_at,
};
use domain::time::{MINUTE, Timestamp};

/// How long a claim holds without being renewed.
const CLAIM: i64 = MINUTE;
/// After so many failures a job is given up, with the reason where people see it.
pub(crate) const MOST_ATTEMPTS: u32 = 8;

/// A job that this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub id: String,
    /// How often it was begun, this time included.
    pub attempts: u32,
    pub holder: String,
}

/// Commits a job with the change that it follows from.
pub(crate) async fn enqueue(tx: &mut Tx, job: &Job) -> store::Result<()> {
    tx.insert_job(&row(tx.at(), job, None)?).await
}

/// Commits a job that this process holds from the start: for work that goes on outside the database (bytes that arrive).
/// When the process dies, whoever takes the job finds the work unfinished; [`hand_over`] hands it on when it is done.
pub(crate) async fn enqueue_held(tx: &mut Tx, job: &Job) -> store::Result<Claimed> {
    let holder = uuid_at(tx.at()).simple().to_string();
    let row = row(tx.at(), job, Some((holder.clone(), tx.at().plus(CLAIM))))?;
    tx.insert_job(&row).await?;
    Ok(Claimed { id: row.id, attempts: 0, holder })
}

fn row(at: Timestamp, job: &Job, claim: Option<(String, Timestamp)>) -> store::Result<JobRow> {
    let columns = job.columns().map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    Ok(JobRow { id: uuid_at(at).simple().to_string(), columns, attempts: 0, run_after: at, claim })
}

/// Hands a held job on to whoever does jobs. False when it is somebody else's by now: then roll back.
pub(crate) async fn hand_over(tx: &mut Tx, job: &Claimed) -> store::Result<bool> {
    tx.hand_over_job(&job.id, &job.holder).await
}

/// Whether this process still holds the job.
pub(crate) async fn holds(tx: &mut Tx, job: &Claimed) -> store::Result<bool> {
    tx.holds_job(&job.id, &job.holder).await
}

/// Removes the job in the transaction of its result. False when somebody else holds it by now: then roll back.
pub(crate) async fn finish(tx: &mut Tx, job: &Claimed) -> store::Result<bool> {
    tx.delete_job(&job.id, &job.holder).await
}
