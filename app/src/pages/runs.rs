//! `/t/{tenant}/runs`: every run, the ones at work first seen.

use crate::{
    api::runs::{RunList, list_runs},
    links,
    ui::{
        Crumb, Empty, Icon, Load, Order, Paging, Place, Sheet, StateWord, Status, TenantPage, When, count, number::some, on_change,
        use_query, use_tenant,
    },
};
use domain::{
    run::{Run, RunState, StepKind},
    settings::PRESETS,
    time::{Timestamp, span},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn Runs() -> impl IntoView {
    let (tenant, state, text, after) = (use_tenant(), use_query("state"), use_query("q"), use_query("after"));
    let list = Resource::new(move || (tenant.get(), state.get(), text.get(), after.get()), |(t, s, q, after)| list_runs(t, s, q, after));
    on_change(tenant, String::new(), move || list.refetch());
    view! {
        <Title text="Runs"/>
        <TenantPage place=Place::Runs crumbs=vec![Crumb::here("Runs")]>
            <Load resource=list let:list>
                <header class="head">
                    <div><h1>"Runs"</h1><p>{format!("{}, {} active. Each successful run creates a model version.", some(list.counts[0], "run", "runs"), list.counts[1])}</p></div>
                    <div class="row">
                        {match list.launch_refused.clone() {
                            None => view! { <a class="btn primary" href=links::run_new(&tenant.get_untracked())><Icon name="plus"/>"New run"</a> }.into_any(),
                            Some(why) => view! { <span class="small muted">{why}</span> }.into_any(),
                        }}
                    </div>
                </header>
                {if list.counts[0] == 0 {
                    view! { <First tenant=tenant.get_untracked() may=list.launch_refused.is_none()/> }.into_any()
                } else {
                    view! { <Filter tenant=tenant.get_untracked() state=state.get_untracked() text=text.get_untracked() list=list.clone()/> <Table tenant=tenant.get_untracked() list=list.clone()/> <Turn tenant=tenant.get_untracked() state=state.get_untracked() text=text.get_untracked() after=after.get_untracked() list/> }.into_any()
                }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Filter(tenant: String, state: String, text: String, list: RunList) -> impl IntoView {
    let [all, active, succeeded, failed] = list.counts;
    let choices =
        [("", "All", all), ("active", "Active", active), ("succeeded", "Succeeded", succeeded), ("failed", "Failed or stopped", failed)];
    let keep = text.clone();
    view! {
        <Form method="get" action="" attr:class="filterbar">
            <label class="control"><Icon name="filter"/><input type="search" name="q" value=text placeholder="Name, dataset, base or owner" aria-label="Filter runs"/></label>
            <input type="hidden" name="state" value=state.clone()/>
            <span class="seg" role="group" aria-label="State">
                {choices.into_iter().map(|(value, label, n)| {
                    let href = links::with(links::runs(&tenant), &[("q", &keep), ("state", value)]);
                    view! { <a href=href aria-current=(state == value).then_some("true")>{label}" "{n}</a> }
                }).collect_view()}
            </span>
            <button type="submit" class="btn">"Filter"</button>
        </Form>
    }
}

#[component]
fn Table(tenant: String, list: RunList) -> impl IntoView {
    if list.runs.rows.is_empty() {
        return view! {
            <div class="lines"><div class="item"><span class="title">"No matching runs"</span><span class="end"><a class="btn sm" href=links::runs(&tenant)>"Clear filter"</a></span><p>{format!("{} without the filter.", list.counts[0])}</p></div></div>
        }
        .into_any();
    }
    view! {
        <Sheet label="runs">
            <table class="table fold runlist">
                <thead><tr><th scope="col">"Run"</th><th scope="col">"State"</th><th scope="col">"Base and data"</th><th scope="col">"Model"</th><th scope="col" class="num">"Held-out correct"</th><th scope="col" class="num">"Duration"</th><th scope="col">"Owner"</th><th scope="col">"Started"</th></tr></thead>
                <tbody>{list.runs.rows.into_iter().map(|r| row(&tenant, r, list.now)).collect_view()}</tbody>
            </table>
        </Sheet>
    }
    .into_any()
}

#[component]
fn Turn(tenant: String, state: String, text: String, after: String, list: RunList) -> impl IntoView {
    let shown = list.runs.rows.len();
    let to = move |after: String| links::with(links::runs(&tenant), &[("q", &text), ("state", &state), ("after", &after)]);
    view! { <Paging order=Order::NewestFirst noun=("run", "runs") shown after next=list.runs.next to/> }
}

fn row(tenant: &String, r: Run, now: Timestamp) -> impl IntoView + use<> {
    let under = where_it_stands(&r);
    let dash = || view! { <span class="subtle">"–"</span> }.into_any();
    view! {
        <tr>
            <th scope="row" class="nowrap"><a href=links::run(tenant, &r.id)>{r.name.to_string()}</a></th>
            <td><StateWord status=&r/>{(!under.is_empty()).then(|| view! { <small class="wrap">{under}</small> })}</td>
            <td class="drop"><span class="mono">{r.base_model_name.to_string()}</span><small>{format!("{} v{}", r.dataset_name, r.dataset_number)}</small></td>
            <td class="drop">{r.model_name.to_string()}</td>
            <td class="num" data-label="held-out">{r.scores.map_or_else(dash, |s| view! { {format!("{} of {}", s.tuned_right, s.rows)}<small>{format!("base {}", s.base_right)}</small> }.into_any())}</td>
            <td class="num" data-label="took">{r.started_at.map_or_else(dash, |t| span(r.ended_at.unwrap_or(now).since(t)).into_any())}</td>
            <td class="drop nowrap">{r.owner_name.clone()}</td>
            <td class="nowrap">{r.started_at.map_or_else(|| "not started".into_any(), |at| view! { <When at/> }.into_any())}<small>{r.started_at.is_none().then(|| view! { "created "<When at=r.created_at/> })}</small></td>
        </tr>
    }
}

/// Steps done while it trains, else the reason; nothing for a success.
pub fn where_it_stands(r: &Run) -> String {
    let trains = r.doing().is_some_and(|step| step.kind == StepKind::Train);
    match (r.state, r.progress) {
        (RunState::Succeeded, _) => String::new(),
        (RunState::Running, Some(p)) if trains && p.total_steps > 0 => {
            let rest = p.remaining_ms.map(|ms| format!(", about {} left", span(ms))).unwrap_or_default();
            format!("{} of {}{rest}", count(p.step), count(p.total_steps))
        }
        // The state itself says as much.
        _ if r.said().trim_end_matches('.').eq_ignore_ascii_case(Status::from(r).word) => String::new(),
        _ => r.said(),
    }
}

#[component]
fn First(tenant: String, may: bool) -> impl IntoView {
    let new = links::run_new(&tenant);
    let quick = links::with(new.clone(), &[("preset", "quick-check")]);
    view! {
        <div class="cols cols-2">
            <Empty title="No runs yet">
                <p>"A run fine-tunes a base model on your examples and creates a model version. Start with a quick check to see whether the data works."</p>
                {may.then(|| view! { <div class="row"><a class="btn primary" href=quick>"Quick check"</a></div> })}
            </Empty>
            <div class="lines">
                {PRESETS.iter().map(|p| view! {
                    <div class="item"><span class="title">{p.label}</span>{may.then(|| view! { <span class="end"><a class="btn sm" href=links::with(new.clone(), &[("preset", p.id)])>"Use"</a></span> })}<p>{p.reason}</p></div>
                }).collect_view()}
            </div>
        </div>
    }
}
