//! Beside the conversation: the parameters, and the history.

use super::talk::{Talk, USUAL};
use crate::{
    api::playground::{ChatDelete, PlaygroundPage},
    links,
    ui::{Icon, Order, Paging, ProblemSummary, When, form::error_of, use_query},
};
use domain::chat::ChatOverview;
use leptos::{prelude::*, server_fn::ServerFn};

/// Tokens that the question needs at least, of every context.
const FOR_THE_QUESTION: u32 = 64;
const STEP: u32 = 16;
/// No slider is longer, whatever the model can do.
const MOST: u32 = 8192;

/// The longest answer that all of these models can give, in tokens; a multiple of 16. A context of 0 is not known.
pub fn longest_answer(contexts: impl Iterator<Item = u32>) -> u32 {
    let least = contexts.filter(|c| *c > 0).min().unwrap_or(1024 + FOR_THE_QUESTION);
    (least.saturating_sub(FOR_THE_QUESTION) / STEP * STEP).clamp(STEP, MOST)
}

#[component]
pub fn Parameters(system: String, limit: Memo<u32>, talk: Talk) -> impl IntoView {
    let (temperature, longest) = (talk.temperature, talk.longest);
    // Another model may be able to say less.
    let fits = move || longest.get().min(limit.get());
    Effect::new(move |_| {
        if longest.get() > limit.get() {
            longest.set(limit.get());
        }
    });
    view! {
        <aside class="params" aria-label="Parameters">
            <header class="row between"><h2>"Parameters"</h2></header>
            <div class="field"><label for="system">"System prompt "<span class="opt">"optional"</span></label>
                <span class="control tall"><textarea id="system" name="system" rows="3" maxlength="32000" placeholder="None.">{system}</textarea></span></div>
            <div class="field slider"><label for="temperature">"Temperature"</label><output class="mono" for="temperature">{move || temperature.get()}</output>
                <input id="temperature" name="temperature" type="range" min="0" max="2" step="0.1" value="0" prop:value=move || temperature.get() on:input:target=move |ev| temperature.set(ev.target().value())/></div>
            <div class="field slider"><label for="max_tokens">"Longest answer, tokens"</label><output class="mono" for="max_tokens">{fits}</output>
                <input id="max_tokens" name="max_tokens" type="range" min=STEP max=move || limit.get() step=STEP value=fits prop:value=move || fits().to_string()
                    on:input:target=move |ev| longest.set(ev.target().value().parse().unwrap_or(USUAL))/></div>
            <p class="small subtle">"Temperature 0 gives the same answer every time. Evaluations use 0."</p>
        </aside>
    }
}

/// Opens over the page, without scripts too. Deleting is a plain post: the address may still be that of the chat that goes.
#[component]
pub fn History(
    tenant: Signal<String>,
    page: Signal<PlaygroundPage>,
    here: RwSignal<String>,
    delete: ServerAction<ChatDelete>,
) -> impl IntoView {
    let chats = Memo::new(move |_| page.with(|p| p.chats.rows.clone()));
    let after = use_query("after");
    let turns = move || {
        let (tenant, here) = (tenant.get(), here.get());
        let address = if here.is_empty() { links::playground(&tenant) } else { links::chat(&tenant, &here) };
        let (shown, next) = page.with(|p| (p.chats.rows.len(), p.chats.next.clone()));
        let to = move |after: String| links::with(address.clone(), &[("after", &after)]);
        view! { <Paging order=Order::NewestFirst noun=("conversation", "conversations") shown after=after.get() next to/> }
    };
    let entry = move |c: ChatOverview| {
        let label = format!("Delete “{}”", c.title);
        let (id, href) = (c.id.to_string(), links::chat(&tenant.get_untracked(), &c.id));
        let this = id.clone();
        view! {
            <li>
                <a href=href rel="external" aria-current=move || here.with(|h| *h == this).then_some("page")>{c.title}<small><When at=c.updated_at/></small></a>
                <form method="post" action=ChatDelete::PATH>
                    <input type="hidden" name="tenant" value=move || tenant.get()/><input type="hidden" name="chat" value=id/>
                    <button type="submit" class="iconbtn small" aria-label=label title="Delete"><Icon name="x"/></button>
                </form>
            </li>
        }
    };
    view! {
        <div id="history" class="menu history" popover="auto" role="dialog" aria-labelledby="history-title">
            <h2 id="history-title" class="as-h3">"History"</h2>
            <ProblemSummary error=error_of(delete)/>
            {move || chats.with(Vec::is_empty).then(|| view! { <p class="small muted">"Your conversations appear here. Only you can see them."</p> })}
            <ul><For each=move || chats.get() key=|c| (c.id.to_string(), c.updated_at.0) children=entry/></ul>
            {turns}
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_answer_leaves_room_for_the_question_in_the_smallest_context() {
        assert_eq!(longest_answer([131_072, 512].into_iter()), 448);
        assert_eq!(longest_answer([70].into_iter()), 16, "a slider needs one step");
        assert_eq!(longest_answer([131_072].into_iter()), 8192);
        assert_eq!(longest_answer([0].into_iter()), 1024, "not known");
    }
}
