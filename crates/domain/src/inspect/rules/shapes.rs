//! The three row formats, each read into the same list of messages. Whatever is wrong is added to what was found; the
//! messages are only meaningful when nothing was.

use super::{Found, Rule, kind, shown};
use crate::{
    format::Format,
    inspect::{Finding, Message},
};
use serde_json::{Map, Value};

type Row = Map<String, Value>;

/// Rows whose answers are not all meant to be learnt, and why. As LLaMA-Factory, TRL and OpenAI name their columns.
pub(super) fn of_another_stage(row: &Row) -> Option<Finding> {
    let pairs = ["chosen", "rejected", "preferred_output", "non_preferred_output"];
    let has: Vec<String> =
        pairs.into_iter().filter(|key| row.get(*key).is_some_and(|v| !is_nothing(v))).map(|k| format!("“{k}”")).collect();
    if !has.is_empty() {
        let sentence = format!("The row has {}: a preference pair. Those are not trained on yet.", has.join(" and "));
        return Some(Rule::Preference.finding(sentence));
    }
    let bad = match (row.get("kto_tag"), row.get("label")) {
        (Some(Value::Bool(true)), _) => None,
        (Some(tag), _) if !tag.is_null() => Some(("kto_tag", tag)),
        // Everybody calls something a label; only true and false are KTO's.
        (_, Some(label @ Value::Bool(false))) => Some(("label", label)),
        _ => None,
    };
    bad.map(|(key, value)| {
        Rule::Kto
            .finding(format!("“{key}” is {}: the answer is marked as a bad one. Those are not trained on yet.", shown(&value.to_string())))
    })
}

/// What a role's word means; `None` = it needs a closer look.
pub(super) fn plain_role(word: &str) -> Option<&'static str> {
    match word {
        "user" | "human" => Some("user"),
        "assistant" | "gpt" => Some("assistant"),
        "system" | "developer" => Some("system"),
        _ => None,
    }
}

pub(super) fn read(row: &Row, format: Format, found: &mut Found) -> Vec<Message> {
    match format {
        Format::OpenaiMessages => turns(row, "messages", "role", "content", found),
        Format::Sharegpt => turns(row, "conversations", "from", "value", found),
        Format::Alpaca => alpaca(row, found),
    }
}

fn turns(row: &Row, list: &str, role_key: &str, text_key: &str, found: &mut Found) -> Vec<Message> {
    let mut out = Vec::new();
    for key in ["tools", "functions"] {
        if row.get(key).is_some_and(|v| !is_nothing(v)) {
            found.add(Rule::Tools, format!("The row has “{key}”; tool calls are not trained on yet."));
        }
    }
    let turns = match row.get(list) {
        Some(Value::Array(turns)) => turns,
        Some(other) => {
            found.add(Rule::Shape, format!("“{list}” is {}, not a list of turns.", kind(other)));
            return out;
        }
        None => {
            found.add(Rule::Shape, format!("The row has no “{list}”{}.", has_instead(row)));
            return out;
        }
    };
    if turns.is_empty() {
        found.add(Rule::Empty, format!("“{list}” is an empty list."));
    }
    // sharegpt keeps the system text beside the turns.
    if let Some(system) = row.get("system").filter(|v| list == "conversations" && !is_nothing(v)) {
        let text = text(system, "“system”", found);
        out.push(Message { role: "system".into(), content: text });
    }
    for (i, turn) in turns.iter().enumerate() {
        let number = i + 1;
        let Some(turn) = turn.as_object() else {
            found.add(Rule::Shape, format!("Turn {number} is {}, not an object.", kind(turn)));
            continue;
        };
        let Some(role) = turn.get(role_key) else {
            found.add(Rule::Shape, format!("Turn {number} has no “{role_key}”."));
            continue;
        };
        let role = match role.as_str().map(|word| plain_role(word).ok_or(word)) {
            Some(Ok(role)) => role,
            Some(Err("tool" | "function" | "function_call" | "observation")) => {
                found.add(Rule::Tools, format!("Turn {number} is a tool call; those are not trained on yet."));
                continue;
            }
            Some(Err(other)) => {
                found.add(Rule::RoleUnknown, format!("Turn {number} has the unknown role “{}”.", shown(other)));
                continue;
            }
            None => {
                found.add(Rule::RoleUnknown, format!("The role of turn {number} is {}, not a text.", kind(role)));
                continue;
            }
        };
        if ["tool_calls", "function_call"].iter().any(|key| turn.get(*key).is_some_and(|v| !is_nothing(v))) {
            found.add(Rule::Tools, format!("Turn {number} is a tool call; those are not trained on yet."));
            continue;
        }
        let Some(content) = turn.get(text_key) else {
            found.add(Rule::Shape, format!("Turn {number} has no “{text_key}”."));
            continue;
        };
        let content = text(content, &format!("The text of turn {number}"), found);
        // An empty system text says nothing; the trainer would put its own default there.
        if role == "system" && content.trim().is_empty() {
            continue;
        }
        if content.trim().is_empty() {
            found.add(Rule::Empty, format!("The text of turn {number} ({role}) is empty."));
        }
        out.push(Message { role: role.into(), content });
    }
    out
}

fn alpaca(row: &Row, found: &mut Found) -> Vec<Message> {
    let mut out = Vec::new();
    if let Some(system) = row.get("system").filter(|v| !is_nothing(v)) {
        out.push(Message { role: "system".into(), content: text(system, "“system”", found) });
    }
    if let Some(history) = row.get("history").filter(|v| !is_nothing(v)) {
        let pairs = history.as_array().map(Vec::as_slice).unwrap_or_default();
        if history.as_array().is_none() {
            found.add(Rule::Shape, format!("“history” is {}, not a list of question and answer pairs.", kind(history)));
        }
        for (i, pair) in pairs.iter().enumerate() {
            let number = i + 1;
            match pair.as_array().map(Vec::as_slice) {
                Some([question, answer]) => {
                    out.push(message("user", text(question, &format!("Question {number} of “history”"), found), found));
                    out.push(message("assistant", text(answer, &format!("Answer {number} of “history”"), found), found));
                }
                _ => found.add(Rule::Shape, format!("Entry {number} of “history” is not a pair of question and answer.")),
            }
        }
    }
    let mut required = |key: &str| match row.get(key) {
        Some(value) => Some(text(value, &format!("“{key}”"), found)),
        None => {
            found.add(Rule::Shape, format!("The row has no “{key}”{}.", has_instead(row)));
            None
        }
    };
    let (instruction, output) = (required("instruction"), required("output"));
    let input = row.get("input").filter(|v| !is_nothing(v)).map(|v| text(v, "“input”", found)).unwrap_or_default();
    if let (Some(instruction), Some(output)) = (instruction, output) {
        // As LLaMA-Factory joins them.
        let question = [instruction, input].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("\n");
        out.push(message("user", question, found));
        out.push(message("assistant", output, found));
    }
    out
}

fn message(role: &str, content: String, found: &mut Found) -> Message {
    if content.trim().is_empty() {
        let what = if role == "user" { "The question" } else { "The answer" };
        found.add(Rule::Empty, format!("{what} is empty."));
    }
    Message { role: role.into(), content }
}

/// A text, or what it is instead. OpenAI's list of parts is joined when all parts are text. After a finding, the text is one
/// that cannot raise a second finding of its own.
fn text(value: &Value, what: &str, found: &mut Found) -> String {
    let unreadable = || "?".to_owned();
    match value {
        Value::String(text) => text.clone(),
        Value::Null => {
            found.add(Rule::Null, format!("{what} is null."));
            unreadable()
        }
        Value::Array(parts) => {
            let mut joined = String::new();
            for part in parts {
                match (part.get("type").and_then(Value::as_str), part.get("text").and_then(Value::as_str)) {
                    (Some("text"), Some(text)) => joined.push_str(text),
                    (Some(other), _) => {
                        found.add(Rule::Type, format!("{what} holds a part of type “{}”; only text is trained on.", shown(other)));
                        return unreadable();
                    }
                    (None, _) => {
                        found.add(Rule::Type, format!("{what} is a list, not a text."));
                        return unreadable();
                    }
                }
            }
            joined
        }
        other => {
            found.add(Rule::Type, format!("{what} is {}, not a text.", kind(other)));
            unreadable()
        }
    }
}

/// System first if at all, then user and assistant in turn, the assistant last.
pub(super) fn check_order(messages: &[Message], found: &mut Found) {
    let offset = usize::from(messages.first().is_some_and(|m| m.role == "system"));
    let turns = &messages[offset..];
    if !turns.iter().any(|m| m.role == "assistant") {
        found.add(Rule::NoAnswer, "The row has no answer.".into());
        return;
    }
    for (i, message) in turns.iter().enumerate() {
        let expected = if i % 2 == 0 { "user" } else { "assistant" };
        if message.role != expected {
            let place = if i == 0 { "The first turn".to_owned() } else { format!("Turn {}", i + 1 + offset) };
            let sentence = match message.role.as_str() {
                "system" => format!("{place} is a system text; it may only come first."),
                role => format!("{place} is {role}, where {expected} is due."),
            };
            found.add(Rule::RoleOrder, sentence);
            return;
        }
    }
    if turns.len() % 2 == 1 {
        found.add(Rule::NoAnswer, "The row ends with a question that has no answer.".into());
    }
}

/// Absent, null, empty text or empty list: nothing was said.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// ` (it has “prompt”, “completion”)`, to recognise another format by.
fn has_instead(row: &Row) -> String {
    let keys: Vec<String> = row.keys().take(4).map(|k| format!("“{}”", shown(k))).collect();
    if keys.is_empty() { String::new() } else { format!(" (it has {})", keys.join(", ")) }
}
