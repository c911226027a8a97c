//! Forms that are posted with scripts off: what was wrong is said on the page of the form, once, and nobody else can have it said there.

mod portal;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use portal::{TestPortal, encoded, says};

const PAGE: &str = "/admin/tenants-new";
const CREATE: &str = "/rpc/admin/tenant-create";

fn form(name: &str) -> [(&str, &str); 5] {
    [("name", name), ("title", "Third"), ("quota[concurrent_runs]", "1"), ("quota[storage_gb]", "much"), ("quota[endpoints]", "1")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_form_comes_back_to_its_page_with_the_problem_once_and_never_in_the_address() {
    let portal = TestPortal::start().await;
    let mut admin = portal.signed_in("admin").await;
    let words = "Enter the storage quota in GB.";
    let back = admin.post_form_of(&format!("{PAGE}?q=kept"), CREATE, &form("third")).await;
    assert_eq!((back.status, back.location()), (302, "/admin/tenants-new?q=kept"), "{}", back.body);
    let cookie = back.header("set-cookie");
    assert!(cookie.starts_with("returned=") && cookie.contains("HttpOnly") && cookie.contains("Max-Age=60"), "{cookie}");

    let other = admin.get("/admin/tenants").await;
    assert!(other.status == 200 && !says(&other, words), "another page, opened between, says it");
    let page = admin.get(back.location()).await;
    assert!(page.status == 200 && says(&page, words), "the page of the form does not say it: {}", page.body);
    // The program in the browser begins with what the server drew.
    assert!(says(&page, &format!("data-returned-function=\"{CREATE}\"")), "{}", page.body);
    let later = admin.get(PAGE).await;
    assert!(later.status == 200 && !says(&later, words), "it is said a second time");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_write_an_error_of_the_portal_into_an_address() {
    let portal = TestPortal::start().await;
    let mut admin = portal.signed_in("admin").await;
    let words = "Your account is blocked. Call 555 0100.";
    let error = serde_json::json!({"kind": "invalid", "sentence": words, "next_step": "", "fields": []}).to_string();
    for error in [URL_SAFE.encode(&error), URL_SAFE.encode(words)] {
        for names in [["__path", "__err"], ["__err", "__path"]] {
            let said = |name: &str| if name == "__err" { error.as_str() } else { CREATE };
            let pairs = [("q", "kept"), (names[0], said(names[0])), (names[1], said(names[1]))];
            let answer = admin.get(&format!("{PAGE}?{}", encoded(&pairs))).await;
            assert!(!says(&answer, words), "{}", answer.body);
            // The program in the browser reads addresses too, so there must be none to read.
            assert_eq!((answer.status, answer.location()), (303, "/admin/tenants-new?q=kept"));
            let page = admin.get(answer.location()).await;
            assert!(page.status == 200 && !says(&page, words) && !says(&page, "data-returned"), "{}", page.body);
        }
    }
}
