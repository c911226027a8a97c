//! Names of settings for what is being typed in the YAML: which key is meant, and the list to choose it from.

use super::Typed;
use leptos::{ev::KeyboardEvent, html, prelude::*};

/// Keys that are offered at once.
const MOST: usize = 8;

/// The beginning of a key, with the cursor behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// From 0.
    line: usize,
    /// Bytes of the text before it.
    start: usize,
    text: String,
}

/// `cursor` counts as browsers do: in units of UTF-16. None where no key can stand.
fn word_at(text: &str, cursor: usize) -> Option<Word> {
    let mut units = 0;
    let behind = |c: char, units: &mut usize| {
        *units += c.len_utf16();
        *units > cursor
    };
    let at = text.char_indices().find(|(_, c)| behind(*c, &mut units)).map_or(text.len(), |(i, _)| i);
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let rest = text[at..].split('\n').next().unwrap_or_default();
    let word = &text[start..at];
    let is_key = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (is_key && rest.trim().is_empty()).then(|| Word { line: text[..start].matches('\n').count(), start, text: word.to_owned() })
}

#[derive(Clone, PartialEq, Eq)]
struct Open {
    word: Word,
    /// Key and plain name.
    keys: Vec<(String, String)>,
    chosen: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Completion {
    typed: Typed,
    area: NodeRef<html::Textarea>,
    open: RwSignal<Option<Open>>,
}

pub(super) const LIST: &str = "yaml-keys";

fn option_id(i: usize) -> String {
    format!("{LIST}-{i}")
}

impl Completion {
    pub fn new(typed: Typed, area: NodeRef<html::Textarea>) -> Self {
        Self { typed, area, open: RwSignal::new(None) }
    }

    /// The option that Enter takes, for who listens instead of looking.
    pub fn active(self) -> Option<String> {
        self.open.with(|open| open.as_ref().map(|o| option_id(o.chosen)))
    }

    pub fn close(self) {
        if self.open.with_untracked(Option::is_some) {
            self.open.set(None);
        }
    }

    /// Looks at what stands before the cursor. `asked`: also when nothing does.
    pub fn look(self, asked: bool) {
        let Some(area) = self.area.get_untracked() else { return };
        let text = area.value();
        let cursor = area.selection_start().ok().flatten().unwrap_or_default();
        let word = word_at(&text, cursor as usize).filter(|word| asked || word.text.len() > 1);
        let open = word.and_then(|word| {
            let there: Vec<String> = self.typed.form.with_untracked(|f| f.document().pairs()).into_iter().map(|p| p.key).collect();
            let keys: Vec<_> = self.typed.catalogue.with_untracked(|c| {
                c.completions(&word.text, &there, MOST).into_iter().map(|e| (e.key.clone(), e.label.clone())).collect()
            });
            (!keys.is_empty()).then_some(Open { word, keys, chosen: 0 })
        });
        self.open.set(open);
    }

    pub fn key(self, event: &KeyboardEvent) {
        if event.ctrl_key() && event.key() == " " {
            event.prevent_default();
            return self.look(true);
        }
        let Some(open) = self.open.get_untracked() else { return };
        let count = open.keys.len();
        let choose = |chosen| self.open.update(|open| open.iter_mut().for_each(|o| o.chosen = chosen));
        match event.key().as_str() {
            "ArrowDown" => choose((open.chosen + 1) % count),
            "ArrowUp" => choose((open.chosen + count - 1) % count),
            "Enter" | "Tab" => self.take(open.chosen),
            "Escape" => self.close(),
            _ => return,
        }
        event.prevent_default();
    }

    /// Writes the key out, ready for its value.
    fn take(self, i: usize) {
        let (Some(open), Some(area)) = (self.open.get_untracked(), self.area.get_untracked()) else { return };
        let Some((key, _)) = open.keys.get(i) else { return };
        let text = area.value();
        let (Some(before), Some(after)) = (text.get(..open.word.start), text.get(open.word.start + open.word.text.len()..)) else { return };
        let written = format!("{before}{key}: ");
        let cursor = u32::try_from(written.encode_utf16().count()).unwrap_or_default();
        area.set_value(&format!("{written}{}", after.trim_start_matches(' ')));
        let _ = area.set_selection_range(cursor, cursor);
        crate::ui::form::typed_into(&area);
        self.close();
    }
}

/// Under the word that is being typed.
#[component]
pub(super) fn Keys(completion: Completion) -> impl IntoView {
    move || {
        completion.open.get().map(|open| {
            let options = open.keys.into_iter().enumerate().map(|(i, (key, label))| {
                view! {
                    // Not a click: that would come after the text has lost the cursor.
                    <li role="option" id=option_id(i) aria-selected=(i == open.chosen).to_string()
                        on:mousedown=move |e| { e.prevent_default(); completion.take(i); }><b>{key}</b><span>{label}</span></li>
                }
            });
            let line = format!("--line:{}", open.word.line);
            view! { <ul class="keylist" id=LIST role="listbox" aria-label="Settings" style=line>{options.collect_view()}</ul> }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_completed_at_the_beginning_of_a_line_that_holds_nothing_else() {
        let at = |text: &str, cursor| word_at(text, cursor).map(|w| (w.line, w.text));
        assert_eq!(at("lora", 4), Some((0, "lora".into())));
        // The sign counts twice for a browser.
        assert_eq!(at("# größer 🙂\nse  \nx: 1", 14), Some((1, "se".into())));
        assert_eq!(at("seed: 7\n", 8), Some((1, String::new())));
        for (text, cursor) in [("seed: 7", 7), ("seed: 7", 2), ("# se", 4), (" se", 3)] {
            assert_eq!(at(text, cursor), None, "{text} {cursor}");
        }
    }
}
