//! What a portal costs that nobody clicks in: at rest, with thousands of finished runs, with hundreds that train, and with open pages that are told.
//! `cargo bench -p server --bench live -- [SECONDS]`; see README.md.

#[path = "../../server/tests/processes/mod.rs"]
mod processes;

use futures::{StreamExt, stream};
use processes::two_tenants::TwoTenants;
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};
use std::time::{Duration, Instant};

const FINISHED: usize = 10_000;
const LIVE: usize = 200;
/// They all come from one address here.
const MANY_STREAMS: &[(&str, &str)] = &[("--max-connections-per-address", "8000"), ("--max-connections", "10000")];
const STREAMS: usize = 500;
/// Seconds between two lines of figures of a run that trains; forty lines make a run.
const PACE: f64 = 10.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = Duration::from_secs(std::env::args().find_map(|w| w.parse().ok()).unwrap_or(60));
    println!("load before: {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    println!("{:<52} {:>12} {:>12} {:>14} {:>12}", "portal", "CPU ms/s", "wake-ups/s", "statements/s", "resident MB");
    // Writing statements down costs CPU, so they are counted in a portal of their own.
    let statements = figures(TwoTenants::with("info,sqlx=debug", MANY_STREAMS).await, seconds).await;
    let costs = figures(TwoTenants::with("info,sqlx=warn", MANY_STREAMS).await, seconds).await;
    for (counted, cost) in statements.iter().zip(&costs) {
        let Figures { name, cpu, wake_ups, resident, .. } = cost;
        println!("{name:<52} {cpu:>12.1} {wake_ups:>12.1} {:>14.1} {resident:>12.1}", counted.statements);
    }
}

struct Figures {
    name: &'static str,
    /// Milliseconds of the portal's process a second.
    cpu: f64,
    /// Of all its threads, a second.
    wake_ups: f64,
    /// A second.
    statements: f64,
    resident: f64,
}

async fn figures(portal: TwoTenants, seconds: Duration) -> Vec<Figures> {
    let mut all = Vec::new();
    // What signing in and the first runs left to do.
    tokio::time::sleep(Duration::from_secs(15)).await;
    all.push(watched(&portal, "at rest", seconds).await);
    multiply(&portal).await;
    all.push(watched(&portal, "with 10,000 finished runs", seconds).await);
    let ids = launch(&portal).await;
    all.push(watched(&portal, "and 200 that train (20 lines of figures a second)", seconds).await);
    let tenant = &portal.tenants[0];
    let open: Vec<_> =
        stream::iter(0..STREAMS).map(|_| tenant.owner.events(&portal.address, tenant.name)).buffer_unordered(64).collect().await;
    let told = open.into_iter().map(|mut events| tokio::spawn(async move { while events.next().await.is_some() {} })).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_secs(5)).await;
    all.push(watched(&portal, "and 500 open event streams", seconds).await);
    let now = tenant.owner.did(&portal.address, "runs/get", &[("tenant", tenant.name), ("id", &ids[LIVE / 2])]).await.body;
    assert_eq!(now["run"]["state"], "running", "the runs must train as long as they are watched: {now}");
    for one in told {
        one.abort();
    }
    all
}

async fn watched(portal: &TwoTenants, name: &'static str, seconds: Duration) -> Figures {
    let said = || portal.log().matches("summary=").count();
    let (before, woken, statements, began) =
        (processes::cpu(portal.process()), processes::wake_ups(portal.process()), said(), Instant::now());
    tokio::time::sleep(seconds).await;
    let took = began.elapsed().as_secs_f64();
    Figures {
        name,
        cpu: (processes::cpu(portal.process()) - before).as_secs_f64() * 1000.0 / took,
        wake_ups: (processes::wake_ups(portal.process()) - woken) as f64 / took,
        statements: (said() - statements) as f64 / took,
        resident: portal.resident() as f64 / 1e6,
    }
}

/// Copies the tenant's finished run, with its steps, figures, log and evaluated rows.
async fn multiply(portal: &TwoTenants) {
    let mut database = SqliteConnection::connect(&format!("sqlite://{}", portal.database().display())).await.unwrap();
    let run = &portal.tenants[0].run;
    let tables = [("runs", "id"), ("run_steps", "run"), ("run_metrics", "run"), ("run_log", "run"), ("evaluated_rows", "run")];
    for from in (0..FINISHED).step_by(500) {
        for (table, key) in tables {
            let columns: Vec<String> = sqlx::query("SELECT name FROM pragma_table_info($1)")
                .bind(table)
                .map(|row: sqlx::sqlite::SqliteRow| row.get(0))
                .fetch_all(&mut database)
                .await
                .unwrap();
            let value = |column: &String| match column.as_str() {
                c if c == key => format!("substr({c}, 1, length({c}) - 5) || printf('%05x', i)"),
                c @ ("name" | "submission") if table == "runs" => format!("{c} || '-' || i"),
                c @ "created_at" => format!("{c} - 60000 * i"),
                c => c.to_owned(),
            };
            let values: Vec<String> = columns.iter().map(value).collect();
            let sql = format!(
                "WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {from} + 500) \
                 INSERT INTO {table} ({}) SELECT {} FROM {table}, n WHERE {key} = $1",
                columns.join(", "),
                values.join(", ")
            );
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(run).execute(&mut database).await.unwrap();
        }
    }
}

/// Starts runs that train slowly; gives their ids when all do.
async fn launch(portal: &TwoTenants) -> Vec<String> {
    portal.programs.pace(PACE);
    let tenant = &portal.tenants[0];
    let quota = [("name", tenant.name), ("quota[concurrent_runs]", "1000"), ("quota[storage_gb]", "100"), ("quota[endpoints]", "2")];
    portal.admin.did(&portal.address, "admin/tenant-quota", &quota).await;
    let mut ids = Vec::new();
    for n in 0..LIVE {
        ids.push(processes::two_tenants::launch(&tenant.owner, &portal.address, tenant.name, tenant.word, &format!("live-{n}")).await);
    }
    processes::within(Duration::from_secs(300), "all runs train", async || {
        let last: Value = tenant.owner.did(&portal.address, "runs/get", &[("tenant", tenant.name), ("id", ids.last()?)]).await.body;
        last["run"]["progress"]["step"].as_u64().filter(|step| *step > 0).map(|_| ())
    })
    .await;
    ids
}
