//! Why a version of a dataset is where it is.

use crate::{
    counted::counted,
    inspect::{FileFinding, Report, Severity, rules::Rule},
    problem::Outage,
};
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum DatasetReason {
    Arriving,
    Checking,
    /// A part that is needed is away; it is checked again by itself.
    CheckWaits {
        outage: Outage,
    },
    /// Tried as often as it is, without a result.
    CheckGivenUp,
    /// The file as a whole cannot be read.
    BadFile {
        found: FileFinding,
    },
    NoUsableRow {
        rows: u64,
        /// The rule that refuses most rows.
        most: Option<MostFrequent>,
    },
    RowsErased {
        by: String,
    },
    /// From a version of this program that stored sentences.
    Told {
        text: String,
    },
}

/// Rows that one rule refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MostFrequent {
    /// As in a finding of the check: `DS-JSON`.
    pub rule: String,
    pub rows: u64,
    /// The first of them.
    pub line: Option<u64>,
}

impl DatasetReason {
    /// Why nothing of this file can be trained on; `None` = something can.
    pub fn of_report(report: &Report) -> Option<Self> {
        if let Some(found) = report.findings.iter().find(|f| f.severity == Severity::Blocking) {
            return Some(match &found.file {
                Some(file) => Self::BadFile { found: file.clone() },
                None => Self::Told { text: found.said() },
            });
        }
        if report.accepted > 0 {
            return None;
        }
        let most = report.findings.iter().filter(|f| f.severity == Severity::Rejected).max_by_key(|f| f.count);
        let most = most.map(|f| MostFrequent { rule: f.rule.clone(), rows: f.count, line: f.lines.first().copied() });
        Some(Self::NoUsableRow { rows: report.rows, most })
    }

    /// What a column holds: this, or the sentence that an earlier version stored.
    pub fn stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Told { text: text.to_owned() })
    }

    /// As [`DatasetReason::stored`], for the field of an audit detail.
    pub(crate) fn tolerant<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        Ok(match value {
            serde_json::Value::String(text) => Self::Told { text },
            other => serde_json::from_value(other.clone()).unwrap_or_else(|_| Self::Told { text: other.to_string() }),
        })
    }

    pub fn said(&self) -> String {
        match self {
            Self::Arriving => "The file is arriving.".into(),
            Self::Checking => "Every row is being checked.".into(),
            Self::CheckWaits { outage } => {
                format!("{} The file is kept, and it is checked again by itself every few seconds.", outage.said())
            }
            Self::CheckGivenUp => {
                "The file could not be checked; whoever runs this portal finds the cause in the log. Upload it again.".into()
            }
            Self::BadFile { found } => found.said(),
            Self::NoUsableRow { rows, most } => {
                let none = if *rows == 1 { "The only row cannot".to_owned() } else { format!("None of the {rows} rows can") };
                let most = most.as_ref().map(MostFrequent::said).unwrap_or_default();
                format!("{none} be trained on.{most}")
            }
            Self::RowsErased { by } => format!("The rows were erased by {by}. What is known of them stays."),
            Self::Told { text } => text.clone(),
        }
    }
}

impl MostFrequent {
    fn said(&self) -> String {
        let sentence = Rule::from_id(&self.rule).map_or(self.rule.as_str(), |rule| rule.sentence());
        let line = self.line.map(|l| format!(", first in line {l}")).unwrap_or_default();
        format!(" Most frequent: {} ({}{line}).", sentence.trim_end_matches('.'), counted(self.rows, "row", "rows"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::ForeignFile;

    #[test]
    fn a_reason_is_stored_without_its_sentence_and_read_again() {
        for reason in [
            DatasetReason::Arriving,
            DatasetReason::CheckWaits { outage: Outage::StoreFull },
            DatasetReason::BadFile { found: FileFinding::Foreign { file: ForeignFile::SevenZip } },
            DatasetReason::BadFile { found: FileFinding::CutOff { line: 3, row: Some(2) } },
            DatasetReason::NoUsableRow { rows: 2, most: Some(MostFrequent { rule: "DS-JSON".into(), rows: 2, line: Some(1) }) },
            DatasetReason::RowsErased { by: "Ann".into() },
        ] {
            let stored = serde_json::to_string(&reason).unwrap();
            assert_eq!(DatasetReason::stored(&stored), reason);
            assert!(stored.starts_with("{\"code\":") && !stored.contains(". ") && !stored.contains("The "), "{stored}");
            assert!(reason.said().ends_with('.'), "{}", reason.said());
        }
    }

    #[test]
    fn a_sentence_of_an_earlier_version_is_told_as_it_is() {
        assert_eq!(DatasetReason::stored("Every row is being checked.").said(), "Every row is being checked.");
    }
}
