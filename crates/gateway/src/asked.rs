//! A request for a completion, as far as the gateway understands it: whom it asks, how much it can cost, what it carries.

use crate::{
    content::{self, Content},
    errors::Refusal,
    wire::{Fields, MAX_DEPTH, Object, Text, UsageShown, depth_within},
};
use domain::model_server::Capabilities;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the model server's tokens for `/v1/completions` default to; also for a null.
const TEXT_DEFAULT: u64 = 16;
/// Tokens that a chat template may add by itself: turn markers beyond the JSON's own length, a default system message, the
/// introduction of tools. The longest that are known have about 600.
const TEMPLATE: u64 = 1_024;

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

/// What a call can cost, by the fields that the model server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub prompts: u64,
    /// Answers to each prompt that are generated, and that are shown.
    pub choices: u64,
    pub n: u64,
    /// Of each answer; none when the client names no bound, so that only the model's context ends it.
    pub max_tokens: Option<u64>,
    /// No fewer than any tokenizer makes of all prompts together; of pictures it says nothing.
    pub prompt_bound: u64,
    pub has_media: bool,
    /// What usage says when nobody counted: four bytes of JSON a token.
    pub prompt_guess: u32,
}

impl Demand {
    pub(crate) fn answers(&self) -> u64 {
        self.prompts.saturating_mul(self.choices)
    }

    /// Answers that come back.
    pub(crate) fn shown(&self) -> u64 {
        self.prompts.saturating_mul(self.n)
    }

    /// The most that the prompts can have where one prompt and its answer have at most `context` tokens (0 = not known).
    pub(crate) fn prompt_at_most(&self, context: u32) -> u64 {
        match (u64::from(context), self.has_media) {
            (0, true) => u64::MAX,
            (0, false) => self.prompt_bound,
            (context, true) => context.saturating_mul(self.prompts),
            (context, false) => context.saturating_mul(self.prompts).min(self.prompt_bound),
        }
    }

    /// The most that prompts of `prompt` tokens and answers of `each` can have together.
    pub(crate) fn at_most(&self, prompt: u64, each: u64, context: u32) -> u64 {
        let sum = prompt.saturating_add(each.saturating_mul(self.answers()));
        if context == 0 { sum } else { sum.min(u64::from(context).saturating_mul(self.answers())) }
    }
}

pub(crate) struct Asked<'a> {
    fields: Fields<'a>,
    kind: Kind,
    pub model: Cow<'a, str>,
    pub stream: bool,
    pub shown: UsageShown,
    pub demand: Demand,
    /// Where pictures, sound and film are to be fetched, and what else a message carries beside text.
    pub content: Content,
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
        let stream = optional::<bool>(&fields, "stream", "true or false")?.unwrap_or(false);
        let shown = shown(&fields)?;
        let (prompts, prompt_bound, content) = match kind {
            // Every field may end up in the prompt (tools, documents, a schema), so all of them count.
            Kind::Chat => {
                let schemas = fields.get("tools").map_or(0, str::len) as u64;
                (1, text_bound(body) + 2 * schemas + TEMPLATE, content::read(prompt)?)
            }
            Kind::Text => {
                let (prompts, bound) = prompts(prompt)?;
                (prompts, bound, Content::default())
            }
        };
        let (choices, n) = choices(&fields)?;
        let demand = Demand {
            prompts,
            choices,
            n,
            max_tokens: max_tokens(&fields, kind)?,
            prompt_bound,
            has_media: content.has_media(),
            prompt_guess: u32::try_from((prompt.len() + fields.get("tools").map_or(0, str::len)).div_ceil(4)).unwrap_or(u32::MAX),
        };
        Ok(Self { kind, model, stream, shown, demand, content, fields })
    }

    /// Names of the fields that say something.
    pub(crate) fn field_names(&self) -> impl Iterator<Item = &str> {
        self.fields.0.iter().filter(|(_, value)| value.get() != "null").map(|(key, _)| key.0.as_ref())
    }

    /// The body for the model server: its own name for the model, usage asked for with every chunk of a stream, and `told`, the
    /// most tokens of each answer, where the client left that open.
    pub(crate) fn for_upstream(&self, upstream_model: &str, told: Option<u64>, can: Capabilities, body_len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(body_len + upstream_model.len() + 128);
        let mut object = Object::open(&mut out);
        object.text("model", upstream_model);
        for (key, value) in &self.fields.0 {
            match key.0.as_ref() {
                "model" => {}
                "stream_options" if self.stream => {}
                "max_tokens" | "max_completion_tokens" if told.is_some() => {}
                key => object.field(key, value.get()),
            }
        }
        if let Some(most) = told {
            object.field("max_completion_tokens", &most.to_string());
        }
        if self.stream {
            object.field("stream_options", "");
            let given = self.fields.get("stream_options").and_then(|raw| serde_json::from_str::<Fields>(raw).ok());
            let mut options = Object::open(object.0);
            options.field("include_usage", "true");
            // With every chunk, so that a stream that breaks off is counted by what was generated.
            if can.counts_while_streaming {
                options.field("continuous_usage_stats", "true");
            }
            let ours = ["include_usage", "continuous_usage_stats"];
            for (key, value) in given.iter().flat_map(|g| &g.0).filter(|(k, _)| !ours.contains(&k.0.as_ref())) {
                options.field(&key.0, value.get());
            }
            options.close();
        }
        object.close();
        out
    }

    /// A question to the model server's tokenizer: how many tokens this prompt has; none where it could not say.
    pub(crate) fn for_tokenizer(&self, upstream_model: &str) -> Option<Vec<u8>> {
        // What it cannot be asked about would be missing in its count.
        const NOT_COUNTED: [&str; 4] = ["documents", "reasoning_effort", "truncate_prompt_tokens", "response_format"];
        if self.demand.has_media || NOT_COUNTED.iter().any(|f| self.fields.given(f).is_some()) {
            return None;
        }
        let rendered: &[&str] = match self.kind {
            Kind::Chat => &[
                "messages",
                "tools",
                "add_generation_prompt",
                "continue_final_message",
                "add_special_tokens",
                "chat_template",
                "chat_template_kwargs",
            ],
            Kind::Text if self.fields.get("prompt")?.starts_with('"') => &["prompt", "add_special_tokens"],
            Kind::Text => return None,
        };
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("model", upstream_model);
        for (key, value) in self.fields.0.iter().filter(|(key, _)| rendered.contains(&key.0.as_ref())) {
            object.field(&key.0, value.get());
        }
        object.close();
        Some(out)
    }
}

fn shown(fields: &Fields) -> Result<UsageShown, Refusal> {
    #[derive(Deserialize)]
    struct Options {
        include_usage: Option<bool>,
        continuous_usage_stats: Option<bool>,
    }
    let Some(raw) = fields.given("stream_options") else { return Ok(UsageShown::Never) };
    let options: Options = serde_json::from_str(raw).map_err(|_| {
        Refusal::bad_request(Some("stream_options"), "The field “stream_options” must be an object such as {\"include_usage\": true}.")
    })?;
    Ok(match (options.include_usage, options.continuous_usage_stats) {
        (Some(true), Some(true)) => UsageShown::Always,
        (Some(true), _) => UsageShown::AtTheEnd,
        _ => UsageShown::Never,
    })
}

/// How many answers are generated for a prompt (the greater of `n` and `best_of`), and how many of them are shown (`n`).
fn choices(fields: &Fields) -> Result<(u64, u64), Refusal> {
    let rule = "a whole number of at least 1";
    let of = |key: &str| match optional::<u64>(fields, key, rule)? {
        Some(0) => Err(Refusal::bad_request(Some(key), format!("The field “{key}” must be {rule}."))),
        given => Ok(given.unwrap_or(1)),
    };
    let n = of("n")?;
    Ok((of("best_of")?.max(n), n))
}

/// By the rule of the model server: `max_completion_tokens` is read for chat only, and goes before `max_tokens` there.
fn max_tokens(fields: &Fields, kind: Kind) -> Result<Option<u64>, Refusal> {
    let number = "a whole number of tokens";
    let plain = optional::<u64>(fields, "max_tokens", number)?;
    Ok(match kind {
        Kind::Chat => optional::<u64>(fields, "max_completion_tokens", number)?.or(plain),
        // A prompt that is only echoed costs a token too.
        Kind::Text => Some(plain.unwrap_or(TEXT_DEFAULT).max(1)),
    })
}

/// How many prompts a `prompt` holds, and a bound of their tokens: one text, a list of texts, one list of token ids, or a list of such.
fn prompts(raw: &str) -> Result<(u64, u64), Refusal> {
    let wrong = || Refusal::bad_request(Some("prompt"), "The field “prompt” must be a text, a list of texts, or lists of token ids.");
    // Whatever stands before and after a text when it is made into tokens.
    const ENDS: u64 = 8;
    if raw.starts_with('"') {
        return Ok((1, text_bound(raw.as_bytes()) + ENDS));
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| wrong())?;
    let mut bound = 0;
    match items.first().map(|first| first.get().as_bytes()[0]) {
        None => return Err(Refusal::bad_request(Some("prompt"), "The field “prompt” is an empty list. Send at least one prompt.")),
        Some(b'0'..=b'9') => return Ok((1, items.len() as u64)),
        Some(b'"') => {
            for item in &items {
                bound += text_bound(item.get().as_bytes()) + ENDS;
            }
        }
        Some(b'[') => {
            for item in &items {
                bound += serde_json::from_str::<Vec<IgnoredAny>>(item.get()).map_err(|_| wrong())?.len() as u64;
            }
        }
        Some(_) => return Err(wrong()),
    }
    Ok((items.len() as u64, bound))
}

/// Tokens that a text of JSON can become at most. A token covers at least a byte; normalising (NFC) makes at most three bytes of
/// each that is not ASCII, and what JSON escapes is shorter than its escape.
fn text_bound(json: &[u8]) -> u64 {
    let foreign = json.iter().filter(|b| !b.is_ascii()).count();
    (json.len() + 2 * foreign) as u64
}

fn optional<'a, T: Deserialize<'a>>(fields: &Fields<'a>, key: &str, what: &str) -> Result<Option<T>, Refusal> {
    match fields.get(key).map(serde_json::from_str::<Option<T>>) {
        None => Ok(None),
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(Refusal::bad_request(Some(key), format!("The field “{key}” must be {what}."))),
    }
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
