//! An audit log of before each tenant had a chain of its own is carried over, on both databases: it is shown, it is closed, and it still
//! verifies by its old rule.

use crate::support::{World, postgres::fresh_database};
use domain::audit::{Broken, Detail, chain::FIRST_SEGMENT};
use domain::filter::AuditFilter;
use platform::access::PlatformScope;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, migrate::Migrator};
use std::borrow::Cow;
use tempfile::TempDir;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

/// What there was before.
fn before(all: &Migrator) -> Migrator {
    let earlier: Vec<_> = all.migrations.iter().filter(|m| m.version < 110).cloned().collect();
    Migrator { migrations: Cow::Owned(earlier), ..Migrator::DEFAULT }
}

/// Records as the program of before wrote them, with the length of the log: three, of which two are a tenant's, then one more.
fn written_then() -> [Vec<String>; 2] {
    let mut prev = "0".repeat(64);
    let entry = |n: i64, tenant: &str, detail: &str| {
        format!(
            r#"{{"at":{n},"actor_kind":"person","actor":"p1","actor_name":"Olga O’Neil","tenant":{tenant},"action":"tenant.create","object_kind":"tenant","object":"acme","object_name":"acme","result":"done","detail":"{detail}","request_id":"req","from_ip":"192.0.2.7"}}"#
        )
    };
    let three = [entry(1, r#""acme""#, r#"created, \"two\" runs"#), entry(2, "null", ""), entry(3, r#""acme""#, "quota")];
    let entries = three.into_iter().chain([entry(4, r#""acme""#, "late")]);
    let mut out = Vec::new();
    for (seq, text) in (1_i64..).zip(entries) {
        let bytes = [&seq.to_be_bytes()[..], prev.as_bytes(), text.as_bytes()].concat();
        let hash = hex::encode(Sha256::digest(bytes));
        let quoted = text.replace('\'', "''");
        out.push(format!(
            "INSERT INTO audit (seq, at, tenant, actor, action, object, entry_json, prev_hash, hash) \
             VALUES ({seq}, {seq}, NULL, 'p1', 'tenant.create', 'acme', '{quoted}', '{prev}', '{hash}')"
        ));
        prev = hash;
    }
    let length = |n: usize| format!("UPDATE counters SET value = {n} WHERE name = 'audit'");
    let late = vec![out.remove(3), length(4)];
    out.push(length(3));
    [out, late]
}

async fn older_sqlite(tampering: &[&str]) -> World {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("atelier.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    before(&SQLITE).run(&pool).await.unwrap();
    for sql in written_then()[0].iter().map(String::as_str).chain(tampering.iter().copied()) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    }
    pool.close().await;
    World::open(folder, url).await
}

/// The database of a portal of before, and its address.
async fn at_work_before(tampering: &[&str]) -> Option<(sqlx::PgPool, String)> {
    let url = fresh_database().await?;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    before(&POSTGRES).run(&pool).await.unwrap();
    for sql in written_then()[0].iter().map(String::as_str).chain(tampering.iter().copied()) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    }
    Some((pool, url))
}

async fn older_postgres(tampering: &[&str]) -> Option<World> {
    let (pool, url) = at_work_before(tampering).await?;
    pool.close().await;
    Some(World::open(TempDir::new().unwrap(), url).await)
}

async fn it_is_carried_over(world: World) {
    let auditor = PlatformScope::command_line();
    let all = AuditFilter { limit: 10, ..AuditFilter::default() };
    let records = world.platform.platform_audit(&auditor).page(all).await.unwrap().rows;
    let shown: Vec<_> = records.iter().map(|r| (r.chain.as_str(), r.seq, r.entry.detail.said())).collect();
    let said = |text: &str| text.to_owned();
    assert_eq!(
        shown[1..],
        [(FIRST_SEGMENT, 3, said("quota")), (FIRST_SEGMENT, 2, said("")), (FIRST_SEGMENT, 1, said("created, \"two\" runs"))]
    );
    assert_eq!((records[3].entry.actor_name.as_str(), records[3].entry.tenant.as_ref().unwrap().as_str()), ("Olga O’Neil", "acme"));
    let Detail::FirstSegmentClosed { records: closed, whole, .. } = records[0].entry.detail else { panic!("{:?}", records[0]) };
    assert_eq!((records[0].chain.as_str(), closed, whole), ("platform", 3, true));
    assert_eq!(world.platform.verify_audit().await.unwrap().broken(), None);

    // Another start closes nothing again, and what happens now stands in the tenant's own chain.
    let again = world.replica(crate::support::now).await;
    world.tenant("acme").await;
    let verified = again.verify_audit().await.unwrap();
    let sizes: Vec<_> = verified.chains.iter().map(|c| (c.chain.as_str(), c.records)).collect();
    assert_eq!(sizes, [(FIRST_SEGMENT, 3), ("platform", 1), ("tenants/acme", 1)]);
    let refused = world.execute("INSERT INTO audit_records SELECT * FROM audit_records WHERE chain = 'first-segment'").await.unwrap_err();
    assert!(refused.to_string().contains("closed"), "{refused}");
    let checkpoint = world.platform.write_checkpoint().await.unwrap();
    assert!(checkpoint.text.contains("/first-segment\n3\n"), "{}", checkpoint.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_before_is_carried_over_closed_and_holds_on_sqlite() {
    it_is_carried_over(older_sqlite(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_before_is_carried_over_closed_and_holds_on_postgresql() {
    let Some(world) = older_postgres(&[]).await else { return };
    it_is_carried_over(world).await;
}

/// The program starts all the same; the record of the closing says that it did not hold, and so does every check.
async fn what_was_wrong_stays_seen(world: World, broken: Broken) {
    assert_eq!(world.platform.verify_audit().await.unwrap().broken(), Some((FIRST_SEGMENT, &broken)));
    let closed = AuditFilter { action: Some("audit.".into()), limit: 1, ..AuditFilter::default() };
    let records = world.platform.platform_audit(&PlatformScope::command_line()).page(closed).await.unwrap().rows;
    assert!(matches!(records[0].entry.detail, Detail::FirstSegmentClosed { whole: false, .. }), "{:?}", records[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_before_is_found_after_the_move_on_sqlite() {
    let unlock = "DROP TRIGGER audit_is_append_only_update";
    let changed = older_sqlite(&[unlock, "UPDATE audit SET entry_json = REPLACE(entry_json, 'Olga', 'Olaf') WHERE seq = 2"]).await;
    what_was_wrong_stays_seen(changed, Broken::Changed { seq: 2 }).await;
    let spoilt = older_sqlite(&[unlock, "UPDATE audit SET entry_json = 'no json' WHERE seq = 2"]).await;
    what_was_wrong_stays_seen(spoilt, Broken::Changed { seq: 2 }).await;
    let cut_off = older_sqlite(&["DROP TRIGGER audit_is_append_only_delete", "DELETE FROM audit WHERE seq = 3"]).await;
    what_was_wrong_stays_seen(cut_off, Broken::Gap { missing: 3 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_before_is_found_after_the_move_on_postgresql() {
    let unlock = "DROP TRIGGER audit_is_append_only ON audit";
    let change = "UPDATE audit SET entry_json = REPLACE(entry_json, 'Olga', 'Olaf') WHERE seq = 2";
    let Some(changed) = older_postgres(&[unlock, change]).await else { return };
    what_was_wrong_stays_seen(changed, Broken::Changed { seq: 2 }).await;
    let Some(spoilt) = older_postgres(&[unlock, "UPDATE audit SET entry_json = 'no json' WHERE seq = 2"]).await else { return };
    what_was_wrong_stays_seen(spoilt, Broken::Changed { seq: 2 }).await;
}

/// An upgrade while a replica of before is still at work: it is in the middle of writing a record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_of_before_is_writing_is_carried_over_and_what_it_writes_later_is_refused_on_postgresql() {
    let Some((old, url)) = at_work_before(&[]).await else { return };
    let [_, late] = written_then();
    let mut writing = old.begin().await.unwrap();
    for sql in &late {
        sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *writing).await.unwrap();
    }
    let ends = async {
        let began = std::time::Instant::now();
        loop {
            // Only in this database: others are used beside it.
            let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            let (waiting,): (i64,) = sqlx::query_as(waits).fetch_one(&old).await.unwrap();
            if waiting > 0 {
                break;
            }
            assert!(began.elapsed().as_secs() < 60, "the upgrade does not wait for who is writing");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        writing.commit().await.unwrap();
    };
    let (world, ()) = tokio::join!(World::open(TempDir::new().unwrap(), url), ends);
    let verified = world.platform.verify_audit().await.unwrap();
    let first = verified.chains.iter().find(|c| c.chain == FIRST_SEGMENT).map(|c| c.records);
    assert_eq!((first, verified.broken()), (Some(4), None));
    let refused = sqlx::query(AssertSqlSafe(late[0].clone())).execute(&old).await.unwrap_err().to_string();
    assert!(refused.contains("audit"), "{refused}");
}
