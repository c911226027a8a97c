//! The rules by which a row is judged. Each has a stable id; a row is accepted when no rule of severity `rejected` finds
//! anything in it, and is then a conversation that starts with the user (after an optional system text), alternates, and
//! ends with an answer: the one shape that every trainer and model server reads in the same way.
//!
//! Only what can be said of one row alone is judged here. Files (containers, encodings of whole files), duplicates and
//! lengths in tokens are the platform's part; their rules are in the same list.

pub mod fast;
mod shapes;
#[cfg(test)]
mod tests;

use super::{Conversation, FileFinding, Finding, FindingCount, Severity};
use crate::format::Format;
use serde_json::Value;

/// Longest row, in bytes.
pub const MOST_BYTES: usize = 4 * 1024 * 1024;

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $sentence:literal;)*) => {
        /// A rule; the sentence says it of all rows, a finding says it of one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $(#[doc = $sentence] $name),* }
        impl Rule {
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];
            /// Stable, documented, never reused.
            pub const fn id(self) -> &'static str {
                match self { $(Rule::$name => $id),* }
            }
            pub const fn severity(self) -> Severity {
                match self { $(Rule::$name => Severity::$severity),* }
            }
            pub const fn sentence(self) -> &'static str {
                match self { $(Rule::$name => $sentence),* }
            }
        }
    };
}

rules! {
    FileEmpty = "DS-FILE-EMPTY", Blocking, "The file holds no rows.";
    FileKind = "DS-FILE-KIND", Blocking, "The file is neither JSON nor JSONL.";
    FileEncoding = "DS-FILE-ENCODING", Blocking, "The file is not written in UTF-8.";
    FileBroken = "DS-FILE-BROKEN", Blocking, "The JSON list breaks off or is not a list of rows.";
    FileFormat = "DS-FILE-FORMAT", Blocking, "The rows have none of the known formats.";
    Encoding = "DS-ENCODING", Rejected, "The row is not valid UTF-8.";
    TooLarge = "DS-TOO-LARGE", Rejected, "The row has more than 4 MB.";
    Json = "DS-JSON", Rejected, "The row is not valid JSON.";
    Nul = "DS-NUL", Rejected, "The row holds a NUL character.";
    NotObject = "DS-NOT-OBJECT", Rejected, "The row is not a JSON object.";
    Shape = "DS-SHAPE", Rejected, "The row lacks a part that its format needs.";
    Type = "DS-TYPE", Rejected, "A text is not a string.";
    Null = "DS-NULL", Rejected, "A text is null.";
    Empty = "DS-EMPTY", Rejected, "A question or an answer is empty.";
    RoleUnknown = "DS-ROLE-UNKNOWN", Rejected, "A turn has a role that is not known.";
    RoleOrder = "DS-ROLE-ORDER", Rejected, "Questions and answers do not take turns.";
    NoAnswer = "DS-NO-ANSWER", Rejected, "There is nothing to learn: no answer at the end.";
    Preference = "DS-PREFERENCE", Rejected, "The row is a preference pair; those are not trained on yet.";
    Kto = "DS-KTO", Rejected, "The answer is marked as a bad one; those are not trained on yet.";
    Tools = "DS-TOOLS", Rejected, "Tool calls are not trained on.";
    SpecialToken = "DS-SPECIAL-TOKEN", Rejected, "A text holds a control token of the model, which would change who speaks.";
    NoTokenizer = "DS-NO-TOKENIZER", Warning, "The base model's tokenizer cannot be read, so tokens are not counted.";
    TooLong = "DS-TOO-LONG", Warning, "The row is longer than the model's context and will be cut.";
    Duplicate = "DS-DUPLICATE", Warning, "The same row stands in the file more than once.";
    NearDuplicate = "DS-NEAR-DUPLICATE", Warning, "A question much like this one is on the other side of the split.";
    OnePrompt = "DS-ONE-PROMPT", Warning, "All rows ask the same question, so none is held out.";
    Sampled = "DS-SAMPLED", Info, "The file is so large that repeated rows were looked for in a part of it.";
}

impl Rule {
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.id() == id)
    }
    pub fn finding(self, sentence: impl Into<String>) -> Finding {
        Finding { rule: self.id().to_owned(), severity: self.severity(), sentence: sentence.into() }
    }
}

impl FileFinding {
    /// The rule that the file breaks.
    pub const fn rule(&self) -> Rule {
        match self {
            Self::Empty => Rule::FileEmpty,
            Self::Foreign { .. } | Self::NotText | Self::Table { .. } | Self::PlainText { .. } => Rule::FileKind,
            Self::Utf16 => Rule::FileEncoding,
            Self::UnknownFormat { .. } => Rule::FileFormat,
            Self::CutOff { .. } | Self::GoesOnAfterList { .. } => Rule::FileBroken,
            Self::NoTokenizer | Self::TokenizerUnreadable { .. } => Rule::NoTokenizer,
            Self::OnePrompt => Rule::OnePrompt,
            Self::Sampled { .. } => Rule::Sampled,
        }
    }
}

impl FindingCount {
    /// For people.
    pub fn said(&self) -> String {
        match (&self.file, &self.told) {
            (Some(file), _) => file.said(),
            (None, Some(told)) => told.clone(),
            (None, None) => Rule::from_id(&self.rule).map_or_else(|| self.rule.clone(), |rule| rule.sentence().to_owned()),
        }
    }
}

/// What the rules say of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// At most one for each rule: the first place in the row.
    pub findings: Vec<Finding>,
    /// Present exactly when the row is accepted.
    pub conversation: Option<Conversation>,
}

impl Judged {
    pub fn rejected(finding: Finding) -> Self {
        Self { findings: vec![finding], conversation: None }
    }
}

/// Control tokens of common chat templates; the base model's own come in addition where it is known.
pub const CONTROL_TOKENS: [&str; 10] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<start_of_turn>",
    "<end_of_turn>",
];

/// Whether a row is meant for another stage than supervised fine-tuning (preference pairs, answers marked as bad).
pub fn is_of_another_stage(row: &Value) -> bool {
    row.as_object().is_some_and(|row| shapes::of_another_stage(row).is_some())
}

/// The format that a row's keys speak for.
pub fn format_of(row: &Value) -> Option<Format> {
    let row = row.as_object()?;
    if row.contains_key("messages") {
        Some(Format::OpenaiMessages)
    } else if row.contains_key("conversations") {
        Some(Format::Sharegpt)
    } else if row.contains_key("instruction") || (row.contains_key("input") && row.contains_key("output")) {
        Some(Format::Alpaca)
    } else {
        None
    }
}

/// The row as JSON, or why it is none. Byte and column count from 1 within the row.
pub fn parse(row: &[u8]) -> Result<Value, Finding> {
    if row.len() > MOST_BYTES {
        return Err(Rule::TooLarge.finding(format!("The row has {} bytes; at most {MOST_BYTES} are read.", row.len())));
    }
    let text = std::str::from_utf8(row).map_err(|e| {
        let at = e.valid_up_to();
        let byte = row.get(at).copied().unwrap_or_default();
        Rule::Encoding.finding(format!("Byte {} of the row (0x{byte:02X}) is not UTF-8; save the file as UTF-8.", at + 1))
    })?;
    if let Some(at) = row.iter().position(|b| *b == 0) {
        return Err(Rule::Nul.finding(format!("Byte {} of the row is NUL (0x00); JSON holds none.", at + 1)));
    }
    serde_json::from_str(text).map_err(|e| {
        let place = if e.line() > 1 { format!("row line {}, column {}", e.line(), e.column()) } else { format!("column {}", e.column()) };
        let said = e.to_string();
        let cause = said.split(" at line ").next().unwrap_or_default();
        Rule::Json.finding(format!("Not valid JSON at {place}: {cause}."))
    })
}

/// Judges one row. `control_tokens` are texts that no question or answer may hold.
pub fn judge(row: &[u8], format: Format, control_tokens: &[String]) -> Judged {
    match parse(row) {
        Ok(value) => judge_value(&value, format, control_tokens),
        Err(finding) => Judged::rejected(finding),
    }
}

/// The same for a row that is already parsed.
pub fn judge_value(row: &Value, format: Format, control_tokens: &[String]) -> Judged {
    let Some(object) = row.as_object() else {
        return Judged::rejected(Rule::NotObject.finding(format!("The row is {}, not an object.", kind(row))));
    };
    if let Some(finding) = shapes::of_another_stage(object) {
        return Judged::rejected(finding);
    }
    let mut found = Found::default();
    let messages = shapes::read(object, format, &mut found);
    if found.0.is_empty() {
        shapes::check_order(&messages, &mut found);
    }
    for (turn, message) in messages.iter().enumerate() {
        if message.content.contains('\0') {
            found.add(Rule::Nul, format!("The text of turn {} holds a NUL character (\\u0000).", turn + 1));
        }
        if let Some(token) = control_tokens.iter().find(|t| !t.is_empty() && message.content.contains(t.as_str())) {
            found.add(
                Rule::SpecialToken,
                format!("Turn {} holds the control token “{}”, which would change who speaks.", turn + 1, shown(token)),
            );
        }
    }
    if found.0.is_empty() {
        Judged { findings: Vec::new(), conversation: Some(Conversation { messages }) }
    } else {
        Judged { findings: found.0, conversation: None }
    }
}

/// Findings of one row, one for each rule.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, rule: Rule, sentence: String) {
        if !self.0.iter().any(|f| f.rule == rule.id()) {
            self.0.push(rule.finding(sentence));
        }
    }
}

/// A JSON value's type, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A piece of the file, short enough for a sentence.
pub fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
