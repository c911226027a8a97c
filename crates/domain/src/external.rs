//! Somebody else's model server, as an endpoint knows it: where it is, and which of its models answer here under which name.

use crate::{
    name::Name,
    problem::FieldProblem,
    time::{DAY, Timestamp},
};
use serde::{Deserialize, Serialize};

/// The longest id of a model at a server that is kept.
pub const LONGEST_ID: usize = 200;
/// Models of one server that are kept; a catalogue of thousands is no endpoint.
pub const MOST_MODELS: usize = 300;
/// Characters of a key, at most.
pub const LONGEST_KEY: usize = 4_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// `https://llm.example.org`, without the `/v1` behind it and without a slash at the end.
    pub address: String,
    /// Whether calls carry a key. The key itself is nowhere in here.
    pub has_key: bool,
    /// By their id there.
    pub models: Vec<ExternalModel>,
    pub checked: Option<Checked>,
    /// Until when its certificate is good, as it was last shown; none without TLS.
    #[serde(default)]
    pub certificate_until: Option<Timestamp>,
}

/// How long before its end a certificate is warned of, milliseconds.
pub const CERTIFICATE_WARNING: i64 = 14 * DAY;

/// Of a span of time, how much is known, and in how much of that the server could not be used. Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    pub known_ms: i64,
    pub down_ms: i64,
}

impl Availability {
    /// What two looks at the server say of the time between them: it was as the first one found it. Of more than `most` milliseconds
    /// nothing is known: nobody looked.
    pub fn between(before: &Checked, now: Timestamp, most: i64) -> Self {
        let known_ms = now.since(before.at).min(most);
        Self { known_ms, down_ms: if before.answered_ms.is_some() { 0 } else { known_ms } }
    }

    /// `99.98 %`; never 100 where it was away, and none of nothing.
    pub fn percent(self) -> Option<String> {
        if self.known_ms <= 0 {
            return None;
        }
        let up = (self.known_ms - self.down_ms).max(0);
        let hundredths = up * 10_000 / self.known_ms;
        Some(if hundredths % 100 == 0 {
            format!("{} %", hundredths / 100)
        } else {
            format!("{}.{:02} %", hundredths / 100, hundredths % 100)
        })
    }
}

/// What is measured of an endpoint at somebody else's server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls within a day by the name that clients wrote as `model`; no row for a name that nobody called.
    pub by_model: Vec<ModelRequests>,
    /// 95 of 100 answers of a day began within so many milliseconds; none without calls.
    pub first_token_p95: Option<u32>,
    /// Within seven days.
    pub availability: Availability,
}

impl Figures {
    /// Calls within a day.
    pub fn requests(&self) -> u64 {
        self.by_model.iter().map(|m| m.requests).sum()
    }
    /// Those of them that failed.
    pub fn failed(&self) -> u64 {
        self.by_model.iter().map(|m| m.failed).sum()
    }
    /// Calls within a day under this name.
    pub fn requests_of(&self, model: &Name) -> u64 {
        self.by_model.iter().find(|m| m.model == model.as_str()).map_or(0, |m| m.requests)
    }
}

/// How often a model was called, and how often that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRequests {
    pub model: String,
    pub requests: u64,
    pub failed: u64,
}

/// The last time that it was asked for its models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub at: Timestamp,
    /// Milliseconds until its answer; none when none came.
    pub answered_ms: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalModel {
    /// Its id at the server.
    pub there: String,
    /// What clients of this portal write as `model`; none: not offered.
    pub here: Option<Name>,
    /// Tokens of prompt and answer together, as the server says; 0 = it does not.
    #[serde(default)]
    pub context: u32,
    /// Offered here, and not in the server's list since then.
    #[serde(default)]
    pub gone_since: Option<Timestamp>,
}

/// A model as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub context: u32,
}

impl External {
    /// When its certificate ends, if that is so soon that somebody should do something.
    pub fn certificate_ends_soon(&self, now: Timestamp) -> Option<Timestamp> {
        self.certificate_until.filter(|until| until.0 - now.0 < CERTIFICATE_WARNING)
    }

    pub fn offered(&self) -> impl Iterator<Item = (&ExternalModel, &Name)> {
        self.models.iter().filter_map(|m| Some((m, m.here.as_ref()?)))
    }

    /// What the server lists now. A model that is offered here stays when it is gone there, and says so.
    pub fn listed(&mut self, listed: Vec<Listed>, at: Timestamp) {
        let mut models: Vec<ExternalModel> = Vec::new();
        for l in listed.into_iter().filter(|l| !l.id.is_empty() && l.id.chars().count() <= LONGEST_ID).take(MOST_MODELS) {
            if models.iter().all(|m| m.there != l.id) {
                let here = self.models.iter().find(|m| m.there == l.id).and_then(|m| m.here.clone());
                models.push(ExternalModel { there: l.id, here, context: l.context, gone_since: None });
            }
        }
        for old in std::mem::take(&mut self.models) {
            if old.here.is_some() && models.iter().all(|m| m.there != old.there) {
                models.push(ExternalModel { gone_since: Some(old.gone_since.unwrap_or(at)), ..old });
            }
        }
        models.sort_by(|a, b| a.there.cmp(&b.there));
        self.models = models;
    }

    /// Offers a model of the server under this name, or no more.
    pub fn offer(&mut self, there: &str, here: Option<Name>) -> Result<(), FieldProblem> {
        if let Some(name) = &here
            && let Some((other, _)) = self.offered().find(|(m, n)| *n == name && m.there != there)
        {
            return Err(FieldProblem::new("here", format!("“{name}” is the name of {} already.", other.there)));
        }
        let Some(model) = self.models.iter_mut().find(|m| m.there == there) else {
            return Err(FieldProblem::new("there", "The server does not list this model."));
        };
        model.here = here;
        // What is gone and no longer wanted need not be remembered.
        self.models.retain(|m| m.here.is_some() || m.gone_since.is_none());
        Ok(())
    }
}

/// The address as it is kept, of what a person enters: with or without `/v1`. Names and numbers are looked at when it is called.
pub fn address(text: &str) -> Result<String, FieldProblem> {
    let problem = |sentence: &str| Err(FieldProblem::new("address", sentence).suggesting("https://llm.example.org/v1"));
    let text = text.trim().trim_end_matches('/');
    let text = text.strip_suffix("/v1").unwrap_or(text).trim_end_matches('/');
    let Some((scheme, rest)) = text.split_once("://") else {
        return problem("Write the whole address, beginning with https://.");
    };
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return problem("The address must begin with https://.");
    }
    if text.len() > 400
        || rest.contains(['?', '#', '@', '\\', '%'])
        || rest.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii())
    {
        return problem("The address may hold a host, a port and a path, and nothing else; a key goes into its own field.");
    }
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
    let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let port_is_one = port.is_some_and(|p| p.is_empty() && !authority.ends_with(':') || p.parse::<u16>().is_ok_and(|n| n > 0));
    if host.is_empty() || !port_is_one || path.split('/').any(|part| part == "..") {
        return problem("This is not an address that can be called.");
    }
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    Ok(format!("{scheme}://{}{path}", authority.to_ascii_lowercase()))
}

/// A key as it is kept; `None` = none was entered.
pub fn key(text: &str) -> Result<Option<String>, FieldProblem> {
    let text = text.trim();
    if text.len() > LONGEST_KEY || text.bytes().any(|b| !(0x21..=0x7e).contains(&b)) {
        return Err(FieldProblem::new("key", "A key consists of letters, digits and signs, without blanks. Copy it again."));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_without_v1_and_holds_no_key() {
        for (entered, kept) in [
            ("https://llm.example.org/v1", "https://llm.example.org"),
            (" https://LLM.example.org/ ", "https://llm.example.org"),
            ("https://llm.example.org:8443/openai/v1/", "https://llm.example.org:8443/openai"),
            ("http://[::1]:8000/v1", "http://[::1]:8000"),
            ("http://10.40.2.7", "http://10.40.2.7"),
        ] {
            assert_eq!(address(entered).as_deref(), Ok(kept), "{entered}");
        }
        for bad in [
            "",
            "llm.example.org",
            "ftp://llm.example.org",
            "file:///etc/passwd",
            "https://",
            "https://user:key@llm.example.org",
            "https://llm.example.org?key=1",
            "https://llm.example.org#x",
            "https://llm.example.org:0",
            "https://llm.example.org:",
            "https://llm.example.org:99999",
            "https://llm.example.org/../admin",
            "https://llm.exa mple.org",
            "https://llm.example.org\\@evil",
            "https://%6c%6f",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_time_between_two_looks_counts_as_the_first_found_it_and_no_more_than_somebody_looked() {
        let found = |answered_ms| Checked { at: Timestamp(1_000), answered_ms };
        let between = |answered, now| Availability::between(&found(answered), Timestamp(now), 60_000);
        assert_eq!(between(Some(84), 31_000), Availability { known_ms: 30_000, down_ms: 0 });
        assert_eq!(between(None, 11_000), Availability { known_ms: 10_000, down_ms: 10_000 });
        assert_eq!(between(Some(84), 3_601_000), Availability { known_ms: 60_000, down_ms: 0 }, "the portal was away");
        let said = |known_ms, down_ms| Availability { known_ms, down_ms }.percent();
        assert_eq!(said(604_800_000, 120_000).as_deref(), Some("99.98 %"));
        assert_eq!((said(1_000_000_000, 1).as_deref(), said(10, 0).as_deref(), said(0, 0)), (Some("99.99 %"), Some("100 %"), None));
    }

    #[test]
    fn a_certificate_is_warned_of_two_weeks_before_its_end() {
        let external = External { certificate_until: Some(Timestamp(20 * DAY)), ..External::default() };
        assert_eq!(external.certificate_ends_soon(Timestamp(6 * DAY)), None);
        assert_eq!(external.certificate_ends_soon(Timestamp(6 * DAY + 1)), Some(Timestamp(20 * DAY)));
        assert_eq!(external.certificate_ends_soon(Timestamp(7 * DAY)), Some(Timestamp(20 * DAY)));
        assert_eq!(external.certificate_ends_soon(Timestamp(30 * DAY)), Some(Timestamp(20 * DAY)), "and after it");
        assert_eq!(External::default().certificate_ends_soon(Timestamp(7 * DAY)), None);
    }

    #[test]
    fn a_model_that_is_gone_there_stays_while_it_is_offered_here() {
        let listed = |ids: &[&str]| ids.iter().map(|id| Listed { id: (*id).into(), context: 512 }).collect::<Vec<_>>();
        let mut external = External::default();
        external.listed(listed(&["b", "a", "a", ""]), Timestamp(1));
        assert_eq!(external.models.iter().map(|m| m.there.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        external.offer("a", Some("house-a".parse().unwrap())).unwrap();
        assert!(external.offer("b", Some("house-a".parse().unwrap())).is_err(), "one name never means two models");
        external.offer("a", Some("house-a".parse().unwrap())).expect("it has this name already");
        external.offer("b", Some("house-b".parse().unwrap())).expect("a name that nobody has");
        external.offer("b", None).unwrap();
        assert!(external.offer("c", None).is_err());
        external.listed(listed(&["b"]), Timestamp(2));
        external.listed(listed(&["b"]), Timestamp(3));
        assert_eq!(external.models[0].gone_since, Some(Timestamp(2)), "since it was first missed");
        assert_eq!(external.offered().count(), 1);
        external.listed(listed(&["a", "b"]), Timestamp(4));
        assert_eq!((external.models[0].gone_since, external.offered().count()), (None, 1), "back under its name");
        external.listed(listed(&["b"]), Timestamp(5));
        external.offer("a", None).unwrap();
        assert_eq!(external.models.len(), 1, "what is gone and not wanted is forgotten");
    }

    #[test]
    fn a_key_with_a_blank_or_a_line_end_in_it_is_none() {
        assert_eq!(key(" sk-abc "), Ok(Some("sk-abc".into())));
        assert_eq!(key("  "), Ok(None));
        for bad in ["sk abc", "sk\r\nx-evil: 1", "schlüssel", &"x".repeat(LONGEST_KEY + 1)] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn calls_are_added_up_over_all_names_and_told_for_each() {
        let of = |model: &str, requests, failed| ModelRequests { model: model.into(), requests, failed };
        let figures = Figures { by_model: vec![of("facts", 7, 2), of("acme/facts", 4, 1)], ..Figures::default() };
        assert_eq!((figures.requests(), figures.failed()), (11, 3));
        assert_eq!((figures.requests_of(&"facts".parse().unwrap()), figures.requests_of(&"other".parse().unwrap())), (7, 0));
    }
}
