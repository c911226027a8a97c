//! What a model server says when it refuses, in our words. Its own text names its files, flags and classes, and may repeat the
//! prompt, so nothing of it is passed on but one narrow kind of sentence.

use crate::{
    asked::Kind,
    errors::Refusal,
    wire::{Fields, UpstreamError},
};
use domain::{
    directory::Route,
    model_server::{Ability, Capabilities},
    name::Name,
    reason::endpoint::OutsideTrouble,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What is known of the call that was refused.
#[derive(Clone)]
pub(crate) struct Sent {
    pub kind: Kind,
    /// As the client named it.
    pub model: String,
    pub endpoint: Name,
    pub context: u32,
    pub can: Capabilities,
    /// Fields of the request that may be at fault.
    pub fields: Vec<String>,
}

/// Fields by which an answer is held to a grammar.
const GRAMMARS: [&str; 8] = [
    "structured_outputs",
    "response_format",
    "guided_json",
    "guided_regex",
    "guided_grammar",
    "guided_choice",
    "guided_decoding_backend",
    "tools",
];

impl Sent {
    pub(crate) fn new(kind: Kind, model: String, route: &Route) -> Self {
        Self {
            kind,
            model,
            endpoint: route.endpoint_name.clone(),
            context: route.context,
            can: route.model_server.capabilities(),
            fields: Vec::new(),
        }
    }

    /// With the names of the fields in the body that was sent: read only when one of them may be at fault.
    pub(crate) fn with_fields(&self, body: &[u8]) -> Self {
        let fields = serde_json::from_slice::<Fields>(body).map(|f| f.0.iter().map(|(k, _)| k.0.to_string()).collect());
        Self { fields: fields.unwrap_or_default(), ..self.clone() }
    }

    fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|f| f == field)
    }

    /// The refusal that the client gets.
    pub(crate) fn refused(&self, status: StatusCode, headers: &HeaderMap, error: &UpstreamError) -> Refusal {
        let status = error.status.and_then(|s| StatusCode::from_u16(s).ok()).filter(|s| s.as_u16() >= 400).unwrap_or(status);
        // The text stays with those who run the portal. It can hold a prompt: only for those who turned this on.
        tracing::debug!(status = status.as_u16(), model = %self.model, text = error.message.as_deref().unwrap_or_default(), "the model server refused a call");
        let text = error.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        let mut refusal = match status.as_u16() {
            400 | 422 | 500 if self.is_about_grammar(&text) => self.bad_grammar(),
            400 | 413 | 422 if is_about_context(&text) => self.too_long(),
            400 | 422 if is_about_tools(&text) => self.no_tools(),
            400 | 422 => self.bad_value(error, &text),
            404 => self.not_loaded(),
            413 => Refusal::bad_request(None, "The request is larger than the model server takes. Send fewer or shorter messages."),
            429 => busy(StatusCode::TOO_MANY_REQUESTS),
            503 => busy(StatusCode::SERVICE_UNAVAILABLE),
            401 | 403 | 405 | 407 | 415 => {
                tracing::error!(status = status.as_u16(), endpoint = %self.endpoint, "the model server does not let the gateway in");
                if !self.can.runs_here && matches!(status.as_u16(), 401 | 403) {
                    return Refusal::outside(&self.endpoint, &OutsideTrouble::KeyRefused);
                }
                let message = format!(
                    "The model server of the endpoint “{}” does not take calls of this portal. Tell whoever runs the portal; your key is not at fault.",
                    self.endpoint
                );
                Refusal::server(StatusCode::BAD_GATEWAY, "upstream_refused", message)
            }
            code if (500..600).contains(&code) => self.failed(),
            _ => self.bad_value(error, &text),
        };
        if let Some(after) = headers.get(header::RETRY_AFTER).filter(|v| is_retry_after(v)) {
            refusal.retry_after = Some(Box::new(after.clone()));
        }
        refusal
    }

    fn is_about_grammar(&self, text: &str) -> bool {
        const SIGNS: [&str; 8] =
            ["grammar", "regex", "json schema", "json_schema", "structured output", "structural tag", "guided", "look-around assertion"];
        GRAMMARS.iter().any(|f| self.has(f)) && SIGNS.iter().any(|sign| text.contains(sign))
    }

    fn bad_grammar(&self) -> Refusal {
        let param = GRAMMARS.into_iter().find(|f| self.has(f));
        let message = "The answer cannot be held to this grammar or schema: the model server does not understand it, or does not support a part of it. Simplify it and try again.";
        let mut refusal = Refusal::bad_request(param, message);
        refusal.code = "invalid_grammar";
        refusal
    }

    fn too_long(&self) -> Refusal {
        let (param, next) = match self.kind {
            Kind::Chat => ("messages", "Shorten the messages, or lower max_completion_tokens."),
            Kind::Text => ("prompt", "Shorten the prompt, or lower max_tokens."),
        };
        let message = match self.context {
            0 => format!("Prompt and answer together are longer than the context of “{}”. {next}", self.model),
            context => format!("Prompt and answer together are longer than the context of “{}”, {context} tokens. {next}", self.model),
        };
        let mut refusal = Refusal::bad_request(Some(param), message);
        refusal.code = "context_length_exceeded";
        refusal
    }

    fn no_tools(&self) -> Refusal {
        if self.can.tool_calls != Ability::ChosenAtStart {
            let message = format!("“{}” cannot call tools. Send the call without “tools”, or ask whoever runs its server.", self.model);
            let mut refusal = Refusal::bad_request(Some("tools"), message);
            refusal.code = "tools_not_supported";
            return refusal;
        }
        let message = format!(
            "“{}” cannot call tools: its chat template describes none that the model server can read. Send the call without “tools”, or choose a tool-call parser on the page of the endpoint “{}” under “Settings”.",
            self.model, self.endpoint
        );
        let mut refusal = Refusal::bad_request(Some("tools"), message);
        refusal.code = "tools_not_supported";
        refusal
    }

    /// The field that is at fault, where it can be told.
    fn bad_value(&self, error: &UpstreamError, text: &str) -> Refusal {
        let named = error.param.as_deref().filter(|p| self.has(p));
        let quoted = || {
            let mentions =
                |f: &&String| text.contains(&format!("'{f}'")) || text.contains(&format!("\"{f}\"")) || text.contains(&format!("`{f}`"));
            self.fields.iter().filter(|f| !matches!(f.as_str(), "model" | "stream_options")).find(mentions).map(String::as_str)
        };
        let first_word = || text.split([' ', '=']).next().filter(|w| self.has(w));
        let Some(field) = named.or_else(first_word).or_else(quoted) else {
            let message = "The model server does not accept this call, without naming a field. Compare its fields and values with OpenAI's reference.";
            return Refusal::bad_request(None, message);
        };
        let rule = error.message.as_deref().and_then(|m| rule_of(m, field));
        let message = match rule {
            Some(rule) => format!("The model server does not accept the field “{field}”: {rule}."),
            None => format!("The model server does not accept the value of the field “{field}”. Correct it or leave it out."),
        };
        Refusal::bad_request(Some(field), message)
    }

    /// The route is right, and the server does not know the model yet, or any more.
    fn not_loaded(&self) -> Refusal {
        if !self.can.runs_here {
            let message = format!(
                "The server behind the endpoint “{}” does not have “{}” now. Choose another model, or ask whoever runs the server.",
                self.endpoint, self.model
            );
            return Refusal::server(StatusCode::SERVICE_UNAVAILABLE, "endpoint_not_ready", message).after(30);
        }
        let message = format!("“{}” is being loaded by its model server. Try again in a few seconds.", self.model);
        Refusal::server(StatusCode::SERVICE_UNAVAILABLE, "endpoint_not_ready", message).after(5)
    }

    fn failed(&self) -> Refusal {
        if !self.can.runs_here {
            let message =
                format!("The server behind the endpoint “{}” failed while it answered. Try again, or ask whoever runs it.", self.endpoint);
            return Refusal::server(StatusCode::BAD_GATEWAY, "upstream_error", message);
        }
        let message = format!(
            "The model server of the endpoint “{}” failed while it answered. Try again; if it happens again, look at the endpoint's log.",
            self.endpoint
        );
        Refusal::server(StatusCode::BAD_GATEWAY, "upstream_error", message)
    }
}

fn busy(status: StatusCode) -> Refusal {
    let mut refusal =
        Refusal::server(status, "upstream_busy", "The model server has too much to do at the moment. Try again in a few seconds.");
    if status == StatusCode::TOO_MANY_REQUESTS {
        refusal.kind = "requests";
    }
    refusal.after(2)
}

fn is_about_context(text: &str) -> bool {
    ["context length", "context_length", "maximum model length", "max_model_len", "max_total_tokens", "maximum input length"]
        .iter()
        .any(|sign| text.contains(sign))
}

fn is_about_tools(text: &str) -> bool {
    ["tool choice", "tool_choice", "tool-call-parser", "tool parser", "tool_parser", "tool_call_parser"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// `must be in (0, 1], got 2.0` of a message that begins with the field's name; none when anything but such a rule stands in it.
fn rule_of(message: &str, field: &str) -> Option<String> {
    let rule = message.trim().strip_prefix(field)?.trim_start();
    let rule = rule.strip_suffix('.').unwrap_or(rule);
    let plain = |c: char| c.is_ascii_alphanumeric() || " .,-()[]_".contains(c);
    (rule.starts_with("must ") && rule.len() <= 120 && rule.chars().all(plain) && !rule.contains("--")).then(|| rule.to_owned())
}

/// Seconds, or a date as HTTP writes it.
fn is_retry_after(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let seconds = (1..=6).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    let date = bytes.len() == 29 && bytes.ends_with(b" GMT") && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b" ,:".contains(b));
    seconds || date
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fields: &[&str]) -> Sent {
        Sent {
            kind: Kind::Chat,
            model: "helpdesk".into(),
            endpoint: "front".parse().unwrap(),
            context: 512,
            can: domain::model_server::ModelServer::Vllm.capabilities(),
            fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    fn mapped(fields: &[&str], status: u16, message: &str, param: Option<&str>) -> Refusal {
        let error = UpstreamError { message: Some(message.into()), param: param.map(str::to_owned), status: None };
        sent(fields).refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &error)
    }

    #[test]
    fn nothing_of_the_model_servers_inside_is_passed_on() {
        let pydantic = "1 validation error:\n  {'type': 'less_than_equal', 'loc': ('body', 'top_p'), 'msg': 'Input should be less than or equal to 1', 'input': 'my secret prompt', 'ctx': {'le': 1.0}}\n  File \"/opt/venv/lib/python3.11/site-packages/vllm/entrypoints/utils.py\", line 99";
        for (fields, status, text, param, wanted) in [
            (&["top_p", "messages"][..], 400, pydantic, None, (400, "invalid_request_error", Some("top_p"))),
            (
                &["tools"],
                400,
                "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
                None,
                (400, "tools_not_supported", Some("tools")),
            ),
            (
                &["response_format"],
                500,
                "Invalid JSON grammar specification: /tmp/x",
                None,
                (400, "invalid_grammar", Some("response_format")),
            ),
            (
                &["structured_outputs"],
                400,
                "Error parsing regex: unterminated --x",
                None,
                (400, "invalid_grammar", Some("structured_outputs")),
            ),
            (
                &[],
                400,
                "This model's maximum context length is 512 tokens. However, you requested 700",
                None,
                (400, "context_length_exceeded", Some("messages")),
            ),
            (&[], 401, "{\"error\":\"Unauthorized\"}", None, (502, "upstream_refused", None)),
            (&[], 403, "no", None, (502, "upstream_refused", None)),
            (&[], 404, "The model `/srv/weights` does not exist.", None, (503, "endpoint_not_ready", None)),
            (&[], 500, "CUDA error at /root/x.cu", None, (502, "upstream_error", None)),
            (&["seed"], 400, "something at /root went wrong with --seed", None, (400, "invalid_request_error", None)),
            (&["stop"], 400, "stop must be --a /path", Some("stop"), (400, "invalid_request_error", Some("stop"))),
        ] {
            let refusal = mapped(fields, status, text, param);
            assert_eq!((refusal.status.as_u16(), refusal.code, refusal.param.as_deref()), wanted, "{text}");
            for inside in ["/", "--", "validation", "loc", "secret", "CUDA", "pydantic", "Unauthorized", "`"] {
                assert!(!refusal.message.contains(inside), "{inside} in {}", refusal.message);
            }
        }
    }

    #[test]
    fn a_plain_rule_about_a_field_of_the_call_is_told() {
        let refusal = mapped(&["temperature"], 400, "temperature must be non-negative, got -1.0.", Some("temperature"));
        assert_eq!(refusal.message, "The model server does not accept the field “temperature”: must be non-negative, got -1.0.");
        let refusal = mapped(&["top_p"], 400, "top_p must be in (0, 1], got 2.0.", None);
        assert_eq!((refusal.param.as_deref(), refusal.message.ends_with("must be in (0, 1], got 2.0.")), (Some("top_p"), true));
    }

    #[test]
    fn its_retry_after_is_kept_when_it_is_one() {
        let with = |value: &'static str| {
            let headers = [(header::RETRY_AFTER, HeaderValue::from_static(value))].into_iter().collect();
            let refusal = sent(&[]).refused(StatusCode::SERVICE_UNAVAILABLE, &headers, &UpstreamError::default());
            refusal.retry_after.unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(with("17"), "17");
        assert_eq!(with("Sat, 21 Nov 2026 17:00:00 GMT"), "Sat, 21 Nov 2026 17:00:00 GMT");
        assert_eq!(with("soon; /etc"), "2");
    }
}
