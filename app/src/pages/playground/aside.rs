//! Beside the conversation: the parameters, and the history.

use super::talk::Talk;
use crate::{
    api::playground::{ChatDelete, ChatView},
    links,
    ui::{Icon, ProblemSummary, When, form::error_of},
};
use domain::{chat::ChatOverview, ids::ChatId};
use leptos::{prelude::*, server_fn::ServerFn};

#[component]
pub fn Parameters(chat: Option<ChatView>, talk: Talk) -> impl IntoView {
    let system = chat.map(|c| c.chat.system).unwrap_or_default();
    let (temperature, longest) = (talk.temperature, talk.longest);
    view! {
        <aside class="params" aria-label="Parameters">
            <header class="row between"><h2>"Parameters"</h2></header>
            <div class="field"><label for="system">"System prompt "<span class="opt">"optional"</span></label>
                <span class="control tall"><textarea id="system" name="system" rows="3" maxlength="32000" placeholder="None.">{system}</textarea></span></div>
            <div class="field slider"><label for="temperature">"Temperature"</label><output class="mono" for="temperature">{move || temperature.get()}</output>
                <input id="temperature" name="temperature" type="range" min="0" max="2" step="0.1" value="0" on:input:target=move |ev| temperature.set(ev.target().value())/></div>
            <div class="field slider"><label for="max_tokens">"Longest answer, tokens"</label><output class="mono" for="max_tokens">{move || longest.get()}</output>
                <input id="max_tokens" name="max_tokens" type="range" min="16" max="1024" step="16" value="128" on:input:target=move |ev| longest.set(ev.target().value())/></div>
            <p class="small subtle">"Temperature 0 gives the same answer every time, and is how held-out rows are judged."</p>
        </aside>
    }
}

/// Opens over the page, without scripts too. Deleting is a plain post: the address may still be that of the chat that goes.
#[component]
pub fn History(tenant: Signal<String>, chats: Vec<ChatOverview>, here: Option<ChatId>, delete: ServerAction<ChatDelete>) -> impl IntoView {
    let t = tenant.get_untracked();
    view! {
        <div id="history" class="menu history" popover="auto" role="dialog" aria-labelledby="history-title">
            <h2 id="history-title" class="as-h3">"History"</h2>
            <ProblemSummary error=error_of(delete)/>
            {chats.is_empty().then(|| view! { <p class="small muted">"Conversations are kept here, for you only."</p> })}
            <ul>{chats.into_iter().map(|c| {
                let label = format!("Delete “{}”", c.title);
                view! {
                    <li>
                        <a href=links::chat(&t, &c.id) rel="external" aria-current=(Some(c.id) == here).then_some("page")>{c.title}<small><When at=c.updated_at/></small></a>
                        <form method="post" action=ChatDelete::PATH>
                            <input type="hidden" name="tenant" value=move || tenant.get()/><input type="hidden" name="chat" value=c.id.to_string()/>
                            <button type="submit" class="iconbtn small" aria-label=label title="Delete"><Icon name="x"/></button>
                        </form>
                    </li>
                }
            }).collect_view()}</ul>
        </div>
    }
}
