//! What was found: worst first, each finding with its sentence, its rule, how many rows, and the way to them.

use crate::{
    links,
    ui::{Icon, When, count, number::some},
};
use domain::{
    dataset::DatasetVersion,
    inspect::{Bucket, FindingCount, Report, Severity},
};
use leptos::prelude::*;

#[component]
pub fn ReportList(report: Report, version: DatasetVersion) -> impl IntoView {
    let groups = [
        (Severity::Blocking, "Blocking", "failed", "fg-danger"),
        (Severity::Rejected, "Left out", "failed", "fg-danger"),
        (Severity::Warning, "Warning", "degraded", "fg-warning"),
        (Severity::Info, "Info", "info", ""),
    ];
    let clean = report.findings.is_empty();
    view! {
        <section class="section" aria-labelledby="rep">
            <header><h2 id="rep">"Report"</h2><p>"All rows checked, "<When at=version.created_at/>"."</p></header>
            {clean.then(|| view! { <p class="state success"><Icon name="succeeded"/>"No issues found. Every row can be used for training."</p> })}
            {groups.into_iter().map(|(severity, title, icon, tone)| {
                let found: Vec<FindingCount> = report.findings.iter().filter(|f| f.severity == severity).cloned().collect();
                let n = found.len();
                let version = version.clone();
                (n > 0).then(move || view! {
                    <h3 class=format!("report-head {tone}")><Icon name=icon/>{title}" "<span>{some(n as u64, "rule", "rules")}</span></h3>
                    <div class="lines report">{found.into_iter().map(|f| finding(&version, f)).collect_view()}</div>
                })
            }).collect_view()}
        </section>
    }
}

fn finding(version: &DatasetVersion, f: FindingCount) -> impl IntoView + use<> {
    let number = version.number.to_string();
    let rows = links::with(links::dataset(&version.tenant, &version.dataset_name), &[("v", &number), ("tab", "rows"), ("rule", &f.rule)]);
    let more = f.count.saturating_sub(f.lines.len() as u64);
    view! {
        <article>
            <header><b>{f.said()}</b><code>{f.rule}</code><span class="end">{
                // Of the file as a whole there is nothing to look at row by row.
                if f.lines.is_empty() { "the whole file".into_any() } else { view! { <a href=rows.clone()>{some(f.count, "row", "rows")}</a> }.into_any() }
            }</span></header>
            {(!f.lines.is_empty()).then(|| view! {
                <p>{if f.lines.len() == 1 { "Line " } else { "Lines " }}
                    {f.lines.iter().take(12).enumerate().map(|(i, line)| view! { {(i > 0).then_some(", ")}<a href=format!("{rows}#line-{line}")>{count(*line)}</a> }).collect_view()}
                    {(more > 0 || f.lines.len() > 12).then_some(" and more")}
                </p>
            })}
        </article>
    }
}

fn not_counted(report: &Report, tokenizer_named: bool) -> &'static str {
    if !tokenizer_named {
        "no tokenizer was chosen for this version."
    } else if report.accepted == 0 {
        "no row was accepted."
    } else {
        "the tokenizer of the base model could not be read."
    }
}

/// How many bars the panel is wide: one or two full bars must not look like all there is.
fn places(buckets: usize) -> f64 {
    buckets.max(4) as f64
}

/// The bars that have their number under them: about four, and none where the number of the longest row stands.
fn labelled(buckets: usize) -> Vec<usize> {
    const NUMBER: f64 = 24.0; // percent of the panel that a number of five digits takes, on a phone
    let room = |i: usize| (buckets - i) as f64 * 100.0 / places(buckets);
    let every = (NUMBER / 100.0 * places(buckets)).ceil() as usize;
    (0..buckets).step_by(every.max(1)).filter(|i| room(*i) >= NUMBER).collect()
}

/// How long the rows are, in tokens.
#[component]
pub fn Histogram(report: Report, tokenizer: Option<String>) -> impl IntoView {
    let buckets = report.histogram.clone();
    let most = buckets.iter().map(|b| b.rows).max().unwrap_or(0);
    if most == 0 {
        let why = not_counted(&report, tokenizer.is_some());
        return view! { <section class="section" aria-labelledby="tok"><header><h2 id="tok">"Tokens per row"</h2></header><p class="small muted">"Not counted: "{why}</p></section> }.into_any();
    }
    let places = places(buckets.len());
    let bar = move |(i, b): (usize, &Bucket)| {
        let (x, w) = (i as f64 * 100.0 / places + 0.5, 100.0 / places - 1.0);
        let top = 100.0 - b.rows as f64 / most as f64 * 96.0;
        format!("M{x:.2} 100h{w:.2}V{top:.2}h-{w:.2}z")
    };
    let bars: String = buckets.iter().enumerate().filter(|(_, b)| b.rows > 0).map(bar).collect();
    let left = move |i: usize| format!("left:{:.1}%", i as f64 * 100.0 / places);
    let says = format!(
        "Histogram of tokens per row. The fullest of {} groups holds {} rows; the longest row has {} tokens.",
        buckets.len(),
        count(most),
        count(report.longest_tokens)
    );
    view! {
        <section class="section" aria-labelledby="tok">
            <header><h2 id="tok">"Tokens per row"</h2></header>
            <figure class="chart" style="--h:9rem;--pad-l:2.25rem">
                <div class="plot" role="img" aria-label=says>
                    <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><path class="grid" d="M0 52H100M0 4H100"/><path class="b" style="--c:var(--color-series-1)" d=bars/><path class="axis" d="M0 100H100"/></svg>
                    <span class="y" style="top:4%">{count(most)}</span><span class="y" style="top:100%">"0"</span>
                    {labelled(buckets.len()).into_iter().map(|i| view! { <span class="x first" style=left(i)>{count(buckets[i].from)}</span> }).collect_view()}
                    <span class="x last" style=left(buckets.len())>{count(report.longest_tokens)}</span>
                </div>
            </figure>
            <p class="small muted">"Counted with the tokenizer of "<b class="mono">{tokenizer.unwrap_or_else(|| "a deleted base model".into())}</b>", chat template included. The longest row has "{count(report.longest_tokens)}" tokens."</p>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_under_the_bars_never_meet() {
        for buckets in 1..=14 {
            let at = |i: usize| i as f64 * 100.0 / places(buckets);
            let shown = labelled(buckets);
            assert_eq!(shown.first(), Some(&0), "{buckets}");
            assert!(shown.len() <= 5, "{buckets}: {shown:?}");
            assert!(shown.windows(2).all(|w| at(w[1]) - at(w[0]) >= 23.9), "{buckets}: {shown:?}");
            assert!(shown.iter().all(|i| at(buckets) - at(*i) >= 23.9), "{buckets}: {shown:?}");
        }
        assert_eq!(places(1), 4.0, "one bar is a quarter of the panel");
    }
}
