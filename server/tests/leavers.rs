//! People who leave are out: disabled at the provider, given another role there, or ended by an owner or the admin.

mod portal;

use portal::{Browser, TestPortal, encoded};
use std::time::{Duration, Instant};

/// The provider is asked again after one second.
const OFTEN: &[&str] = &["--role", "web,gateway", "--confirm-seconds", "1"];
const PATIENCE: Duration = Duration::from_secs(60);

/// Changes a person at the development provider.
async fn at_provider(portal: &TestPortal, fields: &[(&str, &str)]) {
    let answer = portal.browser().post_form("/dev-idp/people", fields).await;
    assert_eq!((answer.status, answer.location()), (303, "/dev-idp/people"), "{}", answer.body);
}

async fn who(browser: &mut Browser) -> serde_json::Value {
    browser.call("/rpc/whoami", "").await.json()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "it never came to be that {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_disabled_at_the_provider_is_out_and_nobody_else_notices() {
    let portal = TestPortal::with(OFTEN).await;
    let (mut jonas, mut mira) = (portal.signed_in("jonas").await, portal.signed_in("mira").await);
    // Long enough for several confirmations, each with another refresh token; sixteen requests at once use one.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        let many = (0..16).map(|_| {
            let mut jonas = jonas.clone();
            async move { jonas.call("/rpc/home", "tenant=lumenta").await.status }
        });
        assert_eq!(futures::future::join_all(many).await, [200; 16], "somebody active noticed");
    }
    at_provider(&portal, &[("user", "jonas")]).await;
    until("jonas is out", async || who(&mut jonas).await.is_null()).await;
    assert_eq!(jonas.call("/rpc/home", "tenant=lumenta").await.status, 401);
    assert_eq!(who(&mut mira).await["name"], "Mira Castro");
    let audit = portal.signed_in("auditor").await.call("/rpc/admin/audit", "query[action]=session.end").await;
    assert!(audit.body.contains(r#""code":"session_ended","why":"not_confirmed""#), "{}", audit.body);
    // Nor does he come in again.
    let mut again = portal.browser();
    let fields = again.begin_sign_in("/").await;
    assert_eq!(again.answer_provider(&fields, "jonas", "atelier").await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_gives_no_tokens_puts_nobody_out() {
    let portal = TestPortal::with(OFTEN).await;
    let mut mira = portal.signed_in("mira").await;
    at_provider(&portal, &[("user", "")]).await;
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(who(&mut mira).await["name"], "Mira Castro");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    at_provider(&portal, &[("user", ""), ("enabled", "1")]).await;
    assert_eq!(who(&mut mira).await["name"], "Mira Castro");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_taken_away_at_the_provider_counts_from_the_next_confirmation() {
    let portal = TestPortal::with(OFTEN).await;
    let mut mira = portal.signed_in("mira").await;
    assert_eq!(who(&mut mira).await["memberships"], serde_json::json!([["lumenta", "owner"]]));
    at_provider(&portal, &[("user", "mira"), ("enabled", "1"), ("groups", "atelier/lumenta/viewer")]).await;
    until("mira is a viewer", async || who(&mut mira).await["memberships"] == serde_json::json!([["lumenta", "viewer"]])).await;
    assert_eq!(mira.call("/rpc/members/list", "tenant=lumenta").await.status, 403);
    at_provider(&portal, &[("user", "mira"), ("enabled", "1"), ("groups", "")]).await;
    until("mira is no member", async || mira.call("/rpc/home", "tenant=lumenta").await.status == 404).await;
}

async fn ended(mut stream: reqwest::Response, within: Duration) -> bool {
    tokio::time::timeout(within, async { while let Ok(Some(_)) = stream.chunk().await {} }).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_is_cut_when_an_owner_ends_a_members_access_and_the_key_and_the_session_with_it() {
    let portal = TestPortal::start().await;
    let (mut mira, mut jonas) = (portal.signed_in("mira").await, portal.signed_in("jonas").await);
    let made = jonas.call("/rpc/keys/create", "tenant=lumenta&form[label]=bot&form[may]=all").await;
    let key = made.json()["secret"].as_str().unwrap().to_owned();
    let models = async || {
        let answer = reqwest::Client::new().get(format!("{}/t/lumenta/v1/models", portal.url)).bearer_auth(&key).send().await;
        answer.unwrap().status().as_u16()
    };
    until("the key works", async || models().await == 200).await;
    let person = who(&mut jonas).await["person"].as_str().unwrap().to_owned();
    let (his, hers) = (jonas.stream("/t/lumenta/events").await, mira.stream("/t/lumenta/events").await);

    let refused = jonas.call("/rpc/members/end", &encoded(&[("tenant", "lumenta"), ("person", &person)])).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let began = Instant::now();
    let done = mira.call("/rpc/members/end", &encoded(&[("tenant", "lumenta"), ("person", &person)])).await;
    assert!(done.status < 400, "{}", done.body);
    assert_eq!(jonas.call("/rpc/home", "tenant=lumenta").await.status, 401);
    // Well before the stream's own turn to look again, which comes every 30 s.
    assert!(ended(his, Duration::from_secs(20)).await, "the stream goes on after {:?}", began.elapsed());
    assert!(!ended(hers, Duration::from_secs(1)).await, "and only his");
    until("the key is refused", async || models().await == 401).await;
    let audit = mira.call("/rpc/audit/page", "tenant=lumenta&query[action]=member.end_access").await;
    assert!(audit.body.contains(r#""code":"access_ended","sessions":1,"keys":1"#) && audit.body.contains("Jonas Lind"), "{}", audit.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_is_cut_when_time_or_the_provider_ends_the_session() {
    let portal = TestPortal::with(OFTEN).await;
    let jonas = portal.signed_in("jonas").await;
    // He only has a page open, and does nothing.
    let stream = jonas.stream("/t/lumenta/events").await;
    at_provider(&portal, &[("user", "jonas")]).await;
    assert!(ended(stream, PATIENCE).await, "a disabled person still hears of everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_ends_access_from_the_tenants_page_and_without_scripts() {
    let portal = TestPortal::start().await;
    let (mut admin, mut jonas) = (portal.signed_in("admin").await, portal.signed_in("jonas").await);
    let person = who(&mut jonas).await["person"].as_str().unwrap().to_owned();
    let asks = admin.get(&format!("/admin/tenants/lumenta?end={person}")).await;
    assert!(asks.status == 200 && asks.body.contains("End the access of Jonas Lind?"), "{}", asks.body);
    let done = admin.post_form("/rpc/admin/member-end", &[("name", "lumenta"), ("person", &person)]).await;
    assert_eq!((done.status, done.location()), (302, "/admin/tenants/lumenta"), "{}", done.body);
    assert!(who(&mut jonas).await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_key_is_made_by_owners_flagged_when_nobody_answers_for_it_and_handed_over() {
    let portal = TestPortal::with(OFTEN).await;
    let (mut mira, mut jonas) = (portal.signed_in("mira").await, portal.signed_in("jonas").await);
    let person = who(&mut jonas).await["person"].as_str().unwrap().to_owned();
    let form = |who: &str| {
        encoded(&[
            ("tenant", "lumenta"),
            ("form[label]", "nightly"),
            ("form[may]", "all"),
            ("form[whose]", "tenant"),
            ("form[responsible]", who),
        ])
    };
    assert_eq!(jonas.call("/rpc/keys/create", &form(&person)).await.status, 403);
    let made = mira.call("/rpc/keys/create", &form(&person)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let key = made.json()["key"]["id"].as_str().unwrap().to_owned();
    assert!(mira.get("/t/lumenta/keys").await.body.contains("responsible: Jonas Lind"));
    assert!(!mira.get("/t/lumenta").await.body.contains("has no responsible member"));

    at_provider(&portal, &[("user", "jonas"), ("enabled", "1"), ("groups", "")]).await;
    until("jonas has left", async || jonas.call("/rpc/home", "tenant=lumenta").await.status == 404).await;
    for page in ["/t/lumenta", "/t/lumenta/keys"] {
        let page = mira.get(page).await;
        assert!(page.body.contains("Service key “nightly” has no responsible member"), "{}", page.body);
    }
    let asks = mira.get(&format!("/t/lumenta/keys?responsible={key}")).await;
    assert!(asks.body.contains("Who is responsible for “nightly”?"), "{}", asks.body);
    let me = who(&mut mira).await["person"].as_str().unwrap().to_owned();
    let done = mira.post_form("/rpc/keys/responsible", &[("tenant", "lumenta"), ("key", &key), ("person", &me)]).await;
    assert_eq!((done.status, done.location()), (302, "/t/lumenta/keys"), "{}", done.body);
    assert!(!mira.get("/t/lumenta/keys").await.body.contains("has no responsible member"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stops_within_a_week_because_its_owner_does_not_come_says_so_on_the_page() {
    let portal = TestPortal::start().await;
    let (mut mira, mut jonas) = (portal.signed_in("mira").await, portal.signed_in("jonas").await);
    let made = jonas.call("/rpc/keys/create", "tenant=lumenta&form[label]=nightly&form[may]=all").await;
    assert_eq!(made.status, 200, "{}", made.body);
    let person = who(&mut jonas).await["person"].as_str().unwrap().to_owned();
    let database = sqlx::SqlitePool::connect(&portal.database_url()).await.unwrap();
    for (days, says) in [(0, None), (22, None), (24, Some("unless the owner signs in")), (31, Some("until the owner signs in"))] {
        let ago = "UPDATE members SET confirmed_at = since - $1 WHERE person = $2";
        let changed = sqlx::query(ago).bind(days * domain::time::DAY).bind(&person).execute(&database).await.unwrap();
        assert_eq!(changed.rows_affected(), 1);
        let page = mira.get("/t/lumenta/keys").await;
        assert_eq!(page.status, 200, "{}", page.body);
        for words in ["unless the owner signs in", "until the owner signs in"] {
            assert_eq!(page.body.contains(words), says == Some(words), "{days} days: {}", page.body);
        }
    }
}
