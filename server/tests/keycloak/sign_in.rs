//! Signing in at Keycloak's own page, what the groups there give, and how a session goes on and ends.

use crate::{PATIENCE, realm, shared, sign_in, signed_in, until, who};
use serde_json::json;
use std::time::{Duration, Instant};

/// The provider is asked again after one second.
const OFTEN: &[&str] = &["--confirm-seconds", "1"];

#[tokio::test(flavor = "multi_thread")]
async fn the_people_of_the_demo_sign_in_at_keycloak_with_the_roles_of_their_groups() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&[]).await;
    for (login, name, platform_role, memberships) in [
        ("mira", "Mira Castro", json!(null), json!([["lumenta", "owner"]])),
        ("jonas", "Jonas Lind", json!(null), json!([["lumenta", "engineer"]])),
        ("vera", "Vera Sand", json!(null), json!([["lumenta", "viewer"]])),
        ("otto", "Otto Brandt", json!(null), json!([["velkor", "owner"]])),
        ("admin", "Piotr Zeller", json!("admin"), json!([])),
        ("auditor", "Karin Weber", json!("auditor"), json!([])),
    ] {
        let who = who(&mut signed_in(&portal, login).await).await;
        assert_eq!((&who["name"], &who["platform_role"], &who["memberships"]), (&json!(name), &platform_role, &memberships), "{who}");
    }
    let wrong = sign_in(&mut portal.browser(), "mira", "wrong").await;
    assert!(wrong.status == 200 && wrong.body.contains("Invalid username or password"), "{}", wrong.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_at_keycloak_too_and_comes_back_to_the_portal() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&[]).await;
    let mut mira = signed_in(&portal, "mira").await;
    // While the session there goes on, nobody is asked for a password.
    mira.cookies.remove("sid");
    assert_eq!(sign_in(&mut mira, "mira", "not asked for").await.status, 303);
    let out = mira.post_form("/auth/logout", &[]).await;
    assert_eq!(out.status, 303);
    assert!(out.location().starts_with(&realm.issuer()) && out.location().contains("id_token_hint="), "{}", out.location());
    let back = mira.get(out.location()).await;
    assert_eq!((back.status, back.location()), (302, format!("{}/login", portal.url).as_str()), "{}", back.body);
    // It asks again.
    let wrong = sign_in(&mut mira, "mira", "wrong").await;
    assert!(wrong.status == 200 && wrong.body.contains("Invalid username or password"), "{}", wrong.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refreshed_by_one_request_at_a_time_with_a_token_that_counts_once() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(OFTEN).await;
    let jonas = signed_in(&portal, "jonas").await;
    // Keycloak takes each refresh token once, and ends the session of whoever comes with an old one.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        let many = (0..16).map(|_| {
            let mut jonas = jonas.clone();
            async move { jonas.call("/rpc/home", "tenant=lumenta").await.status }
        });
        assert_eq!(futures::future::join_all(many).await, [200; 16], "somebody who works noticed");
    }
    assert_ne!(who(&mut jonas.clone()).await, json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_disabled_is_out_and_a_role_that_is_given_or_taken_counts_at_the_next_refresh() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(OFTEN).await;
    let (mut mira, mut jonas) = (signed_in(&portal, "mira").await, signed_in(&portal, "jonas").await);
    realm.enable("jonas", false).await;
    until("jonas is out", async || who(&mut jonas).await.is_null()).await;
    realm.join("mira", "atelier/velkor/viewer").await;
    until("mira is in velkor", async || who(&mut mira).await["memberships"] == json!([["lumenta", "owner"], ["velkor", "viewer"]])).await;
    realm.leave("mira", "atelier/lumenta/owner").await;
    until("mira has left lumenta", async || mira.call("/rpc/home", "tenant=lumenta").await.status == 404).await;
    assert_eq!(mira.call("/rpc/home", "tenant=velkor").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_changed_at_keycloak_keep_nobody_out() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&[]).await;
    signed_in(&portal, "mira").await;
    let parent = realm.admin("GET", "", None).await["id"].clone();
    for (number, algorithm) in ["PS512", "ES512"].into_iter().enumerate() {
        let (provider, config) = if algorithm.starts_with("ES") {
            ("ecdsa-generated", json!({ "priority": ["200"], "ecdsaEllipticCurveKey": ["P-521"] }))
        } else {
            ("rsa-generated", json!({ "priority": ["200"], "algorithm": [algorithm] }))
        };
        let key = json!({
            "name": format!("new-{number}"), "providerId": provider, "providerType": "org.keycloak.keys.KeyProvider", "parentId": parent, "config": config,
        });
        realm.admin("POST", "/components", Some(key)).await;
        realm
            .change_client(|client| {
                client["attributes"]["id.token.signed.response.alg"] = json!(algorithm);
                client["attributes"]["access.token.signed.response.alg"] = json!(algorithm);
            })
            .await;
        // Keys are asked for again at most twice a minute.
        let end = Instant::now() + PATIENCE;
        loop {
            let done = sign_in(&mut portal.browser(), "mira", "atelier").await;
            if done.status == 303 {
                break;
            }
            assert!(Instant::now() < end, "{algorithm}: {}", done.body);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_signs_in_over_tls_of_the_house() {
    let Some(realm) = realm().await else { return };
    let shared = shared().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("house.pem");
    std::fs::write(&file, &shared.house).unwrap();
    let issuer = realm.issuer_at(shared.keycloak.tls.as_ref().unwrap());
    let portal = realm.portal_at(&issuer, &["--issuer-ca", file.to_str().unwrap()]).await;
    let mut mira = portal.browser().believing(&shared.house);
    let done = sign_in(&mut mira, "mira", "atelier").await;
    assert_eq!((done.status, done.location()), (303, "/"), "{}", done.body);
    let out = mira.post_form("/auth/logout", &[]).await;
    assert!(out.location().starts_with(&issuer), "{}", out.location());
    // One that does not know the house believes nothing that it says.
    let stranger = realm.portal_at(&issuer, &[]).await;
    assert_eq!(stranger.browser().get("/auth/login").await.status, 503);
}
