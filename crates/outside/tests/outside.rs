//! Real servers on this machine, and the traps that an entered address can be.

use domain::{external::Listed, reason::endpoint::OutsideTrouble as T};
use outside::{Allowed, Outside};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers every request with this text; counts connections and keeps the last request.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<String>>,
}

async fn server(answer: String) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { port: listener.local_addr().unwrap().port(), connections: Arc::default(), asked: Arc::default() };
    let (connections, asked) = (server.connections.clone(), server.asked.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            *asked.lock().unwrap() = String::from_utf8_lossy(&head[..read]).into_owned();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    server
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn here() -> Outside {
    Outside::new(Allowed::of(["127.0.0.0/8", "localhost"]).unwrap())
}

#[tokio::test]
async fn the_models_of_a_listed_server_are_read_with_its_key() {
    let body = r#"{"object":"list","data":[{"id":"Qwen3-32B","max_model_len":32768},{"id":"bge-m3","context_window":8192},{"id":"x"}]}"#;
    let server = server(http("200 OK", "content-type: application/json\r\n", body)).await;
    let (models, _) = here().models(&format!("http://127.0.0.1:{}/openai", server.port), Some("sk-house")).await.unwrap();
    let listed = |id: &str, context| Listed { id: id.into(), context };
    assert_eq!(models, [listed("Qwen3-32B", 32_768), listed("bge-m3", 8_192), listed("x", 0)]);
    let asked = server.asked.lock().unwrap().to_lowercase();
    assert!(asked.starts_with("get /openai/v1/models http/1.1\r\n") && asked.contains("authorization: bearer sk-house"), "{asked}");
}

#[tokio::test]
async fn every_spelling_of_this_machine_is_refused_before_a_connection_is_made() {
    let server = server(http("200 OK", "", r#"{"data":[]}"#)).await;
    let outside = Outside::new(Allowed::default());
    for host in [
        "127.0.0.1",
        "localhost",
        // Decimal, hexadecimal, octal and short forms, which the system's own resolver understands.
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "localhost.",
    ] {
        for scheme in ["http", "https"] {
            let refused = outside.models(&format!("{scheme}://{host}:{}", server.port), None).await.unwrap_err();
            let expected = matches!(refused, T::AddressNotAllowed { .. } | T::NoSuchHost | T::NotEncrypted);
            assert!(expected && (scheme == "http" || refused != T::NotEncrypted), "{scheme} {host}: {refused:?}");
        }
    }
    for metadata in ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"] {
        let refused = outside.models(&format!("https://{metadata}"), None).await.unwrap_err();
        assert!(matches!(refused, T::AddressNotAllowed { .. } | T::NoSuchHost), "{metadata}: {refused:?}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0, "somebody was let through to this machine");
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_told_as_such() {
    let refused = Outside::new(Allowed::default()).models("https://localhost", None).await.unwrap_err();
    assert!(matches!(&refused, T::AddressNotAllowed { address } if address == "127.0.0.1" || address == "::1"), "{refused:?}");
    assert!(refused.said().contains("ATELIER_OUTSIDE_ALLOWED"));
}

#[tokio::test]
async fn plain_http_goes_to_listed_places_only() {
    let refused = Outside::new(Allowed::default()).models("http://203.0.113.9", Some("sk")).await.unwrap_err();
    assert_eq!(refused, T::NotEncrypted);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let metadata = server(http("200 OK", "", r#"{"data":[{"id":"stolen"}]}"#)).await;
    let location = format!("location: http://127.0.0.1:{}/v1/models\r\n", metadata.port);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let server = server(http(status, &location, "")).await;
        let refused = here().models(&format!("http://127.0.0.1:{}", server.port), Some("sk")).await.unwrap_err();
        assert_eq!(refused, T::Redirects);
    }
    assert_eq!(metadata.connections.load(Ordering::SeqCst), 0, "the redirect was followed");
}

#[tokio::test]
async fn each_trouble_is_told_as_such() {
    for (answer, trouble) in [
        (http("401 Unauthorized", "", "sk-other is wrong"), T::KeyRefused),
        (http("403 Forbidden", "", ""), T::KeyRefused),
        (http("500 Oh No", "", "traceback"), T::Refuses { status: 500 }),
        (http("404 Not Found", "", ""), T::Refuses { status: 404 }),
        (http("200 OK", "", "<html>"), T::Garbled),
        (http("200 OK", "", &format!("{{\"data\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20))), T::Garbled),
        ("not http at all\r\n\r\n".into(), T::Garbled),
        (String::new(), T::Garbled),
    ] {
        let server = server(answer).await;
        assert_eq!(here().models(&format!("http://127.0.0.1:{}", server.port), None).await.unwrap_err(), trouble);
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(here().models(&format!("http://127.0.0.1:{free}"), None).await.unwrap_err(), T::NoConnection);
    assert_eq!(here().models("https://no-such-host.invalid", None).await.unwrap_err(), T::NoSuchHost);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed_and_no_key_is_sent() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });
    assert_eq!(here().models(&format!("https://localhost:{port}"), Some("sk-house")).await.unwrap_err(), T::Certificate);
    assert!(!serving.await.unwrap(), "the connection was made");
}
