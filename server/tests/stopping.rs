//! The end of a portal behind a balancer: from being told to stop until the balancer has heard of it, whatever is still sent is answered.

mod portal;

use portal::{TestPortal, start};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(30);

async fn connect(portal: &TestPortal) -> TcpStream {
    TcpStream::connect(portal.portal.address).await.unwrap()
}

/// What comes of this question, until the answer is whole or the connection closes.
async fn ask(socket: &mut TcpStream, head: &str) -> String {
    // A connection that is closed already says so when it is read.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = socket.read(&mut piece).await {
            answer.extend_from_slice(&piece[..n]);
            if answer.ends_with(b"\n") && !answer.ends_with(b"\r\n") {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("an answer or an end");
    String::from_utf8_lossy(&answer).to_lowercase()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const READY: &str = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";

async fn is_closed(socket: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(SOON, socket.read(&mut byte)).await.expect("it is closed");
    !matches!(read, Ok(1..))
}

#[tokio::test(flavor = "multi_thread")]
async fn until_a_balancer_has_heard_of_it_requests_are_answered_and_told_that_the_connection_closes() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--shutdown-delay", "3"]).await;
    let (mut idle, mut half, mut silent, mut kept) =
        (connect(&portal).await, connect(&portal).await, connect(&portal).await, connect(&portal).await);
    for socket in [&mut idle, &mut kept] {
        let answer = ask(socket, HEALTH).await;
        assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
    half.write_all(&HEALTH.as_bytes()[..9]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;

    let told = Instant::now();
    portal.portal.stop.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut new = connect(&portal).await;
    let not_ready = ask(&mut new, READY).await;
    assert!(not_ready.starts_with("http/1.1 503") && not_ready.contains("stopping"), "{not_ready}");
    let rest = &HEALTH[9..];
    for (socket, question, what) in [(&mut idle, HEALTH, "kept"), (&mut half, rest, "half a head"), (&mut silent, HEALTH, "nothing yet")] {
        let answer = ask(socket, question).await;
        assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{what}: {answer}");
        assert!(is_closed(socket).await, "{what}");
    }
    // One that asks nothing more is closed with the listener, and keeps nobody waiting.
    assert!(told.elapsed() < Duration::from_millis(2_500), "this machine is too slow for the test");
    assert!(is_closed(&mut kept).await);
    let after = told.elapsed();
    assert!((Duration::from_millis(2_900)..Duration::from_secs(8)).contains(&after), "{after:?}");
    assert!(TcpStream::connect(portal.portal.address).await.is_err());
    tokio::time::timeout(SOON, portal.portal.stopped()).await.expect("it ends").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_delay_a_silent_connection_ends_with_the_portal() {
    let data = tempfile::tempdir().unwrap();
    let portal = start(data.path(), &["--role", "web,gateway"]).await.unwrap();
    let (mut kept, mut silent) = (TcpStream::connect(portal.address).await.unwrap(), TcpStream::connect(portal.address).await.unwrap());
    assert!(ask(&mut kept, HEALTH).await.starts_with("http/1.1 200"));
    let told = Instant::now();
    portal.stop.cancel();
    assert!(is_closed(&mut kept).await && is_closed(&mut silent).await);
    tokio::time::timeout(SOON, portal.stopped()).await.expect("it ends").unwrap();
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}
