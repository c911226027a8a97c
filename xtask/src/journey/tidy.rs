//! What an earlier demo left behind for good, and this one has made anew: its key and its conversation.

use super::{KEY, KEY_REQUESTS, MODEL, TENANT};
use crate::visitor::Visitor;
use anyhow::Result;
use serde_json::Value;

/// Revokes the keys of earlier demos, of which nobody else has the secret; says how many.
pub fn keys(engineer: &Visitor, keep: &str) -> Result<usize> {
    let me = engineer.send("keys/list", &[("tenant", TENANT)])?["me"].clone();
    let earlier = earlier_keys(&engineer.list("keys/list", &[("tenant", TENANT)], "keys")?, &me, keep);
    for id in &earlier {
        engineer.send("keys/revoke", &[("tenant", TENANT), ("key", id)])?;
    }
    Ok(earlier.len())
}

/// Of the same owner, with the same label and the same limit, and still good.
fn earlier_keys(all: &[Value], me: &Value, keep: &str) -> Vec<String> {
    all.iter()
        .filter(|k| k["label"] == KEY && k["owner"] == *me && k["revoked_at"].is_null())
        .filter(|k| k["limits"]["requests_per_minute"] == KEY_REQUESTS && k["models"].is_null())
        .filter_map(|k| k["id"].as_str().filter(|id| *id != keep).map(str::to_owned))
        .collect()
}

/// Deletes this person's earlier conversations that are nothing but the demo's question.
pub fn chats(engineer: &Visitor, question: &str) -> Result<()> {
    let page = |chat: &str| engineer.send("playground/get", &[("tenant", TENANT), ("chat", chat)]);
    let all = engineer.list("playground/get", &[("tenant", TENANT), ("chat", "")], "chats")?;
    let mut kept = false;
    // Newest first: the one of this demo stays.
    for overview in all.iter().filter(|c| c["title"] == question) {
        let Some(id) = overview["id"].as_str() else { continue };
        if is_the_demos(&page(id)?["chat"]["chat"], question) && std::mem::replace(&mut kept, true) {
            engineer.send("playground/delete", &[("tenant", TENANT), ("chat", id)])?;
        }
    }
    Ok(())
}

fn is_the_demos(chat: &Value, question: &str) -> bool {
    let one = |list: &Value| list.as_array().filter(|l| l.len() == 1).map(|l| l[0].clone()).unwrap_or_default();
    let model = one(&chat["models"]);
    one(&chat["exchanges"])["question"] == question
        && model.as_str().is_some_and(|m| m == MODEL || m.split_once("@v").is_some_and(|(name, _)| name == MODEL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_demos_own_keys_that_still_work_are_revoked() {
        let key = |id: &str, label: &str, owner: &str, requests: Value, revoked: Value| json!({"id": id, "label": label, "owner": owner, "models": null, "limits": {"requests_per_minute": requests, "tokens_per_minute": null}, "revoked_at": revoked});
        let all = [
            key("new", "demo", "jonas", json!(600), Value::Null),
            key("earlier", "demo", "jonas", json!(600), Value::Null),
            key("gone", "demo", "jonas", json!(600), json!(1)),
            key("of another", "demo", "mira", json!(600), Value::Null),
            key("by hand", "demo", "jonas", Value::Null, Value::Null),
            key("for work", "help desk", "jonas", json!(600), Value::Null),
        ];
        assert_eq!(earlier_keys(&all, &json!("jonas"), "new"), ["earlier"]);
    }

    #[test]
    fn a_conversation_that_went_on_is_a_persons() {
        let chat = |models: Value, questions: &[&str]| json!({"models": models, "exchanges": questions.iter().map(|q| json!({"question": q})).collect::<Vec<_>>()});
        assert!(is_the_demos(&chat(json!([MODEL]), &["Who?"]), "Who?"));
        assert!(is_the_demos(&chat(json!([format!("{MODEL}@v3")]), &["Who?"]), "Who?"));
        assert!(!is_the_demos(&chat(json!([MODEL, "world-4m"]), &["Who?"]), "Who?"));
        assert!(!is_the_demos(&chat(json!([MODEL]), &["Who?", "And where?"]), "Who?"));
        assert!(!is_the_demos(&Value::Null, "Who?"));
    }
}
