//! Runs under their controller, with real processes: to success, to each failure, cancelled, queued, and with controllers killed.

use crate::house::{House, controller, plan, until};
use domain::{
    event::Topic,
    filter::{AuditFilter, EvaluatedFilter, RunFilter},
    inspect::RowFilter,
    page::Cursor,
    policy::Action,
    problem::ProblemKind,
    run::{Run, RunState, StepKind, StepState},
    tenant::Quota,
};
use platform::access::{PlatformScope, Scope};

crate::on_each_database!(
    a_run_goes_the_whole_way_and_leaves_a_version_with_its_evidence,
    a_failure_says_its_cause_and_the_rest_of_the_plan_is_skipped,
    a_process_that_dies_without_a_word_is_still_explained,
    a_stored_verdict_decides_when_the_spoken_one_is_lost,
    weights_that_are_not_what_the_training_stored_are_not_published,
    without_held_out_rows_the_evaluation_is_skipped_with_a_reason,
    a_controller_killed_in_the_middle_loses_and_doubles_nothing,
    handing_over_again_and_again_changes_nothing,
    a_run_can_be_cancelled_in_every_state_that_allows_it,
    a_stop_that_fails_once_is_tried_again,
    the_second_run_waits_for_the_first_and_says_so,
    data_that_a_run_uses_is_erased_only_when_it_has_ended_and_never_deleted,
    nothing_is_launched_when_the_storage_is_used_up,
    the_same_form_twice_is_one_run_and_every_problem_is_named_at_once,
);

fn step(run: &Run, kind: StepKind) -> (StepState, String) {
    let step = run.steps.iter().find(|s| s.kind == kind).unwrap();
    (step.state, step.reason.said())
}

/// The folders of the trainings of a run that were started.
fn trainings(house: &House, run: &Run) -> Vec<String> {
    house.starts(&format!("training of {}", run.id)).iter().filter_map(|l| l.rsplit(' ').next().map(str::to_owned)).collect()
}

/// What a running run does.
fn does(run: &Run, kind: StepKind) -> bool {
    run.doing().is_some_and(|s| s.kind == kind && s.state == StepState::Running)
}

fn ended(run: &Run) -> bool {
    run.state.is_final()
}

async fn log(house: &House, scope: &Scope, run: &Run) -> Vec<(u64, String)> {
    house.platform.runs(scope).log(run.id, 0, 5000).await.unwrap().into_iter().map(|l| (l.number, l.text)).collect()
}

async fn a_run_goes_the_whole_way_and_leaves_a_version_with_its_evidence(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 42).await;
    assert_eq!((run.state, run.steps.len()), (RunState::Queued, 4));
    let _controller = house.controller("a");
    let run = house.run_until(&scope, &run, ended).await;

    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let events = house.platform.events_after(&scope, 0, 1000).await.unwrap();
    for (topic, object) in [
        (Topic::Run, run.id.to_string()),
        (Topic::RunLive, run.id.to_string()),
        (Topic::ModelVersion, run.model_version.unwrap().to_string()),
    ] {
        assert!(events.iter().any(|e| e.topic == topic && e.object == object), "{topic:?}");
    }
    for step in &run.steps {
        assert_eq!(step.state, StepState::Done, "{:?}", step.kind);
    }
    let texts = log(&house, &scope, &run).await;
    let expected = ["inputs fetched", "a line that is not of the protocol", "step 1", "step 2", "step 3", "step 4"];
    assert_eq!(texts, (1..).zip(expected.map(String::from)).collect::<Vec<_>>());
    let metrics = house.platform.runs(&scope).metrics(run.id, 600).await.unwrap();
    assert_eq!(
        metrics.iter().map(|m| (m.step, m.loss)).collect::<Vec<_>>(),
        [(1, Some(2.0)), (2, Some(1.0)), (3, Some(2.0 / 3.0)), (4, Some(0.5))]
    );
    assert_eq!(run.progress.unwrap().remaining_ms, Some(0));
    assert_eq!(run.scores.unwrap().gained, 1);
    let rows = house.platform.runs(&scope).evaluated(run.id, EvaluatedFilter::All, &Cursor::default()).await.unwrap().rows;
    assert_eq!(rows.iter().map(|r| r.tuned.as_str()).collect::<Vec<_>>(), ["x", "y\u{fffd}"]);
    // Where in the uploaded file the held-out rows stand.
    let page = house.platform.datasets(&scope).rows("facts", 1, RowFilter { limit: 50, ..RowFilter::default() }).await.unwrap();
    let held_out: Vec<_> = page.rows.iter().filter(|r| r.held_out).map(|r| Some(r.line)).collect();
    assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), held_out);
    assert_eq!(house.platform.runs(&scope).evaluated(run.id, EvaluatedFilter::Wrong, &Cursor::default()).await.unwrap().rows.len(), 1);

    let version = house.platform.models(&scope).version("assistant", None).await.unwrap();
    assert_eq!((version.number, version.run, Some(version.id)), (1, run.id, run.model_version));
    assert_eq!(version.files[0].path, "adapter_model.safetensors");
    let stored = house.folder.path().join("store").join(domain::artefacts::model_version(&version.tenant, version.id));
    assert_eq!(std::fs::read_to_string(stored.join("adapter_model.safetensors")).unwrap(), "weights");
    assert_eq!(version.card.get("evaluation").unwrap().value.split(" held-out").next(), Some("1 of 2"));
    assert_eq!(version.card.get("software").unwrap().value, "trainer 1.2.3");
    assert_eq!(version.card.get("intended_use").unwrap().origin, domain::card::Origin::Missing);

    // The same model again is its next version; what ended is cleared away; every action is in the audit log.
    let second = house.launch(&scope, "facts-2", 42).await;
    assert_eq!(house.run_until(&scope, &second, ended).await.state, RunState::Succeeded);
    assert_eq!(
        house
            .platform
            .models(&scope)
            .versions("assistant", &Cursor::default())
            .await
            .unwrap()
            .rows
            .iter()
            .map(|v| v.number)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    until(|| async {
        let left: Vec<_> = std::fs::read_dir(house.folder.path().join("tasks")).unwrap().flatten().map(|e| e.file_name()).collect();
        if left.iter().any(|n| n.to_string_lossy().starts_with("run-")) { Err(format!("{left:?}")) } else { Ok(()) }
    })
    .await;
    let records = house.platform.audit(&scope).page(AuditFilter { object: None, limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    for action in ["run.launch", "model.publish"] {
        assert_eq!(records.iter().filter(|r| r.entry.action == action).count(), 2, "{action}");
    }
    assert_eq!(house.platform.audit(&scope).verify().await.unwrap().broken(), None);
}

async fn a_failure_says_its_cause_and_the_rest_of_the_plan_is_skipped(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 13).await;
    let run = house.run_until(&scope, &run, ended).await;
    let failure = run.failure.clone().unwrap();
    assert_eq!(
        (run.state, failure.cause.code().as_str(), failure.said().next_step.as_str()),
        (RunState::Failed, "out_of_memory", "Use a smaller batch.")
    );
    assert_eq!(failure.evidence, ["torch.OutOfMemoryError"]);
    assert_eq!(step(&run, StepKind::Prepare).0, StepState::Done);
    assert_eq!(step(&run, StepKind::Train), (StepState::Failed, "The memory ran out.".into()));
    for kind in [StepKind::Evaluate, StepKind::Publish] {
        assert_eq!(step(&run, kind), (StepState::Skipped, "Not reached, because an earlier step failed.".into()));
    }
    assert!(house.platform.models(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
}

async fn a_process_that_dies_without_a_word_is_still_explained(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 9).await;
    let run = house.run_until(&scope, &run, ended).await;
    let failure = run.failure.clone().unwrap();
    assert_eq!((run.state, failure.cause.code().as_str(), failure.exit.as_deref()), (RunState::Failed, "killed", Some("signal 9")));
    assert!(failure.said().sentence.contains("out of memory"), "{:?}", failure.said());
    assert_eq!(failure.evidence.last().map(String::as_str), Some("step 2"));
}

async fn a_stored_verdict_decides_when_the_spoken_one_is_lost(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 14).await;
    assert_eq!(house.run_until(&scope, &run, ended).await.state, RunState::Succeeded);
}

async fn weights_that_are_not_what_the_training_stored_are_not_published(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 15).await;
    let run = house.run_until(&scope, &run, ended).await;
    let failure = run.failure.clone().unwrap();
    assert_eq!((run.state, failure.cause.code().as_str(), run.model_version), (RunState::Failed, "output_altered", None));
    let sentence = failure.said().sentence;
    assert!(sentence.contains("adapter_model.safetensors") && sentence.contains("digest differs"), "{sentence}");
    assert!(house.platform.models(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
}

async fn without_held_out_rows_the_evaluation_is_skipped_with_a_reason(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 0).await;
    let _controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 42).await;
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(step(&run, StepKind::Evaluate), (StepState::Skipped, "No rows were kept back for an evaluation.".into()));
    let version = house.platform.models(&scope).version("assistant", Some(1)).await.unwrap();
    assert_eq!(version.card.get("evaluation").unwrap().origin, domain::card::Origin::Missing);
}

async fn a_controller_killed_in_the_middle_loses_and_doubles_nothing(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let first = house.controller("a");
    let run = house.launch(&scope, "facts-1", 100).await;
    until(|| async {
        let lines = log(&house, &scope, &run).await.len();
        if lines >= 8 { Ok(()) } else { Err(format!("{lines} lines")) }
    })
    .await;
    drop(first);
    let read = log(&house, &scope, &run).await.len();
    let other = house.another().await;
    // Two that wait for the dead one's lease: one of them gets it.
    let (_b, _c) = (controller(other, "b"), house.controller("c"));
    let run = house.run_until(&scope, &run, ended).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let lines = log(&house, &scope, &run).await;
    assert!(read < lines.len(), "the first controller had read everything; nothing was shown");
    assert_eq!(lines.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (1..=lines.len() as u64).collect::<Vec<_>>());
    let steps: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).filter(|t| t.starts_with("step ")).collect();
    assert_eq!(steps, (1..=60).map(|n| format!("step {n}")).collect::<Vec<_>>());
    assert_eq!(house.platform.runs(&scope).metrics(run.id, 600).await.unwrap().len(), 60);
    assert_eq!(trainings(&house, &run), ["train"], "the training was started more than once");
}

/// Where leadership changes all the time, at whatever point of the run, the result is the same.
async fn handing_over_again_and_again_changes_nothing(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 100).await;
    let others = [house.another().await, house.platform.clone()];
    let mut terms = 0;
    let run = loop {
        let shutdown = tokio::time::sleep(std::time::Duration::from_millis(230 + 37 * (terms % 7)));
        others[terms as usize % 2].control("x".into(), shutdown).await;
        terms += 1;
        let now = house.platform.runs(&scope).get(run.id).await.unwrap();
        if now.state.is_final() {
            break now;
        }
        assert!(terms < 200, "{now:?}");
    };
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert!(terms > 5, "only {terms} terms");
    let texts: Vec<String> = log(&house, &scope, &run).await.into_iter().map(|(_, text)| text).filter(|t| t.starts_with("step ")).collect();
    assert_eq!(texts, (1..=60).map(|n| format!("step {n}")).collect::<Vec<_>>());
    assert_eq!(trainings(&house, &run), ["train"]);
    assert_eq!(house.platform.models(&scope).versions("assistant", &Cursor::default()).await.unwrap().rows.len(), 1);
}

async fn a_run_can_be_cancelled_in_every_state_that_allows_it(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs = house.platform.runs(&scope);
    let queued = house.launch(&scope, "facts-1", 42).await;
    let queued = runs.cancel(queued.id).await.unwrap();
    assert_eq!((queued.state, step(&queued, StepKind::Prepare).0), (RunState::Cancelled, StepState::Skipped));
    let again = runs.cancel(queued.id).await.unwrap_err();
    assert_eq!((again.kind, again.sentence.as_str()), (ProblemKind::Conflict, "The run has already ended: it was stopped."));

    let _controller = house.controller("a");
    let working = house.launch(&scope, "facts-2", 200).await;
    house.run_until(&scope, &working, |r| does(r, StepKind::Train)).await;
    let asked = runs.cancel(working.id).await.unwrap();
    assert_eq!(asked.state, RunState::Cancelling);
    assert!(asked.said().contains("mira"), "{}", asked.said());
    let working = house.run_until(&scope, &working, ended).await;
    assert_eq!((working.state, step(&working, StepKind::Train).1), (RunState::Cancelled, "Stopped before it was done.".into()));
    use StepState::{Done, Skipped, Stopped};
    assert_eq!(working.steps.iter().map(|s| s.state).collect::<Vec<_>>(), [Done, Stopped, Skipped, Skipped]);
    assert_eq!(step(&working, StepKind::Publish).1, "Not reached, because the run was stopped.");
    assert!(working.failure.is_none());
    let preparing = house.launch(&scope, "facts-3", 201).await;
    house.run_until(&scope, &preparing, |r| step(r, StepKind::Prepare).1 == "fetching inputs").await;
    assert_eq!(runs.cancel(preparing.id).await.unwrap().state, RunState::Cancelling);
    assert_eq!(house.run_until(&scope, &preparing, ended).await.state, RunState::Cancelled);

    std::fs::write(house.control_file("hold"), "").unwrap();
    let evaluating = house.launch(&scope, "facts-4", 42).await;
    house.run_until(&scope, &evaluating, |r| step(r, StepKind::Evaluate).1 == "answering").await;
    runs.cancel(evaluating.id).await.unwrap();
    let evaluating = house.run_until(&scope, &evaluating, ended).await;
    assert_eq!((evaluating.state, step(&evaluating, StepKind::Train).0), (RunState::Cancelled, StepState::Done));
    assert_eq!((step(&evaluating, StepKind::Evaluate).0, step(&evaluating, StepKind::Publish).0), (StepState::Stopped, StepState::Skipped));
    assert!(house.platform.models(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
    assert_eq!(trainings(&house, &working), ["train"]);
    assert!(house.starts(&queued.id.to_string()).is_empty(), "a cancelled run was started");
}

async fn a_stop_that_fails_once_is_tried_again(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let _controller = house.controller("a");
    let run = house.launch(&scope, "facts-1", 200).await;
    house.run_until(&scope, &run, |r| does(r, StepKind::Train)).await;
    // Where the wish to end is written there is a folder, and no file can take its place.
    let task = house.folder.path().join("tasks").join(format!("run-{}-train", run.id.uuid().simple()));
    let refuses = task.join("stop.json");
    std::fs::create_dir(&refuses).unwrap();
    let changed = || std::fs::metadata(&task).unwrap().modified().unwrap();
    let before = changed();
    house.platform.runs(&scope).cancel(run.id).await.unwrap();
    // The attempt writes beside it, and takes that away again.
    until(|| async { if changed() > before { Ok(()) } else { Err("nothing was tried".to_owned()) } }).await;
    assert_eq!(house.platform.runs(&scope).get(run.id).await.unwrap().state, RunState::Cancelling);
    std::fs::remove_dir(&refuses).unwrap();
    assert_eq!(house.run_until(&scope, &run, ended).await.state, RunState::Cancelled);
}

async fn the_second_run_waits_for_the_first_and_says_so(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let first = house.launch(&scope, "facts-1", 200).await;
    let second = house.launch(&scope, "facts-2", 42).await;
    let _controller = house.controller("a");
    house.run_until(&scope, &second, |r| r.said() == "Waits for run facts-1: 1 of 1 slots busy.").await;
    let admin = PlatformScope::command_line();
    house.platform.tenants(&admin).suspend("lumenta").await.unwrap();
    house.platform.runs(&scope).cancel(first.id).await.unwrap();
    house.run_until(&scope, &first, ended).await;
    house.run_until(&scope, &second, |r| r.said().contains("suspended")).await;
    house.platform.tenants(&admin).resume("lumenta").await.unwrap();
    assert_eq!(house.run_until(&scope, &second, ended).await.state, RunState::Succeeded);
    let (first, second) =
        (house.platform.runs(&scope).get(first.id).await.unwrap(), house.platform.runs(&scope).get(second.id).await.unwrap());
    assert!(second.started_at >= first.ended_at, "both held the only slot at once");
}

async fn data_that_a_run_uses_is_erased_only_when_it_has_ended_and_never_deleted(house: House) {
    let scope = house.owner().await;
    let version = house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 42).await;
    let datasets = house.platform.datasets(&scope);
    for refused in [datasets.delete("facts", Some(1)).await.err(), datasets.delete("facts", None).await.err()] {
        let refused = refused.unwrap();
        assert_eq!((refused.kind, refused.sentence.as_str()), (ProblemKind::Conflict, "facts v1 is used by the run facts-1."));
        assert!(refused.next_step.contains("erased instead"));
    }
    let refused = datasets.erase("facts", 1).await.unwrap_err();
    assert_eq!((refused.kind, refused.sentence.as_str()), (ProblemKind::Conflict, "facts v1 is being used by the run facts-1."));
    let controller = house.controller("a");
    assert_eq!(house.run_until(&scope, &run, ended).await.state, RunState::Succeeded);
    drop(controller);

    let erased = datasets.erase("facts", 1).await.unwrap();
    assert!(erased.erased_at.is_some() && erased.reason.as_ref().unwrap().said().contains("erased by mira"));
    assert_eq!((&erased.digest, &erased.report, erased.bytes + erased.judged_bytes), (&version.digest, &version.report, 0));
    let folder = house.folder.path().join("store").join(domain::artefacts::dataset_version(&version.tenant, version.id));
    assert!(!folder.exists());
    assert_eq!(datasets.rows("facts", 1, RowFilter { limit: 5, ..RowFilter::default() }).await.unwrap().rows, []);
    for file in domain::dataset::DatasetFile::ALL {
        assert_eq!(datasets.download("facts", Some(1), file).await.err().unwrap().kind, ProblemKind::NotFound);
    }
    assert_eq!(datasets.erase("facts", 1).await.unwrap_err().kind, ProblemKind::Conflict);
    assert_eq!(datasets.delete("facts", Some(1)).await.unwrap_err().kind, ProblemKind::Conflict);
    // What was made with it stays, and knows where it comes from; nothing new is made with it.
    let model = house.platform.models(&scope).version("assistant", None).await.unwrap();
    assert_eq!(model.card.get("evaluation").unwrap().value.split(" held-out").next(), Some("1 of 2"));
    assert_eq!(house.platform.runs(&scope).evaluated(run.id, EvaluatedFilter::All, &Cursor::default()).await.unwrap().rows.len(), 2);
    assert_eq!(house.platform.runs(&scope).launch(plan("facts-2", 42)).await.unwrap_err().kind, ProblemKind::Invalid);
    let records = house.platform.audit(&scope).page(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
    assert!(records.iter().any(|r| r.entry.action == "dataset.delete" && r.entry.detail.said().starts_with("erased “rows.jsonl”")));
}

async fn nothing_is_launched_when_the_storage_is_used_up(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let quota = |storage_bytes| Quota { storage_bytes, ..Quota::default() };
    let admin = PlatformScope::command_line();
    house.platform.tenants(&admin).set_quota("lumenta", quota(1)).await.unwrap();
    let runs = house.platform.runs(&scope);
    for refused in [runs.check(&plan("facts-1", 42)).await.err(), runs.launch(plan("facts-1", 42)).await.err()] {
        let refused = refused.unwrap();
        assert_eq!(refused.kind, ProblemKind::QuotaExceeded, "{refused}");
        assert!(refused.sentence.contains("is used up") && refused.next_step.contains("platform admin"), "{refused}");
    }
    house.platform.tenants(&admin).set_quota("lumenta", quota(1 << 30)).await.unwrap();
    runs.launch(plan("facts-1", 42)).await.unwrap();
}

async fn the_same_form_twice_is_one_run_and_every_problem_is_named_at_once(house: House) {
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let runs = house.platform.runs(&scope);
    // Many, so that some find the name taken by their own twin.
    let launched = futures::future::join_all((0..8).map(|_| runs.launch(plan("facts-1", 1)))).await;
    let ids: std::collections::HashSet<_> = launched.into_iter().map(|run| run.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(runs.list(&RunFilter::default(), &Cursor::default()).await.unwrap().rows.len(), 1);
    assert_eq!(runs.list(&RunFilter { text: "ASSIST".into(), ..RunFilter::default() }, &Cursor::default()).await.unwrap().rows.len(), 1);
    assert!(runs.list(&RunFilter { text: "100%".into(), ..RunFilter::default() }, &Cursor::default()).await.unwrap().rows.is_empty());

    let mut wrong = plan("facts-1", 1);
    wrong.submission = "another".into();
    wrong.base_model = "nothing".into();
    wrong.model_name = "world".into();
    wrong.dataset_number = Some(9);
    // This portal works on one machine.
    wrong.nodes = 2;
    wrong.settings = wrong.settings.with("learning_rate", 7.0);
    let problem = runs.check(&wrong).await.unwrap_err();
    let fields: Vec<_> = problem.fields.iter().map(|f| (f.field.as_str(), f.suggestion.as_deref())).collect();
    assert_eq!(
        fields,
        [
            ("name", Some("facts-2")),
            ("base_model", Some("world")),
            ("model_name", Some("world-tuned")),
            ("dataset_number", Some("1")),
            ("nodes", Some("1")),
            ("learning_rate", Some("2e-4"))
        ]
    );
    assert_eq!(runs.launch(wrong).await.unwrap_err().kind, ProblemKind::Invalid);

    let checked = runs.check(&plan("facts-3", 1)).await.unwrap();
    assert_eq!((checked.train_rows, checked.held_out_rows, checked.steps_total), (8, 2, 3));
    assert!(checked.yaml.contains("learning_rate: 2.0e-4\n"), "{}", checked.yaml);
    assert_eq!(runs.draft(runs.list(&RunFilter::default(), &Cursor::default()).await.unwrap().rows[0].id).await.unwrap().0.name, "facts-2");
    assert!(scope.may(Action::RunLaunch));
}
