//! What a run said while it worked: curves, log, and the rows that it was evaluated on.

use super::{Runs, not_found};
use crate::{datasets::held_out_lines, problem::Doing};
use domain::{
    filter::EvaluatedFilter,
    ids::{DatasetVersionId, RunId},
    page::{Cursor, PAGE, Page},
    policy::Action,
    problem::Problem,
    run::{EvaluatedRow, LogLine, MetricPoint},
};

impl Runs<'_> {
    /// Of each curve at most about so many points, evenly spread.
    pub async fn metrics(&self, id: RunId, most: u32) -> Result<Vec<MetricPoint>, Problem> {
        self.scope.permit(Action::RunRead)?;
        let points = self.platform().store().run_metrics(self.scope.tenant_name(), id, most).await.doing("reading the curves")?;
        // What there is proves the run.
        if points.is_empty() {
            self.data_of(id).await?;
        }
        Ok(points)
    }

    /// The newest lines of the log, oldest of them first, and how many there are, and warnings among them. `text` is part of a line.
    pub async fn log_tail(&self, id: RunId, warnings: bool, text: &str, most: u32) -> Result<(Vec<LogLine>, u64, u64), Problem> {
        self.scope.permit(Action::RunRead)?;
        let (store, tenant, doing) = (self.platform().store(), self.scope.tenant_name(), "reading the log");
        let (total, of_warnings) = store.count_log_lines(tenant, id).await.doing(doing)?;
        if total == 0 {
            self.data_of(id).await?;
            return Ok((Vec::new(), 0, 0));
        }
        Ok((store.newest_log_lines(tenant, id, warnings, text, most).await.doing(doing)?, total, of_warnings))
    }

    /// The version of a dataset that a run trains on.
    async fn data_of(&self, id: RunId) -> Result<DatasetVersionId, Problem> {
        self.scope.permit(Action::RunRead)?;
        let found = self.platform().store().data_of_run(self.scope.tenant_name(), id).await.doing("reading the run")?;
        found.ok_or_else(|| not_found(id))
    }

    /// Lines with a number above `after`, at most `limit` (1 to 5000).
    pub async fn log(&self, id: RunId, after: u64, limit: u32) -> Result<Vec<LogLine>, Problem> {
        self.data_of(id).await?;
        self.platform().store().run_log(self.scope.tenant_name(), id, after, limit.clamp(1, 5000)).await.doing("reading the log")
    }

    /// By row; of the flipped ones those first that were right before.
    pub async fn evaluated(&self, id: RunId, filter: EvaluatedFilter, after: &Cursor) -> Result<Page<EvaluatedRow>, Problem> {
        let data = self.data_of(id).await?;
        let (doing, tenant) = ("reading the evaluated rows", self.scope.tenant_name());
        let mut page = self.platform().store().evaluated_rows(tenant, id, filter, after, PAGE).await.doing(doing)?;
        let most = page.rows.iter().map(|r| r.row).max().unwrap_or(0);
        let version = self.platform().store().dataset_version(tenant, data).await.doing(doing)?;
        let lines = match version.filter(|v| v.erased_at.is_none()) {
            Some(version) => held_out_lines(self.platform().blobs(), &version, most).await.doing(doing)?,
            None => Vec::new(),
        };
        for row in &mut page.rows {
            row.line = usize::try_from(row.row).ok().and_then(|n| lines.get(n.checked_sub(1)?)).copied();
        }
        Ok(page)
    }

    /// Of a run that there is: the rows of which base and tuned model differ in being right, worse first, without their lines in the file.
    pub async fn flipped(&self, id: RunId, after: &Cursor, size: usize) -> Result<Page<EvaluatedRow>, Problem> {
        self.scope.permit(Action::RunRead)?;
        let (store, tenant) = (self.platform().store(), self.scope.tenant_name());
        store.evaluated_rows(tenant, id, EvaluatedFilter::Flipped, after, size).await.doing("reading the evaluated rows")
    }
}
