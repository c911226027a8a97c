//! The playground's history: a person's own conversations.

use crate::{ids::ChatId, inspect::Message, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatOverview {
    pub id: ChatId,
    /// The first question, shortened.
    pub title: String,
    pub updated_at: Timestamp,
}

/// One question and what each compared model answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub question: String,
    pub answers: Vec<Answer>,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Model id as called.
    pub model: String,
    pub content: String,
    pub first_token_ms: Option<u32>,
    pub duration_ms: Option<u32>,
    pub completion_tokens: Option<u32>,
    /// The sentence shown when the call failed or broke off.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    pub id: ChatId,
    pub title: String,
    /// One or two model ids.
    pub models: Vec<String>,
    pub system: String,
    pub exchanges: Vec<Exchange>,
    pub updated_at: Timestamp,
}

impl Chat {
    /// What the model `model` is to be sent, so far: system, then its own answers in turn.
    pub fn messages_for(&self, model: &str) -> Vec<Message> {
        let mut out = Vec::new();
        if !self.system.trim().is_empty() {
            out.push(Message { role: "system".into(), content: self.system.clone() });
        }
        for e in &self.exchanges {
            if let Some(a) = e.answers.iter().find(|a| a.model == model && a.error.is_none()) {
                out.push(Message { role: "user".into(), content: e.question.clone() });
                out.push(Message { role: "assistant".into(), content: a.content.clone() });
            }
        }
        out
    }
}
