//! The plan: the whole way from the start, each step with its time and always a reason.

use crate::{
    links,
    ui::{Icon, Reason, Status},
};
use domain::{
    name::Name,
    run::{Holders, PendingCause, Reason as Why, Run, RunState, Step, StepState},
    time::{Timestamp, span},
};
use leptos::prelude::*;

#[component]
pub fn Plan(run: Run, holders: Holders, now: Timestamp) -> impl IntoView {
    let waits = run.state == RunState::Queued;
    let at = run.steps.iter().position(|s| !matches!(s.state, StepState::Done)).unwrap_or(run.steps.len());
    let reason = run.said();
    let cause = run.waits_for().cloned().map(|cause| view! { <Waiting tenant=run.tenant.clone() cause holders/> });
    let (active, home) = (links::with(links::runs(&run.tenant), &[("state", "active")]), links::home(&run.tenant));
    view! {
        <section class="section" aria-labelledby="plan">
            <header><h2 id="plan">"Plan"</h2><p>"Each step of this run and its status."</p></header>
            <ol class="steps">
                {run.steps.iter().enumerate().map(|(i, s)| step(s, i == at && !run.state.is_final(), waits, now)).collect_view()}
            </ol>
            {cause}
            {waits.then(|| view! { <Reason icon="clock" title=reason><p><a href=active>"Active runs"</a>", "<a href=home>"quota of the tenant"</a>"."</p></Reason> })}
        </section>
    }
}

fn step(s: &Step, current: bool, waits: bool, now: Timestamp) -> impl IntoView + use<> {
    let held = matches!(&s.reason, Why::WaitsForMachine { cause } if *cause != PendingCause::Starting) && s.state.is_active();
    let waiting = held || current && waits;
    let class = match s.state {
        StepState::Done => "done",
        _ if held => "waiting",
        StepState::Starting | StepState::Running => "active",
        StepState::Failed => "failed",
        StepState::Skipped | StepState::Stopped => "skipped",
        StepState::Pending if waiting => "waiting",
        StepState::Pending => "",
    };
    let status = Status::from(s);
    let icon = if waiting { "queued" } else { status.icon };
    let bar = match s.reason {
        Why::Progress { step, total, .. } | Why::Resumed { step, total } | Why::Answered { done: step, total }
            if s.state.is_active() && total > 0 =>
        {
            Some(step as f64 / total as f64 * 100.0)
        }
        _ => None,
    };
    let took = s.started_at.map(|t| span(s.ended_at.unwrap_or(now).since(t)));
    let name = s.kind.label();
    // The box below says the rest.
    let said = match &s.reason {
        Why::WaitsForMachine { cause } if held => cause.title(),
        reason => reason.said(),
    };
    view! {
        <li class=class style=bar.map(|p| format!("--p:{p:.1}%")) aria-current=current.then_some("step")>
            <b><Icon name=icon turning=status.turns/>{name}<span class="sr">{format!(", {}", status.word)}</span>{took.map(|t| view! { <time>{t}</time> })}</b>
            {said}
        </li>
    }
}

/// Why the step at work has no place yet: which resource, who holds it, and what to do.
#[component]
fn Waiting(tenant: Name, cause: PendingCause, holders: Holders) -> impl IntoView {
    let (icon, tone) = if cause.needs_somebody() { ("failed", "danger") } else { ("clock", "") };
    let runs = holders.runs.into_iter().map(|(id, name)| (links::run(&tenant, &id), name.to_string()));
    let endpoints = holders.endpoints.into_iter().map(|name| (links::endpoint(&tenant, &name), name.to_string()));
    let held: Vec<_> = runs.chain(endpoints).collect();
    view! {
        <Reason icon tone title=cause.title()>
            <p>{cause.said()}</p>
            {(!held.is_empty()).then(|| view! {
                <p>"At work: "{held.into_iter().enumerate().map(|(i, (href, name))| view! { {(i > 0).then_some(", ")}<a class="mono" href=href>{name}</a> }).collect_view()}"."</p>
            })}
        </Reason>
    }
}
