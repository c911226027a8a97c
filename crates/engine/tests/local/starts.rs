//! Starting: once, whoever asks and however often, and whatever is killed meanwhile.

use crate::house::{House, job, kill};
use engine::{End, Error, Task, TaskState};
use std::time::Duration;

#[tokio::test]
async fn the_command_gets_its_spec_and_only_its_own_environment() {
    let house = House::new(r#"cat "$SPEC"; echo; env | cut -d= -f1 | sort | tr '\n' ' '; echo "$GREETING in $PWD" "#);
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
    let output = house.file("job-1", "output").unwrap();
    let folder = house.root().join("job-1");
    assert_eq!(output.lines().next(), Some("{\"n\":1}"));
    assert!(output.ends_with(&format!("good morning in {}\n", folder.display())), "{output}");
    // PWD, OLDPWD, SHLVL and _ are the shell's own.
    let names: Vec<_> = output
        .lines()
        .nth(1)
        .unwrap()
        .split("good")
        .next()
        .unwrap()
        .split_whitespace()
        .filter(|n| !matches!(*n, "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect();
    assert_eq!(names, ["GREETING", "HOME", "PATH", "TMPDIR"]);
}

#[tokio::test]
async fn applying_twice_starts_once() {
    let house = House::new("echo started; sleep 0.2");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    engine.apply(&job("job-1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"));
    let other = Task { spec: "{\"n\":2}".into(), ..job("job-1") };
    assert!(matches!(engine.apply(&other).await, Err(Error::Different { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn two_portals_that_race_start_one_process() {
    let house = House::new("echo started; sleep 0.3");
    let racers: Vec<_> = (0..8).map(|_| house.engine()).map(|e| tokio::spawn(async move { e.apply(&job("job-1")).await })).collect();
    for racer in racers {
        racer.await.unwrap().unwrap();
    }
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"));
}

#[tokio::test]
async fn killing_the_portal_changes_nothing_for_its_task() {
    let house = House::new("echo started; while [ ! -f go ]; do sleep 0.02; done; echo done; exit 4");
    let mut portal = house.portal();
    house.wait_for_output("job-1", "started").await;
    kill(-portal.id().cast_signed());
    portal.wait().unwrap();
    assert!(house.state_of("job-1").await.is_some_and(|s| s.is_running()));
    house.engine().apply(&job("job-1")).await.unwrap();
    std::fs::write(house.root().join("job-1/go"), "").unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 4 }));
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\ndone\n"));
}

#[tokio::test]
async fn a_portal_killed_at_any_moment_of_the_start_neither_loses_nor_doubles_it() {
    // From before the folder is made to after the command runs.
    for milliseconds in (0..60).step_by(4) {
        let house = House::new("echo started");
        let mut portal = house.portal();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        kill(-portal.id().cast_signed());
        portal.wait().unwrap();
        house.engine().apply(&job("job-1")).await.unwrap();
        assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }), "killed after {milliseconds} ms");
        // A second supervisor that was on its way when the portal died.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"), "killed after {milliseconds} ms");
    }
}

#[tokio::test]
async fn a_folder_without_a_start_is_started_by_the_next_apply() {
    let house = House::new("echo started");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    house.as_never_started("job-1");
    assert_eq!(engine.observe("job-1").await.unwrap(), None);
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    assert_eq!(house.file("job-1", "output").as_deref(), Some("started\n"));
}

#[tokio::test]
async fn a_half_made_folder_is_made_anew() {
    let house = House::new("echo started");
    std::fs::create_dir_all(house.root().join(".new-job-1/tmp")).unwrap();
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
}
