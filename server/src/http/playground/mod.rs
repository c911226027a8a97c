//! `POST /t/{tenant}/playground/chat`: one question to one or two models, through the gateway like every other client.
//! JSON is answered with a stream of events; a plain form waits, and is sent to the saved conversation.

mod asked;
mod call;

use super::problem_page::{self, Page, Wants};
use crate::{layers::caller::SignedIn, web::Web};
use asked::Asked;
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Redirect, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use domain::{
    chat::{Answer, Chat, Exchange},
    ids::ChatId,
    inspect::Message,
    policy::Action,
    problem::Problem,
};
use futures::{StreamExt, future};
use platform::access::{Caller, Scope};
use serde::Serialize;
use tokio::sync::mpsc;

/// What the page hears.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Told {
    Delta { model: String, text: String },
    Done(Answer),
    Failed { model: String, sentence: String },
    Saved { chat: ChatId },
}

impl Told {
    const fn name(&self) -> &'static str {
        match self {
            Self::Delta { .. } => "delta",
            Self::Done(_) => "done",
            Self::Failed { .. } => "failed",
            Self::Saved { .. } => "saved",
        }
    }
}

pub async fn chat(
    State(web): State<Web>,
    SignedIn(caller): SignedIn,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_form =
        headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
    let wants = if is_form { Wants::Html } else { Wants::Json };
    let talk = match begin(&web, &caller, &tenant, is_form, &body).await {
        Ok(talk) => talk,
        Err(problem) if is_form => return Page::of(&problem).link(&app::links::playground(&tenant), "Back to the playground").response(),
        Err(problem) => return problem_page::answer(&problem, wants),
    };
    let (sender, mut receiver) = mpsc::channel(64);
    if is_form {
        // The page is not told on the way; what was said is in the conversation that it then opens.
        let (saved, ()) = future::join(talk.run(sender), async { while receiver.recv().await.is_some() {} }).await;
        return match saved {
            Ok(chat) => Redirect::to(&app::links::chat(&tenant, &chat)).into_response(),
            Err(problem) => Page::of(&problem).link(&app::links::playground(&tenant), "Back to the playground").response(),
        };
    }
    tokio::spawn(async move {
        if let Err(problem) = talk.run(sender.clone()).await {
            let _ = sender.send(Told::Failed { model: String::new(), sentence: format!("The answer could not be saved. {problem}") }).await;
        }
    });
    let lines = futures::stream::unfold(receiver, |mut r| async { r.recv().await.map(|told| (told, r)) }).map(|told| {
        let data = serde_json::to_string(&told).unwrap_or_default();
        Ok::<_, std::convert::Infallible>(sse::Event::default().event(told.name()).data(data))
    });
    let mut response = Sse::new(lines).keep_alive(KeepAlive::default()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One question under way.
struct Talk {
    web: Web,
    scope: Scope,
    /// Lets this person's page call the gateway for some minutes.
    pass: String,
    asked: Asked,
    chat: Chat,
}

async fn begin(web: &Web, caller: &Caller, tenant: &str, is_form: bool, body: &[u8]) -> Result<Talk, Problem> {
    let scope = caller.scope(web.platform(), tenant).await?;
    scope.permit(Action::Infer)?;
    let asked = if is_form { Asked::from_form(body) } else { Asked::from_json(body) }?;
    let chat = match asked.chat {
        Some(id) => web.platform().chats(&scope).get(id).await?,
        None => Chat {
            id: ChatId::from_uuid(uuid::Uuid::now_v7()),
            title: shortened(&asked.question),
            models: asked.models.clone(),
            system: asked.system.clone(),
            exchanges: Vec::new(),
            updated_at: web.platform().now(),
        },
    };
    let pass = web.platform().mint_pass(&scope)?;
    Ok(Talk { web: web.clone(), scope, pass, asked, chat })
}

impl Talk {
    /// Asks every model at once, keeps the exchange whatever came of it, and returns the conversation's id.
    async fn run(mut self, to: mpsc::Sender<Told>) -> Result<ChatId, Problem> {
        // The conversation as it is asked now.
        self.chat.models.clone_from(&self.asked.models);
        self.chat.system.clone_from(&self.asked.system);
        let url = format!("{}/t/{}/v1/chat/completions", self.web.config().gateway_url, self.scope.tenant().name);
        let question = Message { role: "user".into(), content: self.asked.question.clone() };
        let (this, url, question, to_page) = (&self, &url, &question, &to);
        let calls = self.asked.models.iter().map(|model| async move {
            let mut messages = this.chat.messages_for(model);
            messages.push(question.clone());
            call::ask(this.web.http(), url, &this.pass, model, &messages, &this.asked, to_page).await
        });
        let answers = future::join_all(calls).await;
        self.chat.exchanges.push(Exchange { question: self.asked.question, answers, at: self.web.platform().now() });
        self.chat.updated_at = self.web.platform().now();
        let id = self.chat.id;
        self.web.platform().chats(&self.scope).save(self.chat).await?;
        let _ = to.send(Told::Saved { chat: id }).await;
        Ok(id)
    }
}

/// The first line, at most 60 characters.
fn shortened(question: &str) -> String {
    let line = question.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line.to_owned(),
    }
}
