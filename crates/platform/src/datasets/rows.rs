//! A page of judged rows, read from the verdicts of the inspection: as far as the page needs and no further.

use super::Datasets;
use crate::{blobs::BlobError, problem::Doing};
use domain::{
    dataset::DatasetVersion,
    inspect::{Report, RowFilter, RowPage, RowVerdict},
    problem::Problem,
    store_location,
};
use futures::StreamExt;

impl Datasets<'_> {
    /// Empty while the version is uploading or being checked.
    pub async fn rows(&self, name: &str, number: u32, filter: RowFilter) -> Result<RowPage, Problem> {
        let version = self.version(name, Some(number)).await?;
        let Some(report) = &version.report else { return Ok(RowPage::default()) };
        let total = total(report, &filter);
        let rows =
            if filter.offset < total { self.read(&version, &filter).await.doing("reading the rows of a dataset")? } else { Vec::new() };
        Ok(RowPage { rows, total })
    }

    async fn read(&self, version: &DatasetVersion, filter: &RowFilter) -> Result<Vec<RowVerdict>, BlobError> {
        let mut stream = self.scope.platform().blobs().stream(&store_location::dataset_verdicts(&version.tenant, version.id)).await?;
        let limit = filter.limit.clamp(1, 200) as usize;
        let rule = filter.rule.as_ref().map(|r| format!("\"rule\":{}", serde_json::Value::from(r.as_str())));
        let mut skip = filter.offset;
        let mut rows = Vec::new();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(piece) = stream.next().await {
            rest.extend_from_slice(&piece?);
            let Some(end) = rest.iter().rposition(|b| *b == b'\n') else { continue };
            let lines: Vec<u8> = rest.drain(..=end).collect();
            for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                if !matches(line, filter.accepted, rule.as_deref()) {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                // Written by ourselves; a line that cannot be read is left out rather than hiding the others.
                rows.extend(serde_json::from_slice::<RowVerdict>(line));
                if rows.len() == limit {
                    return Ok(rows);
                }
            }
        }
        Ok(rows)
    }
}

/// Decided on the line as it was written, without reading all of it as JSON: inside texts, quotes are escaped.
fn matches(line: &[u8], accepted: Option<bool>, rule: Option<&str>) -> bool {
    let has = |what: &str| line.windows(what.len()).any(|w| w == what.as_bytes());
    let head = &line[..line.len().min(64)];
    let is_accepted = || head.windows(15).any(|w| w == b"\"accepted\":true");
    accepted.is_none_or(|wanted| is_accepted() == wanted) && rule.is_none_or(has)
}

/// The report counted them all.
fn total(report: &Report, filter: &RowFilter) -> u64 {
    use domain::inspect::{Severity, rules::Rule};
    match (&filter.rule, filter.accepted) {
        (None, None) => report.rows,
        (None, Some(true)) => report.accepted,
        (None, Some(false)) => report.rejected,
        (Some(rule), accepted) => {
            let count = report.findings.iter().find(|f| f.rule == *rule && !f.lines.is_empty()).map_or(0, |f| f.count);
            // A rule either rejects every row in which it finds something, or none; a warned row was accepted.
            let rejects = Rule::from_id(rule).is_some_and(|r| r.severity() >= Severity::Rejected);
            if accepted.is_some_and(|accepted| accepted == rejects) { 0 } else { count }
        }
    }
}
