//! From pieces of a file to verdicts, training rows and the report. No I/O: pieces go in, bytes for three files come out,
//! and memory is bounded by a few rows and one number per accepted row (to find duplicates).

use super::{
    count::TokenCounter,
    split::{RawRow, Splitter},
    tally::Tally,
};
use crate::counted::counted;
use domain::{
    dataset::Format,
    inspect::{
        Conversation, Finding, Report, RowVerdict, Severity,
        rules::{CONTROL_TOKENS, Judged, Rule, format_of, judge, parse},
    },
};
use std::collections::HashSet;

/// Rows by which the format is told, and bytes of them at most.
const SAMPLE_ROWS: usize = 100;
const SAMPLE_BYTES: usize = 8 * 1024 * 1024;
/// Characters of a row that the report keeps as they are.
const RAW: usize = 4000;
/// From so many accepted rows on, at least one is held out when any should be: who asked for an evaluation gets one.
const LEAST_FOR_SPLIT: u64 = 2;

/// Which accepted rows are held out: those whose hash falls under the percentage. The same row falls the same way in every
/// version and every file, and a duplicate never stands on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub percent: u8,
    /// Exceptions for small files, found by a first pass: see [`Outcome::better_split`].
    pub hold_out_line: Option<u64>,
    pub train_line: Option<u64>,
}

/// What was found, for the row of the version.
pub(super) struct Outcome {
    pub report: Report,
    /// A split that suits this file better, where chance left a side empty: then judge it again with that one.
    pub better_split: Option<Split>,
}

/// Bytes to append to each file.
#[derive(Default)]
pub(super) struct Written {
    pub verdicts: Vec<u8>,
    pub train: Vec<u8>,
    pub held_out: Vec<u8>,
}

pub(super) struct Judge {
    splitter: Splitter,
    counter: Option<TokenCounter>,
    control_tokens: Vec<String>,
    /// Tokens of the model's context; 0 = unknown.
    context: u32,
    split: Split,
    format: Option<Format>,
    /// Rows that wait until the format is known.
    waiting: Vec<RawRow>,
    waiting_bytes: usize,
    seen: HashSet<u64>,
    /// Smallest and largest place in the split, with their lines.
    first: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
    tally: Tally,
    pub written: Written,
}

impl Judge {
    pub fn new(counter: Option<TokenCounter>, context: u32, split: Split) -> Self {
        let control_tokens =
            counter.as_ref().map_or_else(|| CONTROL_TOKENS.iter().map(|t| (*t).to_owned()).collect(), TokenCounter::control_tokens);
        Self {
            splitter: Splitter::default(),
            counter,
            control_tokens,
            context,
            split,
            format: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            seen: HashSet::new(),
            first: None,
            last: None,
            tally: Tally::default(),
            written: Written::default(),
        }
    }

    /// Gives the token counter back for a second pass.
    pub fn into_counter(self) -> Option<TokenCounter> {
        self.counter
    }

    /// Adds a finding on the file as a whole.
    pub fn note(&mut self, finding: &Finding) {
        self.tally.finding(finding, None);
    }

    /// Judges every row that ends in this piece. An error refuses the file; what was judged before it stays in the report.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Finding> {
        let mut rows = Vec::new();
        let pushed = self.splitter.push(piece, &mut rows);
        self.take(rows);
        pushed
    }

    /// The end of the file.
    pub fn finish(&mut self, refused: Option<Finding>) -> Outcome {
        let mut rows = Vec::new();
        let ended = match refused {
            Some(finding) => Err(finding),
            None => std::mem::take(&mut self.splitter).finish(&mut rows),
        };
        self.take(rows);
        self.settle();
        let container = match ended {
            Ok(container) => Some(container),
            Err(finding) => {
                self.note(&finding);
                None
            }
        };
        if self.tally.rows == 0 && container.is_some() {
            self.note(&Rule::FileEmpty.finding("The file holds no rows."));
        }
        let better_split = self.better_split();
        let report = std::mem::take(&mut self.tally).report(self.format, container);
        Outcome { report, better_split }
    }

    fn take(&mut self, rows: Vec<RawRow>) {
        if self.format.is_some() {
            return rows.into_iter().for_each(|row| self.row(row));
        }
        self.waiting_bytes += rows.iter().map(|r| r.bytes.len()).sum::<usize>();
        self.waiting.extend(rows);
        if self.waiting.len() >= SAMPLE_ROWS || self.waiting_bytes >= SAMPLE_BYTES {
            self.settle();
        }
    }

    /// Decides on the format by what most of the first rows look like, and judges those that waited.
    fn settle(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let values = || waiting.iter().filter_map(|r| parse(&r.bytes).ok());
        let votes = |format| values().filter(|v| format_of(v) == Some(format)).count();
        let most = Format::ALL.into_iter().map(|f| (votes(f), f)).max_by_key(|(n, f)| (*n, std::cmp::Reverse(f.word())));
        self.format = most.filter(|(n, _)| *n > 0).map(|(_, format)| format);
        if self.format.is_none() {
            self.note(&unknown_format(values()));
        }
        waiting.into_iter().for_each(|row| self.row(row));
    }

    fn row(&mut self, row: RawRow) {
        let judged = if row.size > row.bytes.len() as u64 {
            Judged::rejected(Rule::TooLarge.finding(format!("The row has {} bytes; at most 4 MB are read.", row.size)))
        } else {
            judge(&row.bytes, self.format.unwrap_or(Format::OpenaiMessages), &self.control_tokens)
        };
        let raw = raw(&row.bytes);
        let mut verdict = RowVerdict {
            line: row.line,
            accepted: false,
            held_out: false,
            turns: 0,
            tokens: 0,
            findings: judged.findings,
            conversation: None,
            raw,
        };
        if let Some(conversation) = judged.conversation {
            self.accept(&mut verdict, conversation);
        }
        self.tally.row(&verdict, self.counter.is_some());
        append(&mut self.written.verdicts, &verdict);
    }

    fn accept(&mut self, verdict: &mut RowVerdict, conversation: Conversation) {
        let canonical = serde_json::to_vec(&conversation).unwrap_or_default();
        let (identity, place) = hashes(&canonical);
        if !self.seen.insert(identity) {
            verdict.findings.push(Rule::Duplicate.finding("The same row stands further up in the file."));
        }
        verdict.accepted = true;
        verdict.turns = u32::try_from(conversation.messages.iter().filter(|m| m.role != "system").count()).unwrap_or(u32::MAX);
        verdict.tokens = self.counter.as_ref().map_or(0, |c| c.count(&conversation));
        if self.context > 0 && verdict.tokens > self.context {
            let sentence = format!("{} tokens, and the model's context holds {}: the end is cut off.", verdict.tokens, self.context);
            verdict.findings.push(Rule::TooLong.finding(sentence));
        }
        verdict.held_out = self.holds_out(place, verdict.line);
        let here = (place, verdict.line);
        self.first = Some(self.first.map_or(here, |f| f.min(here)));
        self.last = Some(self.last.map_or(here, |l| l.max(here)));
        let file = if verdict.held_out { &mut self.written.held_out } else { &mut self.written.train };
        file.extend_from_slice(&canonical);
        file.push(b'\n');
        verdict.conversation = Some(conversation);
    }

    fn holds_out(&self, place: u64, line: u64) -> bool {
        if self.split.train_line == Some(line) {
            return false;
        }
        self.split.hold_out_line == Some(line) || place < u64::from(self.split.percent) * (u64::MAX / 100)
    }

    /// Chance may leave a side of a small file empty. Then the row nearest to the border goes over; and a single row is
    /// trained on.
    fn better_split(&self) -> Option<Split> {
        let (held, accepted, split) = (self.tally.held_out, self.tally.accepted, self.split);
        if split.percent == 0 || accepted == 0 {
            None
        } else if accepted < LEAST_FOR_SPLIT {
            (held > 0).then_some(Split::default())
        } else if held == 0 {
            Some(Split { hold_out_line: self.first.map(|(_, line)| line), ..split })
        } else if held == accepted {
            Some(Split { train_line: self.last.map(|(_, line)| line), ..split })
        } else {
            None
        }
    }
}

/// Two independent numbers of a row: which it is, and where it falls in the split.
fn hashes(canonical: &[u8]) -> (u64, u64) {
    let hash = blake3::hash(canonical);
    let number = |at: usize| hash.as_bytes()[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
    (number(0), number(8))
}

fn append(file: &mut Vec<u8>, verdict: &RowVerdict) {
    // A struct of texts and numbers cannot fail to be JSON.
    if serde_json::to_writer(&mut *file, verdict).is_ok() {
        file.push(b'\n');
    }
}

/// The row as people recognise it: at most 4000 characters; what is no UTF-8 shows as replacement characters.
fn raw(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(RAW * 4)];
    String::from_utf8_lossy(cut).chars().take(RAW).collect()
}

fn unknown_format(mut rows: impl Iterator<Item = serde_json::Value>) -> Finding {
    let keys = rows.find_map(|row| {
        let keys: Vec<String> = row.as_object()?.keys().take(5).map(|k| format!("“{}”", k.chars().take(40).collect::<String>())).collect();
        Some(keys.join(", "))
    });
    let have = keys.map_or_else(|| "No row is a JSON object".to_owned(), |k| format!("The rows have {k}"));
    Rule::FileFormat.finding(format!(
        "{have}; known formats have “messages” (OpenAI), “conversations” (sharegpt) or “instruction” and “output” (alpaca)."
    ))
}

/// Why a version cannot be trained on; `None` = it can.
pub(super) fn refusal(report: &Report) -> Option<String> {
    if let Some(blocking) = report.findings.iter().find(|f| f.severity == Severity::Blocking) {
        return Some(blocking.sentence.clone());
    }
    if report.accepted > 0 {
        return None;
    }
    let most = report.findings.iter().filter(|f| f.severity == Severity::Rejected).max_by_key(|f| f.count);
    let why = most.map(|f| {
        let line = f.lines.first().map(|l| format!(", first in line {l}")).unwrap_or_default();
        format!(" Most frequent: {} ({}{line})", f.sentence.trim_end_matches('.'), counted(f.count, "row", "rows"))
    });
    let none = if report.rows == 1 { "The only row cannot".to_owned() } else { format!("None of the {} rows can", report.rows) };
    Some(format!("{none} be trained on.{}", why.map(|w| w + ".").unwrap_or_default()))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
