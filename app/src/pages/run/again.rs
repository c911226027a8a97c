//! Has the failed or stopped step of a run tried again: a form, so that it works without scripts.

use crate::{api::runs::TryAgain, ui::Reason};
use domain::run::{Run, RunState, Step, StepKind, StepState};
use leptos::prelude::*;

/// Draws nothing for a run that has nothing to try again.
#[component]
pub(super) fn Again(run: Run, again: ServerAction<TryAgain>) -> impl IntoView {
    let Some(step) = run.to_try_again().cloned() else { return ().into_any() };
    view! {
        <ActionForm action=again>
            <input type="hidden" name="tenant" value=run.tenant.to_string()/>
            <input type="hidden" name="id" value=run.id.to_string()/>
            <input type="hidden" name="step" value=step.id.to_string()/>
            <button type="submit" class="btn sm primary" aria-busy=move || again.pending().get().then_some("true")>"Try this step again"</button>
        </ActionForm>
    }
    .into_any()
}

/// Where a stopped run stands, and the way on. Draws nothing for others.
#[component]
pub(super) fn Stopped(run: Run, again: ServerAction<TryAgain>) -> impl IntoView {
    let Some(step) = run.to_try_again().cloned().filter(|_| run.state == RunState::Cancelled) else { return ().into_any() };
    let kept = kept(&run);
    let title = match step.state {
        StepState::Stopped => format!("Stopped while {}", step.kind.doing().to_lowercase()),
        _ => format!("Stopped before the step “{}”", step.kind.label()),
    };
    let actions = ViewFn::from(move || view! { <Again run=run.clone() again/> });
    view! {
        <section class="section" aria-label="Where it was stopped"><Reason icon="cancelled" tone="info" title actions><p>{kept}</p></Reason></section>
    }
    .into_any()
}

/// What another try keeps.
pub(super) fn kept(run: &Run) -> String {
    // The parts of one process begin anew together.
    let again = run.to_try_again().map(Step::unit);
    let done: Vec<_> = run.steps.iter().filter(|s| s.state == StepState::Done && Some(s.unit()) != again).map(|s| s.kind.label()).collect();
    let trains = run.steps.iter().any(|s| s.kind == StepKind::Train && Some(s.unit()) == again);
    if let Some(progress) = run.progress.filter(|_| trains)
        && let Some(step) = progress.checkpoint
    {
        return format!("A retry goes on from the checkpoint of step {step} of {}.", progress.total_steps);
    }
    if done.is_empty() {
        "A retry starts from the first step.".into()
    } else {
        format!("A retry keeps the completed steps: {}.", done.join(", "))
    }
}
