//! The trace that a caller says its request belongs to (`traceparent`, W3C Trace Context).

use axum::http::HeaderMap;
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Of a trusted proxy the request's span becomes a part, as it is believed in everything else about the caller. Anybody else's trace is
/// only linked: it decides neither where our spans appear nor whether they are sampled.
pub fn follow(span: &Span, headers: &HeaderMap, by_proxy: bool) {
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    let said = context.span().span_context().clone();
    if !said.is_valid() {
        return;
    }
    if by_proxy {
        // It fails for a span that has begun or is not sent; then it stands by itself.
        let _ = span.set_parent(context);
    } else {
        span.add_link(said);
    }
}
