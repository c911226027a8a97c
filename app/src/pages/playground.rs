//! The playground: one or two models, one composer, the history.

mod aside;
mod talk;
mod turns;

use crate::{
    api::playground::{PlayModel, PlaygroundPage, playground_get},
    links,
    ui::{Crumb, Empty, Icon, LoadOnce, Place, ProblemSummary, TenantPage, on_change, use_param, use_query, use_tenant},
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
    let after = use_query("after");
    let page = Resource::new(move || (tenant.get(), chat.get(), after.get()), |(tenant, chat, after)| playground_get(tenant, chat, after));
    on_change(tenant, "", move || page.refetch());
    let talk = Talk::new(tenant, chat, page);
    let crumbs = Signal::derive(move || vec![Crumb::here("Playground")]);
    view! {
        <Title text="Playground"/>
        <TenantPage place=Place::Playground crumbs bare=true>
            <LoadOnce resource=page let:page>
                {
                    // A question that is being typed stays when the last model goes away meanwhile.
                    let closed = Memo::new(move |was: Option<&bool>| {
                        was != Some(&false) && page.with(|p| p.infer_refused.is_some() || p.models.is_empty())
                    });
                    move || if closed.get() {
                        view! { <Nothing tenant page=page.get_untracked()/> }.into_any()
                    } else {
                        view! { <Room tenant page model mode talk/> }.into_any()
                    }
                }
            </LoadOnce>
        </TenantPage>
    }
}

/// No model answers, or one may not ask.
#[component]
fn Nothing(tenant: Signal<String>, page: PlaygroundPage) -> impl IntoView {
    let (title, sentence) = match page.infer_refused {
        Some(why) => ("You can't chat here", format!("{why} You can still read everything else.")),
        None => ("No model is running", "Start an endpoint or deploy a model, then chat with it here.".to_owned()),
    };
    view! {
        <div class="wide">
            <header class="head"><div><h1>"Playground"</h1><p>"Chat with your models, side by side."</p></div></header>
            <Empty title><p>{sentence}</p><div class="row"><a class="btn primary" href=move || links::endpoints(&tenant.get())>"Endpoints"</a><a class="btn" href=move || links::models(&tenant.get())>"Models"</a></div></Empty>
        </div>
    }
}

/// Which models stand in the panes, given those that stand there now, the one that the address asks for, and `chat` or `compare`.
fn seats(models: &[PlayModel], mut seats: Vec<String>, asked: &str, mode: &str) -> Vec<String> {
    let known = |id: &str| models.iter().any(|m| m.id == id);
    seats.retain(|id| known(id));
    if seats.is_empty() && known(asked) {
        seats.push(asked.to_owned());
    }
    if seats.is_empty() {
        seats.extend(models.first().map(|m| m.id.clone()));
    }
    match mode {
        "chat" if seats.len() > 1 => {
            // The tuned one goes on.
            let stays = seats.iter().position(|id| models.iter().any(|m| m.id == *id && !m.base)).unwrap_or(0);
            seats = vec![seats.swap_remove(stays)];
        }
        "compare" if seats.len() == 1 => {
            // The base at the left, so that one reads from before to after.
            let other = models.iter().find(|m| m.base && m.id != seats[0]).or_else(|| models.iter().find(|m| m.id != seats[0]));
            if let Some(other) = other {
                seats.insert(if other.base { 0 } else { 1 }, other.id.clone());
            }
        }
        _ => {}
    }
    seats
}

#[component]
fn Room(
    tenant: Signal<String>,
    page: Signal<PlaygroundPage>,
    model: Signal<String>,
    #[prop(name = "mode")] in_address: Signal<String>,
    talk: Talk,
) -> impl IntoView {
    let arranged = move |now: Vec<String>, mode: &str| page.with_untracked(|p| seats(&p.models, now, &model.get_untracked(), mode));
    let saved = page.with_untracked(|p| p.chat.as_ref().map(|c| c.chat.models.clone()).unwrap_or_default());
    let seats = RwSignal::new(arranged(saved, &in_address.get_untracked()));
    let two = Memo::new(move |_| seats.with(|s| s.len() > 1));
    let can_compare = Memo::new(move |_| page.with(|p| p.models.len() > 1));
    // In the order in which they were first offered: what is chosen must not jump when another model comes.
    let ids = Memo::new(move |was: Option<&Vec<String>>| {
        let mut now = page.with(|p| p.models.iter().map(|m| m.id.clone()).collect::<Vec<_>>());
        now.extend(seats.get().into_iter().filter(|id| !now.contains(id)).collect::<Vec<_>>());
        let before = was.into_iter().flatten().filter(|id| now.contains(id)).cloned().collect::<Vec<_>>();
        let new = now.into_iter().filter(|id| !before.contains(id)).collect::<Vec<_>>();
        [before, new].concat()
    });
    let limit = Memo::new(move |_| {
        page.with(|p| seats.with(|s| aside::longest_answer(p.models.iter().filter(|m| s.contains(&m.id)).map(|m| m.context))))
    });
    let here = move |mode: &str| {
        let (tenant, chat) = (tenant.get(), talk.chat.get());
        let page = if chat.is_empty() { links::playground(&tenant) } else { links::chat(&tenant, &chat) };
        links::with(page, &[("model", &model.get()), ("mode", mode)])
    };
    // A link for those without scripts; with them, what is typed stays where it is.
    let choose = move |ev: leptos::ev::MouseEvent, mode: &'static str| {
        ev.prevent_default();
        seats.update(|now| *now = arranged(std::mem::take(now), mode));
        talk::tell_address(&untrack(|| here(mode)));
    };
    let shown = move |i: usize| seats.with(|s| s.get(i).cloned().unwrap_or_default());
    view! {
        <form class="play" id="play" method="post" action=move || links::playground_ask(&tenant.get()) on:submit=move |ev| talk.send(ev)>
            <input type="hidden" name="chat" value=move || talk.chat.get()/>
            <header class="play-bar">
                <h1>"Playground"</h1>
                <nav class="seg" aria-label="Mode">
                    <a href=move || here("chat") on:click=move |ev| choose(ev, "chat") aria-current=move || (!two.get()).then_some("true")>"Chat"</a>
                    {move || can_compare.get().then(|| view! { <a href=move || here("compare") on:click=move |ev| choose(ev, "compare") aria-current=move || two.get().then_some("true")>"Compare"</a> })}
                </nav>
                <span class="grow"></span>
                <button type="button" class="btn sm quiet" popovertarget="history"><Icon name="history"/>"History"</button>
                <a class="btn sm" href=move || links::playground(&tenant.get()) rel="external"><Icon name="plus"/>"New chat"</a>
                <a class="iconbtn phone-only" href=move || links::playground(&tenant.get()) rel="external" aria-label="New chat"><Icon name="plus"/></a>
                <button type="button" class="iconbtn phone-only" popovertarget="history" aria-label="History"><Icon name="history"/></button>
            </header>
            {move || two.get().then(|| view! {
                <fieldset class="seg pane-switch"><legend class="sr">"Answer shown"</legend>
                    <label><input type="radio" name="pane" id="show-a"/>{move || format!("A, {}", shown(0))}</label><label><input type="radio" name="pane" id="show-b" checked/>{move || format!("B, {}", shown(1))}</label>
                </fieldset>
            })}
            <div class="panes" class:one=move || !two.get()>
                <For each=move || 0..seats.with(Vec::len) key=|i| *i let:i><Pane i seats two ids page talk/></For>
                <Parameters system=page.with_untracked(|p| p.chat.as_ref().map(|c| c.chat.system.clone()).unwrap_or_default()) limit talk/>
            </div>
            <Composer two page talk/>
        </form>
        <History tenant page here=talk.chat delete=talk.delete/>
    }
}

/// One model with everything said so far.
#[component]
fn Pane(
    i: usize,
    seats: RwSignal<Vec<String>>,
    two: Memo<bool>,
    ids: Memo<Vec<String>>,
    page: Signal<PlaygroundPage>,
    talk: Talk,
) -> impl IntoView {
    let letter = if i == 0 { "A" } else { "B" };
    let seat = Memo::new(move |_| seats.with(|s| s.get(i).cloned().unwrap_or_default()));
    let chosen = Memo::new(move |_| page.with(|p| seat.with(|id| p.models.iter().find(|m| m.id == *id).cloned())));
    let not_ready = move || {
        chosen.with(|m| m.as_ref().map_or_else(|| Some("No endpoint serves this model any more.".to_owned()), |m| m.not_ready.clone()))
    };
    let select_id = format!("models-{}", letter.to_lowercase());
    let label = move || if two.get() { format!("{letter}: {}", seat.get()) } else { seat.get() };
    let option = move |id: String| {
        let (of, value, here) = (id.clone(), id.clone(), seat.get_untracked() == id);
        view! { <option value=value selected=here>{move || page.with(|p| named(&of, p.models.iter().find(|m| m.id == of)))}</option> }
    };
    view! {
        <section class=format!("pane pane-{}", letter.to_lowercase()) aria-label=label>
            <header>
                {move || two.get().then(|| view! { <span class="tag">{letter}</span> })}
                <span class="control slim"><select id=select_id name="models" class="mono" aria-label=format!("Model {letter}") prop:value=move || seat.get()
                    on:change:target=move |ev| seats.update(|s| if let Some(here) = s.get_mut(i) { *here = ev.target().value() })>
                    <For each=move || ids.get() key=String::clone children=option/>
                </select></span>
                <span class="small subtle">{move || chosen.with(|m| m.as_ref().map(about))}</span>
            </header>
            {move || not_ready().map(|why| view! { <div class="banner" role="status"><Icon name="degraded"/><span>{why}</span></div> })}
            <Turns i seat page talk/>
        </section>
    }
}

/// A model in the list: its id, its version unless the id says it, and whether it answers.
fn named(id: &str, model: Option<&PlayModel>) -> String {
    let version = model.map(|m| m.version.as_str()).filter(|v| !v.is_empty() && !id.contains('@'));
    let off = model.is_none_or(|m| m.not_ready.is_some());
    format!("{id}{}{}{}", if version.is_some() { " " } else { "" }, version.unwrap_or_default(), if off { ", not ready" } else { "" })
}

fn about(m: &PlayModel) -> String {
    if m.base { format!("base, on {}", m.endpoint) } else { format!("tuned, on {}", m.endpoint) }
}

#[component]
fn Composer(two: Memo<bool>, page: Signal<PlaygroundPage>, talk: Talk) -> impl IntoView {
    let ask = move || if two.get() { "Ask both models" } else { "Ask the model" };
    let label = move || if two.get() { "Message to both models" } else { "Message" };
    view! {
        <div class="play-compose">
            <ProblemSummary error=talk.problem/>
            <div class="compose">
                <textarea id="question" name="question" required aria-label=label placeholder=ask rows="2" maxlength="32000" on:keydown=move |ev| talk.key(ev)></textarea>
                <footer>
                    <span class="sr" role="status">{move || talk.announced.get()}</span>
                    <span class="grow"></span>
                    {move || two.get().then(|| view! { <span class="small subtle wide-only">"sent to A and B"</span> })}
                    {move || if talk.busy.get() {
                        view! { <button type="button" class="btn sm" on:click=move |_| talk.stop()><Icon name="stop"/>"Stop "<kbd>"Esc"</kbd></button> }.into_any()
                    } else {
                        view! { <button type="submit" class="btn primary sm">"Send "<kbd>"Ctrl Enter"</kbd></button> }.into_any()
                    }}
                </footer>
            </div>
            <p class="small subtle">"You are chatting with an AI model. Answers can be wrong. Only you can see your chats."</p>
            {move || page.with(|p| p.more_stopped).then(|| view! {
                <p class="small subtle">"Models of older endpoints that don't run are not offered here. Start the endpoint to chat with them."</p>
            })}
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str, base: bool) -> PlayModel {
        PlayModel { id: id.into(), base, version: String::new(), endpoint: "e".into(), context: 512, not_ready: None }
    }

    #[test]
    fn comparing_puts_the_base_at_the_left_and_chatting_goes_on_with_the_tuned_one() {
        let models = [model("tuned", false), model("base", true)];
        let both = seats(&models, vec!["tuned".into()], "", "compare");
        assert_eq!(both, ["base", "tuned"]);
        assert_eq!(seats(&models, both, "", "chat"), ["tuned"]);
    }

    #[test]
    fn a_seat_goes_to_the_model_in_the_address_and_never_to_one_that_is_gone() {
        let models = [model("tuned", false), model("base", true)];
        assert_eq!(seats(&models, vec!["gone".into()], "base", ""), ["base"]);
        assert_eq!(seats(&models, Vec::new(), "unknown", ""), ["tuned"]);
        assert!(seats(&[], Vec::new(), "", "compare").is_empty());
    }
}
