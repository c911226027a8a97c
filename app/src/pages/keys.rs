//! API keys: who may call what, how much, until when; and revoking.

use crate::{
    api::keys::{KeyList, KeyRevoke, list_keys},
    links,
    ui::{
        Copy, Crumb, Empty, Icon, Load, Off, Place, ProblemSummary, Sheet, StateWord, TenantPage, When, count, form::error_of,
        number::some, on_change, parts::short, use_query, use_tenant,
    },
};
use domain::{
    key::{ApiKey, KeyState, Limits},
    time::{DAY, Timestamp},
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Keys() -> impl IntoView {
    let (tenant, asked) = (use_tenant(), use_query("revoke"));
    let list = Resource::new(move || tenant.get(), list_keys);
    let revoke = ServerAction::<KeyRevoke>::new();
    on_change(tenant, "", move || list.refetch());
    Effect::new(move |before: Option<usize>| {
        let done = revoke.version().get();
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
                {
                    let list = list.clone();
                    move || asked.with(|id| list.keys.iter().find(|k| k.id.to_string() == *id && k.revoked_at.is_none()).cloned()).map(|key| view! { <Confirm tenant key revoke/> })
                }
                {if list.keys.is_empty() { view! { <FirstUse tenant/> }.into_any() } else { view! { <Table tenant list/> }.into_any() }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Head(tenant: Signal<String>, list: KeyList) -> impl IntoView {
    view! {
        <header class="head">
            <div><h1>"API keys"</h1><p>"For programs that call this tenant's models. A key is shown once; only a fingerprint is kept."</p></div>
            <div class="row">{match list.write_refused {
                Some(why) => view! { <Off class="primary" icon="plus" label="New key" why/> }.into_any(),
                None => view! { <a class="btn primary" href=move || links::key_new(&tenant.get())><Icon name="plus"/>"New key"</a> }.into_any(),
            }}</div>
        </header>
        <div class="cols cols-2 urlrow"><div class="field"><span class="label">"Base URL"</span><Copy value=list.base_url what="the base URL"/></div></div>
    }
}

/// Asked for by a link in the table, so that it works without scripts.
#[component]
fn Confirm(tenant: Signal<String>, key: ApiKey, revoke: ServerAction<KeyRevoke>) -> impl IntoView {
    let used = key.last_used_at.map_or_else(|| "It was never used.".to_owned(), |at| format!("It was last used {}.", at.human()));
    view! {
        <div class="reason danger" role="alertdialog" aria-labelledby="revoke-title">
            <Icon name="failed"/>
            <div>
                <h2 id="revoke-title" class="as-h3">{format!("Revoke “{}”?", key.label)}</h2>
                <p>{format!("{used} Whoever calls with it is refused within a second, for good. A new key has to be made then.")}</p>
            </div>
            <div class="row row-tight">
                <a class="btn sm" href=move || links::keys(&tenant.get())>"Keep it"</a>
                <ActionForm action=revoke>
                    <input type="hidden" name="tenant" value=move || tenant.get()/><input type="hidden" name="key" value=key.id.to_string()/>
                    <button type="submit" class="btn sm danger-solid">"Revoke"</button>
                </ActionForm>
            </div>
        </div>
    }
}

#[component]
fn Table(tenant: Signal<String>, list: KeyList) -> impl IntoView {
    view! {
        <section class="section" aria-label="Keys">
            <Sheet label="keys">
                <table class="table fold keys">
                    <thead><tr>
                        <th scope="col">"Name"</th><th scope="col">"State"</th><th scope="col">"Owner"</th><th scope="col">"May call"</th><th scope="col">"Effective limit"</th>
                        <th scope="col">"Last used"</th><th scope="col">"Expires"</th><th scope="col"><span class="sr">"Actions"</span></th>
                    </tr></thead>
                    <tbody>{list.keys.iter().map(|key| line(tenant, key, &list)).collect_view()}</tbody>
                </table>
            </Sheet>
        </section>
    }
}

fn line(tenant: Signal<String>, key: &ApiKey, list: &KeyList) -> impl IntoView + use<> {
    let state = key.state(list.now);
    let refused = if key.owner == list.me { list.write_refused.clone() } else { list.revoke_any_refused.clone() };
    let (id, label) = (key.id.to_string(), format!("Revoke {}", key.label));
    let (limit, whose) = effective(key.limits);
    view! {
        <tr>
            <th scope="row">{key.label.clone()}<small class="mono">{format!("{}…", key.hint)}</small></th>
            <td><StateWord status=state/></td>
            <td class="drop">{key.owner_name.clone()}</td>
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

/// What holds in the end, and which level says so.
fn effective(limits: Limits) -> (String, &'static str) {
    let parts: Vec<String> = [(limits.requests_per_minute, "request", "requests"), (limits.tokens_per_minute, "token", "tokens")]
        .into_iter()
        .filter_map(|(n, one, many)| n.map(|n| some(u64::from(n), one, many)))
        .collect();
    if parts.is_empty() {
        ("none of its own".into(), "what the model servers can carry")
    } else {
        (format!("{} a minute", parts.join(", ")), "key's own limit")
    }
}

fn ends(key: &ApiKey, now: Timestamp) -> String {
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
        <Empty title="No key yet">
            <p>"A key lets a program call the models with any OpenAI client: set the base URL above and the key, nothing else changes."</p>
            <div class="row"><a class="btn primary" href=move || links::key_new(&tenant.get())>"Make the first key"</a></div>
        </Empty>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_says_at_which_level_it_holds() {
        assert_eq!(
            effective(Limits { requests_per_minute: Some(60), tokens_per_minute: None }),
            ("60\u{a0}requests a minute".into(), "key's own limit")
        );
        assert_eq!(effective(Limits::default()).0, "none of its own");
    }
}
