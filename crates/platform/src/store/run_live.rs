//! What a run says while it works: how far its output was read, curves, log, and the evaluated rows.

use super::{Result, Store, Tx, at, count, in_tx, on_both, page, parsed, word};
use domain::{
    event::Topic,
    filter::EvaluatedFilter,
    ids::RunId,
    name::Name,
    page::{Cursor, Page},
    run::{EvaluatedRow, LogLevel, LogLine, MetricPoint},
};
use engine::Cursor as OutputCursor;
use sqlx::{Database, QueryBuilder};
use std::collections::BTreeMap;

#[derive(sqlx::FromRow)]
struct MetricRow {
    step: i64,
    epoch: Option<f64>,
    loss: Option<f64>,
    eval_loss: Option<f64>,
    learning_rate: Option<f64>,
    tokens_per_second: Option<f64>,
    total_tokens: Option<i64>,
    at: i64,
}

#[derive(sqlx::FromRow)]
struct RowRow {
    row_number: i64,
    prompt: String,
    expected: String,
    base: String,
    tuned: String,
    base_right: i64,
    tuned_right: i64,
}

pub(crate) const fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

pub(crate) fn level_from_word(word: &str) -> Option<LogLevel> {
    [LogLevel::Info, LogLevel::Warning, LogLevel::Error].into_iter().find(|l| level_word(*l) == word)
}

/// `level <> 'info'` stands in the statements as in the index of such lines.
macro_rules! newest_lines {
    ($only:literal) => {
        concat!(
            "SELECT number, at, step, level, text FROM run_log WHERE tenant = $1 AND run = $2 ",
            $only,
            "AND ($3 = '' OR LOWER(text) LIKE LOWER($3) ESCAPE '!') ORDER BY number DESC LIMIT $4"
        )
    };
}
const NEWEST_LINES: &str = newest_lines!("");
const NEWEST_WARNINGS: &str = newest_lines!("AND level <> 'info' ");

/// Number, time, step, level, text.
type LogRow = (i64, i64, String, String, String);

fn line((number, when, step, level, text): LogRow) -> Result<LogLine> {
    Ok(LogLine { number: count(number)?, at: at(when), step: parsed(&step)?, level: word(level_from_word(&level), &level)?, text })
}

macro_rules! evaluated {
    ($rest:literal) => {
        concat!(
            "SELECT row_number, prompt, expected, base, tuned, base_right, tuned_right FROM evaluated_rows WHERE tenant = $1 AND run = $2 ",
            $rest,
            " LIMIT $5"
        )
    };
}

impl Store {
    /// How far a task's output was read; `None` = the task was never seen to exist.
    pub(crate) async fn output_cursor(&self, tenant: &Name, run: RunId, task: &str) -> Result<Option<OutputCursor>> {
        let sql = "SELECT output_cursor FROM run_tasks WHERE tenant = $1 AND run = $2 AND task = $3";
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(run.to_string()).bind(task).fetch_optional(db).await)?;
        Ok(row.map(|(cursor,)| OutputCursor::from_text(cursor)))
    }

    /// The points in the order of steps, training before evaluation at the same step. Of each curve at most about so many, evenly spread,
    /// the first and the last among them.
    pub(crate) async fn run_metrics(&self, tenant: &Name, run: RunId, most: u32) -> Result<Vec<MetricPoint>> {
        // Unlimited: as many as are asked for, and two more, of each of the two curves.
        let sql = "SELECT step, epoch, loss, eval_loss, learning_rate, tokens_per_second, total_tokens, at FROM ( \
                   SELECT step, part, epoch, loss, eval_loss, learning_rate, tokens_per_second, total_tokens, at, \
                   ROW_NUMBER() OVER (PARTITION BY part ORDER BY step) - 1 AS place, COUNT(*) OVER (PARTITION BY part) AS points \
                   FROM run_metrics WHERE tenant = $1 AND run = $2) AS numbered \
                   WHERE place % ((points + $3 - 1) / $3) = 0 OR place = points - 1 ORDER BY step, part DESC";
        let rows: Vec<MetricRow> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(run.to_string()).bind(i64::from(most.max(1))).fetch_all(db).await)?;
        Ok(rows
            .into_iter()
            .map(|m| MetricPoint {
                step: m.step as u64,
                epoch: m.epoch,
                loss: m.loss,
                eval_loss: m.eval_loss,
                learning_rate: m.learning_rate,
                tokens_per_second: m.tokens_per_second,
                total_tokens: m.total_tokens.map(|t| t as u64),
                at: at(m.at),
            })
            .collect())
    }

    /// Lines with a number above `after`, oldest first.
    pub(crate) async fn run_log(&self, tenant: &Name, run: RunId, after: u64, limit: u32) -> Result<Vec<LogLine>> {
        let sql =
            "SELECT number, at, step, level, text FROM run_log WHERE tenant = $1 AND run = $2 AND number > $3 ORDER BY number LIMIT $4";
        let rows: Vec<LogRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(run.to_string()).bind(after as i64).bind(i64::from(limit)).fetch_all(db).await)?;
        rows.into_iter().map(line).collect()
    }

    /// The newest lines, oldest of them first; `text` is part of them, `warnings` = only those that are more than information.
    pub(crate) async fn newest_log_lines(&self, tenant: &Name, run: RunId, warnings: bool, text: &str, most: u32) -> Result<Vec<LogLine>> {
        let sql = if warnings { NEWEST_WARNINGS } else { NEWEST_LINES };
        let rows: Vec<LogRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(run.to_string()).bind(page::anywhere(text)).bind(i64::from(most)).fetch_all(db).await)?;
        rows.into_iter().rev().map(line).collect()
    }

    /// How many lines there are, and how many of them are more than information.
    pub(crate) async fn count_log_lines(&self, tenant: &Name, run: RunId) -> Result<(u64, u64)> {
        // They are numbered without gaps.
        let sql = "SELECT (SELECT COALESCE(MAX(number), 0) FROM run_log WHERE tenant = $1 AND run = $2), \
                   (SELECT COUNT(*) FROM run_log WHERE tenant = $1 AND run = $2 AND level <> 'info')";
        let (lines, warnings): (i64, i64) =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(run.to_string()).fetch_one(db).await)?;
        Ok((count(lines)?, count(warnings)?))
    }

    /// The texts of the last lines, oldest of them first.
    pub(crate) async fn last_log_lines(&self, tenant: &Name, run: RunId, most: u32) -> Result<Vec<String>> {
        let sql = "SELECT text FROM run_log WHERE tenant = $1 AND run = $2 ORDER BY number DESC LIMIT $3";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(run.to_string()).bind(i64::from(most)).fetch_all(db).await)?;
        Ok(rows.into_iter().rev().map(|(text,)| text).collect())
    }

    /// By row; of the flipped ones those first that were right before. A page of this size.
    pub(crate) async fn evaluated_rows(
        &self,
        tenant: &Name,
        run: RunId,
        filter: EvaluatedFilter,
        after: &Cursor,
        size: usize,
    ) -> Result<Page<EvaluatedRow>> {
        let (sql, list) = match filter {
            EvaluatedFilter::All => (evaluated!("AND $3 = 0 AND row_number > $4 ORDER BY row_number"), "evaluated rows"),
            EvaluatedFilter::Flipped => (
                evaluated!("AND base_right <> tuned_right AND (tuned_right, row_number) > ($3, $4) ORDER BY tuned_right, row_number"),
                "flipped rows",
            ),
            EvaluatedFilter::Wrong => (evaluated!("AND tuned_right = 0 AND $3 = 0 AND row_number > $4 ORDER BY row_number"), "wrong rows"),
        };
        let (right, row): (i64, i64) = after.key(list).unwrap_or((0, i64::MIN));
        let rows: Vec<RowRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(run.to_string()).bind(right).bind(row).bind(size as i64 + 1).fetch_all(db).await)?;
        let of_order = |r: &RowRow| (if filter == EvaluatedFilter::Flipped { r.tuned_right } else { 0 }, r.row_number);
        Ok(Page::cut_at(size, rows, list, of_order).map(|r| EvaluatedRow {
            row: r.row_number as u64,
            line: None,
            prompt: r.prompt,
            expected: r.expected,
            base: r.base,
            tuned: r.tuned,
            base_right: r.base_right != 0,
            tuned_right: r.tuned_right != 0,
        }))
    }
}

impl Tx {
    /// Notes that the task exists; reading starts at the beginning of its output.
    pub(crate) async fn begin_reading(&mut self, tenant: &Name, run: RunId, task: &str) -> Result<()> {
        let sql = "INSERT INTO run_tasks (tenant, run, task, output_cursor) VALUES ($1, $2, $3, '') ON CONFLICT DO NOTHING";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(run.to_string()).bind(task).execute(db).await.map(|_| ()))
    }

    /// Moves the cursor from where the reader thought it was. `false` = somebody else has read on: nothing of this
    /// transaction may be kept.
    pub(crate) async fn advance_reading(
        &mut self,
        tenant: &Name,
        run: RunId,
        task: &str,
        from: &OutputCursor,
        to: &OutputCursor,
    ) -> Result<bool> {
        let sql = "UPDATE run_tasks SET output_cursor = $5 WHERE tenant = $1 AND run = $2 AND task = $3 AND output_cursor = $4";
        let moved = in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(run.to_string()).bind(task).bind(from.as_str()).bind(to.as_str())
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(moved == 1)
    }

    pub(crate) async fn last_log_number(&mut self, tenant: &Name, run: RunId) -> Result<u64> {
        let sql = "SELECT COALESCE(MAX(number), 0) FROM run_log WHERE tenant = $1 AND run = $2";
        let (last,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(run.to_string()).fetch_one(db).await)?;
        Ok(last as u64)
    }

    /// Lines in the order of their numbers.
    pub(crate) async fn append_log(&mut self, tenant: &Name, run: RunId, lines: &[LogLine]) -> Result<()> {
        if !lines.is_empty() {
            self.changed(tenant, Topic::RunLive, run);
        }
        for lines in lines.chunks(ROWS) {
            in_tx!(self, db => log_query(tenant, run, lines).build().execute(db).await.map(drop))?;
        }
        Ok(())
    }

    /// A point that is logged again (after a resume) replaces the earlier one.
    pub(crate) async fn put_metrics(&mut self, tenant: &Name, run: RunId, points: &[MetricPoint]) -> Result<()> {
        if !points.is_empty() {
            self.changed(tenant, Topic::RunLive, run);
        }
        // One statement may write each row once.
        let last: BTreeMap<(u64, &str), &MetricPoint> = points.iter().map(|m| ((m.step, part(m)), m)).collect();
        let points: Vec<&MetricPoint> = last.into_values().collect();
        for points in points.chunks(ROWS) {
            in_tx!(self, db => metrics_query(tenant, run, points).build().execute(db).await.map(drop))?;
        }
        Ok(())
    }

    /// The curves of a training that is tried again begin anew.
    pub(crate) async fn forget_metrics(&mut self, tenant: &Name, run: RunId) -> Result<()> {
        let sql = "DELETE FROM run_metrics WHERE tenant = $1 AND run = $2";
        self.changed(tenant, Topic::RunLive, run);
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(run.to_string()).execute(db).await.map(drop))
    }

    /// Rows that are there already stay as they are.
    pub(crate) async fn put_evaluated(&mut self, tenant: &Name, run: RunId, rows: &[EvaluatedRow]) -> Result<()> {
        for rows in rows.chunks(ROWS) {
            in_tx!(self, db => evaluated_query(tenant, run, rows).build().execute(db).await.map(drop))?;
        }
        Ok(())
    }
}

/// Rows a statement; both databases take 32 766 values at least.
const ROWS: usize = 500;

fn part(m: &MetricPoint) -> &'static str {
    if m.eval_loss.is_some() && m.loss.is_none() { "eval" } else { "train" }
}

fn log_query<'a, DB: Database>(tenant: &Name, run: RunId, lines: &'a [LogLine]) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new("INSERT INTO run_log (tenant, run, number, at, step, level, text) ");
    q.push_values(lines, |mut row, line| {
        row.push_bind(tenant.to_string()).push_bind(run.to_string()).push_bind(line.number as i64).push_bind(line.at.0);
        row.push_bind(line.step.to_string()).push_bind(level_word(line.level).to_owned()).push_bind(line.text.clone());
    });
    q
}

fn metrics_query<'a, DB: Database>(tenant: &Name, run: RunId, points: &'a [&MetricPoint]) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    Option<i64>: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    Option<f64>: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q = QueryBuilder::new(
        "INSERT INTO run_metrics (tenant, run, step, part, epoch, loss, eval_loss, learning_rate, tokens_per_second, total_tokens, at) ",
    );
    q.push_values(points, |mut row, m| {
        row.push_bind(tenant.to_string()).push_bind(run.to_string()).push_bind(m.step as i64).push_bind(part(m).to_owned());
        row.push_bind(m.epoch).push_bind(m.loss).push_bind(m.eval_loss).push_bind(m.learning_rate).push_bind(m.tokens_per_second);
        row.push_bind(m.total_tokens.map(|t| t as i64)).push_bind(m.at.0);
    });
    q.push(
        " ON CONFLICT (tenant, run, step, part) DO UPDATE SET epoch = excluded.epoch, loss = excluded.loss, eval_loss = excluded.eval_loss, \
         learning_rate = excluded.learning_rate, tokens_per_second = excluded.tokens_per_second, total_tokens = excluded.total_tokens, \
         at = excluded.at",
    );
    q
}

fn evaluated_query<'a, DB: Database>(tenant: &Name, run: RunId, rows: &'a [EvaluatedRow]) -> QueryBuilder<DB>
where
    String: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    let mut q =
        QueryBuilder::new("INSERT INTO evaluated_rows (tenant, run, row_number, prompt, expected, base, tuned, base_right, tuned_right) ");
    q.push_values(rows, |mut row, r| {
        row.push_bind(tenant.to_string()).push_bind(run.to_string()).push_bind(r.row as i64).push_bind(r.prompt.clone());
        row.push_bind(r.expected.clone()).push_bind(r.base.clone()).push_bind(r.tuned.clone());
        row.push_bind(i64::from(r.base_right)).push_bind(i64::from(r.tuned_right));
    });
    q.push(" ON CONFLICT DO NOTHING");
    q
}
