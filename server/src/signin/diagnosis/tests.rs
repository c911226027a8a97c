use super::{
    address::{names_itself, other_paths},
    *,
};
use crate::config::Groups;
use serde_json::json;

const ISSUER: &str = "https://sso.example/realms/house";
const CALLBACK: &str = "https://portal.example/auth/callback";

fn rules(claim: &str) -> GroupRules {
    let text = |t: &str| t.to_owned();
    GroupRules::new(&Groups {
        claim: claim.into(),
        admin: text("atelier-admins"),
        auditor: text("atelier-auditors"),
        tenant: text("atelier/{tenant}/{role}"),
    })
}

fn asked<'a>(rules: &'a GroupRules, client_secret: Option<&'a str>) -> Asked<'a> {
    Asked {
        issuer: ISSUER,
        client_id: "atelier",
        client_secret,
        callback: CALLBACK,
        home: "https://portal.example/login",
        groups: rules,
        audience: "atelier",
    }
}

#[test]
fn a_slash_too_much_or_too_few_is_said_with_the_address_that_is_right() {
    let slash = format!("{ISSUER}/");
    for (ours, theirs, word) in [(ISSUER, slash.as_str(), "with a slash"), (slash.as_str(), ISSUER, "without a slash")] {
        let (what, next) = names_itself(ours, &json!({ "issuer": theirs })).unwrap_err();
        assert!(what.contains(word) && next == format!("Set ATELIER_ISSUER={theirs}"), "{what} {next}");
    }
    let (what, next) = names_itself(ISSUER, &json!({ "issuer": "http://keycloak:8080/realms/house" })).unwrap_err();
    assert!(what.contains("calls itself") && next.contains("KC_HOSTNAME"), "{what} {next}");
    assert_eq!(names_itself(ISSUER, &json!({ "issuer": ISSUER })), Ok(()));
}

#[test]
fn the_path_before_the_realm_is_tried_both_ways() {
    assert_eq!(other_paths("https://sso.example/realms/house/"), ["https://sso.example/auth/realms/house"]);
    assert_eq!(other_paths("https://sso.example/auth/realms/house"), ["https://sso.example/realms/house"]);
    assert!(other_paths("https://sso.example").is_empty());
}

#[test]
fn what_the_provider_says_of_client_and_secret_is_said_in_words() {
    let rules = rules("groups");
    let with = asked(&rules, Some("s"));
    let without = asked(&rules, None);
    let bad = StatusCode::BAD_REQUEST;
    assert!(matches!(says_of_the_client(&with, bad, "invalid_grant", true), Finding::Good(what) if what.contains("its secret")));
    assert!(matches!(says_of_the_client(&without, bad, "invalid_grant", true), Finding::Good(what) if what.contains("without a secret")));
    for error in ["invalid_client", "unauthorized_client"] {
        let said = says_of_the_client(&with, StatusCode::UNAUTHORIZED, error, false);
        assert!(matches!(said, Finding::Missing(what, next) if what.contains("not this secret") && next.contains("ATELIER_CLIENT_SECRET")));
        let said = says_of_the_client(&without, StatusCode::UNAUTHORIZED, error, false);
        assert!(
            matches!(said, Finding::Missing(what, next) if what.contains("wants its secret") && next.contains("ATELIER_CLIENT_SECRET"))
        );
    }
    assert!(matches!(says_of_the_client(&with, StatusCode::OK, "", true), Finding::Note(_)));
}

#[test]
fn a_callback_that_is_not_registered_is_said_with_the_address_to_register() {
    let rules = rules("groups");
    let asked = asked(&rules, None);
    assert!(matches!(says_of_the_callback(&asked, StatusCode::OK, "", ""), (Known::Yes, Finding::Good(_))));
    assert!(matches!(says_of_the_callback(&asked, StatusCode::FOUND, "https://sso.example/login", ""), (Known::Yes, Finding::Good(_))));
    let (_, refused) = says_of_the_callback(&asked, StatusCode::BAD_REQUEST, "", "");
    assert!(matches!(refused, Finding::Missing(_, next) if next.contains(CALLBACK) && next.contains("ATELIER_PUBLIC_URL")));
    let (known, sent_back) = says_of_the_callback(&asked, StatusCode::FOUND, &format!("{CALLBACK}?error=unauthorized_client&state=x"), "");
    assert!(matches!(sent_back, Finding::Missing(what, next) if what.contains("unauthorized_client") && next.contains("standard flow")));
    assert_eq!(known, Known::Yes);
}

#[test]
fn a_token_in_a_file_says_what_it_would_give() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let give = |claim: &str, text: &str| {
        std::fs::write(&file, text).unwrap();
        of_a_token(&rules(claim), &file)
    };
    let claims = json!({ "sub": "x", "groups": ["/atelier/lumenta/owner", "/staff"], "realm_access": { "roles": ["atelier-admins"] } });
    assert_eq!(give("groups", &claims.to_string()), Finding::Good("this token makes somebody owner of lumenta".into()));
    assert_eq!(give("realm_access.roles", &claims.to_string()), Finding::Good("this token makes somebody platform admin".into()));
    let token = format!("e30.{}.sig", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string()));
    assert_eq!(give("groups", &token), give("groups", &claims.to_string()));
    let Finding::Missing(what, next) = give("teams", &claims.to_string()) else { panic!() };
    assert!(what.contains("no claim “teams”") && next.contains("Add mapper"), "{what} {next}");
    assert!(matches!(give("groups", r#"{"groups":["/staff"]}"#), Finding::Missing(what, _) if what.contains("/staff")));
    assert!(matches!(give("groups", "hello"), Finding::Missing(..)));
}
