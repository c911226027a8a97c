//! What keeps several processes apart: the line of writers, fences, claims, and what each connection is told.

use super::{jobs::JobRow, leases::Fence, *};
use crate::{jobs::job::Columns, problem::Trouble};
use domain::time::{DAY, MINUTE, SECOND};
use tempfile::TempDir;

#[path = "../../tests/support/postgres.rs"]
mod server;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LONG: Duration = Duration::from_secs(60);

/// Two processes on one database.
struct Two {
    one: Store,
    two: Store,
    url: String,
    _folder: Option<TempDir>,
}

impl Two {
    async fn on(url: String, folder: Option<TempDir>) -> Self {
        Self { one: Store::connect(&url).await.unwrap(), two: Store::connect(&url).await.unwrap(), url, _folder: folder }
    }
}

async fn sqlite() -> Two {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("atelier.db").display());
    Two::on(url, Some(folder)).await
}

async fn postgres() -> Option<Two> {
    Some(Two::on(server::fresh_database().await?, None).await)
}

macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::sqlite().await).await
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(two) = super::postgres().await {
                    super::$name(two).await
                }
            })*
        }
    };
}

on_both_databases!(
    a_job_is_finished_handed_over_and_kept_only_by_whoever_claims_it_now,
    a_fence_of_an_earlier_term_holds_nothing_also_for_the_same_holder,
    the_second_writer_waits_for_the_first,
    a_rollback_that_fails_costs_one_connection_and_no_later_change,
    of_each_tenant_one_check_of_isolation_goes_on_and_the_newest_results_are_kept,
);

async fn of_each_tenant_one_check_of_isolation_goes_on_and_the_newest_results_are_kept(two: Two) {
    use domain::{
        ids::IsolationCheckId,
        isolation::Check,
        name::Name,
        tenant::{Quota, Tenant, TenantState},
    };
    let asked = |n: u128, tenant: &Name| {
        let (id, at) = (IsolationCheckId::from_uuid(uuid::Uuid::from_u128(n)), NOW.plus(i64::try_from(n).unwrap()));
        Check::asked(id, tenant.clone(), "Ann".into(), at)
    };
    let names: [Name; 2] = ["acme", "globex"].map(|name| name.parse().unwrap());
    let mut tx = two.one.in_line(NOW).await.unwrap();
    for name in &names {
        let (state, quota) = (TenantState::Active, Quota::default());
        let tenant = Tenant { name: name.clone(), title: name.to_string(), state, quota, created_at: NOW };
        assert!(tx.insert_tenant(&tenant).await.unwrap());
    }
    assert!(tx.insert_isolation_check(&asked(1, &names[0])).await.unwrap());
    assert!(tx.insert_isolation_check(&asked(99, &names[1])).await.unwrap(), "each tenant has its own");
    tx.commit().await.unwrap();
    let mut tx = two.two.in_line(NOW).await.unwrap();
    assert!(!tx.insert_isolation_check(&asked(3, &names[0])).await.unwrap(), "one is under way");
    tx.commit().await.unwrap();
    let open: Vec<_> = two.two.open_isolation_checks().await.unwrap();
    assert_eq!(open, [(names[0].clone(), asked(1, &names[0]).id), (names[1].clone(), asked(99, &names[1]).id)]);
    for n in 1..=14 {
        let mut tx = two.one.in_line(NOW).await.unwrap();
        let mut check = asked(n, &names[0]);
        assert_eq!(tx.insert_isolation_check(&check).await.unwrap(), n > 1);
        check.tenant_closed(NOW);
        check.removed();
        tx.save_isolation_check(&check).await.unwrap();
        assert_eq!(tx.isolation_check(&names[0], check.id).await.unwrap(), Some(check));
        tx.commit().await.unwrap();
    }
    assert!(!two.two.has_open_isolation_check(&names[0]).await.unwrap());
    assert!(two.two.has_open_isolation_check(&names[1]).await.unwrap(), "that of another tenant goes on");
    let latest: Vec<_> = two.two.latest_isolation_checks(&names[0]).await.unwrap().iter().map(|c| c.id.uuid().as_u128()).collect();
    assert_eq!(latest, [14, 13]);
    assert_eq!(two.two.isolation_check(&names[0], asked(3, &names[0]).id).await.unwrap(), None, "the oldest are gone");
    assert_eq!(two.two.isolation_check(&names[1], asked(14, &names[0]).id).await.unwrap(), None, "it is of another tenant");
    let mut tx = two.one.in_line(NOW).await.unwrap();
    while tx.delete_piece(&names[0]).await.unwrap() {}
    tx.commit().await.unwrap();
    assert!(two.two.latest_isolation_checks(&names[0]).await.unwrap().is_empty(), "they go with the tenant");
}

async fn a_job_is_finished_handed_over_and_kept_only_by_whoever_claims_it_now(two: Two) {
    let columns = Columns { kind: "test".into(), object: "x".into(), payload: "null".into(), ..Columns::default() };
    let job = JobRow { id: "j1".into(), columns, attempts: 0, run_after: NOW, claim: None };
    let mut tx = two.one.in_line(NOW).await.unwrap();
    tx.insert_job(&job).await.unwrap();
    tx.commit().await.unwrap();
    assert!(two.one.claim_job("slow", 2, NOW, NOW.plus(MINUTE)).await.unwrap().is_some());
    assert!(two.two.claim_job("quick", 2, NOW.plus(SECOND), NOW.plus(DAY)).await.unwrap().is_none(), "it is held");
    let later = NOW.plus(2 * MINUTE);
    assert!(two.two.claim_job("quick", 2, later, later.plus(MINUTE)).await.unwrap().is_some(), "a claim ends");

    // The slow one wakes up: the job is no longer its own.
    assert!(!two.one.renew_job("j1", "slow", later.plus(DAY)).await.unwrap());
    two.one.release_job("j1", "slow", later, true).await.unwrap();
    let mut tx = two.one.in_line(later).await.unwrap();
    assert!(!tx.hand_over_job("j1", "slow").await.unwrap());
    assert!(!tx.delete_job("j1", "slow").await.unwrap());
    tx.commit().await.unwrap();
    assert!(two.one.claim_job("third", 2, later, later.plus(MINUTE)).await.unwrap().is_none(), "the quick one still holds it");

    let mut tx = two.two.in_line(later).await.unwrap();
    assert!(tx.delete_job("j1", "quick").await.unwrap());
    tx.commit().await.unwrap();
    assert!(two.one.claim_job("third", 2, later.plus(DAY), later.plus(2 * DAY)).await.unwrap().is_none(), "it is done");
}

async fn a_fence_of_an_earlier_term_holds_nothing_also_for_the_same_holder(two: Two) {
    let take = async |store: &Store, holder: &str, at: Timestamp| store.take_lease("test", holder, at, at.plus(5 * SECOND)).await.unwrap();
    let first = take(&two.one, "a", NOW).await.unwrap();
    let second = take(&two.two, "b", NOW.plus(6 * SECOND)).await.unwrap();
    assert!(take(&two.one, "a", NOW.plus(7 * SECOND)).await.is_none(), "renewing takes the lease that one has, not one that another has");
    let third = take(&two.one, "a", NOW.plus(20 * SECOND)).await.unwrap();
    assert!(
        first.number < second.number && second.number < third.number,
        "each term has a number of its own: {first:?} {second:?} {third:?}"
    );
    assert_eq!(take(&two.one, "a", NOW.plus(21 * SECOND)).await.as_ref(), Some(&third), "renewed");

    let holds = async |fence: &Fence| {
        let mut tx = two.two.in_line(NOW).await.unwrap();
        tx.holds(fence).await.unwrap()
    };
    assert!(!holds(&first).await && !holds(&second).await);
    assert!(!holds(&Fence { holder: "a".into(), ..second.clone() }).await && !holds(&Fence { holder: "b".into(), ..third.clone() }).await);
    assert!(holds(&third).await);
    // Nor does who had it once give away what another has now.
    two.one.release_lease(&first, NOW).await.unwrap();
    assert!(take(&two.two, "b", NOW.plus(22 * SECOND)).await.is_none());
    assert!(holds(&third).await);
}

/// Reads what the last writer wrote: whoever decides by it must come after.
async fn the_second_writer_waits_for_the_first(two: Two) {
    let mut first = two.one.in_line(NOW).await.unwrap();
    let other = two.two.clone();
    let second = tokio::spawn(async move {
        let mut tx = other.in_line(NOW).await?;
        // Only read, so that no lock on a row is what makes it wait.
        let sql = "SELECT holder FROM leases WHERE name = 'line'";
        let seen: Option<(String,)> = in_tx!(tx, db => sqlx::query_as(sql).fetch_optional(db).await)?;
        Result::Ok(seen)
    });
    // Time enough to be wrong in.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let insert = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ('line', 'first', 1, 0)";
    in_tx!(first, db => sqlx::query(insert).execute(db).await.map(drop)).unwrap();
    assert!(!second.is_finished(), "two writers at once");
    first.commit().await.unwrap();
    let seen = tokio::time::timeout(LONG, second).await.unwrap().unwrap().unwrap();
    assert_eq!(seen, Some(("first".into(),)));
}

/// As after a full disk, where SQLite ends the transaction by itself.
async fn a_rollback_that_fails_costs_one_connection_and_no_later_change(two: Two) {
    for _ in 0..20 {
        let mut tx = two.one.in_line(NOW).await.unwrap();
        in_tx!(tx, db => sqlx::query("ROLLBACK").execute(db).await.map(drop)).unwrap();
    }
    for n in 0..20 {
        two.one.probe(NOW.plus(n)).await.unwrap_or_else(|e| panic!("change {n}: {e}"));
    }
}

#[tokio::test]
async fn every_connection_to_sqlite_waits_for_the_disk_and_keeps_references() {
    let two = sqlite().await;
    let Pool::Sqlite(pool) = &two.one.db else { panic!() };
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(pool.acquire().await.unwrap());
    }
    for connection in &mut all {
        let ask = async |connection: &mut sqlx::SqliteConnection, sql: &'static str| -> i64 {
            sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
        };
        assert_eq!(ask(connection, "PRAGMA synchronous").await, 2, "FULL: a commit is on the disk when it is told");
        assert_eq!(ask(connection, "PRAGMA foreign_keys").await, 1);
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
        assert_eq!(journal, "wal");
    }
}

#[tokio::test]
async fn every_connection_to_postgresql_has_its_limits_of_time() {
    let Some(two) = postgres().await else { return };
    let Pool::Postgres(pool) = &two.one.db else { panic!() };
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(pool.acquire().await.unwrap());
    }
    for connection in &mut all {
        for (setting, value) in [
            ("idle_in_transaction_session_timeout", "8s"),
            ("lock_timeout", "10s"),
            ("statement_timeout", "30s"),
            ("synchronous_commit", "on"),
        ] {
            let said: String = sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut **connection).await.unwrap();
            assert_eq!(said, value, "{setting}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_says_nothing_in_its_transaction_is_thrown_out_and_the_next_one_goes_on() {
    let Some(two) = postgres().await else { return };
    let mut silent = two.one.in_line(NOW).await.unwrap();
    in_tx!(silent, db => sqlx::query("UPDATE counters SET value = 77 WHERE name = 'directory'").execute(db).await.map(drop)).unwrap();
    let waited = std::time::Instant::now();
    two.two.probe(NOW).await.expect("whoever waits behind it gets its turn before it gives up");
    assert!(waited.elapsed() < Duration::from_secs(15), "{:?}", waited.elapsed());
    let late = in_tx!(silent, db => sqlx::query("UPDATE counters SET value = 78 WHERE name = 'directory'").execute(db).await.map(drop));
    assert_eq!(Trouble::of(&late.unwrap_err()), Trouble::Away);
    assert!(silent.commit().await.is_err());
    assert_eq!(two.two.counter("directory").await.unwrap(), 1, "nothing of it was kept");
    two.one.probe(NOW).await.expect("the process goes on with another connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_behind_a_lock_is_told_so() {
    let Some(two) = postgres().await else { return };
    let others = sqlx::PgPool::connect(&two.url).await.unwrap();
    let mut other = others.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(WRITERS_LINE).execute(&mut *other).await.unwrap();
    let refused = tokio::time::timeout(LONG, two.one.in_line(NOW)).await.unwrap().err().expect("the line stands still");
    assert_eq!(Trouble::of(&refused), Trouble::Busy, "{refused}");
    let problem = crate::problem::Doing::doing(Result::<()>::Err(refused), "x").unwrap_err();
    assert_eq!(problem.kind, domain::problem::ProblemKind::Unavailable);
    assert!(problem.sentence.starts_with("Another change takes longer"), "{problem}");
}

/// The audit chains of two tenants, on PostgreSQL, where writers beside the line do not wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_audit_chain_waits_for_no_other_and_has_no_gaps() {
    let Some(two) = postgres().await else { return };
    let entry = |tenant: &str| crate::audit::by_system(NOW, Some(&tenant.parse().unwrap()), "test", "none", "x", "x");
    let append = async |store: &Store, tenant: &str| {
        let mut tx = store.beside_the_line(NOW).await.unwrap();
        crate::audit::append(&mut tx, entry(tenant)).await.unwrap();
        tx
    };
    let open = append(&two.one, "a").await;
    let other = tokio::time::timeout(LONG, append(&two.two, "b")).await.expect("another tenant's record waits");
    other.commit().await.unwrap();
    let store = two.two.clone();
    let same = tokio::spawn(async move {
        let mut tx = store.beside_the_line(NOW).await?;
        crate::audit::append(&mut tx, crate::audit::by_system(NOW, Some(&"a".parse().unwrap()), "test", "none", "y", "y")).await?;
        tx.commit().await
    });
    // Time enough to be wrong in.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!same.is_finished(), "two records with one number");
    drop(open);
    tokio::time::timeout(LONG, same).await.unwrap().unwrap().unwrap();
    let rows = two.one.audit_after("tenants/a", 0, 10).await.unwrap();
    assert_eq!(rows.iter().map(|r| (r.seq, r.object.as_str())).collect::<Vec<_>>(), [(1, "y")], "what was not committed left a gap");
}

/// What tasks say in masses waits for no writer, and still cannot be written by who leads no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_writes_beside_the_line_only_while_it_leads_and_a_takeover_waits_for_it() {
    let Some(two) = postgres().await else { return };
    let fence = two.one.take_lease("test", "a", NOW, NOW.plus(SECOND)).await.unwrap().unwrap();
    let line = two.one.in_line(NOW).await.unwrap();
    let mut beside = two.two.beside_the_line(NOW).await.unwrap();
    let holds = tokio::time::timeout(LONG, beside.holds_beside(&fence)).await.expect("it stands in the line");
    assert!(holds.unwrap());
    drop(line);
    let store = two.one.clone();
    let takeover = tokio::spawn(async move { store.take_lease("test", "b", NOW.plus(2 * SECOND), NOW.plus(9 * SECOND)).await });
    // Time enough to be wrong in.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!takeover.is_finished(), "somebody else leads while this still writes");
    beside.commit().await.unwrap();
    assert!(tokio::time::timeout(LONG, takeover).await.unwrap().unwrap().unwrap().is_some());
    let mut late = two.two.beside_the_line(NOW).await.unwrap();
    assert!(!late.holds_beside(&fence).await.unwrap(), "who leads no more writes");
}
