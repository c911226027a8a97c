//! The tenants of the platform, and how much of their quotas they hold.

use crate::{
    api::admin::list_tenants,
    links,
    ui::{
        AdminPage, Crumb, Empty, Icon, Load, Off, Order, Paging, Place, Sheet, StateWord, When, bytes, count,
        number::{percent, some},
        use_query,
    },
};
use domain::tenant::TenantOverview;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn AdminTenants() -> impl IntoView {
    let (text, after) = (use_query("q"), use_query("after"));
    let list = Resource::new(move || (text.get(), after.get()), |(text, after)| list_tenants(text, after));
    view! {
        <Title text="Tenants"/>
        <AdminPage place=Place::AdminTenants crumbs=vec![Crumb::here("Tenants")]>
            <Load resource=list let:list>
                <header class="head">
                    <div><h1>"Tenants"</h1><p>{format!("{}. Each tenant has its own data, runs, models and keys.", some(list.total, "tenant", "tenants"))}</p></div>
                    <div class="row">{match list.write_refused {
                        Some(why) => view! { <Off class="primary" icon="plus" label="New tenant" why/> }.into_any(),
                        None => view! { <a class="btn primary" href=links::admin_tenant_new()><Icon name="plus"/>"New tenant"</a> }.into_any(),
                    }}</div>
                </header>
                <Form method="GET" action=links::admin_tenants() attr:class="filterbar" attr:role="search">
                    <label class="control"><Icon name="filter"/><input type="search" name="q" placeholder="Filter by name" aria-label="Filter tenants" value=text.get_untracked()/></label>
                    <span class="end legend"><span class="key" style="--c:var(--color-muted)">"used"</span><span class="key hatch">"queued"</span></span>
                </Form>
                {
                    let (text, shown) = (text.get_untracked(), list.tenants.rows.len());
                    let table = table(list.tenants.rows, list.total, &text);
                    let to = move |after: String| links::with(links::admin_tenants(), &[("q", &text), ("after", &after)]);
                    view! { {table}<Paging order=Order::ByName noun=("tenant", "tenants") shown after=after.get_untracked() next=list.tenants.next to/> }
                }
            </Load>
        </AdminPage>
    }
}

fn table(shown: Vec<TenantOverview>, total: u64, text: &str) -> AnyView {
    if total == 0 {
        return view! { <Empty title="No tenant yet"><p>"Create the first one. People join it through groups of the identity provider."</p><div class="row"><a class="btn primary" href=links::admin_tenant_new()>"New tenant"</a></div></Empty> }.into_any();
    }
    if shown.is_empty() {
        let sentence = format!("No results for “{text}”. {} without the filter.", count(total));
        return view! { <Empty title="No matching tenants"><p>{sentence}</p><div class="row"><a class="btn" href=links::admin_tenants()>"Clear filters"</a></div></Empty> }.into_any();
    }
    view! {
        <Sheet label="tenants">
            <table class="table fold tenants">
                <thead><tr><th scope="col">"Tenant"</th><th scope="col">"State"</th><th scope="col">"Concurrent runs"</th><th scope="col">"Storage"</th><th scope="col">"Endpoints"</th><th scope="col" class="num">"Members"</th><th scope="col">"Since"</th></tr></thead>
                <tbody>{shown.into_iter().map(line).collect_view()}</tbody>
            </table>
        </Sheet>
    }
    .into_any()
}

fn line(o: TenantOverview) -> impl IntoView {
    let (t, h) = (o.tenant, o.holding);
    let waits = if h.runs_queued > 0 { format!(", {} queued", h.runs_queued) } else { String::new() };
    view! {
        <tr>
            <th scope="row"><a href=links::admin_tenant(&t.name)>{t.title}</a><small class="mono">{t.name.to_string()}</small></th>
            <td><StateWord status=t.state/></td>
            <td data-label="concurrent runs">{held(u64::from(h.runs_active), u64::from(t.quota.concurrent_runs), h.runs_active.to_string(), format!("{}{waits}", t.quota.concurrent_runs))}</td>
            <td class="drop">{held(h.storage_bytes, t.quota.storage_bytes, bytes(h.storage_bytes), bytes(t.quota.storage_bytes))}</td>
            <td class="drop">{held(u64::from(h.endpoints), u64::from(t.quota.endpoints), h.endpoints.to_string(), t.quota.endpoints.to_string())}</td>
            <td class="num drop">{count(h.members)}</td>
            <td class="nowrap drop"><When at=t.created_at/></td>
        </tr>
    }
}

/// “2 of 3” over a meter that turns amber from 80 %.
fn held(used: u64, limit: u64, used_word: String, limit_word: String) -> impl IntoView {
    let amber = if used * 10 >= limit * 8 && used > 0 { ";--c:var(--color-warning)" } else { "" };
    view! { <span class="q"><span><b>{used_word}</b>{format!(" of {limit_word}")}</span><span class="meter" style=format!("--v:{}{amber}", percent(used, limit)) aria-hidden="true"><i></i></span></span> }
}
