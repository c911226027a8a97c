//! The judgement of a dataset: every row is accepted or rejected by a rule with an id and a sentence.
//! The rules themselves are in [`rules`]; reading files line by line is the platform's work.

mod file;
pub mod rules;

pub use file::{FileFinding, ForeignFile, Separator};

use crate::format::{Container, Format};
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    /// The row is trained on, but look at it.
    Warning,
    /// The row is left out.
    Rejected,
    /// Nothing can be trained: the whole file is refused.
    Blocking,
}

/// One turn of a conversation, in OpenAI's words: `system`, `user`, `assistant`, `tool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
}

/// A row in the one shape that training, evaluation and preview share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    pub messages: Vec<Message>,
}

/// What one rule found in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `DS-ROLE-ORDER`; stable, documented, never reused.
    pub rule: String,
    pub severity: Severity,
    pub sentence: String,
}

/// The verdict on one row, stored for **every** row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowVerdict {
    /// Line in the uploaded file (JSONL), or the line where the row starts (JSON); from 1.
    pub line: u64,
    pub accepted: bool,
    /// Into which part an accepted row went.
    pub held_out: bool,
    pub turns: u32,
    pub tokens: u32,
    /// Where the row starts in the uploaded file, and how many bytes it has there.
    #[serde(default)]
    pub at: u64,
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// The accepted row as a conversation; absent when rejected, and when it is too long to be shown. Not stored: read from the
    /// uploaded file when it is looked at.
    #[serde(default)]
    pub conversation: Option<Conversation>,
    /// The raw text of the row, at most 4000 characters; not stored either.
    #[serde(default)]
    pub raw: String,
}

/// A rule's findings, counted over all rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCount {
    pub rule: String,
    pub severity: Severity,
    /// What was found of the file as a whole; `None` = in rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFinding>,
    pub count: u64,
    /// The first lines where it was found, at most 20.
    pub lines: Vec<u64>,
    /// From a version of this program that stored sentences.
    #[serde(default, rename = "sentence", skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// Histogram bucket: rows with `from <= tokens < to` (the last bucket is open).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    pub from: u32,
    pub to: u32,
    pub rows: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub format: Option<Format>,
    pub container: Option<Container>,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub train_rows: u64,
    pub held_out_rows: u64,
    pub turns: u64,
    /// Tokens of accepted rows by the tokenizer named in the version, chat template included; 0 without a tokenizer.
    pub tokens: u64,
    pub longest_tokens: u32,
    pub histogram: Vec<Bucket>,
    /// Worst first, then by count.
    pub findings: Vec<FindingCount>,
}

/// Which rows of a version to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFilter {
    pub accepted: Option<bool>,
    /// Only rows in which this rule found something.
    pub rule: Option<String>,
    /// Matching rows to skip.
    pub offset: u64,
    /// 1 to 200.
    pub limit: u32,
}

/// A page of judged rows, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPage {
    pub rows: Vec<RowVerdict>,
    /// Rows that match, over all pages.
    pub total: u64,
}
