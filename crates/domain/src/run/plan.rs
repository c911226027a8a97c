//! The plan of a run: made once, when it is launched, from what was asked for. The same request makes the same plan.

use super::{CustomTraining, PortalWork, ProcessWork, Reason, Resources, Step, StepId, StepKind, StepState, Work};
use crate::{
    model::WeightsKind,
    resource_request::ResourceRequest,
    settings::{FinetuningType, RunSettings},
    time::{DAY, HOUR},
};

/// What a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub settings: &'a RunSettings,
    /// What the run is to leave. Training all weights leaves whole ones in any case.
    pub result: WeightsKind,
    /// 0 = there is nothing to evaluate on.
    pub held_out_rows: u64,
    /// Over how many nodes the training is spread.
    pub nodes: u32,
    /// What each process may use. How much memory a training takes is not known before it runs; where nobody says it: what there is, up to
    /// what the portal's configuration allows one process.
    pub resources: &'a ResourceRequest,
    /// What trains in place of LLaMA-Factory.
    pub custom: Option<&'a CustomTraining>,
}

/// `prepare` and `train` are one process, since both work on the same folder; an adapter may be merged; then base and result are
/// compared, and the result becomes a model version. What is compared is what is published.
pub fn plan(wanted: &Wanted<'_>) -> Vec<Step> {
    let merges = wanted.result == WeightsKind::Merged && wanted.settings.finetuning_type() == FinetuningType::Lora;
    let weights = if merges { "merge" } else { "train" };
    let train = || process("train", wanted.custom.map_or(ProcessWork::Train, |custom| ProcessWork::Custom(custom.clone())));
    let merge = process("merge", ProcessWork::Merge { adapter: id("train") });
    let evaluate = process("evaluate", ProcessWork::Evaluate { weights: id(weights) });
    let publish = Work::Portal { work: PortalWork::Publish { weights: id(weights), evaluation: Some(id("evaluate")) } };
    let mut steps =
        vec![step("prepare", StepKind::Prepare, &[], train(), DAY / 2), step("train", StepKind::Train, &["prepare"], train(), 14 * DAY)];
    if merges {
        steps.push(step("merge", StepKind::Merge, &["train"], merge, 12 * HOUR));
    }
    steps.push(step("evaluate", StepKind::Evaluate, &[weights], evaluate, 2 * DAY));
    steps.push(step("publish", StepKind::Publish, &["evaluate"], publish, 6 * HOUR));
    for step in steps.iter_mut().filter(|s| matches!(s.work, Work::Process { .. })) {
        step.resources = Resources::of(wanted.resources);
    }
    if wanted.nodes > 1 {
        for step in steps.iter_mut().filter(|s| *s.unit() == id("train")) {
            step.resources.nodes = wanted.nodes;
        }
    }
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

fn process(name: &'static str, work: ProcessWork) -> Work {
    Work::Process { process: id(name), work }
}

fn step(name: &'static str, kind: StepKind, needs: &[&'static str], work: Work, deadline: i64) -> Step {
    Step {
        id: id(name),
        kind,
        needs: needs.iter().map(|n| id(n)).collect(),
        work,
        resources: Resources::default(),
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
        let resources = ResourceRequest::default();
        let wanted =
            Wanted { settings: &settings, result: WeightsKind::Adapter, held_out_rows: 50, nodes: 1, resources: &resources, custom: None };
        matches("plan.json", include_str!("../../tests/golden/plan.json"), &wanted);
        let nothing_held_out = Wanted { held_out_rows: 0, ..wanted };
        matches("plan_without_held_out_rows.json", include_str!("../../tests/golden/plan_without_held_out_rows.json"), &nothing_held_out);
        let merged = Wanted { result: WeightsKind::Merged, ..wanted };
        matches("plan_merge.json", include_str!("../../tests/golden/plan_merge.json"), &merged);
        let asked = ResourceRequest {
            gpus: Some(4),
            gpu_product: Some("NVIDIA-H200".into()),
            cpu: Some(16),
            memory: Some(256 * crate::size::GB),
            ..ResourceRequest::default()
        };
        let asking = Wanted { resources: &asked, ..wanted };
        matches("plan_with_resources.json", include_str!("../../tests/golden/plan_with_resources.json"), &asking);
        let own = CustomTraining {
            image: "registry.example.org/team/trainer:1".into(),
            command: vec!["python".into(), "train.py".into()],
            args: vec!["--epochs=2".into()],
            env: [("LOG".to_owned(), "info".to_owned())].into(),
        };
        let custom = Wanted { custom: Some(&own), ..wanted };
        matches("plan_custom.json", include_str!("../../tests/golden/plan_custom.json"), &custom);
    }

    #[test]
    fn only_the_training_is_spread_over_nodes() {
        let settings = RunSettings::default();
        let resources = ResourceRequest::default();
        let steps = plan(&Wanted {
            settings: &settings,
            result: WeightsKind::Merged,
            held_out_rows: 50,
            nodes: 2,
            resources: &resources,
            custom: None,
        });
        let nodes: Vec<_> = steps.iter().map(|s| (s.id.as_str(), s.resources.nodes)).collect();
        assert_eq!(nodes, [("prepare", 2), ("train", 2), ("merge", 0), ("evaluate", 0), ("publish", 0)]);
    }

    #[test]
    fn whole_weights_need_no_merging() {
        let settings = RunSettings::default().with("finetuning_type", FinetuningType::Full.word());
        let resources = ResourceRequest::default();
        let wanted = |result| Wanted { settings: &settings, result, held_out_rows: 50, nodes: 1, resources: &resources, custom: None };
        assert_eq!(plan(&wanted(WeightsKind::Merged)), plan(&wanted(WeightsKind::Adapter)));
    }
}
