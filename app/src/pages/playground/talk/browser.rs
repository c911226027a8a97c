//! The browser's half of a question: what the form says goes out, what the stream says comes onto the page.

use super::{EventReader, Question, State, StreamEvent, StreamedAnswer, Talk};
use crate::{
    api::{AppError, playground::playground_get},
    links,
};
use domain::problem::{Problem, ProblemKind};
use js_sys::{Reflect, Uint8Array, futures::JsFuture};
use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AbortController, FormData, Headers, HtmlFormElement, HtmlTextAreaElement, ReadableStreamDefaultReader, RequestInit, Response,
};

fn form() -> Option<HtmlFormElement> {
    document().get_element_by_id("play")?.dyn_into().ok()
}

pub fn submit() {
    if let Some(form) = form() {
        let _ = form.request_submit();
    }
}

pub fn send(talk: Talk, ev: SubmitEvent) {
    ev.prevent_default();
    let Some(data) = form().and_then(|f| FormData::new_with_form(&f).ok()) else { return };
    let text = |name: &str| data.get(name).as_string().unwrap_or_default();
    let question = text("question").trim().to_owned();
    if question.is_empty() || talk.busy.get_untracked() {
        return;
    }
    let mut models: Vec<String> = data.get_all("models").iter().filter_map(|v| v.as_string()).filter(|m| !m.is_empty()).collect();
    models.dedup();
    let body = serde_json::json!({
        "chat": Some(talk.chat.get_untracked()).filter(|c| !c.is_empty()),
        "models": models,
        "system": text("system"),
        "question": question,
        "temperature": talk.temperature.get_untracked().parse::<f64>().ok(),
        "max_tokens": talk.longest.get_untracked(),
    });
    let answers: Vec<StreamedAnswer> = models
        .into_iter()
        .map(|model| StreamedAnswer { model, text: ArcRwSignal::new(String::new()), state: ArcRwSignal::new(State::Waiting) })
        .collect();
    talk.problem.set(None);
    talk.busy.set(true);
    talk.announced.set("Answer started".into());
    let saved = talk.saved.get_untracked();
    let at = talk.asked.with_untracked(|all| all.last().map_or(0, |last| last.at + 1)).max(saved);
    talk.asked.update(|all| {
        all.retain(|said| said.at >= saved);
        all.push(Question { at, question: question.clone(), answers: answers.clone() });
    });
    if let Some(area) = document().get_element_by_id("question").and_then(|e| e.dyn_into::<HtmlTextAreaElement>().ok()) {
        area.set_value("");
    }
    spawn_local(async move {
        let chat = follow(talk, &answers, body.to_string()).await;
        talk.busy.set(false);
        let words: usize = answers.iter().map(|a| a.text.with_untracked(|t| t.split_whitespace().count())).sum();
        talk.announced.set(format!("Answer complete, {words} words"));
        match chat {
            Ok(Some(chat)) => adopt(talk, &chat),
            // Stopped before it was saved: the server saves it a moment later.
            Ok(None) => find_stopped(talk, &answers, question).await,
            Err(problem) => {
                talk.asked.update(|all| all.retain(|said| said.at != at));
                put_back(&question);
                talk.problem.set(Some(AppError(problem)));
            }
        }
    });
}

/// The conversation has an id now: the address says so, and the page asks for what was saved.
fn adopt(talk: Talk, chat: &str) {
    if talk.chat.with_untracked(|known| known == chat) {
        talk.page.refetch();
    } else {
        super::tell_address(&links::chat(&talk.tenant.get_untracked(), &chat));
        talk.chat.set(chat.to_owned());
    }
}

async fn find_stopped(talk: Talk, answers: &[StreamedAnswer], question: String) {
    for answer in answers {
        answer.state.update(|s| {
            if s.goes_on() {
                *s = State::Failed("Stopped. The partial answer is kept.".into());
            }
        });
    }
    pause(Duration::from_millis(600)).await;
    let known = talk.chat.get_untracked();
    if !known.is_empty() {
        return adopt(talk, &known);
    }
    if let Ok(page) = playground_get(talk.tenant.get_untracked(), String::new(), String::new()).await {
        let start = question.lines().next().unwrap_or_default();
        let newest = page.chats.rows.first().filter(|c| start.starts_with(c.title.trim_end_matches('…').trim_end()));
        if let Some(chat) = newest {
            adopt(talk, &chat.id.to_string());
        }
    }
}

async fn pause(time: Duration) {
    let promise = js_sys::Promise::new(&mut |done, _| {
        set_timeout(move || drop(done.call0(&JsValue::NULL)), time);
    });
    let _ = JsFuture::from(promise).await;
}

fn put_back(question: &str) {
    crate::ui::form::fill("question", question);
}

fn away() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The server could not be reached.")
        .next("Check the connection and send it again; your question is back in the field.")
}

/// Sends the question and writes what comes into `answers`. The saved conversation's id, or none when it was stopped.
async fn follow(talk: Talk, answers: &[StreamedAnswer], body: String) -> Result<Option<String>, Problem> {
    let controller = AbortController::new().map_err(|_| away())?;
    let signal = controller.signal();
    talk.abort.set_value(Some(controller));
    let headers = Headers::new().map_err(|_| away())?;
    for (name, value) in [("content-type", "application/json"), ("accept", "text/event-stream, application/json")] {
        let _ = headers.set(name, value);
    }
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&JsValue::from_str(&body));
    init.set_signal(Some(&signal));
    let url = links::playground_ask(&talk.tenant.get_untracked());
    let began = js_sys::Date::now();
    let response: Response = match JsFuture::from(window().fetch_with_str_and_init(&url, &init)).await {
        Ok(response) => response.dyn_into().map_err(|_| away())?,
        Err(_) if signal.aborted() => return Ok(None),
        Err(_) => return Err(away()),
    };
    if !response.ok() {
        let text = match response.text() {
            Ok(promise) => JsFuture::from(promise).await.ok().and_then(|t| t.as_string()).unwrap_or_default(),
            Err(_) => String::new(),
        };
        return Err(serde_json::from_str(&text)
            .unwrap_or_else(|_| Problem::new(ProblemKind::Unavailable, format!("The server answered {}.", response.status()))));
    }
    let reader: ReadableStreamDefaultReader = response.body().ok_or_else(away)?.get_reader().dyn_into().map_err(|_| away())?;
    // Splits letters of several bytes at the seams of pieces correctly.
    let decoder = web_sys::TextDecoder::new().map_err(|_| away())?;
    let decode = web_sys::TextDecodeOptions::new();
    decode.set_stream(true);
    let mut events = EventReader::default();
    let mut saved = None;
    loop {
        let piece = match JsFuture::from(reader.read()).await {
            Ok(piece) => piece,
            Err(_) if signal.aborted() => return Ok(None),
            Err(_) => break,
        };
        if Reflect::get(&piece, &"done".into()).ok().and_then(|d| d.as_bool()).unwrap_or(true) {
            break;
        }
        let Ok(bytes) = Reflect::get(&piece, &"value".into()).map(Uint8Array::from) else { break };
        let text = decoder.decode_with_js_u8_array_and_options(&bytes, &decode).unwrap_or_default();
        for event in events.push(&text) {
            tell(answers, event, began, &mut saved);
        }
        scroll_down();
    }
    for answer in answers {
        answer.state.update(|s| {
            if s.goes_on() {
                *s = State::Failed("The answer was cut off. The partial answer is kept.".into());
            }
        });
    }
    Ok(saved)
}

fn tell(answers: &[StreamedAnswer], event: StreamEvent, began: f64, saved: &mut Option<String>) {
    let of = |model: &str| answers.iter().filter(move |a| a.model == model || model.is_empty()).cloned().collect::<Vec<_>>();
    match event {
        StreamEvent::Delta { model, text } => {
            for live in of(&model) {
                if live.state.with_untracked(|s| *s == State::Waiting) {
                    live.state.set(State::Answering((js_sys::Date::now() - began) as u32));
                }
                live.text.update(|t| t.push_str(&text));
            }
        }
        StreamEvent::Done(answer) => {
            for live in of(&answer.model) {
                live.state.set(State::Done(answer.clone()));
            }
        }
        StreamEvent::Failed { model, sentence } => {
            for live in of(&model) {
                live.state.set(State::Failed(sentence.clone()));
            }
        }
        StreamEvent::Saved { chat } => *saved = Some(chat),
    }
}

/// Follows the text, unless the reader has scrolled up to read.
fn scroll_down() {
    let panes = document().get_elements_by_class_name("pane");
    for i in 0..panes.length() {
        let Some(pane) = panes.item(i) else { continue };
        if pane.scroll_height() - pane.scroll_top() - pane.client_height() < 120 {
            pane.set_scroll_top(pane.scroll_height());
        }
    }
}
