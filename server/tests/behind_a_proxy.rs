//! Who is asking, and by which name: what proxies, strangers and tricky heads can make the portal believe. And how often nobody may try.

mod portal;

use domain::{audit::Record, filter::AuditFilter};
use platform::access::PlatformScope;
use portal::{Answer, Browser, TestPortal, encoded, says};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);

async fn audit(portal: &TestPortal, action: &str) -> Vec<Record> {
    let scope = PlatformScope::command_line();
    let filter = AuditFilter { action: Some(action.into()), limit: 500, ..AuditFilter::default() };
    portal.portal.platform.platform_audit(&scope).page(filter).await.unwrap().rows
}

/// A request with further headers.
async fn get_with(browser: &mut Browser, to: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
        .get(format!("{}{to}", browser.url))
        .header("accept", "text/html");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.send(request).await
}

/// Signs in with these headers at the last step, as a proxy would add them to every one.
async fn sign_in_with(portal: &TestPortal, headers: &[(&str, &str)]) -> Answer {
    let mut mira = portal.browser();
    let fields = mira.begin_sign_in("/").await;
    let back = mira.answer_provider(&fields, "mira", "atelier").await.location().replace(&portal.url, "");
    let done = get_with(&mut mira, &back, headers).await;
    assert_eq!(done.status, 303, "{}", done.body);
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_record_shows_the_person_behind_a_trusted_proxy_and_the_proxys_request_id() {
    let said = [("x-forwarded-for", "203.0.113.9, 198.51.100.7, 127.0.0.1"), ("x-request-id", "edge-4711")];
    let portal = TestPortal::with(&["--role", "web,gateway", "--trusted-proxy", "10.0.0.0/8,127.0.0.0/8"]).await;
    let answer = sign_in_with(&portal, &said).await;
    assert_eq!(answer.header("x-request-id"), "edge-4711");
    let record = &audit(&portal, "session.sign_in").await[0].entry;
    assert_eq!((record.from_ip.as_str(), record.request_id.as_str()), ("198.51.100.7", "edge-4711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_can_write_neither_an_address_nor_a_request_id_into_the_record() {
    let said = [("x-forwarded-for", "198.51.100.7"), ("x-request-id", "edge-4711"), ("x-forwarded-proto", "http")];
    let portal = TestPortal::start().await;
    let answer = sign_in_with(&portal, &said).await;
    assert!(answer.header("x-request-id").starts_with("req_"), "{}", answer.header("x-request-id"));
    let record = &audit(&portal, "session.sign_in").await[0].entry;
    assert_eq!(record.from_ip, "127.0.0.1");
    assert_eq!(record.request_id, answer.header("x-request-id"));
    assert_eq!(answer.header("x-client-request-id"), "edge-4711", "its own id is kept beside ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_given_out_under_the_portals_own_names_only() {
    let portal = TestPortal::start().await;
    let mut browser = portal.browser();
    for to in ["/login", "/auth/login", "/pkg/atelier.css", "/t/lumenta", "/dev-idp/jwks", "/nowhere"] {
        let refused = get_with(&mut browser, to, &[("host", "evil.example")]).await;
        assert_eq!(refused.status, 421, "{to}");
        assert!(says(&refused, &format!("Open {} instead", portal.url)) && !says(&refused, "evil"), "{}", refused.body);
    }
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(get_with(&mut browser, probe, &[("host", "10.1.2.3:3000")]).await.status, 200, "{probe}");
    }
    // The gateway is asked by programs, by whatever name they reach it; a key is needed anyway.
    assert_eq!(get_with(&mut browser, "/v1/models", &[("host", "atelier-gateway:3000")]).await.status, 401);
}

/// A portal that people reach as https://portal.example, through a proxy on this machine.
async fn in_production() -> TestPortal {
    let flags = ["--role", "web,gateway", "--issuer", "http://127.0.0.1:9/realms/none", "--public-url", "https://portal.example"];
    TestPortal::with(&[&flags[..], &["--trusted-proxy", "127.0.0.1", "--allowed-host", "portal.internal"]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_only_the_public_name_and_allowed_ones_count_and_every_answer_is_strict() {
    let portal = in_production().await;
    let mut browser = portal.browser();
    for ours in ["portal.example", "PORTAL.example:443", "portal.internal"] {
        let page = get_with(&mut browser, "/login", &[("host", ours)]).await;
        assert_eq!(page.status, 200, "{ours}");
        assert_eq!(page.header("strict-transport-security"), "max-age=63072000; includeSubDomains", "{ours}");
    }
    for foreign in ["127.0.0.1", "localhost", "portal.example:8443", "portal.example.evil.example"] {
        let refused = get_with(&mut browser, "/login", &[("host", foreign)]).await;
        assert_eq!((refused.status, refused.header("strict-transport-security").is_empty()), (421, false), "{foreign}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_the_proxy_by_plain_http_is_sent_to_https() {
    let portal = in_production().await;
    let mut browser = portal.browser();
    let plain = [("host", "portal.example"), ("x-forwarded-proto", "http")];
    let sent = get_with(&mut browser, "/login?return_to=/t/a", &plain).await;
    assert_eq!((sent.status, sent.location()), (308, "https://portal.example/login?return_to=/t/a"));
    let secure = get_with(&mut browser, "/login", &[("host", "portal.example"), ("x-forwarded-proto", "https")]).await;
    assert_eq!(secure.status, 200);
    let form = reqwest::Client::new().post(format!("{}/auth/logout", portal.url)).header("host", "portal.example");
    let refused = browser.send(form.header("x-forwarded-proto", "http").header("origin", "https://portal.example")).await;
    assert_eq!(refused.status, 403);
    assert!(says(&refused, "over plain http"), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_more_than_two_megabytes_is_refused_in_words_whether_it_says_its_length_or_not() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let large = "x".repeat(3 * 1024 * 1024);
    for to in ["/rpc/home", "/rpc/datasets/document", "/t/lumenta/keys-new", "/t/lumenta/playground/chat"] {
        let answer = mira.call(to, &encoded(&[("tenant", "lumenta"), ("text", &large)])).await;
        assert_eq!(answer.status, 413, "{to}: {}", answer.body);
        assert!(says(&answer, "larger than 2 MB"), "{to}: {}", answer.body);
    }
    let pieces: Vec<_> = large.as_bytes().chunks(64 * 1024).map(|c| std::io::Result::Ok(c.to_vec())).collect();
    let streamed = reqwest::Client::new()
        .post(format!("{}/rpc/home", portal.url))
        .header("accept", "application/json")
        .header("origin", &portal.url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
    let answer = mira.send(streamed).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    // A little less is no matter of size.
    let fits = mira.call("/rpc/home", &encoded(&[("tenant", "lumenta"), ("text", &"x".repeat(1024 * 1024))])).await;
    assert_eq!(fits.status, 200, "{}", fits.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_limited_by_address_and_counted_in_the_record() {
    let flags = ["--role", "web,gateway", "--refused-sign-ins-per-minute", "5", "--trusted-proxy", "127.0.0.1"];
    let portal = TestPortal::with(&flags).await;
    let mut guesser = portal.browser();
    let fields = guesser.begin_sign_in("/").await;
    for _ in 0..5 {
        assert_eq!(guesser.answer_provider(&fields, "mira", "guess").await.status, 422);
    }
    for password in ["guess", "atelier"] {
        let refused = guesser.answer_provider(&fields, "mira", password).await;
        assert_eq!(refused.status, 429, "{password}");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait) && says(&refused, &format!("Wait {wait} s")), "{}", refused.body);
    }
    assert_eq!(guesser.get("/auth/login").await.status, 429, "nor begin anew");
    // Somebody else behind the same proxy is not touched.
    let other = get_with(&mut portal.browser(), "/auth/login", &[("x-forwarded-for", "198.51.100.7")]).await;
    assert_eq!(other.status, 303);
    let refused = counted(&portal, "session.sign_in").await;
    assert_eq!(refused, [("127.0.0.1".to_owned(), 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_that_are_only_begun_are_limited_too() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--sign-ins-per-minute", "4"]).await;
    let mut browser = portal.browser();
    for _ in 0..4 {
        assert_eq!(browser.get("/auth/login").await.status, 303);
    }
    let refused = browser.get("/auth/login").await;
    assert_eq!(refused.status, 429);
    assert!(says(&refused, "too many tries to sign in from your address"), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_keys_are_limited_by_address_and_counted_and_a_valid_one_goes_on() {
    let flags = ["--role", "web,gateway", "--refused-keys-per-minute", "5"];
    let portal = TestPortal::with(&flags).await;
    let mut mira = portal.signed_in("mira").await;
    let made = mira.call("/rpc/keys/create", "tenant=lumenta&form[label]=good&form[may]=all").await;
    let secret = made.json()["secret"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned();
    let models = async |key: &str| {
        let request = reqwest::Client::new().get(format!("{}/v1/models", portal.url)).bearer_auth(key);
        portal.browser().send(request).await
    };
    let began = Instant::now();
    while models(&secret).await.status != 200 {
        assert!(began.elapsed() < SOON, "the key is never known");
    }
    let before: u64 = refused_so_far(&portal).await;
    let mut refused = 0;
    while refused < 100 {
        let answer = models("atl_wrong").await;
        refused += 1;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=60).contains(&wait)));
            let error = &answer.json()["error"];
            assert_eq!(error["code"], "too_many_refused_keys");
            assert!(error["message"].as_str().unwrap().contains("Calls with a valid key go on"), "{error}");
            break;
        }
        assert_eq!(answer.status, 401, "{}", answer.body);
    }
    assert!(refused <= 6, "{refused} refused keys from one address were answered 401");
    assert_eq!(models(&secret).await.status, 200, "a valid key is not refused for its neighbours");
    assert_eq!(refused_so_far(&portal).await, before + refused);
}

async fn refused_so_far(portal: &TestPortal) -> u64 {
    counted(portal, "key.use").await.iter().map(|(_, times)| times).sum()
}

/// Address and number of times of every counted refusal, those of the open minute too; a test may run over the end of a minute.
async fn counted(portal: &TestPortal, action: &str) -> Vec<(String, u64)> {
    portal.portal.platform.write_refusals().await.unwrap();
    let mut by_address = std::collections::BTreeMap::new();
    for record in audit(portal, action).await.into_iter().filter(|r| r.entry.result == "refused") {
        let detail = &record.entry.detail.said();
        let times = if detail.contains("once") { 1 } else { detail.split(' ').nth(1).unwrap().parse::<u64>().unwrap() };
        *by_address.entry(record.entry.from_ip).or_default() += times;
    }
    by_address.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_wait_for_their_minute_are_written_at_the_end() {
    let data = tempfile::tempdir().unwrap();
    let first = portal::start(data.path(), &["--role", "web,gateway"]).await.unwrap();
    let url = format!("http://{}", first.address);
    assert_eq!(Browser::at(&url).get_json("/v1/models").await.status, 401);
    first.stop.cancel();
    first.stopped().await.unwrap();
    let second = portal::start(data.path(), &["--role", "web,gateway"]).await.unwrap();
    let filter = AuditFilter { action: Some("key.use".into()), limit: 10, ..AuditFilter::default() };
    let records = second.platform.platform_audit(&PlatformScope::command_line()).page(filter).await.unwrap();
    assert_eq!(records.rows.len(), 1, "{records:?}");
    second.stop.cancel();
    second.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_ends_when_the_persons_rights_do() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let mut events = mira.stream("/t/lumenta/events").await;
    assert_eq!(events.status().as_u16(), 200);
    assert_eq!(mira.post_form("/auth/logout", &[]).await.status, 303);
    let ended = tokio::time::timeout(Duration::from_secs(120), async { while let Ok(Some(_)) = events.chunk().await {} });
    assert!(ended.await.is_ok(), "who signed out still hears the tenant's events");
}
