//! The playground's history. A chat belongs to the person who had it; for everybody else it does not exist.

use crate::{
    Platform,
    access::Scope,
    change::{Change, Unaudited},
    problem::Doing,
};
use domain::{
    chat::{Chat, ChatOverview},
    ids::ChatId,
    page::{Cursor, Page},
    policy::Action,
    problem::Problem,
};

/// Bytes of a chat with everything that was said in it.
const LARGEST: usize = 4 * 1024 * 1024;

/// One person's chats in one tenant.
pub struct Chats<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn chats<'a>(&self, scope: &'a Scope) -> Chats<'a> {
        Chats { scope }
    }

    /// For a chat that begins now.
    pub fn new_chat_id(&self) -> ChatId {
        ChatId::from_uuid(self.fresh_uuid())
    }
}

impl Chats<'_> {
    /// Newest first.
    pub async fn list(&self, after: &Cursor) -> Result<Page<ChatOverview>, Problem> {
        self.scope.permit(Action::Infer)?;
        self.scope.platform().store().chats(self.scope.tenant_name(), self.scope.person().id, after).await.doing("reading the chats")
    }

    pub async fn get(&self, id: ChatId) -> Result<Chat, Problem> {
        self.scope.permit(Action::Infer)?;
        let found =
            self.scope.platform().store().chat(self.scope.tenant_name(), self.scope.person().id, id).await.doing("reading the chat")?;
        found.ok_or_else(|| not_found(id))
    }

    /// Writes the chat, new or changed; its time becomes now.
    pub async fn save(&self, mut chat: Chat) -> Result<Chat, Problem> {
        let permit = self.scope.permit(Action::Infer)?;
        if serde_json::to_vec(&chat).map_or(0, |bytes| bytes.len()) > LARGEST {
            return Err(Problem::conflict("This chat has become too long to be kept.").next("Start a new one."));
        }
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        chat.updated_at = tx.at();
        chat.title = title(&chat);
        if !tx.put_chat(self.scope.tenant_name(), self.scope.person().id, &chat).await.doing("writing the chat")? {
            return Err(not_found(chat.id));
        }
        tx.commit_unaudited(Unaudited::OwnChat).await.doing("writing the chat")?;
        Ok(chat)
    }

    pub async fn delete(&self, id: ChatId) -> Result<(), Problem> {
        let permit = self.scope.permit(Action::Infer)?;
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        if !tx.delete_chat(self.scope.tenant_name(), self.scope.person().id, id).await.doing("deleting the chat")? {
            return Err(not_found(id));
        }
        tx.commit_unaudited(Unaudited::OwnChat).await.doing("deleting the chat")
    }
}

fn not_found(id: ChatId) -> Problem {
    Problem::not_found(format!("The chat “{id}”"))
}

/// The one it has, or the first question, shortened.
fn title(chat: &Chat) -> String {
    let text =
        if chat.title.trim().is_empty() { chat.exchanges.first().map_or("New chat", |e| e.question.as_str()) } else { chat.title.as_str() };
    let mut title: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    if title.is_empty() {
        title.push_str("New chat");
    }
    title
}
