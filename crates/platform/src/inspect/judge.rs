//! From pieces of a file to verdicts, training rows and the report. No I/O: pieces go in, bytes for four files come out, and memory
//! is bounded by a few rows and two maps of bounded size (repeated rows, questions alike).

use super::{
    count::TokenCounter,
    held_out_split::{Places, Split},
    index::Indexer,
    prompts::Prompts,
    raw_rows::{RawRow, RowReader},
    sampled::Sampled,
    tally::Tally,
    verdict::{Verdict, Written},
};
use aho_corasick::AhoCorasick;
use domain::{
    dataset::Format,
    inspect::{
        Conversation, FileFinding, Message, Report, Separator,
        rules::{
            CONTROL_TOKENS, MOST_BYTES, Rule,
            fast::{self, Turn},
            format_of, is_of_another_stage, judge, parse, shown,
        },
    },
};
use serde::Serialize;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// Rows by which the format is told, and bytes of them at most.
const SAMPLE_ROWS: usize = 100;
const SAMPLE_BYTES: usize = 8 * 1024 * 1024;
/// Rows of which each is known by its number (8 bytes and one more), to find repeated ones; of larger files a sample is.
const ROWS_KNOWN: usize = (1 << 21) / 8 * 7;
/// What was found, for the row of the version.
pub(super) struct Outcome {
    pub report: Report,
    /// A split that suits this file better, where chance left a side empty: then judge it again with that one.
    pub better_split: Option<Split>,
}

/// A line of the training rows.
#[derive(Serialize)]
struct Line<'a> {
    messages: &'a [Turn<'a>],
}

pub(super) struct Judge {
    reader: RowReader,
    counter: Option<TokenCounter>,
    control_tokens: Vec<String>,
    /// Finds any of them; `None` = there are none.
    control: Option<AhoCorasick>,
    /// Tokens of the model's context; 0 = unknown.
    context: u32,
    split: Split,
    format: Option<Format>,
    /// Whether the rows that waited were looked at.
    settled: bool,
    /// Rows that wait until the format is known.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    seen: Sampled<()>,
    prompts: Prompts,
    places: Places,
    tally: Tally,
    indexer: Indexer,
    /// The present row as a training row.
    canonical: Vec<u8>,
    pub written: Written,
}

/// A row that outlives its piece.
struct Waiting {
    line: u64,
    at: u64,
    bytes: Vec<u8>,
    size: u64,
}

impl Waiting {
    fn row(&self) -> RawRow<'_> {
        RawRow { line: self.line, at: self.at, bytes: &self.bytes, size: self.size }
    }
    fn is_whole(&self) -> bool {
        self.size == self.bytes.len() as u64 && self.bytes.len() <= MOST_BYTES
    }
}

impl Judge {
    pub fn new(counter: Option<TokenCounter>, context: u32, split: Split) -> Self {
        let control_tokens: Vec<String> =
            counter.as_ref().map_or_else(|| CONTROL_TOKENS.iter().map(|t| (*t).to_owned()).collect(), TokenCounter::control_tokens);
        // Should the texts not fit into one searcher, every row takes the long way, which looks for them one by one.
        let control = AhoCorasick::new(control_tokens.iter().filter(|t| !t.is_empty())).ok();
        Self {
            reader: RowReader::default(),
            counter,
            control_tokens,
            control,
            context,
            split,
            format: None,
            settled: false,
            waiting: Vec::new(),
            waiting_bytes: 0,
            seen: Sampled::new(ROWS_KNOWN),
            prompts: Prompts::new(),
            places: Places::default(),
            tally: Tally::default(),
            indexer: Indexer::default(),
            canonical: Vec::new(),
            written: Written::default(),
        }
    }

    /// Gives the token counter back for a second pass.
    pub fn into_counter(self) -> Option<TokenCounter> {
        self.counter
    }

    /// Adds a finding on the file as a whole.
    pub fn note(&mut self, found: FileFinding) {
        self.tally.note(found);
    }

    /// Judges every row that ends in this piece. An error refuses the file; what was judged before it stays in the report.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), FileFinding> {
        let mut reader = std::mem::take(&mut self.reader);
        let pushed = reader.push(piece, &mut |row| self.take(row));
        self.reader = reader;
        pushed
    }

    /// The end of the file.
    pub fn finish(&mut self, refused: Option<FileFinding>) -> Outcome {
        let ended = match refused {
            Some(found) => Err(found),
            None => std::mem::take(&mut self.reader).finish(&mut |row| self.take(row)),
        };
        self.settle();
        self.indexer.finish(&mut self.written);
        let container = match ended {
            Ok(container) => Some(container),
            Err(found) => {
                self.note(found);
                None
            }
        };
        if self.tally.rows == 0 && container.is_some() {
            self.note(FileFinding::Empty);
        }
        if self.places.ask_one_thing(self.split, self.tally.accepted) {
            self.note(FileFinding::OnePrompt);
        }
        let (rows, prompts) = (self.seen.one_of(), self.prompts.one_of());
        if rows > 1 || prompts > 1 {
            self.note(FileFinding::Sampled { rows, prompts });
        }
        let better_split = self.places.better(self.split, self.tally.held_out, self.tally.accepted);
        let report = std::mem::take(&mut self.tally).report(self.format, container);
        Outcome { report, better_split }
    }

    fn take(&mut self, row: RawRow<'_>) {
        if self.settled {
            return self.row(row);
        }
        self.waiting_bytes += row.bytes.len();
        self.waiting.push(Waiting { line: row.line, at: row.at, bytes: row.bytes.to_vec(), size: row.size });
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
        self.settled = true;
        let mut votes = [0usize; Format::ALL.len()];
        let (mut parsed, mut of_another_stage, mut unknown) = (0usize, 0usize, None);
        for value in waiting.iter().filter(|r| r.is_whole()).filter_map(|r| parse(&r.bytes).ok()) {
            parsed += 1;
            of_another_stage += usize::from(is_of_another_stage(&value));
            match format_of(&value).and_then(|format| Format::ALL.iter().position(|f| *f == format)) {
                Some(i) => votes[i] += 1,
                None => unknown = unknown.or(Some(value)),
            }
        }
        let most = Format::ALL.into_iter().zip(votes).max_by_key(|(f, n)| (*n, std::cmp::Reverse(f.word())));
        self.format = most.filter(|(_, n)| *n > 0).map(|(format, _)| format);
        // Rows of another stage say themselves what they are, and so do rows that are too large or broken JSON.
        if self.format.is_none() && of_another_stage == 0 {
            if parsed > 0 {
                self.note(unknown_format(unknown.as_ref()));
            } else if let Some(found) = no_json(&waiting) {
                self.note(found);
            }
        }
        for row in &waiting {
            self.row(row.row());
        }
    }

    fn row(&mut self, row: RawRow<'_>) {
        let mut verdict = Verdict {
            line: row.line,
            accepted: false,
            held_out: false,
            turns: 0,
            tokens: 0,
            at: row.at,
            bytes: row.size,
            findings: Vec::new(),
        };
        let format = self.format.unwrap_or(Format::OpenaiMessages);
        if row.size > row.bytes.len() as u64 {
            verdict.findings.push(Rule::TooLarge.finding(format!("The row has {} bytes; at most 4 MB are read.", row.size)));
        } else if let Some(turns) = self.control.as_ref().and_then(|control| fast::read(row.bytes, format, |text| !control.is_match(text)))
        {
            self.accept(&mut verdict, &turns);
        } else {
            let judged = judge(row.bytes, format, &self.control_tokens);
            verdict.findings = judged.findings;
            if let Some(conversation) = judged.conversation {
                self.accept(&mut verdict, &conversation.messages.into_iter().filter_map(owned_turn).collect::<Vec<_>>());
            }
        }
        self.tally.row(&verdict, self.counter.is_some());
        self.indexer.row(&verdict, &mut self.written);
    }

    fn accept(&mut self, verdict: &mut Verdict, turns: &[Turn<'_>]) {
        self.canonical.clear();
        // A struct of texts cannot fail to be JSON.
        if serde_json::to_writer(&mut self.canonical, &Line { messages: turns }).is_err() {
            return;
        }
        if self.seen.put(xxh3_64(&self.canonical), ()).is_some() {
            verdict.findings.push(Rule::Duplicate.finding("The same row stands further up in the file."));
        }
        verdict.accepted = true;
        verdict.turns = u32::try_from(turns.iter().filter(|t| t.role != "system").count()).unwrap_or(u32::MAX);
        if let Some(counter) = &self.counter {
            let message = |t: &Turn<'_>| Message { role: t.role.to_owned(), content: t.content.clone().into_owned() };
            verdict.tokens = counter.count(&Conversation { messages: turns.iter().map(message).collect() });
        }
        if self.context > 0 && verdict.tokens > self.context {
            let sentence = format!("{} tokens, and the model's context holds {}: the end is cut off.", verdict.tokens, self.context);
            verdict.findings.push(Rule::TooLong.finding(sentence));
        }
        let place = self.prompts.place(turns);
        verdict.held_out = self.split.holds_out(place);
        self.places.put(place);
        if self.split.is_wanted()
            && let Some(other) = self.prompts.on_other_side(verdict.line, verdict.held_out)
        {
            let side = if verdict.held_out { "trained on" } else { "held out" };
            verdict.findings.push(Rule::NearDuplicate.finding(format!("Line {other}, which is {side}, asks much the same.")));
        }
        let file = if verdict.held_out { &mut self.written.held_out } else { &mut self.written.train };
        file.extend_from_slice(&self.canonical);
        file.push(b'\n');
        self.canonical.shrink_to(1 << 16);
    }
}

fn owned_turn(message: Message) -> Option<Turn<'static>> {
    let role = ["system", "user", "assistant"].into_iter().find(|role| *role == message.role)?;
    Some(Turn { role, content: Cow::Owned(message.content) })
}

fn unknown_format(row: Option<&serde_json::Value>) -> FileFinding {
    let row = row.and_then(|row| row.as_object());
    FileFinding::UnknownFormat { keys: row.map(|row| row.keys().take(5).map(|k| shown(k)).collect()) }
}

/// What a file is instead of JSON, when none of its first rows is any; `None` = rows that are meant to be JSON and broken, or too long.
fn no_json(rows: &[Waiting]) -> Option<FileFinding> {
    let mut texts = rows.iter().filter(|r| r.is_whole()).map(|r| (r.line, String::from_utf8_lossy(&r.bytes)));
    let (line, first) = texts.next()?;
    if first.trim_start().starts_with(['{', '[']) || first.contains('\0') {
        return None;
    }
    let second = texts.next().map(|(_, text)| text);
    for (sign, between) in [(',', Separator::Commas), (';', Separator::Semicolons), ('\t', Separator::Tabs)] {
        let columns = columns(&first, sign);
        // One line alone may be a sentence with a comma; a table has the same columns in the next.
        if columns > 1 && second.as_ref().is_some_and(|second| self::columns(second, sign) == columns) {
            return Some(FileFinding::Table { line, columns, between });
        }
    }
    Some(FileFinding::PlainText { line, start: shown(&first) })
}

/// Columns of a line of CSV: what stands between quotes divides nothing.
fn columns(line: &str, sign: char) -> usize {
    let mut quoted = false;
    1 + line
        .chars()
        .filter(|c| {
            quoted ^= *c == '"';
            *c == sign && !quoted
        })
        .count()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
