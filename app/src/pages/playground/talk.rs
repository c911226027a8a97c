//! One question under way: sends it, follows the stream, can stop it. Works in the browser; without scripts the form is posted.

#[cfg(feature = "hydrate")]
mod browser;

use crate::api::{
    AppError,
    playground::{ChatDelete, PlaygroundPage},
};
use domain::chat::Answer;
use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    prelude::*,
};

/// What is asked for where nobody chose.
pub const USUAL: u32 = 128;

/// How far one model's answer is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Waiting,
    /// Milliseconds to the first token, as this page saw them.
    Answering(u32),
    Done(Answer),
    Failed(String),
}

impl State {
    /// More of the answer may come.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Waiting | Self::Answering(_))
    }
}

/// One model's answer as it comes. Counted references: it is made by a click and outlives the drawing that was clicked.
#[derive(Clone)]
pub struct StreamedAnswer {
    pub model: String,
    pub text: ArcRwSignal<String>,
    pub state: ArcRwSignal<State>,
}

/// A question that this page asked.
#[derive(Clone)]
pub struct Question {
    /// Its place in the conversation.
    pub at: usize,
    pub question: String,
    pub answers: Vec<StreamedAnswer>,
}

#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "hydrate"), allow(dead_code))]
pub struct Talk {
    tenant: Signal<String>,
    /// The conversation's id; empty before the first answer of a new one.
    pub chat: RwSignal<String>,
    page: Resource<Result<PlaygroundPage, AppError>>,
    /// Exchanges that the saved conversation holds, as far as this page has seen.
    saved: RwSignal<usize>,
    /// In order; those that the saved conversation holds are no longer shown.
    asked: RwSignal<Vec<Question>>,
    pub busy: RwSignal<bool>,
    pub problem: RwSignal<Option<AppError>>,
    /// What a screen reader is told: that an answer began, and that it ended.
    pub announced: RwSignal<String>,
    pub delete: ServerAction<ChatDelete>,
    pub temperature: RwSignal<String>,
    /// Tokens of the longest answer.
    pub longest: RwSignal<u32>,
    #[cfg(feature = "hydrate")]
    abort: StoredValue<Option<web_sys::AbortController>, LocalStorage>,
}

impl Talk {
    pub fn new(tenant: Signal<String>, chat: RwSignal<String>, page: Resource<Result<PlaygroundPage, AppError>>) -> Self {
        let saved = RwSignal::new(0);
        // A handler of an event must not read a resource; this is what it needs of it.
        Effect::new(move |_| {
            if let Some(count) =
                page.with(|page| page.as_ref()?.as_ref().ok().map(|p| p.chat.as_ref().map_or(0, |c| c.chat.exchanges.len())))
            {
                saved.set(count);
            }
        });
        Self {
            tenant,
            chat,
            page,
            saved,
            asked: RwSignal::new(Vec::new()),
            busy: RwSignal::new(false),
            problem: RwSignal::new(None),
            announced: RwSignal::new(String::new()),
            delete: ServerAction::new(),
            temperature: RwSignal::new("0".into()),
            longest: RwSignal::new(USUAL),
            #[cfg(feature = "hydrate")]
            abort: StoredValue::new_local(None),
        }
    }

    /// What was asked here and is not among the first `saved` exchanges of the conversation.
    pub fn fresh(self, saved: usize) -> Vec<Question> {
        self.asked.with(|all| all.iter().filter(|said| said.at >= saved).cloned().collect())
    }

    pub fn key(self, ev: KeyboardEvent) {
        match ev.key().as_str() {
            "Escape" => self.stop(),
            "Enter" if ev.ctrl_key() || ev.meta_key() => {
                ev.prevent_default();
                #[cfg(feature = "hydrate")]
                browser::submit();
            }
            _ => {}
        }
    }

    #[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
    pub fn send(self, ev: SubmitEvent) {
        #[cfg(feature = "hydrate")]
        browser::send(self, ev);
    }

    /// Ends the answer here; what came is kept, by the server too.
    pub fn stop(self) {
        #[cfg(feature = "hydrate")]
        self.abort.with_value(|a| {
            if let Some(a) = a {
                a.abort();
            }
        });
    }
}

/// Puts an address into the browser's bar without leaving the page.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn tell_address(href: &str) {
    #[cfg(feature = "hydrate")]
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(href));
    }
}

/// What the server's stream says.
#[cfg(any(feature = "hydrate", test))]
#[derive(Debug, PartialEq)]
enum StreamEvent {
    Delta { model: String, text: String },
    Done(Answer),
    Failed { model: String, sentence: String },
    Saved { chat: String },
}

/// Cuts a stream of server-sent events into what it says, wherever the pieces were cut.
#[cfg(any(feature = "hydrate", test))]
#[derive(Default)]
struct EventReader {
    buffer: String,
}

#[cfg(any(feature = "hydrate", test))]
impl EventReader {
    fn push(&mut self, piece: &str) -> Vec<StreamEvent> {
        self.buffer.push_str(&piece.replace('\r', ""));
        let mut out = Vec::new();
        while let Some(end) = self.buffer.find("\n\n") {
            let block: String = self.buffer.drain(..end + 2).collect();
            let line = |name: &str| {
                block.lines().filter_map(|l| l.strip_prefix(name)).map(|v| v.strip_prefix(' ').unwrap_or(v)).collect::<Vec<_>>().join("\n")
            };
            out.extend(hear(&line("event:"), &line("data:")));
        }
        out
    }
}

#[cfg(any(feature = "hydrate", test))]
fn hear(event: &str, data: &str) -> Option<StreamEvent> {
    let json: serde_json::Value = serde_json::from_str(data).ok()?;
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    Some(match event {
        "delta" => StreamEvent::Delta { model: text("model"), text: text("text") },
        "done" => StreamEvent::Done(serde_json::from_value(json).ok()?),
        "failed" => StreamEvent::Failed { model: text("model"), sentence: text("sentence") },
        "saved" => StreamEvent::Saved { chat: text("chat") },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_heard_whole_wherever_the_stream_was_cut() {
        let stream = "event: delta\ndata: {\"model\":\"a\",\"text\":\"Aar\"}\n\n: still here\n\nevent: failed\ndata: {\"model\":\"b\",\"sentence\":\"Stopped.\"}\n\nevent: saved\ndata: {\"chat\":\"chat_1\"}\n\n";
        let whole = [
            StreamEvent::Delta { model: "a".into(), text: "Aar".into() },
            StreamEvent::Failed { model: "b".into(), sentence: "Stopped.".into() },
            StreamEvent::Saved { chat: "chat_1".into() },
        ];
        for cut in 0..stream.len() {
            let mut reader = EventReader::default();
            let mut event = reader.push(&stream[..cut]);
            event.extend(reader.push(&stream[cut..]));
            assert_eq!(event, whole, "cut at {cut}");
        }
    }
}
