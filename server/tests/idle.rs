//! A portal at rest rests: what happens next wakes it, so it asks the database for nothing.

mod processes;

use processes::{Setup, person::Person, prepare};
use std::time::Duration;

/// Statements that keep the lease, and what surrounds them.
fn keeps_the_lease(line: &str) -> bool {
    ["leases", "BEGIN", "COMMIT"].iter().any(|word| line.contains(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_at_rest_sends_the_database_no_statement_for_a_minute() {
    prepare();
    let data = tempfile::tempdir().unwrap();
    let setup = Setup::new(data.path(), "portal").saying("info,sqlx=debug");
    let _portal = setup.start().await;
    let person = Person::sign_in(&setup.address, "jonas").await;
    let made = person.did(&setup.address, "keys/create", &[("tenant", "lumenta"), ("form[label]", "one"), ("form[may]", "all")]).await;
    assert!(made.body["key"].is_object(), "{}", made.body);
    let said = || std::fs::read_to_string(data.path().join("portal.log")).unwrap();
    let asked = |from: usize| {
        let log = said();
        log[from..].lines().filter(|l| l.contains("summary=") && !keeps_the_lease(l)).map(str::to_owned).collect::<Vec<_>>()
    };
    // The statements of sign-in and key are in the log: it would show others too.
    assert!(asked(0).iter().any(|l| l.contains("api_keys")), "{}", said());
    tokio::time::sleep(Duration::from_secs(8)).await;
    let from = said().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(said()[from..].contains("leases"), "the lease is renewed, and that is seen");
    let asked = asked(from);
    assert!(asked.is_empty(), "{}", asked.join("\n"));
}
