//! OpenAI's JSON as it passes through: looked at where the gateway must know, copied byte for byte everywhere else.
//!
//! A body is split once into its top-level fields, whose values stay raw text; a rewritten body is those fields put together
//! again. So a prompt of megabytes is scanned, never built into values, and written once.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// In which chunks of a stream the client wants to see usage. The gateway itself asks for it with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageShown {
    Never,
    AtTheEnd,
    Always,
}

/// Deepest nesting that is let through; tools with schemas reach about 15.
pub(crate) const MAX_DEPTH: u32 = 64;
const MAX_FIELDS: usize = 128;

/// The top-level fields of a JSON object, in their order.
pub(crate) struct Fields<'a>(pub Vec<(Text<'a>, &'a RawValue)>);

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
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| k.0 == key).map(|(_, v)| v.get())
    }
    /// As [`Self::get`]; a field that is null counts as not there, as the model server counts it.
    pub(crate) fn given(&self, key: &str) -> Option<&'a str> {
        self.get(key).filter(|raw| *raw != "null")
    }
}

/// Writes one JSON object, field by field.
pub(crate) struct Object<'o>(pub &'o mut Vec<u8>, bool);

impl<'o> Object<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self(out, false)
    }
    pub(crate) fn field(&mut self, key: &str, raw: &str) {
        if std::mem::replace(&mut self.1, true) {
            self.0.push(b',');
        }
        string(self.0, key);
        self.0.push(b':');
        self.0.extend_from_slice(raw.as_bytes());
    }
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.field(key, "");
        string(self.0, value);
    }
    pub(crate) fn close(self) {
        self.0.push(b'}');
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Whether brackets nest at most so deep; strings are skipped. Says nothing about validity.
pub(crate) fn depth_within(json: &[u8], most: u32) -> bool {
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
    /// Of the whole call; of one answer until now, when the chunk belongs to an answer.
    pub usage: Option<Usage>,
    /// Which answer a chunk of a stream belongs to.
    pub index: u32,
    pub finish_reason: Option<String>,
    /// Answers in it that end here.
    pub finished: u32,
    /// Answers in it that carry text or a call of a tool: about one token each in a stream.
    pub pieces: u32,
    /// No answer in it: the usage at the end of a stream.
    pub only_usage: bool,
}

/// An answer that cannot be passed on as it is.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The model server says that it failed.
    Error(UpstreamError),
    Garbled,
}

/// Rewrites an answer, or one chunk of a stream, for the client: its own name for the model; `usage` left out of chunks in which
/// it did not ask for it; vLLM's null fields left out. Appends to `out`; what stands there after an error is of no use.
pub(crate) fn rewrite_answer(json: &[u8], client_model: &str, shown: UsageShown, out: &mut Vec<u8>) -> Result<Seen, NoAnswer> {
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(default)]
        index: u32,
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
    if fields.given("error").is_some() {
        return Err(NoAnswer::Error(UpstreamError::read(json)));
    }
    let mut seen = Seen { only_usage: fields.get("choices") == Some("[]"), ..Seen::default() };
    let show_usage = match shown {
        UsageShown::Always => true,
        UsageShown::AtTheEnd => seen.only_usage,
        UsageShown::Never => false,
    };
    let mut object = Object::open(out);
    for (key, value) in &fields.0 {
        let raw = value.get();
        match key.0.as_ref() {
            "model" => object.text("model", client_model),
            "usage" => {
                seen.usage = serde_json::from_str(raw).map_err(|_| NoAnswer::Garbled)?;
                if show_usage && raw != "null" {
                    object.field("usage", raw);
                }
            }
            "choices" => {
                let choices: Vec<Choice> = serde_json::from_str(raw).map_err(|_| NoAnswer::Garbled)?;
                for choice in choices {
                    let delta = choice.delta.as_ref();
                    let speaks = says(choice.text)
                        || delta.is_some_and(|d| says(d.content) || says(d.reasoning_content) || says(d.reasoning) || says(d.tool_calls));
                    seen.index = choice.index;
                    seen.pieces += u32::from(speaks);
                    if let Some(reason) = choice.finish_reason {
                        seen.finish_reason = Some(reason.0.into_owned());
                        seen.finished += 1;
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
