//! People who leave are out: by want of use, by time, by the provider's word, and at once when somebody says so.

use crate::support::{World, kind, now, origin, profile};
use domain::{
    confirmation::{Confirmation, KEYS_LAST},
    directory::Pass,
    key::{Limits, NewKey, text},
    page::Cursor,
    people::{PlatformRole, Role},
    problem::ProblemKind,
    time::{DAY, HOUR, MINUTE, SECOND, Timestamp},
};
use platform::{Config, Platform, sealing::TokenKey, sessions::Renewed};
use std::time::Duration;

crate::on_both_databases!(
    a_session_ends_without_use_and_a_stream_that_looks_is_no_use,
    a_refresh_token_is_in_the_hands_of_one_replica_at_a_time,
    a_confirmed_session_has_the_roles_of_now_and_the_newest_refresh_token,
    a_refusal_by_the_provider_ends_the_session_and_its_passes,
    a_provider_that_is_silent_ends_nothing_and_nobody_waits_for_it_twice,
    the_providers_tokens_are_sealed_and_open_with_their_key_alone,
    a_persons_keys_stop_thirty_days_after_the_last_confirmation_and_start_again_with_the_next,
    a_membership_that_nobody_confirmed_for_longer_than_a_session_gives_no_rights,
    whose_rights_changed_is_told_to_every_replica,
    an_owner_ends_a_members_sessions_passes_and_keys_at_once_on_every_replica,
    the_admin_ends_a_persons_keys_in_every_tenant_and_nobody_else_may,
    a_service_key_outlives_the_member_who_answers_for_it_and_says_so,
);

fn after(milliseconds: i64) -> Timestamp {
    now().plus(milliseconds)
}
fn in_100_minutes() -> Timestamp {
    after(100 * MINUTE)
}
fn in_119_minutes() -> Timestamp {
    after(119 * MINUTE)
}
fn in_121_minutes() -> Timestamp {
    after(121 * MINUTE)
}
fn in_200_minutes() -> Timestamp {
    after(200 * MINUTE)
}
fn in_4_minutes() -> Timestamp {
    after(4 * MINUTE)
}
fn in_6_minutes() -> Timestamp {
    after(6 * MINUTE)
}
fn in_7_minutes() -> Timestamp {
    after(7 * MINUTE)
}
fn in_40_days() -> Timestamp {
    after(40 * DAY)
}

async fn a_session_ends_without_use_and_a_stream_that_looks_is_no_use(world: World) {
    let secret = world.sign_in("ann", &[], None).await;
    let found = async |clock: fn() -> Timestamp, used: bool| {
        let replica = world.replica(clock).await;
        replica.sessions().find(&secret, origin(), used).await.unwrap().is_some()
    };
    assert!(found(in_119_minutes, false).await, "two hours are not over");
    assert!(!found(in_121_minutes, true).await, "nobody used it for two hours, the look of a stream is no use");
    assert!(found(in_100_minutes, true).await, "used");
    assert!(found(in_200_minutes, true).await, "used 100 minutes ago");
    // The total time is in `sessions::a_session_ends_when_its_time_is_over_or_the_person_signs_out`.
}

async fn a_refresh_token_is_in_the_hands_of_one_replica_at_a_time(world: World) {
    let secret = world.sign_in_with_refresh_token("ann", &[], "first").await;
    let found = world.platform.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    assert_eq!((found.confirmation, found.being_renewed), (Confirmation::Fresh, false));
    let session = found.caller.session.unwrap();
    assert!(world.platform.sessions().begin_renewal(session).await.unwrap().is_none(), "it is not time yet");

    let (one, two) = (world.replica(in_4_minutes).await, world.replica(in_4_minutes).await);
    assert_eq!(one.sessions().find(&secret, origin(), true).await.unwrap().unwrap().confirmation, Confirmation::Due);
    let many = (0..16).map(|n| {
        let replica = if n % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move { replica.sessions().begin_renewal(session).await.unwrap() })
    });
    let got: Vec<_> = futures::future::join_all(many).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(got.iter().map(|r| (r.subject.as_str(), r.refresh_token.as_str())).collect::<Vec<_>>(), [("ann", "first")]);
    assert!(two.sessions().find(&secret, origin(), true).await.unwrap().unwrap().being_renewed);
    // Who took it may have died: another one gets it half a minute later.
    assert!(world.replica(in_6_minutes).await.sessions().begin_renewal(session).await.unwrap().is_some());
}

async fn a_confirmed_session_has_the_roles_of_now_and_the_newest_refresh_token(world: World) {
    world.tenant("acme").await;
    let secret = world.sign_in_with_refresh_token("ann", &[("acme", Role::Owner)], "first").await;
    let found = world.platform.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    let session = found.caller.session.unwrap();
    let later = world.replica(in_4_minutes).await;
    let renewal = later.sessions().begin_renewal(session).await.unwrap().unwrap();
    let said = profile("ann", &[("acme", Role::Viewer)], None);
    later.sessions().renewed(renewal, Renewed { refresh_token: Some("second".into()), profile: Some(said) }).await.unwrap();
    let found = later.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    assert_eq!((found.confirmation, found.being_renewed), (Confirmation::Fresh, false));
    assert_eq!(found.caller.memberships, [("acme".parse().unwrap(), Role::Viewer)]);
    assert!(later.sessions().begin_renewal(session).await.unwrap().is_none(), "it was confirmed a moment ago");

    // A provider that sends neither a person nor a new token: both stay.
    let later = world.replica(in_100_minutes).await;
    let renewal = later.sessions().begin_renewal(session).await.unwrap().unwrap();
    assert_eq!(renewal.refresh_token, "second");
    later.sessions().renewed(renewal, Renewed { refresh_token: None, profile: None }).await.unwrap();
    let found = later.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    assert_eq!((found.confirmation, found.caller.memberships.len()), (Confirmation::Fresh, 1));
    let again = world.replica(in_119_minutes).await.sessions().begin_renewal(session).await.unwrap().unwrap();
    assert_eq!(again.refresh_token, "second");
    let words = crate::support::audit_words(&world, "person.roles").await;
    assert_eq!(words, ["viewer of acme"], "a change of roles is in the audit log, a confirmation without one is not");
}

async fn a_refusal_by_the_provider_ends_the_session_and_its_passes(world: World) {
    world.tenant("acme").await;
    let secret = world.sign_in_with_refresh_token("ann", &[("acme", Role::Engineer)], "first").await;
    let caller = world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap();
    let scope = caller.scope(&world.platform, "acme").await.unwrap();
    let later = world.replica(in_4_minutes).await;
    let pass = world.platform.mint_pass(&scope).unwrap();
    let before = later.directory().await.unwrap();
    let pass = Pass::verify(&pass, &before.pass_secret, now()).unwrap();
    assert!(before.passes_from.is_empty());

    let renewal = later.sessions().begin_renewal(caller.session.unwrap()).await.unwrap().unwrap();
    later.sessions().renewal_refused(renewal).await.unwrap();
    assert!(world.platform.sessions().caller(&secret, origin()).await.unwrap().is_none());
    let directory = world.platform.directory().await.unwrap();
    assert!(directory.revision > before.revision, "gateways hear of it");
    assert!(pass.made_at() <= directory.passes_from[&caller.person.id], "the pass is dead");
    let words = crate::support::audit_words(&world, "session.end").await;
    assert_eq!(words, ["the identity provider does not confirm it any more"]);
}

async fn a_provider_that_is_silent_ends_nothing_and_nobody_waits_for_it_twice(world: World) {
    let secret = world.sign_in_with_refresh_token("ann", &[], "first").await;
    let later = world.replica(in_6_minutes).await;
    let found = later.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    assert_eq!(found.confirmation, Confirmation::Overdue);
    let renewal = later.sessions().begin_renewal(found.caller.session.unwrap()).await.unwrap().unwrap();
    later.sessions().renewal_put_off(renewal).await.unwrap();
    let found = later.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    assert_eq!((found.confirmation, found.being_renewed), (Confirmation::Fresh, false), "not asked again at once");
    let later = world.replica(in_7_minutes).await;
    let found = later.sessions().find(&secret, origin(), true).await.unwrap().unwrap();
    assert_eq!(found.confirmation, Confirmation::Due, "asked again, and nobody waits for it");
    assert!(later.sessions().begin_renewal(found.caller.session.unwrap()).await.unwrap().is_some());
}

async fn the_providers_tokens_are_sealed_and_open_with_their_key_alone(world: World) {
    let secret = world.sign_in_with_refresh_token("ann", &[], "a refresh token in clear").await;
    let session = world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap().session.unwrap();
    for column in ["id_token", "id_token_sealed", "refresh_token_sealed"] {
        let clear = format!("DELETE FROM sessions WHERE {column} LIKE '%token of ann%' OR {column} LIKE '%in clear%'");
        assert_eq!(world.execute(clear).await.unwrap(), 0, "{column}");
    }
    assert_eq!(world.execute("UPDATE sessions SET id_token = NULL WHERE LENGTH(refresh_token_sealed) > 60").await.unwrap(), 1);
    // A replica with another key cannot confirm this session, so it ends instead of going on for ever.
    let config = Config { token_key: TokenKey::new([8; 32]), ..world.config.clone() };
    let other = Platform::open(config, in_4_minutes).await.unwrap();
    assert!(other.sessions().begin_renewal(session).await.unwrap().is_none());
    assert!(world.platform.sessions().caller(&secret, origin()).await.unwrap().is_none());
    // The first key that a web role brings is the one that all must have.
    world.platform.agree_on_token_key().await.unwrap();
    world.replica(now).await.agree_on_token_key().await.unwrap();
    let refused = other.agree_on_token_key().await.unwrap_err();
    assert!(refused.to_string().contains("another key"), "{refused}");
    let again = world.sign_in("ann", &[], None).await;
    other.sign_everybody_out().await.unwrap();
    assert!(world.platform.sessions().caller(&again, origin()).await.unwrap().is_none());
    other.agree_on_token_key().await.unwrap();
}

async fn a_persons_keys_stop_thirty_days_after_the_last_confirmation_and_start_again_with_the_next(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let new = NewKey { label: "bot".into(), models: None, limits: Limits::default(), expires_in_days: None, responsible: None };
    let created = world.platform.keys(&scope).create(new).await.unwrap();
    let digest = text::digest(&created.secret);
    let stop = async || world.platform.directory().await.unwrap().keys[&digest].confirmed_until.unwrap();
    let first = stop().await;
    assert!(first > now().plus(KEYS_LAST - HOUR) && first <= now().plus(KEYS_LAST), "{first:?}");
    // Forty days later she signs in again: it works again, and the gateways hear of it.
    let later = world.replica(in_40_days).await;
    let before = later.directory().await.unwrap().revision;
    later.sessions().sign_in(profile("ann", &[("acme", Role::Engineer)], None), &origin()).await.unwrap();
    let directory = later.directory().await.unwrap();
    assert!(directory.revision > before);
    assert!(directory.keys[&digest].confirmed_until.unwrap() > first.plus(39 * DAY));
    // The same day again: nothing that gateways have to read anew.
    later.sessions().sign_in(profile("ann", &[("acme", Role::Engineer)], None), &origin()).await.unwrap();
    assert!(later.directory().await.unwrap().revision <= directory.revision + 1, "at most the turn of a day");
}

async fn a_membership_that_nobody_confirmed_for_longer_than_a_session_gives_no_rights(world: World) {
    world.tenant("acme").await;
    let secret = world.sign_in("ann", &[("acme", Role::Owner)], None).await;
    let caller = async || world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap();
    assert_eq!(caller().await.memberships.len(), 1);
    world.execute(format!("UPDATE members SET confirmed_at = {}", now().plus(-12 * HOUR - SECOND).0)).await.unwrap();
    assert!(caller().await.memberships.is_empty());
    assert!(caller().await.scope(&world.platform, "acme").await.is_err());
}

async fn whose_rights_changed_is_told_to_every_replica(world: World) {
    world.tenant("acme").await;
    let secret = world.sign_in("ann", &[("acme", Role::Owner)], None).await;
    let ann = world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap().person.id;
    let other = world.replica(now).await;
    let mut told = other.rights_changes();
    let watching = tokio::spawn({
        let other = other.clone();
        async move { other.watch_events(std::future::pending()).await }
    });
    // It must have looked once before something happens, or that is history to it.
    let scope = world.scope("eve", "acme", Role::Viewer).await;
    let mut events = other.listen(&scope).unwrap();
    tokio::time::timeout(Duration::from_secs(30), async {
        while events.try_recv().is_err() {
            world.dataset(&world.scope("dan", "acme", Role::Engineer).await, "seen", &crate::support::rows(3)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    while told.try_recv().is_ok() {}
    world.sign_in("bob", &[("acme", Role::Viewer)], None).await;
    world.sign_in("ann", &[("acme", Role::Viewer)], None).await;
    let next = async |told: &mut tokio::sync::broadcast::Receiver<_>| tokio::time::timeout(Duration::from_secs(30), told.recv()).await;
    assert_eq!(next(&mut told).await.unwrap().unwrap(), ann, "not bob, who is new");
    world.platform.sessions().sign_out(&secret, &origin()).await.unwrap();
    assert_eq!(next(&mut told).await.unwrap().unwrap(), ann);
    watching.abort();
}

fn own_key(label: &str) -> NewKey {
    NewKey { label: label.into(), models: None, limits: Limits::default(), expires_in_days: None, responsible: None }
}

async fn an_owner_ends_a_members_sessions_passes_and_keys_at_once_on_every_replica(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let roles = [("acme", Role::Engineer), ("beta", Role::Engineer)];
    let (first, second) = (world.sign_in("ann", &roles, None).await, world.sign_in("ann", &roles, None).await);
    let ann = world.platform.sessions().caller(&first, origin()).await.unwrap().unwrap();
    let (acme, beta) = (ann.scope(&world.platform, "acme").await.unwrap(), ann.scope(&world.platform, "beta").await.unwrap());
    let here = world.platform.keys(&acme).create(own_key("here")).await.unwrap();
    let there = world.platform.keys(&beta).create(own_key("there")).await.unwrap();
    let pass = world.platform.mint_pass(&acme).unwrap();
    let owner = world.scope("olga", "acme", Role::Owner).await;
    let member = world
        .platform
        .members(&owner)
        .list("", &Cursor::default())
        .await
        .unwrap()
        .rows
        .into_iter()
        .find(|m| m.person == ann.person.id)
        .unwrap();
    assert_eq!((member.sessions, member.keys), (2, 1));

    let other = world.replica(now).await;
    let (mut directory, keeping) = other.directory_changes(std::future::pending()).await.unwrap();
    tokio::spawn(keeping);
    let ended = world.platform.members(&owner).end_access(ann.person.id).await.unwrap();
    assert_eq!((ended.sessions, ended.keys), (2, 1));
    for secret in [&first, &second] {
        assert!(other.sessions().caller(secret, origin()).await.unwrap().is_none());
    }
    let (here, there) = (text::digest(&here.secret), text::digest(&there.secret));
    let hears = directory.wait_for(|d| d.keys[&here].revoked);
    let directory = tokio::time::timeout(Duration::from_secs(30), hears).await.unwrap().unwrap().clone();
    assert!(!directory.keys[&there].revoked, "the keys of another tenant are not this owner's to end");
    let pass = Pass::verify(&pass, &directory.pass_secret, now()).unwrap();
    assert!(pass.made_at() <= directory.passes_from[&ann.person.id]);
    assert_eq!(crate::support::audit_words(&world, "member.end_access").await, ["2 sessions and 1 key ended"]);
    // She may sign in again while the provider lets her, and has a pass again.
    let again = world.scope("ann", "acme", Role::Engineer).await;
    let pass = Pass::verify(&world.platform.mint_pass(&again).unwrap(), &directory.pass_secret, now()).unwrap();
    assert!(pass.made_at() > world.platform.directory().await.unwrap().passes_from[&ann.person.id]);
}

async fn the_admin_ends_a_persons_keys_in_every_tenant_and_nobody_else_may(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let roles = [("acme", Role::Engineer), ("beta", Role::Engineer)];
    let ann = world.caller("ann", &roles, None).await;
    for tenant in ["acme", "beta"] {
        let scope = ann.scope(&world.platform, tenant).await.unwrap();
        world.platform.keys(&scope).create(own_key(tenant)).await.unwrap();
    }
    let (eve, bob) = (world.scope("eve", "acme", Role::Engineer).await, world.scope("bob", "beta", Role::Owner).await);
    let stranger = world.scope("zoe", "acme", Role::Owner).await.person().id;
    assert_eq!(kind(world.platform.members(&eve).end_access(ann.person.id).await), ProblemKind::Forbidden);
    assert_eq!(kind(world.platform.members(&eve).list("", &Cursor::default()).await), ProblemKind::Forbidden);
    assert_eq!(kind(world.platform.members(&bob).end_access(stranger).await), ProblemKind::NotFound, "a member of another tenant");
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    assert_eq!(kind(world.platform.end_access(&auditor, "acme", ann.person.id).await), ProblemKind::Forbidden);
    let admin = world.caller("adm", &[], Some(PlatformRole::Admin)).await.platform_scope().unwrap();
    assert_eq!(kind(world.platform.end_access(&admin, "beta", stranger).await), ProblemKind::NotFound);
    let ended = world.platform.end_access(&admin, "acme", ann.person.id).await.unwrap();
    assert_eq!((ended.sessions, ended.keys), (1, 2));
    let words = crate::support::audit_words(&world, "platform.people.end_access").await;
    assert_eq!(words, ["1 session and 1 key ended"; 2], "in the log of each tenant");
}

async fn a_service_key_outlives_the_member_who_answers_for_it_and_says_so(world: World) {
    world.tenant("acme").await;
    let (ann, olga) = (world.scope("ann", "acme", Role::Engineer).await, world.scope("olga", "acme", Role::Owner).await);
    let service = |who| NewKey { responsible: Some(who), ..own_key("nightly") };
    assert_eq!(kind(world.platform.keys(&ann).create(service(ann.person().id)).await), ProblemKind::Forbidden);
    world.tenant("beta").await;
    let outside = world.scope("bob", "beta", Role::Owner).await.person().id;
    assert_eq!(kind(world.platform.keys(&olga).create(service(outside)).await), ProblemKind::Invalid);
    let created = world.platform.keys(&olga).create(service(ann.person().id)).await.unwrap();
    assert_eq!((created.key.service, created.key.owner_name.as_str()), (true, "ann"));
    // Not hers to revoke, and not ended with her.
    assert_eq!(kind(world.platform.keys(&ann).revoke(created.key.id).await), ProblemKind::Forbidden);
    assert_eq!(world.platform.members(&olga).end_access(ann.person().id).await.unwrap().keys, 0);
    world.sign_in("ann", &[], None).await;
    let digest = text::digest(&created.secret);
    let entry = world.platform.directory().await.unwrap().keys[&digest].clone();
    assert!(!entry.revoked && entry.is_service());
    let listed = async || world.platform.keys(&olga).list(&Default::default(), &Cursor::default()).await.unwrap().rows.remove(0);
    assert!(listed().await.needs_responsible(now()) && listed().await.state(now()).works());
    // Somebody else answers for it now.
    assert_eq!(kind(world.platform.keys(&olga).set_responsible(created.key.id, ann.person().id).await), ProblemKind::Invalid);
    let changed = world.platform.keys(&olga).set_responsible(created.key.id, olga.person().id).await.unwrap();
    assert_eq!(listed().await, changed);
    assert!(!changed.needs_responsible(now()));
    let own = world.platform.keys(&olga).create(own_key("own")).await.unwrap().key;
    assert_eq!(kind(world.platform.keys(&olga).set_responsible(own.id, olga.person().id).await), ProblemKind::NotFound);
}
