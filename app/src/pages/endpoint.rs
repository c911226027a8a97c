//! One endpoint: whether it answers, how to call it, what is attached, what it logs.

mod adapters;
mod external;
mod replicas;
pub(super) mod resources;
mod settings;
mod snippets;

use crate::{
    api::endpoints::{
        EndpointAttach, EndpointDetach, EndpointPage, EndpointRemove, EndpointSettings, EndpointStart, EndpointStop, endpoint_get,
    },
    links,
    ui::{
        Chip, Copy, Crumb, Empty, Load, Off, Place, ProblemSummary, Reason, Sure, TenantPage, count, form::error_of, number::some,
        on_change, use_param, use_query, use_tenant,
    },
};
use domain::{
    endpoint::{Endpoint as Noun, EndpointLogLine, EndpointState},
    run::LogLevel,
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Endpoint() -> impl IntoView {
    let (tenant, name, code, ask) = (use_tenant(), use_param("name"), use_query("code"), use_query("ask"));
    let page = Resource::new(move || (tenant.get(), name.get()), |(tenant, name)| endpoint_get(tenant, name));
    let (attach, detach) = (ServerAction::<EndpointAttach>::new(), ServerAction::<EndpointDetach>::new());
    let (start, stop) = (ServerAction::<EndpointStart>::new(), ServerAction::<EndpointStop>::new());
    let (settings, remove) = (ServerAction::<EndpointSettings>::new(), ServerAction::<EndpointRemove>::new());
    let outside = external::Actions::new();
    on_change(tenant, "", move || page.refetch());
    Effect::new(move |before: Option<usize>| {
        let done = start.version().get()
            + stop.version().get()
            + attach.version().get()
            + detach.version().get()
            + settings.version().get()
            + outside.done();
        if before.is_some() {
            page.refetch();
        }
        done
    });
    let crumbs = Signal::derive(move || vec![Crumb::to("Endpoints", links::endpoints(&tenant.get())), Crumb::here(name.get())]);
    view! {
        <Title text=move || name.get()/>
        <TenantPage place=Place::Endpoints crumbs>
            <Load resource=page let:page>
                <Head tenant page=page.clone() start/>
                {(ask.get_untracked() == "stop" && page.endpoint.state.is_wanted()).then(|| view! { <Stop page=page.clone() stop/> })}
                {(ask.get_untracked() == "remove" && remove_refused(&page).is_none()).then(|| view! { <Remove page=page.clone() remove/> })}
                <ProblemSummary error=error_of(remove)/>
                <ProblemSummary error=error_of(start)/>
                <ProblemSummary error=error_of(stop)/>
                <State endpoint=page.endpoint.clone()/>
                {page.certificate_ends.map(|at| view! { <external::CertificateEnds at/> })}
                <Address page=page.clone()/>
                {match page.endpoint.external.clone() {
                    Some(external) => view! { <external::Facts endpoint=page.endpoint.clone() external figures=page.figures.clone().unwrap_or_default()/> }.into_any(),
                    None => view! { <Facts endpoint=page.endpoint.clone() most_replicas=page.most_replicas/> }.into_any(),
                }}
                <div class="cols cols-code">
                    <div>
                        {page.endpoint.external.clone().map(|external| view! { <external::Models page=page.clone() external actions=outside/> })}
                        {(page.most_replicas > 1).then(|| view! { <replicas::Replicas endpoint=page.endpoint.clone()/> })}
                        <adapters::Adapters tenant page=page.clone() attach detach/>
                        <settings::Settings tenant page=page.clone() settings/>
                        <Log lines=page.log.clone()/>
                    </div>
                    <snippets::CallIt tenant name code base_url=page.base_url.clone() models=page.model_ids.clone()/>
                </div>
            </Load>
        </TenantPage>
    }
}

#[component]
fn Head(tenant: Signal<String>, page: EndpointPage, start: ServerAction<EndpointStart>) -> impl IntoView {
    let e = page.endpoint.clone();
    let (t, name) = (e.tenant.to_string(), e.name.to_string());
    let sentence = if e.external.is_some() {
        format!("A server that somebody else runs, with the OpenAI API. Added by {}.", e.created_by_name)
    } else if e.merged_version.is_some() {
        format!("Full fine-tune of {}.", e.source())
    } else {
        format!("{} with {}, created by {}.", e.source(), some(e.attachments.len() as u64, "adapter", "adapters"), e.created_by_name)
    };
    let first = page.model_ids.first().cloned().unwrap_or_default();
    let ready = e.answers();
    let gone = match remove_refused(&page) {
        None => Some(
            view! { <a class="btn danger" href=links::with(links::endpoint(&e.tenant, &e.name), &[("ask", "remove")])>"Remove"</a> }
                .into_any(),
        ),
        // Of what runs, stopping comes first, and that is what is offered.
        Some(_) if e.external.is_none() && e.state.is_wanted() => None,
        Some(why) => Some(view! { <Off label="Remove" why/> }.into_any()),
    };
    let switch = match (page.write_refused, e.state) {
        (Some(why), state) => view! { <Off label=if state.is_wanted() { "Stop" } else { "Start" } why/> }.into_any(),
        (None, EndpointState::Stopping) => view! { <Off label="Start" why="Still stopping. Try again in a moment."/> }.into_any(),
        (None, EndpointState::Stopped) => view! {
            <ActionForm action=start><input type="hidden" name="tenant" value=t/><input type="hidden" name="endpoint" value=name/><button type="submit" class="btn">"Start"</button></ActionForm>
        }.into_any(),
        (None, EndpointState::Failed) => view! {
            <ActionForm action=start><input type="hidden" name="tenant" value=t/><input type="hidden" name="endpoint" value=name/><button type="submit" class="btn">"Start again"</button></ActionForm>
        }.into_any(),
        (None, _) => view! { <a class="btn danger" href=links::with(links::endpoint(&e.tenant, &e.name), &[("ask", "stop")])>"Stop"</a> }.into_any(),
    };
    view! {
        <header class="head">
            <div>
                <div class="row"><h1>{e.name.to_string()}</h1><Chip status=e.state title=e.reason.said()/>{e.external.is_some().then(|| view! { <span class="tag">"external"</span> })}<span class="tag">{format!("revision {}", e.revision)}</span></div>
                <p>{sentence}</p>
            </div>
            <div class="row">
                {switch}
                {gone}
                {if ready {
                    view! { <a class="btn primary" href=move || links::with(links::playground(&tenant.get()), &[("model", &first)])>"Try in playground"</a> }.into_any()
                } else {
                    view! { <Off class="primary" label="Try in playground" why="The endpoint is not ready."/> }.into_any()
                }}
            </div>
        </header>
    }
}

#[component]
fn Stop(page: EndpointPage, stop: ServerAction<EndpointStop>) -> impl IntoView {
    let e = page.endpoint;
    let stays = if e.attachments.is_empty() { "" } else { "; adapters stay attached" };
    view! {
        <Sure
            title=format!("Stop {}?", e.name)
            sentence=format!("Calls to {} fail until it is started again{stays}.", page.model_ids.join(", "))
            keep=links::endpoint(&e.tenant, &e.name)
        >
            <ActionForm action=stop>
                <input type="hidden" name="tenant" value=e.tenant.to_string()/><input type="hidden" name="endpoint" value=e.name.to_string()/>
                <button type="submit" class="btn sm danger-solid" aria-busy=move || stop.pending().get().then_some("true")>"Stop the endpoint"</button>
            </ActionForm>
        </Sure>
    }
}

/// Why this person cannot remove it now; none: they can.
fn remove_refused(page: &EndpointPage) -> Option<String> {
    let e = &page.endpoint;
    match (&e.external, e.state) {
        (Some(_), _) => page.external_refused.clone(),
        (None, EndpointState::Stopped | EndpointState::Failed) => page.write_refused.clone(),
        (None, EndpointState::Stopping) => Some("Still stopping. Try again in a moment.".into()),
        (None, _) => Some("Stop the endpoint first.".into()),
    }
}

#[component]
fn Remove(page: EndpointPage, remove: ServerAction<EndpointRemove>) -> impl IntoView {
    let e = page.endpoint;
    let calls = match page.model_ids.as_slice() {
        [] => "No model is available here right now.".to_owned(),
        ids => format!("Calls to {} fail from now on.", ids.join(", ")),
    };
    view! {
        <Sure
            title=format!("Remove {}?", e.name)
            sentence=format!("{calls} Its usage and its audit records stay; its settings and its log do not come back.")
            keep=links::endpoint(&e.tenant, &e.name)
        >
            <ActionForm action=remove>
                <input type="hidden" name="tenant" value=e.tenant.to_string()/><input type="hidden" name="endpoint" value=e.name.to_string()/>
                <button type="submit" class="btn sm danger-solid" aria-busy=move || remove.pending().get().then_some("true")>"Remove the endpoint"</button>
            </ActionForm>
        </Sure>
    }
}

/// Why it is not ready, or nothing.
#[component]
fn State(endpoint: Noun) -> impl IntoView {
    let reason = endpoint.reason.said();
    let (tone, icon, title) = match endpoint.state {
        EndpointState::Ready => return ().into_any(),
        EndpointState::Wanted if !endpoint.capabilities().runs_here => ("info", "running", "Asking the server"),
        EndpointState::Degraded if !endpoint.capabilities().runs_here => ("", "degraded", "Cannot be used now"),
        EndpointState::Degraded if endpoint.ready_replicas() > 0 => ("", "degraded", "Fewer replicas than wanted"),
        EndpointState::Wanted => ("info", "queued", "Starting soon"),
        EndpointState::Starting => ("info", "running", "Loading the model"),
        EndpointState::Degraded => ("", "degraded", "Not responding, restarting"),
        EndpointState::Stopping => ("info", "retiring", "Stopping"),
        EndpointState::Stopped => ("info", "asleep", "Stopped"),
        EndpointState::Failed => ("danger", "failed", "Failed repeatedly"),
    };
    view! { <div role="status"><Reason icon title tone><p>{reason}</p></Reason></div> }.into_any()
}

#[component]
fn Address(page: EndpointPage) -> impl IntoView {
    let ids = page.model_ids;
    view! {
        <div class="cols cols-2 urlrow">
            <div class="field"><span class="label">"Base URL"</span><Copy value=page.base_url what="the base URL"/></div>
            <div class="field"><span class="label">{if ids.len() > 1 { "Model ids" } else { "Model id" }}</span>
                {ids.into_iter().map(|id| view! { <Copy value=id what="the model id"/> }).collect_view()}
            </div>
        </div>
    }
}

#[component]
fn Facts(endpoint: Noun, most_replicas: u32) -> impl IntoView {
    let e = endpoint;
    view! {
        <dl class="facts endpoint-facts">
            <div><dt>"Base model"</dt><dd>{e.source().to_owned()}</dd></div>
            {if e.merged_version.is_some() {
                view! { <div><dt>"Serves"</dt><dd>"full weights"</dd></div> }.into_any()
            } else {
                view! { <div><dt>"Adapters"</dt><dd>{e.attachments.len()}</dd></div> }.into_any()
            }}
            {(most_replicas > 1).then(|| view! { <div><dt>"Replicas"</dt><dd>{format!("{} ready ", e.ready_replicas())}<small>{format!("of {}", e.settings.replicas)}</small></dd></div> })}
            {Some(e.settings.resources.said()).filter(|asked| !asked.is_empty()).map(|asked| view! { <div><dt>"Resources"</dt><dd>{asked.join(", ")}{(e.settings.replicas > 1).then(|| view! { " "<small>"each replica"</small> })}</dd></div> })}
            <div><dt>"Ready since"</dt><dd>{e.ready_at.filter(|_| e.answers()).map_or_else(|| "not ready".to_owned(), |at| at.human())}</dd></div>
            <div><dt>"Restarts"</dt><dd>{count(e.restarts)}</dd></div>
            <div><dt>"Created"</dt><dd>{e.created_at.human()}" "<small>{e.created_by_name}</small></dd></div>
        </dl>
    }
}

#[component]
fn Log(lines: Vec<EndpointLogLine>) -> impl IntoView {
    view! {
        <section class="section" aria-labelledby="log">
            <header><h2 id="log">"Log"</h2><p>"model server, newest last, times in UTC"</p></header>
            {if lines.is_empty() {
                view! { <Empty title="No log output yet"><p>"The log appears a few seconds after the endpoint starts."</p></Empty> }.into_any()
            } else {
                view! {
                    <div class="log tail" tabindex="0" role="region" aria-label="Log of the model server"><ol>{lines.into_iter().map(|l| {
                        let class = match l.level { LogLevel::Info => "", LogLevel::Warning => "warn", LogLevel::Error => "err" };
                        view! { <li class=class><span>{l.number}</span><span>{l.at.clock()}</span><span>{l.text}</span></li> }
                    }).collect_view()}</ol></div>
                }.into_any()
            }}
        </section>
    }
}
