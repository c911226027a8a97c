//! The part of a tenant's page for the platform's admin that says whether its pods are kept apart: from other tenants, the API server, the
//! database, the outside world. A button checks it, from inside a pod like a run's.

use crate::{
    api::{
        AppError,
        admin_isolation::{IsolationChecks, TenantIsolationCheck},
    },
    ui::{Off, ProblemSummary, Reason, Sheet, StateWord, Status, When, form::error_of},
};
use domain::isolation::{Check, Finding, Judgement, Line, advice};
use leptos::prelude::*;

/// Between two looks while a check goes on.
#[cfg(feature = "hydrate")]
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

#[component]
pub fn Isolation(
    name: String,
    found: IsolationChecks,
    check: ServerAction<TenantIsolationCheck>,
    isolation: Resource<Result<Option<IsolationChecks>, AppError>>,
) -> impl IntoView {
    let IsolationChecks { open, last, refused } = found;
    let error = error_of(check);
    let goes_on = open.is_some();
    look_again(goes_on, isolation);
    let button = match refused {
        Some(why) => view! { <Off class="sm" label="Check isolation" why/> }.into_any(),
        None if goes_on => view! { <Off class="sm" label="Check isolation" why="A check is under way."/> }.into_any(),
        None => view! {
            <ActionForm action=check>
                <input type="hidden" name="name" value=name/>
                <button type="submit" class="btn sm" aria-busy=move || check.pending().get().then_some("true")>"Check isolation"</button>
            </ActionForm>
        }
        .into_any(),
    };
    let never = !goes_on && last.is_none();
    view! {
        <section class="section" aria-labelledby="isolation">
            <header>
                <h2 id="isolation">"Isolation"</h2>
                <p>"what a pod like a run's reaches of what it must not, and of what it must"</p>
                <span class="end row row-tight">{button}</span>
            </header>
            <ProblemSummary error/>
            {open.map(|open| view! {
                <Reason icon="queued" tone="info" title="A check is under way">
                    <p role="status">{open.doing()}</p>
                    <p class="small">{format!("{} asked for it.", open.asked_by)}</p>
                </Reason>
            })}
            {last.map(|last| view! { <LastCheck last/> })}
            {never.then(|| view! { <p class="small muted">"Not checked yet."</p> })}
        </section>
    }
}

#[component]
fn LastCheck(last: Check) -> impl IntoView {
    let (tone, title) = match last.finding() {
        Some(Finding::Apart) => ("info", "Kept apart: nothing was reached that must not be"),
        Some(Finding::NotApart) => ("danger", "Not kept apart: something was reached that must not be"),
        Some(Finding::Unproven) => ("", "Not proven"),
        None => ("", "Not checked"),
    };
    let icon = match last.finding() {
        Some(Finding::Apart) => "succeeded",
        Some(Finding::NotApart) => "failed",
        Some(Finding::Unproven) | None => "degraded",
    };
    let ending = last.ending().map(|ending| ending.said()).filter(|said| !said.is_empty());
    let sentences: Vec<_> = ending.into_iter().chain(last.finding().map(|_| advice(last.lines())).unwrap_or_default()).collect();
    let at = last.ended_at().unwrap_or(last.asked_at);
    let asked_by = last.asked_by.clone();
    let lines: Vec<_> = last.lines().iter().cloned().map(line).collect();
    view! {
        <Reason icon tone title>
            {sentences.into_iter().map(|said| view! { <p>{said}</p> }).collect_view()}
            <p class="small"><When at/>{format!(", asked for by {asked_by}")}</p>
        </Reason>
        {(!lines.is_empty()).then(|| view! {
            <Sheet label="what was tried">
                <table class="table fold objs">
                    <thead><tr><th scope="col">"What"</th><th scope="col">"Expected"</th><th scope="col">"What happened"</th></tr></thead>
                    <tbody>{lines}</tbody>
                </table>
            </Sheet>
        })}
    }
}

fn line(line: Line) -> impl IntoView {
    let (icon, word, tone) = match line.judgement() {
        Judgement::AsExpected => ("succeeded", "As expected", "success"),
        Judgement::NotAsExpected => ("failed", "Not as expected", "danger"),
        Judgement::Undecided => ("degraded", "Not decided", "warning"),
    };
    let (what, said) = (line.target.what.clone(), line.said(true));
    view! {
        <tr>
            <th scope="row" class="wrap">{line.target.probe.title()}{(!what.is_empty()).then(|| view! { <small class="mono">{what}</small> })}</th>
            <td class="wrap">{line.expected()}</td>
            <td class="wrap"><StateWord status=Status { icon, word, tone, turns: false }/><small>{said}</small></td>
        </tr>
    }
}

/// The page hears no events of a tenant: while a check goes on, it asks.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
fn look_again(goes_on: bool, isolation: Resource<Result<Option<IsolationChecks>, AppError>>) {
    #[cfg(feature = "hydrate")]
    {
        // The same answer draws nothing anew, so this asks until another comes.
        let looking = goes_on.then(|| set_interval_with_handle(move || isolation.refetch(), LOOK).ok()).flatten();
        on_cleanup(move || {
            if let Some(looking) = looking {
                looking.clear();
            }
        });
    }
}
