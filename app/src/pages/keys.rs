//! API keys: who may call what, how much, until when; and revoking.

use crate::{
    api::keys::{Choice, KeyList, KeyResponsible, KeyRevoke, list_keys},
    links,
    ui::{
        Copy, Crumb, Empty, Finding, Icon, Load, Off, Order, Paging, Place, ProblemSummary, Reason, Sheet, StateWord, Sure, TenantPage,
        When, count, form::error_of, number::some, on_change, parts::short, use_query, use_tenant,
    },
};
use domain::{
    confirmation,
    key::{ApiKey, KeyState, Limits},
    time::{DAY, Timestamp},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn Keys() -> impl IntoView {
    let (tenant, asked) = (use_tenant(), use_query("revoke"));
    let (text, state) = (use_query("q"), use_query("state"));
    let (hand_over, after) = (use_query("responsible"), use_query("after"));
    let about = Memo::new(move |_| Some(asked.get()).filter(|id| !id.is_empty()).unwrap_or_else(|| hand_over.get()));
    let list = Resource::new(
        move || (tenant.get(), text.get(), state.get(), after.get(), about.get()),
        |(tenant, text, state, after, about)| list_keys(tenant, text, state, after, about),
    );
    let (revoke, responsible) = (ServerAction::<KeyRevoke>::new(), ServerAction::<KeyResponsible>::new());
    on_change(tenant, "", move || list.refetch());
    Effect::new(move |before: Option<(usize, usize)>| {
        let done = (revoke.version().get(), responsible.version().get());
        if before.is_some() {
            list.refetch();
        }
        done
    });
    view! {
        <Title text="API keys"/>
        <TenantPage place=Place::Keys crumbs=vec![Crumb::here("API keys")]>
            <Load resource=list let:list>
                <Head tenant list=list.clone()/>
                <ProblemSummary error=error_of(revoke)/>
                <ProblemSummary error=error_of(responsible)/>
                <Stopping list=list.clone()/>
                {
                    let list = list.clone();
                    move || hand_over.with(|id| list.asked.clone().filter(|k| k.service && k.id.to_string() == *id)).filter(|_| list.may_name)
                        .map(|key| view! { <HandOver tenant key members=list.members.clone() more=list.more_members responsible/> })
                }
                <Unanswered tenant list=list.clone()/>
                {
                    let list = list.clone();
                    move || asked.with(|id| list.asked.clone().filter(|k| k.id.to_string() == *id && k.revoked_at.is_none())).map(|key| view! { <Confirm tenant key revoke/> })
                }
                {if list.any { view! { <Table tenant list text=text.get_untracked() state=state.get_untracked() after=after.get_untracked()/> }.into_any() } else { view! { <FirstUse tenant/> }.into_any() }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Head(tenant: Signal<String>, list: KeyList) -> impl IntoView {
    view! {
        <header class="head">
            <div><h1>"API keys"</h1><p>"API keys let applications call this tenant's models. A key is shown once; only its hash is stored."</p></div>
            <div class="row">{match list.write_refused {
                Some(why) => view! { <Off class="primary" icon="plus" label="New key" why/> }.into_any(),
                None => view! { <a class="btn primary" href=move || links::key_new(&tenant.get())><Icon name="plus"/>"New key"</a> }.into_any(),
            }}</div>
        </header>
        <div class="cols cols-2 urlrow"><div class="field"><span class="label">"Base URL"</span><Copy value=list.base_url what="the base URL"/></div></div>
    }
}

/// One's own keys that stop soon, or have stopped, because the provider has not confirmed one for long.
#[component]
fn Stopping(list: KeyList) -> impl IntoView {
    let stop = list.own.and_then(|k| k.stops_unconfirmed_at()).filter(|stop| confirmation::is_told(*stop, list.now));
    stop.map(|stop| {
        let title = if stop <= list.now { "Your keys have stopped".to_owned() } else { format!("Your keys stop on {}", stop.day()) };
        view! {
            <Reason icon="degraded" title>
                <p>"The identity provider has not confirmed you for a while, and keys stop after 30 days without it. Sign out and in again: that renews them. For a program that must go on without you, ask an owner for a service key."</p>
            </Reason>
        }
    })
}

/// Service keys of which the responsible member has left.
#[component]
fn Unanswered(tenant: Signal<String>, list: KeyList) -> impl IntoView {
    let may = list.may_name;
    list.unanswered.iter().map(|key| {
        let (id, tenant) = (key.id.to_string(), tenant.get_untracked());
        let href = links::with(links::keys(&tenant), &[("responsible", &id)]);
        let text = if may { "The key still works. Assign a responsible member, or revoke it." } else { "The key still works. An owner of the tenant can assign a responsible member." };
        view! {
            <div class="reason">
                <Icon name="degraded"/>
                <div><h2 class="as-h3">{format!("Service key “{}” has no responsible member", key.label)}</h2><p>{format!("{} has left or was not confirmed for 30 days. {text}", key.owner_name)}</p></div>
                {may.then(|| view! { <div class="row row-tight"><a class="btn sm" href=href>"Assign a member"</a></div> })}
            </div>
        }
    }).collect_view()
}

/// Who answers for a service key from now on.
#[component]
fn HandOver(
    tenant: Signal<String>,
    key: ApiKey,
    mut members: Vec<Choice>,
    more: bool,
    responsible: ServerAction<KeyResponsible>,
) -> impl IntoView {
    // Who answers for it now, also when that one is on no first page.
    if members.iter().all(|m| m.id != key.owner) {
        members.insert(0, Choice { id: key.owner, name: key.owner_name.clone() });
    }
    let options = members.into_iter().map(|m| (m.id.to_string(), m.name)).collect::<Vec<_>>();
    view! {
        <section class="panel stack gap-sm" aria-labelledby="hand-over">
            <h2 id="hand-over" class="as-h3">{format!("Who is responsible for “{}”?", key.label)}</h2>
            <ActionForm action=responsible attr:class="row">
                <input type="hidden" name="tenant" value=tenant.get_untracked()/><input type="hidden" name="key" value=key.id.to_string()/>
                <Finding id="person" name="person" label="Member" options chosen=key.owner.to_string() more
                    find=super::key_new::members(tenant)/>
                <button type="submit" class="btn primary">"Save"</button>
                <a class="btn" href=links::keys(&tenant.get_untracked())>"Cancel"</a>
            </ActionForm>
        </section>
    }
}

/// Asked for by a link in the table, so that it works without scripts.
#[component]
fn Confirm(tenant: Signal<String>, key: ApiKey, revoke: ServerAction<KeyRevoke>) -> impl IntoView {
    let used = key.last_used_at.map_or_else(|| "It was never used.".to_owned(), |at| format!("It was last used {}.", at.human()));
    view! {
        <Sure
            title=format!("Revoke “{}”?", key.label)
            sentence=format!("{used} Calls with it fail within a second. This can't be undone.")
            keep=links::keys(&tenant.get_untracked())
        >
            <ActionForm action=revoke>
                <input type="hidden" name="tenant" value=tenant.get_untracked()/><input type="hidden" name="key" value=key.id.to_string()/>
                <button type="submit" class="btn sm danger-solid">"Revoke"</button>
            </ActionForm>
        </Sure>
    }
}

#[component]
fn Table(tenant: Signal<String>, list: KeyList, text: String, state: String, after: String) -> impl IntoView {
    let (shown, next, address) = (list.keys.rows.len(), list.keys.next.clone(), links::keys(&tenant.get_untracked()));
    let kept = (text.clone(), state.clone());
    let to = move |after: String| links::with(address.clone(), &[("q", &kept.0), ("state", &kept.1), ("after", &after)]);
    view! {
        <section class="section" aria-label="Keys">
            <Filter tenant=tenant.get_untracked() text state/>
            {list.keys.rows.is_empty().then(|| view! { <div class="lines"><div class="item"><span class="title">"No matching keys"</span><span class="end"><a class="btn sm" href=links::keys(&tenant.get_untracked())>"Clear filter"</a></span></div></div> })}
            <Sheet label="keys">
                <table class="table fold keys">
                    <thead><tr>
                        <th scope="col">"Name"</th><th scope="col">"State"</th><th scope="col">"Owner"</th><th scope="col">"May call"</th><th scope="col">"Effective limit"</th>
                        <th scope="col">"Last used"</th><th scope="col">"Expires"</th><th scope="col"><span class="sr">"Actions"</span></th>
                    </tr></thead>
                    <tbody>{list.keys.rows.iter().map(|key| line(tenant, key, &list)).collect_view()}</tbody>
                </table>
            </Sheet>
            <Paging order=Order::NewestFirst noun=("key", "keys") shown after next to/>
        </section>
    }
}

#[component]
fn Filter(tenant: String, text: String, state: String) -> impl IntoView {
    let keep = text.clone();
    view! {
        <Form method="get" action="" attr:class="filterbar">
            <label class="control"><Icon name="filter"/><input type="search" name="q" value=text placeholder="Name, owner or model" aria-label="Filter keys"/></label>
            <input type="hidden" name="state" value=state.clone()/>
            <span class="seg" role="group" aria-label="State">
                {[("", "All"), ("working", "Working")].into_iter().map(|(value, label)| {
                    let href = links::with(links::keys(&tenant), &[("q", &keep), ("state", value)]);
                    view! { <a href=href aria-current=(state == value).then_some("true")>{label}</a> }
                }).collect_view()}
            </span>
            <button type="submit" class="btn">"Filter"</button>
        </Form>
    }
}

fn line(tenant: Signal<String>, key: &ApiKey, list: &KeyList) -> impl IntoView + use<> {
    let state = key.state(list.now);
    let refused = if key.owner == list.me && !key.service { list.write_refused.clone() } else { list.revoke_any_refused.clone() };
    let (id, label) = (key.id.to_string(), format!("Revoke {}", key.label));
    let (limit, whose) = effective(key.limits);
    view! {
        <tr>
            <th scope="row">{key.label.clone()}<small class="mono">{format!("{}…", key.hint)}</small></th>
            <td><StateWord status=state/></td>
            <td class="drop">{owner(tenant, key, list)}</td>
            <td>{match &key.models {
                None => "every model of the tenant".into_any(),
                Some(ids) => view! { <span class="mono">{ids.join(", ")}</span> }.into_any(),
            }}</td>
            <td>{limit}<small>{whose}</small></td>
            <td data-label="last used">{key.last_used_at.map_or_else(|| view! { <span class="subtle">"never"</span> }.into_any(), |at| view! { <When at/> }.into_any())}</td>
            <td data-label=key.revoked_at.is_none().then_some("expires") class:fg-warning=move || { state == KeyState::Expiring }>{ends(key, list.now)}</td>
            <td class="num">{match (key.revoked_at, refused) {
                (Some(_), _) => ().into_any(),
                (None, Some(why)) => view! { <Off class="sm" label="Revoke" why/> }.into_any(),
                (None, None) => view! { <a class="btn sm" aria-label=label href=move || links::with(links::keys(&tenant.get()), &[("revoke", &id)])>"Revoke"</a> }.into_any(),
            }}</td>
        </tr>
    }
}

/// The person whose key it is; of a service key, who answers for it, with a link to those who may name another one.
fn owner(tenant: Signal<String>, key: &ApiKey, list: &KeyList) -> impl IntoView + use<> {
    if !key.service {
        return key.owner_name.clone().into_any();
    }
    let gone = key.needs_responsible(list.now);
    let words =
        if gone { format!("no responsible member, formerly {}", key.owner_name) } else { format!("responsible: {}", key.owner_name) };
    let (id, label) = (key.id.to_string(), format!("Change the responsible member of {}", key.label));
    let may = list.may_name && key.revoked_at.is_none();
    view! {
        "Service key"
        <small class:fg-warning=gone>{words}{may.then(|| view! { ". "<a aria-label=label href=move || links::with(links::keys(&tenant.get()), &[("responsible", &id)])>"Change"</a> })}</small>
    }
    .into_any()
}

/// What holds in the end, and which level says so.
fn effective(limits: Limits) -> (String, &'static str) {
    let said = |n: Option<u32>, one, many, when: &str| n.map(|n| format!("{} {when}", some(u64::from(n), one, many)));
    let a_minute: Vec<String> = [(limits.requests_per_minute, "request", "requests"), (limits.tokens_per_minute, "token", "tokens")]
        .into_iter()
        .filter_map(|(n, one, many)| n.map(|n| some(u64::from(n), one, many)))
        .collect();
    let a_minute = (!a_minute.is_empty()).then(|| format!("{} a minute", a_minute.join(", ")));
    let parts: Vec<String> = a_minute.into_iter().chain(said(limits.concurrent_calls, "call", "calls", "at a time")).collect();
    if parts.is_empty() { ("none of its own".into(), "what the model servers can carry") } else { (parts.join(", "), "key's own limit") }
}

fn ends(key: &ApiKey, now: Timestamp) -> String {
    match (key.state(now), key.stops_unconfirmed_at()) {
        (KeyState::OwnerLeft, _) => return "when the owner left".into(),
        (KeyState::Unconfirmed, Some(stop)) => return format!("stopped {}, until the owner signs in", short(stop)),
        (KeyState::Expiring, Some(stop)) if key.expires_at.is_none_or(|end| stop < end) => {
            return format!("stops {}, unless the owner signs in", short(stop));
        }
        _ => {}
    }
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", short(at)),
        (None, None) => "never".into(),
        (None, Some(end)) if end <= now => format!("ended {}", short(end)),
        (None, Some(end)) => match end.since(now) / DAY {
            0 => "today".into(),
            1 => "in 1 day".into(),
            n => format!("in {} days", count(n as u64)),
        },
    }
}

#[component]
fn FirstUse(tenant: Signal<String>) -> impl IntoView {
    view! {
        <Empty title="No API keys yet">
            <p>"Works with any OpenAI client: set the base URL above and the key."</p>
            <div class="row"><a class="btn primary" href=move || links::key_new(&tenant.get())>"Create your first key"</a></div>
        </Empty>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_says_at_which_level_it_holds() {
        assert_eq!(
            effective(Limits { requests_per_minute: Some(60), ..Limits::default() }),
            ("60\u{a0}requests a minute".into(), "key's own limit")
        );
        assert_eq!(
            effective(Limits { tokens_per_minute: Some(1), concurrent_calls: Some(2), ..Limits::default() }).0,
            "1\u{a0}token a minute, 2\u{a0}calls at a time"
        );
        assert_eq!(effective(Limits::default()).0, "none of its own");
    }
}
