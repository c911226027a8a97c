//! A provider that is silent, endless, leads elsewhere, or changes its keys: bounded time, bounded bytes, few questions.

use super::{Behaviour, Double, Reply, Signed, back};
use crate::portal::says;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn many_sign_ins_at_a_silent_provider_ask_it_once_and_end_together() {
    let double = Double::start().await;
    double.now(Behaviour { description: Reply::Silent, ..Behaviour::default() });
    let portal = double.portal(&[]).await;
    let began = Instant::now();
    let all = futures::future::join_all((0..20).map(|_| async {
        let mut browser = portal.browser();
        browser.get("/auth/login").await
    }));
    for answer in all.await {
        assert!(answer.status == 503 && says(&answer, "does not answer, so nobody can sign in now"), "{}", answer.body);
    }
    // One question's time (5 s); one after the other they would take 100 s.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    // Once for everybody, and once more by the portal itself, which looks at its start what is wrong.
    let asked = double.asked("description");
    assert!((1..=3).contains(&asked), "asked {asked} times");

    // As soon as it answers, so do we, after a wait that is told in the code.
    double.now(Behaviour::default());
    let until = Instant::now() + Duration::from_secs(60);
    while portal.browser().get("/auth/login").await.status != 303 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_never_traded_ends_the_sign_in_in_words() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    double.now(Behaviour { token: Reply::Silent, ..Behaviour::default() });
    let mut browser = portal.browser();
    let answer = double.begin(&mut browser).await;
    let began = Instant::now();
    let met = back(&mut browser, &answer).await;
    assert!(met.status == 503 && says(&met, "does not answer"), "{}", met.body);
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_unknown_keys_ask_for_the_keys_once_more_and_not_with_each() {
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    double.now(Behaviour { signed: Signed::Key(2), ..Behaviour::default() });
    portal.browser().get("/auth/login").await;
    let before = double.asked("keys");
    let all = futures::future::join_all((0..10).map(|_| async {
        let mut browser = portal.browser();
        double.sign_in(&mut browser).await
    }));
    for met in all.await {
        assert!(met.status == 401 && says(&met, "could not be trusted"), "{}", met.body);
    }
    for _ in 0..3 {
        assert_eq!(double.sign_in(&mut portal.browser()).await.status, 401);
    }
    assert_eq!(double.asked("keys") - before, 1);
    // What is wrong with a token for another reason asks for nothing.
    double.now(Behaviour { claims: serde_json::json!({ "nonce": "another" }), ..Behaviour::default() });
    assert_eq!(double.sign_in(&mut portal.browser()).await.status, 401);
    assert_eq!(double.asked("keys") - before, 1);
    double.now(Behaviour::default());
    assert_eq!(double.sign_in(&mut portal.browser()).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_endless_answer_no_more_is_read_than_an_honest_one_has() {
    for (what, behaviour) in [
        ("description", Behaviour { description: Reply::Endless, ..Behaviour::default() }),
        ("keys", Behaviour { keys: Reply::Endless, ..Behaviour::default() }),
    ] {
        let double = Double::start().await;
        double.now(behaviour);
        let portal = double.portal(&[]).await;
        let met = portal.browser().get("/auth/login").await;
        assert!(met.status == 503 && double.asked(what) > 0, "{what}: {} {}", met.status, met.body);
        // A megabyte a question, and what the machine's buffers hold besides.
        assert!(double.poured() < 40 << 20, "{what}: {} MiB", double.poured() >> 20);
    }
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    double.now(Behaviour { token: Reply::Endless, ..Behaviour::default() });
    let met = double.sign_in(&mut portal.browser()).await;
    assert_eq!(met.status, 503, "{}", met.body);
    assert!(double.poured() < 40 << 20, "token: {} MiB", double.poured() >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_leads_elsewhere_is_not_followed() {
    for behaviour in
        [Behaviour { description: Reply::Redirect, ..Behaviour::default() }, Behaviour { keys: Reply::Redirect, ..Behaviour::default() }]
    {
        let double = Double::start().await;
        double.now(behaviour);
        let portal = double.portal(&[]).await;
        let met = portal.browser().get("/auth/login").await;
        assert!(met.status == 503 && double.asked("description") > 0, "{}", met.body);
        assert_eq!(double.asked("elsewhere"), 0);
    }
    let double = Double::start().await;
    let portal = double.portal(&[]).await;
    double.now(Behaviour { token: Reply::Redirect, ..Behaviour::default() });
    assert_eq!(double.sign_in(&mut portal.browser()).await.status, 401);
    assert_eq!(double.asked("elsewhere"), 0);
}
