//! The audit log of a tenant. [`records`] draws the same for the platform's.

use crate::{
    api::audit::{AuditPage, AuditQuery, get_audit},
    links,
    ui::{Crumb, Empty, Icon, Load, Place, Sheet, TenantPage, count, number::some, paging::turn, parts::short, use_query, use_tenant},
};
use domain::{
    audit::{Entry, Record, Verification, chain::FIRST_SEGMENT},
    page::Page,
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
            <Load resource=page let:page><AuditLog page base query whose="in this tenant"/></Load>
        </TenantPage>
    }
}

/// What the address asks for.
pub(super) fn use_audit_query() -> Memo<AuditQuery> {
    let (actor, action, object, after, verify) =
        (use_query("actor"), use_query("action"), use_query("object"), use_query("after"), use_query("verify"));
    Memo::new(move |_| AuditQuery {
        actor: actor.get(),
        action: action.get(),
        object: object.get(),
        after: after.get(),
        verify: !verify.read().is_empty(),
    })
}

fn href(base: &str, q: &AuditQuery, after: &str, verify: bool) -> String {
    links::with(
        base.to_owned(),
        &[("actor", &q.actor), ("action", &q.action), ("object", &q.object), ("after", after), ("verify", if verify { "1" } else { "" })],
    )
}

/// Head, seal, filters, records and paging.
#[component]
pub(super) fn AuditLog(
    page: AuditPage,
    base: Signal<String>,
    query: Memo<AuditQuery>,
    whose: &'static str,
    /// Records of several chains, so that a number needs its chain.
    #[prop(optional)]
    several: bool,
) -> impl IntoView {
    let q = query.get_untracked();
    let address = base.get_untracked();
    let filtered = !(q.actor.is_empty() && q.action.is_empty() && q.object.is_empty());
    let Page { rows: records, next } = page.records;
    let older = next.map(|next| href(&address, &q, next.as_str(), false));
    let newest = (!q.after.is_empty()).then(|| href(&address, &q, "", false));
    let checkpoint = match page.checkpoint {
        Some(c) => format!("The last signed checkpoint is of {} and covers {}.", c.at.human(), some(c.records, "record", "records")),
        None => "No checkpoint is signed yet; the first one comes within an hour.".to_owned(),
    };
    view! {
        <header class="head">
            <div><div class="row"><h1>"Audit log"</h1><span class="tag"><Icon name="eye"/>"read only"</span></div><p>{format!("Who did what and when, {whose}. Each record contains the hash of the previous one, so changes are detected.")}</p></div>
            <div class="row"><a class="btn primary" href=href(&address, &q, &q.after, true)>"Verify the chain"</a></div>
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
        {if records.is_empty() {
            view! { <Empty title="No records"><p>{if filtered { "No records match these filters." } else { "No activity yet." }}</p></Empty> }.into_any()
        } else {
            view! { <Sheet label="records">{table(records, several)}</Sheet> }.into_any()
        }}
        <nav class="row between pages" aria-label="Pages">
            <span class="small muted">"Newest first. Prompts and answers are never logged. "{checkpoint}</span>
            <span class="btns">{turn("Newest", newest)}{turn("Older", older)}</span>
        </nav>
    }
}

/// The result of checking the chain.
#[component]
fn Seal(v: Verification) -> impl IntoView {
    let at = v.last_at().map(|at| format!(", {}", at.human())).unwrap_or_default();
    let last_hash = v.chains.first().map(|chain| chain.last_hash.clone()).unwrap_or_default();
    let head = last_hash.get(..12).unwrap_or(&last_hash).to_owned();
    let records = v.records().max(0) as u64;
    let whole = v.broken().is_none();
    let (title, sentence) = match v.broken() {
        None => (
            format!("Verified, {}{at}", some(records, "record", "records")),
            match v.signed_at.filter(|_| v.signed > 0) {
                Some(at) => {
                    format!("Every record was just checked against the previous one, and against the checkpoint of {}.", at.human())
                }
                None => "Every record was just checked against the previous one.".to_owned(),
            },
        ),
        Some((chain, broken)) => (
            format!("Broken: {broken}"),
            format!(
                "In the chain {chain}. {} are intact. Keep a copy of the database and tell the people who run the platform.",
                some(records, "record", "records")
            ),
        ),
    };
    view! {
        <section class="seal" class:broken=!whole aria-label="State of the hash chain" role="status">
            <div>{if whole { view! { <Icon name="succeeded"/> } } else { view! { <Icon name="failed"/> } }}<div><b>{title}</b><p>{sentence}</p></div></div>
            <dl><div><dt>"Head"</dt><dd class="mono" title=last_hash>{head}"…"</dd></div><div><dt>"Checked"</dt><dd>{count(records)}</dd></div></dl>
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

/// `41`, `acme 41`, `platform 41`; of the log of before each tenant had its own, `earlier 41`.
fn number(r: &Record, several: bool) -> String {
    let n = count(r.seq.max(0) as u64);
    match r.chain.strip_prefix("tenants/") {
        Some(tenant) if several => format!("{tenant} {n}"),
        Some(_) => n,
        None if r.chain == FIRST_SEGMENT => format!("earlier {n}"),
        None => format!("{} {n}", r.chain),
    }
}

fn table(records: Vec<Record>, several: bool) -> impl IntoView {
    view! {
        <table class="table fold audit">
            <thead><tr><th scope="col" class="num">"Record"</th><th scope="col">"Time, UTC"</th><th scope="col">"Actor"</th><th scope="col">"Action"</th><th scope="col">"Object"</th><th scope="col">"Result"</th><th scope="col">"Address"</th><th scope="col">"Request"</th></tr></thead>
            <tbody>{records.into_iter().map(|r| {
                let number = number(&r, several);
                let e = r.entry;
                let detail = e.detail.said();
                let object = shown(&e).to_owned();
                let (icon, tone, word) = if e.result == "done" { ("succeeded", "success", "Done") } else { ("failed", "danger", "Refused") };
                view! {
                    <tr>
                        <td class="num mono nowrap" title=r.hash>{number}</td>
                        <td class="mono nowrap"><time datetime=e.at.rfc3339() title=e.at.rfc3339()>{moment(e.at)}</time></td>
                        <td class="nowrap">{e.actor_name}</td>
                        <td class="mono">{e.action}</td>
                        <th scope="row" title=e.object><span class="subtle">{e.object_kind.replace('_', " ")}</span>" "{object}{(!detail.is_empty()).then(|| view! { <small>{detail}</small> })}</th>
                        <td><span class=format!("state {tone}")><Icon name=icon/>{word}</span></td>
                        <td class="mono drop">{if e.from_ip.is_empty() { "–".to_owned() } else { e.from_ip }}</td>
                        <td class="mono drop" title=e.request_id.clone()>{e.request_id.chars().take(10).collect::<String>()}</td>
                    </tr>
                }
            }).collect_view()}</tbody>
        </table>
    }
}
