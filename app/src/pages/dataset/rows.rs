//! The rows as conversations or raw, with why a row was left out; filtered and paged by the address.

use crate::{
    api::{
        AppError,
        datasets::{DatasetPage, ROWS_A_PAGE, Rows, get_rows},
    },
    links,
    ui::{Icon, Load, Pages, count, number::some, use_query},
};
use domain::inspect::{RowVerdict, Severity};
use leptos::prelude::*;

pub(super) type RowsResource = Resource<Result<Rows, AppError>>;

/// The rows of the address; nothing is asked for outside of their tab. Kept by the page, so that a change of the dataset draws nothing anew.
pub(super) fn rows_resource(tenant: Signal<String>, name: Signal<String>, v: Signal<String>, tab: Signal<String>) -> RowsResource {
    let (which, rule, from) = (use_query("which"), use_query("rule"), use_query("from"));
    let wanted = Memo::new(move |_| tab.with(|t| t == "rows"));
    Resource::new(
        move || {
            wanted
                .get()
                .then(|| (tenant.get(), name.get(), v.get().parse().unwrap_or(0), which.get(), rule.get(), from.get().parse().unwrap_or(0)))
        },
        |asked| async move {
            match asked {
                Some((tenant, name, number, which, rule, from)) => get_rows(tenant, name, number, which, rule, from).await,
                None => Ok(Rows { rows: Vec::new(), total: 0 }),
            }
        },
    )
}

#[component]
pub(super) fn RowsTab(page: DatasetPage, list: RowsResource) -> impl IntoView {
    let v = page.version;
    let (which, rule, from, raw) = (use_query("which"), use_query("rule"), use_query("from"), use_query("view"));
    let (tenant, name, number) = (v.tenant.to_string(), v.dataset_name.to_string(), v.number);
    let offset = move || from.get_untracked().parse::<u64>().unwrap_or(0);
    let base = links::dataset_version(&tenant, &name, number);
    let here = move |which: &str, rule: &str, view: &str, from: u64| {
        let from = if from == 0 { String::new() } else { from.to_string() };
        links::with(base.clone(), &[("tab", "rows"), ("which", which), ("rule", rule), ("view", view), ("from", &from)])
    };
    let here = StoredValue::new(here);
    let seg = move |label: &'static str, on: bool, href: String| view! { <a href=href aria-current=on.then_some("true")>{label}</a> };
    // What was found of the file as a whole is in no row.
    let rules: Vec<(String, u64)> =
        v.report.map(|r| r.findings.into_iter().filter(|f| !f.lines.is_empty()).map(|f| (f.rule, f.count)).collect()).unwrap_or_default();
    view! {
        <section class="section" aria-labelledby="rows">
            <header>
                <h2 id="rows">"Rows"</h2><p>"highlighted text is what the model is trained on"</p>
                <span class="end row row-tight">
                    <span class="seg" role="group" aria-label="Filter rows">
                        {[("", "All"), ("accepted", "Accepted"), ("rejected", "Left out")].map(|(w, label)| seg(label, which.get_untracked() == w, here.with_value(|h| h(w, &rule.get_untracked(), &raw.get_untracked(), 0)))).collect_view()}
                    </span>
                    <span class="seg" role="group" aria-label="View">
                        {[("", "Conversation"), ("raw", "Raw")].map(|(w, label)| seg(label, raw.get_untracked() == w, here.with_value(|h| h(&which.get_untracked(), &rule.get_untracked(), w, offset())))).collect_view()}
                    </span>
                </span>
            </header>
            {(!rules.is_empty()).then(|| view! {
                <p class="row row-tight rules">
                    {rules.iter().map(|(id, n)| {
                        let on = rule.get_untracked() == *id;
                        let href = here.with_value(|h| h(&which.get_untracked(), if on { "" } else { id }, &raw.get_untracked(), 0));
                        view! { <a class="tag" class:on=on href=href>{id.clone()}" "{count(*n)}{on.then(|| view! { <Icon name="x"/> })}</a> }
                    }).collect_view()}
                </p>
            })}
            <Load resource=list let:page>
                {page.rows.is_empty().then(|| view! { <div class="lines"><div class="item"><span class="title">"No matching rows"</span></div></div> })}
                <div class="rows lines">{page.rows.iter().map(|r| row(r, raw.get_untracked() == "raw")).collect_view()}</div>
                <Pages noun="Rows" from=offset() shown=page.rows.len() as u64 total=page.total step=u64::from(ROWS_A_PAGE)
                    href=move |from: u64| here.with_value(|h| h(&which.get_untracked(), &rule.get_untracked(), &raw.get_untracked(), from))/>
            </Load>
        </section>
    }
}

fn row(r: &RowVerdict, raw: bool) -> impl IntoView + use<> {
    let line = r.line;
    let body = match (&r.conversation, raw) {
        (Some(c), false) => (c.messages.iter())
            .map(|m| {
                let (role, text) = (m.role.clone(), m.content.clone());
                if role == "assistant" {
                    view! { <p><small>{role}</small><mark>{text}</mark></p> }.into_any()
                } else {
                    view! { <p><small>{role}</small><span>{text}</span></p> }.into_any()
                }
            })
            .collect_view()
            .into_any(),
        _ => view! { <pre class="raw">{r.raw.clone()}</pre> }.into_any(),
    };
    view! {
        <article id=format!("line-{line}")>
            <a class="mono" href=format!("#line-{line}") rel="external">{count(line)}</a>
            <div>
                {body}
                {r.findings.iter().map(|f| {
                    let tone = match f.severity { Severity::Info => "muted", Severity::Warning => "fg-warning", _ => "fg-danger" };
                    view! { <p class=format!("found {tone}")><code>{f.rule.clone()}</code><span>{f.sentence.clone()}</span></p> }
                }).collect_view()}
            </div>
            <span class="mono">{if !r.accepted { "left out".to_owned() } else { format!("{}{}", if r.held_out { "held out, " } else { "" }, if r.tokens > 0 { format!("{} tok", count(r.tokens)) } else { some(r.turns.into(), "turn", "turns") }) }}</span>
        </article>
    }
}
