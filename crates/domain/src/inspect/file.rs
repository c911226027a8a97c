//! What is found of a file as a whole: codes with parameters, stored in the report of a version. Of rows, the rule says it.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum FileFinding {
    Empty,
    Foreign {
        file: ForeignFile,
    },
    /// Bytes that no text has.
    NotText,
    Utf16,
    /// Lines with the same number of columns.
    Table {
        line: u64,
        columns: usize,
        between: Separator,
    },
    /// `start`: of that line, shortened.
    PlainText {
        line: u64,
        start: String,
    },
    /// The first keys of a row, shortened; `None` = no row is an object.
    UnknownFormat {
        keys: Option<Vec<String>>,
    },
    /// `row`: the line in which the row begins that is not finished.
    CutOff {
        line: u64,
        row: Option<u64>,
    },
    GoesOnAfterList {
        ended: u64,
        line: u64,
    },
    /// The base model has none.
    NoTokenizer,
    /// `error`: of the library that reads it.
    TokenizerUnreadable {
        error: String,
    },
    OnePrompt,
    /// One of so many rows and one of so many questions was kept to compare others with.
    Sampled {
        rows: u64,
        prompts: u64,
    },
}

/// Files that are something else, told by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignFile {
    Zip,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    SevenZip,
    Parquet,
    Arrow,
    Pdf,
}

/// Between columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    Commas,
    Semicolons,
    Tabs,
}

impl FileFinding {
    /// What is so, and the next step where there is one.
    pub fn said(&self) -> String {
        match self {
            Self::Empty => "The file holds no rows.".into(),
            Self::Foreign { file } => file.said(),
            Self::NotText => "The file is not a text. Upload JSON or JSONL.".into(),
            Self::Utf16 => "The file is written in UTF-16 (line 1, byte 1). Save it as UTF-8.".into(),
            Self::Table { line, columns, between } => format!(
                "The file is a table (CSV), not JSON: line {line} has {columns} columns with {} between them. Save it as JSONL, one row a line.",
                between.word()
            ),
            Self::PlainText { line, start } => format!(
                "The file is plain text, not JSON: line {line} is “{start}”. Each row must be a JSON object, such as a list of “messages”."
            ),
            Self::UnknownFormat { keys } => {
                let have = match keys {
                    Some(keys) => format!("The rows have {}", keys.iter().map(|k| format!("“{k}”")).collect::<Vec<_>>().join(", ")),
                    None => "No row is a JSON object".into(),
                };
                format!(
                    "{have}; known formats have “messages” (OpenAI), “conversations” (sharegpt) or “instruction” and “output” (alpaca)."
                )
            }
            Self::CutOff { line, row } => {
                let place = match row {
                    Some(row) => format!("the row that starts in line {row} is not finished"),
                    None => "its last bracket is missing".into(),
                };
                format!("The JSON list breaks off in line {line}: {place}. The file is probably cut off.")
            }
            Self::GoesOnAfterList { ended, line } => {
                format!("The JSON list ends in line {ended}, but line {line} goes on. A file is either one list, or one row a line.")
            }
            Self::NoTokenizer => "The base model has no tokenizer.json, so tokens are not counted.".into(),
            Self::TokenizerUnreadable { error } => {
                format!("The base model's tokenizer cannot be read, so tokens are not counted: {error}.")
            }
            Self::OnePrompt => "All rows ask the same question, so none is held out: what is asked must not be trained on.".into(),
            Self::Sampled { rows, prompts } => format!(
                "The file is large: repeated rows were looked for among one of {rows} rows, and questions alike among one of {prompts}."
            ),
        }
    }
}

impl ForeignFile {
    fn said(self) -> String {
        let archive = |kind: &str| format!("The file is {kind} archive. Unpack it and upload the JSON or JSONL file itself.");
        let other = |kind: &str| format!("The file is {kind}. Upload it as JSON or JSONL.");
        match self {
            Self::Zip => archive("a zip"),
            Self::Gzip => archive("a gzip"),
            Self::Zstd => archive("a zstd"),
            Self::Bzip2 => archive("a bzip2"),
            Self::Xz => archive("an xz"),
            Self::SevenZip => archive("a 7z"),
            Self::Parquet => other("a Parquet file"),
            Self::Arrow => other("an Arrow file"),
            Self::Pdf => other("a PDF"),
        }
    }
}

impl Separator {
    const fn word(self) -> &'static str {
        match self {
            Self::Commas => "commas",
            Self::Semicolons => "semicolons",
            Self::Tabs => "tabs",
        }
    }
}
