//! How a tenant's models may be called: what all its keys and people may use together, and from which web pages.

use crate::{
    counted::{counted, listed},
    key::Limits,
    problem::FieldProblem,
};
use serde::{Deserialize, Serialize};

/// Set by the platform's admin. Fields that an older row lacks have their default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallRules {
    /// Of all keys and pages of the tenant together.
    pub limits: Limits,
    /// Calls under way at the same time: of the whole tenant. 1 to [`CallRules::MOST`].
    pub concurrent_calls: u32,
    /// Of one member, with every key of that member and the playground.
    pub concurrent_calls_per_member: u32,
    /// Of one API key.
    pub concurrent_calls_per_key: u32,
    /// Answers that one call may ask for: `n` or `best_of`, times its prompts. 1 to [`CallRules::MOST`].
    pub answers_per_call: u32,
    /// Web pages that may call from a browser: `https://chat.example.org`, without a path; at most [`CallRules::MOST_ORIGINS`].
    pub origins: Vec<String>,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            concurrent_calls: 256,
            concurrent_calls_per_member: 128,
            concurrent_calls_per_key: 64,
            answers_per_call: 32,
            origins: Vec::new(),
        }
    }
}

impl CallRules {
    pub const MOST: u32 = 10_000;
    pub const MOST_ORIGINS: usize = 50;

    pub fn check(&self) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        let most = Self::MOST;
        for (field, value, works) in [
            ("concurrent_calls", self.concurrent_calls, "256"),
            ("concurrent_calls_per_member", self.concurrent_calls_per_member, "128"),
            ("concurrent_calls_per_key", self.concurrent_calls_per_key, "64"),
            ("answers_per_call", self.answers_per_call, "32"),
        ] {
            if !(1..=most).contains(&value) {
                out.push(FieldProblem::new(field, format!("It must be a whole number between 1 and {most}.")).suggesting(works));
            }
        }
        out.extend(self.limits.check());
        if self.origins.len() > Self::MOST_ORIGINS {
            out.push(FieldProblem::new("origins", format!("At most {} origins.", Self::MOST_ORIGINS)));
        }
        if let Some(bad) = self.origins.iter().find(|o| !is_origin(o)) {
            let sentence = format!("“{}” is not an origin. Write scheme and host, without a path.", shortened(bad));
            out.push(FieldProblem::new("origins", sentence).suggesting("https://chat.example.org"));
        }
        out
    }

    /// In words, for the audit log.
    pub fn said(&self) -> String {
        let Limits { requests_per_minute, tokens_per_minute, concurrent_calls: _ } = self.limits;
        let minute = |most: Option<u32>, one: &str, many: &str| match most {
            Some(most) => format!("{} per minute", counted(u64::from(most), one, many)),
            None => format!("no limit of {many}"),
        };
        format!(
            "{}, {}; concurrent calls: {}, {} per member, {} per key; {} per call; browser origins: {}",
            minute(requests_per_minute, "request", "requests"),
            minute(tokens_per_minute, "token", "tokens"),
            self.concurrent_calls,
            self.concurrent_calls_per_member,
            self.concurrent_calls_per_key,
            counted(u64::from(self.answers_per_call), "answer", "answers"),
            listed(&self.origins),
        )
    }

    /// Whether a page of this origin may call. `origin`: as browsers send it, lower case.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|o| o == origin)
    }
}

/// `http(s)://host[:port]` in lower case: exactly what a browser sends as `Origin`.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(is_host)
}

/// `host` or `host:port`, in lower case.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (1..=253).contains(&host.len())
        && host.bytes().all(letters)
        && !host.starts_with(['.', '-'])
        && !host.ends_with(['.', '-'])
        && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == p))
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        let with = |origin: &str| CallRules { origins: vec![origin.into()], ..CallRules::default() }.check();
        for good in ["https://chat.example.org", "http://localhost:3000", "https://10.0.0.7:8443"] {
            assert!(with(good).is_empty(), "{good}");
        }
        for bad in
            ["*", "null", "chat.example.org", "https://chat.example.org/", "https://A.org", "https://a.org:0", "https://a.org:080", ""]
        {
            assert_eq!(with(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn nothing_may_be_zero_and_an_older_row_has_defaults() {
        let none = CallRules { concurrent_calls: 0, answers_per_call: CallRules::MOST + 1, ..CallRules::default() };
        let fields: Vec<_> = none.check().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["concurrent_calls", "answers_per_call"]);
        assert!(CallRules::default().check().is_empty());
        let older: CallRules = serde_json::from_str(r#"{"concurrent_calls":7}"#).unwrap();
        assert_eq!(older, CallRules { concurrent_calls: 7, ..CallRules::default() });
    }
}
