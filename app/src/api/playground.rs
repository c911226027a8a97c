//! The playground: which models one can talk to, the history, one conversation with its answers as safe HTML.
//! The talking itself is `POST /t/{tenant}/playground/chat`, which the server streams.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    chat::{Chat, ChatOverview},
    page::Page,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// A model id that can be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayModel {
    pub id: String,
    /// A base model as it is, or tuned by us.
    pub base: bool,
    /// `v4` of a tuned one, which the id may say already; empty for a base.
    pub version: String,
    pub endpoint: String,
    /// Tokens of question and answer together; 0 = not known.
    pub context: u32,
    /// Why it does not answer now; none = it answers.
    pub not_ready: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaygroundPage {
    /// Those that answer first, tuned before base.
    pub models: Vec<PlayModel>,
    /// There are older endpoints that do not run, of which no model is offered.
    pub more_stopped: bool,
    /// Newest first.
    pub chats: Page<ChatOverview>,
    pub chat: Option<ChatView>,
    pub infer_refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatView {
    pub chat: Chat,
    /// For every exchange the answers' Markdown as cleaned HTML, in the order of the answers.
    pub html: Vec<Vec<String>>,
}

/// `chat` empty = a new conversation; `after`: of the history, see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "playground/get", output = Wire)]
pub async fn playground_get(tenant: String, chat: String, #[server(default)] after: String) -> Result<PlaygroundPage, AppError> {
    use domain::{endpoint::AdapterState, policy::Action, problem::Problem};
    let (platform, scope) = super::scope(&tenant).await?;
    let mut models: Vec<PlayModel> = Vec::new();
    let endpoints = platform.endpoints(&scope);
    let (served, more_stopped) = endpoints.callable().await?;
    let bases = endpoints.contexts(&served.endpoints).await?;
    for e in &served.endpoints {
        let context = e.base.as_ref().and_then(|base| bases.get(&base.id)).copied().unwrap_or(0);
        let down = (!e.answers()).then(|| format!("{} is {}. {}", e.name, e.state.word(), e.reason.said()));
        let own = match (served.merged(e), &e.base) {
            (Some(v), _) => Some((served.id_of(v.id, v.model_name.as_str(), v.number), false, format!("v{}", v.number))),
            (None, Some(base)) => Some((base.name.to_string(), true, String::new())),
            (None, None) => None,
        };
        models.extend(own.map(|(id, base, version)| PlayModel {
            id,
            base,
            version,
            endpoint: e.name.to_string(),
            context,
            not_ready: down.clone(),
        }));
        models.extend(e.external.iter().flat_map(|x| x.offered()).map(|(model, here)| PlayModel {
            id: here.to_string(),
            base: true,
            version: String::new(),
            endpoint: e.name.to_string(),
            context: model.context,
            not_ready: down.clone().or_else(|| model.gone_since.map(|_| format!("{} has {here} no more.", e.name))),
        }));
        models.extend(e.attachments.iter().map(|a| PlayModel {
            id: served.id_of(a.version, a.model_name.as_str(), a.number),
            base: false,
            version: format!("v{}", a.number),
            endpoint: e.name.to_string(),
            context,
            not_ready: down.clone().or_else(|| {
                (a.state != AdapterState::Ready).then(|| format!("{} v{} is {} on {}.", a.model_name, a.number, a.state.word(), e.name))
            }),
        }));
    }
    // The same id on two endpoints is one choice; the one that answers counts.
    models.sort_by(|a, b| (a.not_ready.is_some(), a.base, &a.id).cmp(&(b.not_ready.is_some(), b.base, &b.id)));
    let mut seen = std::collections::HashSet::new();
    models.retain(|m| seen.insert(m.id.clone()));
    let infer_refused = scope.why_not(Action::Infer);
    if infer_refused.is_some() {
        return Ok(PlaygroundPage { models, more_stopped, chats: Page { rows: Vec::new(), next: None }, chat: None, infer_refused });
    }
    let chats = platform.chats(&scope);
    let chat = match chat.as_str() {
        "" => None,
        id => {
            let id = id.parse().map_err(|_| Problem::not_found("The conversation"))?;
            let chat = chats.get(id).await?;
            let html = chat.exchanges.iter().map(|e| e.answers.iter().map(|a| rendered(&a.content)).collect()).collect();
            Some(ChatView { chat, html })
        }
    };
    Ok(PlaygroundPage { models, more_stopped, chats: chats.list(&Cursor::from_text(after)).await?, chat, infer_refused })
}

#[server(prefix = "/rpc", endpoint = "playground/delete", output = Wire)]
pub async fn chat_delete(tenant: String, chat: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let id = chat.parse().map_err(|_| domain::problem::Problem::not_found("The conversation"))?;
    platform.chats(&scope).delete(id).await?;
    super::redirect(&crate::links::playground(&scope.tenant().name));
    Ok(())
}

/// A model's Markdown as HTML that can do no harm: raw HTML becomes text, then everything goes through ammonia.
#[cfg(feature = "ssr")]
pub fn rendered(markdown: &str) -> String {
    use pulldown_cmark::{Event, Options, Parser, html};
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        // A model does not get to load pictures from elsewhere, and its line ends are meant.
        Event::SoftBreak => Event::HardBreak,
        other => other,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    ammonia::Builder::default().rm_tags(["img"]).link_rel(Some("noopener noreferrer nofollow")).clean(&out).to_string()
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::rendered;

    #[test]
    fn markdown_becomes_html_and_raw_html_stays_text() {
        assert_eq!(rendered("**Aarhus**\nin Denmark").trim(), "<p><strong>Aarhus</strong><br>\nin Denmark</p>");
        let evil =
            rendered("hello <script>alert(1)</script> [x](javascript:alert(1)) ![p](https://elsewhere.example/p.png) <b onclick=x>y</b>");
        for unwanted in ["<script", "href=\"javascript", "<img", "<b onclick"] {
            assert!(!evil.contains(unwanted), "{unwanted}: {evil}");
        }
        assert!(evil.contains("&lt;script&gt;"), "{evil}");
    }
}
