//! Keycloak does not answer for a while: who is in stays in, nobody else comes in, and afterwards its word counts again.

use crate::{realm, shared, sign_in, signed_in, until, who, wire::Wire};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_while_keycloak_is_away_and_its_word_counts_when_it_is_back() {
    let Some(realm) = realm().await else { return };
    let port = shared().unwrap().keycloak.address.rsplit(':').next().unwrap().parse().unwrap();
    let wire = Wire::to(port).await;
    let issuer = realm.issuer_at(&format!("http://127.0.0.1:{}", wire.port));
    let portal = realm.portal_at(&issuer, &["--confirm-seconds", "1", "--people-check-seconds", "1"]).await;
    let (mut mira, mut jonas) = (signed_in(&portal, "mira").await, signed_in(&portal, "jonas").await);
    wire.fall_silent();
    // Long after the time at which each would have been asked about.
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        for (browser, name) in [(&mut mira, "Mira Castro"), (&mut jonas, "Jonas Lind")] {
            assert_eq!(who(browser).await["name"], name, "a provider that is silent puts nobody out");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    realm.enable("jonas", false).await;
    wire.speak();
    until("he is out", async || who(&mut jonas).await.is_null()).await;
    assert_eq!(who(&mut mira).await["name"], "Mira Castro");
    until("somebody signs in again", async || {
        let mut vera = portal.browser();
        vera.get("/auth/login").await.status == 303 && sign_in(&mut portal.browser(), "vera", "atelier").await.status == 303
    })
    .await;
}
