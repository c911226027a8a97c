//! The plan: the whole way from the start, each step with its time and always a reason.

use crate::{
    links,
    ui::{Icon, Reason, Status},
};
use domain::{
    run::{Reason as Why, Run, RunState, Step, StepState},
    time::{Timestamp, span},
};
use leptos::prelude::*;

#[component]
pub fn Plan(run: Run, now: Timestamp) -> impl IntoView {
    let waits = run.state == RunState::Queued;
    let at = run.steps.iter().position(|s| !matches!(s.state, StepState::Done)).unwrap_or(run.steps.len());
    let reason = run.said();
    let (active, home) = (links::with(links::runs(&run.tenant), &[("state", "active")]), links::home(&run.tenant));
    view! {
        <section class="section" aria-labelledby="plan">
            <header><h2 id="plan">"Plan"</h2><p>"Each step of this run and its status."</p></header>
            <ol class="steps">
                {run.steps.iter().enumerate().map(|(i, s)| step(s, i == at && !run.state.is_final(), waits, now)).collect_view()}
            </ol>
            {waits.then(|| view! { <Reason icon="clock" title=reason><p><a href=active>"Active runs"</a>", "<a href=home>"quota of the tenant"</a>"."</p></Reason> })}
        </section>
    }
}

fn step(s: &Step, current: bool, waits: bool, now: Timestamp) -> impl IntoView + use<> {
    let waiting = current && waits;
    let class = match s.state {
        StepState::Done => "done",
        StepState::Starting | StepState::Running => "active",
        StepState::Failed => "failed",
        StepState::Skipped | StepState::Stopped => "skipped",
        StepState::Pending if waiting => "waiting",
        StepState::Pending => "",
    };
    let status = Status::from(s);
    let icon = if waiting { "queued" } else { status.icon };
    let bar = match s.reason {
        Why::Progress { step, total } | Why::Answered { done: step, total } if s.state.is_active() && total > 0 => {
            Some(step as f64 / total as f64 * 100.0)
        }
        _ => None,
    };
    let took = s.started_at.map(|t| span(s.ended_at.unwrap_or(now).since(t)));
    let name = s.kind.label();
    view! {
        <li class=class style=bar.map(|p| format!("--p:{p:.1}%")) aria-current=current.then_some("step")>
            <b><Icon name=icon turning=status.turns/>{name}<span class="sr">{format!(", {}", status.word)}</span>{took.map(|t| view! { <time>{t}</time> })}</b>
            {s.reason.said()}
        </li>
    }
}
