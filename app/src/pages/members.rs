//! Members of a tenant: who they are, when the identity provider last confirmed them, and ending what one of them has open.

use crate::{
    api::members::{MemberEnd, MemberList, list_members},
    links,
    ui::{
        Crumb, Empty, Icon, Load, Off, Order, Paging, Place, ProblemSummary, Sheet, Sure, TenantPage, When, count, form::error_of,
        number::some, on_change, use_query, use_tenant,
    },
};
use domain::{
    confirmation,
    people::Member,
    time::{DAY, Timestamp},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn Members() -> impl IntoView {
    let (tenant, asked, text, after) = (use_tenant(), use_query("end"), use_query("q"), use_query("after"));
    let list = Resource::new(
        move || (tenant.get(), text.get(), after.get(), asked.get()),
        |(tenant, text, after, asked)| list_members(tenant, text, after, asked),
    );
    let end = ServerAction::<MemberEnd>::new();
    on_change(tenant, "", move || list.refetch());
    Effect::new(move |before: Option<usize>| {
        let done = end.version().get();
        if before.is_some() {
            list.refetch();
        }
        done
    });
    view! {
        <Title text="Members"/>
        <TenantPage place=Place::Members crumbs=vec![Crumb::here("Members")]>
            <Load resource=list let:list>
                <header class="head">
                    <div><h1>"Members"</h1><p>"From groups of the identity provider: people are added, removed and given roles there."</p></div>
                </header>
                <ProblemSummary error=error_of(end)/>
                {
                    let list = list.clone();
                    move || asked.with(|id| list.asked.clone().filter(|m| m.person.to_string() == *id)).map(|member| {
                        let (keep, itself) = (links::members(&tenant.get_untracked()), member.person == list.me);
                        view! {
                            <ConfirmEnd member=member.clone() itself keys="in this tenant" keep>
                                <ActionForm action=end>
                                    <input type="hidden" name="tenant" value=tenant.get_untracked()/><input type="hidden" name="person" value=member.person.to_string()/>
                                    <button type="submit" class="btn sm danger-solid">"End access"</button>
                                </ActionForm>
                            </ConfirmEnd>
                        }
                    })
                }
                <Body tenant list text=text.get_untracked() after=after.get_untracked()/>
            </Load>
        </TenantPage>
    }
}

#[component]
fn Body(tenant: Signal<String>, list: MemberList, text: String, after: String) -> impl IntoView {
    let base = links::members(&tenant.get_untracked());
    if list.members.rows.is_empty() && text.is_empty() && after.is_empty() {
        return view! { <NobodyYet/> }.into_any();
    }
    let (shown, address, kept) = (list.members.rows.len(), base.clone(), text.clone());
    let to = move |after: String| links::with(address.clone(), &[("q", &kept), ("after", &after)]);
    let table = if list.members.rows.is_empty() {
        view! { <div class="lines"><div class="item"><span class="title">"No matching members"</span><span class="end"><a class="btn sm" href=base.clone()>"Clear filter"</a></span></div></div> }.into_any()
    } else {
        view! { <MemberTable members=list.members.rows now=list.now base=base.clone() end_refused=list.end_refused/> }.into_any()
    };
    view! {
        <Form method="GET" action=base attr:class="filterbar" attr:role="search">
            <label class="control"><Icon name="filter"/><input type="search" name="q" placeholder="Name or e-mail" aria-label="Filter members" value=text/></label>
            <button type="submit" class="btn">"Filter"</button>
        </Form>
        {table}
        <Paging order=Order::ByName noun=("member", "members") shown after next=list.members.next to/>
    }
    .into_any()
}

/// Before the first sign-in.
#[component]
pub(super) fn NobodyYet() -> impl IntoView {
    view! { <Empty title="Nobody yet"><p>"Put people into a group of this tenant at the identity provider; they appear here when they sign in."</p></Empty> }
}

/// The question before somebody's access is ended; `children` is the form that does it. `keys`: which of the person's keys end.
#[component]
pub(super) fn ConfirmEnd(member: Member, itself: bool, keys: &'static str, keep: String, children: Children) -> impl IntoView {
    let sessions = some(u64::from(member.sessions), "session", "sessions");
    let you = if itself { " This is you: you will be signed out." } else { "" };
    let sentence = format!(
        "{sessions} and the person's own keys {keys} end at once. Service keys go on. To keep {} out, remove them from the group at the identity provider too, or they can sign in again.{you}",
        member.person_name
    );
    view! { <Sure title=format!("End the access of {}?", member.person_name) sentence keep>{children()}</Sure> }
}

/// `base` = the page that asks, with `?end=` and the person's id.
#[component]
pub(super) fn MemberTable(members: Vec<Member>, now: Timestamp, base: String, end_refused: Option<String>) -> impl IntoView {
    view! {
        <Sheet label="members">
            <table class="table fold members">
                <thead><tr>
                    <th scope="col">"Member"</th><th scope="col">"Role"</th><th scope="col">"Since"</th><th scope="col">"Last seen"</th><th scope="col">"Confirmed"</th>
                    <th scope="col" class="num">"Sessions"</th><th scope="col" class="num">"Own keys"</th><th scope="col"><span class="sr">"Actions"</span></th>
                </tr></thead>
                <tbody>{members.into_iter().map(|m| {
                    let (id, label) = (m.person.to_string(), format!("End the access of {}", m.person_name));
                    let old = confirmation::is_told(confirmation::keys_stop_at(m.confirmed_at), now);
                    view! {
                        <tr>
                            <th scope="row">{m.person_name}<small>{m.email}</small></th><td>{super::models::capital(m.role.word())}</td>
                            <td class="nowrap drop"><When at=m.since/></td><td class="nowrap" data-label="last seen"><When at=m.last_seen_at/></td>
                            <td class="nowrap" data-label="confirmed" class:fg-warning=old><When at=m.confirmed_at/>{old.then(|| view! { <small>{age(m.confirmed_at, now)}</small> })}</td>
                            <td class="num" data-label="sessions">{count(u64::from(m.sessions))}</td><td class="num" data-label="own keys">{count(u64::from(m.keys))}</td>
                            <td class="num">{match &end_refused {
                                Some(why) => view! { <Off class="sm" label="End access" why=why.clone()/> }.into_any(),
                                None => view! { <a class="btn sm" aria-label=label href=links::with(base.clone(), &[("end", &id)])>"End access"</a> }.into_any(),
                            }}</td>
                        </tr>
                    }
                }).collect_view()}</tbody>
            </table>
        </Sheet>
        <p class="small muted after">"Confirmed: when the identity provider last said that the person belongs here. A person's own keys stop 30 days after it."</p>
    }
}

fn age(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", some((now.since(at) / DAY).unsigned_abs(), "day", "days"))
}
