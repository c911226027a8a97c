//! The list of endpoints, under one address.

use crate::{
    api::endpoints::{EndpointDeploy, EndpointLine, EndpointList, list_endpoints},
    links,
    ui::{
        Copy, Crumb, Empty, Icon, Load, Off, Order, Paging, Place, ProblemSummary, Sheet, StateWord, TenantPage, When, count,
        form::error_of,
        number::{percent, some},
        on_change, use_query, use_tenant,
    },
};
use domain::endpoint::EndpointState;
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Endpoints() -> impl IntoView {
    let tenant = use_tenant();
    let after = use_query("after");
    let list = Resource::new(move || (tenant.get(), after.get()), |(tenant, after)| list_endpoints(tenant, after));
    let deploy = ServerAction::<EndpointDeploy>::new();
    on_change(tenant, "", move || list.refetch());
    view! {
        <Title text="Endpoints"/>
        <TenantPage place=Place::Endpoints crumbs=vec![Crumb::here("Endpoints")]>
            <Load resource=list let:list>
                <Head tenant refused=list.write_refused.clone()/>
                <Address list=list.clone()/>
                {if list.endpoints.rows.is_empty() && after.get_untracked().is_empty() {
                    view! { <FirstUse tenant list deploy/> }.into_any()
                } else {
                    let (shown, address) = (list.endpoints.rows.len(), links::endpoints(&tenant.get_untracked()));
                    let to = move |after: String| links::with(address.clone(), &[("after", &after)]);
                    view! {
                        <Table tenant endpoints=list.endpoints.rows/>
                        <Paging order=Order::NewestFirst noun=("endpoint", "endpoints") shown after=after.get_untracked() next=list.endpoints.next to/>
                    }.into_any()
                }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Head(tenant: Signal<String>, refused: Option<String>) -> impl IntoView {
    view! {
        <header class="head">
            <div><h1>"Endpoints"</h1><p>"All endpoints share one base URL. The model name selects the endpoint. Only this tenant's API keys work."</p></div>
            <div class="row">{match refused {
                Some(why) => view! { <Off class="primary" icon="plus" label="New endpoint" why/> }.into_any(),
                None => view! { <a class="btn primary" href=move || links::endpoint_new(&tenant.get())><Icon name="plus"/>"New endpoint"</a> }.into_any(),
            }}</div>
        </header>
    }
}

#[component]
fn Address(list: EndpointList) -> impl IntoView {
    let held = percent(u64::from(list.wanted), u64::from(list.quota));
    view! {
        <div class="cols cols-2 urlrow">
            <div class="field"><span class="label">"Base URL"</span><Copy value=list.base_url what="the base URL"/></div>
            <div class="field"><span class="label">"Quota"</span>
                <div class="quotas flat"><div><span>"endpoints in use"</span><span><b>{list.wanted}</b>{format!(" of {}", list.quota)}</span>
                    <span class="meter ticks" style=format!("--v:{held}") role="img" aria-label=format!("{} of {} endpoints in use", list.wanted, list.quota)><i></i></span></div></div>
            </div>
        </div>
    }
}

#[component]
fn Table(tenant: Signal<String>, endpoints: Vec<EndpointLine>) -> impl IntoView {
    view! {
        <section class="section" aria-label="Endpoints">
            <Sheet label="endpoints">
                <table class="table fold eps">
                    <thead><tr><th scope="col">"Endpoint"</th><th scope="col">"State"</th><th scope="col">"Models"</th><th scope="col" class="num">"Restarts"</th><th scope="col">"Created"</th></tr></thead>
                    <tbody>{move || { let t = tenant.get(); endpoints.iter().map(|e| line(&t, e)).collect_view() }}</tbody>
                </table>
            </Sheet>
        </section>
    }
}

fn line(tenant: &str, line: &EndpointLine) -> impl IntoView + use<> {
    let e = &line.endpoint;
    let adapters = e.attachments.len() as u64;
    let holds = if let Some(external) = &e.external {
        format!("external, {}", some(external.offered().count() as u64, "model", "models"))
    } else if e.merged_version.is_some() {
        "full weights".to_owned()
    } else {
        format!("{}, {}", e.source(), some(adapters, "adapter", "adapters"))
    };
    let ids = line.model_ids.join(", ");
    let why = match e.state {
        EndpointState::Degraded | EndpointState::Failed => Some(("why warning", e.reason.said())),
        EndpointState::Wanted | EndpointState::Starting | EndpointState::Stopping => Some(("why info", e.reason.said())),
        EndpointState::Ready | EndpointState::Stopped => None,
    }
    .filter(|(_, reason)| !reason.is_empty());
    view! {
        <tr class:has-why=why.is_some()>
            <th scope="row"><a href=links::endpoint(&tenant, &e.name)>{e.name.to_string()}</a><small>{holds}</small></th>
            <td><StateWord status=e.state/>{e.ready_at.filter(|_| e.answers()).map(|at| view! { <small>"since "<When at/></small> })}</td>
            <td class="mono drop">{ids}</td>
            <td class="num" data-label="restarts">{e.capabilities().runs_here.then(|| count(e.restarts))}</td>
            <td class="drop nowrap"><When at=e.created_at/><small>{e.created_by_name.clone()}</small></td>
        </tr>
        {why.map(|(class, reason)| view! { <tr class=class><td colspan="5"><div><p>{reason}</p></div></td></tr> })}
    }
}

/// Instead of an empty table: what could be deployed, best first.
#[component]
fn FirstUse(tenant: Signal<String>, list: EndpointList, deploy: ServerAction<EndpointDeploy>) -> impl IntoView {
    let t = tenant.get_untracked();
    if list.candidates.is_empty() {
        return view! {
            <Empty title="No endpoints yet">
                <p>"An endpoint serves a model to your applications and the playground. Deploy a base model, or fine-tune one first."</p>
                <div class="row"><a class="btn" href=links::models(&t)>"Models"</a><a class="btn" href=links::run_new(&t)>"New run"</a></div>
            </Empty>
        }
        .into_any();
    }
    view! {
        <section class="section" aria-labelledby="first">
            <header><h2 id="first">"No endpoints yet"</h2><p>"models you could deploy, best first"</p></header>
            <ProblemSummary error=error_of(deploy)/>
            <div class="lines">{list.candidates.into_iter().take(3).map(|c| view! {
                <div class="item">
                    <a class="title" href=links::model_version(&t, &c.model, c.number)>{format!("{} v{}", c.model, c.number)}</a>
                    <span class="end row row-tight"><StateWord status=c.stage/>{match list.write_refused.clone() {
                        Some(why) => view! { <Off class="sm" label="Deploy" why/> }.into_any(),
                        None => view! {
                            <ActionForm action=deploy>
                                <input type="hidden" name="tenant" value=move || tenant.get()/><input type="hidden" name="model" value=c.model.clone()/>
                                <input type="hidden" name="number" value=c.number/><input type="hidden" name="endpoint" value=""/>
                                <button type="submit" class="btn sm">"Deploy"</button>
                            </ActionForm>
                        }.into_any(),
                    }}</span>
                    <p>{format!("{} of {}, {}", c.kind.label(), c.base_model, c.score.map_or_else(|| "not evaluated".to_owned(), |(right, rows)| format!("{right} of {rows} held-out")))}</p>
                </div>
            }).collect_view()}</div>
        </section>
    }
    .into_any()
}
