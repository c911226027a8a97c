//! A new API key. The secret is shown once, on the answer to this form, and is never in an address.

use crate::{
    api::keys::{KeyChoices, KeyCreate, KeyForm, Posted, find_members, get_key_choices},
    links,
    ui::{
        Copy, Crumb, Field, Icon, Load, Place, ProblemSummary, TenantPage,
        copy::put,
        finding::{Find, Found, Search, find},
        form::{FieldNote, fields_of},
        use_tenant,
    },
};
use domain::{key::CreatedKey, problem::FieldProblem};
use leptos::{form::FromFormData, prelude::*};
use leptos_meta::Title;

/// Finds members by a part of their name or address.
pub(super) fn members(tenant: Signal<String>) -> Find {
    find(move |text| {
        let asked = find_members(tenant.get_untracked(), text);
        async move { Some(asked.await.ok()?.into_iter().map(|m| (m.id.to_string(), m.name)).collect()) }
    })
}

#[component]
pub fn KeyNew() -> impl IntoView {
    let tenant = use_tenant();
    let choices = Resource::new(move || tenant.get(), get_key_choices);
    let create = ServerAction::<KeyCreate>::new();
    // With scripts off the form is posted to this page's own address; what came of it is given by the server.
    let posted = SharedValue::new(|| {
        #[cfg(feature = "ssr")]
        return use_context::<Posted>();
        #[cfg(not(feature = "ssr"))]
        None::<Posted>
    })
    .into_inner();
    let typed = posted.as_ref().map(|p| p.form.clone()).unwrap_or_else(|| KeyForm {
        may: "all".into(),
        whose: "me".into(),
        expires_in_days: "90".into(),
        ..KeyForm::default()
    });
    let first = posted.map(|p| p.answer);
    let answer = Signal::derive(move || create.value().get().or_else(|| first.clone()));
    let crumbs = Signal::derive(move || vec![Crumb::to("API keys", links::keys(&tenant.get())), Crumb::here("New")]);
    view! {
        <Title text="New API key"/>
        <TenantPage place=Place::Keys crumbs>
            <Load resource=choices let:choices>
                {
                    let (choices, typed) = (choices.clone(), typed.clone());
                    move || match answer.get() {
                        Some(Ok(made)) => view! { <ShownOnce made base_url=choices.base_url.clone() tenant/> }.into_any(),
                        other => view! { <Ask tenant choices=choices.clone() typed=typed.clone() create error=Signal::stored(other.and_then(Result::err))/> }.into_any(),
                    }
                }
            </Load>
        </TenantPage>
    }
}

#[component]
fn Ask(
    tenant: Signal<String>,
    choices: KeyChoices,
    typed: KeyForm,
    create: ServerAction<KeyCreate>,
    error: Signal<Option<crate::api::AppError>>,
) -> impl IntoView {
    let problems = fields_of(error);
    let models_problem = move || problems.with(|all| all.iter().find(|p| p.field == "models").cloned());
    let send = move |ev: leptos::ev::SubmitEvent| {
        // By script the answer is drawn in place; without, the browser posts to the page.
        if let Ok(data) = KeyCreate::from_event(&ev) {
            ev.prevent_default();
            create.dispatch(data);
        }
    };
    let some = RwSignal::new(typed.may == "some");
    let (whose_choices, whose_typed) = (choices.clone(), typed.clone());
    // Where a narrow column may break it.
    let (host, path) = choices.base_url.split_at(choices.base_url.find(&links::home(&"")).unwrap_or(choices.base_url.len()));
    let (host, path) = (host.to_owned(), path.to_owned());
    view! {
        <header class="head"><div><h1>"New API key"</h1><p>"API keys let applications call this tenant's models. A key is shown once; only its hash is stored."</p></div></header>
        <ProblemSummary error/>
        <div class="cols cols-side">
            <form method="post" action=move || links::key_new(&tenant.get()) class="stack-lg" id="key-form" on:submit=send>
                <input type="hidden" name="tenant" value=move || tenant.get()/>
                <fieldset class="form"><legend><h2>"Name and expiry"</h2></legend>
                    <Field name="label" label="Name" problems help="Seen in usage and in the audit log">
                        <input id="label" name="form[label]" required maxlength="80" value=typed.label autocomplete="off" aria-describedby="label-says"/>
                    </Field>
                    <Field name="expires_in_days" label="Expires after" problems help="Leave empty for no expiry. 90 days is recommended." optional=true>
                        <input id="expires_in_days" name="form[expires_in_days]" inputmode="numeric" value=typed.expires_in_days aria-describedby="expires_in_days-says"/><span class="unit">"days"</span>
                    </Field>
                </fieldset>
                <Whose tenant choices=whose_choices typed=whose_typed problems/>
                <fieldset class="stack gap-sm"><legend><h2>"May call"</h2></legend>
                    <div class="choice two">
                        <label><input type="radio" name="form[may]" value="all" checked=!some.get_untracked() prop:checked=move || !some.get() on:change=move |_| some.set(false)/><span><b>"Every model of the tenant"</b><small>"including future models"</small></span></label>
                        <label><input type="radio" name="form[may]" value="some" checked=some.get_untracked() prop:checked=move || some.get() on:change=move |_| some.set(true)/><span><b>"Only these"</b><small>"other models answer as not found"</small></span></label>
                    </div>
                    <div class="pack">{choices.models.iter().enumerate().map(|(i, id)| view! {
                        <label class="check"><input type="checkbox" name=format!("form[models][{i}]") value=id.clone() checked=typed.models.contains(id) on:change=move |_| some.set(true)/><span class="mono">{id.clone()}</span></label>
                    }).collect_view()}</div>
                    {choices.more_models.then(|| view! {
                        <label class="stack gap-sm" for="others"><span class="small muted">"Not all models are shown. Others by their names, with commas:"</span>
                            <span class="control"><input id="others" name="form[others]" class="mono" value=typed.others.clone() autocomplete="off" on:input=move |_| some.set(true)/></span></label>
                    })}
                    {move || models_problem().map(|problem| view! { <div class="field"><FieldNote name="models" problem/></div> })}
                </fieldset>
                <fieldset class="form"><legend><h2>"Limits"</h2></legend>
                    <Field name="requests_per_minute" label="Requests" problems help="Leave empty for no limit" optional=true>
                        <input id="requests_per_minute" name="form[requests_per_minute]" inputmode="numeric" value=typed.requests_per_minute aria-describedby="requests_per_minute-says"/><span class="unit">"a minute"</span>
                    </Field>
                    <Field name="tokens_per_minute" label="Tokens" problems help="Prompt and answer together; reserved before a call, settled after it" optional=true>
                        <input id="tokens_per_minute" name="form[tokens_per_minute]" inputmode="numeric" value=typed.tokens_per_minute aria-describedby="tokens_per_minute-says"/><span class="unit">"a minute"</span>
                    </Field>
                    <Field name="concurrent_calls" label="Concurrent calls" problems help="Leave empty for what every key of the tenant has" optional=true>
                        <input id="concurrent_calls" name="form[concurrent_calls]" inputmode="numeric" value=typed.concurrent_calls aria-describedby="concurrent_calls-says"/><span class="unit">"at a time"</span>
                    </Field>
                </fieldset>
            </form>
            <aside class="preflight" aria-labelledby="holds">
                <header class="row between"><h2 id="holds">"Good to know"</h2></header>
                <dl class="kv">
                    <dt>"Address"</dt><dd class="mono">{host}<wbr/>{path}</dd>
                    <dt>"Prompts stored"</dt><dd>"no "<small>"only token counts are recorded"</small></dd>
                    <dt>"Can be revoked by"</dt><dd>"you, owners; a service key by owners only "<small>"within a second"</small></dd>
                    <dt>"If you leave"</dt><dd>"your own key stops; a service key keeps working "<small>"your own key also stops when you have not signed in for 30 days"</small></dd>
                </dl>
                <div class="stack gap-sm">
                    <button type="submit" form="key-form" class="btn primary" aria-busy=move || create.pending().get().then_some("true")>"Create key"</button>
                    <p class="small muted">"You can see it only once."</p>
                </div>
            </aside>
        </div>
    }
}

/// One's own key, or one of the tenant's with somebody who answers for it.
#[component]
fn Whose(tenant: Signal<String>, choices: KeyChoices, typed: KeyForm, problems: Signal<Vec<FieldProblem>>) -> impl IntoView {
    let service = RwSignal::new(typed.whose == "tenant" && choices.service_refused.is_none());
    let chosen = if typed.responsible.is_empty() { choices.me.to_string() } else { typed.responsible };
    let found = Found::new(choices.members.iter().map(|m| (m.id.to_string(), m.name.clone())).collect(), members(tenant));
    let (chosen, more) = (RwSignal::new(chosen), choices.more_members);
    let refused = choices.service_refused.clone();
    let off = refused.is_some();
    view! {
        <fieldset class="stack gap-sm"><legend><h2>"Owner"</h2></legend>
            <div class="choice two">
                <label><input type="radio" name="form[whose]" value="me" checked=!service.get_untracked() prop:checked=move || !service.get() on:change=move |_| service.set(false)/><span><b>"Me"</b><small>"stops when you leave the tenant"</small></span></label>
                <label><input type="radio" name="form[whose]" value="tenant" disabled=off checked=service.get_untracked() prop:checked=move || service.get() on:change=move |_| service.set(true)/><span><b>"The tenant (service key)"</b><small>{refused.unwrap_or_else(|| "keeps working when people leave; a member is responsible for it".to_owned())}</small></span></label>
            </div>
            {(!off).then(|| view! {
                <div class="form">
                    <Field name="responsible" label="Responsible member" problems help="Owners are told when this member has left" optional=true>
                        <select id="responsible" name="form[responsible]" aria-describedby="responsible-says"
                            on:change:target=move |ev| { service.set(true); chosen.set(ev.target().value()) }>
                            {found.offered(move || chosen.get())}
                        </select>
                    </Field>
                    <Search found label="Responsible member" more/>
                </div>
            })}
        </fieldset>
    }
}

/// The only moment the key is seen.
#[component]
fn ShownOnce(made: CreatedKey, base_url: String, tenant: Signal<String>) -> impl IntoView {
    let lines = format!("export OPENAI_BASE_URL={base_url}\nexport OPENAI_API_KEY={}", made.secret);
    let copied = lines.clone();
    view! {
        <header class="head"><div><h1>{format!("“{}” is ready", made.key.label)}</h1><p>"Copy it now. It can't be shown again."</p></div></header>
        <section class="stack narrow" aria-label="The key" role="status">
            <Copy class="key" value=made.secret what="the key"/>
            <div class="field"><span class="label">"Environment variables"</span>
                <pre class="code" tabindex="0" role="region" aria-label="Environment variables">{lines}</pre>
                <p><button type="button" class="btn sm scripted" on:click=move |_| put(&copied)><Icon name="copy"/>"Copy both lines"</button></p>
            </div>
            <div class="row">
                <a class="btn primary" href=move || links::keys(&tenant.get())>"I have stored it"</a>
                <a class="btn" href=move || links::usage(&tenant.get())>"View usage"</a>
            </div>
        </section>
    }
}
