//! `atelier doctor` against a realm that is broken in one way after the other: each mistake by its name, with the next step.

use crate::{admin::Realm, realm, shared};
use serde_json::{Value, json};
use std::process::Command;

/// What it prints about sign-in. Without the environment of the machine on which this runs.
async fn doctor(issuer: &str, flags: &[&str]) -> String {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    command.args(["doctor", "--issuer", issuer, "--data"]).arg(data.path()).args(flags);
    if !flags.contains(&"--client-secret") {
        command.args(["--client-secret", "atelier"]);
    }
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let all = String::from_utf8(out.stdout).unwrap();
    all.split_inclusive('\n').skip_while(|line| !line.contains("sign-in")).collect()
}

async fn of(realm: &Realm, flags: &[&str]) -> String {
    doctor(&realm.issuer(), flags).await
}

/// The client, as its admin saves it.
async fn saved(realm: &Realm) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.json");
    std::fs::write(&file, realm.client().await.to_string()).unwrap();
    let name = file.display().to_string();
    (folder, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_realm_that_is_shipped_is_found_good_in_every_part() {
    let Some(realm) = realm().await else { return };
    realm
        .change_client(|client| client["attributes"]["backchannel.logout.url"] = json!("http://127.0.0.1:3000/auth/backchannel-logout"))
        .await;
    let (_folder, client) = saved(&realm).await;
    let said = of(&realm, &["--client-file", &client, "--people-check-seconds", "20"]).await;
    for good in [
        "answers and describes itself",
        "“atelier” and its secret are accepted",
        "people are sent back to http://127.0.0.1:3000/auth/callback",
        "people come back to http://127.0.0.1:3000/login after they signed out",
        "the clocks of provider and portal agree",
        "access tokens are for the audience “atelier”",
        "Keycloak says who has left",
        "groups are in the claim “groups”, with their path",
        "logouts are sent to http://127.0.0.1:3000/auth/backchannel-logout",
    ] {
        assert!(said.contains(good), "{good}: {said}");
    }
    assert!(!said.contains("missing  sign-in"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_usual_mistakes_is_named_with_the_next_step() {
    let Some(realm) = realm().await else { return };
    let mut silent = Vec::new();
    let mut expect = |what: &str, said: String, sentence: &str, next: &str| {
        if !said.contains("missing  sign-in") || !said.contains(sentence) || !said.contains(next) {
            silent.push(format!("{what}: wanted {sentence:?} and {next:?}, and got\n{said}"));
        }
    };
    let issuer = realm.issuer();
    let secret = ["--client-secret", "wrong"];
    expect("a wrong secret", of(&realm, &secret).await, "the secret is not its secret", "ATELIER_CLIENT_SECRET");
    expect("another client", of(&realm, &["--client-id", "nobody"]).await, "has no client “nobody”", "ATELIER_CLIENT_ID");
    let slash = doctor(&format!("{issuer}/"), &[]).await;
    expect("a slash too much", slash, "without a slash at the end", &format!("Set ATELIER_ISSUER={issuer}\n"));
    let capital = doctor(&issuer.replace("realm-", "Realm-"), &[]).await;
    expect("another realm", capital, "has no realm “Realm-", "capitals count");
    let house = shared().unwrap();
    let tls = doctor(&realm.issuer_at(house.keycloak.tls.as_ref().unwrap()), &[]).await;
    expect("a certificate of the house", tls, "signed by nobody whom this machine trusts", "--issuer-ca FILE");

    // Settings of the client that a sign-in meets; each is put back.
    let good = realm.client().await;
    type Mistake = (&'static str, fn(&mut Value), &'static str, &'static str);
    let broken: [Mistake; 5] = [
        ("the callback", |c| c["redirectUris"] = json!(["https://elsewhere.example/*"]), "refuses to send people back", "as redirect URI"),
        (
            "coming back",
            |c| c["attributes"]["post.logout.redirect.uris"] = json!("https://elsewhere.example/*"),
            "after they signed out",
            "as post logout redirect URI",
        ),
        ("the standard flow", |c| c["standardFlowEnabled"] = json!(false), "does not let people sign in with a code", "standard flow"),
        ("PKCE", |c| c["attributes"]["pkce.code.challenge.method"] = json!("plain"), "does not take PKCE with S256", "PKCE Method"),
        ("a disabled client", |c| c["enabled"] = json!(false), "is disabled at the provider", "the switch at the top"),
    ];
    for (what, breaks, sentence, next) in broken {
        realm.change_client(breaks).await;
        expect(what, of(&realm, &[]).await, sentence, next);
        realm.change_client(|client| *client = good.clone()).await;
    }

    // What only the saved client shows.
    let (_folder, client) = saved(&realm).await;
    let elsewhere = of(&realm, &["--client-file", &client, "--public-url", "http://127.0.0.1:4000"]).await;
    let right = "Set Backchannel logout URL to http://127.0.0.1:4000/auth/backchannel-logout";
    expect("a back-channel logout that goes elsewhere", elsewhere, "where this portal is not", right);
    realm.change_client(|client| client["attributes"]["backchannel.logout.url"] = json!("")).await;
    realm.remove_mapper("groups").await;
    realm.remove_mapper("audience").await;
    let (_folder, client) = saved(&realm).await;
    let bare = of(&realm, &["--client-file", &client]).await;
    expect("no back-channel logout", bare.clone(), "has no back-channel logout URL", "Set Backchannel logout URL to");
    expect("no groups", bare.clone(), "no mapper that writes the groups into the claim “groups”", "Add mapper, Group Membership");
    expect("no audience", bare, "are not for the audience “atelier” (aud)", "Add mapper, Audience");

    // The service account may not see people any more.
    realm.take_view_users().await;
    let blind = of(&realm, &["--people-check-seconds", "20"]).await;
    expect("nobody may ask who has left", blind, "may not see people (403)", "view-users");
    realm.change_client(|client| client["serviceAccountsEnabled"] = json!(false)).await;
    expect("no service account", of(&realm, &["--people-check-seconds", "20"]).await, "gets no token for itself", "service account on");

    // Behind a proxy whose name it was told.
    realm.admin("PUT", "", Some(json!({ "attributes": { "frontendUrl": "https://sso.example.org" } }))).await;
    expect("another name", of(&realm, &[]).await, "calls itself \"https://sso.example.org/realms/", "KC_HOSTNAME");
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
