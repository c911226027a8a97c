//! What was asked: from JSON, or from a form with scripts off.

use domain::{
    ids::ChatId,
    problem::{FieldProblem, Problem},
};
use serde::Deserialize;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Asked {
    /// The conversation that goes on; none = a new one.
    #[serde(default)]
    pub chat: Option<ChatId>,
    /// One or two ids.
    pub models: Vec<String>,
    #[serde(default)]
    pub system: String,
    pub question: String,
    /// 0 to 2.
    #[serde(default)]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub max_tokens: Option<u32>,
}

impl Asked {
    pub fn from_json(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice::<Self>(body)
            .map_err(|e| Problem::field("question", format!("The question could not be read: {e}.")))?
            .checked()
    }

    /// `models` may come several times; an empty one is a select that was left alone.
    pub fn from_form(body: &[u8]) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (key, value) in openidconnect::url::form_urlencoded::parse(body) {
            let value = value.trim();
            match (&*key, value) {
                (_, "") => {}
                ("chat", id) => asked.chat = Some(id.parse().map_err(|_| Problem::not_found("The conversation"))?),
                ("models" | "models[]", id) => asked.models.push(id.to_owned()),
                ("system", text) => asked.system = text.to_owned(),
                ("question", text) => asked.question = text.to_owned(),
                ("temperature", number) => {
                    asked.temperature =
                        Some(number.parse().map_err(|_| Problem::field("temperature", format!("“{number}” is not a number.")))?)
                }
                ("max_tokens", number) => {
                    asked.max_tokens =
                        Some(number.parse().map_err(|_| Problem::field("max_tokens", format!("“{number}” is not a whole number.")))?)
                }
                _ => {}
            }
        }
        asked.checked()
    }

    fn checked(mut self) -> Result<Self, Problem> {
        self.models.retain(|m| !m.is_empty());
        let mut seen = std::collections::HashSet::new();
        self.models.retain(|m| seen.insert(m.clone()));
        let mut wrong = Vec::new();
        if !(1..=2).contains(&self.models.len()) {
            wrong.push(FieldProblem::new("models", "Choose one model, or two to compare."));
        }
        if self.question.trim().is_empty() {
            wrong.push(FieldProblem::new("question", "Write a question first."));
        }
        for (field, text) in [("question", &self.question), ("system", &self.system)] {
            if text.chars().count() > 32_000 {
                wrong.push(FieldProblem::new(field, "At most 32,000 characters."));
            }
        }
        if self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            wrong.push(FieldProblem::new("temperature", "The temperature is between 0 and 2.").suggesting("0.7"));
        }
        if self.max_tokens == Some(0) {
            wrong.push(FieldProblem::new("max_tokens", "At least 1 token.").suggesting("256"));
        }
        if wrong.is_empty() { Ok(self) } else { Err(Problem::invalid(wrong)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_and_json_say_the_same() {
        let form = Asked::from_form(b"models=a&models=b&models=&question=Where+is+it%3F&temperature=0.5&max_tokens=&chat=").unwrap();
        let json = Asked::from_json(br#"{"models":["a","b"],"question":"Where is it?","temperature":0.5}"#).unwrap();
        assert_eq!(form, json);
    }

    #[test]
    fn the_same_model_twice_is_asked_once() {
        assert_eq!(Asked::from_json(br#"{"models":["a","a"],"question":"x"}"#).unwrap().models, ["a"]);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let problem = Asked::from_json(br#"{"models":["a","b","c"],"question":" ","temperature":9}"#).unwrap_err();
        let fields: Vec<_> = problem.fields.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["models", "question", "temperature"]);
        assert!(Asked::from_form(b"models=a&question=x&chat=other").is_err());
    }
}
