//! Signing in against the development provider, whole: the good way, and everything that must not work.

mod portal;
mod provider;
mod tls;

use portal::{Browser, TestPortal, encoded, says};

/// The one-time cookies of sign-ins under way.
fn under_way(browser: &Browser) -> Vec<String> {
    browser.cookies.keys().filter(|name| name.starts_with("tx-")).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_comes_back_to_the_page_and_signs_out_everywhere() {
    let portal = TestPortal::start().await;
    let mut mira = portal.browser();
    let sent_away = mira.get("/t/lumenta/runs?state=failed").await;
    assert_eq!((sent_away.status, sent_away.location()), (303, "/login?return_to=/t/lumenta/runs%3Fstate%3Dfailed"));

    assert_eq!(mira.sign_in("mira", "/t/lumenta/runs?state=failed").await, "/t/lumenta/runs?state=failed");
    assert!(under_way(&mira).is_empty(), "the one-time cookie is gone");
    let who = mira.call("/rpc/whoami", "").await;
    assert_eq!((who.status, who.json()["memberships"][0].clone()), (200, serde_json::json!(["lumenta", "owner"])));

    let secret = mira.cookies["sid"].clone();
    let out = mira.post_form("/auth/logout", &[]).await;
    assert_eq!(out.status, 303);
    assert!(
        out.location().starts_with(&format!("{}/dev-idp/logout?", portal.url)) && out.location().contains("id_token_hint="),
        "{}",
        out.location()
    );
    let home = mira.get(out.location()).await;
    assert_eq!(home.location(), format!("{}/login", portal.url));
    // The cookie's value is worth nothing any more, even for whoever kept it.
    mira.cookies.insert("sid".into(), secret);
    assert_eq!(mira.get("/t/lumenta").await.location(), "/login?return_to=/t/lumenta");
    assert_eq!(mira.call("/rpc/whoami", "").await.json(), serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_again_ends_the_session_that_the_browser_had_before() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let before = mira.clone();
    mira.sign_in("mira", "/").await;
    assert_ne!(mira.cookies["sid"], before.cookies["sid"]);
    assert_eq!(mira.call("/rpc/whoami", "").await.json()["name"], "Mira Castro");
    // Whoever kept the old cookie has nothing.
    let mut old = before.clone();
    assert_eq!(old.call("/rpc/whoami", "").await.json(), serde_json::Value::Null);
    // As somebody else too: one browser has one session.
    let before = mira.clone();
    mira.sign_in("otto", "/").await;
    let mut old = before;
    assert_eq!(old.call("/rpc/whoami", "").await.json(), serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_an_unknown_person_stays_outside() {
    let portal = TestPortal::start().await;
    let mut browser = portal.browser();
    let fields = browser.begin_sign_in("/").await;
    for (login, password) in [("mira", "wrong"), ("nobody", "atelier"), ("mira", "")] {
        let refused = browser.answer_provider(&fields, login, password).await;
        assert_eq!(refused.status, 422);
        assert!(says(&refused, "That is not the password"), "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_once_in_the_browser_that_asked() {
    let portal = TestPortal::start().await;
    let mut mira = portal.browser();
    let fields = mira.begin_sign_in("/").await;
    let back = mira.answer_provider(&fields, "mira", "atelier").await.location().to_owned();

    // Somebody else's browser, with or without a sign-in of its own under way.
    let mut other = portal.browser();
    let refused = other.get(&back).await;
    assert_eq!(refused.status, 401);
    assert!(says(&refused, "This sign-in is no longer open"), "{}", refused.body);
    other.begin_sign_in("/").await;
    assert_eq!(other.get(&back).await.status, 401);
    assert!(!other.cookies.contains_key("sid"));

    // With the state changed on the way, or without one: nothing waits for that, and the true answer still counts.
    let (before, state) = back.split_once("state=").unwrap();
    let (state, rest) = state.split_once('&').unwrap();
    for forged in [format!("{before}state=x{state}&{rest}"), format!("{before}{rest}"), format!("{before}state=&{rest}")] {
        let refused = mira.get(&forged).await;
        assert!(refused.status == 401 && says(&refused, "This sign-in is no longer open"), "{}", refused.body);
    }
    assert_eq!(under_way(&mira).len(), 1);

    // It works once, and never again, with whatever cookie.
    let cookie = under_way(&mira).remove(0);
    let value = mira.cookies[&cookie].clone();
    assert_eq!(mira.get(&back).await.status, 303);
    let session = mira.cookies["sid"].clone();
    mira.cookies.insert(cookie, value);
    assert_eq!(mira.get(&back).await.status, 401);
    assert_eq!(mira.cookies["sid"], session, "a refused answer leaves the session alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tabs_sign_in_side_by_side_each_to_its_own_page() {
    let portal = TestPortal::start().await;
    let mut mira = portal.browser();
    let mut answers = Vec::new();
    for i in 0..10 {
        let fields = mira.begin_sign_in(&format!("/t/lumenta?tab={i}")).await;
        answers.push(mira.answer_provider(&fields, "mira", "atelier").await.location().to_owned());
    }
    assert_eq!(under_way(&mira).len(), 8, "a browser that begins again and again collects no cookies");
    // The last first, and the first two have given way to others.
    for (i, back) in answers.iter().enumerate().rev() {
        let done = mira.get(back).await;
        let expected = if i < 2 { (401, String::new()) } else { (303, format!("/t/lumenta?tab={i}")) };
        assert_eq!((done.status, done.location().to_owned()), expected, "{i}: {}", done.body);
    }
    assert!(under_way(&mira).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_another_sign_in_is_refused() {
    let portal = TestPortal::start().await;
    let (mut mira, mut otto) = (portal.browser(), portal.browser());
    let fields = mira.begin_sign_in("/").await;
    let back = mira.answer_provider(&fields, "mira", "atelier").await.location().to_owned();
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    // Otto puts Mira's code into his own answer: state fits, PKCE does not.
    let fields = otto.begin_sign_in("/").await;
    let state = &fields.iter().find(|(k, _)| k == "state").unwrap().1;
    let issuer = format!("{}/dev-idp", portal.url);
    let injected = otto.get(&format!("/auth/callback?{}", encoded(&[("code", &code), ("state", state), ("iss", &issuer)]))).await;
    assert!(injected.status == 401 && says(&injected, "could not be trusted"), "{}", injected.body);
    assert!(!otto.cookies.contains_key("sid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_another_issuer_and_a_refusal_are_told_in_words() {
    let portal = TestPortal::start().await;
    let mut browser = portal.browser();
    let fields = browser.begin_sign_in("/").await;
    let state = fields.iter().find(|(k, _)| k == "state").unwrap().1.clone();
    let mixed_up =
        browser.get(&format!("/auth/callback?{}", encoded(&[("code", "x"), ("state", &state), ("iss", "https://other.example")]))).await;
    assert!(mixed_up.status == 401 && says(&mixed_up, "another identity provider"), "{}", mixed_up.body);

    // Nor one that does not say from whom it is, where the provider has promised to say it; and neither has used the sign-in up.
    let nameless = browser.get(&format!("/auth/callback?{}", encoded(&[("code", "x"), ("state", &state)]))).await;
    assert!(nameless.status == 401 && says(&nameless, "another identity provider"), "{}", nameless.body);
    let back = browser.answer_provider(&fields, "mira", "atelier").await.location().to_owned();
    assert_eq!(browser.get(&back).await.status, 303);

    let fields = browser.begin_sign_in("/t/lumenta").await;
    let state = fields.iter().find(|(k, _)| k == "state").unwrap().1.clone();
    let issuer = format!("{}/dev-idp", portal.url);
    let said = [("error", "access_denied"), ("error_description", "<b>no</b>"), ("state", &state), ("iss", &issuer)];
    let denied = browser.get(&format!("/auth/callback?{}", encoded(&said))).await;
    assert!(denied.status == 401 && says(&denied, "did not let you in"), "{}", denied.body);
    assert!(!says(&denied, "<b>no"), "what comes from outside is not shown as it is");
    assert!(says(&denied, "return_to=/t/lumenta"), "the way back is kept: {}", denied.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_another_site_after_signing_in() {
    let portal = TestPortal::start().await;
    for bad in ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "/auth/logout"] {
        assert_eq!(portal.browser().sign_in("vera", bad).await, "/", "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_provider_refuses_foreign_clients_and_addresses_without_redirecting() {
    let portal = TestPortal::start().await;
    let mut browser = portal.browser();
    let good = browser.begin_sign_in("/").await;
    for (field, value) in [
        ("redirect_uri", "https://evil.example/auth/callback"),
        ("client_id", "other"),
        ("code_challenge_method", "plain"),
        ("code_challenge", ""),
        ("response_type", "token"),
    ] {
        let fields: Vec<_> = good.iter().map(|(k, v)| (k.as_str(), if k == field { value } else { v })).collect();
        let answer = browser.get(&format!("/dev-idp/authorize?{}", encoded(&fields))).await;
        assert_eq!((answer.status, answer.location()), (400, ""), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_starts_without_its_provider_and_says_so_at_sign_in() {
    // Nothing listens there.
    let portal = TestPortal::with(&["--role", "web,gateway", "--issuer", "http://127.0.0.1:9/realms/none"]).await;
    let mut browser = portal.browser();
    assert_eq!(browser.get("/healthz").await.status, 200);
    let answer = browser.get("/auth/login?return_to=/t/lumenta").await;
    assert_eq!(answer.status, 503);
    assert!(says(&answer, "does not answer, so nobody can sign in now") && says(&answer, "Try again"), "{}", answer.body);
}
