//! The client's settings at Keycloak, from a file that its admin saved: what no sign-in shows before the first person comes.

use super::Asked;
use crate::{finding::Finding, signin::claims};
use serde_json::Value;
use std::path::Path;

/// What is missing in the client: a file with it as Keycloak's admin API gives it (`kcadm.sh get clients -q clientId=atelier`, or Action,
/// Export of the client's page).
pub fn of_the_client(asked: &Asked<'_>, backchannel: &str, file: &Path) -> Vec<Finding> {
    let read = std::fs::read_to_string(file).map_err(|e| e.to_string());
    let parsed = read.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|e| e.to_string()));
    let client = parsed.map(|value| match value {
        Value::Array(all) => all.into_iter().find(|client| client["clientId"] == asked.client_id).unwrap_or_default(),
        one => one,
    });
    match client {
        Ok(client) if client["clientId"] == asked.client_id => look(asked, backchannel, &client),
        Ok(_) => vec![Finding::Missing(
            format!("{} does not hold the client “{}”", file.display(), asked.client_id),
            format!("Save it with kcadm.sh get clients -r REALM -q clientId={}", asked.client_id),
        )],
        Err(why) => vec![Finding::Missing(
            format!("{} holds no client: {why}", file.display()),
            "It must hold the client as JSON, as Keycloak exports it".into(),
        )],
    }
}

fn look(asked: &Asked<'_>, backchannel: &str, client: &Value) -> Vec<Finding> {
    let claim = &asked.groups.claim;
    let attribute = |name: &str| client["attributes"][name].as_str().unwrap_or_default();
    let mapper = |kind: &str, is_it: &dyn Fn(&Value) -> bool| {
        let all = client["protocolMappers"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|mapper| mapper["protocolMapper"] == kind && is_it(&mapper["config"])).map(|mapper| mapper["config"].clone())
    };
    let mut found = Vec::new();
    found.push(match mapper("oidc-group-membership-mapper", &|config| config["claim.name"] == claim.as_str()) {
        None => {
            Finding::Missing(format!("the client has no mapper that writes the groups into the claim “{claim}”"), claims::mapper(claim))
        }
        Some(config) if config["id.token.claim"] != "true" => {
            Finding::Missing("the client's groups mapper does not write into ID tokens".into(), "Turn its Add to ID token on".into())
        }
        Some(config) if config["full.path"] != "true" => Finding::Missing(
            "the client's groups mapper writes names of groups without their path, so tenants cannot be told apart".into(),
            "Turn its Full group path on".into(),
        ),
        Some(_) => Finding::Good(format!("groups are in the claim “{claim}”, with their path")),
    });
    let audience = asked.audience;
    if mapper("oidc-audience-mapper", &|config| {
        [&config["included.client.audience"], &config["included.custom.audience"]].contains(&&Value::from(audience))
    })
    .is_none()
    {
        found.push(Finding::Missing(
            format!("the client has no mapper for the audience “{audience}”, so its access tokens do not open /v1"),
            format!("Add it there (Client scopes, the client's dedicated scope, Add mapper, Audience; included client “{audience}”, Add to access token on)"),
        ));
    }
    found.push(match attribute("backchannel.logout.url") {
        "" => Finding::Missing(
            "the client has no back-channel logout URL, so who signs out at Keycloak goes on here for some minutes".into(),
            format!("Set Backchannel logout URL to {backchannel} there (Settings, Logout settings)"),
        ),
        url if url != backchannel => Finding::Missing(
            format!("the client's back-channel logout URL is {url}, where this portal is not"),
            format!("Set Backchannel logout URL to {backchannel} there (Settings, Logout settings)"),
        ),
        url if attribute("backchannel.logout.session.required") == "false" => Finding::Note(format!(
            "logouts sent to {url} do not name the session, so one browser's sign-out ends all of the person's; turn Backchannel logout session required on"
        )),
        url => Finding::Good(format!("logouts are sent to {url}")),
    });
    if attribute("pkce.code.challenge.method") != "S256" {
        found.push(Finding::Note(
            "the client does not demand PKCE with S256, which the portal always uses; set its PKCE Method to S256".into(),
        ));
    }
    if client["directAccessGrantsEnabled"] == true || client["implicitFlowEnabled"] == true {
        found.push(Finding::Note(
            "the client allows flows that the portal does not need: turn Direct access grants and Implicit flow off".into(),
        ));
    }
    found
}
