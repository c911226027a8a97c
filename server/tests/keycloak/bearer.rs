//! Access tokens of the real Keycloak at `/v1`.

use crate::{admin::Realm, portal::TestPortal, realm, shared, signed_in, until};
use serde_json::{Value, json};

async fn models(portal: &TestPortal, path: &str, token: &str) -> (u16, Value) {
    let answer = reqwest::Client::new().get(format!("{}{path}/models", portal.url)).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// A program with an account of its own, in these groups; its secret is `secret`. With the portal's mappers, if it is `for_us`.
async fn program(realm: &Realm, name: &str, for_us: bool, groups: &[&str]) -> Value {
    let mappers = if for_us { realm.client().await["protocolMappers"].clone() } else { json!([]) };
    let mut mappers = mappers.as_array().unwrap().clone();
    mappers.iter_mut().for_each(|mapper| drop(mapper.as_object_mut().unwrap().remove("id")));
    let client = json!({
        "clientId": name, "secret": "secret", "serviceAccountsEnabled": true, "standardFlowEnabled": false, "protocolMappers": mappers,
    });
    realm.admin("POST", "/clients", Some(client)).await;
    for group in groups {
        realm.join(&format!("service-account-{name}"), group).await;
    }
    realm.tokens_of(name, "secret").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_calls_models_with_its_own_token_in_the_tenants_of_its_groups_only() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&["--api-client", "nightly,both"]).await;
    let tokens = program(&realm, "nightly", true, &["atelier/lumenta/engineer"]).await;
    let token = tokens["access_token"].as_str().unwrap();
    for path in ["/v1", "/t/lumenta/v1"] {
        let (status, said) = models(&portal, path, token).await;
        assert_eq!((status, &said["object"]), (200, &json!("list")), "{path}: {said}");
    }
    let (status, said) = models(&portal, "/t/velkor/v1", token).await;
    assert!(status == 401 && said["error"]["message"].as_str().unwrap().contains("does not belong to the tenant"), "{said}");
    // One of two tenants must be named.
    let tokens = program(&realm, "both", true, &["atelier/lumenta/viewer", "atelier/velkor/viewer"]).await;
    let token = tokens["access_token"].as_str().unwrap();
    let (status, said) = models(&portal, "/v1", token).await;
    assert!(status == 400 && said["error"]["message"].as_str().unwrap().contains("/t/{tenant}/v1"), "{said}");
    assert_eq!(models(&portal, "/t/velkor/v1", token).await.0, 200);
    // The owner ends its access: the token of before is worth nothing, though it has not expired.
    let mut otto = signed_in(&portal, "otto").await;
    let members = otto.call("/rpc/members/list", "tenant=velkor").await.json();
    let person = members["page"]["rows"].as_array().or(members["members"]["rows"].as_array()).or(members["rows"].as_array());
    let person =
        person.unwrap_or_else(|| panic!("{members}")).iter().find(|m| m["person_name"].as_str().is_some_and(|n| n.contains("both")));
    let person = person.unwrap_or_else(|| panic!("{members}"))["person"].as_str().unwrap().to_owned();
    otto.call("/rpc/members/end", &crate::encoded(&[("tenant", "velkor"), ("person", &person)])).await;
    until("the token is refused", async || models(&portal, "/t/velkor/v1", token).await.0 == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_and_applies_documents_with_a_token_that_it_gets_itself() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&["--api-client", "gitops"]).await;
    let tokens = program(&realm, "gitops", true, &["atelier/lumenta/engineer"]).await;
    let token = tokens["access_token"].as_str().unwrap();
    let ask = async |path: &str| {
        let answer = reqwest::Client::new().get(format!("{}/api/v1/tenants/{path}", portal.url)).bearer_auth(token).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!([ask("lumenta/runs").await, ask("velkor/runs").await, ask("lumenta").await], [200, 404, 404]);

    let folder = tempfile::tempdir().unwrap();
    let (good, wrong) = (folder.path().join("secret"), folder.path().join("wrong"));
    std::fs::write(&good, "secret\n").unwrap();
    std::fs::write(&wrong, "another\n").unwrap();
    let (url, issuer) = (portal.url.clone(), realm.issuer());
    let export = move |secret: &std::path::Path| {
        let words = ["export", "--tenant", "lumenta", "--kind", "run,endpoint", "--server", &url, "--issuer", &issuer];
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_atelier"));
        let output = command.args(words).args(["--client-id", "gitops", "--client-secret-file"]).arg(secret).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (got, refused) = tokio::task::spawn_blocking(move || (export(&good), export(&wrong))).await.unwrap();
    assert_eq!(got.0, Some(0), "{}", got.1);
    assert!(
        refused.0 == Some(1) && refused.1.contains("gives the client “gitops” no token") && !refused.1.contains("another"),
        "{}",
        refused.1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keycloak_signs_for_somebody_else_opens_nothing() {
    let Some(realm) = realm().await else { return };
    let portal = realm.portal(&["--api-client", "nightly,elsewhere"]).await;
    let refused = async |token: &str, words: &str| {
        let (status, said) = models(&portal, "/t/lumenta/v1", token).await;
        let message = said["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(status == 401 && message.contains(words), "{words}: {status} {said}");
    };
    let stranger = program(&realm, "stranger", true, &["atelier/lumenta/owner"]).await;
    refused(stranger["access_token"].as_str().unwrap(), "(azp)").await;
    let elsewhere = program(&realm, "elsewhere", false, &["atelier/lumenta/owner"]).await;
    refused(elsewhere["access_token"].as_str().unwrap(), "(aud)").await;
    // For the portal, and from another realm of the same Keycloak.
    let other = Realm::create(&shared().unwrap().keycloak.address).await;
    let foreign = program(&other, "nightly", true, &["atelier/lumenta/owner"]).await;
    refused(foreign["access_token"].as_str().unwrap(), "signature").await;
    let good = program(&realm, "nightly", true, &["atelier/lumenta/owner"]).await;
    let good = good["access_token"].as_str().unwrap();
    let (text, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { signature.replacen('A', "B", 1) } else { format!("A{}", &signature[1..]) };
    refused(&format!("{text}.{flipped}"), "signature").await;
    assert_eq!(models(&portal, "/t/lumenta/v1", good).await.0, 200);
}
