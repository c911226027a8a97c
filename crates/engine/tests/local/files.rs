//! What lies in a task's folder: output, addresses of servers, files beside the spec.

use crate::house::{House, job, server};
use engine::{Cursor, Error};

#[tokio::test]
async fn output_is_read_in_whole_lines_from_an_offset() {
    let house = House::new(
        "printf 'one\\ntwo\\nthr'; while [ ! -f go ]; do sleep 0.02; done; printf 'ee\\n0123456789012345678901234567890123456789\\nlast\\n'",
    );
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "thr").await;
    let read = async |from: &str, limit| {
        let read = engine.output("job-1", &Cursor::from_text(from), limit).await.unwrap();
        (String::from_utf8(read.bytes).unwrap(), read.next.as_str().to_owned())
    };
    let said = |text: &str, next: &str| (text.to_owned(), next.to_owned());
    assert_eq!(read("", 1000).await, said("one\ntwo\n", "8"));
    assert_eq!(read("0", 5).await, said("one\n", "4"));
    assert_eq!(read("8", 1000).await, said("", "8"), "a torn line waits");
    std::fs::write(house.root().join("job-1/go"), "").unwrap();
    house.wait_for_end("job-1").await;
    assert_eq!(read("8", 7).await, said("three\n", "14"));
    let (long, next) = read("14", 7).await;
    assert_eq!((long.len(), next.as_str()), (41, "55"), "a line longer than the limit comes whole, and alone");
    assert_eq!(read("55", 7).await, said("last\n", "60"));
    assert_eq!(read("60", 7).await, said("", "60"));
    assert!(matches!(engine.output("job-2", &Cursor::start(), 7).await, Err(Error::Unknown(_))));
    assert!(matches!(engine.output("job-1", &Cursor::from_text("2026-01-01T00:00:00Z"), 7).await, Err(Error::BadCursor(_))));
}

#[tokio::test]
async fn servers_get_ports_of_their_own() {
    let house = House::new("echo port $PORT; exec sleep 60");
    let engine = house.engine();
    for name in ["ep-1", "ep-2", "job-1"] {
        engine.apply(&if name.starts_with("ep") { server(name) } else { job(name) }).await.unwrap();
        house.wait_for_output(name, "\n").await;
    }
    let seen = engine.list("ep-").await.unwrap();
    assert_eq!(seen.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["ep-1", "ep-2"]);
    assert!(seen.iter().all(|o| o.state.is_running() && o.hash == server(&o.name).hash()));
    assert_ne!(seen[0].replicas[0].address, seen[1].replicas[0].address);
    for o in seen {
        let port = house.file(&o.name, "output").unwrap().trim().trim_start_matches("port ").to_owned();
        assert_eq!(o.replicas[0].address, Some(format!("http://127.0.0.1:{port}")));
        assert!(o.ready().is_empty(), "nothing listens there");
        engine.remove(&o.name).await.unwrap();
    }
    assert_eq!(engine.observe("job-1").await.unwrap().unwrap().replicas, []);
    assert_eq!(house.file("job-1", "output").as_deref(), Some("port\n"));
    engine.remove("job-1").await.unwrap();
}

#[tokio::test]
async fn a_file_beside_the_spec_is_replaced_whole() {
    let house = House::new("exec sleep 60");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    for text in ["{\"adapters\":[]}", "{}"] {
        engine.put_file("job-1", "adapters.json", text.as_bytes()).await.unwrap();
        assert_eq!(house.file("job-1", "adapters.json").as_deref(), Some(text));
    }
    for bad in ["spec.json", "../adapters.json", "output"] {
        assert!(matches!(engine.put_file("job-1", bad, b"").await, Err(Error::BadName(_))), "{bad}");
    }
    assert!(matches!(engine.put_file("job-2", "adapters.json", b"").await, Err(Error::Unknown(_))));
    assert!(matches!(engine.observe("../job-1").await, Err(Error::BadName(_))));
    engine.remove("job-1").await.unwrap();
}
