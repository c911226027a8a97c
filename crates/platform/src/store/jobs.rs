//! The jobs table.

use super::{Result, Store, Tx, at, count, in_tx, on_both, parsed, revisions::Told};
use crate::jobs::job::Columns;
use domain::{name::Name, time::Timestamp};

pub(crate) struct JobRow {
    pub id: String,
    pub columns: Columns,
    pub attempts: u32,
    pub run_after: Timestamp,
    /// Who holds it from the start, and until when.
    pub claim: Option<(String, Timestamp)>,
}

type Row = (String, String, Option<String>, String, String, i64, i64);

impl Tx {
    pub(crate) async fn insert_job(&mut self, j: &JobRow) -> Result<()> {
        let sql = "INSERT INTO jobs (id, kind, tenant, object, payload_json, attempts, run_after, claimed_by, claimed_until) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (holder, until) = j.claim.as_ref().map(|(holder, until)| (holder.as_str(), until.0)).unzip();
        let Columns { kind, tenant, object, payload } = &j.columns;
        let tenant = tenant.as_ref().map(Name::as_str);
        self.jobs_changed();
        in_tx!(self, db => sqlx::query(sql)
            .bind(&j.id).bind(kind).bind(tenant).bind(object).bind(payload).bind(i64::from(j.attempts)).bind(j.run_after.0)
            .bind(holder).bind(until)
            .execute(db).await.map(drop))
    }

    /// Gives up the claim on a job, so that it is done now. False when somebody else holds it by now.
    pub(crate) async fn hand_over_job(&mut self, id: &str, holder: &str) -> Result<bool> {
        let sql = "UPDATE jobs SET claimed_by = NULL, claimed_until = NULL, run_after = $3 WHERE id = $1 AND claimed_by = $2";
        let now = self.at().0;
        self.jobs_changed();
        let rows = in_tx!(self, db => sqlx::query(sql).bind(id).bind(holder).bind(now).execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }

    pub(crate) async fn holds_job(&mut self, id: &str, holder: &str) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM jobs WHERE id = $1 AND claimed_by = $2";
        let (held,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(id).bind(holder).fetch_one(db).await)?;
        Ok(held == 1)
    }

    pub(crate) async fn delete_job(&mut self, id: &str, holder: &str) -> Result<bool> {
        // Another one of the tenant may begin now.
        self.jobs_changed();
        let sql = "DELETE FROM jobs WHERE id = $1 AND claimed_by = $2";
        let rows = in_tx!(self, db => sqlx::query(sql).bind(id).bind(holder).execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }
}

impl Store {
    /// When the first job is due that nobody holds by then; `None` = there is none.
    pub(crate) async fn next_job_due(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT MIN(CASE WHEN claimed_until > run_after THEN claimed_until ELSE run_after END) FROM jobs";
        let (due,): (Option<i64>,) = on_both!(self, db => sqlx::query_as(sql).fetch_one(db).await)?;
        Ok(due.map(at))
    }

    /// Takes the next job. Tenants take turns: first who waits longest for a turn, then its oldest job. `most`: so many jobs of one
    /// tenant this holder may have at a time, so that a long one of a tenant does not keep the others of it waiting on all hands.
    pub(crate) async fn claim_job(&self, holder: &str, most: u32, now: Timestamp, until: Timestamp) -> Result<Option<JobRow>> {
        // So that whoever finds nothing to do does not stand in the writers' line.
        if self.next_job_due().await?.is_none_or(|due| due > now) {
            return Ok(None);
        }
        let mut tx = self.in_line(now).await?;
        let sql = "UPDATE jobs SET claimed_by = $1, claimed_until = $3, attempts = attempts + 1 WHERE id = \
            (SELECT j.id FROM jobs j LEFT JOIN job_turns t ON t.tenant = COALESCE(j.tenant, '') \
             WHERE j.run_after <= $2 AND (j.claimed_until IS NULL OR j.claimed_until <= $2) AND \
             (SELECT COUNT(*) FROM jobs h WHERE h.claimed_by = $1 AND h.claimed_until > $2 AND COALESCE(h.tenant, '') = COALESCE(j.tenant, '')) < $4 \
             ORDER BY COALESCE(t.begun_at, 0), j.run_after, j.id LIMIT 1) \
            RETURNING id, kind, tenant, object, payload_json, attempts, run_after";
        let row: Option<Row> =
            in_tx!(tx, db => sqlx::query_as(sql).bind(holder).bind(now.0).bind(until.0).bind(i64::from(most)).fetch_optional(db).await)?;
        let Some((id, kind, tenant, object, payload, attempts, run_after)) = row else { return Ok(None) };
        // Two turns in one millisecond still come one after the other.
        let turn = "INSERT INTO job_turns (tenant, begun_at) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET begun_at = \
            CASE WHEN excluded.begun_at > (SELECT MAX(begun_at) FROM job_turns) THEN excluded.begun_at ELSE (SELECT MAX(begun_at) FROM job_turns) + 1 END";
        let whose = tenant.clone().unwrap_or_default();
        in_tx!(tx, db => sqlx::query(turn).bind(whose).bind(now.0).execute(db).await.map(drop))?;
        tx.commit().await?;
        let tenant = tenant.map(|t| parsed(&t)).transpose()?;
        let claim = Some((holder.to_owned(), until));
        Ok(Some(JobRow {
            id,
            columns: Columns { kind, tenant, object, payload },
            attempts: count(attempts)?,
            run_after: at(run_after),
            claim,
        }))
    }

    /// False when the claim is somebody else's by now.
    pub(crate) async fn renew_job(&self, id: &str, holder: &str, until: Timestamp) -> Result<bool> {
        let sql = "UPDATE jobs SET claimed_until = $3 WHERE id = $1 AND claimed_by = $2";
        let rows = on_both!(self, db => sqlx::query(sql).bind(id).bind(holder).bind(until.0).execute(db).await.map(|r| r.rows_affected()))?;
        Ok(rows == 1)
    }

    /// `counts`: whether this attempt was the job's own fault.
    pub(crate) async fn release_job(&self, id: &str, holder: &str, run_after: Timestamp, counts: bool) -> Result<()> {
        let sql = "UPDATE jobs SET claimed_by = NULL, claimed_until = NULL, run_after = $3, attempts = attempts - $4 WHERE id = $1 AND claimed_by = $2";
        let undone = i64::from(!counts);
        on_both!(self, db => sqlx::query(sql).bind(id).bind(holder).bind(run_after.0).bind(undone).execute(db).await.map(drop))?;
        self.wakeups.committed(Told { counters: false, jobs: true });
        Ok(())
    }
}
