//! The provider ends a session: here it ends too, on every replica, and nobody else's does.

use crate::support::{World, now, origin, profile};
use domain::{
    people::Role,
    time::{MINUTE, Timestamp},
};
use platform::sessions::{Profile, ProviderLogout};

crate::on_both_databases!(
    what_a_logout_names_ends_and_nothing_else,
    a_logout_counts_once_and_is_forgotten_after_its_end,
    a_session_from_before_the_providers_were_kept_ends_with_its_person,
);

fn in_ten_minutes() -> Timestamp {
    now().plus(10 * MINUTE)
}

async fn sign_in(world: &World, name: &str, session: Option<&str>) -> String {
    let profile = Profile { session: session.map(str::to_owned), ..profile(name, &[("acme", Role::Engineer)], None) };
    world.platform.sessions().sign_in(profile, &origin()).await.unwrap()
}

async fn lives(world: &World, secret: &str) -> bool {
    world.platform.sessions().caller(secret, origin()).await.unwrap().is_some()
}

/// Of a token with this id.
fn logout(token: &str, subject: Option<&str>, session: Option<&str>) -> ProviderLogout {
    let issuer = profile("ann", &[], None).issuer;
    let text = |t: Option<&str>| t.map(str::to_owned);
    ProviderLogout { issuer, subject: text(subject), session: text(session), token: token.into(), expires_at: now().plus(2 * MINUTE) }
}

async fn what_a_logout_names_ends_and_nothing_else(world: World) {
    world.tenant("acme").await;
    let ann = profile("ann", &[], None).subject;
    let (one, two) = (sign_in(&world, "ann", Some("s-1")).await, sign_in(&world, "ann", Some("s-2")).await);
    let bob = sign_in(&world, "bob", Some("s-1")).await;
    let sessions = world.platform.sessions();
    let other = ProviderLogout { issuer: "https://another.example".into(), ..logout("a", None, Some("s-1")) };
    assert_eq!(sessions.provider_logout(&other, &origin()).await.unwrap(), Some(0), "of another provider");
    assert_eq!(sessions.provider_logout(&logout("b", Some(&ann), Some("s-1")), &origin()).await.unwrap(), Some(1));
    assert!(!lives(&world, &one).await && lives(&world, &two).await && lives(&world, &bob).await);
    // On another replica: its gateway refuses the passes of before, and hers only.
    let directory = world.replica(now).await.directory().await.unwrap();
    assert_eq!(directory.passes_from.len(), 1);
    let three = sign_in(&world, "ann", Some("s-3")).await;
    assert_eq!(sessions.provider_logout(&logout("c", Some(&ann), None), &origin()).await.unwrap(), Some(2));
    assert!(!lives(&world, &two).await && !lives(&world, &three).await && lives(&world, &bob).await);
    assert_eq!(sessions.provider_logout(&logout("d", None, Some("s-1")), &origin()).await.unwrap(), Some(1));
    assert!(!lives(&world, &bob).await);
    assert_eq!(crate::support::audit_words(&world, "session.end").await.len(), 4);
}

async fn a_logout_counts_once_and_is_forgotten_after_its_end(world: World) {
    world.tenant("acme").await;
    let again = logout("a", None, Some("s-1"));
    assert_eq!(world.platform.sessions().provider_logout(&again, &origin()).await.unwrap(), Some(0));
    let ann = sign_in(&world, "ann", Some("s-1")).await;
    assert_eq!(world.replica(now).await.sessions().provider_logout(&again, &origin()).await.unwrap(), None, "on every replica");
    assert!(lives(&world, &ann).await);
    let later = world.replica(in_ten_minutes).await;
    later.sessions().provider_logout(&logout("b", None, Some("s-2")), &origin()).await.unwrap();
    assert_eq!(world.execute("DELETE FROM logout_tokens").await.unwrap(), 1, "what has expired is not kept");
}

async fn a_session_from_before_the_providers_were_kept_ends_with_its_person(world: World) {
    world.tenant("acme").await;
    let (ann, bob) = (sign_in(&world, "ann", None).await, sign_in(&world, "bob", None).await);
    let named = logout("a", Some(&profile("ann", &[], None).subject), Some("s-1"));
    assert_eq!(world.platform.sessions().provider_logout(&named, &origin()).await.unwrap(), Some(1));
    assert!(!lives(&world, &ann).await && lives(&world, &bob).await);
}
