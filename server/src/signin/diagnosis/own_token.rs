//! An access token that the client gets for itself: whether it is for us, and whether the clocks agree. At a provider whose clients have
//! service accounts (Keycloak).

use super::{Asked, send};
use crate::{
    finding::Finding,
    signin::{checks::LEEWAY, http::Http},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openidconnect::{
    HttpRequest,
    http::{Method, StatusCode, header},
    url::form_urlencoded,
};
use serde_json::Value;

pub async fn look(http: &Http, asked: &Asked<'_>, secret: &str, description: &Value) -> Vec<Finding> {
    let at = description["token_endpoint"].as_str().unwrap_or_default();
    let mut request = HttpRequest::new(b"grant_type=client_credentials".to_vec());
    *request.method_mut() = Method::POST;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(asked.client_id), encoded(secret))));
    let head = request.headers_mut();
    head.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Ok(value) = basic.parse() {
        head.insert(header::AUTHORIZATION, value);
    }
    // What is wrong with address, client or secret has been said by then.
    let Ok(answer) = send(http, at, request).await else { return Vec::new() };
    let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    match said["access_token"].as_str().filter(|_| answer.status() == StatusCode::OK) {
        Some(token) => of_token(asked, token, crate::clock::now().0 / 1000),
        None => vec![Finding::Note(
            "the client has no service account, so clock and audience of access tokens cannot be looked at (Keycloak: Clients, the client, Capability config, Service accounts roles)".into(),
        )],
    }
}

/// `now` in seconds since 1970. The token came from the provider itself, so its signature tells nothing more.
fn of_token(asked: &Asked<'_>, token: &str, now: i64) -> Vec<Finding> {
    let content = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let Some(claims) = content.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else {
        return vec![Finding::Note("the provider's access tokens cannot be read by others, so they do not open /v1".into())];
    };
    let mut found = Vec::new();
    if let Some(issued) = claims["iat"].as_i64() {
        let apart = issued - now;
        found.push(if apart.abs() > LEEWAY {
            let which = if apart > 0 { "ahead of" } else { "behind" };
            Finding::Missing(
                format!("the provider's clock is {} s {which} this machine's", apart.abs()),
                "Let both keep time (NTP): tokens of the future are refused, and others end too soon".into(),
            )
        } else {
            Finding::Good("the clocks of provider and portal agree".into())
        });
    }
    let audience = asked.audience;
    let for_us = match &claims["aud"] {
        Value::String(one) => one == audience,
        Value::Array(all) => all.iter().any(|one| one == audience),
        _ => false,
    };
    found.push(if for_us {
        Finding::Good(format!("access tokens are for the audience “{audience}”"))
    } else {
        Finding::Missing(
            format!("access tokens of the client “{}” are not for the audience “{audience}” (aud), so they do not open /v1", asked.client_id),
            format!(
                "Add it at the identity provider (Keycloak: Clients, the client, Client scopes, its dedicated scope, Add mapper, Audience; included client “{audience}”, Add to access token on)"
            ),
        )
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Groups, signin::claims::GroupRules};
    use serde_json::json;

    #[test]
    fn a_clock_that_is_off_and_an_audience_that_is_missing_are_said_with_the_next_step() {
        let text = |t: &str| t.to_owned();
        let groups = Groups { claim: text("groups"), admin: text("a"), auditor: text("b"), tenant: text("{tenant}/{role}") };
        let groups = GroupRules::new(&groups);
        let asked = Asked {
            issuer: "https://sso.example/realms/house",
            client_id: "atelier",
            client_secret: Some("s"),
            callback: "https://portal.example/auth/callback",
            home: "https://portal.example/login",
            groups: &groups,
            audience: "atelier",
        };
        let now = 1_800_000_000;
        let found = |claims: Value| of_token(&asked, &format!("e30.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string())), now);
        for good in [json!("atelier"), json!(["account", "atelier"])] {
            assert!(matches!(&found(json!({ "iat": now - LEEWAY, "aud": good }))[..], [Finding::Good(_), Finding::Good(_)]));
        }
        for (apart, words) in [(LEEWAY + 1, "61 s ahead of"), (-3600, "3600 s behind")] {
            let all = found(json!({ "iat": now + apart, "aud": "account" }));
            let [Finding::Missing(clock, next), Finding::Missing(audience, mapper)] = &all[..] else { panic!("{all:?}") };
            assert!(clock.contains(words) && next.contains("NTP"), "{clock} {next}");
            assert!(audience.contains("“atelier” (aud)") && mapper.contains("Add mapper, Audience"), "{audience} {mapper}");
        }
        assert!(matches!(&of_token(&asked, "opaque", now)[..], [Finding::Note(_)]));
    }
}
