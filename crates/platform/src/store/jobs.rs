//! The jobs table.

use super::{Result, Store, Tx, at, count, in_tx, on_both, parsed};
use domain::{name::Name, time::Timestamp};

pub(crate) struct JobRow {
    pub id: String,
    pub kind: String,
    pub tenant: Option<Name>,
    pub object: String,
    pub payload: String,
    pub attempts: u32,
    pub run_after: Timestamp,
    /// Who holds it from the start, and until when.
    pub claim: Option<(String, Timestamp)>,
}

type Columns = (String, String, Option<String>, String, String, i64, i64);

impl Tx {
    pub(crate) async fn insert_job(&mut self, j: &JobRow) -> Result<()> {
        let sql = "INSERT INTO jobs (id, kind, tenant, object, payload_json, attempts, run_after, claimed_by, claimed_until) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (holder, until) = j.claim.as_ref().map(|(holder, until)| (holder.as_str(), until.0)).unzip();
        let tenant = j.tenant.as_ref().map(Name::as_str);
        in_tx!(self, db => sqlx::query(sql)
            .bind(&j.id).bind(&j.kind).bind(tenant).bind(&j.object).bind(&j.payload).bind(i64::from(j.attempts)).bind(j.run_after.0)
            .bind(holder).bind(until)
            .execute(db).await.map(drop))
    }

    /// Lets go of a job, so that it is done now. False when somebody else holds it by now.
    pub(crate) async fn let_go_of_job(&mut self, id: &str, holder: &str) -> Result<bool> {
        let sql = "UPDATE jobs SET claimed_by = NULL, claimed_until = NULL, run_after = $3 WHERE id = $1 AND claimed_by = $2";
        let now = self.at().0;
        let rows = in_tx!(self, db => sqlx::query(sql).bind(id).bind(holder).bind(now).execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }

    pub(crate) async fn delete_job(&mut self, id: &str, holder: &str) -> Result<bool> {
        let sql = "DELETE FROM jobs WHERE id = $1 AND claimed_by = $2";
        let rows = in_tx!(self, db => sqlx::query(sql).bind(id).bind(holder).execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }
}

impl Store {
    /// Takes the job that waits longest. One statement: of two that ask at once, PostgreSQL lets the second see the first's claim
    /// and find nothing, and SQLite does them in turn.
    pub(crate) async fn claim_job(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<Option<JobRow>> {
        let sql = "UPDATE jobs SET claimed_by = $1, claimed_until = $3, attempts = attempts + 1 WHERE id = \
            (SELECT id FROM jobs WHERE run_after <= $2 AND (claimed_until IS NULL OR claimed_until <= $2) ORDER BY run_after, id LIMIT 1) \
            AND (claimed_until IS NULL OR claimed_until <= $2) \
            RETURNING id, kind, tenant, object, payload_json, attempts, run_after";
        let row: Option<Columns> =
            on_both!(self, db => sqlx::query_as(sql).bind(holder).bind(now.0).bind(until.0).fetch_optional(db).await)?;
        row.map(|(id, kind, tenant, object, payload, attempts, run_after)| {
            let tenant = tenant.map(|t| parsed(&t)).transpose()?;
            let claim = Some((holder.to_owned(), until));
            Ok(JobRow { id, kind, tenant, object, payload, attempts: count(attempts)?, run_after: at(run_after), claim })
        })
        .transpose()
    }

    /// False when the claim is somebody else's by now.
    pub(crate) async fn renew_job(&self, id: &str, holder: &str, until: Timestamp) -> Result<bool> {
        let sql = "UPDATE jobs SET claimed_until = $3 WHERE id = $1 AND claimed_by = $2";
        let rows = on_both!(self, db => sqlx::query(sql).bind(id).bind(holder).bind(until.0).execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }

    pub(crate) async fn release_job(&self, id: &str, holder: &str, run_after: Timestamp) -> Result<()> {
        let sql = "UPDATE jobs SET claimed_by = NULL, claimed_until = NULL, run_after = $3 WHERE id = $1 AND claimed_by = $2";
        on_both!(self, db => sqlx::query(sql).bind(id).bind(holder).bind(run_after.0).execute(db).await.map(drop))
    }
}
