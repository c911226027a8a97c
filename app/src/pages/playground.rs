//! The playground: one or two models, one composer, the history.

mod aside;
mod talk;
mod turns;

use crate::{
    api::playground::{ChatView, PlayModel, PlaygroundPage, playground_get},
    links,
    ui::{Crumb, Empty, Icon, Load, Place, ProblemSummary, TenantPage, on_change, use_param, use_query, use_tenant},
};
use aside::{History, Parameters};
use leptos::prelude::*;
use leptos_meta::Title;
use talk::Talk;
use turns::Turns;

#[component]
pub fn Playground() -> impl IntoView {
    let tenant = use_tenant();
    let (in_path, model, mode) = (use_param("chat"), use_query("model"), use_query("mode"));
    // The conversation in the address, until the first answer of a new one has given it an id.
    let chat = RwSignal::new(in_path.get_untracked());
    Effect::new(move |_| chat.set(in_path.get()));
    let page = Resource::new(move || (tenant.get(), chat.get()), |(tenant, chat)| playground_get(tenant, chat));
    on_change(tenant, "", move || page.refetch());
    let talk = Talk::new(tenant, chat);
    Effect::new(move |_| {
        if let Some(Ok(page)) = page.get() {
            talk.settle(page.chat.as_ref());
        }
    });
    let crumbs = Signal::derive(move || vec![Crumb::here("Playground")]);
    view! {
        <Title text="Playground"/>
        <TenantPage place=Place::Playground crumbs bare=true>
            <Load resource=page let:page>
                {
                    let page = page.clone();
                    move || {
                        if page.infer_refused.is_some() || page.models.is_empty() {
                            view! { <Nothing tenant page=page.clone()/> }.into_any()
                        } else {
                            view! { <Room tenant page=page.clone() model=model.get() mode=mode.get() talk/> }.into_any()
                        }
                    }
                }
            </Load>
        </TenantPage>
    }
}

/// No model answers, or one may not ask.
#[component]
fn Nothing(tenant: Signal<String>, page: PlaygroundPage) -> impl IntoView {
    let (title, sentence) = match page.infer_refused {
        Some(why) => ("You may not chat here", format!("{why} Reading everything else stays possible.")),
        None => ("Nothing answers yet", "Start an endpoint, or deploy a model version; then one can talk to it here.".to_owned()),
    };
    view! {
        <div class="wide">
            <header class="head"><div><h1>"Playground"</h1><p>"Talk to the models of this tenant, side by side."</p></div></header>
            <Empty title><p>{sentence}</p><div class="row"><a class="btn primary" href=move || links::endpoints(&tenant.get())>"Endpoints"</a><a class="btn" href=move || links::models(&tenant.get())>"Models"</a></div></Empty>
        </div>
    }
}

/// Which models stand in the panes.
fn seats(page: &PlaygroundPage, asked: &str, mode: &str) -> Vec<String> {
    let known = |id: &str| page.models.iter().any(|m| m.id == id);
    let mut seats: Vec<String> = page.chat.as_ref().map(|c| c.chat.models.clone()).unwrap_or_default();
    seats.retain(|id| known(id));
    if seats.is_empty() && known(asked) {
        seats.push(asked.to_owned());
    }
    if seats.is_empty() {
        seats.extend(page.models.first().map(|m| m.id.clone()));
    }
    match mode {
        "chat" => seats.truncate(1),
        "compare" if seats.len() < 2 => {
            // The base at the left, so that one reads from before to after.
            let other = page.models.iter().find(|m| m.base && m.id != seats[0]).or_else(|| page.models.iter().find(|m| m.id != seats[0]));
            if let Some(other) = other {
                seats.insert(if other.base { 0 } else { 1 }, other.id.clone());
            }
        }
        _ => {}
    }
    seats
}

#[component]
fn Room(tenant: Signal<String>, page: PlaygroundPage, model: String, mode: String, talk: Talk) -> impl IntoView {
    let seats = seats(&page, &model, &mode);
    let two = seats.len() == 2;
    let chat_id = page.chat.as_ref().map(|c| c.chat.id.to_string()).unwrap_or_default();
    let here = if chat_id.is_empty() { links::playground(&tenant.get_untracked()) } else { links::chat(&tenant.get_untracked(), &chat_id) };
    let can_compare = page.models.len() > 1;
    let to = move |mode: &str| links::with(here.clone(), &[("model", &model), ("mode", mode)]);
    let panes = seats.iter().cloned().enumerate().map(|(i, seat)| view! { <Pane i seat two page=page.clone() talk/> }).collect_view();
    let (chat_mode, compare_mode) = (to("chat"), to("compare"));
    view! {
        <form class="play" id="play" method="post" action=move || format!("/t/{}/playground/chat", tenant.get()) on:submit=move |ev| talk.send(ev)>
            <input type="hidden" name="chat" value=chat_id.clone() prop:value=chat_id/>
            <header class="play-bar">
                <h1>"Playground"</h1>
                <nav class="seg" aria-label="Mode">
                    <a href=chat_mode aria-current=(!two).then_some("true")>"Chat"</a>
                    {if can_compare { view! { <a href=compare_mode aria-current=two.then_some("true")>"Compare"</a> }.into_any() } else { ().into_any() }}
                </nav>
                <span class="grow"></span>
                <button type="button" class="btn sm quiet" popovertarget="history"><Icon name="history"/>"History"</button>
                <a class="btn sm" href=move || links::playground(&tenant.get()) rel="external"><Icon name="plus"/>"New chat"</a>
                <a class="iconbtn phone-only" href=move || links::playground(&tenant.get()) rel="external" aria-label="New chat"><Icon name="plus"/></a>
                <button type="button" class="iconbtn phone-only" popovertarget="history" aria-label="History"><Icon name="history"/></button>
            </header>
            {two.then(|| view! {
                <fieldset class="seg pane-switch"><legend class="sr">"Answer shown"</legend>
                    <label><input type="radio" name="pane" id="show-a"/>{format!("A, {}", seats[0])}</label><label><input type="radio" name="pane" id="show-b" checked/>{format!("B, {}", seats[1])}</label>
                </fieldset>
            })}
            <div class="panes" class:one=!two>{panes}<Parameters chat=page.chat.clone() talk/></div>
            <Composer two talk/>
        </form>
        <History tenant chats=page.chats.clone() here=page.chat.map(|c| c.chat.id) delete=talk.delete/>
    }
}

/// One model with everything said so far.
#[component]
fn Pane(i: usize, seat: String, two: bool, page: PlaygroundPage, talk: Talk) -> impl IntoView {
    let letter = if i == 0 { "A" } else { "B" };
    let chosen = page.models.iter().find(|m| m.id == seat).cloned();
    let about = chosen.as_ref().map(about).unwrap_or_default();
    let not_ready = chosen.and_then(|m| m.not_ready);
    let select_id = format!("models-{}", letter.to_lowercase());
    let chosen_id = seat.clone();
    let label = if two { format!("{letter}: {seat}") } else { seat.clone() };
    view! {
        <section class=format!("pane pane-{}", letter.to_lowercase()) aria-label=label>
            <header>
                {two.then(|| view! { <span class="tag">{letter}</span> })}
                <span class="control slim"><select id=select_id name="models" class="mono" aria-label=format!("Model {letter}")>
                    {page.models.iter().map(|m| {
                        let here = m.id == chosen_id;
                        let label = format!("{}{}{}", m.id, if m.version.is_empty() || m.id.contains('@') { String::new() } else { format!(" {}", m.version) }, if m.not_ready.is_some() { ", not ready" } else { "" });
                        view! { <option value=m.id.clone() selected=here>{label}</option> }
                    }).collect_view()}
                </select></span>
                <span class="small subtle">{about}</span>
            </header>
            {not_ready.map(|why| view! { <div class="banner" role="status"><Icon name="degraded"/><span>{why}</span></div> })}
            <Turns i seat chat=page.chat talk/>
        </section>
    }
}

fn about(m: &PlayModel) -> String {
    if m.base { format!("base, on {}", m.endpoint) } else { format!("tuned, on {}", m.endpoint) }
}

#[component]
fn Composer(two: bool, talk: Talk) -> impl IntoView {
    let ask = if two { "Ask both models" } else { "Ask the model" };
    view! {
        <div class="play-compose">
            <ProblemSummary error=talk.problem/>
            <div class="compose">
                <textarea id="question" name="question" required aria-label=if two { "Message to both models" } else { "Message" } placeholder=ask rows="2" maxlength="32000" on:keydown=move |ev| talk.key(ev)></textarea>
                <footer>
                    <span class="sr" role="status">{move || talk.announced.get()}</span>
                    <span class="grow"></span>
                    {two.then(|| view! { <span class="small subtle wide-only">"goes to A and B"</span> })}
                    {move || if talk.busy.get() {
                        view! { <button type="button" class="btn sm" on:click=move |_| talk.stop()><Icon name="stop"/>"Stop "<kbd>"Esc"</kbd></button> }.into_any()
                    } else {
                        view! { <button type="submit" class="btn primary sm">"Send "<kbd>"Ctrl Enter"</kbd></button> }.into_any()
                    }}
                </footer>
            </div>
            <p class="small subtle">"You are talking to an AI model; answers may be wrong. Chats are visible to you only."</p>
        </div>
    }
}

/// The saved answers of one model: question, answer, its HTML.
fn said_by(chat: &ChatView, seat: &str, i: usize) -> Vec<(String, Option<(domain::chat::Answer, String)>)> {
    chat.chat
        .exchanges
        .iter()
        .zip(&chat.html)
        .map(|(e, html)| {
            // The model in this seat, or whoever sat there when it was asked.
            let at = e.answers.iter().position(|a| a.model == seat).or((i < e.answers.len()).then_some(i));
            (e.question.clone(), at.and_then(|at| Some((e.answers.get(at)?.clone(), html.get(at)?.clone()))))
        })
        .collect()
}
