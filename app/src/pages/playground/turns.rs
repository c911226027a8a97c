//! What was said: the saved turns, then the one under way.

use super::talk::{State, StreamedAnswer, Talk};
use crate::{
    api::playground::{ChatView, PlaygroundPage},
    ui::{Icon, copy::put, count},
};
use domain::chat::{Answer, Exchange};
use leptos::prelude::*;

/// A saved exchange as one pane shows it.
#[derive(Clone, Debug, PartialEq)]
struct Turn {
    /// Its place in the conversation.
    at: usize,
    question: String,
    /// The answer and its HTML.
    answer: Option<(Answer, String)>,
}

/// What the model `seat` in pane `i` was asked and said.
fn turns_of(chat: &ChatView, seat: &str, i: usize) -> Vec<Turn> {
    let of = |(at, (e, html)): (usize, (&Exchange, &Vec<String>))| {
        // The model in this seat, or whoever sat there when it was asked.
        let place = e.answers.iter().position(|a| a.model == seat).or((i < e.answers.len()).then_some(i));
        Turn { at, question: e.question.clone(), answer: place.and_then(|p| Some((e.answers.get(p)?.clone(), html.get(p)?.clone()))) }
    };
    chat.chat.exchanges.iter().zip(&chat.html).enumerate().map(of).collect()
}

#[component]
pub fn Turns(i: usize, seat: Memo<String>, page: Signal<PlaygroundPage>, talk: Talk) -> impl IntoView {
    let saved =
        Memo::new(move |_| page.with(|p| p.chat.as_ref().map(|chat| seat.with(|seat| turns_of(chat, seat, i))).unwrap_or_default()));
    // What the saved conversation does not hold yet.
    let fresh = move || talk.fresh(saved.with(Vec::len));
    view! {
        <div class="turns" aria-busy=move || talk.busy.get().to_string()>
            {move || (saved.with(Vec::is_empty) && fresh().is_empty()).then(|| view! { <p class="muted">"Ask something to start. Each answer shows the time to its first token."</p> })}
            <For each=move || saved.get() key=|t| (t.at, t.answer.as_ref().map(|(a, _)| a.model.clone())) let:turn>
                <article class="turn me"><header>"You"</header><p>{turn.question}</p></article>
                {turn.answer.map(|(answer, html)| view! { <Saved answer html/> })}
            </For>
            <For each=fresh key=|said| said.at let:said>
                <article class="turn me"><header>"You"</header><p>{said.question}</p></article>
                {said.answers.get(i).cloned().map(|live| view! { <UnderWay live/> })}
            </For>
        </div>
    }
}

#[component]
fn Saved(answer: Answer, html: String) -> impl IntoView {
    let text = answer.content.clone();
    let copyable = !text.is_empty();
    view! {
        <article class="turn">
            <header>{answer.model.clone()}</header>
            <div class="md" inner_html=html></div>
            {answer.error.clone().map(|sentence| view! { <p class="turn-error"><Icon name="failed" inline=true/>" "{sentence}</p> })}
            <footer>
                <Measured answer/>
                {copyable.then(|| view! { <span class="end"><button type="button" class="iconbtn small scripted" aria-label="Copy answer" title="Copy answer" on:click=move |_| put(&text)><Icon name="copy"/></button></span> })}
            </footer>
        </article>
    }
}

#[component]
fn UnderWay(live: StreamedAnswer) -> impl IntoView {
    let StreamedAnswer { model, text, state } = live;
    let (busy, word, caret) = (state.clone(), state.clone(), state.clone());
    view! {
        <article class="turn" aria-busy=move || busy.with(State::goes_on).to_string()>
            <header>{model}" "{move || word.with(|s| match s {
                State::Waiting => Some(view! { <span class="subtle">"thinking"</span> }),
                State::Answering(_) => Some(view! { <span class="subtle">"answering"</span> }),
                _ => None,
            })}</header>
            <p class="streaming">{move || text.get()}{move || caret.with(State::goes_on).then(|| view! { <span class="caret"></span> })}</p>
            {move || match state.get() {
                State::Failed(sentence) => view! { <p class="turn-error" role="alert"><Icon name="failed" inline=true/>" "{sentence}</p> }.into_any(),
                State::Answering(ms) => view! { <footer><span>{format!("first token {} ms", count(ms))}</span></footer> }.into_any(),
                State::Done(answer) => view! { <footer><Measured answer/></footer> }.into_any(),
                State::Waiting => ().into_any(),
            }}
        </article>
    }
}

/// First token, speed, tokens.
#[component]
fn Measured(answer: Answer) -> impl IntoView {
    let speed = match (answer.completion_tokens, answer.duration_ms, answer.first_token_ms) {
        (Some(tokens), Some(whole), Some(first)) if whole > first && tokens > 1 => {
            Some(f64::from(tokens) * 1000.0 / f64::from(whole - first))
        }
        _ => None,
    };
    view! {
        {answer.first_token_ms.map(|ms| view! { <span>{format!("first token {} ms", count(ms))}</span> })}
        {speed.map(|s| view! { <span>{format!("{s:.0} tok/s")}</span> })}
        {answer.completion_tokens.map(|n| view! { <span>{crate::ui::number::some(u64::from(n), "token", "tokens")}</span> })}
    }
}
