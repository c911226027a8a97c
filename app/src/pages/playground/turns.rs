//! What was said: the saved turns, then the one under way.

use super::{
    said_by,
    talk::{Live, State, Talk},
};
use crate::{
    api::playground::ChatView,
    ui::{Icon, copy::put, count},
};
use domain::chat::Answer;
use leptos::prelude::*;

#[component]
pub fn Turns(i: usize, seat: String, chat: Option<ChatView>, talk: Talk) -> impl IntoView {
    let saved = chat.as_ref().map(|c| said_by(c, &seat, i)).unwrap_or_default();
    let fresh = saved.is_empty();
    view! {
        <div class="turns" aria-busy=move || talk.busy.get().to_string()>
            {move || (fresh && talk.now.with(Option::is_none)).then(|| view! { <p class="muted">"Ask something. Every answer says how long its first word took."</p> })}
            {saved.into_iter().map(|(question, answer)| view! {
                <article class="turn me"><header>"You"</header><p>{question}</p></article>
                {answer.map(|(answer, html)| view! { <Saved answer html/> })}
            }).collect_view()}
            {move || talk.now.get().map(|said| view! {
                <article class="turn me"><header>"You"</header><p>{said.question}</p></article>
                {said.answers.get(i).cloned().map(|live| view! { <UnderWay live/> })}
            })}
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
fn UnderWay(live: Live) -> impl IntoView {
    let Live { model, text, state } = live;
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
