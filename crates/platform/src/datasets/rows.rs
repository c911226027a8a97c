//! A page of judged rows, read from the verdicts of the inspection: as far as the page needs and no further.

use super::Datasets;
use crate::{
    blobs::{BlobError, Blobs},
    problem::Doing,
};
use bytes::Bytes;
use domain::{
    dataset::DatasetVersion,
    ids::DatasetVersionId,
    inspect::{Report, RowFilter, RowPage, RowVerdict},
    name::Name,
    problem::Problem,
    store_location,
};
use futures::{StreamExt, stream::BoxStream};

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
        let mut verdicts = Verdicts::open(self.scope.platform().blobs(), &version.tenant, version.id).await?;
        let limit = filter.limit.clamp(1, 200) as usize;
        let rule = filter.rule.as_ref().map(|r| format!("\"rule\":{}", serde_json::Value::from(r.as_str())));
        let mut skip = filter.offset;
        let mut rows = Vec::new();
        while let Some(lines) = verdicts.next().await? {
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

/// The verdicts of a version, some whole lines at a time.
struct Verdicts {
    stream: BoxStream<'static, Result<Bytes, BlobError>>,
    rest: Vec<u8>,
}

impl Verdicts {
    async fn open(blobs: &Blobs, tenant: &Name, version: DatasetVersionId) -> Result<Self, BlobError> {
        let stream = blobs.stream(&store_location::dataset_verdicts(tenant, version)).await?;
        Ok(Self { stream, rest: Vec::new() })
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, BlobError> {
        while let Some(piece) = self.stream.next().await {
            self.rest.extend_from_slice(&piece?);
            if let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') {
                return Ok(Some(self.rest.drain(..=end).collect()));
            }
        }
        Ok(None)
    }
}

/// Where in the uploaded file the first `most` held-out rows start, in the order in which they were held out; empty when the
/// verdicts are gone.
pub(crate) async fn held_out_lines(blobs: &Blobs, tenant: &Name, version: DatasetVersionId, most: u64) -> Result<Vec<u64>, BlobError> {
    let mut found = Vec::new();
    if most == 0 {
        return Ok(found);
    }
    let mut verdicts = match Verdicts::open(blobs, tenant, version).await {
        Err(BlobError::Missing { .. }) => return Ok(found),
        opened => opened?,
    };
    while (found.len() as u64) < most
        && let Some(lines) = verdicts.next().await?
    {
        found.extend(lines.split(|b| *b == b'\n').filter_map(held_out_line));
    }
    Ok(found)
}

/// The line of a held-out row; `None` for every other verdict. Read from the head alone, which we wrote ourselves.
fn held_out_line(verdict: &[u8]) -> Option<u64> {
    let rest = verdict.strip_prefix(b"{\"line\":")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    rest[digits..].starts_with(b",\"accepted\":true,\"held_out\":true,").then(|| std::str::from_utf8(&rest[..digits]).ok()?.parse().ok())?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_held_out_row_is_read_from_its_verdict() {
        let verdict = |line, accepted, held_out| {
            let raw = "\"accepted\":true,\"held_out\":true,".to_owned();
            let verdict = RowVerdict { line, accepted, held_out, turns: 2, tokens: 0, findings: Vec::new(), conversation: None, raw };
            serde_json::to_vec(&verdict).unwrap()
        };
        assert_eq!(held_out_line(&verdict(17, true, true)), Some(17));
        assert_eq!([verdict(17, true, false), verdict(17, false, false), Vec::new()].map(|v| held_out_line(&v)), [None; 3]);
    }
}
