//! How it ended: why it failed and what to do, or whether it helped and on which rows.

use super::{Parts, again};
use crate::{
    api::runs::{RunPage, TryAgain},
    links,
    ui::{Empty, Load, Order, Paging, Reason, count, use_query},
};
use domain::{
    run::{EvaluatedRow, Failure, Run, Scores, Verdict},
    settings::{FinetuningType, RunSettings, yaml_float},
};
use leptos::prelude::*;

/// The sentence, the next step, and the lines that say it.
#[component]
pub fn Failed(run: Run, failure: Failure, again: Option<ServerAction<TryAgain>>) -> impl IntoView {
    let said = failure.said();
    let kept = again.map(|_| again::kept(&run));
    let clone = links::with(links::run_new(&run.tenant), &[("from", &run.id.to_string())]);
    let log = links::with(links::run(&run.tenant, &run.id), &[("tab", "log"), ("level", "warning")]);
    let actions = ViewFn::from(move || {
        view! {
            {again.map(|again| view! { <again::Again run=run.clone() again/> })}
            <a class="btn sm" href=clone.clone()>"Clone and change"</a><a class="btn sm quiet" href=log.clone()>"Log"</a>
        }
    });
    view! {
        <section class="section" aria-label="Why it failed">
            <Reason icon="failed" tone="danger" title=said.sentence actions>
                <p>{said.next_step}</p>
                {kept.map(|kept| view! { <p class="small muted">{kept}</p> })}
                <p class="small">"Cause: "<span class="mono">{failure.cause.code()}</span>{failure.exit.map(|e| format!(", {e}"))}</p>
            </Reason>
            {(!failure.evidence.is_empty()).then(|| view! { <pre class="code evidence" tabindex="0" role="region" aria-label="Trainer output">{failure.evidence.join("\n")}</pre> })}
        </section>
    }
}

/// Says when a training that went well was for nothing, and what to try. Draws nothing otherwise.
#[component]
pub fn NothingLearnt(run: Run) -> impl IntoView {
    let Some(scores) = run.scores.filter(|s| s.verdict() == Some(Verdict::NothingLearnt)) else { return ().into_any() };
    let clone = links::with(links::run_new(&run.tenant), &[("from", &run.id.to_string())]);
    let rows = links::with(links::run(&run.tenant, &run.id), &[("tab", "results"), ("rows", "wrong")]);
    let actions = ViewFn::from(
        move || view! { <a class="btn sm" href=clone.clone()>"Clone and change"</a><a class="btn sm quiet" href=rows.clone()>"Wrong answers"</a> },
    );
    view! {
        <section class="section" aria-label="Nothing was learnt">
            <Reason icon="degraded" title="The model learnt nothing" actions>
                <p>{taught_nothing(&scores)}</p>
                <p>{what_to_try(&run.settings)}</p>
            </Reason>
        </section>
    }
    .into_any()
}

fn taught_nothing(scores: &Scores) -> String {
    format!("{} of {} held-out rows are right after training, the same as before.", count(scores.tuned_right), count(scores.rows))
}

fn what_to_try(settings: &RunSettings) -> String {
    let lora = settings.finetuning_type() == FinetuningType::Lora;
    let mut tries = Vec::new();
    if settings.num_train_epochs() < 10.0 {
        tries.push(format!("more epochs ({} now)", settings.num_train_epochs()));
    }
    if settings.learning_rate() < if lora { 1e-3 } else { 5e-5 } {
        tries.push(format!("a higher learning rate ({} now)", yaml_float(settings.learning_rate())));
    }
    if lora && settings.lora_rank() < 32 {
        tries.push(format!("a higher LoRA rank ({} now)", settings.lora_rank()));
    }
    let tries = match tries.as_slice() {
        [] => "Try more or clearer examples.".to_owned(),
        some => format!("Try {}.", some.join(", ")),
    };
    format!("{tries} Look at the wrong answers first: an answer counts as right only if it matches the expected one exactly.")
}

/// In the overview: the scores and the way to the rows.
#[component]
pub fn Helped(run: Run) -> impl IntoView {
    let Some(s) = run.scores else { return ().into_any() };
    let rows = links::with(links::run(&run.tenant, &run.id), &[("tab", "results")]);
    view! {
        <section class="section" aria-labelledby="helped">
            <header><h2 id="helped">"Did it help?"</h2><p>"Exact match on held-out rows, base vs. tuned."</p><p class="end"><a href=rows>"Changed answers"</a></p></header>
            <ScoreFacts scores=s/>
        </section>
    }
    .into_any()
}

#[component]
fn ScoreFacts(scores: Scores) -> impl IntoView {
    let s = scores;
    view! {
        <dl class="facts facts-fig">
            <div><dt>"Base correct"</dt><dd>{count(s.base_right)}" "<small>{format!("of {}", count(s.rows))}</small></dd></div>
            <div><dt>"Tuned correct"</dt><dd>{count(s.tuned_right)}" "<small>{format!("of {}", count(s.rows))}</small></dd></div>
            <div><dt>"Gained"</dt><dd class="fg-success">{count(s.gained)}" "<small>"wrong before"</small></dd></div>
            <div><dt>"Lost"</dt><dd class:fg-danger=(s.lost > 0)>{count(s.lost)}" "<small>"right before"</small></dd></div>
        </dl>
    }
}

/// The tab: every evaluated row, the flipped ones first seen.
#[component]
pub(super) fn Results(page: RunPage, parts: Parts) -> impl IntoView {
    let r = page.run;
    let Some(s) = r.scores else {
        let text = if r.state.is_final() {
            "The run ended before its evaluation, or the dataset has no held-out rows."
        } else {
            "After training, the base and the tuned model answer the held-out rows. Results appear here automatically."
        };
        return view! { <section class="section"><Empty title="No results yet"><p>{text}</p></Empty></section> }.into_any();
    };
    let (which, after) = (use_query("rows"), use_query("after"));
    let address = links::run(&r.tenant, &r.id);
    let at = move |which: &str, after: &str| links::with(address.clone(), &[("tab", "results"), ("rows", which), ("after", after)]);
    let turn = at.clone();
    view! {
        <section class="section" aria-labelledby="res">
            <header>
                <h2 id="res">"Results"</h2><p>"Greedy decoding, exact match, on rows that were not trained on."</p>
                <span class="end seg" role="group" aria-label="Filter rows">
                    {[("", "Changed"), ("wrong", "Wrong now"), ("all", "All")].map(|(w, label)| view! { <a href=at(w, "") aria-current=(which.get_untracked() == w).then_some("true")>{label}</a> }).collect_view()}
                </span>
            </header>
            <ScoreFacts scores=s/>
            <Load resource=parts.rows let:rows>
                {if rows.rows.is_empty() {
                    view! { <p class="small muted gap">"No rows here."</p> }.into_any()
                } else {
                    let turn = turn.clone();
                    let (shown, to) = (rows.rows.len(), move |after: String| turn(&which.get_untracked(), &after));
                    view! { <Rows rows=rows.rows/> <Paging order=Order::Rows noun=("row", "rows") shown after=after.get_untracked() next=rows.next to/> }.into_any()
                }}
            </Load>
        </section>
    }
    .into_any()
}

#[component]
fn Rows(rows: Vec<EvaluatedRow>) -> impl IntoView {
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Table: evaluated rows">
            <table class="table fold answers">
                <thead><tr><th scope="col">"Question"</th><th scope="col">"Expected"</th><th scope="col">"Base"</th><th scope="col">"Tuned"</th></tr></thead>
                <tbody>
                    {rows.into_iter().map(|r| view! {
                        <tr>
                            <th scope="row" class="wrap">{r.prompt}<small>{place_of(r.line, r.row)}</small></th>
                            <td class="wrap" data-label="expected">{r.expected}</td>
                            <td class="wrap" data-label="base"><Answer text=r.base right=r.base_right/></td>
                            <td class="wrap" data-label="tuned"><Answer text=r.tuned right=r.tuned_right/></td>
                        </tr>
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
}

/// Where people find the row again: its line in the dataset's file.
fn place_of(line: Option<u64>, row: u64) -> String {
    line.map_or_else(|| format!("held-out row {}", count(row)), |line| format!("line {} of the dataset", count(line)))
}

#[component]
fn Answer(text: String, right: bool) -> impl IntoView {
    let (tone, word) = if right { ("fg-success", "right") } else { ("fg-danger", "wrong") };
    view! { <span class=tone>{if text.is_empty() { "(nothing)".to_owned() } else { text }}<span class="sr">{format!(" ({word})")}</span></span> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::settings::preset;

    #[test]
    fn a_run_that_taught_nothing_says_so_and_what_to_try_of_its_own_settings() {
        let none_of_8 = Scores { rows: 8, ..Scores::default() };
        assert_eq!(none_of_8.verdict(), Some(Verdict::NothingLearnt));
        assert_eq!(taught_nothing(&none_of_8), "0 of 8 held-out rows are right after training, the same as before.");
        let lora = || preset("lora").unwrap();
        let low = lora().with("num_train_epochs", 3.0).with("learning_rate", 1e-4).with("lora_rank", 8);
        let tries = what_to_try(&low);
        assert!(tries.starts_with("Try more epochs (3 now), a higher learning rate (1.0e-4 now), a higher LoRA rank (8 now)."), "{tries}");
        let high = lora().with("num_train_epochs", 20.0).with("learning_rate", 2e-3).with("lora_rank", 64);
        let tries = what_to_try(&high);
        assert!(tries.starts_with("Try more or clearer examples.") && tries.contains("wrong answers first"), "{tries}");
    }
}
