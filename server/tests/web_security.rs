//! What every page and form of the portal keeps to: strangers, other sites, headers, the same form twice, bad uploads.

mod portal;

use portal::{TestPortal, says};

const ROWS: &str =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Where is Aarhus?\"},{\"role\":\"assistant\",\"content\":\"In Denmark.\"}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn another_site_can_make_a_browser_send_nothing() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    for origin in [Some("https://evil.example".to_owned()), Some("null".to_owned()), Some(format!("{}.evil.example", portal.url)), None] {
        mira.origin.clone_from(&origin);
        let refused = mira.post_form("/auth/logout", &[]).await;
        assert_eq!(refused.status, 403, "{origin:?}");
        assert!(says(&refused, "came from another site, so nothing was done"), "{}", refused.body);
        assert_eq!(mira.call("/rpc/home", "tenant=lumenta").await.status, 403, "{origin:?}");
        assert_eq!(mira.upload("lumenta", "text/html", &[("name", "x")], "x.jsonl", ROWS.as_bytes()).await.status, 403, "{origin:?}");
    }
    mira.origin = Some(portal.url.clone());
    assert_eq!(mira.call("/rpc/home", "tenant=lumenta").await.status, 200, "still signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_others_is_not_found_on_any_route() {
    let portal = TestPortal::start().await;
    let mut otto = portal.signed_in("otto").await;
    assert_eq!(otto.get("/t/velkor").await.status, 200);
    for (own, other) in [("lumenta", "no-such-tenant")] {
        let hidden = otto.get(&format!("/t/{own}/runs")).await;
        let absent = otto.get(&format!("/t/{other}/runs")).await;
        assert_eq!((hidden.status, absent.status), (404, 404));
        let (a, b) = (otto.call("/rpc/home", &format!("tenant={own}")).await, otto.call("/rpc/home", &format!("tenant={other}")).await);
        assert_eq!((a.status, b.status), (404, 404));
        assert_eq!(a.body.replace(own, "X"), b.body.replace(other, "X"), "the two must look the same");
        assert_eq!(otto.get_json(&format!("/t/{own}/events")).await.status, 404);
        assert_eq!(otto.get_json(&format!("/t/{own}/models/x/card.md")).await.status, 404);
        assert_eq!(otto.upload(own, "application/json", &[("name", "x")], "x.jsonl", ROWS.as_bytes()).await.status, 404);
        assert_eq!(
            otto.post_json(&format!("/t/{own}/playground/chat"), serde_json::json!({"models": ["x"], "question": "x"})).await.status,
            404
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_signed_in_hears_so() {
    let portal = TestPortal::start().await;
    let mut stranger = portal.browser();
    for page in ["/", "/t/lumenta", "/t/lumenta/keys", "/admin/tenants"] {
        let answer = stranger.get(page).await;
        assert_eq!(answer.status, 303, "{page}");
        assert!(answer.location().starts_with("/login?return_to=/"), "{page}: {}", answer.location());
    }
    let answer = stranger.call("/rpc/home", "tenant=lumenta").await;
    assert_eq!((answer.status, answer.json()["kind"].as_str()), (401, Some("unauthenticated")));
    assert_eq!(stranger.get_json("/t/lumenta/events").await.status, 401);
    assert_eq!(stranger.upload("lumenta", "text/html", &[("name", "x")], "x", b"x").await.status, 401);
    // A session that somebody made up.
    stranger.cookies.insert("sid".into(), "A".repeat(43));
    assert_eq!(stranger.call("/rpc/home", "tenant=lumenta").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_tells_the_browser_what_it_may_do() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    for page in ["/login", "/t/lumenta", "/nowhere", "/auth/callback"] {
        let answer = mira.get(page).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'") && !policy.contains("script-src 'unsafe"),
            "{page}: {policy}"
        );
        assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"), "{page}");
        assert!(answer.header("x-request-id").starts_with("req_"), "{page}");
    }
    let page = mira.get("/t/lumenta").await;
    let nonce = page.header("content-security-policy").split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert!(page.body.contains(&format!("nonce=\"{nonce}\"")), "the scripts of the page carry the nonce of the header");
    assert_ne!(
        nonce,
        mira.get("/t/lumenta").await.header("content-security-policy").split("'nonce-").nth(1).unwrap().split('\'').next().unwrap()
    );
    assert_eq!(mira.get("/nowhere").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_from_the_build_and_from_nowhere_else() {
    let site = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(site.path().join("pkg/fonts")).unwrap();
    let named = "atelier.0123456789abcdef.css";
    let list = site.path().join("pkg/files.json");
    std::fs::write(site.path().join("pkg").join(named), "body{}").unwrap();
    std::fs::write(site.path().join("pkg").join(format!("{named}.br")), "compressed").unwrap();
    std::fs::write(site.path().join("pkg/other.css"), "other").unwrap();
    std::fs::write(&list, format!("{{\"atelier.css\": \"{named}\"}}")).unwrap();
    std::fs::write(site.path().join("secret.txt"), "secret").unwrap();
    let portal = TestPortal::with(&["--role", "web,gateway", "--site", &site.path().display().to_string()]).await;
    let mut browser = portal.browser();

    // A page names the file by its content, and that name may be kept for ever.
    let page = browser.get("/login").await;
    assert!(page.body.contains(&format!("href=\"/pkg/{named}\"")) && !page.body.contains("\"/pkg/atelier.css\""), "{}", page.body);
    let sheet = browser.get(&format!("/pkg/{named}")).await;
    assert_eq!((sheet.status, sheet.header("content-type"), sheet.body.as_str()), (200, "text/css; charset=utf-8", "body{}"));
    assert_eq!(sheet.header("cache-control"), "public, max-age=31536000, immutable");
    // The plain name is for those who know no other, and is asked for again each time.
    let plain = browser.get("/pkg/atelier.css").await;
    assert_eq!((plain.body.as_str(), plain.header("cache-control")), ("body{}", "public, no-cache"));
    for name in ["/pkg/other.css", "/pkg/files.json", "/pkg/atelier.css?v=3"] {
        assert_eq!(browser.get(name).await.header("cache-control"), "public, no-cache", "{name}");
    }
    let http = reqwest::Client::new();
    let same = http.get(format!("{}/pkg/{named}", portal.url)).header("if-none-match", sheet.header("etag")).send().await.unwrap();
    assert_eq!(same.status(), 304);
    let small = http.get(format!("{}/pkg/{named}", portal.url)).header("accept-encoding", "gzip, br").send().await.unwrap();
    assert_eq!(small.headers()["content-encoding"], "br");
    assert_eq!(small.headers()["cache-control"], "public, max-age=31536000, immutable");

    // Built anew while the portal runs: the next page names the new file.
    let next = "atelier.fedcba9876543210.css";
    std::fs::write(site.path().join("pkg").join(next), "body{color:red}").unwrap();
    std::fs::write(site.path().join("pkg/next"), format!("{{\"atelier.css\": \"{next}\"}}")).unwrap();
    std::fs::rename(site.path().join("pkg/next"), &list).unwrap();
    assert!(browser.get("/login").await.body.contains(&format!("href=\"/pkg/{next}\"")), "the page names what was built before");
    assert_eq!(browser.get("/pkg/atelier.css").await.body, "body{color:red}");
    for outside in ["/pkg/..%2fsecret.txt", "/pkg/%2e%2e/secret.txt", "/pkg//etc/passwd", "/pkg/fonts", "/pkg/none.css", "/secret.txt"] {
        let answer = browser.get(outside).await;
        assert!(answer.status == 404 && !answer.body.contains("secret\n") && answer.body != "secret", "{outside}: {}", answer.status);
    }
}

/// A development build's program has 19 MB. Whoever only wants to sign in waits for none of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_page_works_without_the_program_in_the_browser() {
    let portal = TestPortal::start().await;
    let page = portal.browser().get("/login").await;
    let lines = |word: &str| page.body.split('<').filter(|tag| tag.contains(word)).map(str::to_owned).collect::<Vec<_>>();
    for loads in ["type=\"module\"", "import(", "script src", "modulepreload"] {
        assert!(!page.body.contains(loads), "{loads} in {}", page.body);
    }
    let files = lines("/pkg/atelier");
    assert!(files.len() >= 2 && lines(".wasm").len() == 1, "{files:?}");
    // Fetched when nothing else is to do, and by no other way.
    assert!(files.iter().all(|tag| tag.contains("rel=\"prefetch\"") || tag.contains("rel=\"stylesheet\"")), "{files:?}");
    assert!(page.body.contains("href=\"/auth/login"), "{}", page.body);
    // Every other page begins with it.
    let mut mira = portal.signed_in("mira").await;
    assert!(mira.get("/t/lumenta").await.body.contains("<script type=\"module\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_answers_scripts_with_json_and_forms_with_the_page() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let json = mira
        .upload("lumenta", "application/json", &[("name", "facts"), ("held_out_percent", "10")], "facts.jsonl", ROWS.repeat(20).as_bytes())
        .await;
    assert_eq!((json.status, json.json()["href"].as_str()), (200, Some("/t/lumenta/datasets/facts?v=1")), "{}", json.body);
    // The same form sent again is a second version, never a second dataset or an error.
    let page = mira.upload("lumenta", "text/html", &[("name", "facts")], "facts.jsonl", ROWS.repeat(20).as_bytes()).await;
    assert_eq!((page.status, page.location()), (303, "/t/lumenta/datasets/facts?v=2"), "{}", page.body);
    let mut vera = portal.signed_in("vera").await;
    let refused = vera.upload("lumenta", "application/json", &[("name", "facts")], "facts.jsonl", ROWS.as_bytes()).await;
    assert_eq!((refused.status, refused.json()["kind"].as_str()), (403, Some("forbidden")), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_upload_gets_a_page_with_the_reason_and_the_next_step() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    for (fields, file, words) in [
        (vec![("name", "Łukasz' Set!")], ROWS.as_bytes(), "ukasz-set"),
        (vec![("name", "facts"), ("held_out_percent", "many")], ROWS.as_bytes(), "not a whole percentage"),
        (vec![("name", "facts"), ("personal_data", "perhaps")], ROWS.as_bytes(), "not one of the options"),
    ] {
        let answer = mira.upload("lumenta", "text/html", &fields, "facts.jsonl", file).await;
        assert_eq!(answer.status, 422, "{words}: {}", answer.body);
        assert!(says(&answer, words) && says(&answer, "Back to the upload"), "{words}: {}", answer.body);
    }
    let request = mira.post_form("/t/lumenta/datasets-upload", &[("name", "facts")]).await;
    assert!(request.status == 422 && says(&request, "Use the upload page"), "{}", request.body);
    assert_eq!(mira.call("/rpc/datasets/list", "tenant=lumenta&text=&checks=").await.json()["total"], 0, "nothing was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_form_twice_makes_one_thing_and_a_clear_answer() {
    let portal = TestPortal::start().await;
    let mut admin = portal.signed_in("admin").await;
    let form =
        [("name", "third"), ("title", "Third"), ("quota[concurrent_runs]", "1"), ("quota[storage_gb]", "5"), ("quota[endpoints]", "1")];
    let first = admin.post_form("/rpc/admin/tenant-create", &form).await;
    assert_eq!((first.status, first.location()), (302, "/admin/tenants/third"), "{}", first.body);
    let again = admin.call("/rpc/admin/tenant-create", &portal::encoded(&form)).await;
    assert_eq!((again.status, again.json()["sentence"].as_str()), (422, Some("The tenant “third” exists already.")), "{}", again.body);
    let tenants = admin.call("/rpc/admin/tenants", "").await;
    assert_eq!(tenants.body.matches("\"name\":\"third\"").count(), 1, "{}", tenants.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_members_and_end_when_the_portal_stops() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let mut stream = mira.stream("/t/lumenta/events?topic=dataset_version").await;
    assert_eq!((stream.status().as_u16(), stream.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    mira.upload("lumenta", "application/json", &[("name", "facts")], "facts.jsonl", ROWS.as_bytes()).await;
    let mut heard = String::new();
    while !heard.contains("event: change") {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(10), stream.chunk()).await.expect("an event within 10 s").unwrap();
        heard.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
    }
    assert!(heard.contains("\"topic\":\"dataset_version\"") && heard.contains("\nid: ") || heard.contains("id: "), "{heard}");
    portal.portal.stop.cancel();
    let rest = tokio::time::timeout(std::time::Duration::from_secs(10), async { while let Ok(Some(_)) = stream.chunk().await {} }).await;
    assert!(rest.is_ok(), "the stream ends");
    portal.portal.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_looks_at_no_cookie() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let answer = mira.get_json("/v1/models").await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert!(answer.json()["error"]["message"].is_string(), "{}", answer.body);
    assert_eq!(mira.get_json("/t/lumenta/v1/models").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_of_a_page_starts_where_the_drawing_of_the_page_began() {
    use futures::StreamExt;
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let page = mira.get("/t/lumenta/datasets").await;
    let (_, rest) = page.body.split_once("data-events-after=\"").expect("the page says how far it looked");
    let after = rest.split('"').next().unwrap();
    // A plain number would tell how much happens in other tenants.
    assert!(after.len() > 30 && after.parse::<i64>().is_err(), "{after}");
    // Happens while the browser still loads the page's script.
    let made = mira.call("/rpc/keys/create", "tenant=lumenta&form[label]=between&form[may]=all").await;
    assert_eq!(made.status, 200, "{}", made.body);
    // Long enough that every listener that starts now begins behind it.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let mut events = mira.stream(&format!("/t/lumenta/events?after={after}")).await.bytes_stream();
    let told = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        let mut heard = String::new();
        while !heard.contains("\"key\"") {
            heard.push_str(&String::from_utf8_lossy(&events.next().await.expect("the stream goes on").unwrap()));
        }
        heard
    });
    let heard = told.await.expect("what happened between the drawing and the stream was not told");
    let places: Vec<&str> = heard.lines().filter_map(|l| l.strip_prefix("id: ")).collect();
    assert!(!places.is_empty() && places.iter().all(|p| p.parse::<i64>().is_err()) && !heard.contains("\"seq\""), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_dataset_come_by_plain_links_and_go_by_plain_forms() {
    let portal = TestPortal::with(&["--role", "web,gateway,controller"]).await;
    let mut jonas = portal.signed_in("jonas").await;
    for _ in 0..2 {
        assert_eq!(jonas.upload("lumenta", "text/html", &[("name", "facts")], "facts.jsonl", ROWS.as_bytes()).await.status, 303);
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let page = loop {
        let page = jonas.get("/t/lumenta/datasets/facts").await;
        if page.body.contains("/t/lumenta/datasets/facts/files/train?v=2") {
            break page;
        }
        assert!(std::time::Instant::now() < end, "{}", page.body);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(says(&page, "The same file as version 1"), "{}", page.body);
    let original = jonas.get("/t/lumenta/datasets/facts/files/original?v=2").await;
    assert_eq!((original.status, original.body.as_str()), (200, ROWS));
    assert_eq!(original.header("content-disposition"), "attachment; filename=\"facts-v2-original.jsonl\"");
    assert_eq!((original.header("content-type"), original.header("x-content-type-options")), ("application/octet-stream", "nosniff"));
    for (file, holds) in [("train", "In Denmark."), ("held-out", ""), ("verdicts", "\"accepted\":true")] {
        let answer = jonas.get(&format!("/t/lumenta/datasets/facts/files/{file}?v=2")).await;
        assert!(answer.status == 200 && answer.body.contains(holds), "{file}: {}", answer.body);
    }
    assert_eq!(jonas.get("/t/lumenta/datasets/facts/files/nothing?v=2").await.status, 404);
    assert_eq!(portal.signed_in("otto").await.get("/t/lumenta/datasets/facts/files/train?v=2").await.status, 404);

    let versions = jonas.get("/t/lumenta/datasets/facts?v=2&tab=versions").await;
    assert!(says(&versions, "Delete version 2 for good"), "{}", versions.body);
    let gone = jonas.post_form("/rpc/datasets/delete", &[("tenant", "lumenta"), ("name", "facts"), ("number", "2")]).await;
    assert!(gone.status == 302 || gone.status == 303, "{} {}", gone.status, gone.body);
    assert_eq!(gone.location(), "/t/lumenta/datasets/facts?tab=versions");
    assert_eq!(jonas.get("/t/lumenta/datasets/facts?v=2").await.status, 404);
    assert_eq!(jonas.get("/t/lumenta/datasets/facts/files/original?v=1").await.status, 200);
}
