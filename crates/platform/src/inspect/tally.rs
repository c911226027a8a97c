//! Counts over all rows: what the report says at the end.

use super::verdict::Verdict;
use domain::{
    dataset::{Container, Format},
    inspect::{Bucket, FileFinding, Finding, FindingCount, Report, Severity},
};
use std::collections::HashMap;

/// Lines that a rule names at most.
const LINES: usize = 20;
/// Where buckets of the histogram begin, tokens.
const BUCKETS: [u32; 14] = [0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];

#[derive(Default)]
pub(super) struct Tally {
    pub rows: u64,
    pub accepted: u64,
    pub held_out: u64,
    turns: u64,
    tokens: u64,
    longest: u32,
    buckets: [u64; BUCKETS.len()],
    findings: HashMap<String, FindingCount>,
}

impl Tally {
    pub fn row(&mut self, verdict: &Verdict, counted: bool) {
        self.rows += 1;
        for finding in &verdict.findings {
            self.finding(finding, verdict.line);
        }
        if !verdict.accepted {
            return;
        }
        self.accepted += 1;
        self.held_out += u64::from(verdict.held_out);
        self.turns += u64::from(verdict.turns);
        if counted {
            self.tokens += u64::from(verdict.tokens);
            self.longest = self.longest.max(verdict.tokens);
            let bucket = BUCKETS.iter().rposition(|from| *from <= verdict.tokens).unwrap_or(0);
            self.buckets[bucket] += 1;
        }
    }

    /// Of the file as a whole.
    pub fn note(&mut self, found: FileFinding) {
        let rule = found.rule();
        let entry = self.entry(rule.id(), rule.severity());
        entry.count += 1;
        entry.file = Some(found);
    }

    fn finding(&mut self, finding: &Finding, line: u64) {
        let entry = self.entry(&finding.rule, finding.severity);
        entry.count += 1;
        if entry.lines.len() < LINES {
            entry.lines.push(line);
        }
    }

    fn entry(&mut self, rule: &str, severity: Severity) -> &mut FindingCount {
        let first = || FindingCount { rule: rule.to_owned(), severity, file: None, count: 0, lines: Vec::new(), told: None };
        self.findings.entry(rule.to_owned()).or_insert_with(first)
    }

    pub fn report(self, format: Option<Format>, container: Option<Container>) -> Report {
        let mut findings: Vec<FindingCount> = self.findings.into_values().collect();
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.count.cmp(&a.count)).then(a.rule.cmp(&b.rule)));
        Report {
            format,
            container,
            rows: self.rows,
            accepted: self.accepted,
            rejected: self.rows - self.accepted,
            train_rows: self.accepted - self.held_out,
            held_out_rows: self.held_out,
            turns: self.turns,
            tokens: self.tokens,
            longest_tokens: self.longest,
            histogram: histogram(self.buckets),
            findings,
        }
    }
}

/// From the first bucket with rows to the last.
fn histogram(buckets: [u64; BUCKETS.len()]) -> Vec<Bucket> {
    let used = |rows: &u64| *rows > 0;
    let (Some(first), Some(last)) = (buckets.iter().position(used), buckets.iter().rposition(used)) else { return Vec::new() };
    (first..=last).map(|i| Bucket { from: BUCKETS[i], to: BUCKETS.get(i + 1).copied().unwrap_or(u32::MAX), rows: buckets[i] }).collect()
}
