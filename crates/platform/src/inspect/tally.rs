//! Counts over all rows: what the report says at the end.

use super::judge::Verdict;
use domain::{
    dataset::{Container, Format},
    inspect::{Bucket, Finding, FindingCount, Report, rules::Rule},
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
            self.finding(finding, Some(verdict.line));
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

    /// A finding in a row, or (without a line) on the file as a whole.
    pub fn finding(&mut self, finding: &Finding, line: Option<u64>) {
        if let (Some(known), Some(line)) = (self.findings.get_mut(&finding.rule), line) {
            known.count += 1;
            if known.lines.len() < LINES {
                known.lines.push(line);
            }
            return;
        }
        let entry = self.findings.entry(finding.rule.clone()).or_insert_with(|| FindingCount {
            rule: finding.rule.clone(),
            severity: finding.severity,
            // Of the file there is one sentence, and it knows more than the rule.
            sentence: match (line, Rule::from_id(&finding.rule)) {
                (Some(_), Some(rule)) => rule.sentence().to_owned(),
                _ => finding.sentence.clone(),
            },
            count: 0,
            lines: Vec::new(),
        });
        entry.count += 1;
        if let Some(line) = line.filter(|_| entry.lines.len() < LINES) {
            entry.lines.push(line);
        }
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
