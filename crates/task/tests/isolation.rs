//! `atelier task check-isolation` against listeners of this machine: one that answers, a port where nobody is, one that keeps silent.

use domain::{
    artefacts::ArtefactStore,
    isolation::{Outcome, Probe, Way},
    report::{Line, TaskMessage},
    task_spec::{CheckIsolation, TaskSpec, Work},
};
use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

/// What each try came to, as the log says it.
fn check(folder: &Path, tries: Vec<(Probe, Way)>) -> Vec<(Probe, Outcome)> {
    let store = ArtefactStore::Local { root: folder.display().to_string() };
    let work = Work::CheckIsolation(CheckIsolation { tenant: "acme".parse().unwrap(), tries, patience: 2 });
    let spec = folder.join("spec.json");
    std::fs::write(&spec, serde_json::to_vec(&TaskSpec { store, work }).unwrap()).unwrap();
    assert_eq!(task::check_isolation(&spec, Some(folder)), task::SUCCEEDED);
    let log = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let read = |line: &str| match serde_json::from_str::<Line>(line).unwrap().message {
        TaskMessage::Tried { probe, outcome } => (probe, outcome),
        other => panic!("{other:?}"),
    };
    log.lines().map(read).collect()
}

fn connect(address: SocketAddr) -> Way {
    Way::Connect { address: address.to_string() }
}

/// It takes no connection any more: those that nobody has accepted fill its queue, and whoever comes then hears nothing.
async fn silent() -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..64 {
        match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            Ok(stream) => held.push(stream),
            Err(_) => return (listener, held),
        }
    }
    panic!("its queue is never full");
}

#[test]
fn each_way_to_be_out_of_reach_is_told_apart_and_what_passes_passes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("t/globex")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (silent, _held) = runtime.block_on(silent());
    let tries = vec![
        (Probe::ApiServer, connect(answers.local_addr().unwrap())),
        (Probe::Database, connect(nobody)),
        (Probe::Outside, connect(silent.local_addr().unwrap())),
        (Probe::Dns, Way::Resolve { host: "localhost".into() }),
        (Probe::OwnBucket, Way::Write { tenant: "acme".parse().unwrap() }),
        (Probe::OtherBucket, Way::List { tenant: "globex".parse().unwrap() }),
    ];
    let said: HashMap<_, _> = check(folder.path(), tries).into_iter().collect();
    assert_eq!(said[&Probe::ApiServer], Outcome::Reached);
    assert_eq!(said[&Probe::Database], Outcome::Refused);
    assert_eq!(said[&Probe::Outside], Outcome::TimedOut);
    assert_eq!((&said[&Probe::Dns], &said[&Probe::OwnBucket]), (&Outcome::Reached, &Outcome::Reached));
    // In a folder nobody is kept from anything, and that is told.
    assert_eq!((&said[&Probe::OtherBucket], said.len()), (&Outcome::Reached, 6));
    let left = std::fs::read_dir(folder.path().join("t/acme")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the object that was written to try it is gone");
}

#[test]
fn no_address_and_no_name_of_others_is_in_the_log_of_the_pod() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tries = vec![
        (Probe::Database, connect(nobody)),
        (Probe::Dns, Way::Resolve { host: "globex.invalid".into() }),
        (Probe::OtherBucket, Way::List { tenant: "globex".parse().unwrap() }),
    ];
    assert_eq!(check(folder.path(), tries).len(), 3);
    let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    assert!(!log.contains(&nobody.to_string()) && !log.contains("globex"), "{log}");
}

#[test]
fn a_spec_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    std::fs::write(&spec, "{}").unwrap();
    assert_eq!(task::check_isolation(&spec, None), task::BAD_SPEC);
}
