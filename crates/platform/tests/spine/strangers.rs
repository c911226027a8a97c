//! Somebody else's tenant is not found, and nothing in it can be reached through one's own.

use crate::support::{World, kind, pieces, rows, strangers::meets_nothing};
use domain::{
    dataset::Documentation,
    filter::AuditFilter,
    ids::{DatasetVersionId, KeyId},
    inspect::RowFilter,
    key::{Limits, NewKey},
    page::Cursor,
    people::{PlatformRole, Role},
    problem::ProblemKind::NotFound,
    usage::UsageBy,
};
use platform::datasets::NewUpload;

crate::on_both_databases!(a_stranger_finds_no_tenant, every_thing_of_another_tenant_is_not_found);

async fn a_stranger_finds_no_tenant(world: World) {
    world.tenant("acme").await;
    let ours = world.caller("ann", &[("acme", Role::Viewer)], None).await;
    assert!(ours.scope(&world.platform, "acme").await.is_ok(), "a member finds it");
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

    // By each call its owner comes to the thing; the stranger meets what anybody meets who asks for nothing.
    let p = &world.platform;
    let (no_version, no_key) = (DatasetVersionId::from_uuid(uuid::Uuid::nil()), KeyId::from_uuid(uuid::Uuid::nil()));
    // In a box each: all of them beside each other on one stack are more than a thread of a debug build has.
    macro_rules! strange {
        ($what:literal, ($there:expr, $absent:expr), |$by:ident, $thing:ident| $call:expr) => {{
            let one = async {
                let ($by, $thing) = (&acme, $there);
                let reached = $call.await;
                let ($by, $thing) = (&beta, $there);
                let met = $call.await;
                let $thing = $absent;
                let nothing = $call.await;
                meets_nothing($what, reached, met, nothing, (&$there.to_string(), &$absent.to_string()));
            };
            Box::pin(one).await;
        }};
    }
    strange!("datasets.get", ("facts", "nothing"), |by, name| p.datasets(by).get(name));
    strange!("datasets.version", ("facts", "nothing"), |by, name| p.datasets(by).version(name, Some(1)));
    strange!("datasets.by_version_id", (version.id, no_version), |by, id| p.datasets(by).by_version_id(id));
    strange!("datasets.document", ("facts", "nothing"), |by, name| p.datasets(by).document(name, 1, Documentation::default()));
    strange!("datasets.rows", ("facts", "nothing"), |by, name| p.datasets(by).rows(name, 1, RowFilter::default()));
    let second = p.keys(&acme).create(new_key()).await.unwrap().key;
    strange!("keys.revoke", (second.id, no_key), |by, id| p.keys(by).revoke(id));
    assert!(p.datasets(&beta).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
    assert_eq!(kind(p.keys(&beta).revoke(key.id).await), NotFound);
    assert!(world.platform.keys(&beta).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
    assert!(world.platform.members(&beta).list("", &Cursor::default()).await.unwrap().rows.iter().all(|m| m.person_name == "bob"));
    let home = world.platform.overview(&beta).await.unwrap();
    assert_eq!((home.holding.storage_bytes, home.holding.members, home.counts.datasets, home.counts.keys), (0, 1, 0, 0));
    assert!(world.platform.usage(&beta).table(UsageBy::Key, 7, &Cursor::default()).await.unwrap().rows.is_empty());
    assert!(world.platform.usage(&beta).calls(&Cursor::default()).await.unwrap().rows.is_empty());
    let log = world.platform.audit(&beta).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    assert!(!log.is_empty() && log.iter().all(|r| r.entry.tenant.as_ref() == Some(beta.tenant_name())), "{log:?}");
    assert!(world.platform.events_after(&beta, 0, 100).await.unwrap().iter().all(|e| &e.tenant == beta.tenant_name()));

    // The same name is another thing, and what was there is untouched.
    let new = NewUpload { name: "facts".into(), file_name: "x".into(), ..NewUpload::default() };
    let own = world.platform.datasets(&beta).upload(new, pieces(&rows(3))).await.unwrap();
    assert_eq!((own.number, own.dataset == version.dataset), (1, false));
    assert_eq!(world.platform.datasets(&acme).by_version_id(version.id).await.unwrap(), version);
    let keys = world.platform.keys(&acme).list(&Default::default(), &Cursor::default()).await.unwrap().rows;
    assert!(keys.iter().any(|k| k.id == key.id && k.revoked_at.is_none()), "{keys:?}");

    // Nor does the database itself store a row that points across.
    let across = format!(
        "INSERT INTO dataset_versions (tenant, id, dataset, number, state, file_name, bytes, held_out_percent, documentation_json, created_by, created_at) \
         VALUES ('beta', 'x', '{}', 9, 'ready', '', 0, 0, '{{}}', '{}', 0)",
        version.dataset,
        beta.person().id
    );
    assert!(world.execute(across).await.unwrap_err().to_string().to_lowercase().contains("foreign key"));
}
