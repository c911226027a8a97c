//! `/t/{tenant}/datasets`: every dataset with the judgement of its newest version.

use crate::{
    api::datasets::{DatasetList, list_datasets},
    links,
    ui::{
        Crumb, Empty, Icon, Load, Order, Paging, Place, Sheet, StateWord, Status, TenantPage, When, bytes, count, number::some, on_change,
        use_query, use_tenant,
    },
};
use domain::{
    dataset::{DatasetOverview, DatasetVersion, VersionState},
    inspect::{Report, Severity},
    reason::dataset::DatasetReason,
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn Datasets() -> impl IntoView {
    let (tenant, text, checks, after) = (use_tenant(), use_query("q"), use_query("checks"), use_query("after"));
    let list =
        Resource::new(move || (tenant.get(), text.get(), checks.get(), after.get()), |(t, q, c, after)| list_datasets(t, q, c, after));
    on_change(tenant, String::new(), move || list.refetch());
    view! {
        <Title text="Datasets"/>
        <TenantPage place=Place::Datasets crumbs=vec![Crumb::here("Datasets")]>
            <Load resource=list let:list>
                <header class="head">
                    <div><h1>"Datasets"</h1><p>{format!("{}, {} of {} storage used. Versions are immutable, and every row is checked before training.", some(list.total, "dataset", "datasets"), bytes(list.stored), bytes(list.quota))}</p></div>
                    <div class="row">
                        {match list.upload_refused.clone() {
                            None => view! { <a class="btn primary" href=links::dataset_new(&tenant.get_untracked(), "")><Icon name="upload"/>"Upload"</a> }.into_any(),
                            Some(why) => view! { <span class="small muted">{why}</span> }.into_any(),
                        }}
                    </div>
                </header>
                {if list.total == 0 {
                    view! { <First tenant=tenant.get_untracked() may=list.upload_refused.is_none()/> }.into_any()
                } else {
                    view! { <Filter tenant=tenant.get_untracked() text=text.get_untracked() checks=checks.get_untracked()/> <Table list=list.clone() tenant=tenant.get_untracked()/> <Turn tenant=tenant.get_untracked() text=text.get_untracked() checks=checks.get_untracked() after=after.get_untracked() list/> }.into_any()
                }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Filter(tenant: String, text: String, checks: String) -> impl IntoView {
    let choices = [("", "All"), ("rejected", "With rejected rows"), ("warnings", "With warnings"), ("clean", "Clean")];
    let keep = text.clone();
    view! {
        <Form method="get" action="" attr:class="filterbar">
            <label class="control"><Icon name="filter"/><input type="search" name="q" value=text placeholder="Name, file, owner or licence" aria-label="Filter datasets"/></label>
            <input type="hidden" name="checks" value=checks.clone()/>
            <span class="seg" role="group" aria-label="Checks">
                {choices.into_iter().map(|(value, label)| {
                    let href = links::with(links::datasets(&tenant), &[("q", &keep), ("checks", value)]);
                    view! { <a href=href aria-current=(checks == value).then_some("true")>{label}</a> }
                }).collect_view()}
            </span>
            <button type="submit" class="btn">"Filter"</button>
        </Form>
    }
}

#[component]
fn Table(list: DatasetList, tenant: String) -> impl IntoView {
    if list.datasets.rows.is_empty() {
        return view! {
            <div class="lines"><div class="item"><span class="title">"No matching datasets"</span><span class="end"><a class="btn sm" href=links::datasets(&tenant)>"Clear filter"</a></span><p>{format!("{} without the filter.", list.total)}</p></div></div>
        }
        .into_any();
    }
    view! {
        <Sheet label="datasets">
            <table class="table fold datasets">
                <thead><tr><th scope="col">"Dataset"</th><th scope="col">"Checks"</th><th scope="col">"Format"</th><th scope="col" class="num">"Rows"</th><th scope="col" class="num">"Tokens"</th><th scope="col">"Licence"</th><th scope="col">"Documentation"</th><th scope="col">"Used by"</th><th scope="col">"Updated"</th></tr></thead>
                <tbody>{list.datasets.rows.into_iter().map(|d| row(&tenant, d)).collect_view()}</tbody>
            </table>
        </Sheet>
    }
    .into_any()
}

#[component]
fn Turn(tenant: String, text: String, checks: String, after: String, list: DatasetList) -> impl IntoView {
    let shown = list.datasets.rows.len();
    let to = move |after: String| links::with(links::datasets(&tenant), &[("q", &text), ("checks", &checks), ("after", &after)]);
    view! { <Paging order=Order::ByName noun=("dataset", "datasets") shown after next=list.datasets.next to/> }
}

fn row(tenant: &String, d: DatasetOverview) -> impl IntoView + use<> {
    let href = links::dataset(tenant, &d.dataset.name);
    let name = d.dataset.name.to_string();
    let runs = some(d.runs.into(), "run", "runs");
    let Some(v) = d.latest else {
        return view! { <tr><th scope="row"><a href=href>{name}</a></th><td colspan="8">"no version yet"</td></tr> }.into_any();
    };
    let report = v.report.clone();
    let gaps = v.documentation.gaps();
    view! {
        <tr>
            <th scope="row"><a href=href>{name}</a>" "<span class="tag">{format!("v{}", v.number)}</span><small>{v.file_name.clone()}</small></th>
            <td>{judgement(&v)}</td>
            <td class="nowrap">{v.format.map_or("–", |f| f.label())}</td>
            <td class="num" data-label="rows">{report.as_ref().map_or("–".into(), |r| count(r.train_rows))}{report.as_ref().filter(|r| r.held_out_rows > 0).map(|r| view! { <small>{format!("+ {} held out", count(r.held_out_rows))}</small> })}</td>
            <td class="num drop">{report.as_ref().filter(|r| r.tokens > 0).map_or("–".into(), |r| count(r.tokens))}</td>
            <td class="drop">{if v.documentation.licence.is_empty() { "–".to_owned() } else { v.documentation.licence.clone() }}</td>
            <td data-label="documentation">{if gaps.is_empty() { view! { "complete" }.into_any() } else { view! { <span class="fg-warning" title=gaps.join(", ")>{format!("{} missing", gaps.len())}</span> }.into_any() }}</td>
            <td class="drop nowrap">{runs}</td>
            <td class="nowrap"><When at=v.created_at/><small>{v.created_by_name}</small></td>
        </tr>
    }
    .into_any()
}

/// The state of a version in a table: what was found counts more than that it is ready.
fn judgement(v: &DatasetVersion) -> impl IntoView + use<> {
    let (status, more) = match (&v.report, v.state) {
        (Some(r), VersionState::Ready) if r.rejected > 0 => (
            Status { icon: "degraded", word: "Ready", tone: "warning", turns: false },
            Some(format!("{} left out", some(r.rejected, "row", "rows"))),
        ),
        (Some(r), VersionState::Ready) => match warnings(r) {
            0 => (Status { icon: "succeeded", word: "Clean", tone: "success", turns: false }, None),
            n => (Status { icon: "degraded", word: "Ready", tone: "warning", turns: false }, Some(some(n, "warning", "warnings"))),
        },
        (_, state) => (Status::from(state), v.reason.as_ref().map(DatasetReason::said)),
    };
    view! { <StateWord status/>{more.map(|m| view! { <small>{m}</small> })} }
}

/// Kinds of warnings in a report.
pub fn warnings(report: &Report) -> u64 {
    report.findings.iter().filter(|f| f.severity == Severity::Warning).count() as u64
}

#[component]
fn First(tenant: String, may: bool) -> impl IntoView {
    view! {
        <Empty title="No datasets yet">
            <p>"A dataset is a file of training examples. Every row is checked on upload; uploading never starts training."</p>
            {may.then(|| view! { <div class="row"><a class="btn primary" href=links::dataset_new(&tenant, "")>"Upload your first dataset"</a></div> })}
        </Empty>
        <Formats/>
    }
}

/// The row formats that are read, with an example of each.
#[component]
pub fn Formats() -> impl IntoView {
    view! {
        <ul class="formats">
            <li><b>"OpenAI messages"</b><code>r#"{"messages": [{"role": "user", …}]}"#</code></li>
            <li><b>"Alpaca"</b><code>r#"{"instruction": …, "output": …}"#</code></li>
            <li><b>"ShareGPT"</b><code>r#"{"conversations": [{"from": "human", …}]}"#</code></li>
        </ul>
    }
}
