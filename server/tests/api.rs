//! `/api/v1` at a real portal: documents as YAML and JSON, for whoever has an access token, and for nobody else.

mod portal;

use portal::{Answer, TestPortal};
use reqwest::Method;
use serde_json::{Value, json};

/// A program with the access token of somebody.
struct Program {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Program {
    async fn of(portal: &TestPortal, login: &str) -> Self {
        Self { url: portal.url.clone(), token: portal.access_token(login).await, http: reqwest::Client::new() }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    async fn put(&self, path: &str, yaml: &str) -> Answer {
        self.ask(Method::PUT, path, &[("content-type", "application/yaml")], yaml.to_owned()).await
    }
}

const TENANT: &str =
    "apiVersion: atelier.dev/v1\nkind: Tenant\nmetadata:\n  name: acme\nspec:\n  title: Acme\n  quota:\n    endpoints: 5\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_made_read_and_changed_as_yaml_and_as_json() {
    let portal = TestPortal::start().await;
    let admin = Program::of(&portal, "admin").await;
    let path = "/api/v1/tenants/acme";
    let made = admin.put(path, TENANT).await;
    assert_eq!((made.status, made.header("atelier-outcome")), (201, "created"), "{}", made.body);
    let again = admin.put(path, TENANT).await;
    assert_eq!((again.status, again.header("atelier-outcome"), again.header("content-type")), (200, "unchanged", "application/json"));
    let shown = again.json();
    assert_eq!(
        (&shown["kind"], &shown["apiVersion"], &shown["spec"]["quota"]["endpoints"]),
        (&json!("Tenant"), &json!("atelier.dev/v1"), &json!(5))
    );
    assert_eq!(shown["status"]["state"], "active");

    // What is shown can be sent back, in the other form too.
    let yaml = admin.ask(Method::GET, path, &[("accept", "application/yaml")], "").await;
    assert_eq!((yaml.status, yaml.header("content-type")), (200, "application/yaml"));
    assert!(
        yaml.body.starts_with("apiVersion: atelier.dev/v1\nkind: Tenant\nmetadata:\n  name: acme\nspec:\n  title: Acme\n"),
        "{}",
        yaml.body
    );
    assert_eq!(admin.put(path, &yaml.body).await.header("atelier-outcome"), "unchanged");
    let sent = admin.ask(Method::PUT, path, &[("content-type", "application/json")], shown.to_string()).await;
    assert_eq!(sent.header("atelier-outcome"), "unchanged", "{}", sent.body);
    let changed = admin.put(path, &TENANT.replace("endpoints: 5", "endpoints: 6")).await;
    assert_eq!((changed.header("atelier-outcome"), &changed.json()["spec"]["quota"]["endpoints"]), ("changed", &json!(6)));

    let posted = admin.ask(Method::POST, "/api/v1/tenants", &[], TENANT.replace("acme", "other")).await;
    assert_eq!(posted.status, 201, "{}", posted.body);
    let twice = admin.ask(Method::POST, "/api/v1/tenants", &[], TENANT).await;
    assert_eq!((twice.status, &twice.json()["code"]), (409, &json!("conflict")));
    let list = admin.get("/api/v1/tenants").await.json();
    let names: Vec<&str> = list["items"].as_array().unwrap().iter().map(|d| d["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!((&list["kind"], names), (&json!("TenantList"), vec!["acme", "lumenta", "other", "velkor"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_goes_on_where_it_says() {
    let portal = TestPortal::start().await;
    let scope = platform::access::PlatformScope::command_line();
    for n in 0..60 {
        let new = platform::tenants::NewTenant { name: format!("team-{n:02}"), title: String::new(), quota: Default::default() };
        portal.portal.platform.tenants(&scope).create(new).await.unwrap();
    }
    let admin = Program::of(&portal, "admin").await;
    let first = admin.get("/api/v1/tenants").await.json();
    let next = first["metadata"]["continue"].as_str().unwrap();
    let second = admin.get(&format!("/api/v1/tenants?continue={next}")).await.json();
    let count = |list: &Value| list["items"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), &second["metadata"]["continue"]), (50, 12, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_deleted_only_with_its_name_once_more_and_then_for_good() {
    let portal = TestPortal::start().await;
    let (admin, auditor) = (Program::of(&portal, "admin").await, Program::of(&portal, "auditor").await);
    let path = "/api/v1/tenants/acme";
    assert_eq!(admin.put(path, TENANT).await.status, 201);
    let sure = format!("{path}?confirm=acme");
    assert_eq!(auditor.ask(Method::DELETE, &sure, &[], "").await.status, 403);
    for unsure in [path.to_owned(), format!("{path}?confirm=other")] {
        let refused = admin.ask(Method::DELETE, &unsure, &[], "").await;
        assert_eq!((refused.status, &refused.json()["fields"][0]["field"]), (422, &json!("confirm")), "{}", refused.body);
    }
    assert_eq!(admin.get(path).await.json()["status"]["state"], "active");
    let asked = admin.ask(Method::DELETE, &sure, &[], "").await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    // Whether it is still on its way or gone: it is never again what it was.
    let seen = admin.get(path).await;
    assert!(seen.status == 404 || seen.json()["status"]["state"] == "deleting", "{}", seen.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_one_form_with_the_place_and_the_next_step() {
    let portal = TestPortal::start().await;
    let (admin, jonas) = (Program::of(&portal, "admin").await, Program::of(&portal, "jonas").await);
    let path = "/api/v1/tenants/acme";
    let run = "apiVersion: atelier.dev/v1\nkind: Run\nmetadata:\n  name: r-1\nspec:\n  baseModel: none\n  dataset: none\n  model: m\n";
    let runs = "/api/v1/tenants/lumenta/runs/r-1";
    for (answer, status, code, words) in [
        (admin.put(path, &TENANT.replace("endpoints: 5", "endpoint: 5")).await, 422, "invalid", "line 8"),
        (admin.put(path, &TENANT.replace("endpoints: 5", "endpoints: 1001")).await, 422, "invalid", "1000 endpoints"),
        (admin.put(path, &TENANT.replace("name: acme", "name: other")).await, 422, "invalid", "sent to the address of “acme”"),
        (admin.put(path, "a: 1").await, 422, "invalid", "no apiVersion"),
        (admin.put(path, run).await, 422, "invalid", "a document of a Run"),
        (admin.ask(Method::PUT, path, &[("content-type", "text/plain")], TENANT).await, 422, "invalid", "application/yaml"),
        (admin.ask(Method::PATCH, path, &[], "").await, 405, "invalid", "does not take PATCH"),
        (admin.ask(Method::PUT, path, &[("content-type", "application/yaml")], "#".repeat(3 << 20)).await, 413, "invalid", "larger than"),
        (admin.get("/api/v1/tenants/nobody").await, 404, "not_found", "“nobody” was not found"),
        (admin.get("/api/v1/nothing").await, 404, "not_found", "This address was not found"),
        (admin.get("/api/v2").await, 404, "not_found", "This address was not found"),
        (admin.get("/api/v1/tenants/lumenta/runs").await, 404, "not_found", "“lumenta” was not found"),
        (jonas.get("/api/v1/tenants").await, 404, "not_found", "This address was not found"),
        (jonas.get("/api/v1/tenants/velkor/runs").await, 404, "not_found", "“velkor” was not found"),
        (jonas.get("/api/v1/tenants/lumenta/runs/r-1").await, 404, "not_found", "“r-1” was not found"),
        (jonas.put(runs, run).await, 422, "invalid", "2 fields"),
        (jonas.put(runs, &run.replace("name: r-1", "name: r-1\n  tenant: velkor")).await, 422, "invalid", "belongs to the tenant “velkor”"),
        (admin.ask(Method::GET, "/api/v1/tenants", &[("host", "evil.example")], "").await, 421, "invalid", "not known by the name"),
    ] {
        let said = answer.json();
        assert_eq!((answer.status, &said["status"], &said["code"]), (status, &json!(status), &json!(code)), "{words}: {}", answer.body);
        assert!(said["message"].as_str().unwrap().contains(words), "{words}: {}", answer.body);
        assert!(
            said["nextStep"].as_str().is_some_and(|s| !s.is_empty()) || !said["fields"].as_array().unwrap().is_empty(),
            "{}",
            answer.body
        );
    }
    let fields = jonas.put(runs, run).await.json()["fields"].clone();
    assert_eq!((&fields[0]["field"], &fields[1]["field"]), (&json!("spec.baseModel"), &json!("spec.dataset")));
    let yaml = jonas.ask(Method::GET, runs, &[("accept", "application/yaml")], "").await;
    assert!(yaml.body.starts_with("status: 404\ncode: not_found\nmessage: "), "{}", yaml.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_access_token_of_the_provider_opens_it_and_no_cookie_and_no_key() {
    let portal = TestPortal::start().await;
    let mut jonas = portal.signed_in("jonas").await;
    let path = "/api/v1/tenants/lumenta/runs";
    // A session does, what it is for, and nothing here: neither reading nor writing.
    for answer in [jonas.get(path).await, jonas.get_json(path).await, jonas.call(path, "").await] {
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{}", answer.body);
        assert!(answer.json()["message"] == "No access token was sent.");
    }
    let key =
        jonas.call("/rpc/keys/create", "tenant=lumenta&form[label]=x&form[may]=all").await.json()["secret"].as_str().unwrap().to_owned();
    let mut program = Program::of(&portal, "jonas").await;
    assert_eq!(program.get(path).await.status, 200);
    let good = std::mem::replace(&mut program.token, key);
    assert!(program.get(path).await.body.contains("An API key calls models"));
    let (head, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { signature.replacen('A', "B", 1) } else { format!("A{}", &signature[1..]) };
    for forged in [format!("{head}.{flipped}"), format!("{head}."), "ey.ey.ey".to_owned(), "x".to_owned()] {
        program.token = forged;
        assert_eq!(program.get(path).await.status, 401, "{}", program.token);
    }
    // With both, the token alone counts.
    program.token = portal.access_token("vera").await;
    let cookie = jonas.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("; ");
    let doc = "apiVersion: atelier.dev/v1\nkind: Endpoint\nmetadata: {name: e}\nspec: {}\n";
    let put = program.ask(Method::PUT, "/api/v1/tenants/lumenta/endpoints/e", &[("cookie", &cookie)], doc).await;
    assert_eq!((put.status, &put.json()["code"]), (403, &json!("forbidden")), "{}", put.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_access_was_ended_is_out_at_once_with_a_token_that_has_not_expired() {
    let portal = TestPortal::start().await;
    let vera = Program::of(&portal, "vera").await;
    let path = "/api/v1/tenants/lumenta/runs";
    assert_eq!(vera.get(path).await.status, 200);
    let mut mira = portal.signed_in("mira").await;
    let members = mira.call("/rpc/members/list", "tenant=lumenta").await;
    let rows = members.json();
    let rows = rows["members"]["rows"].as_array().or(rows["page"]["rows"].as_array()).unwrap_or_else(|| panic!("{}", members.body)).clone();
    let person = rows.iter().find(|m| m["person_name"] == "Vera Sand").unwrap()["person"].as_str().unwrap().to_owned();
    let ended = mira.call("/rpc/members/end", &portal::encoded(&[("tenant", "lumenta"), ("person", &person)])).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    let out = vera.get(path).await;
    assert!(out.status == 401 && out.body.contains("sessions of its person were ended"), "{}", out.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_wrong_tokens_again_and_again_has_to_wait_and_a_good_one_goes_on() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--refused-keys-per-minute", "3"]).await;
    let mut program = Program::of(&portal, "jonas").await;
    let good = std::mem::replace(&mut program.token, "wrong".into());
    let path = "/api/v1/tenants/lumenta/runs";
    let mut met = Vec::new();
    for _ in 0..5 {
        met.push(program.get(path).await.status);
    }
    assert_eq!(met, [401, 401, 401, 429, 429]);
    program.token = good;
    assert_eq!(program.get(path).await.status, 200);
}
