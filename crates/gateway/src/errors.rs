//! Refusals, in OpenAI's shape: `{"error":{"message","type","param","code"}}`, in plain words with the next step.

use crate::{
    limits::{OverLimit, RateLimits, What, Whose},
    sse::TooLong,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use domain::{name::Name, reason::endpoint::OutsideTrouble, time::Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Why a call gets no answer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    /// OpenAI's `type`.
    pub kind: &'static str,
    pub code: &'static str,
    pub message: String,
    pub param: Option<String>,
    /// Seconds, or what the model server said; boxed for the same reason as `rate_limits`.
    pub retry_after: Option<Box<HeaderValue>>,
    /// For a 405: the method that the address answers.
    pub allow: Option<&'static str>,
    /// OpenAI's clients repeat a 429 by themselves unless told that it is of no use.
    pub retry_is_useless: bool,
    /// Told in the headers; boxed, because every result of the gateway would carry its size.
    pub rate_limits: Option<Box<RateLimits>>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code, message, param: None, retry_after: None, allow: None, retry_is_useless: false, rate_limits: None }
    }

    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(Box::new(seconds.into()));
        self
    }

    // Who calls.

    pub(crate) fn no_key() -> Self {
        Self::unauthorized(
            "No API key was sent. Send it as the header “Authorization: Bearer atl_…” (“api-key” and “x-api-key” are read too); keys are made on the tenant's page “API keys”.",
        )
    }
    pub(crate) fn torn_key() -> Self {
        Self::unauthorized(
            "The API key is not whole: it is mistyped or a part is missing. A key is atl_ followed by 50 characters; copy it again or make a new one.",
        )
    }
    pub(crate) fn unknown_key() -> Self {
        Self::unauthorized(
            "This API key is not known here. Check that it belongs to this portal and tenant, or make a new one on the page “API keys”.",
        )
    }
    pub(crate) fn revoked_key() -> Self {
        Self::unauthorized("This API key was revoked. Make a new one on the tenant's page “API keys”.")
    }
    pub(crate) fn expired_key(at: Timestamp) -> Self {
        Self::unauthorized(format!("This API key expired on {}. Make a new one on the tenant's page “API keys”.", at.day()))
    }
    pub(crate) fn unconfirmed_key(at: Timestamp) -> Self {
        Self::unauthorized(format!(
            "This API key stopped on {}: its owner has not signed in to the portal for 30 days. It works again when the owner has signed in; a service key does not depend on a person.",
            at.day()
        ))
    }
    pub(crate) fn bad_pass() -> Self {
        Self::unauthorized("This session pass is not valid here. Reload the page, and sign in again if asked.")
    }
    pub(crate) fn expired_pass() -> Self {
        Self::unauthorized("This session pass has expired. Reload the page to get a new one.")
    }
    pub(crate) fn too_many_refused_keys(retry_after: u64) -> Self {
        let message = format!(
            "Too many calls from your address came without a valid API key. Look which program uses an old one; try again in {retry_after} s. Calls with a valid key go on."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", "too_many_refused_keys", message).after(retry_after)
    }
    pub(crate) fn refused_token(sentence: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_token", sentence)
    }
    pub(crate) fn cannot_look_now(sentence: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "sign_in_unavailable", sentence).after(5)
    }
    fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key", message)
    }
    pub(crate) fn suspended() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "permission_error",
            "tenant_suspended",
            "This tenant is suspended, so its models cannot be called. A platform administrator can resume it.",
        )
    }

    // What is asked.

    pub(crate) fn unknown_path(path: &str) -> Self {
        let path: String = path.chars().take(120).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "unknown_url",
            format!(
                "There is nothing at {path}. This gateway answers /v1/models, /v1/chat/completions and /v1/completions, also under /t/{{tenant}}; completions also without /v1."
            ),
        )
    }
    pub(crate) fn wrong_method(allowed: &'static str) -> Self {
        let message = format!("This address only answers {allowed}.");
        let mut this = Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message);
        this.allow = Some(allowed);
        this
    }
    pub(crate) fn bad_request(param: Option<&str>, message: impl Into<String>) -> Self {
        let mut this = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request_error", message);
        this.param = param.map(str::to_owned);
        this
    }
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("The request is larger than {limit} bytes. Send fewer or shorter messages.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message)
    }
    pub(crate) fn slow_body() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "invalid_request_error",
            "request_timeout",
            "The request's body did not arrive in time. Send it again.",
        )
    }
    pub(crate) fn unknown_model(model: &str) -> Self {
        let model: String = model.chars().take(120).collect();
        let mut this = Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "model_not_found",
            format!("The model “{model}” does not exist or is not deployed. GET /v1/models lists the models that this key can call."),
        );
        this.param = Some("model".into());
        this
    }
    pub(crate) fn model_not_allowed(model: &str, allowed: &[String]) -> Self {
        let allowed = if allowed.is_empty() { "no model at all".to_owned() } else { allowed.join(", ") };
        let mut this = Self::new(
            StatusCode::FORBIDDEN,
            "permission_error",
            "model_not_allowed",
            format!("This API key may not call “{model}”; it may call {allowed}. Use another key, or make one that allows this model."),
        );
        this.param = Some("model".into());
        this
    }
    pub(crate) fn too_many_answers(answers: u64, most: u32) -> Self {
        let message = format!(
            "This call asks for {answers} answers (n or best_of, times the prompts), and this tenant allows {most} in one call. Lower n, or send fewer prompts at once."
        );
        Self::bad_request(Some("n"), message)
    }
    pub(crate) fn guarded_field(field: &str) -> Self {
        let shown: String = field.chars().take(60).collect();
        let message = format!(
            "The field “{shown}” steers the model server itself and is not allowed on this endpoint. Leave it out, or allow it on the endpoint's page under “Settings”."
        );
        Self::bad_request(Some(&shown), message)
    }
    pub(crate) fn media_host(host: &str) -> Self {
        let host: String = host.chars().take(120).collect();
        let message = format!(
            "Nothing is fetched from “{host}” for this endpoint. Send the content itself as a “data:” address, or allow the host on the endpoint's page under “Settings”."
        );
        Self::bad_request(Some("messages"), message)
    }
    /// `whose`: “this API key”, “this member”, “this tenant”.
    pub(crate) fn too_many_at_once(whose: &str, most: u32) -> Self {
        let message = format!(
            "{most} calls of {whose} are under way, which is the most at the same time. Wait until one ends and try again, or ask the platform admin for more."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", "concurrency_limit_exceeded", message).after(1)
    }
    pub(crate) fn over_limit(over: OverLimit) -> Self {
        let what = match over.what {
            What::Requests => "requests",
            What::Tokens => "tokens",
        };
        let whose = match over.whose {
            Whose::Key => "this API key",
            Whose::Tenant => "this tenant",
        };
        let limit = over.limit;
        let seconds = over.wait_ms.map_or(60, |ms| ms.div_ceil(1_000).max(1));
        let message = match over.wait_ms {
            Some(_) => format!("The limit of {limit} {what} per minute of {whose} is reached. Try again in {seconds} s."),
            None => format!(
                "This call may need {} tokens, more than the {limit} tokens per minute of {whose}; waiting does not help. Lower max_tokens or shorten the prompt.",
                over.needed
            ),
        };
        let mut this = Self::new(StatusCode::TOO_MANY_REQUESTS, what, "rate_limit_exceeded", message).after(seconds);
        this.retry_is_useless = over.wait_ms.is_none();
        this.rate_limits = Some(Box::new(over.rate_limits));
        this
    }

    // What is behind.

    pub(crate) fn metering_full() -> Self {
        Self::server(
            StatusCode::SERVICE_UNAVAILABLE,
            "metering_unavailable",
            "Calls cannot be recorded at the moment, so none is let through. Try again in a moment.",
        )
        .after(1)
    }
    pub(crate) fn not_ready(reason: Option<&str>) -> Self {
        let message = reason.filter(|r| !r.is_empty()).unwrap_or("The model server is not running at the moment.");
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "endpoint_not_ready", message).after(5)
    }
    pub(crate) fn unreachable() -> Self {
        let message = "The model server does not accept calls at the moment; it is probably being restarted. Try again in a few seconds.";
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "upstream_unreachable", message).after(2)
    }
    /// A server that somebody else runs.
    pub(crate) fn outside(endpoint: &Name, trouble: &OutsideTrouble) -> Self {
        let message = format!("The endpoint “{endpoint}” cannot be used now. {}", trouble.said());
        match trouble {
            OutsideTrouble::Garbled => Self::server(StatusCode::BAD_GATEWAY, "upstream_died", message),
            OutsideTrouble::KeyRefused => Self::server(StatusCode::BAD_GATEWAY, "upstream_refused", message),
            _ => Self::server(StatusCode::SERVICE_UNAVAILABLE, "upstream_unreachable", message).after(10),
        }
    }
    pub(crate) fn upstream_died() -> Self {
        let message =
            "The model server stopped before its answer was complete. Try again; if it happens again, look at the endpoint's log.";
        Self::server(StatusCode::BAD_GATEWAY, "upstream_died", message)
    }
    pub(crate) fn upstream_slow(seconds: u64) -> Self {
        let message = format!(
            "The model server sent nothing for {seconds} s, so the call was ended. Try again; if it happens again, look at the endpoint's log."
        );
        Self::server(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
    }
    /// An answer that is not streamed took longer than its endpoint allows.
    pub(crate) fn answer_slow(endpoint: &Name, seconds: u32) -> Self {
        let message = format!(
            "The answer took longer than the {seconds} s that the endpoint “{endpoint}” allows for an answer that is not streamed. Stream it, ask for fewer tokens, or raise the limit on the endpoint's page under “Settings”."
        );
        Self::server(StatusCode::GATEWAY_TIMEOUT, "answer_timeout", message)
    }
    pub(crate) fn upstream_garbled() -> Self {
        let message = "The model server answered something that is not an answer. Look at the endpoint's log.";
        Self::server(StatusCode::BAD_GATEWAY, "upstream_invalid", message)
    }
    /// A stream came to its end without saying of each answer why it ends.
    pub(crate) fn upstream_incomplete() -> Self {
        let message =
            "The model server ended the stream before the answer was complete. Try again; if it happens again, look at the endpoint's log.";
        Self::server(StatusCode::BAD_GATEWAY, "upstream_incomplete", message)
    }
    pub(crate) fn server(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, "server_error", code, message)
    }

    /// `{"error":{...}}`
    pub(crate) fn json(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Outer<'a> {
            error: Inner<'a>,
        }
        #[derive(serde::Serialize)]
        struct Inner<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: &'a str,
        }
        let error = Inner { message: &self.message, r#type: self.kind, param: self.param.as_deref(), code: self.code };
        serde_json::to_vec(&Outer { error }).unwrap_or_default()
    }
}

impl From<TooLong> for Refusal {
    fn from(_: TooLong) -> Self {
        Self::upstream_garbled()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, *seconds);
        }
        if let Some(method) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(method));
        }
        if self.retry_is_useless {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if let Some(rate_limits) = self.rate_limits {
            tell_rate_limits(headers, &rate_limits);
        }
        response
    }
}

/// The `x-ratelimit-*` headers that OpenAI's clients know.
pub(crate) fn tell_rate_limits(headers: &mut HeaderMap, rate_limits: &RateLimits) {
    const NAMES: [[HeaderName; 3]; 2] = [
        [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
        [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    ];
    for ([limit, remaining, reset], gauge) in NAMES.into_iter().zip([rate_limits.requests, rate_limits.tokens]) {
        let Some(gauge) = gauge else { continue };
        headers.insert(limit, gauge.limit.into());
        headers.insert(remaining, gauge.remaining.into());
        if let Ok(value) = HeaderValue::try_from(wait(gauge.reset_ms)) {
            headers.insert(reset, value);
        }
    }
}

/// As OpenAI writes spans: `20ms`, `1s`, `6m0s`; whole seconds are rounded up.
fn wait(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds}ms"),
        1_000..=59_000 => format!("{}s", milliseconds.div_ceil(1_000)),
        _ => format!("{}m{}s", milliseconds.div_ceil(1_000) / 60, milliseconds.div_ceil(1_000) % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_openai_writes_them() {
        assert_eq!([0, 20, 1_000, 1_001, 59_000, 59_001, 61_000].map(wait), ["0ms", "20ms", "1s", "2s", "59s", "1m0s", "1m1s"]);
    }

    #[test]
    fn a_refusal_has_exactly_the_four_fields_of_openai() {
        let json = String::from_utf8(Refusal::bad_request(Some("model"), "Say \"which\".").json()).unwrap();
        let rest = r#""type":"invalid_request_error","param":"model","code":"invalid_request_error"}}"#;
        assert_eq!(json, format!(r#"{{"error":{{"message":"Say \"which\".",{rest}"#));
        assert!(String::from_utf8(Refusal::no_key().json()).unwrap().contains(r#""param":null"#));
    }
}
