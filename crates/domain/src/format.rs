//! How rows stand in a file.

use serde::{Deserialize, Serialize};

/// The row formats that are read. Named as LLaMA-Factory and OpenAI name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `{"messages":[{"role","content"},..]}`
    OpenaiMessages,
    /// `{"conversations":[{"from","value"},..]}`
    Sharegpt,
    /// `{"instruction","input","output","system"?,"history"?}`
    Alpaca,
}

worded!(Format);

impl Format {
    pub const ALL: [Format; 3] = [Format::OpenaiMessages, Format::Sharegpt, Format::Alpaca];
    pub const fn label(self) -> &'static str {
        match self {
            Format::OpenaiMessages => "OpenAI messages",
            Format::Sharegpt => "sharegpt",
            Format::Alpaca => "alpaca",
        }
    }
}

/// A JSON array of rows, or one row a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    Json,
    Jsonl,
}
