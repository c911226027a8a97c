//! Sign-in: once, in time, with the roles of now.

use crate::support::{World, now, origin};
use domain::{
    people::Role,
    time::{HOUR, MINUTE, Timestamp},
};
use platform::sessions::Profile;

crate::on_both_databases!(
    a_sign_in_under_way_is_used_once_and_not_after_ten_minutes,
    a_session_ends_when_its_time_is_over_or_the_person_signs_out,
    memberships_are_replaced_at_every_sign_in,
    the_cookies_value_is_nowhere_in_the_database,
    what_a_provider_calls_somebody_is_kept_as_one_short_line,
);

fn in_eleven_minutes() -> Timestamp {
    now().plus(11 * MINUTE)
}
fn in_one_hour() -> Timestamp {
    now().plus(HOUR)
}
fn in_thirteen_hours() -> Timestamp {
    now().plus(13 * HOUR)
}

async fn a_sign_in_under_way_is_used_once_and_not_after_ten_minutes(world: World) {
    let sessions = world.platform.sessions();
    let begin = || sessions.begin_sign_in("state".into(), "nonce".into(), "verifier".into(), "/t/acme".into());
    let cookie = begin().await.unwrap();
    // Another browser's cookie, or another state, finds nothing and uses nothing up.
    for (cookie, state) in [("something else", "state"), (cookie.as_str(), "another"), (cookie.as_str(), "")] {
        assert!(sessions.sign_in_under_way(cookie, state).await.unwrap().is_none());
        assert!(sessions.take_sign_in(cookie, state).await.unwrap().is_none());
    }
    assert_eq!(sessions.sign_in_under_way(&cookie, "state").await.unwrap().unwrap().return_to, "/t/acme");
    let taken = sessions.take_sign_in(&cookie, "state").await.unwrap().unwrap();
    assert_eq!(
        (taken.state.as_str(), taken.nonce.as_str(), taken.verifier.as_str(), taken.return_to.as_str()),
        ("state", "nonce", "verifier", "/t/acme")
    );
    assert!(sessions.take_sign_in(&cookie, "state").await.unwrap().is_none());
    assert!(sessions.sign_in_under_way(&cookie, "state").await.unwrap().is_none());
    let late = begin().await.unwrap();
    let later = world.replica(in_eleven_minutes).await;
    assert!(later.sessions().sign_in_under_way(&late, "state").await.unwrap().is_none());
    assert!(later.sessions().take_sign_in(&late, "state").await.unwrap().is_none());
}

async fn a_session_ends_when_its_time_is_over_or_the_person_signs_out(world: World) {
    world.tenant("acme").await;
    let secret = world.sign_in("ann", &[("acme", Role::Engineer)], None).await;
    let sessions = world.platform.sessions();
    assert!(sessions.caller("guess", origin()).await.unwrap().is_none());
    let caller = sessions.caller(&secret, origin()).await.unwrap().unwrap();
    assert_eq!((caller.person.name.as_str(), caller.groups.as_slice()), ("ann", &["/atelier/acme".to_owned()][..]));
    let later = world.replica(in_one_hour).await;
    let seen = later.sessions().caller(&secret, origin()).await.unwrap().unwrap();
    assert_eq!(seen.person.id, caller.person.id);
    // Used until the end, as far as the database knows.
    let last = now().plus(13 * HOUR - 30 * MINUTE).0;
    assert_eq!(world.execute(format!("UPDATE sessions SET last_seen_at = {last}")).await.unwrap(), 1);
    // Its being used did not make it longer, and was noted.
    assert!(world.replica(in_thirteen_hours).await.sessions().caller(&secret, origin()).await.unwrap().is_none());
    let again = sessions.caller(&secret, origin()).await.unwrap().unwrap();
    assert!(again.person.last_seen_at > caller.person.last_seen_at.plus(30 * MINUTE));

    let out = sessions.sign_out(&secret, &origin()).await.unwrap().unwrap();
    assert_eq!(out.id_token.as_deref(), Some("token of ann"));
    assert!(sessions.caller(&secret, origin()).await.unwrap().is_none());
    assert!(sessions.sign_out(&secret, &origin()).await.unwrap().is_none());
}

async fn memberships_are_replaced_at_every_sign_in(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let first = world.caller("ann", &[("acme", Role::Engineer), ("not-yet", Role::Owner)], None).await;
    assert_eq!(first.memberships, [("acme".parse().unwrap(), Role::Engineer)]);
    let secret = world.sign_in("ann", &[("acme", Role::Viewer), ("beta", Role::Owner)], None).await;
    let second = world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap();
    assert_eq!(second.person.id, first.person.id);
    assert_eq!(second.memberships, [("acme".parse().unwrap(), Role::Viewer), ("beta".parse().unwrap(), Role::Owner)]);
    // A live session has the rights of now, not of when it began.
    world.sign_in("ann", &[], None).await;
    let live = world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap();
    assert!(live.memberships.is_empty());
    assert!(live.scope(&world.platform, "acme").await.is_err());
}

async fn the_cookies_value_is_nowhere_in_the_database(world: World) {
    let secret = world.sign_in("ann", &[], None).await;
    assert_eq!(secret.len(), 43);
    assert_eq!(world.execute("DELETE FROM sessions WHERE LENGTH(secret_hash) = 64 AND secret_hash NOT LIKE '%_-%'").await.unwrap(), 1);
    assert!(world.platform.sessions().caller(&secret, origin()).await.unwrap().is_none());
}

async fn what_a_provider_calls_somebody_is_kept_as_one_short_line(world: World) {
    let signed_in = async |name: &str, subject: &str, email: &str, groups: Vec<String>| {
        let profile = Profile {
            issuer: "https://id.example".into(),
            subject: subject.into(),
            name: name.into(),
            email: Some(email.into()),
            groups,
            platform_role: None,
            memberships: Vec::new(),
            id_token: None,
            session: None,
            refresh_token: None,
        };
        let secret = world.platform.sessions().sign_in(profile, &origin()).await.unwrap();
        world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap()
    };
    let groups = (0..500).map(|i| format!("g\0{i}{}", "x".repeat(1000))).collect();
    let long = signed_in(&"Mira ".repeat(20_000), "1", &"m".repeat(100_000), groups).await;
    assert_eq!(long.person.name.chars().count(), 100);
    assert_eq!(long.person.email.unwrap().chars().count(), 254);
    assert_eq!((long.groups.len(), long.groups[99].chars().count()), (100, 200));
    // PostgreSQL keeps no NUL, and nobody's name turns the words around it.
    let odd = signed_in("Mira\0\u{202e}rotsac", "2", "a\u{202e}\0@b.example", Vec::new()).await;
    assert_eq!((odd.person.name.as_str(), odd.person.email.as_deref()), ("Mirarotsac", Some("a@b.example")));
    assert_eq!(signed_in("\u{200b}", "3", "\u{200b}", Vec::new()).await.person.email, None);
    assert_eq!(signed_in(" ", "subject-4", "", Vec::new()).await.person.name, "subject-4");
}
