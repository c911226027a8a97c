//! Somebody else's tenant is not found, and nothing in it can be reached through one's own.

use crate::support::{World, kind, pieces, rows};
use domain::{
    dataset::Documentation,
    inspect::RowFilter,
    key::{Limits, NewKey},
    people::{PlatformRole, Role},
    problem::ProblemKind::NotFound,
    usage::UsageBy,
};
use platform::{audit::AuditFilter, datasets::NewUpload};

crate::on_both_databases!(a_stranger_finds_no_tenant, every_thing_of_another_tenant_is_not_found);

async fn a_stranger_finds_no_tenant(world: World) {
    world.tenant("acme").await;
    let strangers = [
        world.caller("bob", &[("beta", Role::Owner)], None).await,
        world.caller("none", &[], None).await,
        world.caller("adm", &[], Some(PlatformRole::Admin)).await,
    ];
    for caller in strangers {
        let there = caller.scope(&world.platform, "acme").await.map(drop).unwrap_err();
        let not_there = caller.scope(&world.platform, "nowhere").await.map(drop).unwrap_err();
        // The same answer, so that nobody learns which tenants exist.
        assert_eq!(
            (there.kind, there.sentence.replace("acme", "nowhere"), &there.next_step),
            (NotFound, not_there.sentence, &not_there.next_step)
        );
        for odd in ["", "../acme", "ACME", &"x".repeat(5000)] {
            let refused = caller.scope(&world.platform, odd).await.map(drop).unwrap_err();
            assert!(refused.kind == NotFound && refused.sentence.len() < 300);
        }
    }
}

async fn every_thing_of_another_tenant_is_not_found(world: World) {
    world.tenant("acme").await;
    world.tenant("beta").await;
    let acme = world.scope("ann", "acme", Role::Owner).await;
    let beta = world.scope("bob", "beta", Role::Owner).await;
    let version = world.dataset(&acme, "facts", &rows(12)).await;
    let new_key = || NewKey { label: "x".into(), models: None, limits: Limits::default(), expires_in_days: None, responsible: None };
    let key = world.platform.keys(&acme).create(new_key()).await.unwrap().key;

    let theirs = world.platform.datasets(&beta);
    assert!(theirs.list().await.unwrap().is_empty());
    assert_eq!(kind(theirs.get("facts").await), NotFound);
    assert_eq!(kind(theirs.version("facts", Some(1)).await), NotFound);
    assert_eq!(kind(theirs.by_version_id(version.id).await), NotFound);
    assert_eq!(kind(theirs.document("facts", 1, Documentation::default()).await), NotFound);
    assert_eq!(kind(theirs.rows("facts", 1, RowFilter::default()).await), NotFound);
    assert_eq!(kind(world.platform.keys(&beta).revoke(key.id).await), NotFound);
    assert!(world.platform.keys(&beta).list().await.unwrap().is_empty());
    assert!(world.platform.members(&beta).list().await.unwrap().iter().all(|m| m.person_name == "bob"));
    let home = world.platform.overview(&beta).await.unwrap();
    assert_eq!((home.holding.storage_bytes, home.holding.members, home.counts.datasets, home.counts.keys), (0, 1, 0, 0));
    assert!(world.platform.usage(&beta).table(UsageBy::Key, 7).await.unwrap().is_empty());
    assert!(world.platform.usage(&beta).calls(10, None).await.unwrap().is_empty());
    let log = world.platform.audit(&beta).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
    assert!(!log.is_empty() && log.iter().all(|r| r.entry.tenant.as_ref() == Some(beta.tenant_name())), "{log:?}");
    assert!(world.platform.events_after(&beta, 0, 100).await.unwrap().iter().all(|e| &e.tenant == beta.tenant_name()));

    // The same name is another thing, and what was there is untouched.
    let new = NewUpload { name: "facts".into(), file_name: "x".into(), ..NewUpload::default() };
    let own = world.platform.datasets(&beta).upload(new, pieces(&rows(3))).await.unwrap();
    assert_eq!((own.number, own.dataset == version.dataset), (1, false));
    assert_eq!(world.platform.datasets(&acme).by_version_id(version.id).await.unwrap(), version);
    assert!(world.platform.keys(&acme).list().await.unwrap()[0].revoked_at.is_none());

    // Nor does the database itself store a row that points across.
    let across = format!(
        "INSERT INTO dataset_versions (tenant, id, dataset, number, state, file_name, bytes, held_out_percent, documentation_json, created_by, created_at) \
         VALUES ('beta', 'x', '{}', 9, 'ready', '', 0, 0, '{{}}', '{}', 0)",
        version.dataset,
        beta.person().id
    );
    assert!(world.execute(across).await.unwrap_err().to_string().to_lowercase().contains("foreign key"));
}
