//! A page of judged rows: the index of the verdicts leads to the block where it begins, and the texts are read from the uploaded
//! file, row by row, where each verdict says that its row stands.

use super::Datasets;
use crate::{
    blobs::{BlobError, Blobs},
    inspect::index::Block,
    problem::Doing,
};
use bytes::Bytes;
use domain::{
    artefacts,
    dataset::{DatasetVersion, Format},
    inspect::{Report, RowFilter, RowPage, RowVerdict, rules::judge},
    problem::Problem,
};
use futures::{StreamExt, stream::BoxStream};

/// Characters of a row that are shown as they are.
const RAW: usize = 4000;
/// Bytes of a row up to which it is shown as a conversation.
const SHOWN: u64 = 256 * 1024;

impl Datasets<'_> {
    /// Empty while the version is uploading or being checked, and when it was erased.
    pub async fn rows(&self, name: &str, number: u32, filter: RowFilter) -> Result<RowPage, Problem> {
        let version = self.version(name, Some(number)).await?;
        let Some(report) = version.report.as_ref().filter(|_| version.erased_at.is_none()) else { return Ok(RowPage::default()) };
        let total = total(report, &filter);
        let doing = "reading the rows of a dataset";
        let mut rows = if filter.offset < total { self.read(&version, &filter).await.doing(doing)? } else { Vec::new() };
        for row in &mut rows {
            self.read_text(&version, row).await.doing(doing)?;
        }
        Ok(RowPage { rows, total })
    }

    async fn read(&self, version: &DatasetVersion, filter: &RowFilter) -> Result<Vec<RowVerdict>, BlobError> {
        let blobs = self.scope.platform().blobs();
        let mut page = Page::new(filter);
        let judgement = version.judgement.as_deref();
        match index(blobs, version).await? {
            Some(blocks) => {
                let path = artefacts::dataset_verdicts(&version.tenant, version.id, judgement);
                for block in blocks {
                    // Of both parts of a filter together a block only knows a bound: it is skipped when nothing is in it.
                    let matching = block.matching(filter.accepted, filter.rule.as_deref());
                    let exact = filter.accepted.is_none() || filter.rule.is_none();
                    if matching == 0 || exact && page.skips(matching) {
                        continue;
                    }
                    if page.take(&blobs.range(&path, block.at..block.at + block.bytes).await?) {
                        break;
                    }
                }
            }
            // Judged before there was an index: from the start.
            None => {
                let mut verdicts = Verdicts::open(blobs, version).await?;
                while let Some(lines) = verdicts.next().await?
                    && !page.take(&lines)
                {}
            }
        }
        Ok(page.rows)
    }

    /// What a verdict does not say itself. (Those that were written by earlier versions of this program do.)
    async fn read_text(&self, version: &DatasetVersion, row: &mut RowVerdict) -> Result<(), BlobError> {
        if row.bytes == 0 || !row.raw.is_empty() {
            return Ok(());
        }
        let path = artefacts::dataset_original(&version.tenant, version.id);
        let whole = row.bytes <= SHOWN;
        let end = if whole { row.bytes } else { RAW as u64 * 4 };
        let bytes = self.scope.platform().blobs().range(&path, row.at..row.at + end).await?;
        row.raw = String::from_utf8_lossy(&bytes[..bytes.len().min(RAW * 4)]).chars().take(RAW).collect();
        if row.accepted && whole {
            row.conversation = judge(&bytes, version.format.unwrap_or(Format::OpenaiMessages), &[]).conversation;
        }
        Ok(())
    }
}

/// The rows of a page, as they are met.
struct Page<'a> {
    filter: &'a RowFilter,
    /// `"rule":"DS-..."` as in a verdict.
    rule: Option<String>,
    skip: u64,
    limit: usize,
    rows: Vec<RowVerdict>,
}

impl<'a> Page<'a> {
    fn new(filter: &'a RowFilter) -> Self {
        let rule = filter.rule.as_ref().map(|r| format!("\"rule\":{}", serde_json::Value::from(r.as_str())));
        Self { filter, rule, skip: filter.offset, limit: filter.limit.clamp(1, 200) as usize, rows: Vec::new() }
    }

    /// Whether so many matching rows all come before the page; then they are behind us.
    fn skips(&mut self, matching: u64) -> bool {
        let before = self.skip >= matching;
        if before {
            self.skip -= matching;
        }
        before
    }

    /// Goes through some lines; true when the page is full.
    fn take(&mut self, lines: &[u8]) -> bool {
        for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            if self.rows.len() == self.limit {
                break;
            }
            if !matches(line, self.filter.accepted, self.rule.as_deref()) {
                continue;
            }
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            // Written by ourselves; a line that cannot be read is left out rather than hiding the others.
            self.rows.extend(serde_json::from_slice::<RowVerdict>(line));
        }
        self.rows.len() == self.limit
    }
}

/// `None` = there is none: it was judged before there was.
async fn index(blobs: &Blobs, version: &DatasetVersion) -> Result<Option<Vec<Block>>, BlobError> {
    let path = artefacts::dataset_verdict_index(&version.tenant, version.id, version.judgement.as_deref());
    let Some(bytes) = blobs.bytes_if_any(&path).await? else { return Ok(None) };
    Ok(bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The verdicts of a version, some whole lines at a time.
struct Verdicts {
    stream: BoxStream<'static, Result<Bytes, BlobError>>,
    rest: Vec<u8>,
}

impl Verdicts {
    async fn open(blobs: &Blobs, version: &DatasetVersion) -> Result<Self, BlobError> {
        let path = artefacts::dataset_verdicts(&version.tenant, version.id, version.judgement.as_deref());
        let stream = blobs.stream(&path).await?;
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
pub(crate) async fn held_out_lines(blobs: &Blobs, version: &DatasetVersion, most: u64) -> Result<Vec<u64>, BlobError> {
    let mut found = Vec::new();
    if most == 0 {
        return Ok(found);
    }
    let mut verdicts = match Verdicts::open(blobs, version).await {
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
            let verdict = RowVerdict {
                line,
                accepted,
                held_out,
                turns: 2,
                tokens: 0,
                at: 0,
                bytes: 9,
                findings: Vec::new(),
                conversation: None,
                raw,
            };
            serde_json::to_vec(&verdict).unwrap()
        };
        assert_eq!(held_out_line(&verdict(17, true, true)), Some(17));
        assert_eq!([verdict(17, true, false), verdict(17, false, false), Vec::new()].map(|v| held_out_line(&v)), [None; 3]);
    }
}
