//! Steps that are tried again, and the time that they may take.

use crate::house::{House, plan, until};
use domain::{
    artefacts,
    compute::Compute,
    endpoint::EndpointState,
    filter::{AuditFilter, EvaluatedFilter},
    model::WeightsKind,
    page::Cursor,
    problem::ProblemKind,
    reason::failure::Cause,
    run::{NewRun, Run, RunState, Step, StepKind, StepState},
    tenant::Quota,
};
use platform::{
    access::{PlatformScope, Scope},
    endpoints::Deploy,
    runs::Runs,
};
use std::{
    fs,
    time::{Duration, SystemTime},
};

crate::on_each_database!(
    a_failed_step_is_tried_again_and_what_earlier_steps_made_is_kept,
    a_training_that_is_tried_again_begins_anew_in_a_folder_of_its_own,
    a_training_with_a_checkpoint_goes_on_from_it_and_what_is_no_longer_needed_is_removed,
    a_stopped_run_goes_on_from_the_step_at_which_it_was_stopped,
    a_step_that_takes_longer_than_it_may_is_stopped_and_says_so,
    a_step_that_takes_more_memory_than_its_plan_allows_is_ended_and_says_so,
    a_run_that_merges_leaves_full_weights_that_are_evaluated_and_served_as_such,
    a_step_beyond_the_tenants_quota_waits_and_names_the_run_that_has_it,
);

fn ended(run: &Run) -> bool {
    run.state.is_final()
}

fn states(run: &Run) -> Vec<&'static str> {
    run.steps.iter().map(|s| s.state.word()).collect()
}

fn folders(run: &Run) -> Vec<String> {
    run.steps.iter().map(Step::folder).collect()
}

async fn retries(house: &House, scope: &Scope) -> Vec<String> {
    let records = house.platform.audit(scope).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    records.into_iter().filter(|r| r.entry.action == "run.retry").map(|r| r.entry.detail.said()).collect()
}

async fn a_failed_step_is_tried_again_and_what_earlier_steps_made_is_kept(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs: Runs<'_> = house.platform.runs(&scope);
    let _controller = house.controller("a");
    fs::write(house.control_file("no-evaluation"), "").unwrap();
    let run = house.launch(&scope, "facts-1", 42).await;
    assert_eq!(runs.try_again(run.id, "evaluate").await.unwrap_err().kind, ProblemKind::Conflict, "it has not ended");
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["done", "done", "failed", "skipped"]));
    assert_eq!(run.to_try_again().unwrap().id.as_str(), "evaluate");
    for wrong in ["train", "nothing", "../x"] {
        let refused = runs.try_again(run.id, wrong).await.unwrap_err();
        assert!(matches!(refused.kind, ProblemKind::Conflict | ProblemKind::NotFound), "{wrong}: {refused}");
    }

    fs::remove_file(house.control_file("no-evaluation")).unwrap();
    let again = runs.try_again(run.id, "evaluate").await.unwrap();
    assert_eq!((again.state, states(&again)), (RunState::Queued, vec!["done", "done", "pending", "pending"]));
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(folders(&run), ["train", "train", "evaluate-2", "publish"]);
    assert!(run.scores.is_some() && run.failure.is_none() && run.started_at < run.ended_at);
    assert_eq!(runs.evaluated(run.id, EvaluatedFilter::All, &Cursor::default()).await.unwrap().rows.len(), 2);
    let starts = house.starts(&run.id.to_string());
    let of = |what: &str| starts.iter().filter(|l| l.starts_with(what)).count();
    assert_eq!((of("training"), of("evaluation")), (1, 2), "{starts:?}");
    assert!(starts.iter().all(|l| l.ends_with(" train")), "both evaluations take the same weights: {starts:?}");
    assert_eq!(retries(&house, &scope).await, ["step evaluate, try 2"]);
    let refused = runs.try_again(run.id, "evaluate").await.unwrap_err();
    assert_eq!((refused.kind, refused.sentence.as_str()), (ProblemKind::Conflict, "The run has succeeded; there is nothing to try again."));
}

async fn a_training_that_is_tried_again_begins_anew_in_a_folder_of_its_own(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs = house.platform.runs(&scope);
    let controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 13).await;
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["done", "failed", "skipped", "skipped"]));
    assert_eq!(runs.metrics(run.id, 600).await.unwrap().len(), 2);
    let lines = runs.log(run.id, 0, 5000).await.unwrap().len();
    drop(controller);
    let again = runs.try_again(run.id, "train").await.unwrap();
    assert_eq!((states(&again), again.progress), (vec!["pending"; 4], None));
    assert!(runs.metrics(run.id, 600).await.unwrap().is_empty(), "the curves begin anew");

    fs::write(house.control_file("mended"), "").unwrap();
    let _controller = house.controller("b");
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "the verdict of the first try decided: {:?}", run.failure);
    assert_eq!(folders(&run), ["train-2", "train-2", "evaluate", "publish"]);
    assert_eq!(runs.metrics(run.id, 600).await.unwrap().len(), 4);
    let log = runs.log(run.id, 0, 5000).await.unwrap();
    assert!(log.len() > lines, "the log of the first try is kept");
    assert_eq!(log.iter().map(|l| l.number).collect::<Vec<_>>(), (1..=log.len() as u64).collect::<Vec<_>>());
    let evaluation = house.starts("evaluation");
    assert!(evaluation.len() == 1 && evaluation[0].ends_with(" train-2"), "{evaluation:?}");
}

async fn a_training_with_a_checkpoint_goes_on_from_it_and_what_is_no_longer_needed_is_removed(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs = house.platform.runs(&scope);
    let controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 17).await;
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["done", "failed", "skipped", "skipped"]));
    assert_eq!(run.progress.map(|p| (p.step, p.checkpoint)), Some((3, Some(2))));
    drop(controller);
    let checkpoint = house.folder.path().join("store").join(artefacts::run_checkpoint(&run.tenant, run.id, "train", 2));
    let manifest = checkpoint.with_file_name("2.json");
    let days_ago = |days: u64| {
        let at = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        for file in [&checkpoint.join("optimizer.pt"), &manifest] {
            fs::File::options().write(true).open(file).unwrap().set_modified(at).unwrap();
        }
    };
    days_ago(13);
    house.platform.sweep_store().await.unwrap();
    assert!(manifest.exists(), "another try needs it");

    let again = runs.try_again(run.id, "train").await.unwrap();
    assert_eq!(again.progress.map(|p| (p.step, p.total_steps, p.remaining_ms)), Some((2, 4, None)));
    assert!(runs.metrics(run.id, 600).await.unwrap().is_empty(), "what the checkpoint knows, the next try tells");
    days_ago(15);
    house.platform.sweep_store().await.unwrap();
    assert!(manifest.exists(), "the try that needs it has not ended");
    let _controller = house.controller("b");
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let trained = run.steps[1].reason.said();
    assert!(trained.starts_with("4 steps, resumed at step 2"), "{trained}");
    assert_eq!(runs.metrics(run.id, 600).await.unwrap().iter().map(|p| p.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
    house.platform.sweep_store().await.unwrap();
    assert!(!manifest.exists() && !checkpoint.join("optimizer.pt").exists());
    let weights = manifest.parent().unwrap().parent().unwrap().with_file_name("train-2").join("output/adapter_model.safetensors");
    assert!(weights.exists(), "{}", weights.display());
}

async fn a_stopped_run_goes_on_from_the_step_at_which_it_was_stopped(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs = house.platform.runs(&scope);
    let _controller = house.controller("a");
    fs::write(house.control_file("hold"), "").unwrap();
    let run = house.launch(&scope, "facts-1", 42).await;
    let evaluates = |r: &Run| r.doing().is_some_and(|s| s.kind == StepKind::Evaluate && s.state == StepState::Running);
    house.run_until(&scope, &run, evaluates).await;
    runs.cancel(run.id).await.unwrap();
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!((run.state, states(&run)), (RunState::Cancelled, vec!["done", "done", "stopped", "skipped"]));
    fs::remove_file(house.control_file("hold")).unwrap();
    runs.try_again(run.id, "evaluate").await.unwrap();
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(house.starts("training").len(), 1);
}

async fn a_step_that_takes_longer_than_it_may_is_stopped_and_says_so(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 200).await;
    // Plans allow days; nobody waits for that here.
    house.sql(format!("UPDATE run_steps SET deadline_ms = 1500 WHERE run = '{}' AND id = 'train'", run.id)).await;
    let _controller = house.controller("a");
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["done", "failed", "skipped", "skipped"]));
    let said = run.failure.clone().unwrap();
    assert_eq!(said.cause.code(), "deadline_exceeded");
    assert!(said.said().sentence.contains("longer than the 1.5 s"), "{:?}", said.said());
    assert_eq!(house.platform.runs(&scope).log(run.id, 0, 5000).await.unwrap().last().unwrap().text, said.said().sentence);
}

async fn a_step_that_takes_more_memory_than_its_plan_allows_is_ended_and_says_so(house: House) {
    if let Err(why) = house.holds_memory() {
        return testing::skip(&format!("memory limits: {why}"));
    }
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 16).await;
    let resources = r#"{"gpus":0,"cpu_millis":0,"memory_bytes":134217728}"#;
    house.sql(format!("UPDATE run_steps SET resources_json = '{resources}' WHERE run = '{}' AND id = 'train'", run.id)).await;
    let _controller = house.controller("a");
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["done", "failed", "skipped", "skipped"]));
    let failure = run.failure.clone().unwrap();
    assert_eq!(failure.cause, Cause::MemoryLimit, "{:?}", failure.said());
    // Without a limit the same goes on to its end.
    house
        .sql(format!("UPDATE run_steps SET resources_json = '{{\"gpus\":0,\"cpu_millis\":0,\"memory_bytes\":0}}' WHERE run = '{}'", run.id))
        .await;
    house.platform.runs(&scope).try_again(run.id, "train").await.unwrap();
    let run = house.platform.runs(&scope).get(run.id).await.unwrap();
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
}

async fn a_run_that_merges_leaves_full_weights_that_are_evaluated_and_served_as_such(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let run = house.platform.runs(&scope).launch(NewRun { result: WeightsKind::Merged, ..plan("facts-1", 42) }).await.unwrap();
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(run.steps.iter().map(|s| s.kind.word()).collect::<Vec<_>>(), ["prepare", "train", "merge", "evaluate", "publish"]);
    let starts = house.starts(&run.id.to_string());
    let order: Vec<_> = starts.iter().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(order, ["training", "merging", "evaluation"]);
    assert!(starts[1].ends_with(" train") && starts[2].ends_with(" merge"), "{starts:?}");

    let version = house.platform.models(&scope).version("assistant", None).await.unwrap();
    assert_eq!((version.kind, version.files[0].path.as_str()), (WeightsKind::Merged, "model.safetensors"));
    assert!(version.card.get("method").unwrap().value.ends_with("merged into the weights of the base model"));
    assert_eq!(house.platform.runs(&scope).draft(run.id).await.unwrap().0.result, WeightsKind::Merged, "a clone merges too");
    let deploy = Deploy { model: "assistant".into(), number: 1, endpoint: None };
    let endpoint = house.platform.endpoints(&scope).deploy(deploy).await.unwrap();
    assert_eq!(endpoint.merged_version, Some(version.id), "it is served by a server of its own");
    until(|| async {
        let now = house.platform.endpoints(&scope).get(endpoint.name.as_str()).await.unwrap();
        if now.state == EndpointState::Ready { Ok(()) } else { Err(format!("{:?}", now.state)) }
    })
    .await;
}

async fn a_step_beyond_the_tenants_quota_waits_and_names_the_run_that_has_it(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let admin = PlatformScope::command_line();
    let tenants = house.platform.tenants(&admin);
    let quota = |cpu| Quota { concurrent_runs: 3, compute: Compute { cpu, ..Compute::default() }, ..Quota::default() };
    tenants.set_quota("lumenta", quota(Some(1))).await.unwrap();
    let first = house.launch(&scope, "facts-1", 200).await;
    let _controller = house.controller("a");
    house.run_until(&scope, &first, |r| r.doing().is_some_and(|s| s.kind == StepKind::Train && s.state == StepState::Running)).await;
    let second = house.launch(&scope, "facts-2", 42).await;
    let said = "Waits for 1 CPU core: the tenant has 1 CPU core in use, and a quota of 1 CPU core (run facts-1). \
                It starts when something of that ends, or the platform admin allows more.";
    house.run_until(&scope, &second, |r| r.steps.iter().any(|s| s.reason.said() == said)).await;
    assert_eq!(house.starts(&second.id.to_string()), Vec::<String>::new());

    // Nothing allowed at all: it can never start, and says so.
    tenants.set_quota("lumenta", quota(Some(0))).await.unwrap();
    house.run_until(&scope, &second, |r| r.steps.iter().any(|s| s.reason.said().starts_with("Cannot start: it needs 1 CPU core"))).await;
    // The admin allows more, or what has it ends.
    tenants.set_quota("lumenta", quota(Some(2))).await.unwrap();
    assert_eq!(house.run_until(&scope, &second, ended).await.state, RunState::Succeeded);
    tenants.set_quota("lumenta", quota(Some(1))).await.unwrap();
    let third = house.launch(&scope, "facts-3", 42).await;
    house.run_until(&scope, &third, |r| r.steps.iter().any(|s| s.reason.said() == said)).await;
    house.platform.runs(&scope).cancel(first.id).await.unwrap();
    assert_eq!(house.run_until(&scope, &third, ended).await.state, RunState::Succeeded);
}
