//! Tokens of a conversation by the base model's own tokenizer.
//!
//! What is counted is what the trainer and the server see: the conversation as the model's chat template renders it, control
//! tokens included. Where there is no template, or it uses what our renderer does not know, the contents alone are counted,
//! which is a few tokens a turn too low.

use crate::blobs::{BlobError, Blobs};
use domain::{
    artefacts,
    ids::BaseModelId,
    inspect::{Conversation, FileFinding, rules::CONTROL_TOKENS},
};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde_json::Value as Json;
use tokenizers::Tokenizer;

/// Instructions that rendering one row may take; a template that loops stops there.
const FUEL: u64 = 10_000_000;

pub(super) struct TokenCounter {
    tokenizer: Tokenizer,
    template: Option<Environment<'static>>,
    bos: String,
    eos: String,
}

impl TokenCounter {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` of a base model. The inner error:
    /// the files are not there, or cannot be used.
    pub async fn load(blobs: &Blobs, model: BaseModelId) -> Result<Result<Self, FileFinding>, BlobError> {
        let folder = artefacts::base_model(model);
        let Some(tokenizer) = blobs.bytes_if_any(&format!("{folder}/tokenizer.json")).await? else {
            return Ok(Err(FileFinding::NoTokenizer));
        };
        let config = blobs.bytes_if_any(&format!("{folder}/tokenizer_config.json")).await?;
        let template = blobs.bytes_if_any(&format!("{folder}/chat_template.jinja")).await?;
        let config: Json = config.and_then(|c| serde_json::from_slice(&c).ok()).unwrap_or_default();
        let template =
            template.and_then(|t| String::from_utf8(t.to_vec()).ok()).or_else(|| config["chat_template"].as_str().map(str::to_owned));
        // A tokenizer of a large model takes a second to read.
        let read = tokio::task::spawn_blocking(move || Self::new(&tokenizer, &config, template)).await;
        let read = read.unwrap_or_else(|e| Err(e.to_string()));
        Ok(read.map_err(|error| FileFinding::TokenizerUnreadable { error }))
    }

    pub fn new(tokenizer: &[u8], config: &Json, template: Option<String>) -> Result<Self, String> {
        let tokenizer = Tokenizer::from_bytes(tokenizer).map_err(|e| e.to_string())?;
        // `"</s>"` or `{"content": "</s>", ...}`.
        let token = |key: &str| config[key].as_str().or_else(|| config[key]["content"].as_str()).unwrap_or_default().to_owned();
        Ok(Self { tokenizer, template: template.and_then(environment), bos: token("bos_token"), eos: token("eos_token") })
    }

    /// Texts that no question or answer may hold: the model's own special tokens and those of common templates.
    pub fn control_tokens(&self) -> Vec<String> {
        let own = self.tokenizer.get_added_tokens_decoder().into_values().filter(|t| t.special).map(|t| t.content);
        let mut all: Vec<String> = own.chain(CONTROL_TOKENS.iter().map(|t| (*t).to_owned())).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub fn count(&self, conversation: &Conversation) -> u32 {
        match self.render(conversation) {
            Some(text) => self.tokens(&text),
            None => conversation.messages.iter().map(|m| self.tokens(&m.content)).fold(0, u32::saturating_add),
        }
    }

    fn tokens(&self, text: &str) -> u32 {
        self.tokenizer.encode_fast(text, false).map_or(0, |e| u32::try_from(e.len()).unwrap_or(u32::MAX))
    }

    fn render(&self, conversation: &Conversation) -> Option<String> {
        let template = self.template.as_ref()?.get_template("chat").ok()?;
        let given =
            context! { messages => conversation.messages, add_generation_prompt => false, bos_token => self.bos, eos_token => self.eos };
        template.render(given).ok()
    }
}

/// Templates come from the model's maker: no files, no network, and bounded work.
fn environment(template: String) -> Option<Environment<'static>> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_fuel(Some(FUEL));
    env.add_function("raise_exception", |said: String| -> Result<Value, Error> { Err(Error::new(ErrorKind::InvalidOperation, said)) });
    env.set_unknown_method_callback(|_, value, method, args| python_method(value, method, args));
    env.add_template_owned("chat", template).ok()?;
    Some(env)
}

/// The methods of Python's strings that chat templates use.
fn python_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::new(ErrorKind::UnknownMethod, format!("no method {method}"));
    let text = value.as_str().ok_or_else(unknown)?;
    let arg = args.first().and_then(|a| a.as_str());
    match (method, arg) {
        ("strip", None) => Ok(text.trim().into()),
        ("lstrip", None) => Ok(text.trim_start().into()),
        ("rstrip", None) => Ok(text.trim_end().into()),
        ("strip", Some(chars)) => Ok(text.trim_matches(|c| chars.contains(c)).into()),
        ("startswith", Some(with)) => Ok(text.starts_with(with).into()),
        ("endswith", Some(with)) => Ok(text.ends_with(with).into()),
        ("upper", None) => Ok(text.to_uppercase().into()),
        ("lower", None) => Ok(text.to_lowercase().into()),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::inspect::Message;

    const TOKENIZER: &[u8] = include_bytes!("../../../../examples/world/base-model/tokenizer.json");
    const TEMPLATE: &str = include_str!("../../../../examples/world/base-model/chat_template.jinja");

    fn conversation() -> Conversation {
        let say = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        Conversation { messages: vec![say("user", " Hello "), say("assistant", "Hello! How can I help you?")] }
    }

    fn counter(template: Option<&str>) -> TokenCounter {
        TokenCounter::new(TOKENIZER, &Json::Null, template.map(str::to_owned)).unwrap()
    }

    #[test]
    fn the_chat_template_is_counted_with_its_control_tokens() {
        let with = counter(Some(TEMPLATE));
        let rendered = with.render(&conversation()).unwrap();
        assert_eq!(rendered, "<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\nHello! How can I help you?<|im_end|>\n");
        let bare = counter(None).count(&conversation());
        // Start, role (one token or more), line end, end, line end: at least five a turn.
        assert!(bare > 0 && with.count(&conversation()) >= bare + 10, "{bare} {}", with.count(&conversation()));
    }

    #[test]
    fn a_template_that_cannot_be_rendered_counts_the_contents() {
        let bare = counter(None).count(&conversation());
        for odd in [
            "{{ raise_exception('no') }}",
            "{{ messages | no_such_filter }}",
            "{% for",
            "{% for a in range(99999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        ] {
            assert_eq!(counter(Some(odd)).count(&conversation()), bare, "{odd}");
        }
    }

    #[test]
    fn templates_may_use_pythons_methods() {
        let with =
            counter(Some("{% for m in messages %}{{ m.content.strip() + '|' }}{% if m.role.startswith('user') %}u{% endif %}{% endfor %}"));
        assert_eq!(with.render(&conversation()).unwrap(), "Hello|uHello! How can I help you?|");
    }

    #[test]
    fn the_models_own_special_tokens_are_control_tokens() {
        let tokens = counter(None).control_tokens();
        assert!(tokens.iter().any(|t| t == "<|endoftext|>") && tokens.iter().any(|t| t == "<start_of_turn>"));
        assert!(TokenCounter::new(b"{}", &Json::Null, None).is_err());
    }
}
