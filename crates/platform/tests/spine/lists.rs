//! Lists, a page at a time: everything once and in its order, whatever comes and goes between the pages, and nothing of anybody else's.

use crate::support::{World, every, profile};
use domain::{
    filter::{BaseModelFilter, DatasetChecks, DatasetFilter, EvaluatedFilter, KeyFilter, ModelFilter, RunFilter, RunStates},
    ids::{ChatId, KeyId, RunId},
    name::Name,
    page::{Cursor, PAGE, Page},
    people::{PlatformRole, Role},
    usage::{Call, UsageBy},
};
use platform::access::{PlatformScope, Scope};
use std::{collections::HashSet, fmt::Debug};

crate::on_both_databases!(
    many_rows_of_one_moment_are_listed_once_each,
    rows_that_come_and_go_between_the_pages_show_none_twice_and_skip_none,
    a_cursor_of_another_tenant_shows_nothing_of_it,
    filters_look_through_the_whole_list,
    members_are_listed_by_the_name_of_now,
    calls_of_one_moment_are_listed_once_each,
    of_a_long_log_the_end_is_read_and_of_a_long_curve_some_points,
    runs_that_failed_lately_come_first_by_their_end,
    usage_is_listed_the_most_used_first_page_by_page,
);

/// Rows of each list.
const ROWS: usize = 120;
/// The moment of all of them.
const AT: i64 = 1_800_000_000_000;

fn id(prefix: &str, n: usize) -> String {
    format!("{prefix}_{n:032x}")
}

/// `(row of 0), (row of 1), ..`
fn rows(of: impl Fn(usize) -> String) -> String {
    (0..ROWS).map(|n| format!("({})", of(n))).collect::<Vec<_>>().join(", ")
}

/// A tenant with many of everything, all made at one moment, and its owner.
async fn full(world: &World, tenant: &str, owner: &str) -> Scope {
    world.tenant(tenant).await;
    let scope = world.scope(owner, tenant, Role::Owner).await;
    let (t, p) = (tenant, scope.person().id);
    let base = id("base", 1);
    // Everybody's; the second tenant finds it there.
    let _ = world
        .execute(format!(
            "INSERT INTO base_models (id, name, state, reason, architecture, parameters, context, template, licence, digest, files_json, created_at) \
             VALUES ('{base}', 'world', 'ready', NULL, 'llama', 1, 512, 'default', 'mit', '', '[]', {AT})"
        ))
        .await;
    let insert = async |into: &str, of: &dyn Fn(usize) -> String| {
        world.execute(format!("INSERT INTO {into} VALUES {}", rows(of))).await.unwrap();
    };
    insert("datasets (tenant, id, name, created_by, created_at)", &|n| format!("'{t}', '{}', 'data-{n:03}', '{p}', {AT}", id("ds", n)))
        .await;
    let said = serde_json::to_string(&domain::dataset::Documentation::default()).unwrap();
    let version = |n: usize, of: usize, number: usize| {
        let (rejected, warnings) = (usize::from(n % 60 == 59), usize::from(n % 40 == 39));
        format!(
            "'{t}', '{}', '{}', {number}, 'ready', 'file-{n}.jsonl', 1, 0, '{said}', '{p}', {AT}, {rejected}, {warnings}, {}",
            id("dsv", n),
            id("ds", of),
            rejected + warnings
        )
    };
    let into = "dataset_versions (tenant, id, dataset, number, state, file_name, bytes, held_out_percent, documentation_json, created_by, \
                created_at, rejected_rows, warnings, problems)";
    insert(into, &|n| version(n, n, 1)).await;
    // Many of one, beside the one of each.
    insert(into, &|n| version(1000 + n, 0, 2 + n)).await;
    insert(
        "runs (tenant, id, name, state, reason, base_model, dataset_version, model_name, settings_json, submission, owner, created_at)",
        &|n| {
            let (state, v) = (["queued", "succeeded", "failed", "cancelled"][n % 4], id("dsv", n % 100));
            let (run, reason) = (id("run", n), r#"{"code":"told","text":"so"}"#);
            format!("'{t}', '{run}', 'run-{n:03}', '{state}', '{reason}', '{base}', '{v}', 'assistant', '{{}}', 's{n}', '{p}', {AT}")
        },
    )
    .await;
    insert("evaluated_rows (tenant, run, row_number, prompt, expected, base, tuned, base_right, tuned_right)", &|n| {
        format!("'{t}', '{}', {}, 'q', 'a', 'b', 'c', {}, {}", id("run", 1), n + 1, n % 2, usize::from(n % 2 == 0))
    })
    .await;
    insert("models (tenant, id, name, created_at)", &|n| format!("'{t}', '{}', 'model-{n:03}', {AT}", id("mdl", n))).await;
    let card = r#"{"revision":1,"fields":[]}"#;
    insert(
        "model_versions (tenant, id, model, number, stage, kind, digest, files_json, run, card_json, card_revision, author, created_at)",
        &|n| {
            // The first half are one of each of the models, the rest are versions of the first.
            let (model, number) = if n < 60 { (n, 1) } else { (0, n) };
            let (v, m, run) = (id("mv", n), id("mdl", model), id("run", n));
            let stage = if n == 57 { "approved" } else { "candidate" };
            format!("'{t}', '{v}', '{m}', {number}, '{stage}', 'adapter', '', '[]', '{run}', '{card}', 1, '{p}', {AT}")
        },
    )
    .await;
    let reason = r#"{"code":"told","text":"so"}"#;
    insert(
        "endpoints (tenant, id, name, state, reason, base_model, revision, launch, max_lora_rank, restarts, created_by, created_at)",
        &|n| format!("'{t}', '{}', 'endpoint-{n:03}', 'stopped', '{reason}', '{base}', 1, 0, 0, 0, '{p}', {AT}", id("ep", n)),
    )
    .await;
    insert("attachments (tenant, endpoint, version, state, reason, attached_at)", &|n| {
        format!("'{t}', '{}', '{}', 'loading', NULL, {AT}", id("ep", n), id("mv", n))
    })
    .await;
    insert("api_keys (tenant, id, label, hint, digest, owner, created_at, expires_at, service)", &|n| {
        let over = if n % 30 == 29 { "1" } else { "NULL" };
        format!("'{t}', '{}', 'key {n}', 'atl_{n}', '{t} {n}', '{p}', {AT}, {over}, 0", id("key", n))
    })
    .await;
    insert("chats (tenant, id, person, title, models_json, system_text, exchanges_json, updated_at)", &|n| {
        format!("'{t}', '{}', '{p}', 'chat {n}', '[]', '', '[]', {AT}", id("chat", n))
    })
    .await;
    scope
}

/// Walks through a list: the sizes of its pages, and the key of each row.
async fn walked<T: Debug>(page: impl AsyncFn(Cursor) -> Page<T>, key: impl Fn(&T) -> String) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut keys, mut after) = (Vec::new(), Vec::new(), Some(Cursor::default()));
    while let Some(from) = after {
        let page = page(from).await;
        sizes.push(page.rows.len());
        keys.extend(page.rows.iter().map(&key));
        after = page.next;
        assert!(sizes.len() < 10, "it does not end");
    }
    (sizes, keys)
}

fn descending(prefix: &str) -> Vec<String> {
    (0..ROWS).rev().map(|n| id(prefix, n)).collect()
}

fn by_name(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{prefix}-{n:03}")).collect()
}

async fn many_rows_of_one_moment_are_listed_once_each(world: World) {
    let scope = full(&world, "acme", "olga").await;
    let p = &world.platform;
    let sizes = vec![PAGE, PAGE, ROWS - 2 * PAGE];
    let runs = p.runs(&scope);
    let every_run = RunFilter::default();
    assert_eq!(walked(async |c| runs.list(&every_run, &c).await.unwrap(), |r| r.id.to_string()).await, (sizes.clone(), descending("run")));
    let counts = runs.counts().await.unwrap();
    assert_eq!((counts.active, counts.succeeded, counts.failed, counts.all()), (30, 30, 60, 120));
    for (states, found) in [(RunStates::Active, vec![30]), (RunStates::Succeeded, vec![30]), (RunStates::Failed, vec![50, 10])] {
        let filter = RunFilter { states, ..RunFilter::default() };
        assert_eq!(walked(async |c| runs.list(&filter, &c).await.unwrap(), |r| r.id.to_string()).await.0, found, "{states:?}");
    }
    let data = p.datasets(&scope);
    let every_dataset = DatasetFilter::default();
    let list = walked(async |c| data.list(&every_dataset, &c).await.unwrap(), |d| d.dataset.name.to_string()).await;
    assert_eq!(list, (sizes.clone(), by_name("data", ROWS)));
    let first = data.list(&every_dataset, &Cursor::default()).await.unwrap().rows;
    let latest: Vec<_> = first.iter().take(2).map(|d| (d.latest.as_ref().map(|v| v.number), d.runs)).collect();
    assert_eq!(latest, [(Some(121), 2), (Some(1), 2)], "the newest version, and the runs of each");
    let versions = walked(async |c| data.versions("data-000", &c).await.unwrap(), |v| v.number.to_string()).await;
    assert_eq!(versions, (vec![50, 50, 21], (1..=121).rev().map(|n| n.to_string()).collect()));
    let rows = walked(
        async |c| runs.evaluated(id("run", 1).parse().unwrap(), EvaluatedFilter::Flipped, &c).await.unwrap(),
        |r| format!("{} {}", r.tuned_right, r.row),
    );
    let flipped = (1..=ROWS).filter(|n| n % 2 == 0).map(|n| format!("false {n}"));
    let flipped = flipped.chain((1..=ROWS).filter(|n| n % 2 == 1).map(|n| format!("true {n}"))).collect::<Vec<_>>();
    assert_eq!(rows.await, (sizes.clone(), flipped), "worse ones first");
    let models = p.models(&scope);
    let every_model = ModelFilter::default();
    let list = walked(async |c| models.list(&every_model, &c).await.unwrap(), |m| m.model.name.to_string()).await;
    assert_eq!(list, (vec![50, 10], by_name("model", 60)), "a model without a version is not there yet");
    assert_eq!(models.counts().await.unwrap(), (120, 120));
    let versions = walked(async |c| models.versions("model-000", &c).await.unwrap(), |v| v.number.to_string()).await;
    assert_eq!(versions, (vec![50, 11], (60..120).rev().chain([1]).map(|n| n.to_string()).collect()));
    let endpoints = p.endpoints(&scope);
    assert_eq!(walked(async |c| endpoints.list(&c).await.unwrap(), |e| e.id.to_string()).await, (sizes.clone(), descending("ep")));
    let page = endpoints.list(&Cursor::default()).await.unwrap();
    assert!(page.rows.iter().all(|e| e.attachments.len() == 1), "each with its adapter");
    let keys = p.keys(&scope);
    let every_key = KeyFilter::default();
    assert_eq!(walked(async |c| keys.list(&every_key, &c).await.unwrap(), |k| k.id.to_string()).await, (sizes.clone(), descending("key")));
    let chats = p.chats(&scope);
    assert_eq!(walked(async |c| chats.list(&c).await.unwrap(), |c| c.id.to_string()).await, (sizes.clone(), descending("chat")));
    let into =
        "base_models (id, name, state, reason, architecture, parameters, context, template, licence, digest, files_json, created_at)";
    let more = rows_of_bases();
    world.execute(format!("INSERT INTO {into} VALUES {more}")).await.unwrap();
    let caller = world.caller("olga", &[("acme", Role::Owner)], None).await;
    let every_base = BaseModelFilter::default();
    let bases = walked(async |c| p.base_models().list(&caller, &every_base, &c).await.unwrap(), |b| b.name.to_string()).await;
    assert_eq!(bases, (vec![50, 50, 21], [by_name("base", ROWS), vec!["world".into()]].concat()));
    let admin = PlatformScope::command_line();
    world
        .execute(format!(
            "INSERT INTO tenants (name, title, state, concurrent_runs, storage_bytes, endpoints, created_at) VALUES {}",
            rows_of_tenants()
        ))
        .await
        .unwrap();
    let tenants = p.tenants(&admin);
    let list = walked(async |c| tenants.list("", &c).await.unwrap(), |t| t.tenant.name.to_string()).await;
    assert_eq!(list, (vec![50, 50, 21], [vec!["acme".into()], by_name("tenant", ROWS)].concat()));
    assert_eq!((tenants.count().await.unwrap(), tenants.list("itle 7", &Cursor::default()).await.unwrap().rows.len()), (121, 11));
}

fn rows_of_bases() -> String {
    rows(|n| format!("'{}', 'base-{n:03}', 'ready', NULL, 'llama', 1, 512, 'default', 'mit', '', '[]', {AT}", id("base", 100 + n)))
}

fn rows_of_tenants() -> String {
    rows(|n| format!("'tenant-{n:03}', 'Title {n}', 'active', 1, 1, 1, {AT}"))
}

async fn rows_that_come_and_go_between_the_pages_show_none_twice_and_skip_none(world: World) {
    let scope = full(&world, "acme", "olga").await;
    let (keys, datasets, every_key, every_dataset) =
        (world.platform.keys(&scope), world.platform.datasets(&scope), KeyFilter::default(), DatasetFilter::default());
    let (first, by) = (keys.list(&every_key, &Cursor::default()).await.unwrap(), scope.person().id);
    let first_by_name = datasets.list(&every_dataset, &Cursor::default()).await.unwrap();
    // The very row after which the next page begins goes, and its neighbours; others come before it.
    for n in [ROWS - PAGE - 1, ROWS - PAGE, ROWS - PAGE + 1] {
        world.execute(format!("DELETE FROM api_keys WHERE id = '{}'", id("key", n))).await.unwrap();
    }
    let new = |n: usize| format!("('acme', '{}', 'new', 'atl_x', 'new {n}', '{by}', {}, 0)", id("key", n), AT + 1);
    let insert = "INSERT INTO api_keys (tenant, id, label, hint, digest, owner, created_at, service) VALUES";
    world.execute(format!("{insert} {}, {}", new(500), new(501))).await.unwrap();
    for n in [PAGE - 1, PAGE] {
        world.execute(format!("DELETE FROM attachments WHERE endpoint = '{}'", id("ep", n))).await.unwrap();
        world.execute(format!("UPDATE datasets SET name = 'gone-{n}' WHERE name = 'data-{n:03}'")).await.unwrap();
    }
    world.execute("UPDATE datasets SET name = 'aaa' WHERE name = 'data-110'").await.unwrap();
    let rest = every(async |after: Cursor| {
        let after = if after.is_beginning() { first.next.clone().unwrap() } else { after };
        keys.list(&every_key, &after).await.unwrap()
    });
    let seen: Vec<String> = first.rows.iter().chain(&rest.await).map(|k| k.id.to_string()).collect();
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "none twice");
    let expected = descending("key").into_iter().enumerate().filter(|(i, _)| *i != PAGE).map(|(_, id)| id);
    let expected: Vec<String> = expected.collect();
    assert_eq!(seen, expected, "none skipped: of those that went, one was on the first page, one the last of it, one on the second");
    let rest = datasets.list(&every_dataset, &first_by_name.next.unwrap()).await.unwrap();
    let names: Vec<String> = rest.rows.iter().take(2).map(|d| d.dataset.name.to_string()).collect();
    assert_eq!(names, ["data-051", "data-052"], "where the next page begins is a name, whether it still is there or not");
}

async fn a_cursor_of_another_tenant_shows_nothing_of_it(world: World) {
    let acme = full(&world, "acme", "olga").await;
    let beta = {
        world.tenant("beta").await;
        world.scope("bob", "beta", Role::Owner).await
    };
    let p = &world.platform;
    let new =
        domain::key::NewKey { label: "ours".into(), models: None, limits: Default::default(), expires_in_days: None, responsible: None };
    let own: KeyId = p.keys(&beta).create(new).await.unwrap().key.id;
    let theirs = p.runs(&acme).list(&RunFilter::default(), &Cursor::default()).await.unwrap().next.unwrap();
    assert!(p.runs(&beta).list(&RunFilter::default(), &theirs).await.unwrap().rows.is_empty());
    let theirs = p.endpoints(&acme).list(&Cursor::default()).await.unwrap().next.unwrap();
    assert!(p.endpoints(&beta).list(&theirs).await.unwrap().rows.is_empty());
    let theirs = p.keys(&acme).list(&KeyFilter::default(), &Cursor::default()).await.unwrap().next.unwrap();
    let seen = p.keys(&beta).list(&KeyFilter::default(), &theirs).await.unwrap().rows;
    assert!(seen.iter().all(|k| k.id == own), "{seen:?}");
    let theirs = p.chats(&acme).list(&Cursor::default()).await.unwrap().next.unwrap();
    assert!(p.chats(&beta).list(&theirs).await.unwrap().rows.is_empty());
    let theirs = p.datasets(&acme).list(&DatasetFilter::default(), &Cursor::default()).await.unwrap().next.unwrap();
    assert!(p.datasets(&beta).list(&DatasetFilter::default(), &theirs).await.unwrap().rows.is_empty());
    // Of another list it is no place at all: the first page.
    let first = p.keys(&acme).list(&KeyFilter::default(), &Cursor::default()).await.unwrap();
    assert_eq!(p.keys(&acme).list(&KeyFilter::default(), &theirs).await.unwrap(), first);
    assert_eq!(p.keys(&acme).list(&KeyFilter::default(), &Cursor::from_text("%00 or so")).await.unwrap(), first);
}

async fn filters_look_through_the_whole_list(world: World) {
    let scope = full(&world, "acme", "olga").await;
    let p = &world.platform;
    let beginning = Cursor::default();
    let runs = async |text: &str| {
        p.runs(&scope).list(&RunFilter { text: text.into(), ..RunFilter::default() }, &beginning).await.unwrap().rows.len()
    };
    // The oldest, by their own name, their dataset, their owner; what is typed is no pattern.
    assert_eq!([runs("RUN-000").await, runs("data-007").await, runs("100%").await, runs("data_007").await], [1, 2, 0, 0]);
    assert_eq!((runs(" olga ").await, runs(&id("run", 3)).await), (PAGE, 1));
    let data = async |text: &str, checks| p.datasets(&scope).list(&DatasetFilter { text: text.into(), checks }, &beginning).await.unwrap();
    let names =
        |page: Page<domain::dataset::DatasetOverview>| page.rows.into_iter().map(|d| d.dataset.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(data("FILE-119.json", DatasetChecks::All).await), ["data-119"]);
    assert_eq!(names(data("", DatasetChecks::Rejected).await), ["data-059", "data-119"]);
    assert_eq!(names(data("", DatasetChecks::Warnings).await), ["data-000", "data-039", "data-079", "data-119"]);
    let clean = every(async |after| {
        p.datasets(&scope).list(&DatasetFilter { text: String::new(), checks: DatasetChecks::Clean }, &after).await.unwrap()
    });
    assert_eq!(clean.await.len(), ROWS - 5);
    let models = async |text: &str, stage| p.models(&scope).list(&ModelFilter { text: text.into(), stage }, &beginning).await.unwrap().rows;
    let approved = models("", Some(domain::model::Stage::Approved)).await;
    assert_eq!(approved.iter().map(|m| m.model.name.as_str()).collect::<Vec<_>>(), ["model-057"]);
    assert_eq!((models("WORLD", None).await.len(), models("model-05", None).await.len()), (PAGE, 10));
    let keys =
        async |text: &str, working| p.keys(&scope).list(&KeyFilter { text: text.into(), working }, &beginning).await.unwrap().rows.len();
    assert_eq!(
        [keys("KEY 29", false).await, keys("key 29", true).await, keys("atl_7", false).await, keys("velkor", false).await],
        [1, 0, 11, 0]
    );
    let works = every(async |after| p.keys(&scope).list(&KeyFilter { working: true, ..KeyFilter::default() }, &after).await.unwrap()).await;
    let now = crate::support::now();
    let all = every(async |after| p.keys(&scope).list(&KeyFilter::default(), &after).await.unwrap()).await;
    assert_eq!(works, all.into_iter().filter(|k| k.state(now).works()).collect::<Vec<_>>(), "the same as the key itself says");
    assert_eq!(works.len(), ROWS - 4);
    let known: RunId = id("run", 3).parse().unwrap();
    assert_eq!(p.runs(&scope).get(known).await.unwrap().id, known);
    let free = p.runs(&scope).free_name("run-119").await.unwrap();
    assert_eq!(free, "run-120");
    let chat: ChatId = id("chat", 0).parse().unwrap();
    assert_eq!(p.chats(&scope).get(chat).await.unwrap().title, "chat 0", "what is on no first page is still there");
}

async fn members_are_listed_by_the_name_of_now(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("olga", "acme", Role::Owner).await;
    for n in 0..PAGE + 5 {
        world.sign_in(&format!("member-{n:03}"), &[("acme", Role::Viewer)], None).await;
    }
    let members = world.platform.members(&scope);
    let names = async || walked(async |c| members.list("", &c).await.unwrap(), |m| m.person_name.clone()).await;
    assert_eq!(names().await, (vec![50, 6], [by_name("member", PAGE + 5), vec!["olga".into()]].concat()));
    assert_eq!(members.list("MEMBER-054@", &Cursor::default()).await.unwrap().rows.len(), 1, "by their address");
    // Another name at the provider counts from the next sign-in.
    let renamed = platform::sessions::Profile { name: "zoe".into(), ..profile("member-000", &[("acme", Role::Viewer)], None) };
    world.platform.sessions().sign_in(renamed, &crate::support::origin()).await.unwrap();
    assert_eq!(names().await.1.last().map(String::as_str), Some("zoe"));
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    let acme = world.platform.tenants(&auditor).get("acme").await.unwrap().tenant;
    assert_eq!(world.platform.tenants(&auditor).members(&acme, &Cursor::default()).await.unwrap().rows.len(), PAGE);
}

async fn calls_of_one_moment_are_listed_once_each(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("olga", "acme", Role::Owner).await;
    let tenant: Name = "acme".parse().unwrap();
    let one = |n: usize| Call {
        tenant: tenant.clone(),
        id: id("call", n).parse().unwrap(),
        ..crate::keys_and_usage::call(n as u128, domain::time::Timestamp(AT), None, scope.person().id)
    };
    world.platform.record_calls((0..ROWS).map(one).collect()).await.unwrap();
    let usage = world.platform.usage(&scope);
    assert_eq!(walked(async |c| usage.calls(&c).await.unwrap(), |c| c.id.to_string()).await, (vec![50, 50, 20], descending("call")));
    let homeless: Vec<Call> = (0..ROWS).map(|n| Call { tenant: "nobody".parse().unwrap(), ..one(n) }).collect();
    assert_eq!(world.platform.record_calls(homeless).await.unwrap(), ROWS as u64);
    let admin = world.caller("root", &[], Some(PlatformRole::Admin)).await.platform_scope().unwrap();
    let aside = world.platform.calls_set_aside(&admin);
    let ids: Vec<String> = every(async |after| aside.list(&after).await.unwrap()).await.iter().map(|a| a.call.id.to_string()).collect();
    assert_eq!(ids, (0..ROWS).map(|n| id("call", n)).collect::<Vec<_>>());
}

async fn of_a_long_log_the_end_is_read_and_of_a_long_curve_some_points(world: World) {
    let scope = full(&world, "acme", "olga").await;
    let (run, p) = (id("run", 1), &world.platform);
    let line = |n: usize| {
        let level = ["info", "warning", "info", "error"][n % 4];
        format!("'acme', '{run}', {}, {AT}, 'train', '{level}', 'Line {n} 100%'", n + 1)
    };
    world.execute(format!("INSERT INTO run_log (tenant, run, number, at, step, level, text) VALUES {}", rows(line))).await.unwrap();
    let known: RunId = run.parse().unwrap();
    let tail = async |warnings, text: &str, most| {
        let (lines, total, of_warnings) = p.runs(&scope).log_tail(known, warnings, text, most).await.unwrap();
        (lines.into_iter().map(|l| l.number).collect::<Vec<_>>(), total, of_warnings)
    };
    assert_eq!(tail(false, "", 3).await, (vec![118, 119, 120], 120, 60), "the newest, oldest of them first");
    assert_eq!(tail(true, "", 3).await, (vec![116, 118, 120], 120, 60));
    assert_eq!(tail(true, "LINE 11", 4).await, (vec![114, 116, 118, 120], 120, 60), "whatever its case, and only warnings");
    assert_eq!(tail(false, "line 7 100%", 9).await.0, [8], "what is typed is no pattern");
    let none = p.runs(&scope).log_tail(id("run", 2).parse().unwrap(), false, "", 3).await.unwrap();
    assert_eq!((none.0.len(), none.1, none.2), (0, 0, 0), "a run that has said nothing yet");

    let point = |n: usize| format!("'acme', '{run}', {n}, 'train', {n}.5, NULL, {AT}");
    let columns = "INSERT INTO run_metrics (tenant, run, step, part, loss, eval_loss, at) VALUES";
    world.execute(format!("{columns} {}", rows(point))).await.unwrap();
    let evaluated = |n: usize| format!("('acme', '{run}', {}, 'eval', NULL, 0.5, {AT})", n * 10);
    world.execute(format!("{columns} {}", (0..12).map(evaluated).collect::<Vec<_>>().join(", "))).await.unwrap();
    let some = p.runs(&scope).metrics(known, 10).await.unwrap();
    let steps = |part: fn(&domain::run::MetricPoint) -> bool| some.iter().filter(|m| part(m)).map(|m| m.step).collect::<Vec<_>>();
    let (train, eval) = (steps(|m| m.loss.is_some()), steps(|m| m.eval_loss.is_some()));
    assert!(train.len() <= 12 && train.first() == Some(&0) && train.last() == Some(&119), "{train:?}");
    assert!(eval.len() <= 12 && eval.first() == Some(&0) && eval.last() == Some(&110), "{eval:?}");
    assert!(some.is_sorted_by_key(|m| m.step), "in the order of steps");
    assert_eq!(p.runs(&scope).metrics(known, 600).await.unwrap().len(), ROWS + 12, "all of them where there are few");
}

async fn runs_that_failed_lately_come_first_by_their_end(world: World) {
    let scope = full(&world, "acme", "olga").await;
    // Every fourth has failed; the oldest of them ended last.
    for n in [2, 6, 10, 14] {
        let ended = AT + 1_000_000 - n;
        world.execute(format!("UPDATE runs SET ended_at = {ended} WHERE id = '{}'", id("run", n as usize))).await.unwrap();
    }
    let found = world.platform.runs(&scope).failed_since(domain::time::Timestamp(AT + 1_000_000 - 12), 2).await.unwrap();
    assert_eq!(found.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["run-002", "run-006"]);
    let found = world.platform.runs(&scope).failed_since(domain::time::Timestamp(AT + 1_000_000 - 12), 9).await.unwrap();
    assert_eq!(found.len(), 3, "one ended before, the others have not ended");
    let names = world.platform.runs(&scope).names().await.unwrap();
    assert_eq!((names.rows.len(), names.rows[0].1.as_str(), names.next.is_some()), (PAGE, "run-119", true));
}

async fn usage_is_listed_the_most_used_first_page_by_page(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("olga", "acme", Role::Owner).await;
    let now = crate::support::now();
    // Two of the first thirty models, one of the others.
    let calls = (0..150)
        .map(|n| Call { model: format!("model-{:03}", n % 120), ..crate::keys_and_usage::call(n as u128, now, None, scope.person().id) });
    world.platform.record_calls(calls.collect()).await.unwrap();
    let usage = world.platform.usage(&scope);
    let table = async |by| walked(async |c| usage.table(by, 7, &c).await.unwrap(), |l| format!("{} {}", l.group, l.requests)).await;
    let expected = (0..120).map(|n| format!("model-{n:03} {}", if n < 30 { 2 } else { 1 })).collect();
    assert_eq!(table(UsageBy::Model).await, (vec![50, 50, 20], expected));
    assert_eq!(table(UsageBy::Member).await.0, [1]);
    assert_eq!(usage.table(UsageBy::Day, 7, &Cursor::default()).await.unwrap().rows.len(), 7);
    let key: KeyId = id("key", 7).parse().unwrap();
    assert!(usage.of_keys(&[key], 7).await.unwrap().is_empty(), "the playground is no key");
    let through = |n: u128| Call { key: Some(key), ..crate::keys_and_usage::call(1000 + n, now, Some(key), scope.person().id) };
    world.platform.record_calls((0..3).map(through).collect()).await.unwrap();
    assert_eq!(usage.of_keys(&[key], 7).await.unwrap(), [(key, 3)].into());
}
