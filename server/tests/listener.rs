//! The listener over real sockets, with limits so tight that a test can wait for them.

mod portal;

use portal::{Browser, TestPortal};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ROW: &str =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Where is Aarhus?\"},{\"role\":\"assistant\",\"content\":\"In Denmark.\"}]}\n";
/// For whatever must happen on a slow machine.
const SOON: Duration = Duration::from_secs(60);

async fn connect(portal: &TestPortal) -> TcpStream {
    TcpStream::connect(portal.portal.address).await.unwrap()
}

/// What comes until the other side closes; a reset counts as closed.
async fn to_the_end(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    let reading = async {
        while let Ok(n @ 1..) = socket.read(&mut piece).await {
            all.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("the connection is closed");
    String::from_utf8_lossy(&all).into_owned()
}

/// Asks for `/healthz` and reads its answer; the connection stays.
async fn ask(socket: &mut TcpStream) -> String {
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let mut piece = [0; 4096];
            match socket.read(&mut piece).await {
                Ok(n @ 1..) => answer.extend_from_slice(&piece[..n]),
                _ => break,
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_byte_by_byte_is_cut_off_when_its_time_is_over() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--head-timeout", "0.5"]).await;
    let mut slow = connect(&portal).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let (mut reads, mut writes) = slow.into_split();
    let dripping = tokio::spawn(async move {
        while writes.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await
        }
    });
    let closed = tokio::time::timeout(SOON, async {
        let mut piece = [0; 1024];
        while let Ok(1..) = reads.read(&mut piece).await {}
    });
    assert!(closed.await.is_ok(), "each byte gave the head more time");
    dripping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_says_anything_is_closed() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--head-timeout", "0.3"]).await;
    assert_eq!(to_the_end(&mut connect(&portal).await).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_between_two_requests_is_kept_for_its_time_and_then_closed() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--keep-alive-timeout", "2", "--head-timeout", "300"]).await;
    let mut socket = connect(&portal).await;
    for _ in 0..3 {
        assert!(ask(&mut socket).await.starts_with("HTTP/1.1 200"), "several requests on one connection");
    }
    assert_eq!(to_the_end(&mut socket).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_head_on_a_kept_connection_has_the_time_of_a_head_and_not_of_silence() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--head-timeout", "0.5", "--keep-alive-timeout", "3600"]).await;
    let mut socket = connect(&portal).await;
    assert!(ask(&mut socket).await.starts_with("HTTP/1.1 200"));
    socket.write_all(b"GET /heal").await.unwrap();
    assert_eq!(to_the_end(&mut socket).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_falls_silent_is_told_so_and_not_waited_for() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--body-timeout", "0.5"]).await;
    let mut socket = connect(&portal).await;
    let host = portal.portal.address;
    let head = format!(
        "POST /rpc/whoami HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\naccept: application/json\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nhalf="
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = to_the_end(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("No more of the request arrived for 0.5 s"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_falls_silent_ends_by_the_limit_of_every_body_and_keeps_nothing() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--body-timeout", "0.5"]).await;
    let mut mira = portal.signed_in("mira").await;
    let opening = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nsilent\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n";
    let begun = futures::stream::iter([std::io::Result::Ok(format!("{opening}{ROW}"))]);
    let request = reqwest::Client::new()
        .post(format!("{}/t/lumenta/datasets-upload", portal.url))
        .header("accept", "application/json")
        .header("origin", &portal.url)
        .header("content-type", "multipart/form-data; boundary=B")
        .body(reqwest::Body::wrap_stream(futures::StreamExt::chain(begun, futures::stream::pending())));
    let answer = tokio::time::timeout(SOON, mira.send(request)).await.expect("an answer");
    assert!(
        (400..500).contains(&answer.status) && answer.body.contains("The upload was interrupted after 105\u{a0}B; nothing was stored."),
        "{} {}",
        answer.status,
        answer.body
    );
    assert!(!mira.call("/rpc/home", "tenant=lumenta").await.body.contains("silent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_comes_slowly_but_steadily_takes_as_long_as_it_wants() {
    let limits = ["--body-timeout", "4", "--head-timeout", "4", "--keep-alive-timeout", "4", "--write-timeout", "4"];
    let portal = TestPortal::with(&[&["--role", "web,gateway"][..], &limits].concat()).await;
    let mut mira = portal.signed_in("mira").await;
    let opening = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nslow\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n";
    let pieces: Vec<String> =
        std::iter::once(opening.to_owned()).chain((0..24).map(|_| ROW.to_owned())).chain(["\r\n--B--\r\n".to_owned()]).collect();
    let body = futures::stream::unfold(pieces.into_iter(), |mut rest| async move {
        tokio::time::sleep(Duration::from_millis(250)).await;
        Some((std::io::Result::Ok(rest.next()?), rest))
    });
    let began = Instant::now();
    let request = reqwest::Client::new()
        .post(format!("{}/t/lumenta/datasets-upload", portal.url))
        .header("accept", "application/json")
        .header("origin", &portal.url)
        .header("content-type", "multipart/form-data; boundary=B")
        .body(reqwest::Body::wrap_stream(body));
    let answer = mira.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(began.elapsed() > Duration::from_secs(5), "longer than every limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_outlives_every_limit() {
    let limits = ["--body-timeout", "0.5", "--head-timeout", "2", "--keep-alive-timeout", "0.5", "--write-timeout", "0.5"];
    let portal = TestPortal::with(&[&["--role", "web,gateway"][..], &limits].concat()).await;
    let mut mira = portal.signed_in("mira").await;
    let mut events = mira.stream("/t/lumenta/events").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    mira.upload("lumenta", "application/json", &[("name", "facts")], "facts.jsonl", ROW.as_bytes()).await;
    let mut heard = String::new();
    while !heard.contains("event: change") {
        let piece = tokio::time::timeout(SOON, events.chunk()).await.expect("an event").expect("the stream goes on");
        heard.push_str(&String::from_utf8_lossy(&piece.expect("the stream goes on")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answer_is_dropped() {
    const BYTES: u64 = 256 * 1024 * 1024;
    let site = tempfile::tempdir().unwrap();
    std::fs::create_dir(site.path().join("pkg")).unwrap();
    // More than any socket buffer holds, and nothing on the disk.
    std::fs::File::create(site.path().join("pkg/large.txt")).unwrap().set_len(BYTES).unwrap();
    let portal = TestPortal::with(&["--role", "web,gateway", "--site", &site.path().display().to_string(), "--write-timeout", "0.5"]).await;
    let mut lazy = connect(&portal).await;
    let head = format!("GET /pkg/large.txt HTTP/1.1\r\nhost: {}\r\n\r\n", portal.portal.address);
    lazy.write_all(head.as_bytes()).await.unwrap();
    // Reading nothing, it learns of the end by what it is still allowed to write.
    let dropped = tokio::time::timeout(SOON, async {
        while lazy.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(dropped.await.is_ok(), "the portal still holds the answer");
    // One that reads gets all of it under the same limit, however long it takes.
    let whole = reqwest::get(format!("{}/pkg/large.txt", portal.url)).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len() as u64, BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_so_many_connections_and_then_a_sentence() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--max-connections-per-address", "3"]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut socket = connect(&portal).await;
        assert!(ask(&mut socket).await.starts_with("HTTP/1.1 200"));
        held.push(socket);
    }
    let refused = to_the_end(&mut connect(&portal).await).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 5") && refused.contains("Your address has"), "{refused}");
    held.pop();
    until_answered(&portal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_holds_so_many_connections_and_a_proxy_brings_many_people() {
    // Loopback is the proxy here: the cap per address is not for it, the one in all is.
    let flags = ["--role", "web,gateway", "--max-connections", "5", "--max-connections-per-address", "1", "--trusted-proxy", "127.0.0.0/8"];
    let portal = TestPortal::with(&flags).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut socket = connect(&portal).await;
        assert!(ask(&mut socket).await.starts_with("HTTP/1.1 200"));
        held.push(socket);
    }
    let refused = to_the_end(&mut connect(&portal).await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("as many connections as it can hold"), "{refused}");
    held.clear();
    until_answered(&portal).await;
}

/// Places that were given back are found, if not at once.
async fn until_answered(portal: &TestPortal) {
    let began = Instant::now();
    loop {
        let mut socket = connect(portal).await;
        if ask(&mut socket).await.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(began.elapsed() < SOON, "no place came free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_an_answer_under_way_finish_and_closes_what_is_idle() {
    let portal = TestPortal::start().await;
    let mut mira = portal.signed_in("mira").await;
    let mut idle = connect(&portal).await;
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    let (sender, receiver) = futures::channel::mpsc::unbounded::<std::io::Result<String>>();
    let opening = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nlast\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n";
    sender.unbounded_send(Ok(format!("{opening}{ROW}"))).unwrap();
    let request = reqwest::Client::new()
        .post(format!("{}/t/lumenta/datasets-upload", portal.url))
        .header("accept", "application/json")
        .header("origin", &portal.url)
        .header("content-type", "multipart/form-data; boundary=B")
        .body(reqwest::Body::wrap_stream(receiver));
    let uploading = tokio::spawn(async move { mira.send(request).await });
    // Three connections: the browser that signed in, the idle one, the upload.
    let began = Instant::now();
    while portal.portal.connections.open() < 3 && began.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    portal.portal.stop.cancel();
    assert_eq!(to_the_end(&mut idle).await, "", "an idle connection ends at once");
    let began = Instant::now();
    while TcpStream::connect(portal.portal.address).await.is_ok() && began.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sender.unbounded_send(Ok(format!("{ROW}\r\n--B--\r\n"))).unwrap();
    drop(sender);
    let answer = uploading.await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, "close"), "{}", answer.body);
    tokio::time::timeout(SOON, portal.portal.stopped()).await.expect("it stops").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_task_that_panics_ends_the_portal_with_an_error() {
    let portal = TestPortal::start().await;
    let address = portal.portal.address;
    portal.portal.tasks.spawn("weather", async { panic!("no clouds") });
    let ended = tokio::time::timeout(SOON, portal.portal.stopped()).await.expect("it stops");
    assert_eq!(ended.unwrap_err().to_string(), "The weather task panicked: no clouds, so the portal stopped.");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_tells_ages_and_turns_503_when_one_is_beyond_its_limit() {
    let portal = TestPortal::with(&[]).await;
    let ready = portal.browser().get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.body.contains("\ndirectory_age_seconds ") && ready.body.contains("\nlease_age_seconds "), "{}", ready.body);
    let gateway = TestPortal::start().await;
    assert!(!gateway.browser().get("/readyz").await.body.contains("lease"), "a process without controllers has no lease to renew");
    // Both are looked at a few times a second, so an age beyond a few milliseconds is seen soon.
    for (flag, words) in [("--directory-age-limit", "directory was last compared"), ("--lease-age-limit", "lease was last asked for")] {
        let portal = TestPortal::with(&[flag, "0.02"]).await;
        let (mut browser, began) = (portal.browser(), Instant::now());
        loop {
            let answer = browser.get("/readyz").await;
            if answer.status == 503 {
                assert!(answer.body.contains(words), "{}", answer.body);
                break;
            }
            assert!(began.elapsed() < SOON, "{flag}: always ready");
        }
    }
}

mod tls {
    use super::*;
    use std::path::Path;

    const FIRST: (&str, &str) = (include_str!("certificates/first.pem"), include_str!("certificates/first.key.pem"));
    const SECOND: (&str, &str) = (include_str!("certificates/second.pem"), include_str!("certificates/second.key.pem"));

    /// Writes a certificate for 127.0.0.1 and gives it, for clients that trust it alone.
    fn certify(folder: &Path, (cert, key): (&str, &str)) -> reqwest::Certificate {
        std::fs::write(folder.join("key.pem"), key).unwrap();
        std::fs::write(folder.join("cert.pem"), cert).unwrap();
        reqwest::Certificate::from_pem(cert.as_bytes()).unwrap()
    }

    async fn answers(portal: &TestPortal, trusted: &reqwest::Certificate) -> Result<u16, reqwest::Error> {
        let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]).no_proxy().build().unwrap();
        Ok(client.get(format!("https://{}/healthz", portal.portal.address)).send().await?.status().as_u16())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = certify(folder.path(), FIRST);
        let (cert, key) = (folder.path().join("cert.pem").display().to_string(), folder.path().join("key.pem").display().to_string());
        let issuer = "http://127.0.0.1:9/realms/none";
        let portal = TestPortal::with(&["--role", "web,gateway", "--tls-cert", &cert, "--tls-key", &key, "--issuer", issuer]).await;
        assert_eq!(answers(&portal, &first).await.unwrap(), 200);
        let plain = reqwest::get(format!("http://{}/healthz", portal.portal.address)).await;
        assert!(plain.is_err(), "no plain http beside it");

        std::fs::write(&cert, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        for _ in 0..2 {
            assert_eq!(answers(&portal, &first).await.unwrap(), 200, "the old one stays");
        }
        let second = certify(folder.path(), SECOND);
        let began = Instant::now();
        while answers(&portal, &second).await.is_err() {
            assert!(began.elapsed() < SOON, "the new certificate is never used");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(answers(&portal, &first).await.is_err(), "the old one is gone");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_portal_with_tls_gives_the_playground_a_way_to_its_gateway_and_browsers_a_strict_answer() {
        let folder = tempfile::tempdir().unwrap();
        let trusted = certify(folder.path(), FIRST);
        let (cert, key) = (folder.path().join("cert.pem").display().to_string(), folder.path().join("key.pem").display().to_string());
        let flags = ["--role", "web,gateway", "--tls-cert", &cert, "--tls-key", &key, "--issuer", "http://127.0.0.1:9/realms/none"];
        let portal = TestPortal::with(&flags).await;
        let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
        let page = client.get(format!("https://{}/login", portal.portal.address)).send().await.unwrap();
        assert_eq!(page.headers()["strict-transport-security"], "max-age=63072000; includeSubDomains");
        let inner = portal.portal.gateway_url.clone();
        assert!(inner.starts_with("http://127.0.0.1:"), "{inner}");
        let mut beside = Browser::at(&inner);
        assert_eq!(beside.get_json("/v1/models").await.status, 401, "the gateway answers there");
        assert_eq!(beside.get("/login").await.status, 404, "and nothing else does");
    }
}
