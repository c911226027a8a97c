//! What is believed of a token, and what is not: each forged one differs from a good one in one thing.

use super::{Behaviour, Double, Signed, back};
use crate::portal::says;
use serde_json::json;

async fn make_lumenta(portal: &crate::portal::TestPortal) {
    let scope = platform::access::PlatformScope::command_line();
    let new = platform::tenants::NewTenant { name: "lumenta".into(), title: "Lumenta".into(), quota: Default::default() };
    portal.portal.platform.tenants(&scope).create(new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_breaks_one_rule_signs_nobody_in() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    let good = [
        ("as it should be", json!({}), Signed::Key(1)),
        ("issued by a clock that is ahead by half a minute", json!({ "iat": 30, "nbf": 30 }), Signed::Key(1)),
        ("given to us, for others too", json!({ "aud": ["atelier", "account"], "azp": "atelier" }), Signed::Key(1)),
    ];
    for (what, claims, signed) in good {
        double.now(Behaviour { claims, signed, ..Behaviour::default() });
        let done = double.sign_in(&mut portal.browser()).await;
        assert_eq!((done.status, done.location()), (303, "/"), "{what}: {}", done.body);
    }
    let forged = [
        ("an empty subject", json!({ "sub": "" }), Signed::Key(1)),
        ("a blank subject", json!({ "sub": " " }), Signed::Key(1)),
        ("a subject with a NUL", json!({ "sub": "mira\0" }), Signed::Key(1)),
        ("issued in the future", json!({ "iat": 120 }), Signed::Key(1)),
        ("not valid yet", json!({ "nbf": 120 }), Signed::Key(1)),
        ("expired", json!({ "exp": -1 }), Signed::Key(1)),
        ("given to another client", json!({ "azp": "wiki" }), Signed::Key(1)),
        ("given to another client, for us too", json!({ "aud": ["atelier", "wiki"], "azp": "wiki" }), Signed::Key(1)),
        ("for several, given to nobody in particular", json!({ "aud": ["atelier", "wiki"] }), Signed::Key(1)),
        ("for another client", json!({ "aud": "wiki" }), Signed::Key(1)),
        ("of another issuer", json!({ "iss": "https://other.example" }), Signed::Key(1)),
        ("another sign-in's nonce", json!({ "nonce": "another" }), Signed::Key(1)),
        ("no nonce", json!({ "nonce": null }), Signed::Key(1)),
        ("another access token's hash", json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }), Signed::Key(1)),
        ("no signature at all", json!({}), Signed::None),
        ("signed with the public key", json!({}), Signed::HmacOfPublicKey),
        ("signed with the client's secret", json!({}), Signed::HmacOfSecret),
        ("signed by somebody else", json!({}), Signed::Forged),
        ("signed with a key that nobody knows", json!({}), Signed::Key(3)),
    ];
    let mut believed = Vec::new();
    for (what, claims, signed) in forged {
        double.now(Behaviour { claims, signed, ..Behaviour::default() });
        let mut browser = portal.browser();
        let met = double.sign_in(&mut browser).await;
        if met.status != 401 || !says(&met, "could not be trusted") || browser.cookies.contains_key("sid") {
            believed.push(format!("{what}: {} {}", met.status, met.body));
        }
    }
    assert!(believed.is_empty(), "{believed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_the_promised_issuer_is_refused_and_does_not_end_the_sign_in() {
    let double = Double::start().await;
    double.now(Behaviour { promises_iss: true, ..Behaviour::default() });
    let portal = double.portal(&[]).await;
    let mut browser = portal.browser();
    let answer = double.begin(&mut browser).await;
    for others in [vec![], vec![("iss", "https://other.example".to_owned())], vec![("iss", format!("{}/", double.issuer))]] {
        let forged = [answer[..2].to_vec(), others].concat();
        let refused = back(&mut browser, &forged).await;
        assert!(refused.status == 401 && says(&refused, "another identity provider"), "{}", refused.body);
    }
    assert_eq!(double.asked("token"), 0, "the code is traded for nobody");
    assert_eq!(back(&mut browser, &answer).await.status, 303);

    // One that promises nothing may leave it out.
    let plain = Double::start().await;
    let portal = plain.portal(&[]).await;
    let mut browser = portal.browser();
    let answer = plain.begin(&mut browser).await;
    assert_eq!(back(&mut browser, &answer[..2]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_hundred_kilobytes_with_turning_marks_becomes_one_short_line() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    let name = format!("\u{202e}Mira\0 {}", "Castro ".repeat(15_000));
    double.now(Behaviour { claims: json!({ "name": name }), ..Behaviour::default() });
    let mut browser = portal.browser();
    assert_eq!(double.sign_in(&mut browser).await.status, 303);
    let who = browser.call("/rpc/whoami", "").await.json();
    let drawn = who["name"].as_str().unwrap();
    assert!(drawn.starts_with("Mira Castro") && drawn.ends_with('…') && drawn.chars().count() <= 100, "{drawn:?}");
    // Nothing to be seen is no name: the next best counts.
    double.now(Behaviour { claims: json!({ "name": "\u{200b}", "preferred_username": "mira" }), ..Behaviour::default() });
    assert_eq!(double.sign_in(&mut browser).await.status, 303);
    assert_eq!(browser.call("/rpc/whoami", "").await.json()["name"], "mira");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_counts_wherever_the_claim_lies() {
    let double = Double::start().await;
    let portal = double.portal(&["--groups-claim", "realm_access.roles"]).await;
    make_lumenta(&portal).await;
    let mut groups: Vec<String> = (0..3_000).map(|i| format!("/staff/department-{i}")).collect();
    groups.push("/atelier/lumenta/owner".into());
    double.now(Behaviour { claims: json!({ "realm_access": { "roles": groups } }), ..Behaviour::default() });
    let mut browser = portal.browser();
    assert_eq!(double.sign_in(&mut browser).await.status, 303);
    let who = browser.call("/rpc/whoami", "").await.json();
    assert_eq!(who["memberships"], json!([["lumenta", "owner"]]));
    let kept = browser.call("/rpc/no-access", "").await.json()["who"]["groups"].clone();
    assert_eq!(kept.as_array().unwrap().len(), 100, "what is kept for the page is bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_groups_is_told_that_the_provider_sent_none() {
    let double = Double::start().await;
    let portal = double.portal(&["--groups-claim", "realm_access.roles"]).await;
    make_lumenta(&portal).await;
    for claims in [json!({}), json!({ "realm_access": "x" }), json!({ "realm_access": { "roles": 7 } })] {
        double.now(Behaviour { claims, ..Behaviour::default() });
        let mut browser = portal.browser();
        assert_eq!(double.sign_in(&mut browser).await.status, 303);
        let page = browser.get("/no-access").await;
        assert!(says(&page, "the identity provider does not tell the portal"), "{}", page.body);
    }
}
