use super::*;
use crate::{
    ids::{BaseModelId, DatasetVersionId, PersonId, RunId},
    model::WeightsKind,
    reason::failure::Cause,
    resource_request::ResourceRequest,
    run::{PortalWork, ProcessWork, Resources, plan::Wanted},
    settings::RunSettings,
};
use proptest::prelude::*;
use uuid::Uuid;

fn run_of(steps: Vec<Step>) -> Run {
    let uuid = Uuid::nil();
    Run::try_from(RunRecord {
        id: RunId::from_uuid(uuid),
        tenant: "lumenta".parse().unwrap(),
        name: "facts-1".parse().unwrap(),
        state: RunState::Queued,
        reason: Reason::WaitsForTurn,
        base_model: BaseModelId::from_uuid(uuid),
        base_model_name: "world".parse().unwrap(),
        dataset_version: DatasetVersionId::from_uuid(uuid),
        dataset_name: "facts".parse().unwrap(),
        dataset_number: 1,
        model_name: "assistant".parse().unwrap(),
        settings: RunSettings::default(),
        cloned_from: None,
        steps,
        progress: None,
        scores: None,
        failure: None,
        model_version: None,
        owner: PersonId::from_uuid(uuid),
        owner_name: "Mira".into(),
        created_at: Timestamp(0),
        started_at: None,
        ended_at: None,
    })
    .unwrap()
}

fn queued(held_out_rows: u64) -> Run {
    let (settings, resources) = (RunSettings::default(), ResourceRequest::default());
    run_of(plan::plan(&Wanted {
        settings: &settings,
        result: WeightsKind::Adapter,
        held_out_rows,
        nodes: 1,
        resources: &resources,
        custom: None,
    }))
}

fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

fn states(run: &Run) -> Vec<&'static str> {
    run.steps.iter().map(|s| s.state.word()).collect()
}

const AT: Timestamp = Timestamp(1_000);

fn lost() -> Failure {
    Failure::of(Cause::Lost)
}

#[test]
fn what_a_process_may_take_counts_from_when_it_runs() {
    let mut run = queued(0);
    run.admit(AT).unwrap();
    run.start(&id("train"), AT).unwrap();
    let overdue = |run: &Run, at| Step { deadline: Some(10), ..run.part(&id("train")).unwrap().clone() }.is_overdue(at);
    assert!(overdue(&run, AT.plus(11)));
    run.runs(&id("train"), AT.plus(100));
    assert!(!overdue(&run, AT.plus(110)), "it waited for a place for longer than it may take");
    assert!(overdue(&run, AT.plus(111)));
}

#[test]
fn the_parts_of_a_process_start_together_and_follow_each_other() {
    let mut run = queued(2);
    assert!(run.ready().is_empty(), "it has no slot");
    run.admit(AT).unwrap();
    assert_eq!(run.ready(), [id("train")]);
    run.start(&id("train"), AT).unwrap();
    assert_eq!((states(&run), run.doing().unwrap().kind), (vec!["starting", "pending", "pending", "pending"], StepKind::Prepare));
    assert!(run.ready().is_empty(), "its second part waits for the first");
    run.enter(&id("train"), Some(StepKind::Prepare), None, AT);
    run.enter(&id("train"), Some(StepKind::Train), None, AT.plus(5));
    assert_eq!(states(&run), ["done", "running", "pending", "pending"]);
    run.progressed(&id("train"), 1, 4, AT.plus(15));
    assert_eq!(run.progress, Some(Progress { step: 1, total_steps: 4, remaining_ms: Some(30), ..Progress::default() }));
    run.done(&id("train"), Reason::Stores, None, AT).unwrap();
    assert_eq!((run.ready(), run.state), (vec![id("evaluate")], RunState::Running));
    run.start(&id("evaluate"), AT).unwrap();
    run.done(&id("evaluate"), Reason::Stores, Some(Scores::default()), AT).unwrap();
    run.start(&id("publish"), AT).unwrap();
    assert!(!run.can_be_stopped());
    assert!(run.cancel("Mira", AT).unwrap_err().to_string().contains("published"));
    run.done(&id("publish"), Reason::Stores, None, AT).unwrap();
    assert_eq!((run.state, run.ended_at), (RunState::Succeeded, Some(AT)));
    assert_eq!(run.cancel("Mira", AT).unwrap_err().to_string(), "The run has already ended: it succeeded.");
}

#[test]
fn another_try_stands_at_the_last_checkpoint_and_counts_its_pace_from_there() {
    let mut run = queued(0);
    run.admit(AT).unwrap();
    let train = id("train");
    run.start(&train, AT).unwrap();
    run.enter(&train, Some(StepKind::Train), None, AT);
    run.checkpointed(&train, 1);
    assert_eq!(run.progress, None, "there is no checkpoint before the first step");
    run.progressed(&train, 45, 120, AT);
    run.checkpointed(&train, 40);
    run.fail(&train, lost(), AT).unwrap();
    run.checkpointed(&train, 45);
    run.try_again(&train).unwrap();
    let at_40 = Progress { step: 40, total_steps: 120, checkpoint: Some(40), ..Progress::default() };
    assert_eq!(run.progress, Some(at_40));
    run.admit(AT).unwrap();
    run.start(&train, AT).unwrap();
    run.enter(&train, Some(StepKind::Train), None, AT);
    let mut anew = run.clone();
    anew.progressed(&train, 1, 120, AT);
    assert_eq!(anew.progress.unwrap().checkpoint, None, "it began anew");
    run.resumed(&train, 40, 120);
    assert_eq!(run.part(&train).unwrap().reason, Reason::Resumed { step: 40, total: 120 });
    run.progressed(&train, 60, 120, AT.plus(20));
    let progress = run.progress.unwrap();
    assert_eq!((progress.remaining_ms, progress.resumed_at, progress.checkpoint), (Some(60), Some(40), Some(40)));
    run.fail(&train, lost(), AT).unwrap();
    run.try_again(&train).unwrap();
    assert_eq!(run.progress, Some(at_40));
}

#[test]
fn a_step_that_the_plan_leaves_out_is_passed_over() {
    let mut run = queued(0);
    run.admit(AT).unwrap();
    assert_eq!(run.ready(), [id("train")], "the publishing waits for what the evaluation would have waited for");
    run.start(&id("train"), AT).unwrap();
    run.done(&id("train"), Reason::Stores, None, AT).unwrap();
    assert_eq!(run.ready(), [id("publish")]);
    run.start(&id("publish"), AT).unwrap();
    run.fail(&id("publish"), lost(), AT).unwrap();
    assert_eq!(run.to_try_again().unwrap().id, id("publish"));
    run.try_again(&id("publish")).unwrap();
    assert_eq!(states(&run), ["done", "done", "skipped", "pending"]);
}

#[test]
fn a_failure_reaches_through_a_step_that_the_plan_leaves_out() {
    let mut run = queued(0);
    run.admit(AT).unwrap();
    run.start(&id("train"), AT).unwrap();
    run.fail(&id("train"), lost(), AT).unwrap();
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["failed", "skipped", "skipped", "skipped"]));
    assert_eq!((run.steps[2].reason.clone(), run.steps[3].reason.clone()), (Reason::NoHeldOutRows, Reason::AfterFailure));
}

#[test]
fn a_failed_step_is_tried_again_and_keeps_what_earlier_steps_made() {
    let mut run = queued(2);
    run.admit(AT).unwrap();
    run.start(&id("train"), AT).unwrap();
    run.done(&id("train"), Reason::Stores, None, AT).unwrap();
    run.start(&id("evaluate"), AT).unwrap();
    run.fail(&id("evaluate"), lost(), AT).unwrap();
    assert_eq!((run.state, states(&run)), (RunState::Failed, vec!["done", "done", "failed", "skipped"]));
    assert!(run.try_again(&id("train")).is_err(), "it is done");
    run.try_again(&id("evaluate")).unwrap();
    assert_eq!(
        (run.state, states(&run), run.failure.is_none(), run.ended_at),
        (RunState::Queued, vec!["done", "done", "pending", "pending"], true, None)
    );
    assert_eq!(run.steps.iter().map(Step::folder).collect::<Vec<_>>(), ["train", "train", "evaluate-2", "publish"]);
    assert!(run.try_again(&id("evaluate")).is_err(), "it waits already");
    run.admit(AT).unwrap();
    assert_eq!(run.ready(), [id("evaluate")]);
}

#[test]
fn a_process_that_is_tried_again_begins_with_its_first_part() {
    let mut run = queued(2);
    run.admit(AT).unwrap();
    run.start(&id("train"), AT).unwrap();
    run.enter(&id("train"), Some(StepKind::Train), None, AT);
    run.cancel("Mira", AT).unwrap();
    run.stopped(AT).unwrap();
    assert_eq!(states(&run), ["done", "stopped", "skipped", "skipped"]);
    run.try_again(&id("train")).unwrap();
    assert_eq!(states(&run), ["pending"; 4]);
    assert_eq!(run.steps.iter().map(|s| s.attempt).collect::<Vec<_>>(), [2, 2, 1, 1]);
}

#[test]
fn records_that_nothing_leads_to_are_refused() {
    let record = |change: fn(&mut RunRecord)| {
        let mut record = queued(2).into_record();
        change(&mut record);
        Run::try_from(record)
    };
    assert!(record(|_| {}).is_ok());
    assert!(record(|r| r.state = RunState::Succeeded).is_err());
    assert!(record(|r| r.steps[1].state = StepState::Running).is_err(), "a queued run has nothing at work");
    assert!(record(|r| r.steps[0].needs = vec!["publish".parse().unwrap()]).is_err(), "a circle");
    assert!(record(|r| r.steps[1].id = r.steps[0].id.clone()).is_err());
}

/// Any plan: steps that need some of those before them; some are parts of one process, one may be left out.
fn plans() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<u64>(), 0..4u8, any::<bool>());
    proptest::collection::vec(step, 1..7).prop_map(|wishes| {
        let mut steps: Vec<Step> = Vec::new();
        for (i, (needs, kind, joins)) in wishes.into_iter().enumerate() {
            let own = id(&format!("s{i}"));
            let needs: Vec<StepId> = steps.iter().enumerate().filter(|(n, _)| needs >> n & 1 == 1).map(|(_, s)| s.id.clone()).collect();
            let before = steps.last().map(|s| (s.id.clone(), s.work.clone()));
            let (work, needs) = match (kind, before) {
                (0, _) => (Work::Portal { work: PortalWork::Publish { weights: own.clone(), evaluation: None } }, needs),
                // Part of the process of the step before, which it then needs.
                (_, Some((before, Work::Process { process, work }))) if joins => (Work::Process { process, work }, vec![before]),
                _ => (Work::Process { process: own.clone(), work: ProcessWork::Train }, needs),
            };
            let left_out = kind == 3 && matches!(&work, Work::Process { process, .. } if *process == own);
            let kind = [StepKind::Publish, StepKind::Prepare, StepKind::Train, StepKind::Evaluate][kind as usize];
            let (state, reason) =
                if left_out { (StepState::Skipped, Reason::NoHeldOutRows) } else { (StepState::Pending, Reason::WaitsForRun) };
            steps.push(Step {
                id: own,
                kind,
                needs,
                work,
                resources: Resources::default(),
                deadline: None,
                attempt: 1,
                state,
                reason,
                started_at: None,
                ended_at: None,
            });
        }
        steps
    })
}

fn has_what_it_needs(run: &Run, step: &Step) -> bool {
    let there = |s: &Step| s.state == StepState::Done || (s.reason.is_by_plan() && has_what_it_needs(run, s));
    step.needs.iter().all(|n| there(run.step(n).unwrap()))
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Admit,
    Start(usize),
    Enter(usize, u8),
    Done(usize),
    Fail(usize),
    Cancel,
    Stopped,
    TryAgain(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => Just(Event::Admit),
        6 => (0..7usize).prop_map(Event::Start),
        3 => (0..7usize, 0..5u8).prop_map(|(s, k)| Event::Enter(s, k)),
        6 => (0..7usize).prop_map(Event::Done),
        2 => (0..7usize).prop_map(Event::Fail),
        1 => Just(Event::Cancel),
        1 => Just(Event::Stopped),
        1 => (0..7usize).prop_map(Event::TryAgain),
    ];
    proptest::collection::vec(event, 0..60)
}

proptest! {
    #[test]
    fn whatever_happens_in_whatever_order_a_run_stays_one_that_fits_together(steps in plans(), events in events()) {
        let mut run = run_of(steps);
        for event in events {
            let before = run.clone();
            let unit = |n: usize| before.steps[n % before.steps.len()].unit().clone();
            let ok = match event {
                Event::Admit => run.admit(AT).is_ok(),
                Event::Start(n) => run.start(&unit(n), AT).is_ok(),
                Event::Enter(n, k) => {
                    run.enter(&unit(n), StepKind::ALL.get(k as usize).copied(), Some(Reason::Stores), AT);
                    true
                }
                Event::Done(n) => run.done(&unit(n), Reason::Stores, None, AT).is_ok(),
                Event::Fail(n) => run.fail(&unit(n), lost(), AT).is_ok(),
                Event::Cancel => run.cancel("Mira", AT).is_ok(),
                Event::Stopped => run.stopped(AT).is_ok(),
                Event::TryAgain(n) => run.try_again(&before.steps[n % before.steps.len()].id).is_ok(),
            };
            // What is refused changes nothing.
            if !ok { prop_assert_eq!(&run, &before, "{:?}", event); }
            // A final state is left only when a person has a step tried again, and success never.
            if before.state.is_final() && run.state != before.state {
                prop_assert!(matches!(event, Event::TryAgain(_)) && before.state != RunState::Succeeded, "{:?} left {:?}", event, before.state);
            }
            for (was, is) in before.steps.iter().zip(&run.steps) {
                if was.state.is_final() && is.state != was.state {
                    prop_assert!(matches!(event, Event::TryAgain(_)), "{:?} moved {} from {:?} to {:?}", event, is.id, was.state, is.state);
                }
                // Nothing begins before what it needs is there.
                if is.state.is_active() {
                    prop_assert!(has_what_it_needs(&run, is), "{} is at work without what it needs", is.id);
                }
                prop_assert!(!(is.state == StepState::Done && is.reason.is_by_plan()));
                prop_assert_eq!((&is.id, &is.needs, &is.work, is.kind), (&was.id, &was.needs, &was.work, was.kind), "the plan stays");
            }
            match run.state {
                RunState::Succeeded => for s in &run.steps {
                    prop_assert!(s.state == StepState::Done || s.reason.is_by_plan(), "it succeeded, and {} is {:?}", s.id, s.state);
                },
                RunState::Failed => prop_assert!(run.failure.is_some() && run.steps.iter().any(|s| s.state == StepState::Failed)),
                // Never stuck: something is at work, or something may start.
                RunState::Running => prop_assert!(!run.at_work().is_empty() || !run.ready().is_empty(), "{:?}", states(&run)),
                _ => {}
            }
            // What is stored is read again.
            let stored = serde_json::to_string(&run).unwrap();
            prop_assert_eq!(serde_json::from_str::<Run>(&stored).unwrap(), run.clone());
        }
    }
}
