//! Tenants: made, limited, suspended, and seen by those who may.

use crate::support::{World, kind, origin};
use domain::{
    call_rules::CallRules,
    compute::Compute,
    filter::AuditFilter,
    key::{Limits, NewKey},
    page::Cursor,
    people::{PlatformRole, Role},
    policy::Action,
    problem::ProblemKind,
    tenant::{Quota, TenantState},
    tenant_groups::GroupRole,
};
use platform::{access::PlatformScope, sessions::Profile, tenants::NewTenant};

crate::on_both_databases!(
    a_tenant_is_made_changed_and_listed_with_what_it_holds,
    a_bad_or_taken_name_is_refused_with_one_that_works,
    a_suspended_tenant_keeps_what_it_has_and_starts_nothing,
    the_auditor_reads_and_the_admin_manages_but_neither_more,
    events_tell_only_the_tenant,
    the_admin_says_how_a_tenants_models_may_be_called_and_the_gateway_knows,
    groups_that_exist_already_give_roles_in_the_tenants_that_are_bound_to_them,
    every_record_about_a_tenant_names_it_by_its_name,
);

async fn a_tenant_is_made_changed_and_listed_with_what_it_holds(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let version = world.dataset(&scope, "facts", &crate::support::rows(12)).await;
    let platform = PlatformScope::command_line();
    let tenants = world.platform.tenants(&platform);
    let mig = [("1g.10gb".to_owned(), 4)].into();
    let compute = Compute { gpus: Some(2), mig, memory: Some(64 << 30), ..Compute::default() };
    let quota = Quota { concurrent_runs: 3, storage_bytes: 1 << 40, endpoints: 0, compute };
    assert_eq!(tenants.set_quota("acme", quota.clone()).await.unwrap().quota, quota);
    let more = Compute { mig: [("no profile".to_owned(), 1)].into(), ..Compute::default() };
    let refused = tenants.set_quota("acme", Quota { compute: more, ..quota.clone() }).await.unwrap_err();
    assert_eq!(refused.fields[0].field, "mig");
    let list = tenants.list("", &Cursor::default()).await.unwrap().rows;
    assert_eq!(list.iter().map(|t| t.tenant.name.as_str()).collect::<Vec<_>>(), ["acme", "beta"]);
    assert_eq!(
        (list[0].tenant.quota.clone(), list[0].holding.storage_bytes, list[0].holding.members),
        (quota, version.bytes + version.judged_bytes, 1)
    );
    let one = tenants.get("acme").await.unwrap();
    let members = tenants.members(&tenants.get("acme").await.unwrap().tenant, &Cursor::default()).await.unwrap().rows;
    assert_eq!((one, members[0].person_name.as_str(), members[0].role), (list[0].clone(), "ann", Role::Engineer));
    let home = world.platform.overview(&scope).await.unwrap();
    assert_eq!((home.holding, home.counts.datasets, home.counts.runs), (list[0].holding, 1, 0));
    assert_eq!(kind(tenants.get("nobody").await), ProblemKind::NotFound);
}

async fn a_bad_or_taken_name_is_refused_with_one_that_works(world: World) {
    world.tenant("acme").await;
    let platform = PlatformScope::command_line();
    let make = async |name: &str| {
        world.platform.tenants(&platform).create(NewTenant { name: name.into(), title: String::new(), quota: Quota::default() }).await
    };
    assert_eq!(make("acme").await.unwrap_err().sentence, "The tenant “acme” exists already.");
    let bad = make("Acme Corp").await.unwrap_err();
    assert_eq!((bad.kind, bad.fields[0].suggestion.as_deref()), (ProblemKind::Invalid, Some("acme-corp")));
    assert_eq!(world.platform.tenants(&platform).list("", &Cursor::default()).await.unwrap().rows.len(), 1);
}

async fn a_suspended_tenant_keeps_what_it_has_and_starts_nothing(world: World) {
    world.tenant("acme").await;
    let before = world.scope("ann", "acme", Role::Owner).await;
    world.dataset(&before, "facts", &crate::support::rows(3)).await;
    let platform = PlatformScope::command_line();
    let tenants = world.platform.tenants(&platform);
    assert_eq!(tenants.suspend("acme").await.unwrap().state, TenantState::Suspended);
    assert_eq!(kind(tenants.suspend("acme").await), ProblemKind::Conflict);

    let scope = world.scope("ann", "acme", Role::Owner).await;
    assert_eq!(world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.len(), 1);
    let refused = world.upload(&scope, "more", &crate::support::rows(3)).await.unwrap_err();
    assert_eq!(refused.kind, ProblemKind::Conflict);
    assert!(refused.sentence.contains("suspended"), "{refused}");
    let key = NewKey { label: "x".into(), models: None, limits: Default::default(), expires_in_days: None, responsible: None };
    assert_eq!(kind(world.platform.keys(&scope).create(key).await), ProblemKind::Conflict);
    assert_eq!(kind(world.platform.mint_pass(&scope)), ProblemKind::Conflict);
    assert!(scope.why_not(Action::RunLaunch).unwrap().contains("suspended"));
    assert!(!world.platform.directory().await.unwrap().tenants[scope.tenant_name()].active);

    tenants.resume("acme").await.unwrap();
    let scope = world.scope("ann", "acme", Role::Owner).await;
    world.upload(&scope, "more", &crate::support::rows(3)).await.unwrap();
}

async fn the_auditor_reads_and_the_admin_manages_but_neither_more(world: World) {
    world.tenant("acme").await;
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await;
    let admin = world.caller("adm", &[], Some(PlatformRole::Admin)).await;
    let member = world.caller("ann", &[("acme", Role::Owner)], None).await;
    assert_eq!(kind(member.platform_scope().map(drop)), ProblemKind::NotFound);

    let scope = auditor.platform_scope().unwrap();
    assert_eq!(world.platform.tenants(&scope).list("", &Cursor::default()).await.unwrap().rows.len(), 1);
    assert_eq!(kind(world.platform.tenants(&scope).suspend("acme").await), ProblemKind::Forbidden);
    assert!(scope.why_not(Action::PlatformTenantsWrite).is_some());
    let inside = auditor.scope(&world.platform, "acme").await.unwrap();
    assert_eq!((inside.role(), inside.may(Action::DatasetRead), inside.may(Action::DatasetWrite)), (None, true, false));
    assert_eq!(kind(world.platform.mint_pass(&inside)), ProblemKind::Forbidden);

    let scope = admin.platform_scope().unwrap();
    world.platform.tenants(&scope).suspend("acme").await.unwrap();
    assert_eq!(kind(admin.scope(&world.platform, "acme").await.map(drop)), ProblemKind::NotFound);
}

async fn the_admin_says_how_a_tenants_models_may_be_called_and_the_gateway_knows(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let platform = PlatformScope::command_line();
    let tenants = world.platform.tenants(&platform);
    assert_eq!(tenants.call_rules("acme").await.unwrap(), CallRules::default());
    let rules = CallRules {
        limits: Limits { requests_per_minute: Some(60), tokens_per_minute: Some(9_000), concurrent_calls: None },
        concurrent_calls: 7,
        concurrent_calls_per_key: 3,
        origins: vec!["https://chat.example.org".into()],
        ..CallRules::default()
    };
    let before = world.platform.directory().await.unwrap().revision;
    tenants.set_call_rules("acme", rules.clone()).await.unwrap();
    assert_eq!(tenants.call_rules("acme").await.unwrap(), rules);
    let directory = world.platform.directory().await.unwrap();
    assert!(directory.revision > before, "or no gateway would look");
    let of = |name: &str| &directory.tenants[&name.parse().unwrap()].calls;
    assert_eq!((of("acme"), of("beta")), (&rules, &CallRules::default()));

    let nothing = CallRules { concurrent_calls: 0, origins: vec!["*".into()], ..rules.clone() };
    let refused = tenants.set_call_rules("acme", nothing).await.unwrap_err();
    assert_eq!(refused.fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), ["concurrent_calls", "origins"]);
    assert_eq!(kind(tenants.set_call_rules("nobody", rules.clone()).await), ProblemKind::NotFound);
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    assert_eq!(world.platform.tenants(&auditor).call_rules("acme").await.unwrap(), rules);
    assert_eq!(kind(world.platform.tenants(&auditor).set_call_rules("acme", CallRules::default()).await), ProblemKind::Forbidden);
    // A change of the quota leaves them alone.
    tenants.set_quota("acme", Quota::default()).await.unwrap();
    assert_eq!(tenants.call_rules("acme").await.unwrap(), rules);
}

async fn groups_that_exist_already_give_roles_in_the_tenants_that_are_bound_to_them(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let platform = PlatformScope::command_line();
    let tenants = world.platform.tenants(&platform);
    let bound = |group: &str, role| GroupRole { group: group.into(), role };
    let groups = vec![bound("company/nlp", Role::Engineer), bound("company/nlp-leads", Role::Owner)];
    tenants.set_groups("acme", groups.clone()).await.unwrap();
    tenants.set_groups("beta", vec![bound("company/nlp", Role::Viewer)]).await.unwrap();
    assert_eq!(tenants.groups(&tenants.get("acme").await.unwrap().tenant).await.unwrap(), groups);
    let sign_in = async |name: &str, held: &[(&str, Role)], groups: &[&str]| {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        let profile = Profile { groups, ..crate::support::profile(name, held, None) };
        let secret = world.platform.sessions().sign_in(profile, &origin()).await.unwrap();
        let caller = world.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap();
        caller.memberships.into_iter().map(|(tenant, role)| (tenant.to_string(), role)).collect::<Vec<_>>()
    };
    let of = |all: &[(&str, Role)]| all.iter().map(|(t, r)| ((*t).to_owned(), *r)).collect::<Vec<_>>();
    assert_eq!(sign_in("ann", &[], &["/company/nlp"]).await, of(&[("acme", Role::Engineer), ("beta", Role::Viewer)]));
    assert_eq!(
        sign_in("bob", &[("beta", Role::Owner)], &["/company/nlp", "/company/nlp-leads"]).await,
        of(&[("acme", Role::Owner), ("beta", Role::Owner)])
    );
    assert_eq!(sign_in("eve", &[], &["/company/nlp-interns", "company"]).await, of(&[]));
    // What is not bound any more gives nothing at the next confirmation.
    tenants.set_groups("beta", Vec::new()).await.unwrap();
    assert_eq!(sign_in("ann", &[], &["/company/nlp"]).await, of(&[("acme", Role::Engineer)]));

    assert_eq!(kind(tenants.set_groups("nobody", groups.clone()).await), ProblemKind::NotFound);
    assert_eq!(kind(tenants.set_groups("acme", vec![bound("", Role::Owner)]).await), ProblemKind::Invalid);
    let auditor = world.caller("aud", &[], Some(PlatformRole::Auditor)).await.platform_scope().unwrap();
    assert_eq!(world.platform.tenants(&auditor).groups(&tenants.get("acme").await.unwrap().tenant).await.unwrap(), groups);
    assert_eq!(kind(world.platform.tenants(&auditor).set_groups("acme", Vec::new()).await), ProblemKind::Forbidden);
}

/// The title may be another one tomorrow.
async fn every_record_about_a_tenant_names_it_by_its_name(world: World) {
    let platform = PlatformScope::command_line();
    let tenants = world.platform.tenants(&platform);
    tenants.create(NewTenant { name: "acme".into(), title: "Acme of today".into(), quota: Quota::default() }).await.unwrap();
    tenants.set_quota("acme", Quota::default()).await.unwrap();
    tenants.set_call_rules("acme", CallRules::default()).await.unwrap();
    tenants.suspend("acme").await.unwrap();
    tenants.resume("acme").await.unwrap();
    let filter = AuditFilter { object: Some("acme".into()), limit: 50, ..AuditFilter::default() };
    let records = world.platform.platform_audit(&platform).page(filter).await.unwrap().rows;
    assert_eq!(records.len(), 5, "{records:?}");
    for record in records {
        assert_eq!((record.entry.object.as_str(), record.entry.object_name.as_str()), ("acme", "acme"), "{:?}", record.entry);
    }
}

async fn events_tell_only_the_tenant(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let (acme, beta) = (world.scope("ann", "acme", Role::Engineer).await, world.scope("bob", "beta", Role::Engineer).await);
    let before = world.platform.events_after(&beta, 0, 100).await.unwrap().last().unwrap().seq;
    let stop = tokio::sync::oneshot::channel::<()>();
    let watching = tokio::spawn({
        let (platform, ended) = (world.platform.clone(), stop.1);
        async move { platform.watch_events(async { drop(ended.await) }).await }
    });
    let (mut ours, mut theirs) = (world.platform.listen(&acme).unwrap(), world.platform.listen(&beta).unwrap());
    let version = world.dataset(&acme, "facts", &crate::support::rows(3)).await;
    let told = async {
        loop {
            let event = ours.recv().await.unwrap();
            assert_eq!(event.tenant.as_str(), "acme");
            if event.object == version.id.to_string() {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), told).await.unwrap();
    while let Ok(event) = theirs.try_recv() {
        assert!(event.tenant.as_str() == "beta" && event.object != version.id.to_string(), "{event:?}");
    }
    let events = world.platform.events_after(&acme, before, 100).await.unwrap();
    assert!(events.len() >= 3 && events.iter().all(|e| e.object == version.id.to_string()), "{events:?}");
    assert!(events.windows(2).all(|w| w[0].seq < w[1].seq));
    let elsewhere = world.platform.events_after(&beta, 0, 100).await.unwrap();
    assert!(elsewhere.iter().all(|e| e.tenant.as_str() == "beta" && e.object != version.id.to_string()), "{elsewhere:?}");
    drop(stop.0);
    tokio::time::timeout(std::time::Duration::from_secs(5), watching).await.unwrap().unwrap();
}
