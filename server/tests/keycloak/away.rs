//! Keycloak does not answer for a while: who is in stays in, nobody else comes in, and afterwards its word counts again.

use crate::{admin::Realm, realm, shared, sign_in, signed_in, until, who, wire::Wire};
use domain::time::{MINUTE, SECOND, Timestamp};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};
use testing::keycloak;

/// By how much the portal's clock is ahead of the machine's, milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn ahead() -> Timestamp {
    server::clock::now().plus(AHEAD.load(Ordering::Relaxed))
}

fn pass(milliseconds: i64) {
    AHEAD.fetch_add(milliseconds, Ordering::Relaxed);
}

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

/// A Keycloak of its own, since it is really stopped. Its own clock is the machine's: for it a minute has passed.
#[tokio::test(flavor = "multi_thread")]
async fn while_keycloak_is_stopped_people_at_work_stay_in_for_as_long_as_the_settings_say_and_nobody_is_put_out_by_its_silence() {
    let Some(mut keycloak) = tokio::task::spawn_blocking(|| keycloak::start(None)).await.unwrap() else {
        return testing::skip("a real Keycloak: `cargo run -p xtask -- cluster up` fetches it, and ATELIER_KEYCLOAK names its folder");
    };
    let realm = Realm::create(&keycloak.address).await;
    let settings = ["--confirm-seconds", "180", "--session-idle-minutes", "60", "--session-hours", "2"];
    let portal = realm.portal_by(ahead, &realm.issuer(), &settings).await;
    let (mut mira, mut jonas) = (signed_in(&portal, "mira").await, signed_in(&portal, "jonas").await);
    let mut vera = signed_in(&portal, "vera").await;
    let mut database = <sqlx::SqliteConnection as sqlx::Connection>::connect(&portal.database_url()).await.unwrap();
    keycloak.end();

    // Four times as long as anybody goes on unconfirmed while it answers; each minute the pages of both ask.
    for minute in 1..=12 {
        pass(MINUTE);
        for (browser, name) in [(&mut mira, "Mira Castro"), (&mut jonas, "Jonas Lind")] {
            assert_eq!(who(browser).await["name"], name, "after {minute} minutes");
        }
    }
    let page = mira.get("/t/lumenta/runs").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let mut refused = portal.browser().get("/auth/login?return_to=/").await;
    // Who was sent there a moment ago was not in vain: it is asked again after 15 s at the latest, by the machine's clock.
    until("whoever wants to sign in is told", async || {
        refused = portal.browser().get("/auth/login?return_to=/").await;
        refused.status == 503
    })
    .await;
    for said in ["does not answer, so nobody can sign in now", "People who are signed in can keep working", "Try again"] {
        assert!(refused.body.contains(said), "“{said}” is not in {}", refused.body);
    }
    // The limits of the settings hold all the same: who does nothing for an hour is out, as on any other day.
    pass(45 * MINUTE);
    assert_eq!(who(&mut mira).await["name"], "Mira Castro");
    assert_eq!(who(&mut jonas).await["name"], "Jonas Lind");
    pass(10 * MINUTE);
    assert!(who(&mut vera).await.is_null(), "an hour without use");

    let before = confirmed(&mut database, "Mira Castro").await;
    let keycloak = tokio::task::spawn_blocking(move || {
        keycloak.come_back();
        keycloak
    })
    .await
    .unwrap();
    realm.enable("jonas", false).await;
    // A provider that did not answer is asked again half a minute later.
    pass(31 * SECOND);
    until("its refusal ends a session", async || {
        pass(SECOND);
        who(&mut jonas).await.is_null()
    })
    .await;
    until("a session is confirmed again", async || {
        pass(SECOND);
        assert_eq!(who(&mut mira).await["name"], "Mira Castro");
        confirmed(&mut database, "Mira Castro").await > before
    })
    .await;
    assert_eq!(sign_in(&mut portal.browser(), "vera", "atelier").await.status, 303, "people come in again");
    // Two hours after signing in, whoever answers.
    pass(55 * MINUTE);
    assert!(who(&mut mira).await.is_null());
    drop(keycloak);
}

/// When the provider last confirmed somebody's session.
async fn confirmed(database: &mut sqlx::SqliteConnection, name: &str) -> i64 {
    let sql = "SELECT MAX(COALESCE(s.confirmed_at, s.created_at)) FROM sessions s JOIN people p ON p.id = s.person WHERE p.name = $1";
    let (at,): (i64,) = sqlx::query_as(sql).bind(name).fetch_one(database).await.unwrap();
    at
}
