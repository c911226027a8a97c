//! A signed token that is no ID token (OpenID Connect's crate reads those): a logout token, or an access token for our API.
//! Signature and head only; what must be in it, each kind says for itself.

use super::{algorithms::ALGORITHMS, keys::Key};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{JsonWebKey, core::CoreJwsSigningAlgorithm};
use serde_json::{Map, Value};

/// Longest token that is looked at, bytes. Keycloak's with a thousand groups has some 40 kB.
pub const LONGEST: usize = 128 * 1024;

/// Why a token was not believed.
#[derive(Debug, PartialEq, Eq)]
pub enum Unbelieved {
    /// Its signature fits no key that we know: the provider may have changed them.
    Key(String),
    Other(String),
}

/// What a token says that the provider has signed.
#[derive(Debug)]
pub struct Believed {
    /// `typ` of the head, in small letters and without `application/`.
    pub kind: Option<String>,
    pub claims: Map<String, Value>,
}

impl Believed {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Seconds since 1970. Some providers write fractions.
    pub fn time(&self, name: &str) -> Option<f64> {
        self.claims.get(name)?.as_f64()
    }

    /// `aud` as a list; one text is a list of one.
    pub fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

#[derive(serde::Deserialize)]
struct Head {
    alg: CoreJwsSigningAlgorithm,
    kid: Option<String>,
    typ: Option<String>,
    /// What must be understood; we understand nothing beyond the above.
    crit: Option<Value>,
}

/// The claims, when one of these keys has signed them.
pub fn believe(token: &str, keys: &[Key]) -> Result<Believed, Unbelieved> {
    let no = |why: &str| Unbelieved::Other(why.to_owned());
    if token.len() > LONGEST {
        return Err(no("it is longer than any honest token"));
    }
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(no("it is no signed token: it must have three parts with dots between them"));
    };
    let decoded = |part: &str, what: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| no(&format!("its {what} is not base64url")));
    let signed = &token[..head.len() + 1 + claims.len()];
    let head: Head = serde_json::from_slice(&decoded(head, "head")?).map_err(|e| no(&format!("its head cannot be read: {e}")))?;
    if !ALGORITHMS.contains(&head.alg) {
        return Err(no("it is signed by an algorithm that is not believed"));
    }
    if head.crit.is_some() {
        return Err(no("its head demands what the portal does not know (crit)"));
    }
    let signature = decoded(signature, "signature")?;
    let named = |key: &&Key| head.kid.as_deref().is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid));
    if !keys.iter().filter(named).any(|key| key.verify_signature(&head.alg, signed.as_bytes(), &signature).is_ok()) {
        return Err(Unbelieved::Key("its signature fits no key of the provider".into()));
    }
    let claims = serde_json::from_slice(&decoded(claims, "content")?).map_err(|e| no(&format!("its content cannot be read: {e}")))?;
    let kind = head.typ.map(|typ| typ.to_ascii_lowercase()).map(|typ| typ.trim_start_matches("application/").to_owned());
    Ok(Believed { kind, claims })
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::{JsonWebKeyId, PrivateSigningKey, core::CoreEdDsaPrivateSigningKey};
    use serde_json::json;

    fn signer(number: u8) -> CoreEdDsaPrivateSigningKey {
        use base64::engine::general_purpose::STANDARD;
        let head = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let pem = STANDARD.encode([&head[..], &[number; 32]].concat());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
        CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new("one".into()))).unwrap()
    }

    fn keys() -> Vec<Key> {
        vec![serde_json::from_value(serde_json::to_value(signer(1).as_verification_key()).unwrap()).unwrap()]
    }

    fn token(number: u8, head: Value, claims: &str) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims));
        let signature = signer(number).sign(&CoreJwsSigningAlgorithm::EdDsa, text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn what_the_provider_has_signed_is_believed_with_and_without_the_name_of_the_key() {
        for head in [json!({ "alg": "EdDSA", "kid": "one", "typ": "application/Logout+JWT" }), json!({ "alg": "EdDSA" })] {
            let believed = believe(&token(1, head, r#"{"sub":"mira","aud":["a","b"],"exp":1.5}"#), &keys()).unwrap();
            assert_eq!((believed.text("sub"), believed.audiences(), believed.time("exp")), (Some("mira"), vec!["a", "b"], Some(1.5)));
            assert!(believed.kind.is_none_or(|kind| kind == "logout+jwt"));
        }
    }

    #[test]
    fn nothing_else_is() {
        let refused = |token: &str| believe(token, &keys()).unwrap_err();
        let good = json!({ "alg": "EdDSA", "kid": "one" });
        // By another key, and under the name of another: the provider may have new ones.
        for of_another_key in [token(2, good.clone(), "{}"), token(1, json!({ "alg": "EdDSA", "kid": "two" }), "{}")] {
            assert!(matches!(refused(&of_another_key), Unbelieved::Key(_)));
        }
        let signed = token(1, good.clone(), r#"{"sub":"mira"}"#);
        let parts: Vec<&str> = signed.split('.').collect();
        let changed = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(r#"{"sub":"otto"}"#), parts[2]);
        assert!(matches!(refused(&changed), Unbelieved::Key(_)));
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), parts[1]);
        for (no_token, words) in [
            (unsigned, "not believed"),
            (token(1, json!({ "alg": "HS256", "kid": "one" }), "{}"), "not believed"),
            (token(1, json!({ "alg": "EdDSA", "crit": ["b64"], "b64": false }), "{}"), "crit"),
            (token(1, json!({ "alg": "Whatever" }), "{}"), "head"),
            (token(1, good.clone(), "[]"), "content"),
            (format!("{}.{}", parts[0], parts[1]), "three parts"),
            (format!("{signed}.{}", parts[2]), "three parts"),
            (String::new(), "three parts"),
            (format!("{}=.{}.{}", parts[0], parts[1], parts[2]), "base64url"),
            ("x".repeat(LONGEST + 1), "longer"),
        ] {
            let Unbelieved::Other(why) = refused(&no_token) else { panic!("{no_token}") };
            assert!(why.contains(words), "{why}");
        }
    }
}
