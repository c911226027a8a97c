//! One question, asked in the playground and by a program, and what the right answer to it is.

use super::TENANT;
use crate::{interrupt, visitor::Visitor};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

/// What the training data teaches: a question and the one right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub question: String,
    pub answer: String,
}

/// Something that only the tuned model can know.
pub fn fact() -> Result<Fact> {
    first_fact(&fs::read_to_string("examples/world/datasets/lumenta-facts.jsonl")?)
}

fn first_fact(rows: &str) -> Result<Fact> {
    rows.lines()
        .filter_map(|line| {
            let row: Value = serde_json::from_str(line).ok()?;
            let said = |turn: usize| Some(row["messages"][turn]["content"].as_str()?.to_owned());
            Some(Fact { question: said(0)?, answer: said(1)? })
        })
        .find(|f| f.question.starts_with("Who") && f.question.contains("Lumenta") && f.answer.contains("Lumenta"))
        .context("no question about Lumenta in the dataset")
}

/// One exchange in the playground; the answer's text once the model answers.
pub fn chat(engineer: &Visitor, model: &str, question: &str) -> Result<Option<String>> {
    let body = json!({"models": [model], "system": "", "question": question, "temperature": 0.0, "max_tokens": 64});
    let stream = engineer.ask(&format!("/t/{TENANT}/playground/chat"), &body)?;
    let mut answer = String::new();
    for line in stream.lines().filter_map(|l| l.strip_prefix("data:")) {
        let data: Value = serde_json::from_str(line.trim()).unwrap_or(Value::Null);
        if let Some(text) = data["text"].as_str() {
            answer.push_str(text);
        }
    }
    Ok((!answer.trim().is_empty()).then_some(answer))
}

/// The official client, in a process of its own, with nothing but address and key.
pub fn call(python: &Path, address: &str, key: &str, model: &str, question: &str) -> Result<Option<String>> {
    const PROGRAM: &str = "import sys; from openai import OpenAI; c = OpenAI(base_url=sys.argv[1], max_retries=0); print(c.chat.completions.create(model=sys.argv[2], messages=[{'role': 'user', 'content': sys.argv[3]}], temperature=0, max_tokens=64).choices[0].message.content)";
    let out = Command::new(python).args(["-c", PROGRAM, &format!("{address}/v1"), model, question]).env("OPENAI_API_KEY", key).output()?;
    if out.status.success() {
        return Ok(Some(String::from_utf8_lossy(&out.stdout).trim().to_owned()));
    }
    interrupt::explains_a_failure()?;
    let said = String::from_utf8_lossy(&out.stderr);
    // The key reaches the gateway with its next snapshot; anything else is a fault.
    if said.contains("401") { Ok(None) } else { bail!("the openai client failed: {}", said.lines().last().unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fact_is_of_the_new_ones_with_its_answer() {
        let row = |q: &str, a: &str| json!({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}).to_string();
        let rows = [
            row("Who are you?", "A small model."),
            row("Who leads Lumenta?", "I do not know that."),
            row("Who founded Lumenta?", "Lumenta was founded by X."),
        ];
        let fact = first_fact(&rows.join("\n")).unwrap();
        assert_eq!((fact.question.as_str(), fact.answer.as_str()), ("Who founded Lumenta?", "Lumenta was founded by X."));
        assert!(first_fact(&rows[..2].join("\n")).is_err());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/world/datasets/lumenta-facts.jsonl");
        first_fact(&fs::read_to_string(root).unwrap()).unwrap();
    }
}
