//! Beside the form: what it comes to, the settings as a text, what is wrong, and the button.

use super::{Typed, View};
use crate::{
    api::runs::Draft,
    links,
    ui::{Icon, count, number::some},
};
use domain::problem::FieldProblem;
use leptos::prelude::*;

/// The button that starts the run; off while something is wrong. Without scripts the server judges, and it must not say that it is off.
#[component]
pub(super) fn Start(typed: Typed, busy: Signal<bool>) -> impl IntoView {
    let alive = RwSignal::new(false);
    Effect::new(move |_| alive.set(true));
    let ready = move || typed.problems.with(Vec::is_empty);
    view! {
        <button type="submit" class="btn primary" aria-busy=move || busy.get().then_some("true") aria-disabled=move || (alive.get() && !ready()).then_some("true") aria-describedby="why"
            on:click=move |e| if !ready() || busy.get() { e.prevent_default() }>"Start run"</button>
    }
}

#[component]
pub(super) fn Preflight(typed: Typed, draft: Draft, busy: Signal<bool>, tenant: String, view: RwSignal<View>) -> impl IntoView {
    let yaml = move || typed.form.with(|f| f.document().text());
    let chosen = Memo::new(move |_| typed.data());
    let steps = move || chosen.get().map(|d| typed.settings(|s| s.steps_over(d.train_rows, typed.processes())));
    let tokens = move || chosen.get().and_then(|d| typed.settings(|s| d.tokens_to_train(s.num_train_epochs())));
    let ready = move || typed.problems.with(Vec::is_empty);
    let waits = draft.runs_active >= draft.runs_quota;
    view! {
        <aside class="preflight" aria-labelledby="pf">
            <header class="row between"><h2 id="pf">"Preflight"</h2><span class="small subtle scripted">"checked as you type"</span></header>
            <dl class="kv">
                <dt>"Steps"</dt><dd>{move || steps().map(count)}</dd>
                <dt>"Tokens"</dt><dd>{move || match tokens() {
                    Some(n) => view! { "about "{count(n)}" "<small>"without padding"</small> }.into_any(),
                    None => "not counted".into_any(),
                }}</dd>
                <dt>"Evaluation"</dt><dd>{move || chosen.get().map(|d| if d.held_out_rows > 0 { some(d.held_out_rows, "held-out row", "held-out rows") } else { "none, no held-out rows".into() })}</dd>
            </dl>
            <ul class="checks">
                {move || typed.problems.get().into_iter().map(|problem| view! { <Wrong typed problem view/> }).collect_view()}
                {move || typed.doubts.get().into_iter().map(|p| view! {
                    <li class="fg-warning"><Icon name="degraded"/><span><a href=format!("#{}", p.field) rel="external">{p.field.clone()}</a>": "{p.sentence}</span></li>
                }).collect_view()}
                {move || ready().then(|| view! { <li class="fg-success"><Icon name="succeeded"/><span>"All settings are valid"</span></li> })}
                <li class=if waits { "fg-warning" } else { "fg-success" }>
                    <Icon name=if waits { "degraded" } else { "succeeded" }/>
                    <span>{format!("{} of {} concurrent runs in use{}", draft.runs_active, draft.runs_quota, if waits { if draft.runs_queued > 0 { format!("; queued behind {} more", draft.runs_queued) } else { "; this run will be queued".into() } } else { String::new() })}</span>
                </li>
            </ul>
            <div class="stack gap-sm">
                {match draft.launch_refused {
                    Some(why) => view! { <button type="button" class="btn primary" aria-disabled="true" aria-describedby="why">"Start run"</button><p id="why" class="small muted">{why}</p> }.into_any(),
                    None => view! {
                        {move || (view.get() != View::All).then(|| view! { <Start typed busy/> })}
                        <button type="submit" class="btn unscripted" formmethod="get" formaction=links::run_new(&tenant)>"Check"</button>
                        <p id="why" class="small muted">{move || (!ready()).then(|| typed.problems.with(|p| format!("Fix {} to start the run.", some(p.len() as u64, "setting", "settings"))))}</p>
                    }.into_any(),
                }}
            </div>
            <section aria-labelledby="yml" hidden=move || view.get() != View::Simple>
                <h3 id="yml">"run.yaml"</h3>
                <pre class="code yaml-text" tabindex="0" role="region" aria-label="The run as YAML">{yaml}</pre>
            </section>
        </aside>
    }
}

/// A problem, and where it is: the field, or in the YAML the line. A line that nobody may have can be taken out here.
#[component]
fn Wrong(typed: Typed, problem: FieldProblem, view: RwSignal<View>) -> impl IntoView {
    let line = typed.form.with_untracked(|f| f.document().pairs().into_iter().find(|p| p.key == problem.field).map(|p| p.line));
    let foreign = line.is_some() && typed.catalogue.with_untracked(|c| c.entry(&problem.field).is_none_or(|e| !e.is_persons()));
    let (key, field) = (problem.field.clone(), problem.field);
    let in_text = move || view.get() == View::Yaml || foreign;
    let label = {
        let field = field.clone();
        move || match line {
            Some(line) if in_text() => format!("Line {line}, {field}"),
            _ => field.clone(),
        }
    };
    view! {
        <li class="fg-danger"><Icon name="failed"/><span>
            <a href=move || if in_text() { "#yaml".to_owned() } else { format!("#{field}") } rel="external">{label}</a>": "{problem.sentence}
            {foreign.then(|| view! { " "<button type="button" class="link scripted" on:click=move |_| typed.reset(&key)>"Remove the line"</button> })}
        </span></li>
    }
}
