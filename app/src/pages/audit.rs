//! The audit log of a tenant. [`records`] draws the same for the platform's.

use crate::{
    api::audit::{AuditPage, AuditQuery, get_audit},
    links,
    ui::{Crumb, Empty, Icon, Load, Place, Sheet, TenantPage, count, number::some, parts::short, use_query, use_tenant},
};
use domain::{
    audit::{Entry, Record, Verification},
    time::Timestamp,
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn Audit() -> impl IntoView {
    let tenant = use_tenant();
    let query = use_audit_query();
    let page = Resource::new(move || (tenant.get(), query.get()), |(tenant, query)| get_audit(tenant, query));
    let base = Signal::derive(move || links::audit(&tenant.get()));
    view! {
        <Title text="Audit log"/>
        <TenantPage place=Place::Audit crumbs=vec![Crumb::here("Audit log")]>
            <Load resource=page let:page><AuditLog page base query whose="in this tenant" numbers="Records are numbered across the whole platform; those of other tenants are left out here."/></Load>
        </TenantPage>
    }
}

/// What the address asks for.
pub(super) fn use_audit_query() -> Memo<AuditQuery> {
    let (actor, action, object, before, verify) =
        (use_query("actor"), use_query("action"), use_query("object"), use_query("before"), use_query("verify"));
    Memo::new(move |_| AuditQuery {
        actor: actor.get(),
        action: action.get(),
        object: object.get(),
        before: before.get().parse().unwrap_or(0),
        verify: !verify.read().is_empty(),
    })
}

fn href(base: &str, q: &AuditQuery, before: i64, verify: bool) -> String {
    let before = if before > 0 { before.to_string() } else { String::new() };
    links::with(
        base.to_owned(),
        &[
            ("actor", &q.actor),
            ("action", &q.action),
            ("object", &q.object),
            ("before", &before),
            ("verify", if verify { "1" } else { "" }),
        ],
    )
}

/// Head, seal, filters, records and paging.
#[component]
pub(super) fn AuditLog(
    page: AuditPage,
    base: Signal<String>,
    query: Memo<AuditQuery>,
    whose: &'static str,
    /// A sentence on the numbers, where they have gaps.
    #[prop(optional)]
    numbers: &'static str,
) -> impl IntoView {
    let q = query.get_untracked();
    let address = base.get_untracked();
    let filtered = !(q.actor.is_empty() && q.action.is_empty() && q.object.is_empty());
    let oldest = page.records.last().map_or(0, |r| r.seq);
    let older = page.more.then(|| href(&address, &q, oldest, false));
    let newer = (q.before > 0).then(|| href(&address, &q, 0, false));
    view! {
        <header class="head">
            <div><div class="row"><h1>"Audit log"</h1><span class="tag"><Icon name="eye"/>"read only"</span></div><p>{format!("Who did what and when, {whose}. Each record contains the hash of the previous one, so changes are detected.")}</p></div>
            <div class="row"><a class="btn primary" href=href(&address, &q, q.before, true)>"Verify the chain"</a></div>
        </header>
        {page.verified.map(|v| view! { <Seal v/> })}
        <Form method="GET" action=address.clone() attr:class="filterbar" attr:role="search">
            <label class="control"><Icon name="person"/><input type="search" name="actor" placeholder="Actor" aria-label="Actor" value=q.actor.clone()/></label>
            <label class="control"><Icon name="filter"/><input type="search" name="action" placeholder="Action, e.g. run.launch" aria-label="Action" value=q.action.clone()/></label>
            <label class="control"><Icon name="search"/><input type="search" name="object" placeholder="Object, name or id" aria-label="Object" value=q.object.clone()/></label>
            <button type="submit" class="btn">"Filter"</button>
            {filtered.then(|| view! { <a class="btn quiet" href=address.clone()>"Clear filters"</a> })}
        </Form>
        <h2 class="sr">"Records"</h2>
        {if page.records.is_empty() {
            view! { <Empty title="No records"><p>{if filtered { "No records match these filters." } else { "No activity yet." }}</p></Empty> }.into_any()
        } else {
            view! { <Sheet label="records">{table(page.records)}</Sheet> }.into_any()
        }}
        <nav class="row between pages" aria-label="Pages">
            <span class="small muted">"Newest first. Prompts and answers are never logged. "{numbers}</span>
            <span class="btns">{turn("Newest", newer)}{turn("Older", older)}</span>
        </nav>
    }
}

fn turn(label: &'static str, to: Option<String>) -> AnyView {
    match to {
        Some(href) => view! { <a class="btn sm" href=href>{label}</a> }.into_any(),
        None => view! { <span class="btn sm" role="link" aria-disabled="true">{label}</span> }.into_any(),
    }
}

/// The result of checking the chain.
#[component]
fn Seal(v: Verification) -> impl IntoView {
    let at = v.last_at.map(|at| format!(", {}", at.human())).unwrap_or_default();
    let head = v.last_hash.get(..12).unwrap_or(&v.last_hash).to_owned();
    let whole = v.broken.is_none();
    let (title, sentence) = match &v.broken {
        None => (
            format!("Verified, {}{at}", some(v.records.max(0) as u64, "record", "records")),
            "Every record was just checked against the previous one.".to_owned(),
        ),
        Some(broken) => (
            format!("Broken: {broken}"),
            format!(
                "{} before it are intact. Keep a copy of the database and tell the people who run the platform.",
                some(v.records.max(0) as u64, "record", "records")
            ),
        ),
    };
    view! {
        <section class="seal" class:broken=!whole aria-label="State of the hash chain" role="status">
            <div>{if whole { view! { <Icon name="succeeded"/> } } else { view! { <Icon name="failed"/> } }}<div><b>{title}</b><p>{sentence}</p></div></div>
            <dl><div><dt>"Head"</dt><dd class="mono" title=v.last_hash>{head}"…"</dd></div><div><dt>"Checked"</dt><dd>{count(v.records.max(0) as u64)}</dd></div></dl>
        </section>
    }
}

/// `20 Nov 14:04:59`
fn moment(at: Timestamp) -> String {
    let seconds = at.clock();
    format!("{}{}", short(at), seconds.get(5..).unwrap_or_default())
}

/// A tenant goes by its name: earlier records hold the title of then, which may be anything now.
fn shown(e: &Entry) -> &str {
    if e.object_name.is_empty() || e.object_kind == "tenant" { &e.object } else { &e.object_name }
}

fn table(records: Vec<Record>) -> impl IntoView {
    view! {
        <table class="table fold audit">
            <thead><tr><th scope="col" class="num">"Record"</th><th scope="col">"Time, UTC"</th><th scope="col">"Actor"</th><th scope="col">"Action"</th><th scope="col">"Object"</th><th scope="col">"Result"</th><th scope="col">"Address"</th><th scope="col">"Request"</th></tr></thead>
            <tbody>{records.into_iter().map(|r| {
                let e = r.entry;
                let object = shown(&e).to_owned();
                let (icon, tone, word) = if e.result == "done" { ("succeeded", "success", "Done") } else { ("failed", "danger", "Refused") };
                view! {
                    <tr>
                        <td class="num mono" title=r.hash>{count(r.seq.max(0) as u64)}</td>
                        <td class="mono nowrap"><time datetime=e.at.rfc3339() title=e.at.rfc3339()>{moment(e.at)}</time></td>
                        <td class="nowrap">{e.actor_name}</td>
                        <td class="mono">{e.action}</td>
                        <th scope="row" title=e.object><span class="subtle">{e.object_kind.replace('_', " ")}</span>" "{object}{(!e.detail.is_empty()).then(|| view! { <small>{e.detail}</small> })}</th>
                        <td><span class=format!("state {tone}")><Icon name=icon/>{word}</span></td>
                        <td class="mono drop">{if e.from_ip.is_empty() { "–".to_owned() } else { e.from_ip }}</td>
                        <td class="mono drop" title=e.request_id.clone()>{e.request_id.chars().take(10).collect::<String>()}</td>
                    </tr>
                }
            }).collect_view()}</tbody>
        </table>
    }
}
