//! People of another tenant, and people without the right, against every use case of runs, models, endpoints, chats and lineage.

use crate::house::{House, plan};
use domain::{
    chat::Chat,
    ids::EndpointId,
    model::Stage,
    people::{PlatformRole, Role},
    problem::{Problem, ProblemKind},
    run::RunState,
};
use platform::{
    base_models::NewBaseModel,
    chain::At,
    endpoints::{Deploy, NewEndpoint},
    runs::{EvaluatedFilter, RunFilter},
};

crate::on_each_database!(strangers_meet_not_found_and_viewers_a_refusal);

fn kind<T>(result: Result<T, Problem>) -> Option<ProblemKind> {
    result.err().map(|p| p.kind)
}

async fn strangers_meet_not_found_and_viewers_a_refusal(house: House) {
    let scope = house.owner().await;
    let data = house.dataset(&scope, "facts", 20).await;
    let controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 42).await;
    let run = house.run_until(&scope, &run, |r| r.state.is_final()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    drop(controller);
    let p = &house.platform;
    let version = p.models(&scope).version("assistant", None).await.unwrap();
    let endpoint = p.endpoints(&scope).create(NewEndpoint { name: "helpdesk".into(), base_model: "world".into() }).await.unwrap();
    let chat = Chat {
        id: p.new_chat_id(),
        title: String::new(),
        models: vec!["assistant".into()],
        system: String::new(),
        exchanges: Vec::new(),
        updated_at: crate::house::now(),
    };
    p.chats(&scope).save(chat.clone()).await.unwrap();

    // Another tenant's owner meets "not found" everywhere, in the words asked with.
    let other = house.stranger().await;
    let (runs, models, endpoints, chats) = (p.runs(&other), p.models(&other), p.endpoints(&other), p.chats(&other));
    let deploy = Deploy { model: "assistant".into(), number: 1, endpoint: None };
    let met = [
        ("runs.get", kind(runs.get(run.id).await)),
        ("runs.cancel", kind(runs.cancel(run.id).await)),
        ("runs.draft", kind(runs.draft(Some(run.id)).await)),
        ("runs.metrics", kind(runs.metrics(run.id).await)),
        ("runs.log", kind(runs.log(run.id, 0, 10).await)),
        ("runs.evaluated", kind(runs.evaluated(run.id, EvaluatedFilter::All).await)),
        ("models.get", kind(models.get("assistant").await)),
        ("models.version", kind(models.version("assistant", Some(1)).await)),
        ("models.by_version_id", kind(models.by_version_id(version.id).await)),
        ("models.set_stage", kind(models.set_stage("assistant", 1, Stage::Approved).await)),
        ("models.edit_card", kind(models.edit_card("assistant", 1, 1, vec![("summary".into(), "x".into())]).await)),
        ("models.markdown", kind(models.markdown("assistant", None).await)),
        ("endpoints.get", kind(endpoints.get("helpdesk").await)),
        ("endpoints.log", kind(endpoints.log("helpdesk", 0, 10).await)),
        ("endpoints.deploy", kind(endpoints.deploy(deploy).await)),
        ("endpoints.detach", kind(endpoints.detach("helpdesk", version.id).await)),
        ("endpoints.stop", kind(endpoints.stop("helpdesk").await)),
        ("endpoints.set_settings", kind(endpoints.set_settings("helpdesk", Default::default()).await)),
        ("endpoints.start", kind(endpoints.start("helpdesk").await)),
        ("chats.get", kind(chats.get(chat.id).await)),
        (
            "chats.save",
            kind(chats.save(chat.clone()).await.map(|_| ()).and_then(|()| Err(Problem::not_found("its own copy"))).map(|(): ()| ())),
        ),
        ("chats.delete of the owner's", kind(p.chats(&other).delete(p.new_chat_id()).await)),
        ("chain of a dataset", kind(p.chain(&other, At::DatasetVersion(data.id)).await)),
        ("chain of a run", kind(p.chain(&other, At::Run(run.id)).await)),
        ("chain of a version", kind(p.chain(&other, At::ModelVersion(version.id)).await)),
        ("chain of an endpoint", kind(p.chain(&other, At::Endpoint(endpoint.id)).await)),
    ];
    for (what, kind) in met {
        assert_eq!(kind, Some(ProblemKind::NotFound), "{what}");
    }
    assert_eq!(p.runs(&other).list(RunFilter::default()).await.unwrap().len(), 0);
    assert_eq!(p.models(&other).list().await.unwrap().len(), 0);
    assert_eq!(p.endpoints(&other).list().await.unwrap().len(), 0);
    let theirs = p.runs(&other).launch(plan("facts-1", 42)).await.unwrap_err();
    assert!(theirs.sentence.contains("no dataset") || theirs.fields.iter().any(|f| f.field == "dataset"), "{theirs:?}");
    assert_eq!(p.chats(&scope).get(chat.id).await.unwrap().models, chat.models, "the owner's chat was changed from another tenant");

    // A viewer of the tenant sees, and may not do; a colleague does not see one's chats.
    let viewer = house.caller("vera", &[("lumenta", Role::Viewer)], None).await.scope(p, "lumenta").await.unwrap();
    assert!(p.runs(&viewer).get(run.id).await.is_ok() && p.models(&viewer).markdown("assistant", None).await.is_ok());
    let refused = [
        ("runs.launch", kind(p.runs(&viewer).launch(plan("facts-9", 1)).await)),
        ("runs.cancel", kind(p.runs(&viewer).cancel(run.id).await)),
        ("models.set_stage", kind(p.models(&viewer).set_stage("assistant", 1, Stage::Approved).await)),
        ("models.edit_card", kind(p.models(&viewer).edit_card("assistant", 1, 1, Vec::new()).await)),
        ("endpoints.create", kind(p.endpoints(&viewer).create(NewEndpoint { name: "x".into(), base_model: "world".into() }).await)),
        ("endpoints.deploy", kind(p.endpoints(&viewer).deploy(Deploy { model: "assistant".into(), number: 1, endpoint: None }).await)),
        ("endpoints.set_settings", kind(p.endpoints(&viewer).set_settings("helpdesk", Default::default()).await)),
        ("endpoints.detach", kind(p.endpoints(&viewer).detach("helpdesk", version.id).await)),
        ("endpoints.stop", kind(p.endpoints(&viewer).stop("helpdesk").await)),
        ("endpoints.start", kind(p.endpoints(&viewer).start("helpdesk").await)),
    ];
    for (what, kind) in refused {
        assert_eq!(kind, Some(ProblemKind::Forbidden), "{what}");
    }
    assert_eq!(kind(p.chats(&viewer).get(chat.id).await), Some(ProblemKind::NotFound));
    assert_eq!(kind(p.chats(&viewer).save(chat.clone()).await), Some(ProblemKind::NotFound));
    assert_eq!(kind(p.chats(&viewer).delete(chat.id).await), Some(ProblemKind::NotFound));
    assert_eq!(kind(p.chain(&scope, At::Endpoint(EndpointId::from_uuid(uuid::Uuid::nil()))).await), Some(ProblemKind::NotFound));

    // Base models: read by members and the platform's people, registered by the admin alone.
    let auditor = house.caller("ada", &[], Some(PlatformRole::Auditor)).await;
    let nobody = house.caller("nils", &[], None).await;
    assert_eq!(p.base_models().list(&auditor).await.unwrap().len(), 1);
    assert_eq!(kind(p.base_models().list(&nobody).await), Some(ProblemKind::NotFound));
    let new = NewBaseModel { folder: house.model_folder(), name: "second".into(), licence: String::new(), template: None };
    assert_eq!(kind(p.base_models().register(&auditor.platform_scope().unwrap(), new).await), Some(ProblemKind::Forbidden));
}
