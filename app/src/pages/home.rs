//! `/t/{tenant}`: what needs a person, what runs now, what serves, what is held.

use crate::{
    api::{
        home_lines::{ActiveRun, FailedRun, UnansweredKey},
        tenants_home::{Home as HomeData, get_home},
    },
    links,
    ui::{Crumb, Icon, Load, Place, StateWord, TenantPage, When, bytes, count, number::some, on_change, use_tenant},
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Home() -> impl IntoView {
    let tenant = use_tenant();
    let data = Resource::new(move || tenant.get(), get_home);
    on_change(tenant, String::new(), move || data.refetch());
    view! {
        <TenantPage place=Place::Home crumbs=vec![Crumb::here("Home")]>
            <Load resource=data let:home>
                <Title text=home.tenant.title.clone()/>
                <Body home/>
            </Load>
        </TenantPage>
    }
}

#[component]
fn Body(home: HomeData) -> impl IntoView {
    let t = home.tenant.name.clone();
    let (working, waiting) = (home.holding.runs_active, home.holding.runs_queued);
    let fresh = home.counts.datasets == 0 || home.counts.runs == 0 || home.models.is_empty() || home.endpoints.is_empty();
    let (failed, keys) = (home.runs_failed.clone(), home.unanswered_keys.clone());
    view! {
        <header class="head">
            <div><h1>{home.tenant.title.clone()}</h1><p>{format!("{} in progress, {waiting} queued. Endpoints ready: {} of {}.", some(u64::from(working), "run", "runs"), home.endpoints_ready, home.counts.endpoints)}</p></div>
            <div class="row">
                {home.upload_refused.is_none().then(|| view! { <a class="btn" href=links::dataset_new(&t, "")><Icon name="upload"/>"Upload dataset"</a> })}
                {home.launch_refused.is_none().then(|| view! { <a class="btn primary" href=links::run_new(&t)>"New run"</a> })}
            </div>
        </header>
        {fresh.then(|| view! { <Firsts home=home.clone()/> })}
        <div class="cols cols-side flush">
            <div>
                {(failed.len() + keys.len() > 0).then(|| view! {
                    <section class="section" aria-labelledby="need">
                        <header><h2 id="need">"Needs attention"</h2><p>{failed.len() + keys.len()}</p></header>
                        <div class="lines needs">{failed.iter().map(|r| needs(&t.to_string(), r)).collect_view()}{keys.iter().map(|k| unanswered(&t.to_string(), k)).collect_view()}</div>
                    </section>
                })}
                <section class="section" aria-labelledby="now">
                    <header><h2 id="now">"Running now"</h2><p class="end"><a href=links::runs(&t)>"All runs"</a></p></header>
                    <div class="lines runs-now">
                        {if home.runs_now.is_empty() {
                            view! { <div class="item"><p>"No runs in progress."</p></div> }.into_any()
                        } else {
                            home.runs_now.iter().map(|r| running(&t.to_string(), r)).collect_view().into_any()
                        }}
                    </div>
                </section>
                <section class="section" aria-labelledby="eps">
                    <header><h2 id="eps">"Endpoints"</h2><p class="end"><a href=links::endpoints(&t)>"All endpoints"</a></p></header>
                    <table class="table fold">
                        <thead><tr><th scope="col">"Endpoint"</th><th scope="col">"State"</th><th scope="col">"Serves"</th></tr></thead>
                        <tbody>
                            {home.endpoints.iter().map(|e| view! {
                                <tr>
                                    <th scope="row"><a href=links::endpoint(&t, &e.endpoint)>{e.endpoint.clone()}</a><small>{e.source.clone()}</small></th>
                                    <td><StateWord status=e.state/></td>
                                    <td>{e.serves.clone()}</td>
                                </tr>
                            }).collect_view()}
                            {home.endpoints.is_empty().then(|| view! { <tr><td colspan="3">"No endpoints yet. Deploy a model version from its page."</td></tr> })}
                        </tbody>
                    </table>
                </section>
            </div>
            <aside>
                <section class="section" aria-labelledby="quo">
                    <header><h2 id="quo">"Quota"</h2></header>
                    <div class="quotas">
                        {quota("Concurrent runs", home.holding.runs_active.into(), home.tenant.quota.concurrent_runs.into(), count, (home.holding.runs_queued > 0).then(|| format!(", {} queued", home.holding.runs_queued)))}
                        {quota("Endpoints", home.holding.endpoints.into(), home.tenant.quota.endpoints.into(), count, None)}
                        {quota("Storage", home.holding.storage_bytes, home.tenant.quota.storage_bytes, bytes, None)}
                    </div>
                </section>
                <section class="section" aria-labelledby="mod">
                    <header><h2 id="mod">"Recent models"</h2></header>
                    <div class="lines">
                        {home.models.iter().map(|m| view! {
                            <div class="item">
                                <a class="title" href=links::model_version(&t, &m.name, m.number)>{format!("{} v{}", m.name, m.number)}</a>
                                <span class="end"><StateWord status=m.stage/></span>
                                <p>{m.scores.clone()}</p>
                            </div>
                        }).collect_view()}
                        {home.models.is_empty().then(|| view! { <div class="item"><p>"No models yet. Each successful run creates one."</p></div> })}
                    </div>
                </section>
            </aside>
        </div>
    }
}

/// A failed run: what went wrong and the next step.
fn needs(tenant: &String, run: &FailedRun) -> impl IntoView + use<> {
    view! {
        <div class="item">
            <Icon name="failed"/>
            <div><a class="title" href=links::run(tenant, &run.id)>{run.name.clone()}" failed: "{run.sentence.clone()}</a><p>{run.next_step.clone()}</p></div>
            <div class="end row row-tight">
                <a class="btn sm" href=links::with(links::run_new(tenant), &[("from", &run.id.to_string())])>"Clone and change"</a>
                <a class="btn sm quiet" href=links::with(links::run(tenant, &run.id), &[("tab", "log")])>"Log"</a>
            </div>
        </div>
    }
}

/// A service key of which the responsible member has left.
fn unanswered(tenant: &String, key: &UnansweredKey) -> impl IntoView + use<> {
    let href = links::with(links::keys(tenant), &[("responsible", &key.id.to_string())]);
    view! {
        <div class="item">
            <Icon name="degraded"/>
            <div><a class="title" href=links::keys(tenant)>{format!("Service key “{}” has no responsible member", key.label)}</a><p>{format!("{} has left or was not confirmed for 30 days. The key still works.", key.owner_name)}</p></div>
            <div class="end row row-tight"><a class="btn sm" href=href>"Assign a member"</a></div>
        </div>
    }
}

fn running(tenant: &String, run: &ActiveRun) -> impl IntoView + use<> {
    view! {
        <article>
            <div><a class="title" href=links::run(tenant, &run.id)>{run.name.clone()}</a><p>{run.trains.clone()}</p></div>
            <div><StateWord status=run.state/><p>{run.progress.clone()}</p></div>
            <div class="live"><p>"since "<When at=run.since/></p></div>
        </article>
    }
}

/// One line of the quota: the number with its limit, amber from 80 %.
fn quota(label: &'static str, used: u64, of: u64, say: fn(u64) -> String, more: Option<String>) -> impl IntoView {
    let share = if of == 0 { 100.0 } else { (used as f64 / of as f64 * 100.0).min(100.0) };
    let tone = if share >= 80.0 { ";--c:var(--color-warning)" } else { "" };
    view! {
        <div>
            <span>{label}</span>
            <span><b>{say(used)}</b>" of "{say(of)}{more}</span>
            <span class="meter ticks" style=format!("--v:{share:.1}%{tone}") role="img" aria-label=format!("{} of {}", say(used), say(of))><i></i></span>
        </div>
    }
}

/// The way from nothing to a first call; each line ticks itself when it has happened.
#[component]
fn Firsts(home: HomeData) -> impl IntoView {
    let t = home.tenant.name.clone();
    let steps = [
        (
            home.counts.datasets > 0,
            "Upload a dataset",
            "JSON or JSONL examples. Every row is checked before training.",
            "Upload",
            links::dataset_new(&t, ""),
        ),
        (
            home.counts.runs > 0,
            "Start a run",
            "Start with a quick check to see whether the data works.",
            "New run",
            links::with(links::run_new(&t), &[("preset", "quick-check")]),
        ),
        (
            !home.models.is_empty() && !home.endpoints.is_empty(),
            "Deploy the model",
            "Open a model version and deploy it to an endpoint.",
            "Models",
            links::models(&t),
        ),
        (false, "Call it with the OpenAI client", "Change two values: base URL and API key.", "New key", links::key_new(&t)),
    ];
    let at = steps.iter().position(|s| !s.0).unwrap_or(3);
    view! {
        <section class="section" aria-labelledby="first">
            <header><h2 id="first">"First steps"</h2></header>
            <ol class="firsts">
                {steps.into_iter().enumerate().map(|(i, (done, title, text, button, href))| view! {
                    <li class:done=done class:active=(i == at)>
                        <Icon name=if done { "succeeded" } else { "pending" }/>
                        <div><b>{title}</b><p>{text}</p></div>
                        {(i == at).then(|| view! { <a class="btn sm" href=href>{button}</a> })}
                    </li>
                }).collect_view()}
            </ol>
        </section>
    }
}
