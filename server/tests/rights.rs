//! Every door of the portal against every kind of person. The table in `server::rights` says what a door needs, the matrix in
//! `domain::policy` who has it; this asks the real portal whether it keeps to both.

mod portal;

use domain::{
    people::{PlatformRole, Role},
    policy::{self, Action},
};
use portal::{Answer, Browser, TestPortal};
use server::rights::{DOORS, Needs, needs};
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
async fn every_door_is_in_the_table_and_the_table_has_no_other() {
    let portal = TestPortal::start().await;
    let hung: BTreeSet<(String, String)> = portal.portal.doors.iter().cloned().collect();
    let table: BTreeSet<(String, String)> = DOORS.iter().map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned())).collect();
    let forgotten: Vec<_> = hung.difference(&table).collect();
    let gone: Vec<_> = table.difference(&hung).collect();
    assert!(forgotten.is_empty(), "nobody has said who may pass these (server/src/rights.rs): {forgotten:?}");
    assert!(gone.is_empty(), "these are in the table and not in the portal: {gone:?}");
    assert_eq!(table.len(), DOORS.len(), "a door is in the table twice");
    assert!(hung.len() > 80, "the list is whole: {}", hung.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_function_can_be_called_by_a_link() {
    let portal = TestPortal::start().await;
    let functions: Vec<_> = portal.portal.doors.iter().filter(|(_, p)| p.starts_with("/rpc/")).collect();
    assert!(functions.len() > 40);
    for (method, path) in functions {
        assert_eq!(method, "POST", "{path} must not answer GET: a link or a picture could call it");
    }
}

/// What a visitor must meet at a door.
#[derive(Debug, PartialEq, Eq)]
enum Meets {
    Passes,
    /// The tenant, or the platform's rooms, do not exist for this person.
    NotFound,
    /// Sees the tenant, may not do this.
    Forbidden,
}

fn expected(needs: Needs, (_, role, platform): Visitor) -> Meets {
    match needs {
        Needs::Open | Needs::Session | Needs::Key => Meets::Passes,
        Needs::Tenant(action) if policy::allows(role, platform, action) && (role.is_some() || platform == Some(PlatformRole::Auditor)) => Meets::Passes,
        Needs::Tenant(_) if role.is_none() && platform != Some(PlatformRole::Auditor) => Meets::NotFound,
        Needs::Tenant(_) => Meets::Forbidden,
        Needs::Platform(action) if policy::allows(None, platform, action) => Meets::Passes,
        Needs::Platform(_) if platform.is_none() => Meets::NotFound,
        Needs::Platform(_) => Meets::Forbidden,
    }
}

/// Fields for every server function at once: each takes the ones that it knows.
fn fields() -> String {
    portal::encoded(&[
        ("tenant", "lumenta"),
        ("name", "lumenta"),
        ("id", "run_00000000000000000000000000000007"),
        ("number", "1"),
        ("revision", "1"),
        ("at", ""),
        ("by", "day"),
        ("days", "7"),
        ("text", ""),
        ("checks", ""),
        ("state", ""),
        ("lines", "10"),
        ("level", ""),
        ("which", "all"),
        ("rule", ""),
        ("offset", "0"),
        ("from", ""),
        ("preset", ""),
        ("dataset", ""),
        ("title", "Lumenta"),
        ("stage", "approved"),
        ("chat", ""),
        ("key", "key_00000000000000000000000000000007"),
        ("model", "none"),
        ("endpoint", "none"),
        ("version", "mv_00000000000000000000000000000007"),
        ("base_model", "none"),
        ("folder", "/nonexistent"),
        ("licence", "MIT"),
        ("template", ""),
        ("query[actor]", ""),
        ("query[action]", ""),
        ("query[object]", ""),
        ("query[before]", ""),
    ])
}

async fn knock(browser: &mut Browser, method: &str, path: &str) -> Answer {
    let real = path
        .replace("{tenant}", "lumenta")
        .replace("{name}", if path.starts_with("/admin/") { "lumenta" } else { "none" })
        .replace("{id}", "run_00000000000000000000000000000007")
        .replace("{chat}", "chat_00000000000000000000000000000007");
    match (method, path) {
        ("GET", _) => browser.get(&real).await,
        (_, p) if p.starts_with("/rpc/") => browser.call(&real, &fields()).await,
        (_, p) if p.ends_with("/datasets-upload") => browser.upload("lumenta", "application/json", &[("name", "Not A Name")], "x", b"x").await,
        (_, p) if p.ends_with("/playground/chat") => browser.post_json(&real, serde_json::json!({ "models": ["none"], "question": "" })).await,
        _ => browser.post_form(&real, &[("tenant", "lumenta")]).await,
    }
}

/// Doors whose refusal looks otherwise, with the reason. Everything else must meet the table to the letter.
fn is_left_out(path: &str) -> bool {
    path == "/auth/logout" || path.starts_with("/auth/") || path.starts_with("/dev-idp/") || path == "/pkg/{*path}"
        // Streams on; asked below.
        || path == "/t/{tenant}/events"
}

fn met(answer: &Answer) -> Meets {
    // The sentence of the scope: “The tenant “x” was not found.”, on pages too.
    let hides_the_place = answer.status == 404 && (answer.body.contains("tenant “lumenta” was not found") || answer.body.contains("was not found") && answer.body.contains("platform"));
    match answer.status {
        404 if hides_the_place => Meets::NotFound,
        403 => Meets::Forbidden,
        _ => Meets::Passes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_opens_for_those_who_may_and_for_nobody_else() {
    let portal = TestPortal::start().await;
    let mut wrong = Vec::new();
    let mut stranger = portal.browser();
    for (method, path, needs) in DOORS.iter().filter(|(_, p, _)| !is_left_out(p)) {
        let answer = knock(&mut stranger, method, path).await;
        let sent_to_login = answer.status == 303 && answer.location().starts_with("/login");
        let stays_out = answer.status == 401 || sent_to_login || *method == "GET" && answer.status == 404;
        if (*needs != Needs::Open) != stays_out {
            wrong.push(format!("{method} {path} ({needs:?}) for somebody who is not signed in: {} {}", answer.status, short(&answer.body)));
        }
    }
    for visitor in VISITORS {
        let mut browser = portal.signed_in(visitor.0).await;
        for (method, path, needs) in DOORS.iter().filter(|(_, p, _)| !is_left_out(p)) {
            // Suspends the tenant of this test; refused or not is asked with a tenant that does not exist.
            if path.ends_with("tenant-suspend") && visitor.2 == Some(PlatformRole::Admin) {
                continue;
            }
            let answer = knock(&mut browser, method, path).await;
            let (met, expected) = (met(&answer), expected(*needs, visitor));
            if met != expected {
                wrong.push(format!("{method} {path} ({needs:?}) for {}: {met:?} instead of {expected:?}: {} {}", visitor.0, answer.status, short(&answer.body)));
            }
        }
        let listens = browser.stream("/t/lumenta/events").await.status().as_u16();
        let may = expected(Needs::Tenant(Action::TenantRead), visitor) == Meets::Passes;
        if listens != if may { 200 } else { 404 } {
            wrong.push(format!("events for {}: {listens}", visitor.0));
        }
    }
    assert!(wrong.is_empty(), "{} doors do not keep to the table:\n{}", wrong.len(), wrong.join("\n"));
}

fn short(body: &str) -> String {
    let text = body.split("<main").nth(1).unwrap_or(body);
    text.chars().filter(|c| *c != '\n').take(300).collect()
}

#[test]
fn a_door_that_nobody_has_thought_about_is_not_in_the_table() {
    assert_eq!(needs("POST", "/rpc/whoami"), Some(Needs::Open));
    assert_eq!(needs("GET", "/rpc/whoami"), None);
    assert_eq!(needs("GET", "/new"), None);
}
