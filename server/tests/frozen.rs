//! A replica that is frozen in the middle of a change (SIGSTOP: a machine that is suspended, a disk that hangs) on PostgreSQL: the
//! database throws it out, and the other replica goes on within seconds.

mod processes;

use processes::{
    Setup,
    person::{No, Person},
    postgres::Postgres,
    prepare, within,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
/// How long the others may stand still.
const LIMIT: Duration = Duration::from_secs(15);

const QUOTA: [(&str, &str); 4] =
    [("name", "lumenta"), ("quota[concurrent_runs]", "1"), ("quota[storage_gb]", "20"), ("quota[endpoints]", "2")];

/// Who is in a transaction, holds the line of writers, and says nothing.
const SILENT: &str = "SELECT COUNT(*) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid \
    WHERE l.locktype = 'advisory' AND l.granted AND a.state = 'idle in transaction' AND a.state_change < clock_timestamp() - INTERVAL '200 milliseconds'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_frozen_inside_a_transaction_holds_up_the_other_for_seconds_only() {
    prepare();
    let Some(database) = Postgres::start() else { return };
    let data = tempfile::tempdir().unwrap();
    let setup = |name: &str| Setup::new(data.path(), name).with("--database-url", &database.url);
    let (one, two) = (setup("one"), setup("two"));
    let (frozen, _other) = (one.start().await, two.start().await);
    let admin = Arc::new(Person::sign_in(&one.address, "admin").await);
    let look = sqlx::PgPool::connect(&database.url).await.unwrap();

    // The first replica writes all the time, and is stopped until it stands still inside a transaction.
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (admin, address, enough) = (admin.clone(), one.address.clone(), enough.clone());
            tokio::spawn(async move {
                let mut refused = Vec::new();
                while !enough.load(Ordering::SeqCst) {
                    if let Err(No::Refused { status, .. }) = admin.send(&address, "admin/tenant-quota", &QUOTA).await {
                        refused.push(status);
                    }
                }
                refused
            })
        })
        .collect();
    let caught = Instant::now();
    let stopped = loop {
        assert!(caught.elapsed() < PATIENCE, "it was never inside a transaction");
        frozen.signal("STOP");
        let stopped = Instant::now();
        // What it has asked the database for is done by then, and nothing more comes.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let (silent,): (i64,) = sqlx::query_as(SILENT).fetch_one(&look).await.unwrap();
        if silent > 0 {
            break stopped;
        }
        frozen.signal("CONT");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };

    // Signing in, changing something, and leading the controllers go on at the other.
    let person = Person::sign_in(&two.address, "admin").await;
    person.did(&two.address, "admin/tenant-quota", &QUOTA).await;
    assert!(stopped.elapsed() < LIMIT, "the other stood still for {:?}", stopped.elapsed());
    println!("the other went on {:.1} s after the freeze", stopped.elapsed().as_secs_f32());
    let ready = async || reqwest::get(format!("{}/readyz", two.address)).await.is_ok_and(|a| a.status() == 200).then_some(());
    within(PATIENCE, "the other is ready", ready).await;
    within(PATIENCE, "the other leads", async || {
        std::fs::read_to_string(data.path().join("two.log")).unwrap_or_default().contains("leads the controllers").then_some(())
    })
    .await;

    // And who wakes up finds its transaction gone, says so, and goes on as well.
    frozen.signal("CONT");
    enough.store(true, Ordering::SeqCst);
    for writer in writers {
        let refused = tokio::time::timeout(PATIENCE, writer).await.expect("it stands still").unwrap();
        assert!(refused.iter().all(|status| *status == 503), "{refused:?}");
    }
    admin.did(&one.address, "admin/tenant-quota", &QUOTA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waits_too_long_for_its_turn_is_answered_503_and_told_when_to_come_back() {
    prepare();
    let Some(database) = Postgres::start() else { return };
    let data = tempfile::tempdir().unwrap();
    let setup = Setup::new(data.path(), "portal").with("--database-url", &database.url);
    let _portal = setup.start().await;
    let admin = Person::sign_in(&setup.address, "admin").await;
    // Somebody with the database in hand stops the line.
    let mut other = sqlx::PgPool::connect(&database.url).await.unwrap().acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(WRITERS_LINE).execute(&mut *other).await.unwrap();
    let refused = admin.send_raw(&setup.address, "admin/tenant-quota", &QUOTA).await;
    assert_eq!((refused.0, refused.1.as_str()), (503, "5"), "{}", refused.2);
    assert!(refused.2.contains("takes longer than usual") && refused.2.contains("Try again"), "{}", refused.2);
    let unready = async || reqwest::get(format!("{}/readyz", setup.address)).await.is_ok_and(|a| a.status() == 503).then_some(());
    within(PATIENCE, "the portal says that it takes no changes", unready).await;
    // What only reads goes on.
    admin.did(&setup.address, "admin/tenants", &[]).await;

    drop(other.close().await);
    within(PATIENCE, "changes are made again", async || admin.send(&setup.address, "admin/tenant-quota", &QUOTA).await.ok()).await;
    let ready = async || reqwest::get(format!("{}/readyz", setup.address)).await.is_ok_and(|a| a.status() == 200).then_some(());
    within(PATIENCE, "the portal is ready again", ready).await;
}

/// The lock that `platform::store` takes for each change.
const WRITERS_LINE: i64 = 0x61_74_65_6c_69_65_72;

/// What `/readyz` says.
async fn ready(address: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{address}/readyz")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_alone_is_ready_without_its_database_until_its_directory_is_too_old() {
    prepare();
    let Some(mut database) = Postgres::start() else { return };
    let data = tempfile::tempdir().unwrap();
    let setup = |name: &str| Setup::new(data.path(), name).with("--database-url", &database.url);
    let gateway = setup("gateway").with("--role", "gateway");
    let strict = setup("strict").with("--role", "gateway").with("--directory-age-limit", 5);
    let whole = setup("whole");
    let _running = (gateway.start().await, strict.start().await, whole.start().await);
    database.go_away();
    within(PATIENCE, "who needs the database says that it is away", async || (ready(&whole.address).await.0 == 503).then_some(())).await;
    let said = within(PATIENCE, "the directory is too old for the strict one", async || {
        let (status, said) = ready(&strict.address).await;
        (status == 503).then_some(said)
    })
    .await;
    assert!(said.contains("directory was last compared") && said.contains("more than 5 s is too old"), "{said}");
    let (status, said) = ready(&gateway.address).await;
    assert!(status == 200 && said.contains("directory_age_seconds"), "{status} {said}");
    database.come_back();
    within(PATIENCE, "all are ready again", async || {
        (ready(&strict.address).await.0 == 200 && ready(&whole.address).await.0 == 200).then_some(())
    })
    .await;
}
