//! Back-channel logout: Keycloak's own, and forged ones.

use crate::{portal::Answer, realm, signed_in, until, who};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_at_keycloak_ends_here_at_once_with_its_event_streams_and_no_other_does() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&[]).await;
    let (mut mira, mut elsewhere, mut jonas) =
        (signed_in(&portal, "mira").await, signed_in(&portal, "mira").await, signed_in(&portal, "jonas").await);
    let mut stream = mira.stream("/t/lumenta/events").await;
    // In one browser she signs out at Keycloak itself, as from another program of the house.
    let page = elsewhere.get(&format!("{}/protocol/openid-connect/logout?client_id=atelier", realm.issuer())).await;
    let code =
        page.body.split("name=\"session_code\" value=\"").nth(1).unwrap_or_else(|| panic!("{}", page.body)).split('"').next().unwrap();
    let done =
        crate::post_at_keycloak(&mut elsewhere, &realm.at(&crate::form(&page)), &[("session_code", code), ("confirmLogout", "Logout")])
            .await;
    assert!(done.status < 400, "{} {}", done.status, done.body);
    until("that session is over", async || who(&mut elsewhere).await.is_null()).await;
    assert!(!who(&mut mira).await.is_null(), "her other browser goes on");
    // The admin there ends all of hers.
    realm.sign_out("mira").await;
    until("all her sessions are over", async || who(&mut mira).await.is_null()).await;
    let cut = tokio::time::timeout(crate::PATIENCE, async { while let Ok(Some(_)) = stream.chunk().await {} }).await;
    assert!(cut.is_ok(), "the event stream goes on");
    assert_eq!(who(&mut jonas).await["name"], "Jonas Lind");
    let audit = signed_in(&portal, "auditor").await.call("/rpc/admin/audit", "query[action]=session.end").await;
    assert_eq!(audit.body.matches(r#""why":"provider_logout""#).count(), 2, "{}", audit.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keycloak_signs_for_something_else_is_no_logout() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&[]).await;
    let mut mira = signed_in(&portal, "mira").await;
    let tokens = realm.tokens_of_the_client().await;
    let send = async |token: &str| -> Answer {
        // From a server, not from a browser: no cookie, no origin.
        let mut nobody = portal.browser();
        nobody.origin = None;
        nobody.post_form("/auth/backchannel-logout", &[("logout_token", token)]).await
    };
    for token in [tokens["access_token"].as_str().unwrap(), "", "a.b.c"] {
        let refused = send(token).await;
        assert_eq!((refused.status, refused.header("cache-control")), (400, "no-store"), "{}", refused.body);
        assert_eq!(refused.json()["error"], "invalid_request");
    }
    assert!(!who(&mut mira).await.is_null());
    assert_eq!(
        send(tokens["access_token"].as_str().unwrap()).await.json()["error_description"].as_str().map(|s| s.contains("events")),
        Some(true)
    );
    let _: Value = who(&mut mira).await;
}
