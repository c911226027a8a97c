//! Usage records that the database refused: what they are, why, and the button that tries again.

use crate::{
    api::set_aside::{SetAsidePage, TrySetAsideAgain, get_set_aside},
    links,
    ui::{AdminPage, Crumb, Empty, Load, Off, Order, Paging, Place, ProblemSummary, Sheet, When, count, form::error_of, use_query},
};
use domain::usage::SetAside;
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn AdminUsage() -> impl IntoView {
    let again = ServerAction::<TrySetAsideAgain>::new();
    let after = use_query("after");
    let page = Resource::new(move || (after.get(), again.version().get()), |(after, _)| get_set_aside(after));
    view! {
        <Title text="Usage records"/>
        <AdminPage place=Place::AdminUsage crumbs=vec![Crumb::here("Usage records")]>
            <Load resource=page let:page>
                <header class="head"><div><h1>"Usage records"</h1><p>"Every API call is recorded. A record that the database refuses is set aside here with the reason, so that it holds up no other."</p></div></header>
                <Records page after=after.get_untracked() again/>
            </Load>
        </AdminPage>
    }
}

#[component]
fn Records(page: SetAsidePage, after: String, again: ServerAction<TrySetAsideAgain>) -> impl IntoView {
    let error = error_of(again);
    let came_of_it = move || {
        let done = again.value().get()?.ok()?;
        let refused = if done.refused == 0 { String::new() } else { format!(" {} refused again.", count(done.refused)) };
        Some(view! { <p role="status">{format!("{} recorded.{refused}", count(done.recorded))}</p> })
    };
    if page.total == 0 {
        return view! { {came_of_it} <Empty title="Every call is recorded"><p>"No record was refused."</p></Empty> }.into_any();
    }
    let (shown, next) = (page.calls.rows.len(), page.calls.next);
    let to = |after: String| links::with(links::admin_usage(), &[("after", &after)]);
    let more = (page.total > shown as u64).then(|| format!("{} records. The file holds all of them.", count(page.total)));
    view! {
        <ProblemSummary error/>
        {came_of_it}
        <div class="row">
            <ActionForm action=again>
                {match page.write_refused {
                    Some(why) => view! { <Off class="primary" label="Try again" why/> }.into_any(),
                    None => view! { <button type="submit" class="btn primary" aria-busy=move || again.pending().get().then_some("true")>"Try again"</button> }.into_any(),
                }}
            </ActionForm>
            <a class="btn" href=links::admin_set_aside_file() rel="external" download="set-aside.jsonl">"Download as JSON Lines"</a>
        </div>
        {more.map(|more| view! { <p class="small muted">{more}</p> })}
        <Sheet label="refused records">
            <table class="table fold">
                <thead><tr><th scope="col">"Call"</th><th scope="col">"Tenant"</th><th scope="col">"Model"</th><th scope="col">"Called"</th><th scope="col" class="num">"Prompt tokens"</th><th scope="col" class="num">"Completion tokens"</th><th scope="col">"Why it was refused"</th></tr></thead>
                <tbody>{page.calls.rows.into_iter().map(line).collect_view()}</tbody>
            </table>
        </Sheet>
        <Paging order=Order::OldestFirst noun=("record", "records") shown after next to/>
    }
    .into_any()
}

fn line(aside: SetAside) -> impl IntoView {
    let SetAside { call, reason, .. } = aside;
    view! {
        <tr>
            <th scope="row" class="mono">{call.id.to_string()}</th>
            <td class="mono" data-label="tenant">{call.tenant.to_string()}</td>
            <td class="mono drop">{call.model}</td>
            <td class="nowrap drop"><When at=call.at/></td>
            <td class="num drop">{count(u64::from(call.prompt_tokens))}</td>
            <td class="num drop">{count(u64::from(call.completion_tokens))}</td>
            <td data-label="reason">{reason.said()}</td>
        </tr>
    }
}
