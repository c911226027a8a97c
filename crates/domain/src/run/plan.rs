//! The plan of a run: made once, when it is launched, from what was asked for. The same request makes the same plan.

use super::{Job, PortalJob, Reason, Resources, Step, StepId, StepKind, StepState, Work};
use crate::{
    settings::RunSettings,
    time::{DAY, HOUR},
};

/// What a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub settings: &'a RunSettings,
    /// 0 = there is nothing to evaluate on.
    pub held_out_rows: u64,
}

/// Memory that LLaMA-Factory takes with the smallest of models, bytes.
const LEAST_MEMORY: u64 = 2 << 30;
const PROCESS: Resources = Resources { gpus: 0, cpu_millis: 1000, memory_bytes: LEAST_MEMORY };

/// `prepare` and `train` are one process, since both work on the same folder; then base and tuned model are compared, and the result
/// becomes a model version.
pub fn plan(wanted: &Wanted<'_>) -> Vec<Step> {
    let train = || process("train", Job::Train);
    let evaluate = process("evaluate", Job::Evaluate { weights: id("train") });
    let publish = Work::Portal { job: PortalJob::Publish { weights: id("train"), evaluation: Some(id("evaluate")) } };
    let mut steps = vec![
        step("prepare", StepKind::Prepare, &[], train(), DAY / 2),
        step("train", StepKind::Train, &["prepare"], train(), 14 * DAY),
        step("evaluate", StepKind::Evaluate, &["train"], evaluate, 2 * DAY),
        step("publish", StepKind::Publish, &["evaluate"], publish, 6 * HOUR),
    ];
    if wanted.held_out_rows == 0 {
        for step in steps.iter_mut().filter(|s| s.kind == StepKind::Evaluate) {
            (step.state, step.reason) = (StepState::Skipped, Reason::NoHeldOutRows);
        }
    }
    waiting(&mut steps);
    steps
}

fn id(text: &'static str) -> StepId {
    StepId::known(text)
}

fn process(name: &'static str, job: Job) -> Work {
    Work::Process { process: id(name), job }
}

fn step(name: &'static str, kind: StepKind, needs: &[&'static str], work: Work, deadline: i64) -> Step {
    let resources = if matches!(work, Work::Process { .. }) { PROCESS } else { Resources::default() };
    Step {
        id: id(name),
        kind,
        needs: needs.iter().map(|n| id(n)).collect(),
        work,
        resources,
        deadline: Some(deadline),
        attempt: 1,
        state: StepState::Pending,
        reason: Reason::WaitsForRun,
        started_at: None,
        ended_at: None,
    }
}

/// Lets each step that has not begun say what it waits for.
pub(super) fn waiting(steps: &mut [Step]) {
    let kinds: Vec<(StepId, StepKind)> = steps.iter().map(|s| (s.id.clone(), s.kind)).collect();
    for step in steps.iter_mut().filter(|s| s.state == StepState::Pending) {
        let kinds: Vec<_> = kinds.iter().filter(|(id, _)| step.needs.contains(id)).map(|(_, kind)| *kind).collect();
        step.reason = if kinds.is_empty() { Reason::WaitsForRun } else { Reason::WaitsForSteps { kinds } };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(file: &str, committed: &str, wanted: &Wanted<'_>) {
        let steps = plan(wanted);
        let shown = serde_json::to_string_pretty(&steps).unwrap() + "\n";
        assert_eq!(serde_json::from_str::<Vec<Step>>(&shown).unwrap(), steps, "the plan reads as it was written");
        if std::env::var_os("ATELIER_WRITE_GOLDEN").is_some() {
            std::fs::write(format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR")), &shown).unwrap();
            return;
        }
        assert_eq!(shown, committed, "tests/golden/{file} differs; set ATELIER_WRITE_GOLDEN=1 to write it, and review the diff");
    }

    #[test]
    fn each_plan_is_the_committed_one() {
        let settings = RunSettings::default();
        let wanted = Wanted { settings: &settings, held_out_rows: 50 };
        matches("plan.json", include_str!("../../tests/golden/plan.json"), &wanted);
        let nothing_held_out = Wanted { held_out_rows: 0, ..wanted };
        matches("plan_without_held_out_rows.json", include_str!("../../tests/golden/plan_without_held_out_rows.json"), &nothing_held_out);
    }
}
