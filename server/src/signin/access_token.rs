//! What an access token must say to open our API, once its signature is believed (RFC 9068, and Keycloak's own words where it says things
//! otherwise). An ID token, a logout token, or a token that another program was given for itself opens nothing.

use super::{checks::LEEWAY, jws::Believed};

/// For whom tokens must be, and to whom they may have been given.
#[derive(Clone, Debug)]
pub struct AccessRules {
    pub issuer: String,
    /// `aud` must hold it.
    pub audience: String,
    /// `azp`: clients whose tokens are taken.
    pub clients: Vec<String>,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub subject: String,
    /// Seconds since 1970.
    pub issued: i64,
    pub expires: i64,
}

impl AccessRules {
    /// `now` in seconds since 1970. The error is for whoever sent it: it names the claim.
    pub fn check(&self, token: &Believed, now: i64) -> Result<Access, String> {
        // Keycloak writes JWT in the head, and what it is into a claim; others write at+jwt.
        if !matches!(token.kind.as_deref(), None | Some("jwt" | "at+jwt")) {
            return Err("it is no access token (typ)".into());
        }
        if token.claims.get("typ").is_some_and(|typ| typ != "Bearer") {
            return Err("it is no access token (the claim typ is not Bearer)".into());
        }
        // An ID token has these, and is for us as well.
        if ["nonce", "at_hash", "c_hash", "events"].iter().any(|claim| token.claims.contains_key(*claim)) {
            return Err("it is an ID token or a logout token; send the access token".into());
        }
        // Bound to a key of the sender, which we could not ask for.
        if token.claims.contains_key("cnf") {
            return Err("it is bound to its sender's key (cnf), which the portal cannot check".into());
        }
        if token.text("iss") != Some(&self.issuer) {
            return Err(format!("it does not come from {} (iss)", self.issuer));
        }
        if !token.audiences().contains(&self.audience.as_str()) {
            return Err(format!("it is not for the audience “{}” (aud)", self.audience));
        }
        let client = token.text("azp").or_else(|| token.text("client_id"));
        match client {
            Some(client) if self.clients.iter().any(|known| known == client) => {}
            Some(client) => {
                return Err(format!("tokens of the client “{client}” are not taken (azp); ATELIER_API_CLIENTS lists those that are"));
            }
            None => return Err("it does not say to which client it was given (azp)".into()),
        }
        let time = |name: &str| token.time(name).filter(|t| t.is_finite() && t.abs() < 1e12);
        let expires = time("exp").ok_or("it has no end (exp)")?;
        if expires <= now as f64 {
            return Err("it has expired (exp)".into());
        }
        let issued = time("iat").ok_or("it does not say when it was issued (iat)")?;
        if issued > (now + LEEWAY) as f64 {
            return Err("it was issued in the future (iat); compare the clocks".into());
        }
        if token.claims.contains_key("nbf") && time("nbf").is_none_or(|from| from > (now + LEEWAY) as f64) {
            return Err("it is not valid yet (nbf); compare the clocks".into());
        }
        let named = |subject: &&str| !subject.trim().is_empty() && subject.chars().count() <= 255 && !subject.contains(char::is_control);
        let subject = token.text("sub").filter(named).ok_or("it names nobody (sub)")?.to_owned();
        Ok(Access { subject, issued: issued as i64, expires: expires as i64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://sso.example/realms/house";

    fn with(kind: Option<&str>, over: Value) -> Result<Access, String> {
        let rules = AccessRules { issuer: ISSUER.into(), audience: "atelier".into(), clients: vec!["atelier".into(), "ci".into()] };
        let mut claims = json!({
            "iss": ISSUER, "aud": ["atelier", "account"], "azp": "ci", "typ": "Bearer", "iat": NOW, "exp": NOW + 300, "sub": "f:1:mira",
        });
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
        rules.check(&Believed { kind: kind.map(str::to_owned), claims }, NOW)
    }

    #[test]
    fn a_token_for_us_that_a_known_client_was_given_opens() {
        let good = with(Some("jwt"), json!({})).unwrap();
        assert_eq!(good, Access { subject: "f:1:mira".into(), issued: NOW, expires: NOW + 300 });
        assert!(with(Some("at+jwt"), json!({ "typ": null, "azp": null, "client_id": "ci", "aud": "atelier" })).is_ok());
        assert!(with(None, json!({ "iat": NOW + LEEWAY, "nbf": NOW + LEEWAY })).is_ok());
    }

    #[test]
    fn one_that_breaks_a_rule_is_refused_by_the_name_of_the_claim() {
        for (over, words) in [
            (json!({ "typ": "ID" }), "typ"),
            (json!({ "typ": "Refresh" }), "typ"),
            (json!({ "typ": null, "nonce": "n" }), "ID token"),
            (json!({ "typ": null, "at_hash": "h" }), "ID token"),
            (json!({ "events": {} }), "logout token"),
            (json!({ "cnf": { "jkt": "x" } }), "cnf"),
            (json!({ "iss": "https://sso.example/realms/other" }), "iss"),
            (json!({ "aud": "account" }), "aud"),
            (json!({ "aud": null }), "aud"),
            (json!({ "azp": "wiki" }), "ATELIER_API_CLIENTS"),
            (json!({ "azp": null }), "azp"),
            (json!({ "azp": "wiki", "client_id": "ci" }), "azp"),
            (json!({ "exp": null }), "exp"),
            (json!({ "exp": NOW }), "expired"),
            (json!({ "exp": "never" }), "exp"),
            (json!({ "iat": null }), "iat"),
            (json!({ "iat": NOW + LEEWAY + 1 }), "future"),
            (json!({ "nbf": NOW + LEEWAY + 1 }), "nbf"),
            (json!({ "nbf": "soon" }), "nbf"),
            (json!({ "sub": null }), "sub"),
            (json!({ "sub": " " }), "sub"),
        ] {
            let why = with(Some("jwt"), over.clone()).unwrap_err();
            assert!(why.contains(words), "{over}: {why}");
        }
        assert!(with(Some("logout+jwt"), json!({})).unwrap_err().contains("typ"));
    }
}
