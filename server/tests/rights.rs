//! Every route of the portal against every kind of person. The table in `server::rights` says what a route needs, the matrix in
//! `domain::policy` who has it; this asks the real portal whether it keeps to both.

mod portal;

use domain::{
    people::{PlatformRole, Role},
    policy::{self, Action},
};
use portal::{Answer, Browser, TestPortal};
use server::rights::{Needs, ROUTES, needs};
use std::collections::BTreeSet;

/// Somebody who comes to the tenant `lumenta`: sign-in name, role there, role on the platform.
type Visitor = (&'static str, Option<Role>, Option<PlatformRole>);

const VISITORS: [Visitor; 6] = [
    ("vera", Some(Role::Viewer), None),
    ("jonas", Some(Role::Engineer), None),
    ("mira", Some(Role::Owner), None),
    ("otto", None, None),
    ("admin", None, Some(PlatformRole::Admin)),
    ("auditor", None, Some(PlatformRole::Auditor)),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_table_and_the_table_has_no_other() {
    let portal = TestPortal::start().await;
    let served: BTreeSet<(String, String)> = portal.portal.routes.iter().cloned().collect();
    let table: BTreeSet<(String, String)> = ROUTES.iter().map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned())).collect();
    let forgotten: Vec<_> = served.difference(&table).collect();
    let gone: Vec<_> = table.difference(&served).collect();
    assert!(forgotten.is_empty(), "nobody has said who may pass these (server/src/rights.rs): {forgotten:?}");
    assert!(gone.is_empty(), "these are in the table and not in the portal: {gone:?}");
    assert_eq!(table.len(), ROUTES.len(), "a route is in the table twice");
    assert!(served.len() > 80, "the list is whole: {}", served.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_function_can_be_called_by_a_link() {
    let portal = TestPortal::start().await;
    let functions: Vec<_> = portal.portal.routes.iter().filter(|(_, p)| p.starts_with("/rpc/")).collect();
    assert!(functions.len() > 40);
    for (method, path) in functions {
        assert_eq!(method, "POST", "{path} must not answer GET: a link or a picture could call it");
    }
}

/// How a route must answer a visitor.
#[derive(Debug, PartialEq, Eq)]
enum Meets {
    Passes,
    /// The tenant, or the platform's rooms, do not exist for this person.
    NotFound,
    /// Sees the tenant, may not do this.
    Forbidden,
}

fn expected(needs: Needs, (_, role, platform): Visitor) -> Meets {
    let auditor = platform == Some(PlatformRole::Auditor);
    let in_tenant = |allowed: bool| match (role.is_some() || auditor, allowed) {
        (false, _) => Meets::NotFound,
        (true, true) => Meets::Passes,
        (true, false) => Meets::Forbidden,
    };
    match needs {
        Needs::Open | Needs::Session | Needs::Key => Meets::Passes,
        Needs::Tenant(action) => in_tenant(policy::allows(role, platform, action)),
        Needs::TenantEither(one, other) => in_tenant(policy::allows(role, platform, one) || policy::allows(role, platform, other)),
        Needs::Platform(_) if platform.is_none() => Meets::NotFound,
        Needs::Platform(action) if policy::allows(None, platform, action) => Meets::Passes,
        Needs::Platform(_) => Meets::Forbidden,
    }
}

/// Fields for every server function at once: each takes the ones that it knows. `key` is one of the engineer's. No `confirm`: whoever may
/// delete the tenant hears that its name must be typed, and everybody else is refused before.
fn fields(path: &str, key: &str) -> String {
    let version = if path.ends_with("/attach") { "none@1" } else { "mv_00000000000000000000000000000007" };
    let name = match path {
        p if p.starts_with("/rpc/admin/") => "lumenta",
        // Whoever may take it away must not, or those who come after find nothing.
        "/rpc/datasets/delete" | "/rpc/datasets/erase" => "none",
        p if p.starts_with("/rpc/datasets/") => "facts",
        _ => "none",
    };
    let mut all = vec![("tenant", "lumenta"), ("name", name), ("version", version), ("key", key)];
    all.extend([
        ("id", "run_00000000000000000000000000000007"),
        ("step", "train"),
        ("chat", "chat_00000000000000000000000000000007"),
        ("person", "per_00000000000000000000000000000007"),
        ("folder", "/nonexistent"),
        ("licence", "MIT"),
    ]);
    all.extend(["number", "revision", "days", "lines", "offset"].map(|field| (field, "1")));
    all.extend(
        ["at", "text", "checks", "state", "level", "rule", "from", "preset", "dataset", "template", "with", "query[actor]"]
            .map(|field| (field, "")),
    );
    all.extend([
        ("by", "day"),
        ("which", "all"),
        ("stage", "approved"),
        ("title", "Lumenta"),
        ("model", "none"),
        ("endpoint", "none"),
        ("base_model", "none"),
        ("address", ""),
        ("there", "none"),
        ("here", "none"),
    ]);
    all.extend([("quota[concurrent_runs]", "1"), ("quota[storage_gb]", "20"), ("quota[endpoints]", "2")]);
    all.extend(
        ["said[source]", "said[licence]", "said[personal_data]", "said[legal_basis]", "said[languages]", "said[notes]"]
            .map(|field| (field, "")),
    );
    // In the form of a run every other field is a setting.
    if path != "/rpc/runs/launch" {
        all.extend([("form[label]", "for a test"), ("form[may]", "all"), ("form[answer_seconds]", "600")]);
    }
    all.extend([("fields[0][key]", "notes"), ("fields[0][value]", "x"), ("fields[0][was]", "")]);
    let run: Vec<String> = app::api::run_form::RunForm::OURS.iter().map(|field| format!("form[{field}]")).collect();
    // A wish that is sound but for its names, which belong to nothing: whoever may launch hears that.
    let value = |field: &str| match field {
        "form[yaml]" => "cutoff_len: 512",
        "form[cloned_from]" => "",
        f if f.contains("name") || f.contains("dataset") || f.contains("base_model") || f.contains("submission") => "none",
        _ => "1",
    };
    all.extend(run.iter().map(|field| (field.as_str(), value(field))));
    portal::encoded(&all)
}

/// A document that is sound, of something that is not there or stays as it is.
fn document(path: &str) -> String {
    let (kind, name, spec) = match path {
        p if p.ends_with("/runs/{name}") => ("Run", "none", "{baseModel: none, dataset: none, model: none}"),
        p if p.ends_with("/endpoints/{name}") => ("Endpoint", "none", "{baseModel: none}"),
        _ => ("Tenant", "lumenta", "{}"),
    };
    format!("apiVersion: atelier.dev/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// With the visitor's access token; `None`: without one.
async fn by_token(browser: &mut Browser, method: &str, path: &str, token: Option<&str>) -> Answer {
    let real = path.replace("{tenant}", "lumenta").replace("{name}", "none").replace("{file}", "run.json");
    let request = reqwest::Client::new().request(method.parse().unwrap(), format!("{}{real}", browser.url)).body(document(path));
    let request = request.header("content-type", "application/yaml");
    browser.send(token.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
}

async fn request_as(browser: &mut Browser, token: Option<&str>, method: &str, path: &str, key: &str) -> Answer {
    if path.starts_with("/api/") {
        return by_token(browser, method, path, token).await;
    }
    let real = path
        .replace("{tenant}", "lumenta")
        .replace("{name}", if path.starts_with("/admin/") { "lumenta" } else { "none" })
        .replace("{file}", "train")
        .replace("{id}", "run_00000000000000000000000000000007")
        .replace("{chat}", "chat_00000000000000000000000000000007");
    match (method, path) {
        ("GET", _) => browser.get(&real).await,
        (_, p) if p.starts_with("/rpc/") => browser.call(&real, &fields(p, key)).await,
        (_, p) if p.ends_with("/datasets-upload") => {
            browser.upload("lumenta", "application/json", &[("name", "Not A Name")], "x", b"x").await
        }
        (_, p) if p.ends_with("/playground/chat") => {
            browser.post_json(&real, serde_json::json!({ "models": ["none"], "question": "" })).await
        }
        _ => browser.post_form(&real, &[("tenant", "lumenta"), ("form[label]", "for a test"), ("form[may]", "all")]).await,
    }
}

/// What is not asked here: the ways in and out, which tests/sign_in.rs walks; files; the stream of events, which is asked apart.
fn is_left_out(path: &str) -> bool {
    path.starts_with("/auth/") || path.starts_with("/dev-idp/") || path.starts_with("/pkg/") || path == "/t/{tenant}/events"
}

fn met(answer: &Answer) -> Meets {
    // A thing that is not there is said otherwise: “The run “x” was not found.”
    let hidden = ["The tenant “lumenta” was not found", "This page was not found", "This address was not found"];
    let hides_the_place = hidden.iter().any(|words| answer.body.contains(words));
    match answer.status {
        404 if hides_the_place => Meets::NotFound,
        403 => Meets::Forbidden,
        _ => Meets::Passes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_those_who_may_and_nobody_else() {
    let portal = TestPortal::start().await;
    let mut jonas = portal.signed_in("jonas").await;
    let created = jonas.call("/rpc/keys/create", "tenant=lumenta&form[label]=for+a+test&form[may]=all").await;
    let key = created.json()["key"]["id"].as_str().unwrap_or_else(|| panic!("{}", created.body)).to_owned();
    let row = r#"{"messages":[{"role":"user","content":"Where?"},{"role":"assistant","content":"Here."}]}"#;
    let uploaded = jonas.upload("lumenta", "application/json", &[("name", "facts")], "facts.jsonl", row.as_bytes()).await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.body);
    let mut wrong = Vec::new();
    let mut cells = Cells::default();

    let mut stranger = portal.browser();
    for (method, path, needs) in ROUTES.iter().filter(|(_, p, _)| !is_left_out(p)) {
        let answer = request_as(&mut stranger, None, method, path, &key).await;
        cells.note(method, path, answer.status.to_string());
        let stays_outside = answer.status == 401 || answer.status == 303 && answer.location().starts_with("/login");
        if (*needs != Needs::Open) != stays_outside {
            wrong.push(format!("{method} {path} ({needs:?}) for somebody who is not signed in: {} {}", answer.status, short(&answer.body)));
        }
    }
    for visitor in VISITORS {
        let mut browser = portal.signed_in(visitor.0).await;
        let token = portal.access_token(visitor.0).await;
        // The admin would really suspend it; that is asked last.
        let suspends = |path: &str| visitor.0 == "admin" && path.ends_with("/tenant-suspend");
        for (method, path, needs) in ROUTES.iter().filter(|(_, p, _)| !is_left_out(p)) {
            if suspends(path) {
                // As it is asked at the end.
                cells.note(method, path, "200".into());
                continue;
            }
            let answer = request_as(&mut browser, Some(&token), method, path, &key).await;
            let (met, expected) = (met(&answer), expected(*needs, visitor));
            cells.note(method, path, if met == Meets::NotFound { "hidden".into() } else { answer.status.to_string() });
            if met != expected || answer.status >= 500 {
                wrong.push(format!(
                    "{method} {path} ({needs:?}) for {}: {met:?} instead of {expected:?}: {} {}",
                    visitor.0,
                    answer.status,
                    short(&answer.body)
                ));
            }
        }
        let heard = browser.stream("/t/lumenta/events").await.status().as_u16();
        let may = expected(Needs::Tenant(Action::TenantRead), visitor) == Meets::Passes;
        if heard != if may { 200 } else { 404 } {
            wrong.push(format!("events for {}: {heard}", visitor.0));
        }
    }
    let suspended = portal.signed_in("admin").await.call("/rpc/admin/tenant-suspend", "name=lumenta").await;
    if suspended.status != 200 {
        wrong.push(format!("tenant-suspend for the admin: {} {}", suspended.status, suspended.body));
    }
    assert!(wrong.is_empty(), "{} routes do not keep to the table:\n{}", wrong.len(), wrong.join("\n"));
    cells.compare();
}

/// How each route answered each visitor, beside what the file names. The policy above says who may pass; this says what passing is, so that
/// a route that breaks for its rightful people turns red too.
#[derive(Default)]
struct Cells(std::collections::BTreeMap<(String, String), Vec<String>>);

impl Cells {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rights.txt");

    fn note(&mut self, method: &str, path: &str, met: String) {
        self.0.entry((path.to_owned(), method.to_owned())).or_default().push(met);
    }

    fn lines(&self) -> Vec<String> {
        let visitors = VISITORS.map(|(name, ..)| format!("{name:>8}")).concat();
        let head = format!("{:<58}{:>8}{visitors}", "# What each visitor meets; hidden = as if it were not there.", "nobody");
        let row = |((path, method), met): (&(String, String), &Vec<String>)| {
            let cells: String = met.iter().map(|m| format!("{m:>8}")).collect();
            format!("{:<58}{cells}", format!("{method:<5}{path}"))
        };
        std::iter::once(head).chain(self.0.iter().map(row)).collect()
    }

    fn compare(&self) {
        let met = self.lines();
        if std::env::var_os("ATELIER_ACCEPT").is_some() {
            std::fs::write(Self::FILE, met.join("\n") + "\n").unwrap();
        }
        let named: Vec<String> = std::fs::read_to_string(Self::FILE).unwrap_or_default().lines().map(str::to_owned).collect();
        let gone = named.iter().filter(|line| !met.contains(line)).map(|line| format!("- {line}"));
        let new = met.iter().filter(|line| !named.contains(line)).map(|line| format!("+ {line}"));
        let differ: Vec<String> = gone.chain(new).collect();
        assert!(
            differ.is_empty(),
            "these cells are not as {} names them (ATELIER_ACCEPT=1 writes what was met; read the diff then):\n{}",
            Self::FILE,
            differ.join("\n")
        );
    }
}

fn short(body: &str) -> String {
    let text = body.split("<main").nth(1).unwrap_or(body);
    text.chars().filter(|c| *c != '\n').take(300).collect()
}

#[test]
fn a_route_that_nobody_has_thought_about_is_not_in_the_table() {
    assert_eq!(needs("POST", "/rpc/whoami"), Some(Needs::Open));
    assert_eq!(needs("GET", "/rpc/whoami"), None);
    assert_eq!(needs("GET", "/new"), None);
}
