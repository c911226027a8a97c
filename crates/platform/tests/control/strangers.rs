//! People of another tenant, and people without the right, against every use case of runs, models, endpoints, chats and lineage.

use crate::house::{House, plan, strangers::meets_nothing};
use domain::{
    chat::Chat,
    endpoint::EndpointState,
    filter::{EvaluatedFilter, RunFilter},
    ids::{ChatId, DatasetVersionId, EndpointId, ModelVersionId, RunId},
    model::Stage,
    page::Cursor,
    people::{PlatformRole, Role},
    problem::{Problem, ProblemKind},
    run::{Run, RunState},
};
use platform::{
    access::Scope,
    base_models::NewBaseModel,
    endpoints::{Deploy, NewEndpoint},
    lineage::At,
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
    let waiting = house.launch(&scope, "facts-2", 43).await;
    let controller = house.controller("b");
    let version = p.models(&scope).version("assistant", None).await.unwrap();
    let endpoint = p
        .endpoints(&scope)
        .create(NewEndpoint { name: "helpdesk".into(), base_model: "world".into(), resources: Default::default() })
        .await
        .unwrap();
    let chat = Chat {
        id: p.new_chat_id(),
        title: String::new(),
        models: vec!["assistant".into()],
        system: String::new(),
        exchanges: Vec::new(),
        updated_at: crate::house::now(),
    };
    p.chats(&scope).save(chat.clone()).await.unwrap();

    // By each call its owner comes to the thing; another tenant's owner meets what anybody meets who asks for nothing.
    let other = house.stranger().await;
    let nil = uuid::Uuid::nil();
    let (no_run, no_version) = (RunId::from_uuid(nil), ModelVersionId::from_uuid(nil));
    let (no_endpoint, no_data, no_chat) = (EndpointId::from_uuid(nil), DatasetVersionId::from_uuid(nil), ChatId::from_uuid(nil));
    // The same call by its owner, by the stranger, and by the stranger for what does not exist.
    // In a box each, for the same reason as the parts below.
    macro_rules! strange {
        ($what:literal, ($there:expr, $absent:expr), |$by:ident, $thing:ident| $call:expr) => {{
            let one = async {
                let ($by, $thing) = (&scope, $there);
                let reached = $call.await;
                let ($by, $thing) = (&other, $there);
                let met = $call.await;
                let $thing = $absent;
                let nothing = $call.await;
                meets_nothing($what, reached, met, nothing, (&$there.to_string(), &$absent.to_string()));
            };
            Box::pin(one).await;
        }};
    }
    strange!("runs.get", (run.id, no_run), |by, id| p.runs(by).get(id));
    strange!("runs.cancel", (waiting.id, no_run), |by, id| p.runs(by).cancel(id));
    strange!("runs.try_again", (waiting.id, no_run), |by, id| p.runs(by).try_again(id, "prepare"));
    strange!("runs.draft", (run.id, no_run), |by, id| p.runs(by).draft(id));
    strange!("runs.metrics", (run.id, no_run), |by, id| p.runs(by).metrics(id, 600));
    strange!("runs.log_tail", (run.id, no_run), |by, id| p.runs(by).log_tail(id, false, "", 10));
    strange!("runs.log", (run.id, no_run), |by, id| p.runs(by).log(id, 0, 10));
    strange!("runs.evaluated", (run.id, no_run), |by, id| p.runs(by).evaluated(id, EvaluatedFilter::All, &Cursor::default()));
    strange!("models.get", ("assistant", "nothing"), |by, name| p.models(by).get(name));
    strange!("models.version", ("assistant", "nothing"), |by, name| p.models(by).version(name, Some(1)));
    strange!("models.by_version_id", (version.id, no_version), |by, id| p.models(by).by_version_id(id));
    strange!("models.set_stage", ("assistant", "nothing"), |by, name| p.models(by).set_stage(name, 1, Stage::Approved));
    let revision = version.card.revision;
    let edit = || vec![("summary".into(), "x".into())];
    strange!("models.edit_card", ("assistant", "nothing"), |by, name| p.models(by).edit_card(name, 1, revision, edit()));
    strange!("models.markdown", ("assistant", "nothing"), |by, name| p.models(by).markdown(name, None));
    strange!("endpoints.get", ("helpdesk", "nothing"), |by, name| p.endpoints(by).get(name));
    strange!("endpoints.log", ("helpdesk", "nothing"), |by, name| p.endpoints(by).log(name, 0, 10));
    let deploy = |model: &str| Deploy { model: model.into(), number: 1, endpoint: Some("helpdesk".into()) };
    strange!("endpoints.deploy", ("assistant", "nothing"), |by, name| p.endpoints(by).deploy(deploy(name)));
    strange!("endpoints.detach", ("helpdesk", "nothing"), |by, name| p.endpoints(by).detach(name, version.id));
    strange!("endpoints.set_settings", ("helpdesk", "nothing"), |by, name| p.endpoints(by).set_settings(name, Default::default()));
    strange!("endpoints.stop", ("helpdesk", "nothing"), |by, name| p.endpoints(by).stop(name));
    crate::house::until(|| async {
        let state = p.endpoints(&scope).get("helpdesk").await.unwrap().state;
        if state == EndpointState::Stopped { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    strange!("endpoints.start", ("helpdesk", "nothing"), |by, name| p.endpoints(by).start(name));
    strange!("chats.get", (chat.id, no_chat), |by, id| p.chats(by).get(id));
    strange!("chain of a dataset", (data.id, no_data), |by, id| p.lineage_strip(by, At::DatasetVersion(id)));
    strange!("chain of a run", (run.id, no_run), |by, id| p.lineage_strip(by, At::Run(id)));
    strange!("chain of a version", (version.id, no_version), |by, id| p.lineage_strip(by, At::ModelVersion(id)));
    strange!("chain of an endpoint", (endpoint.id, no_endpoint), |by, id| p.lineage_strip(by, At::Endpoint(id)));
    drop(controller);
    // Parts of their own: all on one stack are more than a thread of a debug build has.
    Box::pin(their_own_lists_and_chats(&house, &scope, &other, &chat)).await;
    Box::pin(a_viewer_sees_and_may_not(&house, &scope, &run, version.id, &chat)).await;
    Box::pin(base_models_are_registered_by_the_admin_alone(&house)).await;
}

async fn their_own_lists_and_chats(house: &House, scope: &Scope, other: &Scope, chat: &Chat) {
    let p = &house.platform;
    assert_eq!(p.runs(other).list(&RunFilter::default(), &Cursor::default()).await.unwrap().rows.len(), 0);
    assert_eq!(p.models(other).list(&Default::default(), &Cursor::default()).await.unwrap().rows.len(), 0);
    assert_eq!(p.endpoints(other).list(&Cursor::default()).await.unwrap().rows.len(), 0);
    let launched = Box::pin(async { p.runs(other).launch(plan("facts-1", 42)).await.unwrap_err() }).await;
    assert!(launched.sentence.contains("no dataset") || launched.fields.iter().any(|f| f.field == "dataset"), "{launched:?}");
    // A chat of the same id in another tenant is another chat: theirs to write and to delete, and nothing of ours.
    let copy = Chat { title: "theirs".into(), models: vec!["another".into()], ..chat.clone() };
    p.chats(other).save(copy).await.unwrap();
    assert_eq!(p.chats(scope).get(chat.id).await.unwrap().models, chat.models, "the owner's chat was changed from another tenant");
    p.chats(other).delete(chat.id).await.unwrap();
    assert_eq!(kind(p.chats(other).delete(chat.id).await), Some(ProblemKind::NotFound));
    assert_eq!(p.chats(scope).get(chat.id).await.unwrap().models, chat.models, "the owner's chat was deleted from another tenant");
}

async fn a_viewer_sees_and_may_not(house: &House, scope: &Scope, run: &Run, version: ModelVersionId, chat: &Chat) {
    let p = &house.platform;
    // A viewer of the tenant sees, and may not do; a colleague does not see one's chats.
    let viewer = house.caller("vera", &[("lumenta", Role::Viewer)], None).await.scope(p, "lumenta").await.unwrap();
    assert!(p.runs(&viewer).get(run.id).await.is_ok() && p.models(&viewer).markdown("assistant", None).await.is_ok());
    let refused = [
        ("runs.launch", Box::pin(async { kind(p.runs(&viewer).launch(plan("facts-9", 1)).await) }).await),
        ("runs.cancel", Box::pin(async { kind(p.runs(&viewer).cancel(run.id).await) }).await),
        ("runs.try_again", Box::pin(async { kind(p.runs(&viewer).try_again(run.id, "train").await) }).await),
        ("models.set_stage", Box::pin(async { kind(p.models(&viewer).set_stage("assistant", 1, Stage::Approved).await) }).await),
        ("models.edit_card", Box::pin(async { kind(p.models(&viewer).edit_card("assistant", 1, 1, Vec::new()).await) }).await),
        (
            "endpoints.create",
            Box::pin(async {
                kind(
                    p.endpoints(&viewer)
                        .create(NewEndpoint { name: "x".into(), base_model: "world".into(), resources: Default::default() })
                        .await,
                )
            })
            .await,
        ),
        (
            "endpoints.deploy",
            Box::pin(async { kind(p.endpoints(&viewer).deploy(Deploy { model: "assistant".into(), number: 1, endpoint: None }).await) })
                .await,
        ),
        ("endpoints.set_settings", Box::pin(async { kind(p.endpoints(&viewer).set_settings("helpdesk", Default::default()).await) }).await),
        ("endpoints.detach", Box::pin(async { kind(p.endpoints(&viewer).detach("helpdesk", version).await) }).await),
        ("endpoints.stop", Box::pin(async { kind(p.endpoints(&viewer).stop("helpdesk").await) }).await),
        ("endpoints.start", Box::pin(async { kind(p.endpoints(&viewer).start("helpdesk").await) }).await),
    ];
    for (what, kind) in refused {
        assert_eq!(kind, Some(ProblemKind::Forbidden), "{what}");
    }
    assert_eq!(kind(p.chats(&viewer).get(chat.id).await), Some(ProblemKind::NotFound));
    assert_eq!(kind(p.chats(&viewer).save(chat.clone()).await), Some(ProblemKind::NotFound));
    assert_eq!(kind(p.chats(&viewer).delete(chat.id).await), Some(ProblemKind::NotFound));
    assert_eq!(kind(p.lineage_strip(scope, At::Endpoint(EndpointId::from_uuid(uuid::Uuid::nil()))).await), Some(ProblemKind::NotFound));
}

async fn base_models_are_registered_by_the_admin_alone(house: &House) {
    let p = &house.platform;
    // Read by members and the platform's people.
    let auditor = house.caller("ada", &[], Some(PlatformRole::Auditor)).await;
    let nobody = house.caller("nils", &[], None).await;
    assert_eq!(p.base_models().list(&auditor, &Default::default(), &Cursor::default()).await.unwrap().rows.len(), 1);
    assert_eq!(kind(p.base_models().list(&nobody, &Default::default(), &Cursor::default()).await), Some(ProblemKind::NotFound));
    let new = NewBaseModel { folder: house.model_folder(), name: "second".into(), licence: String::new(), template: None };
    assert_eq!(kind(p.base_models().register(&auditor.platform_scope().unwrap(), new).await), Some(ProblemKind::Forbidden));
}
