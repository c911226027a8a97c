//! What an ID token must say beyond what the crate checks (issuer, audience, expiry, nonce, signature).

use serde_json::Value;

/// How far the provider's clock may be ahead of ours, seconds.
pub const LEEWAY: i64 = 60;
/// Longest subject, characters, by OpenID Connect Core 2.
const SUBJECT_CHARS: usize = 255;

/// The part of a token that is looked at here.
pub struct CheckedClaims<'a> {
    pub subject: &'a str,
    /// How many audiences it names; that we are among them is known.
    pub audiences: usize,
    /// `azp`: to whom it was given.
    pub authorized_party: Option<&'a str>,
    /// `iat`, seconds since 1970.
    pub issued: i64,
    /// `nbf` as it came.
    pub not_before: Option<&'a Value>,
}

impl CheckedClaims<'_> {
    /// `now` in seconds since 1970. The error is for the log.
    pub fn check(&self, client_id: &str, now: i64) -> Result<(), String> {
        if self.subject.trim().is_empty() {
            return Err("the token names nobody: its subject is empty".into());
        }
        if self.subject.chars().count() > SUBJECT_CHARS || self.subject.chars().any(char::is_control) {
            return Err(format!("the token's subject is longer than {SUBJECT_CHARS} characters, or holds control characters"));
        }
        match self.authorized_party {
            Some(party) if party != client_id => return Err(format!("the token was given to another client (azp {party:?})")),
            None if self.audiences > 1 => {
                return Err("the token is for several audiences and does not say to which it was given (azp)".into());
            }
            _ => {}
        }
        if self.issued > now.saturating_add(LEEWAY) {
            return Err(format!(
                "the token was issued {} s in the future (iat); compare the clocks of provider and portal",
                self.issued - now
            ));
        }
        match self.not_before.map(Value::as_f64) {
            None => Ok(()),
            Some(None) => Err("the token's nbf is no number".into()),
            Some(Some(from)) if from > now.saturating_add(LEEWAY) as f64 => {
                Err(format!("the token is not valid yet, for {:.0} s (nbf); compare the clocks of provider and portal", from - now as f64))
            }
            Some(Some(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn good() -> CheckedClaims<'static> {
        CheckedClaims { subject: "f:1:mira", audiences: 1, authorized_party: None, issued: NOW, not_before: None }
    }
    fn refused(said: &CheckedClaims) -> String {
        said.check("atelier", NOW).unwrap_err()
    }

    #[test]
    fn a_subject_must_name_somebody() {
        assert_eq!(good().check("atelier", NOW), Ok(()));
        for subject in ["", " \t", "a\0b", &"x".repeat(256)] {
            assert!(refused(&CheckedClaims { subject, ..good() }).contains("subject"), "{subject:?}");
        }
        assert!(CheckedClaims { subject: &"ä".repeat(255), ..good() }.check("atelier", NOW).is_ok());
    }

    #[test]
    fn a_token_given_to_another_client_is_refused() {
        assert!(CheckedClaims { authorized_party: Some("atelier"), audiences: 3, ..good() }.check("atelier", NOW).is_ok());
        assert!(refused(&CheckedClaims { authorized_party: Some("wiki"), ..good() }).contains("another client"));
        assert!(refused(&CheckedClaims { authorized_party: Some("wiki"), audiences: 2, ..good() }).contains("another client"));
        assert!(refused(&CheckedClaims { audiences: 2, ..good() }).contains("azp"));
    }

    #[test]
    fn a_token_of_the_future_is_refused_and_a_clock_a_minute_ahead_is_not() {
        assert!(CheckedClaims { issued: NOW + LEEWAY, ..good() }.check("atelier", NOW).is_ok());
        assert!(refused(&CheckedClaims { issued: NOW + LEEWAY + 1, ..good() }).contains("iat"));
        let at = |n: i64| Value::from(n);
        assert!(CheckedClaims { not_before: Some(&at(NOW + LEEWAY)), ..good() }.check("atelier", NOW).is_ok());
        assert!(refused(&CheckedClaims { not_before: Some(&at(NOW + LEEWAY + 1)), ..good() }).contains("nbf"));
        assert!(refused(&CheckedClaims { not_before: Some(&Value::from("soon")), ..good() }).contains("nbf"));
    }
}
