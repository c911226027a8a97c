//! Names that people choose and that end up in URLs, model ids and process names.

use crate::problem::FieldProblem;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A short name: lower-case letters, digits, `-` and `.`; starts with a letter or digit, ends with one; 1 to 63 characters.
/// Used for tenants, datasets, runs, models and endpoints; unique within its tenant and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text cannot be a [`Name`]; the sentence offers one that would work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{given}” cannot be used as a name. Use lower-case letters, digits, “-” and “.”, at most 63 characters{}.", .suggestion.as_ref().map(|s| format!(", for example “{s}”")).unwrap_or_default())]
pub struct BadName {
    pub given: String,
    pub suggestion: Option<Name>,
}

impl BadName {
    /// As the problem of a form's field, with the name that would work.
    pub fn in_field(&self, field: &str) -> FieldProblem {
        FieldProblem { suggestion: self.suggestion.clone().map(String::from), ..FieldProblem::new(field, self.to_string()) }
    }
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_valid(text: &str) -> bool {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        text.len() <= 63
            && edge(text.as_bytes().first())
            && edge(text.as_bytes().last())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
            && !text.contains("..")
    }

    /// `stem-2`, `stem-3` ... for whoever looks for one that is free; none for a stem that no name begins with.
    pub fn numbered(stem: &str, from: u32) -> impl Iterator<Item = Name> + use<> {
        // Room for a dash and ten digits.
        let stem: String = stem.chars().take(63 - 11).collect();
        let stem = stem.trim_end_matches(['-', '.']).to_owned();
        (from..=u32::MAX).map_while(move |n| format!("{stem}-{n}").parse().ok())
    }

    /// What comes before the number of a name, and the number: `facts` and 7 of `facts-7`; 1 for a name without one.
    pub fn counted(name: &str) -> (&str, u32) {
        match name.rsplit_once('-') {
            Some((stem, number)) if !stem.is_empty() => number.parse().map_or((name, 1), |n| (stem, n)),
            _ => (name, 1),
        }
    }

    /// Is one of [`Name::numbered`] of this stem.
    pub fn is_numbered(name: &str, stem: &str) -> bool {
        Self::numbered(stem, Self::counted(name).1).next().is_some_and(|made| made.0 == name)
    }

    /// The nearest valid name to any text (a file name, a title), if one is left at all.
    pub fn suggest(text: &str) -> Option<Name> {
        let mut out = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            match c {
                'a'..='z' | '0'..='9' => out.push(c),
                _ if !out.is_empty() && !out.ends_with('-') => out.push('-'),
                _ => {}
            }
            if out.len() == 63 {
                break;
            }
        }
        let out = out.trim_end_matches('-');
        (!out.is_empty()).then(|| Name(out.to_owned()))
    }
}

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if Self::is_valid(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName { given: text.chars().take(80).collect(), suggestion: Self::suggest(text) })
        }
    }
}
impl TryFrom<String> for Name {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}
impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bad_name_is_refused_with_one_that_works() {
        let refused = "Łukasz' Data Set!".parse::<Name>().unwrap_err();
        assert_eq!(refused.suggestion.as_ref().map(Name::as_str), Some("ukasz-data-set"));
        assert!(refused.to_string().contains("for example “ukasz-data-set”"), "{refused}");
        for bad in ["", "-a", "a-", "A", "a..b", "../x", "a/b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbered_names_count_on_from_a_name() {
        assert_eq!([Name::counted("facts-7"), Name::counted("facts"), Name::counted("-7")], [("facts", 7), ("facts", 1), ("-7", 1)]);
        let numbered = |stem: &str, from| Name::numbered(stem, from).next().map(String::from);
        assert_eq!(numbered("facts", 8).as_deref(), Some("facts-8"));
        assert!(numbered(&"a".repeat(63), u32::MAX).is_some());
        assert_eq!(numbered("Ä", 1), None);
    }

    #[test]
    fn a_numbered_name_is_told_by_its_stem() {
        assert!(Name::is_numbered("facts-4", "facts"));
        assert!(["facts", "facts-x", "facts-04", "more-facts-4"].iter().all(|name| !Name::is_numbered(name, "facts")));
        let long = "a".repeat(63);
        assert!(Name::is_numbered(&format!("{}-4", &long[..52]), &long), "of a long stem only the beginning fits");
    }

    proptest! {
        #[test]
        fn every_suggestion_is_itself_a_name(text in ".{0,200}") {
            if let Some(name) = Name::suggest(&text) {
                prop_assert_eq!(name.as_str().parse::<Name>(), Ok(name.clone()));
            }
        }
    }
}
