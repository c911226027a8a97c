//! The one rule of what is taken out of a text before somebody outside of the house reads it: secrets that are known, and what looks like one.
//!
//! It rather takes out too much: a sentence that reads badly costs less than a key that has to be made anew.

use regex::{Captures, Regex};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};

/// What stands in the place of what was taken out.
pub const TAKEN_OUT: &str = "***";
/// A secret of fewer bytes is no secret, and can be a part of any word: it is taken out only where its place says what it is.
const SHORTEST_KNOWN: usize = 8;

/// Why something was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// One of the portal's own secrets.
    KnownSecret,
    PrivateKey,
    /// The user, the password or the query of an address.
    UserOrQueryOfUrl,
    /// The value of a header that carries a credential.
    Header,
    /// It has the form of a token or a key.
    FormOfACredential,
    /// The value of something whose name says that it is secret.
    Name,
}

/// How often something was taken out, by the reason.
pub type TakenOut = BTreeMap<Why, u64>;

struct Rules {
    private_key: Regex,
    url: Regex,
    header: Regex,
    credential: Regex,
    named: Regex,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    // One that is cut off goes to the end of the text.
    private_key: rule(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)"),
    url: rule(r#"([A-Za-z][A-Za-z0-9+.-]*://)((?:[^\s/"'<>@]*@)*)([^\s"'<>?\\]*)(\?[^\s"'<>\\]*)?"#),
    header: rule(concat!(
        r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token|x-amz-security-token)",
        r#"((?:\\*["'])?\s*[:=]\s*)("(?:[^"\\\r\n]|\\.)*"|'[^'\r\n]*'|[^\r\n]+)"#
    )),
    credential: rule(concat!(
        r"(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{8,}|\b(?:hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{16,}|atl_[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}",
        r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*)"
    )),
    named: rule(concat!(
        r"(?i)([A-Za-z0-9_.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|session)[A-Za-z0-9_.-]*)",
        r#"((?:\\*["'])?\s*[:=]\s*)(\\*"(?:[^"\\\r\n]|\\.)*"|'[^'\r\n]*'|[^\s,;&"'}\])]+)"#
    )),
});

#[expect(clippy::expect_used, reason = "the patterns are constants, and the tests read each of them")]
fn rule(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that can be read")
}

/// Takes secrets out.
#[derive(Clone, Default)]
pub struct Redaction {
    /// The longest first: one may be a part of another.
    known: Vec<String>,
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} known secrets, hidden)", self.known.len())
    }
}

impl Redaction {
    /// `known`: secrets that are looked for wherever they stand, whatever they look like.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<String> = known.into_iter().map(|s| s.trim().to_owned()).filter(|s| s.len() >= SHORTEST_KNOWN).collect();
        known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        known.dedup();
        Self { known }
    }

    /// The text without what is secret in it.
    pub fn text(&self, text: &str, taken_out: &mut TakenOut) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            let times = text.matches(secret.as_str()).count() as u64;
            if times > 0 {
                *taken_out.entry(Why::KnownSecret).or_default() += times;
                text = text.replace(secret.as_str(), TAKEN_OUT);
            }
        }
        let rules = &*RULES;
        let text = replaced(&rules.private_key, &text, Why::PrivateKey, taken_out, |_| Some(TAKEN_OUT.to_owned()));
        let text = replaced(&rules.url, &text, Why::UserOrQueryOfUrl, taken_out, |c| {
            let user = if c[2].is_empty() { "" } else { "***@" };
            let query = if c.get(4).is_some() { "?***" } else { "" };
            (c[2].len() + query.len() > 0).then(|| format!("{}{user}{}{query}", &c[1], &c[3]))
        });
        let text = replaced(&rules.header, &text, Why::Header, taken_out, |c| Some(format!("{}{}{TAKEN_OUT}", &c[1], &c[2])));
        let text = replaced(&rules.credential, &text, Why::FormOfACredential, taken_out, |_| Some(TAKEN_OUT.to_owned()));
        replaced(&rules.named, &text, Why::Name, taken_out, |c| {
            (names_a_secret(&c[1]) && can_be_secret(&c[3])).then(|| format!("{}{}{TAKEN_OUT}", &c[1], &c[2]))
        })
    }

    /// The same in every text of a JSON value, and whole texts where the name of the field says that they are secret.
    pub fn json(&self, value: Value, taken_out: &mut TakenOut) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text, taken_out)),
            Value::Array(values) => values.into_iter().map(|v| self.json(v, taken_out)).collect(),
            Value::Object(fields) => {
                let one = |(name, value): (String, Value)| match value {
                    Value::String(text) if names_a_secret(&name) && can_be_secret(&text) => {
                        *taken_out.entry(Why::Name).or_default() += 1;
                        (name, TAKEN_OUT.into())
                    }
                    value => (name, self.json(value, taken_out)),
                };
                Value::Object(fields.into_iter().map(one).collect())
            }
            other => other,
        }
    }
}

/// Replaces what the rule finds; `None` = that one stays, and what is behind its name is looked at again.
fn replaced(rule: &Regex, text: &str, why: Why, taken_out: &mut TakenOut, by: impl Fn(&Captures) -> Option<String>) -> String {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(found) = rule.captures_at(text, from) {
        let Some(whole) = found.get(0) else { break };
        let end = match by(&found) {
            Some(instead) => {
                if !whole.as_str().contains(TAKEN_OUT) {
                    *taken_out.entry(why).or_default() += 1;
                }
                out.push_str(&text[from..whole.start()]);
                out.push_str(&instead);
                whole.end()
            }
            None => {
                // In `error: password: x` a value can be a name.
                let end = found.get(2).map_or(whole.end(), |between| between.end()).max(whole.start() + 1);
                out.push_str(&text[from..end]);
                end
            }
        };
        from = end;
    }
    out.push_str(&text[from..]);
    out
}

/// Whether what has this name is secret. Names of files, of objects and of ids are not, nor are counts of tokens.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if ["file", "path", "name", "ref", "_id", "keyid", "_type", "_url", "_at"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let parts = ["password", "passwd", "passphrase", "secret", "api_key", "apikey", "access_key", "accesskey", "private_key", "privatekey"];
    // `tokenizer` and `total_tokens` are none.
    let whole = |word: &str| name.match_indices(word).any(|(at, _)| !name[at + word.len()..].starts_with(|c: char| c.is_ascii_lowercase()));
    parts.iter().any(|part| name.contains(part))
        || ["token", "credential", "credentials", "session", "cookie", "authorization"].iter().any(|w| whole(w))
}

/// Numbers and words of settings are no secrets.
fn can_be_secret(value: &str) -> bool {
    let value = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '\\') || c.is_whitespace());
    let plain = ["", TAKEN_OUT, "true", "false", "null", "none"].iter().any(|word| value.eq_ignore_ascii_case(word));
    !plain && value.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known() -> Redaction {
        Redaction::new(["correct-horse-battery".to_owned(), "short".to_owned()])
    }

    fn text(text: &str) -> (String, TakenOut) {
        let mut taken_out = TakenOut::new();
        let said = known().text(text, &mut taken_out);
        (said, taken_out)
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_reason_is_counted() {
        for (said, secret, why) in [
            ("the client said correct-horse-battery to us", "correct-horse-battery", Why::KnownSecret),
            ("postgres://atelier:h%40nter2@db:5432/atelier?sslmode=verify&sslpassword=x", "h%40nter2", Why::UserOrQueryOfUrl),
            ("GET https://s3.example.org/b/k?X-Amz-Signature=abcdef0123 -> 200", "abcdef0123", Why::UserOrQueryOfUrl),
            ("redis://:p@ss@cache:6379/0", "p@ss", Why::UserOrQueryOfUrl),
            ("> Authorization: Basic YXRlbGllcjpodW50ZXIy", "YXRlbGllcjpodW50ZXIy", Why::Header),
            (r#"{"headers":{"cookie":"atelier_session=Zm9vYmFy; theme=dark"},"status":200}"#, "Zm9vYmFy", Why::Header),
            (r#""text":"{\"authorization\": \"Bearer abcdefgh\"}""#, "abcdefgh", Why::Header),
            ("sent with bearer abcdefgh.ijkl", "abcdefgh.ijkl", Why::FormOfACredential),
            ("huggingface-cli login --token hf_AbCdEfGhIjKlMnOp", "hf_AbCdEfGhIjKlMnOp", Why::FormOfACredential),
            ("key atl_0123456789012345678901234567890123456789012_abcdef refused", "atl_0123456789", Why::FormOfACredential),
            ("id token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIiOiIxIn0", Why::FormOfACredential),
            ("export OPENAI_API_KEY=abc123def", "abc123def", Why::Name),
            ("error: password: hunter2", "hunter2", Why::Name),
            (r#"{"client_secret": "with \" quote", "n": 1}"#, "with", Why::Name),
            ("wandb token = 'one two'", "one two", Why::Name),
            ("a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\nb", "MHcCAQ", Why::PrivateKey),
            ("-----BEGIN PRIVATE KEY-----\nMHcCAQ, cut off", "MHcCAQ", Why::PrivateKey),
        ] {
            let (left, taken_out) = text(said);
            assert!(!left.contains(secret) && left.contains(TAKEN_OUT), "{said}\n{left}");
            assert!(taken_out.contains_key(&why), "{said}: {taken_out:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_left_as_it_is() {
        for said in [
            "total_tokens: 4711, max_new_tokens=128, token_count: 5, tokenizer_path=/models/x/tokenizer.json",
            "secretName: atelier-store, secretKeyRef: store, access_key_id=GK31c2f218a2e44f485b94239e",
            "http://garage.s3:3903 answers; https://sso.example.org/realms/house#top",
            "Waits for the tenant's key of the artefact store. The password is wrong",
            "run_01a1ffc89cca7551aef439b3667abd31 epoch: 1.0, token: none, secret: true",
            "a short answer, task-0123456789abcdef0123",
        ] {
            assert_eq!(text(said), (said.to_owned(), TakenOut::new()));
        }
    }

    #[test]
    fn a_text_that_was_cleaned_is_left_as_it_is_and_counts_nothing_again() {
        let (once, _) = text("https://a:b@c/d?e=f\nCookie: x=y\npassword=z correct-horse-battery");
        assert_eq!(once, "https://***@c/d?***\nCookie: ***\npassword=*** ***");
        assert_eq!(text(&once), (once.clone(), TakenOut::new()));
    }

    #[test]
    fn json_keeps_its_form_and_loses_what_is_secret_at_any_depth() {
        let value = json!({
            "settings": { "learning_rate": "1e-4", "api_key": "abc", "secrets": [{ "name": "store", "value": "hf_AbCdEfGhIjKlMnOp" }] },
            "url": "https://u:p@h/", "count": 3, "total_tokens": "12", "token": null,
        });
        let mut taken_out = TakenOut::new();
        let left = known().json(value, &mut taken_out);
        let wanted = json!({
            "settings": { "learning_rate": "1e-4", "api_key": "***", "secrets": [{ "name": "store", "value": "***" }] },
            "url": "https://***@h/", "count": 3, "total_tokens": "12", "token": null,
        });
        assert_eq!(left, wanted);
        assert_eq!(taken_out.values().sum::<u64>(), 3);
    }

    #[test]
    fn nothing_of_the_known_secrets_is_shown() {
        assert_eq!(format!("{:?}", known()), "Redaction(1 known secrets, hidden)");
    }
}
