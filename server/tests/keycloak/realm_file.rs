//! What is shipped for an admin and what the tests import are one client.

use serde_json::{Value, json};

#[test]
fn the_client_for_an_existing_realm_is_the_one_that_is_tested_at_other_addresses_and_with_another_secret() {
    let shipped: Value = serde_json::from_str(include_str!("../../../charts/atelier/files/keycloak-client.json")).unwrap();
    let realm: Value = serde_json::from_str(testing::keycloak::REALM).unwrap();
    let mut tested = realm["clients"][0].clone();
    // Nothing that is good for loopback only is shipped.
    assert!(!shipped.to_string().contains("127.0.0.1") && !shipped.to_string().contains("localhost"), "{shipped}");
    for place in ["/secret", "/rootUrl", "/redirectUris", "/attributes/post.logout.redirect.uris", "/attributes/backchannel.logout.url"] {
        *tested.pointer_mut(place).unwrap() = shipped.pointer(place).unwrap().clone();
    }
    assert_eq!(tested, shipped);
    let public = "https://atelier.example.org";
    assert_eq!(shipped["redirectUris"], json!([format!("{public}/auth/callback")]));
    assert_eq!(shipped["attributes"]["post.logout.redirect.uris"], format!("{public}/login"));
    assert_eq!(shipped["attributes"]["backchannel.logout.url"], format!("{public}/auth/backchannel-logout"));
}
