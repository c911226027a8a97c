//! Usage: requests and tokens by day, model, key, member; and the latest calls.

use crate::{
    api::usage::{CallLine, RANGES, UsagePage, usage_get},
    links,
    ui::{Crumb, Empty, Load, Order, Paging, Place, Sheet, TenantPage, When, count, on_change, use_query, use_tenant},
};
use domain::usage::{UsageBy, UsageLine};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Usage() -> impl IntoView {
    let (tenant, by, days, after, lines) = (use_tenant(), use_query("by"), use_query("days"), use_query("after"), use_query("lines"));
    let page = Resource::new(
        move || (tenant.get(), by.get(), days.get().parse().unwrap_or(14), after.get(), lines.get()),
        |(tenant, by, days, after, lines)| usage_get(tenant, by, days, after, lines),
    );
    on_change(tenant, "", move || page.refetch());
    view! {
        <Title text="Usage"/>
        <TenantPage place=Place::Usage crumbs=vec![Crumb::here("Usage")]>
            <Load resource=page let:page>
                <Head tenant page=page.clone()/>
                <Figures page=page.clone()/>
                <div class="cols cols-side usage-cols">
                    <Days lines=page.per_day.clone()/>
                    <Breakdown page=page.clone() tenant=tenant.get_untracked() after=after.get_untracked() lines=lines.get_untracked()/>
                </div>
                {
                    let (tenant, by, days, lines) = (tenant.get_untracked(), page.by, page.days, lines.get_untracked());
                    let to = move |after: String| at(&tenant, by, days, &after, &lines);
                    let (shown, next) = (page.calls.rows.len(), page.calls.next);
                    view! { <Calls calls=page.calls.rows/><Paging order=Order::NewestFirst noun=("call", "calls") shown after=after.get_untracked() next to/> }
                }
            </Load>
        </TenantPage>
    }
}

/// The page with each of its two lists after a cursor.
fn at(tenant: &str, by: UsageBy, days: u32, after: &str, lines: &str) -> String {
    links::with(links::usage(&tenant), &[("by", by.word()), ("days", &days.to_string()), ("after", after), ("lines", lines)])
}

#[component]
fn Head(tenant: Signal<String>, page: UsagePage) -> impl IntoView {
    let (by, days) = (page.by, page.days);
    let to = move |by: UsageBy, days: u32| links::with(links::usage(&tenant.get()), &[("by", by.word()), ("days", &days.to_string())]);
    view! {
        <header class="head">
            <div><h1>"Usage"</h1><p>{match page.own_only {
                Some(_) => "Your own calls. Owners see all calls of the tenant.",
                None => "All calls through the gateway. Prompts and answers are never stored.",
            }}</p></div>
            <div class="row">
                <nav class="seg" aria-label="Broken down by">{UsageBy::ALL.map(|b| view! {
                    <a href=move || to(b, days) aria-current=(b == by).then_some("true")>{super::models::capital(b.word())}</a>
                }).collect_view()}</nav>
                <nav class="seg" aria-label="Range">{RANGES.map(|d| view! {
                    <a href=move || to(by, d) aria-current=(d == days).then_some("true")>{if d == 1 { "Today".to_owned() } else { format!("{d} days") }}</a>
                }).collect_view()}</nav>
            </div>
        </header>
    }
}

#[component]
fn Figures(page: UsagePage) -> impl IntoView {
    let sum = |of: fn(&UsageLine) -> u64| page.per_day.iter().map(of).sum::<u64>();
    let (requests, errors) = (sum(|l| l.requests), sum(|l| l.errors));
    let range = if page.days == 1 { "today".to_owned() } else { format!("{} days", page.days) };
    view! {
        <dl class="facts facts-fig">
            <div><dt>{format!("Requests, {range}")}</dt><dd>{count(requests)}</dd></div>
            <div><dt>"Tokens in"</dt><dd>{count(sum(|l| l.prompt_tokens))}</dd></div>
            <div><dt>"Tokens out"</dt><dd>{count(sum(|l| l.completion_tokens))}</dd></div>
            <div><dt>"Errors"</dt><dd>{count(errors)}" "<small>{format!("of {}", count(requests))}</small></dd></div>
        </dl>
    }
}

/// Bars of requests a day; words are HTML, bars one stretched drawing.
#[component]
fn Days(lines: Vec<UsageLine>) -> impl IntoView {
    let most = lines.iter().map(|l| l.requests).max().unwrap_or(0);
    let top = nice(most);
    let n = lines.len().max(1) as f64;
    let slot = 100.0 / n;
    let bars = lines
        .iter()
        .enumerate()
        .map(|(i, l)| {
            let tall = if top == 0 { 0.0 } else { l.requests as f64 / top as f64 * 100.0 };
            let bad = if l.requests == 0 { 0.0 } else { tall * l.errors as f64 / l.requests as f64 };
            let (x, w) = (i as f64 * slot + slot * 0.14, slot * 0.72);
            let bar = |from: f64, height: f64| format!("M{x:.2} {:.2}h{w:.2}v-{height:.2}h-{w:.2}z", 100.0 - from);
            (bar(0.0, tall - bad), (bad > 0.0).then(|| bar(tall - bad, bad)))
        })
        .collect::<Vec<_>>();
    let said = format!(
        "Requests a day, {} to {}: at most {} on a day.",
        lines.first().map_or("", |l| &l.group),
        lines.last().map_or("", |l| &l.group),
        count(most)
    );
    let marks = [0, lines.len() / 2, lines.len().saturating_sub(1)];
    view! {
        <figure class="chart usage" style="--h:15rem;--pad-l:2.75rem">
            <figcaption><b>"Requests a day"</b><span class="subtle">"UTC; errors in red on top"</span></figcaption>
            <div class="plot" role="img" aria-label=said>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
                    <path class="grid" d="M0 75H100M0 50H100M0 25H100M0 0H100"></path>
                    {bars.into_iter().map(|(good, bad)| view! {
                        <path class="b" style="--c:var(--color-series-1)" d=good></path>
                        {bad.map(|d| view! { <path class="b" style="--c:var(--color-danger)" d=d></path> })}
                    }).collect_view()}
                    <path class="axis" d="M0 100H100"></path>
                </svg>
                {(0..=4u64).map(|i| view! { <span class="y" style=format!("top:{}%", 100 - i * 25)>{count(top * i / 4)}</span> }).collect_view()}
                {marks.into_iter().enumerate().filter(|(k, i)| *k == 0 || *i > 0).map(|(k, i)| {
                    let class = match k { 0 => "x first", 2 => "x last", _ => "x" };
                    let at = match k { 0 => 0.0, 2 => 100.0, _ => (i as f64 + 0.5) * slot };
                    view! { <span class=class style=format!("left:{at:.1}%")>{lines.get(i).map(|l| l.group.clone())}</span> }
                }).collect_view()}
            </div>
        </figure>
    }
}

/// The next number above that four lines divide evenly.
fn nice(most: u64) -> u64 {
    let mut step = 1u64;
    loop {
        for m in [1, 2, 5] {
            if step * m * 4 >= most {
                return step * m * 4;
            }
        }
        step *= 10;
    }
}

#[component]
fn Breakdown(page: UsagePage, tenant: String, after: String, lines: String) -> impl IntoView {
    let all: u64 = page.per_day.iter().map(|l| l.requests).sum();
    let head = super::models::capital(page.by.word());
    let tokens = |l: &UsageLine| l.prompt_tokens + l.completion_tokens;
    let total: u64 = page.per_day.iter().map(tokens).sum();
    let (by, days, next) = (page.by, page.days, page.lines.next);
    let rows: Vec<UsageLine> = page.lines.rows.into_iter().filter(|l| l.requests > 0).collect();
    let shown = rows.len();
    let to = move |lines: String| at(&tenant, by, days, &after, &lines);
    view! {
        <section aria-labelledby="by">
            <h2 id="by" class="as-h3">{format!("By {}", page.by.word())}</h2>
            {if all == 0 {
                view! { <Empty title="No calls in this range"><p>"Calls from API keys and the playground appear here within seconds."</p></Empty> }.into_any()
            } else {
                view! {
                    <table class="table compact">
                        <thead><tr><th scope="col">{head}</th><th scope="col" class="num">"Requests"</th><th scope="col" class="num">"Tokens"</th><th scope="col" class="num">"Share"</th></tr></thead>
                        <tbody>{rows.iter().map(|l| view! {
                            <tr><th scope="row">{l.label.clone()}</th><td class="num">{count(l.requests)}</td><td class="num">{count(tokens(l))}</td><td class="num">{share(l.requests, all)}</td></tr>
                        }).collect_view()}</tbody>
                        <tfoot><tr><td>"All"</td><td class="num">{count(all)}</td><td class="num">{count(total)}</td><td></td></tr></tfoot>
                    </table>
                    <Paging order=Order::MostFirst noun=("line", "lines") shown after=lines next to/>
                }.into_any()
            }}
        </section>
    }
}

/// `62 %`
fn share(part: u64, whole: u64) -> String {
    format!("{:.0}\u{a0}%", part as f64 / whole.max(1) as f64 * 100.0)
}

#[component]
fn Calls(calls: Vec<CallLine>) -> impl IntoView {
    if calls.is_empty() {
        return ().into_any();
    }
    view! {
        <section class="section" aria-labelledby="calls">
            <header><h2 id="calls">"Latest calls"</h2><p>"newest first; prompts and answers are not kept"</p></header>
            <Sheet label="latest calls">
                <table class="table fold">
                    <thead><tr><th scope="col">"Model"</th><th scope="col">"Time, UTC"</th><th scope="col">"Source"</th><th scope="col">"Status"</th><th scope="col" class="num">"Tokens in"</th><th scope="col" class="num">"Tokens out"</th><th scope="col" class="num">"First token, ms"</th><th scope="col" class="num">"Total, ms"</th><th scope="col">"Request"</th></tr></thead>
                    <tbody>{calls.into_iter().map(|CallLine { call, through }| {
                        let bad = call.status >= 400;
                        let about = if call.estimated { "about " } else { "" };
                        view! {
                            <tr>
                                <th scope="row">{if call.model.is_empty() { "no model named".into_any() } else { view! { <span class="mono">{call.model}</span> }.into_any() }}</th>
                                <td class="nowrap"><When at=call.at/></td>
                                <td>{through}</td>
                                <td><span class:fg-danger=move || bad>{call.status}{call.error.map(|e| format!(", {e}"))}</span></td>
                                <td class="num" data-label="in">{about}{count(call.prompt_tokens)}</td>
                                <td class="num" data-label="out">{about}{count(call.completion_tokens)}</td>
                                <td class="num drop">{call.first_token_ms.map_or_else(|| "–".to_owned(), count)}</td>
                                <td class="num drop">{count(call.duration_ms)}</td>
                                <td class="mono drop">{call.request_id}</td>
                            </tr>
                        }
                    }).collect_view()}</tbody>
                </table>
            </Sheet>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_scale_ends_on_a_number_that_four_lines_divide() {
        assert_eq!([0, 3, 4, 5, 17, 41, 4301].map(super::nice), [4, 4, 4, 8, 20, 80, 8000]);
    }
}
