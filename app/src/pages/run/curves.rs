//! The curves: loss on a log or linear axis, and the small ones under it; a table of the same numbers for those who read numbers.

use super::Parts;
use crate::{
    links,
    ui::{
        Load,
        chart::{Chart, ChartView, Series},
        count,
        number::figure,
        use_query,
    },
};
use domain::run::{MetricPoint, RunState};
use leptos::prelude::*;

#[component]
pub(super) fn Curves(parts: Parts, state: RunState) -> impl IntoView {
    let scale = use_query("scale");
    // Drawn for one run: its address stays.
    let run = parts.address();
    view! {
        <Load resource=parts.points let:points>
            {if points.is_empty() {
                view! { <section class="section" aria-labelledby="loss"><header><h2 id="loss">"Loss"</h2></header><p class="small muted">{nothing_yet(state)}</p></section> }.into_any()
            } else {
                view! { <Drawn run=run.clone() points state total_steps=parts.total_steps() table=parts.table log=scale.get_untracked() != "linear"/> }.into_any()
            }}
        </Load>
    }
}

fn nothing_yet(state: RunState) -> &'static str {
    if state.is_final() { "The run ended before any metrics were logged." } else { "The chart appears with the first training metrics." }
}

fn column(points: &[MetricPoint], value: impl Fn(&MetricPoint) -> Option<f64>) -> Vec<(f64, f64)> {
    points.iter().filter_map(|p| value(p).filter(|v| v.is_finite()).map(|v| (p.step as f64, v))).collect()
}

#[component]
fn Drawn(run: String, points: Vec<MetricPoint>, state: RunState, total_steps: u64, table: RwSignal<bool>, log: bool) -> impl IntoView {
    let last = points.last().map_or(0, |p| p.step);
    let steps = total_steps.max(last);
    let done = if state.is_final() && state != RunState::Failed { steps } else { last };
    let train = column(&points, |p| p.loss);
    let eval = column(&points, |p| p.eval_loss);
    let rate = column(&points, |p| p.learning_rate);
    let speed = column(&points, |p| p.tokens_per_second);
    let href = move |scale: &str| links::with(run.clone(), &[("scale", scale)]);
    let (to_log, to_linear) = (href(""), href("linear"));
    let tools = ViewFn::from(move || {
        view! {
            <span class="seg" role="group" aria-label="Vertical axis">
                <a href=to_log.clone() aria-current=log.then_some("true")>"log"</a><a href=to_linear.clone() aria-current=(!log).then_some("true")>"linear"</a>
            </span>
        }
    });
    let chart = Chart {
        title: "Loss",
        caption: caption(last, &train, &eval, state.is_final()),
        says: said(&train, &eval),
        series: vec![
            Series { label: "train", colour: 1, dashed: false, smoothed: true, points: train },
            Series { label: "eval", colour: 2, dashed: true, smoothed: false, points: eval },
        ],
        steps,
        done,
        log,
        height: "19rem",
        detailed: true,
    };
    let small = move |title: &'static str, points: Vec<(f64, f64)>| {
        let now = points.last().map(|p| figure(p.1)).unwrap_or_default();
        (!points.is_empty()).then(|| {
            let caption = format!("{now} {}", if done < steps { "now" } else { "at the end" });
            let says = format!("{title}, {caption}.");
            view! { <ChartView chart=Chart { title, caption, says, series: vec![Series { label: "", colour: 1, dashed: false, smoothed: false, points }], steps, done, log: false, height: "5rem", detailed: false }/> }
        })
    };
    view! {
        <section class="section" aria-label="Loss">
            <ChartView chart tools/>
            <details class="numbers" prop:open=move || table.get() on:toggle:target=move |ev| table.set(ev.target().open())><summary>"Show as table"</summary><Numbers points=points.clone()/></details>
        </section>
        <section class="section" aria-label="Other metrics"><div class="smalls two">{small("Learning rate", rate)}{small("Tokens per second", speed)}</div></section>
    }
}

fn caption(step: u64, train: &[(f64, f64)], eval: &[(f64, f64)], ended: bool) -> String {
    let mut out = format!("step {}", count(step));
    if let Some((_, v)) = train.last() {
        out.push_str(&format!("\u{a0} · \u{a0}train {}", figure(*v)));
    }
    if let Some((at, v)) = eval.last() {
        let best = eval.iter().all(|e| e.1 >= *v);
        out.push_str(&format!(
            "\u{a0} · \u{a0}eval {} at {}{}",
            figure(*v),
            count(*at as u64),
            match best && eval.len() > 1 {
                true if ended => ", best",
                true => ", best so far",
                false => "",
            }
        ));
    }
    out
}

fn said(train: &[(f64, f64)], eval: &[(f64, f64)]) -> String {
    let line = |name: &str, points: &[(f64, f64)]| match (points.first(), points.last()) {
        (Some(a), Some(b)) => format!(
            "{name} loss went from {} at step {} to {} at step {}. ",
            figure(a.1),
            count(a.0 as u64),
            figure(b.1),
            count(b.0 as u64)
        ),
        _ => String::new(),
    };
    line("Training", train) + &line("Evaluation", eval)
}

#[component]
fn Numbers(points: Vec<MetricPoint>) -> impl IntoView {
    let cell = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), figure);
    view! {
        <div class="scroll tall" tabindex="0" role="region" aria-label="Table: metrics">
            <table class="table compact">
                <thead><tr><th scope="col" class="num">"Step"</th><th scope="col" class="num">"Epoch"</th><th scope="col" class="num">"Train loss"</th><th scope="col" class="num">"Eval loss"</th><th scope="col" class="num">"Learning rate"</th><th scope="col" class="num">"Tokens/s"</th></tr></thead>
                <tbody>
                    {points.into_iter().map(|p| view! {
                        <tr><th scope="row" class="num">{count(p.step)}</th><td class="num">{cell(p.epoch)}</td><td class="num">{cell(p.loss)}</td><td class="num">{cell(p.eval_loss)}</td><td class="num">{cell(p.learning_rate)}</td><td class="num">{cell(p.tokens_per_second)}</td></tr>
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
}
