//! What a logout token must say (OpenID Connect Back-Channel Logout 1.0, 2.6), once its signature is believed.

use super::{checks::LEEWAY, jws::Believed};
use serde_json::Value;

/// The event that it must tell of.
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Longest id, subject and session that are looked at, characters.
const CHARS: usize = 255;

/// Who is to be signed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// `sub`: all sessions of this person, unless a session is named.
    pub subject: Option<String>,
    /// `sid`: the session at the provider.
    pub session: Option<String>,
    /// `jti`: it counts once.
    pub id: String,
    /// `exp`, seconds since 1970.
    pub expires: i64,
}

/// `now` in seconds since 1970. The error says what is wrong, to whoever runs the provider.
pub fn check(token: &Believed, issuer: &str, client_id: &str, now: i64) -> Result<LogoutToken, String> {
    // Most providers still write JWT; another kind of token is never one of these.
    if !matches!(token.kind.as_deref(), None | Some("jwt" | "logout+jwt")) {
        return Err("it is a token of another kind (typ)".into());
    }
    if token.text("iss") != Some(issuer) {
        return Err(format!("it does not name the issuer {issuer} (iss)"));
    }
    if !token.audiences().contains(&client_id) {
        return Err(format!("it is not for the client {client_id} (aud)"));
    }
    let time = |name: &str| token.time(name).filter(|t| t.is_finite() && t.abs() < 1e12).ok_or_else(|| format!("it has no time in {name}"));
    let (issued, expires) = (time("iat")?, time("exp")?);
    if issued > (now + LEEWAY) as f64 {
        return Err("it was issued in the future (iat); compare the clocks of provider and portal".into());
    }
    if expires <= (now - LEEWAY) as f64 {
        return Err("it has expired (exp); compare the clocks of provider and portal".into());
    }
    if !matches!(token.claims.get("events").and_then(|events| events.get(EVENT)), Some(Value::Object(_))) {
        return Err(format!("it does not tell of a logout (events must hold {EVENT})"));
    }
    // An ID token has one: it must not pass for this.
    if token.claims.contains_key("nonce") {
        return Err("it has a nonce, which no logout token has".into());
    }
    let name = |claim: &str| match token.claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.chars().count() <= CHARS && !text.contains(char::is_control) => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(format!("its {claim} is no name")),
    };
    let (subject, session) = (name("sub")?, name("sid")?);
    if subject.is_none() && session.is_none() {
        return Err("it says neither who nor which session (sub, sid)".into());
    }
    let id = name("jti")?.ok_or("it has no id (jti)")?;
    Ok(LogoutToken { subject, session, id, expires: expires as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://sso.example/realms/house";

    /// A good one with this laid over; null takes a claim away.
    fn with(kind: Option<&str>, over: Value) -> Result<LogoutToken, String> {
        let mut claims = json!({
            "iss": ISSUER, "aud": "atelier", "iat": NOW, "exp": NOW + 120, "jti": "a-1", "sub": "f:1:mira", "sid": "s-1", "events": { EVENT: {} },
        });
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
        check(&Believed { kind: kind.map(str::to_owned), claims }, ISSUER, "atelier", NOW)
    }

    #[test]
    fn a_good_one_names_the_session_or_the_person_or_both() {
        let both = with(None, json!({})).unwrap();
        assert_eq!((both.subject.as_deref(), both.session.as_deref()), (Some("f:1:mira"), Some("s-1")));
        assert_eq!((both.id.as_str(), both.expires), ("a-1", NOW + 120));
        assert_eq!(with(Some("logout+jwt"), json!({ "sub": null })).unwrap().subject, None);
        assert_eq!(with(Some("jwt"), json!({ "sid": null })).unwrap().session, None);
        assert!(with(None, json!({ "aud": ["wiki", "atelier"] })).is_ok());
        assert!(with(None, json!({ "iat": NOW + LEEWAY, "exp": NOW - LEEWAY + 1 })).is_ok());
    }

    #[test]
    fn one_that_breaks_a_rule_is_refused_by_name() {
        for (over, words) in [
            (json!({ "iss": "https://other.example" }), "iss"),
            (json!({ "iss": null }), "iss"),
            (json!({ "aud": "wiki" }), "aud"),
            (json!({ "aud": null }), "aud"),
            (json!({ "iat": null }), "iat"),
            (json!({ "iat": "soon" }), "iat"),
            (json!({ "iat": NOW + LEEWAY + 1 }), "future"),
            (json!({ "exp": null }), "exp"),
            (json!({ "exp": NOW - LEEWAY }), "expired"),
            (json!({ "events": null }), "events"),
            (json!({ "events": [EVENT] }), "events"),
            (json!({ "events": { EVENT: true } }), "events"),
            (json!({ "events": { "http://schemas.openid.net/event/other": {} } }), "events"),
            (json!({ "nonce": "n" }), "nonce"),
            (json!({ "sub": null, "sid": null }), "sub, sid"),
            (json!({ "sub": "" }), "sub"),
            (json!({ "sid": 7 }), "sid"),
            (json!({ "sid": "a\u{0}" }), "sid"),
            (json!({ "jti": null }), "jti"),
            (json!({ "jti": "" }), "jti"),
        ] {
            let why = with(None, over.clone()).unwrap_err();
            assert!(why.contains(words), "{over}: {why}");
        }
        for kind in ["at+jwt", "id+jwt", ""] {
            assert!(with(Some(kind), json!({})).unwrap_err().contains("typ"), "{kind}");
        }
    }
}
