//! The directory as it comes out of real rows.

use crate::support::{World, rows};
use domain::{
    directory::{BadPass, Pass},
    people::Role,
    serving::{ParserChoice, ServingSettings},
    time::{MINUTE, Timestamp},
};

crate::on_both_databases!(
    routes_come_from_endpoints_and_attachments,
    a_pass_is_good_for_members_for_ten_minutes,
    every_change_moves_the_revision
);

async fn routes_come_from_endpoints_and_attachments(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let version = world.dataset(&scope, "facts", &rows(3)).await;
    let data = version.id;
    let ann = scope.person().id;
    let id = |kind: &str, n: u32| format!("{kind}_{n:032x}");
    for sql in [
        format!(
            "INSERT INTO base_models (id, name, state, architecture, parameters, context, template, licence, digest, files_json, created_at) \
             VALUES ('{}', 'tiny', 'ready', 'Llama', 1, 512, 'chatml', 'MIT', '', '[]', 0)",
            id("base", 1)
        ),
        format!(
            "INSERT INTO runs (tenant, id, name, state, reason, base_model, dataset_version, model_name, settings_json, submission, owner, created_at) \
             VALUES ('acme', '{}', 'run', 'succeeded', '', '{}', '{data}', 'facts', '{{}}', 's', '{ann}', 0)",
            id("run", 1),
            id("base", 1)
        ),
        format!("INSERT INTO models (tenant, id, name, created_at) VALUES ('acme', '{}', 'facts', 0)", id("mdl", 1)),
        format!(
            "INSERT INTO model_versions (tenant, id, model, number, stage, kind, digest, files_json, run, card_json, card_revision, author, created_at, bytes) \
             VALUES ('acme', '{}', '{}', 3, 'candidate', 'adapter', '', '[{{\"path\":\"a\",\"bytes\":1000,\"digest\":\"\"}}]', '{}', '{{}}', 0, '{ann}', 0, 1000)",
            id("mv", 1),
            id("mdl", 1),
            id("run", 1)
        ),
        format!(
            "INSERT INTO endpoints (tenant, id, name, state, reason, base_model, revision, address, launch, max_lora_rank, restarts, created_by, created_at) \
             VALUES ('acme', '{}', 'main', 'ready', '{{\"code\":\"told\",\"text\":\"\"}}', '{}', 1, 'http://127.0.0.1:1', 1, 0, 0, '{ann}', 5)",
            id("ep", 1),
            id("base", 1)
        ),
        format!(
            "INSERT INTO attachments (tenant, endpoint, version, state, attached_at) VALUES ('acme', '{}', '{}', 'ready', 9)",
            id("ep", 1),
            id("mv", 1)
        ),
    ] {
        world.execute(sql).await.unwrap();
    }
    let directory = world.platform.directory().await.unwrap();
    let tenant = &directory.tenants[scope.tenant_name()];
    assert!(tenant.active && tenant.members.contains(&ann));
    assert_eq!(
        (&tenant.routes["tiny"].upstreams[..], tenant.routes["tiny"].created),
        (&["http://127.0.0.1:1".to_owned()][..], Timestamp(5))
    );
    let facts = &tenant.routes["facts"];
    assert_eq!((facts.upstream_model.clone(), facts.endpoint_name.as_str(), facts.created), (id("mv", 1), "main", Timestamp(9)));
    assert_eq!(&tenant.routes["facts@v3"], facts);
    assert_eq!((facts.context, &facts.settings), (512, &ServingSettings::default()), "nobody set anything");

    let settings = ServingSettings {
        answer_seconds: 30,
        tool_call_parser: ParserChoice::Named("hermes".into()),
        media_hosts: vec!["images.example.org".into()],
        allowed_fields: vec!["chat_template_kwargs".into()],
        ..ServingSettings::default()
    };
    let endpoints = world.platform.endpoints(&scope);
    assert_eq!(endpoints.set_settings("main", settings.clone()).await.unwrap().settings, settings);
    let now = world.platform.directory().await.unwrap();
    assert!(now.revision > directory.revision, "or no gateway would look");
    let routes = &now.tenants[scope.tenant_name()].routes;
    assert!(["tiny", "facts", "facts@v3"].into_iter().all(|id| routes[id].settings == settings), "{routes:?}");
    let wrong = endpoints.set_settings("main", ServingSettings { answer_seconds: 0, ..settings }).await.unwrap_err();
    assert_eq!(wrong.fields[0].field, "answer_seconds");
    // Files of models count as storage.
    let holding = world.platform.overview(&scope).await.unwrap().holding;
    assert_eq!((holding.storage_bytes, holding.endpoints), (version.bytes + version.judged_bytes + 1000, 1));
}

async fn a_pass_is_good_for_members_for_ten_minutes(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("vera", "acme", Role::Viewer).await;
    let text = world.platform.mint_pass(&scope).unwrap();
    let secret = world.platform.directory().await.unwrap().pass_secret;
    let now = world.platform.now();
    let pass = Pass::verify(&text, &secret, now).unwrap();
    assert_eq!((&pass.tenant, pass.person), (scope.tenant_name(), scope.person().id));
    assert_eq!(Pass::verify(&text, &secret, now.plus(10 * MINUTE)), Err(BadPass::Expired));
    // Every replica signs with the same secret.
    assert_eq!(world.replica(crate::support::now).await.directory().await.unwrap().pass_secret, secret);
}

async fn every_change_moves_the_revision(world: World) {
    world.tenant("acme").await;
    let mut last = 0;
    let mut moved = async |world: &World| {
        let revision = world.platform.directory().await.unwrap().revision;
        let moved = revision > last;
        last = revision;
        moved
    };
    assert!(moved(&world).await);
    world.sign_in("ann", &[("acme", Role::Engineer)], None).await;
    assert!(moved(&world).await, "a new member");
    world.sign_in("ann", &[("acme", Role::Engineer)], None).await;
    assert!(!moved(&world).await, "the same member again");
    world.sign_in("ann", &[], None).await;
    assert!(moved(&world).await, "a leaver");
}
