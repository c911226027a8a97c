//! Where rows stand in the verdicts: one line for each block of rows, with what is in it, so that any page under any filter is read
//! from the block where it begins.

use super::verdict::{Verdict, Written};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows of a block.
const ROWS: u64 = 256;

/// A line of the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// Where it starts in the verdicts, and how many bytes it has there.
    pub at: u64,
    pub bytes: u64,
    pub rows: u64,
    pub accepted: u64,
    /// In how many of its rows each rule found something.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, u64>,
}

impl Block {
    /// How many of its rows are under a filter; an upper bound when the filter has both parts.
    pub fn matching(&self, accepted: Option<bool>, rule: Option<&str>) -> u64 {
        let by_verdict = match accepted {
            None => self.rows,
            Some(true) => self.accepted,
            Some(false) => self.rows - self.accepted,
        };
        rule.map_or(by_verdict, |rule| self.rules.get(rule).copied().unwrap_or(0).min(by_verdict))
    }
}

/// Writes verdicts and the index beside them.
#[derive(Default)]
pub(super) struct Indexer {
    block: Block,
}

impl Indexer {
    pub fn row(&mut self, verdict: &Verdict, written: &mut Written) {
        let before = written.verdicts.len();
        // A struct of texts and numbers cannot fail to be JSON.
        if serde_json::to_writer(&mut written.verdicts, verdict).is_err() {
            return written.verdicts.truncate(before);
        }
        written.verdicts.push(b'\n');
        self.block.bytes += (written.verdicts.len() - before) as u64;
        self.block.rows += 1;
        self.block.accepted += u64::from(verdict.accepted);
        for finding in &verdict.findings {
            match self.block.rules.get_mut(&finding.rule) {
                Some(count) => *count += 1,
                None => drop(self.block.rules.insert(finding.rule.clone(), 1)),
            }
        }
        if self.block.rows == ROWS {
            self.finish(written);
        }
    }

    /// Ends the present block.
    pub fn finish(&mut self, written: &mut Written) {
        if self.block.rows == 0 {
            return;
        }
        let block = std::mem::take(&mut self.block);
        self.block.at = block.at + block.bytes;
        if serde_json::to_writer(&mut written.index, &block).is_ok() {
            written.index.push(b'\n');
        }
    }
}
