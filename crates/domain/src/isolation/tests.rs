use super::*;
use crate::{
    ids::IsolationCheckId,
    reason::task::{End, PendingCause},
    time::{MINUTE, SECOND, Timestamp},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn target(probe: Probe, allowed: bool) -> Target {
    let way = Way::Connect { address: "10.0.0.1:1".into() };
    Target { probe, what: String::new(), way: Ok(way), allowed }
}

fn line(probe: Probe, outcome: Outcome) -> Line {
    Line { target: target(probe, false), outcome: Some(outcome) }
}

/// As in a cluster that keeps everything apart.
fn good() -> Vec<Line> {
    Probe::ALL.map(|p| line(p, if p.must_pass() { Outcome::Reached } else { Outcome::Refused })).into()
}

fn with(probe: Probe, outcome: Outcome) -> Vec<Line> {
    let mut lines = good();
    for line in lines.iter_mut().filter(|l| l.target.probe == probe) {
        line.outcome = Some(outcome.clone());
    }
    lines
}

fn check() -> Check {
    Check::asked(IsolationCheckId::from_uuid(uuid::Uuid::nil()), "acme".parse().unwrap(), "Ann".into(), NOW)
}

#[test]
fn what_must_be_out_of_reach_may_be_refused_time_out_or_have_no_way_and_what_must_pass_is_reached() {
    assert_eq!((finding(&good()), advice(&good())), (Finding::Apart, Vec::<String>::new()));
    for probe in Probe::ALL.into_iter().filter(|p| !p.must_pass() && *p != Probe::OtherBucket) {
        for outcome in [Outcome::TimedOut, Outcome::NoRoute] {
            assert_eq!(line(probe, outcome).judgement(), Judgement::AsExpected, "{probe:?}");
        }
        assert_eq!(line(probe, Outcome::Reached).said(true), "Reached, expected: refused or timed out.");
        assert_eq!(finding(&with(probe, Outcome::Reached)), Finding::NotApart);
    }
    assert_eq!(line(Probe::Dns, Outcome::TimedOut).said(true), "Timed out, expected: reached.");
    assert_eq!(line(Probe::Dns, Outcome::Reached).said(true), "Reached, as expected.");
}

#[test]
fn a_store_that_does_not_answer_has_kept_nobody_out() {
    for outcome in [Outcome::TimedOut, Outcome::NotThere, Outcome::Failed { why: "x".into() }] {
        let line = line(Probe::OtherBucket, outcome);
        assert_eq!(line.judgement(), Judgement::Undecided);
        assert!(line.said(true).ends_with("that decides nothing."));
    }
    assert_eq!(line(Probe::OtherBucket, Outcome::Refused).judgement(), Judgement::AsExpected);
    assert!(advice(&with(Probe::OtherBucket, Outcome::Reached))[0].contains("key of its own bucket"));
}

#[test]
fn nothing_is_proven_by_a_pod_that_reaches_nothing_at_all() {
    let silent: Vec<_> = Probe::ALL.map(|p| line(p, Outcome::TimedOut)).into();
    assert_eq!(finding(&silent), Finding::Unproven);
    assert!(advice(&silent)[0].contains("proves nothing"));
    let unheard: Vec<_> = Probe::ALL.map(|p| Line { target: target(p, false), outcome: None }).into();
    assert_eq!(finding(&unheard), Finding::Unproven);
}

#[test]
fn that_policies_are_not_enforced_is_told_apart_from_policies_that_allow_it() {
    let mut lines = with(Probe::ApiServer, Outcome::Reached);
    let said = advice(&lines);
    assert!(
        said.len() == 1 && said[0].starts_with("The cluster does not enforce network policies: pods reach the Kubernetes API server."),
        "{said:?}"
    );
    for line in &mut lines {
        line.target.allowed = true;
    }
    let said = advice(&lines);
    assert!(said.len() == 1 && said[0].contains("ATELIER_STORE_NETWORKS") && !said[0].contains("enforce"), "{said:?}");
}

#[test]
fn what_could_not_be_tried_says_why_and_decides_nothing() {
    let left_out = Line { target: Target { way: Err(LeftOut::NoOtherTenant), ..target(Probe::OtherEndpoint, false) }, outcome: None };
    assert_eq!((left_out.judgement(), left_out.said(true).as_str()), (Judgement::Undecided, "There is no other tenant to try."));
}

#[test]
fn a_check_goes_from_asked_to_ended_and_never_back() {
    let mut c = check();
    c.plan(vec![target(Probe::Dns, false), target(Probe::ApiServer, false)]);
    c.waits(Waits::Place { cause: PendingCause::Starting });
    assert_eq!((c.state(), c.finding()), (CheckState::Waiting, None));
    c.plan(Vec::new());
    assert_eq!(c.lines().len(), 2, "planned once");
    c.runs(NOW.plus(SECOND));
    c.record(Probe::Dns, Outcome::Reached);
    c.record(Probe::Dns, Outcome::TimedOut);
    c.record(Probe::Metadata, Outcome::Reached);
    c.waits(Waits::Place { cause: PendingCause::Starting });
    assert_eq!((c.state(), c.lines()[0].outcome.clone(), c.lines().len()), (CheckState::Running, Some(Outcome::Reached), 2));
    c.record(Probe::ApiServer, Outcome::Refused);
    c.pod_ended(End::Exited { status: 0 }, NOW.plus(2 * SECOND));
    assert_eq!((c.state(), c.ending(), c.finding()), (CheckState::Ending, Some(&Ending::Whole), Some(Finding::Apart)));
    let before = c.clone();
    c.runs(NOW);
    c.tenant_closed(NOW);
    c.record(Probe::ApiServer, Outcome::Reached);
    assert_eq!(c, before);
    c.removed();
    assert_eq!((c.state(), c.is_over()), (CheckState::Ended, true));
    let stored = serde_json::to_string(&c).unwrap();
    assert_eq!(serde_json::from_str::<Check>(&stored).unwrap(), c);
}

#[test]
fn a_pod_that_ends_early_leaves_the_rest_undecided_and_says_how_it_ended() {
    let mut c = check();
    c.plan(vec![target(Probe::Dns, false), target(Probe::ApiServer, false)]);
    c.runs(NOW);
    c.record(Probe::Dns, Outcome::Reached);
    c.pod_ended(End::Removed, NOW);
    assert_eq!(c.ending(), Some(&Ending::Broke { end: End::Removed }));
    assert_eq!((c.lines()[1].judgement(), c.lines()[1].said(true).as_str()), (Judgement::Undecided, "Not told: the check ended before."));
    assert!(c.ending().unwrap().said().contains("ended early"));
}

#[test]
fn a_pod_that_cannot_start_gives_its_cause_and_is_not_waited_for_for_ever() {
    let image = Waits::Place { cause: PendingCause::Image { image: "x".into(), why: "not found".into() } };
    let mut c = check();
    c.waits(image.clone());
    c.look_at_the_clock(NOW.plus(MINUTE));
    assert_eq!(c.state(), CheckState::Waiting);
    c.look_at_the_clock(NOW.plus(MINUTE + 1));
    assert_eq!(c.ending(), Some(&Ending::NotStarted { waits: Some(image) }));
    assert!(c.ending().unwrap().said().contains("not found"));
    assert_eq!(c.finding(), None, "nothing was tried");
    let mut busy = check();
    busy.waits(Waits::Place { cause: PendingCause::Starting });
    busy.look_at_the_clock(NOW.plus(10 * MINUTE));
    assert!(!busy.is_over(), "what comes by itself is waited for");
    busy.look_at_the_clock(NOW.plus(10 * MINUTE + 1));
    assert!(busy.is_over());
    let mut silent = check();
    silent.runs(NOW);
    silent.look_at_the_clock(NOW.plus(90 * SECOND + 1));
    assert_eq!(silent.ending(), Some(&Ending::TooLong));
}
