//! Output, addresses, and being told of changes.

use crate::world::World;
use engine::Cursor;
use std::time::Duration;

pub async fn reading_on_from_a_cursor_loses_and_doubles_no_line(world: &World) {
    let task = world.job("job-1", "for n in 1 2 3 4 5 6 7 8 9; do echo line $n; sleep 0.02; done");
    world.engine.apply(&task).await.unwrap();
    let (mut cursor, mut all) = (Cursor::start(), String::new());
    loop {
        let ended = world.engine.observe("job-1").await.unwrap().unwrap().state.end().is_some();
        // Stored and read again in between, as a portal that was restarted does.
        let read = world.engine.output("job-1", &Cursor::from_text(cursor.as_str()), 8).await.unwrap();
        assert_eq!(read.bytes.is_empty(), read.next == cursor, "a cursor moves exactly with what was read");
        all.push_str(std::str::from_utf8(&read.bytes).unwrap());
        cursor = read.next;
        if ended && read.bytes.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(all, (1..=9).map(|n| format!("line {n}\n")).collect::<String>());
}

pub async fn a_server_has_an_address_that_is_ready_when_it_takes_connections(world: &World) {
    let listens = "echo ready; sleep 3; cd $HOME; mkdir served; echo well > served/ready; [ -z \"$READY_PORT\" ] || python3 -m http.server --directory served $READY_PORT & exec python3 -m http.server --directory served $PORT";
    world.engine.apply(&world.server("ep-1", listens)).await.unwrap();
    let seen = world.until("ep-1", |o| o.state.is_running()).await;
    assert_eq!((seen.replicas.len(), seen.ready()), (1, Vec::new()), "nothing listens yet");
    let ready = world.until("ep-1", |o| !o.ready().is_empty()).await;
    assert_eq!(ready.replicas[0].address, seen.replicas[0].address, "a place stays the same");
    world.engine.apply(&world.job("job-1", "sleep 60")).await.unwrap();
    assert_eq!(world.until("job-1", |o| o.state.is_running()).await.replicas, []);
    for name in ["ep-1", "job-1"] {
        world.engine.remove(name).await.unwrap();
    }
}

pub async fn a_watch_names_what_changed_and_nothing_while_nothing_does(world: &World) {
    world.engine.apply(&world.job("job-1", "while [ ! -f ${SPEC%/*}/go.json ]; do sleep 0.02; done; echo said")).await.unwrap();
    world.until("job-1", |o| o.state.is_running()).await;
    let mut watch = world.engine.watch().unwrap();
    // What is there may be told once, and a cluster has things to say of a task that has just begun.
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Ok(told) = tokio::time::timeout(Duration::from_millis(2500), watch.next()).await {
        assert!(tokio::time::Instant::now() < end, "told of {told:?} again and again, and nothing has changed");
    }
    // A task that is there already, one that is new, and one that goes.
    world.engine.put_file("job-1", "go.json", b"{}").await.unwrap();
    let mut told = async |name: &str| {
        let end = tokio::time::Instant::now() + Duration::from_secs(120);
        while !tokio::time::timeout_at(end, watch.next()).await.expect("nothing is told").unwrap().contains(name) {}
    };
    told("job-1").await;
    world.end("job-1").await;
    world.engine.apply(&world.job("job-2", "echo said")).await.unwrap();
    told("job-2").await;
    world.end("job-2").await;
    world.engine.remove("job-1").await.unwrap();
    told("job-1").await;
}
