//! `/t/{tenant}/base-models`: what a run can start from.

use crate::{
    api::base_models::list_base_models,
    links,
    ui::{Crumb, Empty, Icon, Load, Order, Paging, Place, Sheet, StateWord, TenantPage, bytes, count, use_query, use_tenant},
};
use domain::base_model::{BaseModel, BaseModelState};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn BaseModels() -> impl IntoView {
    let tenant = use_tenant();
    let (text, after) = (use_query("q"), use_query("after"));
    let list =
        Resource::new(move || (tenant.get(), text.get(), after.get()), |(tenant, text, after)| list_base_models(tenant, text, after));
    view! {
        <Title text="Base models"/>
        <TenantPage place=Place::BaseModels crumbs=vec![Crumb::here("Base models")]>
            <header class="head">
                <div><h1>"Base models"</h1><p>"Models you can fine-tune and serve. Platform admins register them; their files never change."</p></div>
            </header>
            <Load resource=list let:models>
                {
                    let (tenant, text, after) = (tenant.get_untracked(), text.get_untracked(), after.get_untracked());
                    let (address, shown) = (links::base_models(&tenant), models.rows.len());
                    let kept = (address.clone(), text.clone());
                    let to = move |after: String| links::with(kept.0.clone(), &[("q", &kept.1), ("after", &after)]);
                    if models.rows.is_empty() && text.is_empty() && after.is_empty() {
                        view! { <Empty title="No base models yet"><p>"Ask a platform admin to register one."</p></Empty> }.into_any()
                    } else {
                        let nothing = models.rows.is_empty();
                        view! {
                            <Form method="GET" action=address.clone() attr:class="filterbar" attr:role="search">
                                <label class="control"><Icon name="filter"/><input type="search" name="q" placeholder="Name, architecture or licence" aria-label="Filter base models" value=text/></label>
                                <button type="submit" class="btn">"Filter"</button>
                            </Form>
                            {nothing.then(|| view! { <Empty title="No matching base models"><div class="row"><a class="btn" href=address>"Clear filter"</a></div></Empty> })}
                            {(!nothing).then(|| view! { <Table models=models.rows tenant/> })}
                            <Paging order=Order::ByName noun=("base model", "base models") shown after next=models.next to/>
                        }.into_any()
                    }
                }
            </Load>
        </TenantPage>
    }
}

#[component]
fn Table(models: Vec<BaseModel>, tenant: String) -> impl IntoView {
    view! {
        <Sheet label="base models">
            <table class="table fold">
                <thead><tr><th scope="col">"Model"</th><th scope="col">"State"</th><th scope="col" class="num">"Parameters"</th><th scope="col" class="num">"Context"</th><th scope="col">"Template"</th><th scope="col">"Licence"</th><th scope="col" class="num">"Size"</th><th scope="col">"Digest, BLAKE3"</th><th scope="col"><span class="sr">"Actions"</span></th></tr></thead>
                <tbody>
                    {models.into_iter().map(|m| {
                        let size = m.files.iter().map(|f| f.bytes).sum::<u64>();
                        let start = links::with(links::run_new(&tenant), &[("base", m.name.as_str())]);
                        view! {
                            <tr>
                                <th scope="row"><span class="mono">{m.name.to_string()}</span><small>{m.architecture}</small></th>
                                <td><StateWord status=m.state/>{m.reason.map(|r| view! { <small class="wrap">{r.said()}</small> })}</td>
                                <td class="num" data-label="parameters">{parameters(m.parameters)}</td>
                                <td class="num" data-label="context">{count(m.context)}</td>
                                <td class="mono">{m.template}</td>
                                <td>{if m.licence.is_empty() { view! { <span class="fg-warning">"missing"</span> }.into_any() } else { m.licence.into_any() }}</td>
                                <td class="num drop">{bytes(size)}</td>
                                <td class="mono drop" title=m.digest.clone()>{short_digest(&m.digest)}</td>
                                <td class="num">{(m.state == BaseModelState::Ready).then(|| view! { <a class="btn sm" href=start>"New run"</a> })}</td>
                            </tr>
                        }
                    }).collect_view()}
                </tbody>
            </table>
        </Sheet>
    }
}

/// `3.9 M`, `7.24 B`; a dash when unknown.
pub fn parameters(n: u64) -> String {
    match n {
        0 => "–".into(),
        n if n >= 1_000_000_000 => format!("{:.2} B", n as f64 / 1e9),
        n if n >= 1_000_000 => format!("{:.1} M", n as f64 / 1e6),
        n => count(n),
    }
}

/// `b3:7c1f90aa…d24e`: enough to compare by eye; the whole one is in the tooltip.
pub fn short_digest(digest: &str) -> String {
    match (digest.get(..8), digest.get(digest.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if digest.len() > 16 => format!("b3:{head}…{tail}"),
        _ => digest.to_owned(),
    }
}
