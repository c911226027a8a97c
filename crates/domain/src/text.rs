//! What text from outside may hold. What people send is refused with a sentence ([`check`]); what programs say (clients of the gateway,
//! trainers) is cleaned ([`clean`]), because it must be kept; names from identity providers: [`crate::one_line`].

use crate::problem::Problem;
use std::borrow::Cow;

/// No text has it: C ends a string with it, and PostgreSQL stores none.
const NUL: char = '\0';

/// Refuses text that cannot be stored. `field` is its name in the form or request.
pub fn check(field: &str, text: &str) -> Result<(), Problem> {
    if text.contains(NUL) { Err(refused(field)) } else { Ok(()) }
}

fn refused(field: &str) -> Problem {
    let field = clean(field);
    Problem::field(&field, format!("“{field}” holds a character that text cannot have (NUL, U+0000)."))
        .next("It often comes from a file that is not plain text. Type the text anew, or paste it as plain text.")
}

/// The same for every name and value of a form or of a query (`a=1&b=%00`), as it is sent.
pub fn check_form(encoded: &[u8]) -> Result<(), Problem> {
    for pair in encoded.split(|b| *b == b'&') {
        if pair.contains(&0) || pair.windows(3).any(|w| w == b"%00") {
            let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).replace("%5B", "[").replace("%5D", "]").replace("%00", "");
            return Err(refused(&name));
        }
    }
    Ok(())
}

/// The same for every text in JSON. What is no JSON is left to whoever reads it.
pub fn check_json(json: &[u8]) -> Result<(), Problem> {
    // Nearly always there is none, and then nothing is read twice.
    if !json.windows(6).any(|w| w == b"\\u0000") {
        return Ok(());
    }
    fn look(field: &str, value: &serde_json::Value) -> Result<(), Problem> {
        match value {
            serde_json::Value::String(text) => check(field, text),
            serde_json::Value::Array(values) => values.iter().try_for_each(|value| look(field, value)),
            serde_json::Value::Object(fields) => {
                fields.iter().try_for_each(|(name, value)| check(name, name).and_then(|()| look(name, value)))
            }
            _ => Ok(()),
        }
    }
    serde_json::from_slice(json).map_or(Ok(()), |value| look("body", &value))
}

/// Text that can be stored: what cannot becomes U+FFFD.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(NUL) { text.replace(NUL, "\u{fffd}").into() } else { text.into() }
}

/// The first `most` characters, cleaned.
pub fn clipped(text: &str, most: usize) -> String {
    clean(text).chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_refused_with_the_name_of_its_field() {
        assert!(check("name", "facts\r\n\t\u{1b}ä").is_ok());
        let problem = check("name", "fa\0cts").unwrap_err();
        assert_eq!((problem.kind, problem.fields[0].field.as_str()), (crate::problem::ProblemKind::Invalid, "name"));
        assert!(problem.sentence.starts_with("“name” holds") && !problem.next_step.is_empty(), "{problem:?}");
    }

    #[test]
    fn forms_are_read_as_they_are_sent() {
        assert!(check_form(b"a=1&b=%2500&c=0").is_ok());
        for (form, field) in [(&b"a=1&form%5Blabel%5D=x%00y"[..], "form[label]"), (b"a=\0", "a"), (b"x%00=1", "x")] {
            assert_eq!(check_form(form).unwrap_err().fields[0].field, field);
        }
    }

    #[test]
    fn json_is_looked_through_at_every_depth() {
        assert!(check_json(br#"{"a":"\\u0000"}"#).is_ok());
        assert!(check_json(b"no json \\u0000").is_ok());
        for (json, field) in [(r#"{"a":[{"b":"x\u0000"}]}"#, "b"), (r#"{"\u0000":1}"#, "\u{fffd}"), (r#"["\u0000"]"#, "body")] {
            assert_eq!(check_json(json.as_bytes()).unwrap_err().fields[0].field, field, "{json}");
        }
    }

    #[test]
    fn what_programs_say_is_kept_without_it() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert_eq!(clipped("a\0bcd", 3), "a\u{fffd}b");
    }
}
