//! The log: the newest lines, searched and narrowed by the address; follows while the run works.

use super::Parts;
use crate::{
    links,
    ui::{Icon, Load, count, number::some, use_query},
};
use domain::run::{LogLevel, LogLine};
use leptos::{html::Div, prelude::*};
use leptos_router::components::Form;

#[component]
pub(super) fn LogTab(parts: Parts, whole: bool) -> impl IntoView {
    let (text, level) = (use_query("q"), use_query("level"));
    let Parts { tail, following, .. } = parts;
    let ended = Memo::new(move |_| parts.run.with(|run| run.as_ref().is_none_or(|r| r.state.is_final())));
    let sheet = NodeRef::<Div>::new();
    // The newest line is in sight, until a person scrolls up.
    Effect::new(move |_| {
        tail.track();
        if whole
            && following.get()
            && let Some(sheet) = sheet.get()
        {
            request_animation_frame(move || sheet.set_scroll_top(sheet.scroll_height()));
        }
    });
    // Drawn for one run: its address stays.
    let run = parts.address();
    let all = links::with(run.clone(), &[("tab", "log")]);
    let at =
        move |level: &str, text: &str| links::with(run.clone(), &[("tab", if whole { "log" } else { "" }), ("level", level), ("q", text)]);
    let at = StoredValue::new(at);
    view! {
        <section class="section" aria-labelledby="log">
            <Load resource=tail let:tail>
                <header>
                    <h2 id="log">"Log"</h2>
                    <p>{some(tail.total, "line", "lines")}{((tail.lines.len() as u64) < tail.total).then(|| format!(", {} shown", count(tail.lines.len() as u64)))}</p>
                    <span class="end row row-tight">
                        <Form method="get" action="">
                            {whole.then(|| view! { <input type="hidden" name="tab" value="log"/> })}
                            <input type="hidden" name="level" value=level.get_untracked()/>
                            <label class="control slim"><Icon name="search"/><input type="search" name="q" value=text.get_untracked() placeholder="Search this log" aria-label="Search this log"/></label>
                        </Form>
                        <span class="seg" role="group" aria-label="Level">
                            <a href=at.with_value(|h| h("", &text.get_untracked())) aria-current=level.get_untracked().is_empty().then_some("true")>"All"</a>
                            <a href=at.with_value(|h| h("warning", &text.get_untracked())) aria-current=(!level.get_untracked().is_empty()).then_some("true")>"Warnings "{count(tail.warnings)}</a>
                        </span>
                        {(!whole).then(|| view! { <a class="btn sm" href=all.clone()>"Full log"</a> })}
                        {move || (whole && !ended.get()).then(|| view! {
                            <button type="button" class="btn sm scripted" aria-pressed=move || following.get().to_string() on:click=move |_| following.update(|f| *f = !*f)>
                                <Icon name="sort"/>{move || if following.get() { "Following" } else { "Follow" }}
                            </button>
                        })}
                    </span>
                </header>
                {if tail.lines.is_empty() {
                    view! { <p class="small muted">{if tail.total == 0 { "No log output yet." } else { "No matching lines." }}</p> }.into_any()
                } else {
                    view! {
                        <div class="log" class:whole=whole tabindex="0" role="region" aria-label="Log lines" node_ref=sheet on:scroll=move |_| at_the_end(sheet, following)>
                            <ol>{tail.lines.into_iter().map(line).collect_view()}</ol>
                        </div>
                    }.into_any()
                }}
            </Load>
        </section>
    }
}

/// Whoever scrolls up wants to read; whoever scrolls back down wants to follow again.
fn at_the_end(sheet: NodeRef<Div>, following: RwSignal<bool>) {
    if let Some(s) = sheet.get_untracked() {
        let end = s.scroll_top() + s.client_height() >= s.scroll_height() - 24;
        if following.get_untracked() != end {
            following.set(end);
        }
    }
}

fn line(l: LogLine) -> impl IntoView {
    let class = match l.level {
        LogLevel::Info => "",
        LogLevel::Warning => "warn",
        LogLevel::Error => "err",
    };
    view! { <li class=class id=format!("L{}", l.number)><span>{l.number}</span><span>{l.at.clock()}</span><span>{l.text}</span></li> }
}
