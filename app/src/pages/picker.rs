//! `/`: where to go. One tenant leads straight there; several are a list; none is a page that says why.

use crate::{
    api::tenants_home::{Signed, get_whoami},
    links,
    ui::{Icon, Load, Order, Paging, load::Refusal, use_query},
};
use domain::problem::{Problem, ProblemKind};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Redirect;

#[component]
pub fn Picker() -> impl IntoView {
    let (choose, after) = (use_query("choose"), use_query("after"));
    let who = Resource::new(move || after.get(), get_whoami);
    view! {
        <Title text="Tenants"/>
        <div class="standalone">
            <main id="main" tabindex="-1">
                <p class="mark">"Atelier"</p>
                <Load resource=who let:who>
                    {match who {
                        None => view! { <Refusal error=Problem::new(ProblemKind::Unauthenticated, "").into()/> }.into_any(),
                        Some(who) => view! { <Choice who choose=!choose.get_untracked().is_empty() after=after.get_untracked()/> }.into_any(),
                    }}
                </Load>
            </main>
        </div>
    }
}

#[component]
fn Choice(who: Signed, choose: bool, after: String) -> impl IntoView {
    // On a page of several, one tenant is the last of many.
    let choose = choose || !after.is_empty();
    match (who.memberships.as_slice(), who.platform_role) {
        ([], None) => return view! { <Redirect path="/no-access"/> }.into_any(),
        ([(only, _)], None) if !choose => return view! { <Redirect path=links::home(only)/> }.into_any(),
        ([], Some(_)) if !choose => return view! { <Redirect path=links::admin_tenants()/> }.into_any(),
        _ => {}
    }
    let (shown, to) = (who.memberships.len(), |after: String| links::with("/".to_owned(), &[("choose", "1"), ("after", &after)]));
    view! {
        <h1>"Welcome, "{who.name.clone()}"?"</h1>
        <ul class="lines">
            {who.memberships.iter().map(|(tenant, role)| view! {
                <li class="item"><a class="title" href=links::home(tenant)>{tenant.to_string()}</a><span class="end small subtle">{role.word()}</span></li>
            }).collect_view()}
            {who.platform_role.map(|role| view! {
                <li class="item"><a class="title" href=links::admin_tenants()>"Platform"</a><span class="end small subtle">{role.word()}</span></li>
            })}
        </ul>
        <Paging order=Order::ByName noun=("tenant", "tenants") shown after next=who.next to/>
        <form method="post" action=links::sign_out()><button type="submit" class="btn"><Icon name="left"/>"Sign out"</button></form>
    }
    .into_any()
}
