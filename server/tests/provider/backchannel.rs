//! Logouts that the provider sends from server to server: each forged one differs from a good one in one thing.

use super::{Behaviour, Double, Signed};
use crate::portal::{Answer, Browser, TestPortal};
use serde_json::{Value, json};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// As a server sends it: without cookies, and naming no page that it comes from.
async fn send(portal: &TestPortal, fields: &[(&str, &str)]) -> Answer {
    let mut server = portal.browser();
    server.origin = None;
    server.post_form("/auth/backchannel-logout", fields).await
}

async fn signed_in(double: &Double, portal: &TestPortal, claims: Value) -> Browser {
    double.now(Behaviour { claims, ..Behaviour::default() });
    let mut browser = portal.browser();
    assert_eq!(double.sign_in(&mut browser).await.status, 303);
    browser
}

async fn is_in(browser: &mut Browser) -> bool {
    !browser.call("/rpc/whoami", "").await.json().is_null()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_that_it_names_or_all_of_the_person_and_of_nobody_else() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    let mut one = signed_in(&double, &portal, json!({ "sid": "one" })).await;
    let mut two = signed_in(&double, &portal, json!({ "sid": "two" })).await;
    let mut three = signed_in(&double, &portal, json!({ "sid": "three" })).await;
    let mut otto = signed_in(&double, &portal, json!({ "sub": "f:house:otto", "sid": "one" })).await;
    let over = async |over: Value| {
        let done = send(&portal, &[("logout_token", &double.logout_token(over, Signed::Key(1)))]).await;
        assert_eq!((done.status, done.header("cache-control"), done.body.as_str()), (200, "no-store", ""));
    };
    over(json!({ "sid": "none of ours" })).await;
    assert!(is_in(&mut one).await && is_in(&mut two).await);
    over(json!({ "sid": "one" })).await;
    assert!(!is_in(&mut one).await && is_in(&mut two).await && is_in(&mut otto).await, "the session of this person, and no other");
    over(json!({ "sid": "two", "sub": null })).await;
    assert!(!is_in(&mut two).await && is_in(&mut three).await && is_in(&mut otto).await);
    over(json!({})).await;
    assert!(!is_in(&mut three).await && is_in(&mut otto).await, "all of the person's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_breaks_one_rule_ends_nothing_and_is_told_why() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    let mut mira = signed_in(&double, &portal, json!({ "sid": "one" })).await;
    let forged = [
        ("of another issuer", json!({ "iss": "https://other.example" }), Signed::Key(1), "iss"),
        ("for another client", json!({ "aud": "wiki" }), Signed::Key(1), "aud"),
        ("without the time of its making", json!({ "iat": null }), Signed::Key(1), "iat"),
        ("issued in the future", json!({ "iat": 120 }), Signed::Key(1), "iat"),
        ("without an end", json!({ "exp": null }), Signed::Key(1), "exp"),
        ("expired", json!({ "exp": -61 }), Signed::Key(1), "exp"),
        ("without an event", json!({ "events": null }), Signed::Key(1), "events"),
        ("of another event", json!({ "events": { "http://schemas.openid.net/event/other": {} } }), Signed::Key(1), "events"),
        ("with an event that is no object", json!({ "events": { EVENT: 1 } }), Signed::Key(1), "events"),
        ("with a nonce, as an ID token", json!({ "nonce": "n" }), Signed::Key(1), "nonce"),
        ("of nobody", json!({ "sub": null }), Signed::Key(1), "sub, sid"),
        ("without an id", json!({ "jti": null }), Signed::Key(1), "jti"),
        ("without a signature", json!({}), Signed::None, "algorithm"),
        ("signed with the public key", json!({}), Signed::HmacOfPublicKey, "algorithm"),
        ("signed with the client's secret", json!({}), Signed::HmacOfSecret, "algorithm"),
        ("signed by somebody else", json!({}), Signed::Forged, "signature"),
    ];
    for (what, over, how, words) in forged {
        let refused = send(&portal, &[("logout_token", &double.logout_token(over, how))]).await;
        assert_eq!((refused.status, refused.header("cache-control")), (400, "no-store"), "{what}: {}", refused.body);
        let said = refused.json();
        assert_eq!(said["error"], "invalid_request", "{what}");
        assert!(said["error_description"].as_str().unwrap().contains(words), "{what}: {said}");
        assert!(is_in(&mut mira).await, "{what}");
    }
    let good = double.logout_token(json!({ "sid": "none of ours" }), Signed::Key(1));
    for fields in [&[("token", good.as_str())][..], &[("logout_token", &good), ("logout_token", &good)], &[]] {
        assert_eq!(send(&portal, fields).await.status, 400, "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_counts_once() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    let token = double.logout_token(json!({ "sid": "one" }), Signed::Key(1));
    assert_eq!(send(&portal, &[("logout_token", &token)]).await.status, 200);
    // Whoever has seen it on its way cannot end the session that comes after.
    let mut mira = signed_in(&double, &portal, json!({ "sid": "one" })).await;
    let again = send(&portal, &[("logout_token", &token)]).await;
    assert!(again.status == 400 && again.body.contains("jti"), "{}", again.body);
    assert!(is_in(&mut mira).await);
}
