//! A choice from a list that is longer than a page: the first page is offered, anything else is found by typing.

use super::icon::Icon;
use leptos::prelude::*;
use std::{future::Future, pin::Pin, time::Duration};

/// How long nothing is typed before the server is asked.
const PAUSE: Duration = Duration::from_millis(250);

/// Pairs of value and label.
pub type Options = Vec<(String, String)>;

/// What finds by a text; nothing when it could not be asked.
pub type Find = Callback<String, Pin<Box<dyn Future<Output = Option<Options>> + Send>>>;

/// Makes a [`Find`] of an async function.
pub fn find<F, A>(ask: F) -> Find
where
    F: Fn(String) -> A + Send + Sync + 'static,
    A: Future<Output = Option<Options>> + Send + 'static,
{
    Callback::new(move |text| Box::pin(ask(text)) as Pin<Box<dyn Future<Output = Option<Options>> + Send>>)
}

/// The options that are offered while somebody types into a search: what was offered first, until the server has found others. What is
/// chosen stays among them.
#[derive(Clone, Copy)]
pub struct Found {
    text: RwSignal<String>,
    /// How often it has changed.
    keys: StoredValue<u32>,
    ask: Action<String, (String, Option<Options>)>,
    first: StoredValue<Options>,
}

impl Found {
    pub fn new(first: Options, find: Find) -> Self {
        let ask = Action::new(move |text: &String| {
            let (text, answer) = (text.clone(), find.run(text.clone()));
            async move { (text, answer.await) }
        });
        Self { text: RwSignal::new(String::new()), keys: StoredValue::new(0), ask, first: StoredValue::new(first) }
    }

    /// Reactive. `chosen` with its label comes first where it is not among what was found.
    fn options(self, chosen: &str) -> Options {
        let text = self.text.get();
        let answer = self.ask.value().get().filter(|(of, _)| *of == text).and_then(|(_, found)| found);
        let mut options = match answer {
            Some(found) if !text.is_empty() => found,
            _ => self.first.get_value(),
        };
        if !chosen.is_empty() && options.iter().all(|(value, _)| value != chosen) {
            let label = self.first.with_value(|all| all.iter().find(|(value, _)| value == chosen).map(|(_, label)| label.clone()));
            options.insert(0, (chosen.to_owned(), label.unwrap_or_else(|| chosen.to_owned())));
        }
        options
    }

    /// The `<option>`s of a `<select>`; `chosen` is read reactively.
    pub fn offered(self, chosen: impl Fn() -> String + Send + 'static) -> impl IntoView {
        move || {
            let now = chosen();
            let option = |(value, label): (String, String)| {
                let here = value == now;
                view! { <option value=value selected=here>{label}</option> }
            };
            self.options(&now).into_iter().map(option).collect_view()
        }
    }

    /// Asks once nothing was typed for a moment: the last text is always asked for.
    fn look_for(self, text: String) {
        self.text.set(text.clone());
        let key = self.keys.try_update_value(|keys| {
            *keys = keys.wrapping_add(1);
            *keys
        });
        if text.trim().is_empty() {
            return;
        }
        let ask = move || {
            // Not after another key, and not when the page is gone.
            if key.is_some() && self.keys.try_get_value() == key {
                self.ask.dispatch(text);
            }
        };
        set_timeout(ask, PAUSE);
    }
}

/// The search beside a choice; nothing where the choice offers everything.
#[component]
pub fn Search(found: Found, #[prop(into)] label: String, more: bool) -> impl IntoView {
    more.then(|| {
        let told = format!("{label}: type a part of the name to find others than the first ones.");
        view! {
            <span class="control scripted"><Icon name="search"/><input type="search" placeholder="Find others" aria-label=told autocomplete="off"
                on:input:target=move |ev| found.look_for(ev.target().value())/></span>
            <small class="unscripted">"Only the first ones are offered. With scripts on, others are found by a part of their name."</small>
        }
    })
}

/// A `<select>` with its search. `on:` events and more attributes are the caller's to add to a `<select>` of its own with [`Found`].
#[component]
pub fn Finding(
    id: &'static str,
    name: &'static str,
    #[prop(into)] label: String,
    options: Options,
    #[prop(into)] chosen: String,
    more: bool,
    find: Find,
) -> impl IntoView {
    let found = Found::new(options, find);
    let chosen = RwSignal::new(chosen);
    view! {
        <Search found label=label.clone() more/>
        <span class="control"><select id=id name=name aria-label=label on:change:target=move |ev| chosen.set(ev.target().value())>
            {found.offered(move || chosen.get())}
        </select></span>
    }
}
