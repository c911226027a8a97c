//! Live pages: one stream of events per tab, shared by everything on the page that listens.
//!
//! The stream tells only *that* something changed; the page then asks for what it shows. For a page drawn by the server it starts
//! with what happened since that drawing was begun; for one opened by a click, everything is asked for once more when it opens.

use super::icon::Icon;
use leptos::prelude::*;

/// What the tab's stream is doing; provided once by the app.
#[derive(Clone, Copy)]
pub struct Live {
    /// Nothing can be heard; the browser is trying again.
    lost: RwSignal<bool>,
    /// How many parts of the page could not be asked for again; each tries on (see `load`).
    behind: RwSignal<usize>,
    #[cfg(feature = "hydrate")]
    listeners: StoredValue<Vec<stream::Listener>, LocalStorage>,
}

#[cfg(feature = "hydrate")]
impl Live {
    /// Counts a part of the page that shows what it had, from `before` to `now`.
    pub(super) fn count(self, before: bool, now: bool) {
        match (before, now) {
            (false, true) => self.behind.update(|n| *n += 1),
            (true, false) => self.behind.update(|n| *n = n.saturating_sub(1)),
            _ => {}
        }
    }
}

/// Calls `callback` after something changed: the object with this id, or anything of the tenant when `object` is empty.
///
/// At most every 400 ms (for a whole tenant and the steady progress of runs every 3 s), the last change always counts. Ends with the component that called it. Does nothing on the server.
/// The callback usually is `move || resource.refetch()`; a `Load` keeps the old picture meanwhile.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn on_change(tenant: Signal<String>, object: impl Into<Signal<String>>, callback: impl Fn() + 'static) {
    #[cfg(feature = "hydrate")]
    stream::listen(expect_context(), tenant, object.into(), std::rc::Rc::new(callback));
}

/// Opens the stream of the tenant in the address, and follows it to another tenant. Called once, inside the router.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub(crate) fn provide_live(place: Signal<Option<String>>) {
    let live = Live {
        lost: RwSignal::new(false),
        behind: RwSignal::new(0),
        #[cfg(feature = "hydrate")]
        listeners: StoredValue::new_local(Vec::new()),
    };
    provide_context(live);
    #[cfg(feature = "hydrate")]
    stream::follow(live, place);
}

/// The bar that says that the page may be old. Empty while all is well.
#[component]
pub(super) fn LostBar() -> impl IntoView {
    let live = expect_context::<Live>();
    move || {
        (live.lost.get() || live.behind.get() > 0).then(|| {
            view! {
                <div class="banner" role="status">
                    <Icon name="degraded"/>
                    <span>"Live updates lost, trying again. This page may be out of date."</span>
                    <button type="button" on:click=move |_| { let _ = window().location().reload(); }>"Reload"</button>
                </div>
            }
        })
    }
}

#[cfg(feature = "hydrate")]
mod stream {
    use super::Live;
    use crate::links;
    use domain::event::{Event, Topic};
    use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*};
    use std::{cell::Cell, rc::Rc, time::Duration};
    use wasm_bindgen::{JsCast, closure::Closure};

    const AT_MOST_EVERY: Duration = Duration::from_millis(400);
    /// For those who listen to everything, while runs only go on.
    const GOING_ON: Duration = Duration::from_secs(3);

    pub(super) struct Listener {
        id: usize,
        object: Signal<String>,
        callback: Rc<dyn Fn()>,
        waiting: Option<TimeoutHandle>,
    }

    pub(super) fn listen(live: Live, _tenant: Signal<String>, object: Signal<String>, callback: Rc<dyn Fn()>) {
        let id = live.listeners.try_update_value(|all| {
            let id = all.iter().map(|l| l.id + 1).max().unwrap_or(0);
            all.push(Listener { id, object, callback, waiting: None });
            id
        });
        let Some(id) = id else { return };
        on_cleanup(move || {
            let _ = live.listeners.try_update_value(|all| {
                if let Some(at) = all.iter().position(|l| l.id == id)
                    && let Some(handle) = all.remove(at).waiting
                {
                    handle.clear();
                }
            });
        });
    }

    /// Tells every listener that waits for `object`; an empty one means "anything may have changed".
    fn tell(live: Live, object: &str, going_on: bool) {
        let _ = live.listeners.try_update_value(|all| {
            for listener in all.iter_mut() {
                let Some((all_ears, same)) = listener.object.try_with_untracked(|o| (o.is_empty(), o == object)) else { continue };
                if !(object.is_empty() || all_ears || same) || listener.waiting.is_some() {
                    continue;
                }
                let pause = if all_ears && going_on { GOING_ON } else { AT_MOST_EVERY };
                let (id, callback) = (listener.id, listener.callback.clone());
                listener.waiting = set_timeout_with_handle(
                    move || {
                        let _ = live.listeners.try_update_value(|all| {
                            if let Some(l) = all.iter_mut().find(|l| l.id == id) {
                                l.waiting = None;
                            }
                        });
                        callback();
                    },
                    pause,
                )
                .ok();
            }
        });
    }

    /// The last event that the server's drawing knew (see `shell`): good for the first stream of the document only.
    fn drawn_after() -> Option<String> {
        document().body().and_then(|body| body.get_attribute("data-events-after"))
    }

    pub(super) fn follow(live: Live, place: Signal<Option<String>>) {
        Effect::new(move |earlier: Option<()>| {
            let after = earlier.is_none().then(drawn_after).flatten();
            let Some(tenant) = place.get().filter(|t| !t.is_empty()) else { return };
            let stream = links::with(links::events(&tenant), &[("after", after.as_deref().unwrap_or_default())]);
            let Ok(source) = web_sys::EventSource::new(&stream) else { return };
            let unheard = Cell::new(after.is_none());
            let heard = Closure::<dyn Fn(web_sys::MessageEvent)>::new(move |event: web_sys::MessageEvent| {
                let Some(text) = event.data().as_string() else { return };
                // Only the object's id matters here; an event that cannot be read still means that something changed.
                let (object, going_on) =
                    serde_json::from_str::<Event>(&text).map(|e| (e.object, e.topic == Topic::RunLive)).unwrap_or_default();
                tell(live, &object, going_on);
            });
            let opened = Closure::<dyn Fn()>::new(move || {
                // What happened while nobody listened is asked for once.
                if live.lost.get_untracked() {
                    live.lost.set(false);
                    unheard.set(true);
                }
                if unheard.take() {
                    tell(live, "", false);
                }
            });
            let failed = Closure::<dyn Fn()>::new(move || live.lost.set(true));
            let _ = source.add_event_listener_with_callback("change", heard.as_ref().unchecked_ref());
            source.set_onopen(Some(opened.as_ref().unchecked_ref()));
            source.set_onerror(Some(failed.as_ref().unchecked_ref()));
            let kept = StoredValue::new_local((source, heard, opened, failed));
            on_cleanup(move || {
                let _ = kept.try_with_value(|(source, ..)| {
                    source.set_onopen(None);
                    source.set_onerror(None);
                    source.close();
                });
            });
        });
    }
}
