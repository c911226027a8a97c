//! Who leaves at Keycloak is out within a minute, keys too, also where nobody signs in.

use crate::{portal::TestPortal, realm, signed_in, until, who};
use serde_json::json;
use std::time::{Duration, Instant};

/// As it is recommended; the sessions themselves are asked about rarely, so that it is this that ends them.
const CHECKED: &[&str] = &["--people-check-seconds", "20", "--confirm-seconds", "3600"];
const A_MINUTE: Duration = Duration::from_secs(60);

/// The status of a call with this key or token.
async fn models(portal: &TestPortal, tenant: &str, key: &str) -> u16 {
    let request = reqwest::Client::new().get(format!("{}/t/{tenant}/v1/models", portal.url)).bearer_auth(key);
    request.send().await.unwrap().status().as_u16()
}

async fn key_of(portal: &TestPortal, login: &str) -> (crate::portal::Browser, String) {
    let mut person = signed_in(portal, login).await;
    let made = person.call("/rpc/keys/create", "tenant=lumenta&form[label]=bot&form[may]=all").await;
    let key = made.json()["secret"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned();
    until("the key works", async || models(portal, "lumenta", &key).await == 200).await;
    (person, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_keys_of_somebody_who_is_disabled_or_leaves_the_group_stop_within_a_minute_and_nobody_elses() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(CHECKED).await;
    let (mut mira, hers) = key_of(&portal, "mira").await;
    let (mut jonas, his) = key_of(&portal, "jonas").await;
    // He has a key, and nothing open any more.
    jonas.post_form("/auth/logout", &[]).await;
    let (began, mut stopped) = (Instant::now(), None);
    realm.enable("jonas", false).await;
    realm.join("mira", "atelier/velkor/viewer").await;
    realm.leave("mira", "atelier/lumenta/owner").await;
    until("his key stops", async || {
        let now = models(&portal, "lumenta", &his).await;
        if now == 401 {
            stopped = Some(began.elapsed());
        }
        now == 401
    })
    .await;
    assert!(stopped.unwrap() < A_MINUTE, "{stopped:?}");
    until("her key stops", async || models(&portal, "lumenta", &hers).await == 401).await;
    until("she is in the other tenant", async || who(&mut mira).await["memberships"] == json!([["velkor", "viewer"]])).await;
    assert!(began.elapsed() < A_MINUTE, "{:?}", began.elapsed());
    let audit = signed_in(&portal, "auditor").await.call("/rpc/admin/audit", "query[action]=person.left").await;
    assert!(audit.body.contains("Jonas Lind") && !audit.body.contains("Mira Castro"), "{}", audit.body);
    // He comes back, and so does his key.
    realm.enable("jonas", true).await;
    signed_in(&portal, "jonas").await;
    until("his key works again", async || models(&portal, "lumenta", &his).await == 200).await;
}
