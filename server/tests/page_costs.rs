//! What a page asks the database for: few statements, however many rows there are; no more rows than it shows; and no statement sorts.
//!
//! Every list has more rows than a page here, so a statement for each row, or a list without a limit, shows at once.

mod processes;

use processes::{Setup, person::Person, postgres::Postgres, prepare, two_tenants::TwoTenants, within};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Copies of each thing: more than a page.
const COPIES: usize = 60;

/// Pages, with how many statements each may make, those of the session among them, and how many rows it may read. `{word}` names the
/// things of the tenant.
const PAGES: &[(&str, usize, usize)] = &[
    ("/t/lumenta", 16, 140),
    ("/t/lumenta/datasets", 11, 120),
    ("/t/lumenta/datasets/{word}-facts", 20, 140),
    ("/t/lumenta/datasets/{word}-facts?tab=versions", 21, 190),
    ("/t/lumenta/datasets-new", 10, 120),
    ("/t/lumenta/runs", 10, 270),
    ("/t/lumenta/runs/{run}", 18, 700),
    ("/t/lumenta/runs/{run}?tab=log", 18, 2690),
    ("/t/lumenta/runs/{run}?tab=config", 21, 750),
    ("/t/lumenta/runs/{run}?tab=results", 21, 750),
    ("/t/lumenta/runs-new", 11, 120),
    ("/t/lumenta/runs-new?from={run}", 20, 290),
    ("/t/lumenta/models", 14, 220),
    ("/t/lumenta/models/{word}", 20, 240),
    ("/t/lumenta/models/{word}?tab=evaluation", 20, 280),
    ("/t/lumenta/models/{word}?tab=versions", 20, 280),
    ("/t/lumenta/models/{word}?tab=endpoints", 22, 330),
    ("/t/lumenta/base-models", 8, 70),
    ("/t/lumenta/endpoints", 15, 300),
    ("/t/lumenta/endpoints/{word}", 22, 460),
    ("/t/lumenta/endpoints-new", 9, 70),
    ("/t/lumenta/playground", 19, 360),
    ("/t/lumenta/playground/{chat}", 20, 360),
    ("/t/lumenta/keys", 10, 70),
    ("/t/lumenta/keys-new", 19, 410),
    ("/t/lumenta/usage", 10, 120),
    ("/t/lumenta/usage?by=model", 10, 120),
    ("/t/lumenta/lineage", 20, 710),
    ("/t/lumenta/members", 8, 70),
    ("/t/lumenta/audit", 8, 70),
    ("/admin/tenants", 4, 60),
    ("/admin/tenants/lumenta", 8, 70),
    ("/admin/base-models", 3, 60),
    ("/admin/audit", 3, 60),
    ("/admin/usage", 4, 10),
];

/// The same pages as somebody sees them who looks further: for the plans of their statements.
const FURTHER: &[&str] = &[
    "/t/lumenta/datasets?q=facts&checks=rejected",
    "/t/lumenta/runs?state=active",
    "/t/lumenta/runs?state=succeeded&q=run",
    "/t/lumenta/runs?state=failed",
    "/t/lumenta/runs/{run}?tab=log&level=warning&q=step",
    "/t/lumenta/runs/{run}?tab=results&rows=all",
    "/t/lumenta/runs/{run}?tab=results&rows=wrong",
    "/t/lumenta/models?q=a&stage=candidate",
    "/t/lumenta/keys?q=key&state=working",
    "/t/lumenta/usage?by=version",
    "/t/lumenta/usage?by=member",
    "/t/lumenta/members?q=mira",
    "/t/lumenta/audit?actor=mira",
    "/t/lumenta/audit?action=key.create&object=key",
    "/admin/audit?actor=admin",
];

/// Statements that sort what they read, and why that is no list that grows. A part of the statement tells which.
const SORTING: &[(&str, &str)] = &[
    ("FROM attachments a JOIN", "what the endpoints of a page serve: as many as their model servers hold"),
    ("UNION ALL SELECT m.id FROM endpoints m", "the endpoints that serve one version"),
    ("ROW_NUMBER() OVER", "a curve is thinned among all of its points"),
    ("ORDER BY SUM(u.requests)", "sums are made of the hours before they can be in an order"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_make_few_statements_read_what_they_show_and_sort_nothing() {
    let portal = TwoTenants::saying("info,sqlx=debug").await;
    let mut database = SqliteConnection::connect(&format!("sqlite://{}", portal.database().display())).await.unwrap();
    fill(&portal, &mut database).await;
    let tenant = &portal.tenants[0];
    let filled = |page: &str| page.replace("{word}", tenant.word).replace("{run}", &tenant.run).replace("{chat}", &tenant.chat);
    let mut all = BTreeSet::new();
    let mut wrong = Vec::new();
    println!("{:<60} {:>10} {:>6}", "page", "statements", "rows");
    for (page, most_statements, most_rows) in PAGES {
        // What happens beside it is in the log, too: the least of some drawings is the page's own.
        let mut drawings = Vec::new();
        for _ in 0..4 {
            drawings.push(drawn(&portal, &filled(page)).await);
        }
        all.extend(drawings.iter().flatten().map(|s| s.text.clone()));
        let least = drawings.iter().skip(1).min_by_key(|statements| statements.len()).unwrap();
        let (statements, rows) = (least.len(), least.iter().map(|s| s.rows).sum::<usize>());
        println!("{page:<60} {statements:>10} {rows:>6}");
        if statements > *most_statements || rows > *most_rows {
            let said: Vec<String> = least.iter().map(|s| format!("  {} rows: {}", s.rows, s.text)).collect();
            wrong.push(format!("{page}: {statements} statements, {rows} rows:\n{}", said.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "more than they may:\n{}", wrong.join("\n"));
    for page in FURTHER {
        all.extend(drawn(&portal, &filled(page)).await.into_iter().map(|s| s.text));
    }
    let lists: Vec<String> = all.into_iter().filter(|s| s.starts_with("SELECT") && s.contains("ORDER BY")).collect();
    assert!(lists.len() > 30, "the statements of lists were not found: {lists:#?}");
    let mut sorted = sorted_by_sqlite(&mut database, &lists).await;
    match Postgres::start() {
        None => {}
        Some(server) => sorted.extend(sorted_by_postgres(&server, &lists).await),
    }
    let excused = |statement: &str| SORTING.iter().any(|(part, _)| statement.contains(part));
    let unexcused: Vec<_> = sorted.iter().filter(|(statement, _)| !excused(statement)).collect();
    assert!(unexcused.is_empty(), "{} statements sort:\n{unexcused:#?}", unexcused.len());
    let needless: Vec<_> = SORTING.iter().filter(|(part, _)| !sorted.keys().any(|statement| statement.contains(part))).collect();
    assert!(needless.is_empty(), "these sort no more: {needless:#?}");
}

struct Statement {
    text: String,
    rows: usize,
}

/// The statements of one drawing of a page, without those by which a portal keeps its place.
async fn drawn(portal: &TwoTenants, page: &str) -> Vec<Statement> {
    let person: &Person = if page.starts_with("/admin/") { &portal.admin } else { &portal.tenants[0].owner };
    let from = portal.log().len();
    let (status, body) = person.page(&portal.address, page).await;
    assert_eq!(status, 200, "{page}: {body}");
    portal.log()[from..].lines().filter_map(statement).collect()
}

fn statement(line: &str) -> Option<Statement> {
    let field = |name: &str| {
        let rest = line.split_once(name)?.1;
        Some(rest.split_once(" rows_").map_or(rest, |(value, _)| value))
    };
    let summary = field("summary=\"")?;
    let whole = field("db.statement=\"").map(|text| text.trim_end_matches('"').replace("\\n", " ").replace("\\\"", "\""));
    let text = whole.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| summary.split('"').next().unwrap_or(summary).to_owned());
    if ["leases", "BEGIN", "COMMIT", "jobs", "counters"].iter().any(|word| text.contains(word)) {
        return None;
    }
    let rows = line.split_once("rows_returned=")?.1;
    let rows = rows.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Statement { text, rows })
}

/// How SQLite would read them, of those that it would sort.
async fn sorted_by_sqlite(database: &mut SqliteConnection, lists: &[String]) -> BTreeMap<String, String> {
    let mut sorted = BTreeMap::new();
    for list in lists {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {list}"))).fetch_all(&mut *database).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get::<String, _>("detail")).collect();
        if plan.iter().any(|step| step.contains("TEMP B-TREE") && step.contains("ORDER BY")) {
            sorted.insert(list.clone(), format!("SQLite: {}", plan.join("; ")));
        }
    }
    sorted
}

/// The same on PostgreSQL: which of them no index could spare the sorting.
async fn sorted_by_postgres(server: &Postgres, lists: &[String]) -> BTreeMap<String, String> {
    let data = tempfile::tempdir().unwrap();
    prepare();
    // A portal brings the schema along.
    let portal = Setup::new(data.path(), "schema").with("--database-url", &server.url).start().await;
    assert!(portal.stop().await);
    let mut database = PgConnection::connect(&server.url).await.unwrap();
    // Without rows every plan is as good; so that what sorts is seen, the other ways are made dear.
    for way in ["seqscan", "bitmapscan", "hashjoin", "mergejoin", "hashagg", "sort", "incremental_sort", "material", "memoize"] {
        sqlx::raw_sql(AssertSqlSafe(format!("SET enable_{way} = off"))).execute(&mut database).await.unwrap();
    }
    sqlx::raw_sql("SET plan_cache_mode = force_generic_plan").execute(&mut database).await.unwrap();
    let mut sorted = BTreeMap::new();
    for list in lists {
        let text = numbered(list);
        let values = (1..100).take_while(|n| text.contains(&format!("${n}"))).count();
        let values = vec!["NULL"; values].join(", ");
        let values = if values.is_empty() { String::new() } else { format!("({values})") };
        let asked = format!("PREPARE list AS {text}; EXPLAIN (COSTS OFF) EXECUTE list{values}; DEALLOCATE list");
        let plan = sqlx::raw_sql(AssertSqlSafe(asked)).fetch_all(&mut database).await;
        let plan: Vec<String> = plan.unwrap_or_else(|e| panic!("{e}: {list}")).iter().map(|row| row.get::<String, _>(0)).collect();
        if plan.iter().any(|step| step.trim_start().trim_start_matches("->").trim_start().starts_with("Sort")) {
            sorted.insert(list.clone(), format!("PostgreSQL: {}", plan.join("; ")));
        }
    }
    sorted
}

/// SQLite's statements of several ids leave their values unnumbered.
fn numbered(list: &str) -> String {
    let mut parts = list.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.enumerate().fold(first, |text, (n, part)| format!("{text}${}{part}", n + 1))
}

/// More than a page of everything that pages list, by copying what the tenant has.
async fn fill(portal: &TwoTenants, database: &mut SqliteConnection) {
    let tenant = &portal.tenants[0];
    for n in 0..COPIES {
        let label = format!("key number {n}");
        let form = [("tenant", tenant.name), ("form[label]", label.as_str()), ("form[may]", "all")];
        tenant.owner.did(&portal.address, "keys/create", &form).await;
    }
    let asked = json!({"models": [tenant.word], "system": "", "question": "Who?"});
    tenant.owner.post_json(&portal.address, &format!("/t/{}/playground/chat", tenant.name), &asked).await.unwrap();
    within(Duration::from_secs(60), "a call is recorded", async || {
        let usage = tenant.owner.did(&portal.address, "usage/get", &[("tenant", tenant.name), ("by", "key"), ("days", "1")]).await.body;
        usage["calls"]["rows"].as_array().is_some_and(|rows| !rows.is_empty()).then_some(())
    })
    .await;
    let own = format!("tenant = '{}'", tenant.name);
    let id = |column: &str| format!("substr({column}, 1, length({column}) - 5) || printf('%05x', i)");
    let id_from = |column: &str, from: usize| format!("substr({column}, 1, length({column}) - 5) || printf('%05x', {from} + i)");
    let (this_id, this_run) = (id("id"), id("run"));
    let number = |column: &str| format!("{column} || '-' || i");
    let earlier = |column: &str| format!("{column} - 60000 * i");
    let once = |column: &'static str, value: &str| (column, value.to_owned());
    copy(database, "people", "name LIKE 'Mira%'", &[("id", this_id.clone()), ("subject", number("subject")), ("name", number("name"))])
        .await;
    let mira = format!("{own} AND name LIKE 'Mira%'");
    copy(database, "members", &mira, &[("person", id("person")), ("name", number("name"))]).await;
    copy(database, "base_models", "1 = 1", &[("id", this_id.clone()), ("name", number("name"))]).await;
    // Their own version is the newest still.
    for (table, to) in [("dataset_versions", 900), ("model_versions", 900)] {
        sqlx::query(AssertSqlSafe(format!("UPDATE {table} SET number = {to} WHERE {own}"))).execute(&mut *database).await.unwrap();
    }
    copy(database, "datasets", &own, &[("id", this_id.clone()), ("name", number("name")), ("created_at", earlier("created_at"))]).await;
    let of_the_first = format!("{own} AND number = 900");
    copy(
        database,
        "dataset_versions",
        &of_the_first,
        &[("id", this_id.clone()), ("dataset", id("dataset")), ("number", "1".into()), ("created_at", earlier("created_at"))],
    )
    .await;
    copy(database, "dataset_versions", &of_the_first, &[("id", id_from("id", 4096)), ("number", "i + 1".into())]).await;
    let the_run = format!("{own} AND id = '{}'", tenant.run);
    let its = format!("{own} AND run = '{}'", tenant.run);
    for from in [0, 4096] {
        let changes = [
            ("id", id_from("id", from)),
            ("name", format!("name || '-' || ({from} + i)")),
            ("submission", format!("submission || '-' || ({from} + i)")),
            ("created_at", earlier("created_at")),
            ("state", "CASE WHEN i % 3 = 0 THEN 'failed' ELSE state END".to_owned()),
        ];
        copy(database, "runs", &the_run, &changes).await;
        copy(database, "run_steps", &its, &[("run", id_from("run", from))]).await;
    }
    let more = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) INSERT INTO";
    let last = format!("(SELECT MAX(number) FROM run_log WHERE {its})");
    let statements = [
        format!(
            "{more} run_log (tenant, run, number, at, step, level, text) SELECT tenant, run, {last} + i, at, step, \
                 CASE WHEN i % 50 = 0 THEN 'warning' ELSE level END, text || i FROM run_log, n WHERE {its} AND number = 1"
        ),
        format!(
            "{more} run_metrics (tenant, run, step, part, loss, at) SELECT tenant, run, 100000 + i, part, loss, at FROM run_metrics, n \
                 WHERE {its} AND step = (SELECT MIN(step) FROM run_metrics WHERE {its} AND part = 'train') AND part = 'train'"
        ),
        format!(
            "{more} evaluated_rows SELECT tenant, run, row_number + 1000 + i, prompt, expected, base, tuned, i % 2, (i + 1) % 2 \
                 FROM evaluated_rows, n WHERE {its} AND i <= 200 AND row_number = (SELECT MIN(row_number) FROM evaluated_rows WHERE {its})"
        ),
        format!(
            "{more} endpoint_log SELECT tenant, endpoint, number + 100000 + i, at, level, text FROM endpoint_log, n WHERE {own} \
                 AND number = (SELECT MIN(number) FROM endpoint_log WHERE {own})"
        ),
    ];
    for sql in statements {
        let written = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *database).await.unwrap().rows_affected();
        assert!(written > 0, "{sql}");
    }
    copy(database, "models", &own, &[("id", this_id.clone()), ("name", number("name"))]).await;
    let the_version = format!("{own} AND number = 900");
    let changes = [
        ("id", this_id.clone()),
        ("model", id("model")),
        ("run", this_run.clone()),
        once("number", "1"),
        ("created_at", earlier("created_at")),
    ];
    copy(database, "model_versions", &the_version, &changes).await;
    let changes =
        [("id", id_from("id", 4096)), ("run", id_from("run", 4096)), once("number", "i + 1"), ("created_at", earlier("created_at"))];
    copy(database, "model_versions", &the_version, &changes).await;
    let changes = [
        ("id", this_id.clone()),
        ("name", number("name")),
        once("state", "'stopped'"),
        once("address", "NULL"),
        ("created_at", earlier("created_at")),
    ];
    copy(database, "endpoints", &own, &changes).await;
    copy(database, "attachments", &own, &[("endpoint", id("endpoint"))]).await;
    copy(database, "chats", &own, &[("id", this_id.clone()), ("updated_at", earlier("updated_at"))]).await;
    let one_call = format!("{own} AND id = (SELECT MIN(id) FROM calls WHERE {own})");
    copy(database, "calls", &one_call, &[("id", this_id.clone()), ("at", "at - i".into())]).await;
    let one_hour = format!("{own} AND rowid = (SELECT MIN(rowid) FROM usage_hours WHERE {own})");
    copy(database, "usage_hours", &one_hour, &[("key_id", "'key_' || printf('%032x', i)".into()), ("model", "'model-' || i".into())]).await;
    copy(database, "tenants", &format!("name = '{}'", tenant.name), &[("name", number("name")), ("title", number("title"))]).await;
}

/// Copies rows of a table, with these columns of each copy made of the row and the copy's number `i`.
async fn copy(database: &mut SqliteConnection, table: &str, of: &str, changes: &[(&str, String)]) {
    let columns: Vec<String> = sqlx::query("SELECT name FROM pragma_table_info($1)")
        .bind(table)
        .map(|row: sqlx::sqlite::SqliteRow| row.get(0))
        .fetch_all(&mut *database)
        .await
        .unwrap();
    let value = |column: &String| changes.iter().find(|(of, _)| of == column).map_or_else(|| column.clone(), |(_, value)| value.clone());
    let values: Vec<String> = columns.iter().map(value).collect();
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {COPIES}) INSERT INTO {table} ({}) SELECT {} FROM {table}, n WHERE {of}",
        columns.join(", "),
        values.join(", ")
    );
    let written = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *database).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
    assert!(written.rows_affected() >= COPIES as u64, "{sql}");
}
