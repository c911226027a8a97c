//! OpenAI's JSON as it passes through: looked at where the gateway must know, copied byte for byte everywhere else.
//!
//! A body is split once into its top-level fields, whose values stay raw text; a rewritten body is those fields put together
//! again. So a prompt of megabytes is scanned, never built into values, and written once.

use crate::errors::Refusal;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Deepest nesting that is let through; tools with schemas reach about 15.
const MAX_DEPTH: u32 = 64;
const MAX_FIELDS: usize = 128;

/// The top-level fields of a JSON object, in their order.
pub(crate) struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

/// A JSON string that borrows when nothing in it is escaped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(Text, &RawValue)> = Vec::with_capacity(16);
                while let Some((key, value)) = map.next_entry()? {
                    // Which of two counts differs from parser to parser: what was checked here must be what is run there.
                    if fields.iter().any(|(k, _)| *k == key) {
                        return Err(A::Error::custom(format_args!("the field “{}” comes twice", key.0)));
                    }
                    if fields.len() == MAX_FIELDS {
                        return Err(A::Error::custom(format_args!("there are more than {MAX_FIELDS} fields")));
                    }
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        d.deserialize_map(V)
    }
}

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| k.0 == key).map(|(_, v)| v.get())
    }
}

/// Writes one JSON object, field by field.
struct Object<'o>(&'o mut Vec<u8>, bool);

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self(out, false)
    }
    fn field(&mut self, key: &str, raw: &str) {
        if std::mem::replace(&mut self.1, true) {
            self.0.push(b',');
        }
        string(self.0, key);
        self.0.push(b':');
        self.0.extend_from_slice(raw.as_bytes());
    }
    fn text(&mut self, key: &str, value: &str) {
        self.field(key, "");
        string(self.0, value);
    }
    fn close(self) {
        self.0.push(b'}');
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// The two calls that cost tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Text,
}

impl Kind {
    pub(crate) const fn route(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Text => "completions",
        }
    }
}

/// A request for a completion, as far as the gateway understands it.
pub(crate) struct Asked<'a> {
    fields: Fields<'a>,
    pub model: Cow<'a, str>,
    pub stream: bool,
    /// The client itself wants the usage chunk.
    pub include_usage: bool,
    /// All choices together; none when the client names no bound.
    pub max_tokens: Option<u64>,
    /// Choices that it asks for.
    pub choices: u64,
    /// Our guess from the prompt's length: four bytes of JSON a token.
    pub prompt_tokens: u32,
}

impl<'a> Asked<'a> {
    pub(crate) fn parse(body: &'a [u8], kind: Kind) -> Result<Self, Refusal> {
        if !depth_within(body, MAX_DEPTH) {
            return Err(Refusal::bad_request(None, format!("The body is nested deeper than {MAX_DEPTH} levels. Flatten it.")));
        }
        let fields: Fields = serde_json::from_slice(body).map_err(|e| {
            let found = if body.is_empty() { "it is empty".to_owned() } else { e.to_string() };
            Refusal::bad_request(None, format!("The body is not a JSON object that can be understood: {found}."))
        })?;
        let model = match fields.get("model").map(serde_json::from_str::<Text>) {
            Some(Ok(model)) => model.0,
            None => return Err(Refusal::bad_request(Some("model"), "Name a model in the field “model”; GET /v1/models lists them.")),
            Some(Err(_)) => return Err(Refusal::bad_request(Some("model"), "The field “model” must be a text with a model's id.")),
        };
        let needed = match kind {
            Kind::Chat => "messages",
            Kind::Text => "prompt",
        };
        let Some(prompt) = fields.get(needed) else {
            return Err(Refusal::bad_request(Some(needed), format!("The field “{needed}” is missing.")));
        };
        let tools = fields.get("tools").map_or(0, str::len);
        let stream = optional::<bool>(&fields, "stream", "true or false")?.unwrap_or(false);
        let include_usage = match fields.get("stream_options") {
            Some(raw) if raw != "null" => {
                #[derive(Deserialize)]
                struct Options {
                    include_usage: Option<bool>,
                }
                let options: Options = serde_json::from_str(raw).map_err(|_| {
                    Refusal::bad_request(
                        Some("stream_options"),
                        "The field “stream_options” must be an object such as {\"include_usage\": true}.",
                    )
                })?;
                options.include_usage.unwrap_or(false)
            }
            _ => false,
        };
        let choices = optional::<u64>(&fields, "n", "a whole number of at least 1")?.unwrap_or(1);
        if !(1..=128).contains(&choices) {
            return Err(Refusal::bad_request(Some("n"), "The field “n” can be 1 to 128."));
        }
        let number = "a whole number of tokens";
        let max_tokens = match optional::<u64>(&fields, "max_completion_tokens", number)? {
            Some(most) => Some(most),
            None => optional::<u64>(&fields, "max_tokens", number)?,
        };
        let prompt_tokens = u32::try_from((prompt.len() + tools).div_ceil(4)).unwrap_or(u32::MAX);
        let max_tokens = max_tokens.map(|m| m.saturating_mul(choices));
        Ok(Self { model, stream, include_usage, max_tokens, choices, prompt_tokens, fields })
    }

    /// The body for the model server: its own name for the model, and usage asked for with every stream.
    pub(crate) fn for_upstream(&self, upstream_model: &str, body_len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(body_len + upstream_model.len() + 64);
        let mut object = Object::open(&mut out);
        object.text("model", upstream_model);
        for (key, value) in &self.fields.0 {
            match key.0.as_ref() {
                "model" => {}
                "stream_options" if self.stream => {}
                key => object.field(key, value.get()),
            }
        }
        if self.stream {
            object.field("stream_options", "");
            let given = self.fields.get("stream_options").and_then(|raw| serde_json::from_str::<Fields>(raw).ok());
            let mut options = Object::open(object.0);
            options.field("include_usage", "true");
            for (key, value) in given.iter().flat_map(|g| &g.0).filter(|(k, _)| k.0 != "include_usage") {
                options.field(&key.0, value.get());
            }
            options.close();
        }
        object.close();
        out
    }
}

fn optional<'a, T: Deserialize<'a>>(fields: &Fields<'a>, key: &str, what: &str) -> Result<Option<T>, Refusal> {
    match fields.get(key).map(serde_json::from_str::<Option<T>>) {
        None => Ok(None),
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(Refusal::bad_request(Some(key), format!("The field “{key}” must be {what}."))),
    }
}

/// Whether brackets nest at most so deep; strings are skipped. Says nothing about validity.
fn depth_within(json: &[u8], most: u32) -> bool {
    let (mut depth, mut at) = (0u32, 0);
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(found) = json[at..].iter().position(|b| *b == b'"' || *b == b'\\') {
                    at += found + 1;
                    if json[at - 1] == b'"' {
                        break;
                    }
                    at = (at + 1).min(json.len());
                }
            }
            _ => {}
        }
    }
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    pub prompt_tokens: u32,
    #[serde(default)]
    pub completion_tokens: u32,
}

/// What the gateway learned from an answer or a chunk of a stream while rewriting it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub usage: Option<Usage>,
    pub finish_reason: Option<String>,
    /// Choices in it that carry text or a call of a tool: about one token each in a stream.
    pub pieces: u32,
    /// A chunk with usage and no choices, as it comes at the end of a stream.
    pub only_usage: bool,
}

/// An answer that cannot be passed on as it is.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The model server says that it failed.
    Error(UpstreamError),
    Garbled,
}

/// Rewrites an answer, or one chunk of a stream, for the client: its own name for the model; `usage` left out of chunks when
/// `hide_usage`; vLLM's null fields left out. Appends to `out`; what stands there after an error is of no use.
pub(crate) fn rewrite_answer(json: &[u8], client_model: &str, hide_usage: bool, out: &mut Vec<u8>) -> Result<Seen, NoAnswer> {
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        finish_reason: Option<Text<'a>>,
        #[serde(borrow)]
        delta: Option<Delta<'a>>,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning_content: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning: Option<&'a RawValue>,
        #[serde(borrow)]
        tool_calls: Option<&'a RawValue>,
    }
    let says = |raw: Option<&RawValue>| raw.is_some_and(|r| !matches!(r.get(), "null" | "\"\"" | "[]"));

    let fields: Fields = serde_json::from_slice(json).map_err(|_| NoAnswer::Garbled)?;
    if fields.get("error").is_some_and(|e| e != "null") {
        return Err(NoAnswer::Error(UpstreamError::read(json)));
    }
    let mut seen = Seen::default();
    let mut object = Object::open(out);
    for (key, value) in &fields.0 {
        let raw = value.get();
        match key.0.as_ref() {
            "model" => object.text("model", client_model),
            "usage" => {
                seen.usage = serde_json::from_str(raw).map_err(|_| NoAnswer::Garbled)?;
                if !hide_usage {
                    object.field("usage", raw);
                }
            }
            "choices" => {
                let choices: Vec<Choice> = serde_json::from_str(raw).map_err(|_| NoAnswer::Garbled)?;
                seen.only_usage = choices.is_empty();
                for choice in choices {
                    let delta = choice.delta.as_ref();
                    let speaks = says(choice.text)
                        || delta.is_some_and(|d| says(d.content) || says(d.reasoning_content) || says(d.reasoning) || says(d.tool_calls));
                    seen.pieces += u32::from(speaks);
                    if let Some(reason) = choice.finish_reason {
                        seen.finish_reason = Some(reason.0.into_owned());
                    }
                }
                object.field("choices", raw);
            }
            _ if raw == "null" => {}
            key => object.field(key, raw),
        }
    }
    object.close();
    seen.only_usage &= seen.usage.is_some();
    Ok(seen)
}

/// What a model server says when it refuses: vLLM's older shape (fields at the top) or OpenAI's (within `error`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UpstreamError {
    pub message: Option<String>,
    pub param: Option<String>,
    /// Its `code` where that is an HTTP status, as vLLM's is.
    pub status: Option<u16>,
}

impl UpstreamError {
    pub(crate) fn read(json: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(json) else { return Self::default() };
        let inner = value.get("error").filter(|e| !e.is_null()).unwrap_or(&value);
        let text = |key: &str| inner.get(key).and_then(|v| v.as_str()).map(|t| t.chars().take(2_000).collect::<String>());
        // FastAPI's own refusals carry `detail`; some servers answer `{"error":"text"}`.
        let message = text("message").or_else(|| text("detail")).or_else(|| inner.as_str().map(str::to_owned));
        let status = inner.get("code").and_then(|c| c.as_u64().or_else(|| c.as_str()?.parse().ok())).and_then(|c| u16::try_from(c).ok());
        Self { message, param: text("param"), status }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
