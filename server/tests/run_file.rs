//! The settings of a new run as a file, with scripts off.

mod portal;

use portal::{Answer, Browser, TestPortal, says};

/// Sends the form of a new run with a file, as a browser does.
async fn open(portal: &TestPortal, browser: &mut Browser, fields: &[(&str, &str)], file: &[u8]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes());
    }
    body.extend(b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"run.yaml\"\r\n\r\n");
    body.extend(file);
    body.extend(b"\r\n--B--\r\n");
    let request = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = request.post(format!("{}/t/lumenta/runs-file-open", portal.url)).header("origin", &portal.url);
    let request = request.header("accept", "text/html").header("content-type", "multipart/form-data; boundary=B");
    browser.send(request.body(body)).await
}

/// The fields in an address, as the page reads them.
fn field(address: &str, name: &str) -> Option<String> {
    let query = address.split_once('?')?.1;
    let mut pairs = openidconnect::url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_settings_is_opened_and_saved_without_scripts_and_what_was_typed_stays() {
    let portal = TestPortal::start().await;
    let mut jonas = portal.signed_in("jonas").await;
    let typed = [
        ("tenant", "lumenta"),
        ("form[name]", "facts-9"),
        ("form[dataset]", "facts@3"),
        ("form[yaml]", "seed: 1\r\n"),
        ("form[submission]", "x"),
    ];
    let file = "\u{feff}# mine\r\nlora_rank: 48   # more\r\n";
    let opened = open(&portal, &mut jonas, &typed, file.as_bytes()).await;
    let to = opened.location();
    assert!(opened.status == 303 && to.starts_with("/t/lumenta/runs-new?"), "{} {to}", opened.status);
    assert_eq!(field(to, "form[yaml]").as_deref(), Some("# mine\nlora_rank: 48   # more\n"));
    assert_eq!((field(to, "form[name]").as_deref(), field(to, "form[dataset]").as_deref()), (Some("facts-9"), Some("facts@3")));
    assert_eq!((field(to, "view").as_deref(), field(to, "form[submission]")), (Some("yaml"), None));

    let saved = jonas
        .post_form("/t/lumenta/runs-file", &[&typed[..3], &[("form[yaml]", "# mine\r\nseed: 1\r\n"), ("form[seed]", "8")]].concat())
        .await;
    assert_eq!((saved.status, saved.body.as_str()), (200, "# mine\nseed: 8\n"));
    assert_eq!(saved.header("content-disposition"), "attachment; filename=\"facts-9.yaml\"");
    assert_eq!(saved.header("content-type"), "text/yaml; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_holds_no_settings_is_refused_in_words_and_leads_back_to_the_form() {
    let portal = TestPortal::start().await;
    let mut jonas = portal.signed_in("jonas").await;
    let typed = [("form[name]", "facts-9")];
    for (file, words) in [
        (b"\xff\xfes\0e\0e\0d\0".to_vec(), "no text in UTF-8"),
        (vec![b'#'; 20_000], "more than 16\u{a0}KB"),
        (Vec::new(), "No file came with the form"),
    ] {
        let refused = open(&portal, &mut jonas, &typed, &file).await;
        assert!(refused.status == 422 && says(&refused, words), "{words}: {} {}", refused.status, refused.body);
        assert!(refused.body.contains("Back to the form") && refused.body.contains("facts-9"), "{}", refused.body);
    }
    let mut otto = portal.signed_in("otto").await;
    assert_eq!(open(&portal, &mut otto, &typed, b"seed: 7\n").await.status, 404);
}
