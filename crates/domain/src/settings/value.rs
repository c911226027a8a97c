//! A value of a setting, and how it stands in text.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value under a key of the trainer, as JSON and YAML have them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Bool,
    Int,
    Float,
    /// One of the listed words.
    Choice,
    #[strum(serialize = "str")]
    Text,
    /// Names separated by commas.
    List,
    /// JSON in a text.
    Map,
}

// As the trainer's documentation calls it.
word!(Kind);

impl Kind {
    /// What was typed, as a value of this kind; none if it cannot be one. A decimal comma is understood.
    pub fn read(self, raw: &str) -> Option<SettingValue> {
        let raw = raw.trim();
        match self {
            Self::Bool => match raw.to_ascii_lowercase().as_str() {
                "true" => Some(SettingValue::Flag(true)),
                "false" => Some(SettingValue::Flag(false)),
                _ => None,
            },
            Self::Int => raw.parse().ok().map(SettingValue::Whole),
            Self::Float => match raw.parse::<i64>() {
                Ok(whole) => Some(SettingValue::Whole(whole)),
                Err(_) => raw.replace(',', ".").parse::<f64>().ok().filter(|n| n.is_finite()).map(SettingValue::Number),
            },
            Self::Choice | Self::Text | Self::List | Self::Map => Some(SettingValue::Text(raw.to_owned())),
        }
    }
}

impl SettingValue {
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Whole(n) => Some(*n as f64),
            Self::Number(n) => Some(*n),
            Self::Flag(_) | Self::Text(_) => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As it stands in YAML: a text that another reader would take for something else is quoted.
    pub fn yaml(&self) -> String {
        match self {
            Self::Text(text) => quoted_where_needed(text),
            other => other.to_string(),
        }
    }
}

/// `3` and `3.0` are one number.
impl PartialEq for SettingValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Flag(a), Self::Flag(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => self.as_f64().is_some() && self.as_f64() == other.as_f64(),
        }
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(n) => write!(f, "{n}"),
            Self::Number(n) => f.write_str(&yaml_float(*n)),
            Self::Flag(on) => write!(f, "{on}"),
        }
    }
}

impl From<&str> for SettingValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<bool> for SettingValue {
    fn from(on: bool) -> Self {
        Self::Flag(on)
    }
}
impl From<u32> for SettingValue {
    fn from(n: u32) -> Self {
        Self::Whole(n.into())
    }
}
impl From<i32> for SettingValue {
    fn from(n: i32) -> Self {
        Self::Whole(n.into())
    }
}
impl From<f64> for SettingValue {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

/// A number as YAML 1.1 readers take for a float: `2.0e-4`, never `2e-4`.
pub fn yaml_float(value: f64) -> String {
    if value == 0.0 || (0.001..1e6).contains(&value.abs()) {
        let s = value.to_string();
        if s.contains('.') { s } else { format!("{s}.0") }
    } else {
        let s = format!("{value:e}");
        let (mantissa, exponent) = s.split_once('e').unwrap_or((&s, "0"));
        let mantissa = if mantissa.contains('.') { mantissa.to_owned() } else { format!("{mantissa}.0") };
        format!("{mantissa}e{exponent}")
    }
}

/// Plain where every YAML reader takes it for the same text, else in double quotes, which YAML reads as JSON does.
fn quoted_where_needed(value: &str) -> String {
    let word = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"].contains(&value.to_ascii_lowercase().as_str());
    let plain = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b',' | b'/'));
    if plain && !word { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_yaml_would_read_as_something_else_is_quoted() {
        for name in ["no", "1.5", "null", "2024-01-01", "on", "a: b", ""] {
            assert!(SettingValue::from(name).yaml().starts_with('"'), "{name}");
        }
        assert_eq!(SettingValue::from("llama-3.1-8b").yaml(), "llama-3.1-8b");
    }

    #[test]
    fn values_keep_their_kind_on_the_way_through_json() {
        for text in ["3", "3.0", "0.0002", "true", "\"lora\""] {
            let value: SettingValue = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
    }

    #[test]
    fn what_is_typed_becomes_a_value_of_the_right_kind_or_none() {
        assert_eq!(Kind::Float.read("2,5"), Some(SettingValue::Number(2.5)));
        assert_eq!(Kind::Float.read(" 2e-4 ").unwrap().to_string(), "2.0e-4");
        assert_eq!(Kind::Float.read("3"), Some(SettingValue::Number(3.0)));
        assert_eq!(
            [Kind::Int.read("3.5"), Kind::Float.read("fast"), Kind::Float.read("inf"), Kind::Bool.read("maybe")],
            [const { None }; 4]
        );
        assert_eq!(Kind::Bool.read("True"), Some(SettingValue::Flag(true)));
    }
}
