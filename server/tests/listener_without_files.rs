//! A process that has no file left: alone in its program, because every test of a process shares its files.

mod portal;

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
    time::TimeValLike,
};
use portal::TestPortal;
use std::{fs::File, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

/// Milliseconds of CPU that this process has used.
fn cpu_ms() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_left_the_listener_waits_without_spinning_and_goes_on_when_there_are_some() {
    let portal = TestPortal::start().await;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(soft == hard.min(1 << 20), "the start raised the limit: {soft} of {hard}");
    setrlimit(Resource::RLIMIT_NOFILE, 512, hard).unwrap();
    // The client's own file is taken before there is none.
    let socket = TcpSocket::new_v4().unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let mut client = socket.connect(portal.portal.address).await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let (before, waited) = (cpu_ms(), Duration::from_secs(3));
    assert!(tokio::time::timeout(waited, client.read(&mut answer)).await.is_err(), "nobody can answer without a file");
    let used = cpu_ms() - before;
    assert!(used < 1_000, "{used} ms of CPU in {} s of waiting", waited.as_secs());
    drop(taken);
    let read = tokio::time::timeout(Duration::from_secs(60), client.read(&mut answer)).await.expect("the listener goes on").unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}
