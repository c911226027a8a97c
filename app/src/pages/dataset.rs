//! `/t/{tenant}/datasets/{name}?v=&tab=`: one version of a dataset, and what was found in its rows.

use crate::{
    api::datasets::{DatasetPage, DeleteDataset, Document, EraseDataset, get_dataset},
    links,
    pages::{base_models::short_digest, datasets::warnings},
    ui::{
        Chip, Crumb, Icon, Load, Place, Reason, Stay, TenantPage, bytes, count, last_dataset, number::some, on_change, use_param,
        use_query, use_tenant,
    },
};
use domain::{
    dataset::{DatasetVersion, VersionState},
    inspect::{Report, Severity},
};
use leptos::prelude::*;
use leptos_meta::Title;

mod about;
mod files;
mod report;
mod rows;

#[component]
pub fn Dataset() -> impl IntoView {
    let (tenant, name, v, tab) = (use_tenant(), use_param("name"), use_query("v"), use_query("tab"));
    let after = use_query("after");
    let page = Resource::new(
        move || (tenant.get(), name.get(), v.get(), tab.get(), after.get()),
        |(t, n, v, tab, after)| get_dataset(t, n, v.parse().unwrap_or(0), tab, after),
    );
    last_dataset::remember(page);
    let save = ServerAction::<Document>::new();
    let (delete, erase) = (ServerAction::<DeleteDataset>::new(), ServerAction::<EraseDataset>::new());
    let stay = Stay::new();
    let rows = rows::rows_resource(tenant, name, v, tab);
    on_change(tenant, String::new(), move || {
        page.refetch();
        rows.refetch();
    });
    let crumbs = Signal::derive(move || vec![Crumb::to("Datasets", links::datasets(&tenant.get())), Crumb::here(name.get())]);
    view! {
        <Title text=move || name.get()/>
        <TenantPage place=Place::Datasets crumbs>
            <Load resource=page let:page>
                <Head page=page.clone()/>
                <Facts page=page.clone()/>
                <Tabs page=page.clone() tab=tab.get_untracked()/>
                {match tab.get_untracked().as_str() {
                    "rows" => view! { <rows::RowsTab page list=rows/> }.into_any(),
                    "card" => view! { <about::Documentation page save stay=stay.clone()/> }.into_any(),
                    "versions" => view! { <about::Versions page=page.clone() after=after.get_untracked()/><files::Removal page delete erase/> }.into_any(),
                    _ => view! { <Overview page/> }.into_any(),
                }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Head(page: DatasetPage) -> impl IntoView {
    let v = page.version;
    let t = v.tenant.clone();
    let latest = page.latest;
    let same = v.same_as.map(|n| (n, links::dataset_version(&t, &v.dataset_name, n), format!("?v={}&tab=versions", v.number)));
    let train = links::with(links::run_new(&t), &[("dataset", &format!("{}@{}", v.dataset_name, v.number))]);
    view! {
        <header class="head">
            <div>
                <div class="row">
                    <h1>{v.dataset_name.to_string()}</h1>
                    <a class="btn sm" href="?tab=versions">{format!("v{}{}", v.number, if latest { ", latest" } else { "" })}<Icon name="down"/></a>
                    {if v.erased_at.is_some() { view! { <span class="chip">"Erased"</span> }.into_any() } else { view! { <Chip status=v.state/> }.into_any() }}
                </div>
                <p>{if v.documentation.source.is_empty() { format!("Uploaded from {}. The source is not documented yet.", v.file_name) } else { v.documentation.source.clone() }}</p>
            </div>
            <div class="row">
                {page.write_refused.is_none().then(|| view! { <a class="btn" href=links::dataset_new(&t, v.dataset_name.as_str())><Icon name="upload"/>"New version"</a> })}
                {match (page.launch_refused, v.state) {
                    (None, VersionState::Ready) => view! { <a class="btn primary" href=train>"New run with this"</a> }.into_any(),
                    (Some(why), _) => view! { <span class="small muted">{why}</span> }.into_any(),
                    _ => ().into_any(),
                }}
            </div>
        </header>
        {same.map(|(number, href, versions)| view! {
            <Reason icon="info" tone="info" title=format!("The same file as version {number}")>
                <p>"Identical to "<a href=href>{format!("version {number}")}</a>". If you meant another file, upload that one; this version can be deleted on the tab "<a href=versions>"Versions"</a>"."</p>
            </Reason>
        })}
        {v.reason.clone().map(|reason| {
            let (tone, title) = match v.state {
                _ if v.erased_at.is_some() => ("info", "The rows were erased"),
                VersionState::Rejected => ("danger", "This version can't be used for training"),
                VersionState::Ready => ("", "Needs attention"),
                _ => ("info", "Not ready yet"),
            };
            view! { <Reason icon=if tone == "danger" { "failed" } else { "clock" } tone title><p>{reason.said()}</p></Reason> }
        })}
    }
}

#[component]
fn Facts(page: DatasetPage) -> impl IntoView {
    let v = page.version;
    let gaps = v.documentation.gaps().len();
    let report = v.report;
    view! {
        <dl class="facts">
            {report.as_ref().map(|r| view! {
                <div><dt>"Checks"</dt><dd>{rejected(r)}" "<small>{format!("{}, {} info", some(warnings(r), "warning", "warnings"), r.findings.iter().filter(|f| f.severity == Severity::Info).count())}</small></dd></div>
                <div><dt>"Rows"</dt><dd>{count(r.train_rows)}" "<small>{format!("+ {} held out{}", count(r.held_out_rows), if v.held_out_percent > 0 && r.accepted > 0 { format!(", target {} %", v.held_out_percent) } else { String::new() })}</small></dd></div>
                <div><dt>"Turns"</dt><dd>{count(r.turns)}</dd></div>
                <div><dt>"Tokens"</dt><dd>{if r.tokens == 0 { "–".to_owned() } else { count(r.tokens) }}" "<small>{(r.tokens > 0).then(|| format!("{} on average", r.tokens / r.accepted.max(1)))}</small></dd></div>
            })}
            <div><dt>"Format"</dt><dd>{v.format.map_or("not recognised", |f| f.label())}</dd></div>
            <div><dt>"Documentation"</dt><dd>{if gaps == 0 { view! { "complete" }.into_any() } else { view! { <span class="fg-warning">{format!("{gaps} missing")}</span> }.into_any() }}</dd></div>
            <div><dt>"File"</dt><dd>{bytes(v.bytes)}" "<small class="mono" title=v.digest.clone()>{v.digest.as_deref().map(short_digest)}</small></dd></div>
            <div><dt>"Used by"</dt><dd>{some(page.runs_total, "run", "runs")}</dd></div>
        </dl>
    }
}

fn rejected(report: &Report) -> impl IntoView + use<> {
    let refused = report.findings.iter().any(|f| f.severity == Severity::Blocking);
    match report.rejected {
        _ if refused => view! { <span class="fg-danger">"file rejected"</span> }.into_any(),
        0 => view! { "no rows rejected" }.into_any(),
        n => view! { <span class="fg-danger">{some(n, "row", "rows")}" left out"</span> }.into_any(),
    }
}

#[component]
fn Tabs(page: DatasetPage, tab: String) -> impl IntoView {
    let rows = page.version.report.as_ref().map_or(0, |r| r.rows);
    let number = page.version.number.to_string();
    let all = [
        ("", "Report", String::new()),
        ("rows", "Rows", count(rows)),
        ("card", "Documentation", String::new()),
        ("versions", "Versions", count(page.versions_total)),
    ];
    let at = all.iter().map(|t| t.0).find(|t| *t == tab).unwrap_or("");
    view! {
        <nav class="tabs" aria-label="Dataset">
            {all.into_iter().map(|(key, label, n)| {
                let href = links::with(links::dataset(&page.version.tenant, &page.version.dataset_name), &[("v", &number), ("tab", key)]);
                view! { <a href=href aria-current=(key == at).then_some("page")>{label}{(!n.is_empty()).then(|| view! { " "<small>{n}</small> })}</a> }
            }).collect_view()}
        </nav>
    }
}

/// The report beside the histogram and what is said about the data.
#[component]
fn Overview(page: DatasetPage) -> impl IntoView {
    let v: DatasetVersion = page.version.clone();
    let tokenizer = page.tokenizer.clone();
    match v.report.clone() {
        None => view! { <section class="section"><div class="panel" role="status"><h2>"Checking the rows"</h2><p>"The report appears here when the check is done."</p></div></section> }.into_any(),
        Some(r) => view! {
            <div class="cols cols-side">
                <report::ReportList report=r.clone() version=v.clone()/>
                <div>
                    <report::Histogram report=r tokenizer/>
                    <about::Summary version=v.clone()/>
                    <files::Downloads version=v/>
                    <about::UsedBy page/>
                </div>
            </div>
        }
        .into_any(),
    }
}
