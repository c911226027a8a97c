//! People who come with an access token, and people about whom the provider is asked.

use crate::support::{World, now, origin, profile};
use domain::{
    people::{PlatformRole, Role},
    time::{MINUTE, SECOND, Timestamp},
};
use platform::{by_token::TokenProfile, leavers::RolesNow};

crate::on_both_databases!(
    a_token_brings_a_person_and_roles_and_one_without_groups_changes_nothing,
    a_token_from_before_the_providers_last_word_or_an_ended_access_brings_nothing_back,
    each_person_with_a_session_or_a_key_is_asked_about_by_one_replica_in_its_turn,
    who_has_left_loses_sessions_roles_and_passes_and_nobody_else_does,
);

fn in_a_minute() -> Timestamp {
    now().plus(MINUTE)
}

fn token(name: &str, memberships: &[(&str, Role)], issued: Timestamp) -> TokenProfile {
    TokenProfile { profile: profile(name, memberships, None), tells_groups: true, issued }
}

async fn tenants(world: &World, token: TokenProfile) -> Option<Vec<String>> {
    let found = world.platform.person_by_token(token).await.unwrap()?;
    Some(found.tenants.iter().map(ToString::to_string).collect())
}

async fn a_token_brings_a_person_and_roles_and_one_without_groups_changes_nothing(world: World) {
    world.tenant("acme").await;
    let silent = |name: &str| TokenProfile { tells_groups: false, ..token(name, &[], now().plus(SECOND)) };
    assert_eq!(tenants(&world, silent("bot")).await, None, "nobody has ever said who that is");
    assert_eq!(tenants(&world, token("bot", &[("acme", Role::Engineer)], now().plus(SECOND))).await, Some(vec!["acme".into()]));
    assert_eq!(tenants(&world, silent("bot")).await, Some(vec!["acme".into()]));
    let entry = world.platform.directory().await.unwrap().tenants.remove(&"acme".parse().unwrap()).unwrap();
    assert_eq!(entry.members.len(), 1, "the gateway knows them");
}

async fn a_token_from_before_the_providers_last_word_or_an_ended_access_brings_nothing_back(world: World) {
    world.tenant("acme").await;
    let old = || token("ann", &[("acme", Role::Owner)], now().plus(-MINUTE));
    world.sign_in("ann", &[("acme", Role::Owner)], None).await;
    assert_eq!(tenants(&world, old()).await, Some(vec!["acme".into()]));
    // She leaves the group: whatever a token of before says.
    world.sign_in("ann", &[], None).await;
    assert_eq!(tenants(&world, old()).await, Some(vec![]));
    let newer = token("ann", &[("acme", Role::Owner)], now().plus(SECOND));
    assert_eq!(tenants(&world, newer).await, Some(vec!["acme".into()]));
    let who = world.replica(in_a_minute).await.people_to_ask_about(&old().profile.issuer, 0).await.unwrap().remove(0);
    world.replica(in_a_minute).await.has_left(&who).await.unwrap();
    assert_eq!(tenants(&world, token("ann", &[("acme", Role::Owner)], now().plus(SECOND))).await, None, "her access was ended since");
}

async fn each_person_with_a_session_or_a_key_is_asked_about_by_one_replica_in_its_turn(world: World) {
    world.tenant("acme").await;
    world.sign_in("ann", &[("acme", Role::Owner)], None).await;
    let bob = world.sign_in("bob", &[("acme", Role::Engineer)], None).await;
    // Bob has neither a session nor a key; Eve has a key and no session.
    world.platform.sessions().sign_out(&bob, &origin()).await.unwrap();
    let scope = world.scope("eve", "acme", Role::Engineer).await;
    let key =
        domain::key::NewKey { label: "bot".into(), models: None, limits: Default::default(), expires_in_days: None, responsible: None };
    world.platform.keys(&scope).create(key).await.unwrap();
    world.execute("DELETE FROM sessions WHERE person IN (SELECT id FROM people WHERE subject LIKE '%eve%')").await.unwrap();
    let (one, other) = (world.replica(in_a_minute).await, world.replica(in_a_minute).await);
    let issuer = profile("ann", &[], None).issuer;
    let asked = one.people_to_ask_about(&issuer, 20 * SECOND).await.unwrap();
    let mut subjects: Vec<_> = asked.iter().map(|who| who.subject.clone()).collect();
    subjects.sort();
    let subject = |name: &str| profile(name, &[], None).subject;
    assert_eq!(subjects, [subject("ann"), subject("eve")]);
    assert_eq!(other.people_to_ask_about(&issuer, 20 * SECOND).await.unwrap(), [], "one replica asks");
    assert_eq!(world.platform.people_to_ask_about("https://another.example", 0).await.unwrap(), []);
}

async fn who_has_left_loses_sessions_roles_and_passes_and_nobody_else_does(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let ann = world.sign_in("ann", &[("acme", Role::Owner)], Some(PlatformRole::Admin)).await;
    let bob = world.sign_in("bob", &[("acme", Role::Owner)], None).await;
    let later = world.replica(in_a_minute).await;
    let issuer = profile("ann", &[], None).issuer;
    let people = later.people_to_ask_about(&issuer, 20 * SECOND).await.unwrap();
    let of = |name: &str| people.iter().find(|who| who.subject == profile(name, &[], None).subject).unwrap();
    later.has_left(of("ann")).await.unwrap();
    // What the provider says of somebody who is still there: only what is another than before is written.
    let roles =
        |memberships: &[(&str, Role)]| RolesNow { memberships: profile("bob", memberships, None).memberships, ..RolesNow::default() };
    assert!(!later.is_still_there(of("bob"), roles(&[("acme", Role::Owner), ("no-such", Role::Owner)])).await.unwrap());
    assert!(later.is_still_there(of("bob"), roles(&[("beta", Role::Viewer)])).await.unwrap());
    assert!(world.platform.sessions().caller(&ann, origin()).await.unwrap().is_none());
    let bob = world.platform.sessions().caller(&bob, origin()).await.unwrap().unwrap();
    assert_eq!(bob.memberships, [("beta".parse().unwrap(), Role::Viewer)]);
    assert!(bob.person.last_seen_at < now().plus(30 * SECOND), "nobody was here a minute later");
    assert!(world.platform.directory().await.unwrap().tenants[&"acme".parse().unwrap()].members.is_empty());
    assert_eq!(crate::support::audit_words(&world, "person.left").await.len(), 1);
    assert_eq!(crate::support::audit_words(&world, "person.roles").await.len(), 1);
}
