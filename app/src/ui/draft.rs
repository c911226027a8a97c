//! What was typed into a form and not saved yet, kept in this browser for the person who typed it: a session that ended or a page
//! that was left by mistake loses no text.

use super::icon::Icon;
use leptos::prelude::*;
#[cfg(any(feature = "hydrate", test))]
use std::collections::BTreeMap;

/// Keeps the fields of the form with this id, and offers what was kept when the form is opened again. Stands above the form.
///
/// `of` says what is edited, for instance `card acme/assistant@3`: each has its own draft. `answered` tells what became of the
/// form after it was sent: `Some(true)` = saved, and the draft goes; `Some(false)` = refused, and it stays.
/// Passwords, files and hidden fields are never kept.
#[component]
pub fn Draft(form: &'static str, #[prop(into)] of: String, #[prop(into)] answered: Signal<Option<bool>>) -> impl IntoView {
    let offered = RwSignal::new(None::<String>);
    let (restore, discard) = (RwSignal::new(0u32), RwSignal::new(0u32));
    keep(form, of, answered, offered, restore, discard);
    move || {
        offered.get().map(|at| {
            view! {
                <div class="banner draft" role="status">
                    <Icon name="draft"/>
                    <span>{format!("You have unsaved changes from {at} UTC in this browser.")}</span>
                    <span class="row row-tight">
                        <button type="button" class="btn sm" on:click=move |_| restore.update(|n| *n += 1)>"Restore"</button>
                        <button type="button" class="btn sm quiet" on:click=move |_| discard.update(|n| *n += 1)>"Discard"</button>
                    </span>
                </div>
            }
        })
    }
}

#[cfg(feature = "hydrate")]
use browser::keep;

/// Nothing is kept on the server.
#[cfg(not(feature = "hydrate"))]
fn keep(
    _form: &'static str,
    _of: String,
    _answered: Signal<Option<bool>>,
    _offered: RwSignal<Option<String>>,
    _restore: RwSignal<u32>,
    _discard: RwSignal<u32>,
) {
}

/// As it is kept.
#[cfg(any(feature = "hydrate", test))]
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Kept {
    /// Milliseconds since 1970.
    at: i64,
    /// It was sent, and nothing is known of the answer: it is not offered again.
    sent: bool,
    /// By the names of the fields; only those that differ from what was there when the form was opened.
    fields: BTreeMap<String, String>,
}

/// Older drafts are not offered.
#[cfg(any(feature = "hydrate", test))]
const DAYS: i64 = 30;

#[cfg(any(feature = "hydrate", test))]
impl Kept {
    /// Whether a form that now holds `here` has anything to gain from it.
    fn is_worth_offering(&self, here: &BTreeMap<String, String>, now: i64) -> bool {
        !self.sent
            && now - self.at < DAYS * domain::time::DAY
            && self.fields.iter().any(|(name, value)| here.get(name).is_some_and(|now| now != value))
    }
}

#[cfg(feature = "hydrate")]
mod browser {
    use super::{BTreeMap, Kept};
    use crate::ui::frame::use_frame;
    use domain::time::Timestamp;
    use leptos::{ev, prelude::*};
    use wasm_bindgen::JsCast;
    use web_sys::{Element, HtmlFormElement, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement, Storage};

    type Fields = BTreeMap<String, String>;

    fn storage() -> Option<Storage> {
        window().local_storage().ok().flatten()
    }

    fn now() -> i64 {
        js_sys::Date::now() as i64
    }

    fn find(form: &str) -> Option<HtmlFormElement> {
        document().get_element_by_id(form)?.dyn_into().ok()
    }

    /// A field that somebody types or chooses in: its name and what it holds.
    fn field(element: &Element) -> Option<(String, String)> {
        if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
            let typed = matches!(input.type_().as_str(), "text" | "search" | "number" | "email" | "url" | "tel");
            return (typed && !input.read_only()).then(|| (input.name(), input.value()));
        }
        if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
            return (!area.read_only()).then(|| (area.name(), area.value()));
        }
        element.dyn_ref::<HtmlSelectElement>().map(|select| (select.name(), select.value()))
    }

    fn elements(form: &str) -> Vec<Element> {
        let Some(all) = find(form).map(|f| f.elements()) else { return Vec::new() };
        (0..all.length()).filter_map(|i| all.item(i)).collect()
    }

    fn fields(form: &str) -> Fields {
        elements(form).iter().filter_map(field).filter(|(name, _)| !name.is_empty()).collect()
    }

    fn read(key: &str) -> Option<Kept> {
        serde_json::from_str(&storage()?.get_item(key).ok().flatten()?).ok()
    }

    fn write(key: &str, kept: Option<&Kept>) {
        let Some(storage) = storage() else { return };
        // A full or forbidden store loses the draft, never the form.
        let _ = match kept.and_then(|k| serde_json::to_string(k).ok()) {
            Some(text) => storage.set_item(key, &text),
            None => storage.remove_item(key),
        };
    }

    pub(super) fn keep(
        form: &'static str,
        of: String,
        answered: Signal<Option<bool>>,
        offered: RwSignal<Option<String>>,
        restore: RwSignal<u32>,
        discard: RwSignal<u32>,
    ) {
        let frame = use_frame();
        let person = RwSignal::new(None::<String>);
        Effect::new(move |_| {
            let now = frame.get().and_then(Result::ok).map(|f| f.who.person.to_string());
            if person.with_untracked(|before| *before != now) && now.is_some() {
                person.set(now);
            }
        });
        let key = Signal::derive(move || person.get().map(|person| format!("draft {person} {of}")));
        let opened_with = StoredValue::new(Fields::new());
        let old = StoredValue::new(None::<Kept>);
        Effect::new(move |_| {
            let Some(key) = key.get() else { return };
            let here = fields(form);
            match read(&key) {
                Some(kept) if kept.is_worth_offering(&here, now()) => {
                    offered.set(Some(super::super::parts::short(Timestamp(kept.at))));
                    old.set_value(Some(kept));
                }
                Some(_) => write(&key, None),
                None => {}
            }
            opened_with.set_value(here);
        });
        let ours = move |ev: &web_sys::Event| {
            let target = ev.target()?.dyn_into::<Element>().ok()?;
            target.closest(&format!("#{form}")).ok().flatten()
        };
        let typed = window_event_listener(ev::input, move |ev| {
            let Some(key) = ours(&ev).and_then(|_| key.get_untracked()) else { return };
            let changed: Fields =
                opened_with.with_value(|before| fields(form).into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect());
            let kept = Kept { at: now(), sent: false, fields: changed };
            write(&key, (!kept.fields.is_empty()).then_some(&kept));
        });
        let sent = window_event_listener(ev::submit, move |ev| mark(ours(&ev).and_then(|_| key.get_untracked()), true));
        on_cleanup(move || {
            typed.remove();
            sent.remove();
        });
        Effect::new(move |_| match answered.get() {
            Some(true) => {
                if let Some(key) = key.get_untracked() {
                    write(&key, None);
                }
                opened_with.set_value(fields(form));
                offered.set(None);
            }
            Some(false) => mark(key.get_untracked(), false),
            None => {}
        });
        Effect::new(move |before: Option<()>| {
            restore.track();
            if let Some(kept) = before.and_then(|()| old.get_value()) {
                offered.set(None);
                put(form, &kept.fields);
            }
        });
        Effect::new(move |before: Option<()>| {
            discard.track();
            if before.is_some() {
                offered.set(None);
                // What was typed since the form was opened is another draft.
                if let Some(key) = key.get_untracked().filter(|key| read(key) == old.get_value()) {
                    write(&key, None);
                }
            }
        });
    }

    fn mark(key: Option<String>, sent: bool) {
        if let Some((key, kept)) = key.and_then(|key| read(&key).map(|kept| (key, kept))) {
            write(&key, Some(&Kept { sent, ..kept }));
        }
    }

    /// Fills the fields as if it had been typed.
    fn put(form: &str, fields: &Fields) {
        for element in elements(form) {
            let Some(value) = field(&element).and_then(|(name, _)| fields.get(&name)) else { continue };
            if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
                input.set_value(value);
            } else if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
                area.set_value(value);
            } else if let Some(select) = element.dyn_ref::<HtmlSelectElement>() {
                select.set_value(value);
            }
            crate::ui::form::tell_typed(&element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_draft_is_offered_only_where_it_would_change_the_form() {
        let kept = Kept { at: 1_000, sent: false, fields: fields(&[("summary", "Mine")]) };
        assert!(kept.is_worth_offering(&fields(&[("summary", "")]), 2_000));
        assert!(!kept.is_worth_offering(&fields(&[("summary", "Mine")]), 2_000), "it was saved elsewhere");
        assert!(!kept.is_worth_offering(&fields(&[("other", "")]), 2_000), "the form has no such field");
        assert!(!kept.is_worth_offering(&fields(&[("summary", "")]), 1_000 + DAYS * domain::time::DAY), "too old");
        assert!(!Kept { sent: true, ..kept }.is_worth_offering(&fields(&[("summary", "")]), 2_000), "sent, and not refused");
    }
}
