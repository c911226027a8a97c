//! One tenant as the platform's admin sees it: state, quota, members. None of its data.

use super::{
    admin_tenant_delete::{ConfirmDelete, Deleting},
    admin_tenant_isolation::Isolation,
    admin_tenant_objects::Objects,
    members::{ConfirmEnd, MemberTable, NobodyYet},
};
use crate::{
    api::{
        admin::{
            AdminMemberEnd, CallsForm, QuotaForm, TenantCalls, TenantDelete, TenantGroups, TenantPage as Page, TenantQuota, TenantResume,
            TenantSuspend, tenant_get,
        },
        admin_isolation::{TenantIsolationCheck, tenant_isolation},
        admin_objects::tenant_objects,
    },
    links,
    ui::{
        AdminPage, Chip, Crumb, Field, Icon, Load, Off, Order, Paging, Place, ProblemSummary, bytes,
        form::{error_of, fields_of},
        use_param, use_query,
    },
};
use domain::{
    problem::FieldProblem,
    tenant::{Holding, Quota, TenantState},
    tenant_groups::GroupRole,
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn AdminTenant() -> impl IntoView {
    let (name, asked, ending, after) = (use_param("name"), use_query("suspend"), use_query("end"), use_query("after"));
    let deleting = use_query("delete");
    let delete = ServerAction::<TenantDelete>::new();
    let end = ServerAction::<AdminMemberEnd>::new();
    let quota = ServerAction::<TenantQuota>::new();
    let calls = ServerAction::<TenantCalls>::new();
    let groups = ServerAction::<TenantGroups>::new();
    let (suspend, resume) = (ServerAction::<TenantSuspend>::new(), ServerAction::<TenantResume>::new());
    let page = Resource::new(
        move || {
            let changed = (quota.version().get(), calls.version().get(), groups.version().get());
            let done = (changed, suspend.version().get(), resume.version().get(), end.version().get(), delete.version().get());
            (name.get(), after.get(), ending.get(), deleting.get(), done)
        },
        |(name, after, ending, deleting, _)| tenant_get(name, after, ending, deleting),
    );
    // Apart: a cluster that is slow to answer keeps nobody from the rest.
    let objects = Resource::new(move || (name.get(), quota.version().get(), groups.version().get()), |(name, _, _)| tenant_objects(name));
    let check = ServerAction::<TenantIsolationCheck>::new();
    let isolation = Resource::new(
        move || (name.get(), check.version().get(), suspend.version().get(), resume.version().get()),
        |(name, ..)| tenant_isolation(name),
    );
    let crumbs = Signal::derive(move || vec![Crumb::to("Tenants", links::admin_tenants()), Crumb::here(name.get())]);
    view! {
        <Title text=move || name.get()/>
        <AdminPage place=Place::AdminTenants crumbs>
            <Load resource=page let:page>
                <Head page=page.clone() resume/>
                <ProblemSummary error=error_of(suspend)/>
                <ProblemSummary error=error_of(resume)/>
                {
                    let tenant = page.overview.tenant.clone();
                    let allowed = page.write_refused.is_none() && tenant.state == TenantState::Active;
                    move || (allowed && !asked.read().is_empty()).then(|| view! { <Confirm name=tenant.name.to_string() title=tenant.title.clone() suspend/> })
                }
                {
                    let tenant = page.overview.tenant.clone();
                    let will_go = page.will_go.filter(|_| page.write_refused.is_none());
                    will_go.map(|will_go| view! { <ConfirmDelete tenant will_go delete/> })
                }
                {page.deletion.clone().map(|deletion| view! { <Deleting deletion/> })}
                <Facts page=page.clone()/>
                {page.deletion.is_none().then(|| view! {
                    <QuotaChange page=page.clone() quota/>
                    <CallsChange page=page.clone() calls/>
                    <GroupsChange page=page.clone() groups/>
                })}
                <ProblemSummary error=error_of(end)/>
                {
                    let page = page.clone();
                    move || ending.with(|id| page.asked.clone().filter(|m| m.person.to_string() == *id)).filter(|_| page.end_refused.is_none()).map(|member| {
                        let (tenant, itself) = (page.overview.tenant.name.to_string(), member.person == page.me);
                        view! {
                            <ConfirmEnd member=member.clone() itself keys="in every tenant" keep=links::admin_tenant(&tenant)>
                                <ActionForm action=end>
                                    <input type="hidden" name="name" value=tenant/><input type="hidden" name="person" value=member.person.to_string()/>
                                    <button type="submit" class="btn sm danger-solid">"End access"</button>
                                </ActionForm>
                            </ConfirmEnd>
                        }
                    })
                }
                <Members page after=after.get_untracked()/>
            </Load>
            <Load resource=objects let:seen>{seen.map(|list| view! { <Objects name=name.get_untracked() list objects/> })}</Load>
            <Load resource=isolation let:found>{found.map(|found| view! { <Isolation name=name.get_untracked() found check isolation/> })}</Load>
        </AdminPage>
    }
}

#[component]
fn Head(page: Page, resume: ServerAction<TenantResume>) -> impl IntoView {
    let t = page.overview.tenant;
    let name = t.name.to_string();
    let here = links::admin_tenant(&t.name);
    let sentence = match t.state {
        TenantState::Active => "Active. Members can work and API keys are valid.",
        TenantState::Suspended => "Suspended. Nothing new can start and API keys are refused. All data is kept.",
        TenantState::Deleting => "Being deleted. Its audit log stays.",
    };
    view! {
        <header class="head">
            <div><div class="row"><h1>{t.title}</h1><Chip status=t.state/><span class="tag mono">{name.clone()}</span></div><p>{sentence}</p></div>
            <div class="row">{match (page.write_refused, t.state) {
                (_, TenantState::Deleting) => ().into_any(),
                (Some(why), TenantState::Active) => view! { <Off label="Suspend" why/> }.into_any(),
                (Some(why), TenantState::Suspended) => view! { <Off label="Resume" why/> }.into_any(),
                (None, TenantState::Active) => view! {
                    <a class="btn" href=links::with(here.clone(), &[("suspend", "1")])>"Suspend"</a>
                    <a class="btn danger" href=links::with(here, &[("delete", "1")])>"Delete"</a>
                }.into_any(),
                (None, TenantState::Suspended) => view! {
                    <a class="btn danger" href=links::with(here, &[("delete", "1")])>"Delete"</a>
                    <ActionForm action=resume><input type="hidden" name="name" value=name/><button type="submit" class="btn primary">"Resume"</button></ActionForm>
                }.into_any(),
            }}</div>
        </header>
    }
}

#[component]
fn Confirm(name: String, title: String, suspend: ServerAction<TenantSuspend>) -> impl IntoView {
    let back = links::admin_tenant(&name);
    view! {
        <div class="reason danger" role="alertdialog" aria-labelledby="suspend-title">
            <Icon name="failed"/>
            <div><h2 id="suspend-title" class="as-h3">{format!("Suspend {title}?")}</h2><p>"Nothing new can start, and API keys stop working within a second. Active runs finish, and all data is kept. You can resume the tenant at any time."</p></div>
            <div class="row row-tight">
                <a class="btn sm" href=back>"Cancel"</a>
                <ActionForm action=suspend><input type="hidden" name="name" value=name/><button type="submit" class="btn sm danger-solid">"Suspend"</button></ActionForm>
            </div>
        </div>
    }
}

#[component]
fn Facts(page: Page) -> impl IntoView {
    let (t, h) = (page.overview.tenant, page.overview.holding);
    view! {
        <dl class="facts">
            <div><dt>"Active runs"</dt><dd>{h.runs_active}" "<small>{format!("of {}, {} queued", t.quota.concurrent_runs, h.runs_queued)}</small></dd></div>
            <div><dt>"Storage"</dt><dd>{bytes(h.storage_bytes)}" "<small>{format!("of {}", bytes(t.quota.storage_bytes))}</small></dd></div>
            <div><dt>"Endpoints"</dt><dd>{h.endpoints}" "<small>{format!("of {}", t.quota.endpoints)}</small></dd></div>
            <div><dt>"Members"</dt><dd>{h.members}</dd></div>
            <div><dt>"Since"</dt><dd>{t.created_at.human()}</dd></div>
        </dl>
    }
}

impl QuotaForm {
    /// The quota as the form shows it.
    pub fn of(quota: &Quota) -> Self {
        let gb =
            |bytes: u64| format!("{:.2}", bytes as f64 / domain::size::GB as f64).trim_end_matches('0').trim_end_matches('.').to_owned();
        let compute = &quota.compute;
        let whole = |limit: Option<u32>| limit.map(|n| n.to_string()).unwrap_or_default();
        Self {
            concurrent_runs: quota.concurrent_runs.to_string(),
            storage_gb: gb(quota.storage_bytes),
            endpoints: quota.endpoints.to_string(),
            gpus: whole(compute.gpus),
            mig: compute.mig_lines(),
            cpu: whole(compute.cpu),
            memory_gb: compute.memory.map(gb).unwrap_or_default(),
            disk_gb: compute.disk.map(gb).unwrap_or_default(),
        }
    }
}

/// The fields of a quota; used for a new tenant too.
#[component]
pub(super) fn QuotaFields(
    form: QuotaForm,
    #[prop(into)] problems: Signal<Vec<FieldProblem>>,
    #[prop(optional)] holding: Option<Holding>,
) -> impl IntoView {
    let now = move |word: fn(Holding) -> String, otherwise: &'static str| holding.map_or_else(|| otherwise.to_owned(), word);
    view! {
        <Field name="concurrent_runs" label="Concurrent runs" problems help=now(|h| format!("{} active, {} queued", h.runs_active, h.runs_queued), "Further runs are queued")>
            <input id="concurrent_runs" name="quota[concurrent_runs]" inputmode="numeric" required value=form.concurrent_runs aria-describedby="concurrent_runs-says"/>
        </Field>
        <Field name="storage_gb" label="Storage" problems help=now(|h| format!("{} used", bytes(h.storage_bytes)), "Datasets, models and logs together")>
            <input id="storage_gb" name="quota[storage_gb]" inputmode="decimal" required value=form.storage_gb aria-describedby="storage_gb-says"/><span class="unit">"GB"</span>
        </Field>
        <Field name="endpoints" label="Endpoints" problems help=now(|h| format!("{} in use", h.endpoints), "Model servers that run at the same time")>
            <input id="endpoints" name="quota[endpoints]" inputmode="numeric" required value=form.endpoints aria-describedby="endpoints-says"/>
        </Field>
        <Field name="gpus" label="GPUs" problems help="Of all runs and endpoints at the same time. Empty = no limit" optional=true>
            <input id="gpus" name="quota[gpus]" inputmode="numeric" value=form.gpus aria-describedby="gpus-says"/>
        </Field>
        <Field name="cpu" label="CPU cores" problems help="That are asked for. Empty = no limit" optional=true>
            <input id="cpu" name="quota[cpu]" inputmode="numeric" value=form.cpu aria-describedby="cpu-says"/>
        </Field>
        <Field name="memory_gb" label="Memory" problems help="Of all runs and endpoints at the same time. Empty = no limit" optional=true>
            <input id="memory_gb" name="quota[memory_gb]" inputmode="decimal" value=form.memory_gb aria-describedby="memory_gb-says"/><span class="unit">"GB"</span>
        </Field>
        <Field name="disk_gb" label="Disk of the machines" problems help="What runs write while they work. Empty = no limit" optional=true>
            <input id="disk_gb" name="quota[disk_gb]" inputmode="decimal" value=form.disk_gb aria-describedby="disk_gb-says"/><span class="unit">"GB"</span>
        </Field>
        <Field name="mig" label="GPU slices (MIG)" problems help="A profile and how many of it, one a line: 1g.10gb = 2. On a cluster only; a profile that is not named has no limit" optional=true full=true tall=true>
            <textarea id="mig" name="quota[mig]" rows="2" class="mono" aria-describedby="mig-says">{form.mig}</textarea>
        </Field>
    }
}

#[component]
fn QuotaChange(page: Page, quota: ServerAction<TenantQuota>) -> impl IntoView {
    let error = error_of(quota);
    let problems = fields_of(error);
    let t = page.overview.tenant;
    let saved = move || quota.value().with(|v| matches!(v, Some(Ok(()))));
    view! {
        <section class="section" aria-labelledby="quota">
            <header><h2 id="quota">"Quota"</h2><p>"a lower quota does not stop what is already running"</p></header>
            <ProblemSummary error/>
            <ActionForm action=quota attr:class="stack-lg narrow">
                <input type="hidden" name="name" value=t.name.to_string()/>
                <div class="form"><QuotaFields form=QuotaForm::of(&t.quota) problems holding=page.overview.holding/></div>
                <div class="row">
                    {match page.write_refused {
                        Some(why) => view! { <Off class="primary" label="Save quota" why/> }.into_any(),
                        None => view! { <button type="submit" class="btn primary" aria-busy=move || quota.pending().get().then_some("true")>"Save quota"</button> }.into_any(),
                    }}
                    <span class="small fg-success" role="status">{move || saved().then_some("Saved.")}</span>
                </div>
            </ActionForm>
        </section>
    }
}

/// How the tenant's models may be called.
#[component]
fn CallsChange(page: Page, calls: ServerAction<TenantCalls>) -> impl IntoView {
    let error = error_of(calls);
    let problems = fields_of(error);
    let name = page.overview.tenant.name.to_string();
    let form = CallsForm::of(&page.calls);
    let saved = move || calls.value().with(|v| matches!(v, Some(Ok(()))));
    view! {
        <section class="section" aria-labelledby="calls">
            <header><h2 id="calls">"Calls"</h2><p>"limits for all keys and members of the tenant together, the playground included; they count within a second"</p></header>
            <ProblemSummary error/>
            <ActionForm action=calls attr:class="stack-lg narrow">
                <input type="hidden" name="name" value=name/>
                <div class="form">
                    <Field name="requests_per_minute" label="Requests" problems help="Empty = no limit" optional=true>
                        <input id="requests_per_minute" name="form[requests_per_minute]" inputmode="numeric" value=form.requests_per_minute aria-describedby="requests_per_minute-says"/><span class="unit">"a minute"</span>
                    </Field>
                    <Field name="tokens_per_minute" label="Tokens" problems help="Empty = no limit; prompt and answer together" optional=true>
                        <input id="tokens_per_minute" name="form[tokens_per_minute]" inputmode="numeric" value=form.tokens_per_minute aria-describedby="tokens_per_minute-says"/><span class="unit">"a minute"</span>
                    </Field>
                    <Field name="concurrent_calls" label="Concurrent calls" problems help="Of the whole tenant">
                        <input id="concurrent_calls" name="form[concurrent_calls]" inputmode="numeric" required value=form.concurrent_calls aria-describedby="concurrent_calls-says"/>
                    </Field>
                    <Field name="concurrent_calls_per_member" label="Concurrent calls per member" problems help="With all keys of the member and the playground">
                        <input id="concurrent_calls_per_member" name="form[concurrent_calls_per_member]" inputmode="numeric" required value=form.concurrent_calls_per_member aria-describedby="concurrent_calls_per_member-says"/>
                    </Field>
                    <Field name="concurrent_calls_per_key" label="Concurrent calls per API key" problems>
                        <input id="concurrent_calls_per_key" name="form[concurrent_calls_per_key]" inputmode="numeric" required value=form.concurrent_calls_per_key aria-describedby="concurrent_calls_per_key-says"/>
                    </Field>
                    <Field name="answers_per_call" label="Answers per call" problems help="n or best_of, times the number of prompts">
                        <input id="answers_per_call" name="form[answers_per_call]" inputmode="numeric" required value=form.answers_per_call aria-describedby="answers_per_call-says"/>
                    </Field>
                    <Field name="origins" label="Allowed origins (CORS)" problems help="Web pages that may call from a browser, one a line: https://chat.example.org" optional=true full=true tall=true>
                        <textarea id="origins" name="form[origins]" rows="3" aria-describedby="origins-says">{form.origins}</textarea>
                    </Field>
                </div>
                <div class="row">
                    {match page.write_refused {
                        Some(why) => view! { <Off class="primary" label="Save call limits" why/> }.into_any(),
                        None => view! { <button type="submit" class="btn primary" aria-busy=move || calls.pending().get().then_some("true")>"Save call limits"</button> }.into_any(),
                    }}
                    <span class="small fg-success" role="status">{move || saved().then_some("Saved.")}</span>
                </div>
            </ActionForm>
        </section>
    }
}

/// Groups that exist already at the identity provider, and what they give here.
#[component]
fn GroupsChange(page: Page, groups: ServerAction<TenantGroups>) -> impl IntoView {
    let error = error_of(groups);
    let problems = fields_of(error);
    let name = page.overview.tenant.name.to_string();
    let lines = page.groups.iter().map(GroupRole::said).collect::<Vec<_>>().join("\n");
    let saved = move || groups.value().with(|v| matches!(v, Some(Ok(()))));
    view! {
        <section class="section" aria-labelledby="groups-title">
            <header><h2 id="groups-title">"Groups"</h2><p>"groups of the identity provider that give a role here, beside those named after the tenant; they count when a person is confirmed next, or signs in"</p></header>
            <ProblemSummary error/>
            <ActionForm action=groups attr:class="stack-lg narrow">
                <input type="hidden" name="name" value=name/>
                <div class="form">
                    <Field name="groups" label="Groups and roles" problems help="One a line: company/research/nlp = engineer. Roles: viewer, engineer, owner" optional=true full=true tall=true>
                        <textarea id="groups" name="groups" rows="3" class="mono" aria-describedby="groups-says">{lines}</textarea>
                    </Field>
                </div>
                <div class="row">
                    {match page.write_refused {
                        Some(why) => view! { <Off class="primary" label="Save groups" why/> }.into_any(),
                        None => view! { <button type="submit" class="btn primary" aria-busy=move || groups.pending().get().then_some("true")>"Save groups"</button> }.into_any(),
                    }}
                    <span class="small fg-success" role="status">{move || saved().then_some("Saved.")}</span>
                </div>
            </ActionForm>
        </section>
    }
}

#[component]
fn Members(page: Page, after: String) -> impl IntoView {
    let base = links::admin_tenant(&page.overview.tenant.name);
    view! {
        <section class="section" aria-labelledby="members">
            <header><h2 id="members">"Members"</h2><p>"from groups of the identity provider; people are added and removed there"</p></header>
            {if page.members.rows.is_empty() && after.is_empty() {
                view! { <NobodyYet/> }.into_any()
            } else {
                let (shown, address) = (page.members.rows.len(), base.clone());
                let to = move |after: String| links::with(address.clone(), &[("after", &after)]);
                view! {
                    <MemberTable members=page.members.rows now=page.now base end_refused=page.end_refused/>
                    <Paging order=Order::ByName noun=("member", "members") shown after next=page.members.next to/>
                }.into_any()
            }}
        </section>
    }
}
