//! What the servers of endpoints printed: the newest lines of each.

use super::{
    Result, Store, Tx, at, count, in_tx, on_both,
    run_live::{level_from_word, level_word},
    word,
};
use domain::{endpoint::EndpointLogLine, ids::EndpointId, name::Name, run::LogLevel, time::Timestamp};

/// Lines that are kept per endpoint; older ones go.
const LOG_LINES: i64 = 20_000;

/// Number, time, level, text.
type LogRow = (i64, i64, String, String);

fn line((number, when, level, text): LogRow) -> Result<EndpointLogLine> {
    Ok(EndpointLogLine { number: count(number)?, at: at(when), level: word(level_from_word(&level), &level)?, text })
}

impl Store {
    /// The newest lines, oldest of them first.
    pub(crate) async fn newest_endpoint_lines(&self, tenant: &Name, id: EndpointId, most: u32) -> Result<Vec<EndpointLogLine>> {
        let sql = "SELECT number, at, level, text FROM endpoint_log WHERE tenant = $1 AND endpoint = $2 ORDER BY number DESC LIMIT $3";
        let rows: Vec<LogRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(id.to_string()).bind(i64::from(most)).fetch_all(db).await)?;
        rows.into_iter().rev().map(line).collect()
    }

    /// Lines with a number above `after`, oldest first.
    pub(crate) async fn endpoint_log(&self, tenant: &Name, id: EndpointId, after: u64, limit: u32) -> Result<Vec<EndpointLogLine>> {
        let sql =
            "SELECT number, at, level, text FROM endpoint_log WHERE tenant = $1 AND endpoint = $2 AND number > $3 ORDER BY number LIMIT $4";
        let rows: Vec<LogRow> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(id.to_string()).bind(after as i64).bind(i64::from(limit)).fetch_all(db).await)?;
        rows.into_iter().map(line).collect()
    }
}

impl Tx {
    /// The newest error line after this one.
    pub(crate) async fn last_endpoint_error(&mut self, tenant: &Name, id: EndpointId, after: u64) -> Result<Option<String>> {
        let sql = "SELECT text FROM endpoint_log WHERE tenant = $1 AND endpoint = $2 AND level = 'error' AND number > $3 ORDER BY number DESC LIMIT 1";
        let row: Option<(String,)> = in_tx!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(id.to_string()).bind(after as i64).fetch_optional(db).await)?;
        Ok(row.map(|(text,)| text))
    }

    /// The number of the newest line of a server's log; 0 = there is none.
    pub(crate) async fn last_endpoint_line(&mut self, tenant: &Name, id: EndpointId) -> Result<u64> {
        let sql = "SELECT COALESCE(MAX(number), 0) FROM endpoint_log WHERE tenant = $1 AND endpoint = $2";
        let (number,): (i64,) = in_tx!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(id.to_string()).fetch_one(db).await)?;
        Ok(number as u64)
    }

    pub(crate) async fn append_endpoint_log(
        &mut self,
        tenant: &Name,
        id: EndpointId,
        lines: &[(Timestamp, LogLevel, String)],
    ) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut number = self.last_endpoint_line(tenant, id).await? as i64;
        let sql = "INSERT INTO endpoint_log (tenant, endpoint, number, at, level, text) VALUES ($1, $2, $3, $4, $5, $6)";
        for (when, level, text) in lines {
            number += 1;
            in_tx!(self, db => sqlx::query(sql)
                .bind(tenant.as_str()).bind(id.to_string()).bind(number).bind(when.0).bind(level_word(*level)).bind(text)
                .execute(db).await.map(|_| ()))?;
        }
        let trim = "DELETE FROM endpoint_log WHERE tenant = $1 AND endpoint = $2 AND number <= $3";
        in_tx!(self, db => sqlx::query(trim).bind(tenant.as_str()).bind(id.to_string()).bind(number - LOG_LINES).execute(db).await.map(|_| ()))
    }
}
