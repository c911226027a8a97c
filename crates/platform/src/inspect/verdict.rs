//! What is decided on a row, and where it is written.

use domain::inspect::Finding;
use serde::Serialize;

/// Bytes to append to each file.
#[derive(Default)]
pub(super) struct Written {
    pub verdicts: Vec<u8>,
    pub index: Vec<u8>,
    pub train: Vec<u8>,
    pub held_out: Vec<u8>,
}

/// A line of the verdicts: [`domain::inspect::RowVerdict`] without the texts, which stand in the uploaded file.
#[derive(Serialize)]
pub(super) struct Verdict {
    pub line: u64,
    pub accepted: bool,
    pub held_out: bool,
    pub turns: u32,
    pub tokens: u32,
    pub at: u64,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}
