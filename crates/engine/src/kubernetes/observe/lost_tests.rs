//! What is said of pods whose node or whose neighbour is gone.

use super::{Circumstances, ended, tests::*};
use crate::{End, TaskState};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// Deleted at half past, with ten seconds to go.
fn going(mut pod: Pod) -> Pod {
    pod.metadata.deletion_timestamp = Some(typed(json!("2026-11-22T07:30:20Z")));
    pod.metadata.deletion_grace_period_seconds = Some(10);
    pod
}

fn at(time: &str) -> Circumstances {
    let now: k8s_openapi::jiff::Timestamp = time.parse().unwrap();
    Circumstances { now: Some(now.as_millisecond()), ..Circumstances::default() }
}

#[test]
fn a_pod_that_was_to_go_and_of_which_no_node_says_that_it_went_is_given_up() {
    let working = || pod(started("2026-11-22T07:00:00Z"));
    let (soon, late) = (at("2026-11-22T07:31:19Z"), at("2026-11-22T07:31:21Z"));
    assert!(state(&a_job(), Some(going(working())), &soon).is_running(), "its node may still answer");
    assert_eq!(state(&a_job(), Some(going(working())), &late), TaskState::Ended(End::NodeLost));
    assert!(state(&a_job(), Some(working()), &late).is_running(), "nobody wants it to go");
    assert_eq!(state(&a_stopped_job(), Some(going(working())), &late), TaskState::Ended(End::Signalled { signal: 15 }));
    let mut evicted = started("2026-11-22T07:00:00Z");
    evicted["conditions"] =
        json!([{ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "for room" }]);
    assert_eq!(state(&a_job(), Some(going(pod(evicted))), &late), TaskState::Ended(End::Evicted { why: "for room".into() }));
    // What a node has told counts, however long ago.
    let over = going(pod(over(7, "Error")));
    assert!(!ended::is_given_up(&over, late.now));
}

#[test]
fn one_of_two_pods_that_somebody_deleted_explains_the_other_and_one_that_the_job_deleted_does_not() {
    let pods = |first: Pod, second: Pod| over_two_nodes(vec![first, second]);
    // The second each of them ended in is 07:31:00.
    let deleted = |asked: &str| {
        let mut pod = pod_of_two(1, over(143, "Error"));
        pod.metadata.deletion_timestamp = Some(typed(json!(asked)));
        pod.metadata.deletion_grace_period_seconds = Some(1);
        pod
    };
    let missed_it = || pod_of_two(0, over(1, "Error"));
    assert_eq!(
        pods(missed_it(), deleted("2026-11-22T07:31:01Z")),
        TaskState::Ended(End::Removed),
        "deleted in the second in which both ended"
    );
    let mut because: Value = over(143, "Error");
    because["containerStatuses"] =
        main_container(json!({ "terminated": { "exitCode": 143, "reason": "Error", "finishedAt": "2026-11-22T07:31:02Z" } }));
    let mut by_the_job = pod_of_two(1, because);
    by_the_job.metadata.deletion_timestamp = Some(typed(json!("2026-11-22T07:31:02Z")));
    by_the_job.metadata.deletion_grace_period_seconds = Some(1);
    assert_eq!(pods(missed_it(), by_the_job), TaskState::Ended(End::Exited { status: 1 }), "deleted a second after the first had failed");
}

#[test]
fn a_job_of_several_pods_remembers_that_one_was_taken_away_when_the_others_say_only_that_they_missed_it() {
    let spec = json!({ "template": {}, "completionMode": "Indexed", "completions": 2, "parallelism": 2 });
    let by = |reason: &str| {
        let job = job(json!({}), spec.clone(), json!([{ "type": "Failed", "status": "True", "reason": reason }]));
        job.observation(&[pod_of_two(0, over(1, "Error"))], &Circumstances::default()).state
    };
    assert_eq!(by("PodFailurePolicy"), TaskState::Ended(End::NodeLost));
    assert_eq!(by("BackoffLimitExceeded"), TaskState::Ended(End::Exited { status: 1 }));
}
