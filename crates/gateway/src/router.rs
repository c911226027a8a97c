//! The allow-list of paths. A model server has more paths than these (it can load adapters, show metrics, be put to sleep);
//! none of them is reachable from here: what is not in the list is answered by the gateway itself.

use crate::{Exchange, Inner, asked::Kind, cors, errors::Refusal};
use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, Method, Request, header};
use std::{borrow::Cow, sync::Arc};
use tracing::Instrument;

#[derive(Debug, PartialEq, Eq)]
enum Operation<'p> {
    Models,
    Model(&'p str),
    Completion(Kind),
}

pub(crate) fn router(inner: Arc<Inner>) -> Router {
    let mut router = Router::new();
    for prefix in ["/v1", "/t/{tenant}/v1"] {
        for rest in ["", "/", "/{*rest}"] {
            router = router.route(&format!("{prefix}{rest}"), any(answer));
        }
    }
    // For clients whose base address lacks the `/v1`. The list of models has no such address: pages lie there.
    for prefix in ["", "/t/{tenant}"] {
        for kind in [Kind::Chat, Kind::Text] {
            router = router.route(&format!("{prefix}/{}", kind.route()), any(answer));
        }
    }
    router.with_state(inner)
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request<Body>) -> Response {
    let measures = inner.measures.clone();
    let exchange = Exchange::begin(inner, request.headers());
    let request_id = exchange.request_id.clone();
    let span = tracing::info_span!(
        "gateway",
        request_id = request_id.to_str().unwrap_or_default(),
        tenant = tracing::field::Empty,
        model = tracing::field::Empty,
        status = tracing::field::Empty
    );
    let origin = cors::origin(request.headers()).cloned();
    let walk = walk(&exchange, request);
    // A span that nobody listens to would still be entered with every poll.
    let answered = if span.is_disabled() { walk.await } else { walk.instrument(span.clone()).await };
    let mut response = answered.unwrap_or_else(|refusal| {
        tracing::debug!(parent: &span, status = refusal.status.as_u16(), code = %refusal.code, "refused");
        measures.refused(refusal.code);
        refusal.into_response()
    });
    span.record("status", response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert("x-request-id", request_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        if exchange.allows_origin(&origin) {
            cors::tell(headers, origin);
        }
    }
    response
}

async fn walk(exchange: &Exchange, request: Request<Body>) -> Result<Response, Refusal> {
    let uri = request.uri().clone();
    let Some((tenant, operation)) = operation(uri.path()) else { return Err(Refusal::unknown_path(uri.path())) };
    let allowed = if matches!(operation, Operation::Completion(_)) { "POST" } else { "GET" };
    if *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return Ok(cors::preflight(request.headers(), allowed));
    }
    if request.method().as_str() != allowed {
        return Err(Refusal::wrong_method(allowed));
    }
    match operation {
        Operation::Models => exchange.models(tenant, request.headers()),
        Operation::Model(id) => match decoded(id) {
            Some(id) => exchange.model(tenant, request.headers(), &id),
            None => Err(Refusal::unknown_path(uri.path())),
        },
        Operation::Completion(kind) => exchange.completion(kind, tenant, request).await,
    }
}

/// Compared as it came, without decoding: `%6d` is no `m`, and no `..` leads anywhere.
fn operation(path: &str) -> Option<(Option<&str>, Operation<'_>)> {
    let (tenant, rest) = match path.strip_prefix("/t/") {
        Some(inside) => inside.split_once('/').map(|(tenant, rest)| (Some(tenant), rest))?,
        None => (None, path.strip_prefix('/')?),
    };
    let operation = match (rest, rest.strip_prefix("v1/")) {
        (_, Some("models")) => Operation::Models,
        ("chat/completions", _) | (_, Some("chat/completions")) => Operation::Completion(Kind::Chat),
        ("completions", _) | (_, Some("completions")) => Operation::Completion(Kind::Text),
        (_, other) => Operation::Model(other?.strip_prefix("models/").filter(|id| !id.is_empty())?),
    };
    Some((tenant, operation))
}

/// Percent-decoding of a model id (`acme%2Fhelpdesk`); none when it is not UTF-8.
fn decoded(id: &str) -> Option<String> {
    percent_encoding::percent_decode_str(id).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_paths_lead_anywhere() {
        assert_eq!(operation("/v1/models"), Some((None, Operation::Models)));
        assert_eq!(operation("/t/acme/v1/chat/completions"), Some((Some("acme"), Operation::Completion(Kind::Chat))));
        assert_eq!(operation("/v1/completions"), Some((None, Operation::Completion(Kind::Text))));
        assert_eq!(operation("/chat/completions"), Some((None, Operation::Completion(Kind::Chat))));
        assert_eq!(operation("/t/acme/completions"), Some((Some("acme"), Operation::Completion(Kind::Text))));
        assert_eq!(operation("/v1/models/acme/helpdesk"), Some((None, Operation::Model("acme/helpdesk"))));
        for shut in [
            "/v1",
            "/v1/",
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/v1/embeddings",
            "/v1//models",
            "/v1/models/",
            "/v1/%6dodels",
            "/v1/chat/completions/",
            "/v1/chat/../load_lora_adapter",
            "/metrics",
            "/models",
            "/t/acme/models",
            "/t/acme/metrics",
            "/t//x/v1/models",
            "/t/acme",
            "/V1/models",
        ] {
            assert_eq!(operation(shut), None, "{shut}");
        }
    }

    #[test]
    fn model_ids_are_decoded_once() {
        assert_eq!(decoded("acme%2Fhelp%252F"), Some("acme/help%2F".into()));
        assert_eq!((decoded("a%zz"), decoded("%ff")), (Some("a%zz".into()), None));
    }
}
