//! Did it help? Base against tuned on the held-out rows, and the rows that flipped.

use super::tab_href;
use crate::{
    api::models::{FLIPPED_SHOWN, ModelPage},
    links,
    ui::{Empty, Icon, Order, Paging, Sheet, count, number::percent},
};
use domain::run::{EvaluatedRow, Scores, Verdict};
use leptos::prelude::*;

/// `whole` = its own tab with every flipped row.
#[component]
pub fn Evaluation(page: ModelPage, whole: bool, after: String, tenant: Signal<String>) -> impl IntoView {
    let run = links::run(&tenant.get_untracked(), &page.version.run);
    let all = tab_href(&tenant.get_untracked(), &page, "evaluation");
    let (better, worse) = page.version.scores.map_or((0, 0), |s| (s.gained, s.lost));
    let (total, next) = (better + worse, page.flipped.next);
    let shown: Vec<EvaluatedRow> = if whole { page.flipped.rows } else { page.flipped.rows.into_iter().take(FLIPPED_SHOWN).collect() };
    let (on_page, address) = (shown.len(), all.clone());
    let to = move |after: String| links::with(address.clone(), &[("after", &after)]);
    view! {
        <section class="section" aria-labelledby="help">
            <header><h2 id="help">"Did it help?"</h2><p>"Exact match with greedy decoding on held-out rows, base vs. tuned. From run "<a href=run>{page.version.run_name.to_string()}</a>"."</p></header>
            {match page.version.scores {
                None => view! { <Empty title="Not evaluated"><p>"The dataset has no held-out rows. Upload a version with held-out rows to compare the models."</p></Empty> }.into_any(),
                Some(s) => view! { <div class="cols cols-eval">{score(s)}{verdict(s)}</div> }.into_any(),
            }}
            {(total > 0).then(|| view! {
                <h3 class="flips-head">"Changed answers "<span class="subtle">{format!("{better} better, {worse} worse")}</span></h3>
                <Sheet label="changed answers">
                    <table class="table flips">
                        <thead><tr><th scope="col"><span class="sr">"Change"</span></th><th scope="col">"Question"</th><th scope="col">"Base answer"</th><th scope="col">"Tuned answer"</th><th scope="col">"Right answer"</th></tr></thead>
                        <tbody>{shown.into_iter().map(flipped).collect_view()}</tbody>
                    </table>
                </Sheet>
                {whole.then(|| view! { <Paging order=Order::Rows noun=("answer", "answers") shown=on_page after next to/> })}
                {(!whole && total > FLIPPED_SHOWN as u64).then(|| view! { <p class="small after"><a href=all>{format!("All {total} changed answers")}</a></p> })}
            })}
        </section>
    }
}

fn score(s: Scores) -> impl IntoView {
    let (base, tuned) = (percent(s.base_right, s.rows), percent(s.tuned_right, s.rows));
    let low = percent(s.base_right.min(s.tuned_right), s.rows);
    let wide = percent(s.base_right.abs_diff(s.tuned_right), s.rows);
    let (sign, tone) = match s.tuned_right.cmp(&s.base_right) {
        std::cmp::Ordering::Greater => ("+", "num fg-success"),
        std::cmp::Ordering::Less => ("−", "num fg-danger"),
        std::cmp::Ordering::Equal => ("", "num"),
    };
    view! {
        <table class="table fold eval">
            <thead><tr><th scope="col">"Set"</th><th scope="col" class="num">"Base"</th><th scope="col" class="num">"Tuned"</th><th scope="col" aria-label="Scale"><span class="small subtle">"0"</span><span class="small subtle">"100 %"</span></th><th scope="col" class="num">"Change"</th></tr></thead>
            <tbody>
                <tr>
                    <th scope="row">"Held-out rows"</th>
                    <td class="num" data-label="base">{format!("{} / {}", count(s.base_right), count(s.rows))}</td>
                    <td class="num" data-label="tuned"><b>{format!("{} / {}", count(s.tuned_right), count(s.rows))}</b></td>
                    <td class="drop"><span class="dots" aria-hidden="true"><i class="span" style=format!("left:{low};width:{wide}")></i><i class="base" style=format!("left:{base}")></i><i class="tuned" style=format!("left:{tuned}")></i></span></td>
                    <td class=tone>{sign}{count(s.base_right.abs_diff(s.tuned_right))}</td>
                </tr>
            </tbody>
        </table>
    }
}

fn verdict(s: Scores) -> impl IntoView {
    let heading = match s.verdict() {
        Some(Verdict::NothingLearnt) => "Nothing learnt: no held-out answer improved.",
        Some(Verdict::NothingToLearn) => "The base model already answers every row correctly.",
        Some(Verdict::Better) => "Improved, with no regressions.",
        Some(Verdict::MostlyBetter) => "Improved, with some regressions.",
        Some(Verdict::Worse) if s.gained == 0 => "Worse than the base model.",
        Some(Verdict::Worse) => "No net improvement.",
        None => "No held-out rows.",
    };
    view! {
        <div class="read-note">
            <p><b>{heading}</b>{format!(" {} fixed and {} broken compared with the base model.", rows(s.gained), rows(s.lost))}</p>
            <p class="legend"><span class="key dotkey base">"base"</span><span class="key dotkey tuned">"tuned"</span></p>
        </div>
    }
}

fn rows(n: u64) -> String {
    crate::ui::number::some(n, "row", "rows")
}

fn flipped(row: EvaluatedRow) -> impl IntoView {
    let better = row.tuned_right;
    view! {
        <tr>
            <td><span class=if better { "fg-success" } else { "fg-danger" }>{if better { view! { <Icon name="up_"/> } } else { view! { <Icon name="down"/> } }}</span><span class="sr">{if better { "better" } else { "worse" }}</span></td>
            <th scope="row">{row.prompt}</th>
            <td>{row.base}</td>
            <td>{if better { view! { <ins>{row.tuned}</ins> }.into_any() } else { view! { <del>{row.tuned}</del> }.into_any() }}</td>
            <td>{row.expected}</td>
        </tr>
    }
}
