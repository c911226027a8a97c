//! OpenTelemetry traces, by the variables that every program with OpenTelemetry reads (docs/traces.md). Without them nothing of it runs.
//!
//! Spans that go to the collector have a target of their own ([`domain::traces::TARGET`]): the log does not show them, and what the log
//! shows does not go to the collector.

mod parent;
mod sender;

pub use parent::follow;

use domain::traces::TARGET;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// How long the last spans may take on their way out when the portal ends. A collector that hangs costs this once.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Why traces that were asked for cannot be sent: one sentence for whoever started the program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// What sends spans, until it is dropped.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// None: no collector is named, or traces are switched off.
    pub fn from_environment() -> Result<Option<Self>, Refused> {
        if !is_asked_for(&variable) {
            return Ok(None);
        }
        if let Some(protocol) = either("PROTOCOL", &variable).filter(|p| p != "http/protobuf") {
            return Err(Refused(format!(
                "Traces are sent as http/protobuf only, and OTEL_EXPORTER_OTLP_PROTOCOL says “{protocol}”. Set it to http/protobuf, and let OTEL_EXPORTER_OTLP_ENDPOINT name the collector's port for it (usually 4318)."
            )));
        }
        let refused = |what: &str, e: &dyn std::fmt::Display| Refused(format!("Traces cannot be sent: {what}: {e}."));
        let sender = sender::Sender::new(&variable).map_err(|e| refused("the client for the collector cannot be made", &e))?;
        let exporter = SpanExporter::builder().with_http().with_http_client(sender).build();
        let exporter = exporter.map_err(|e| refused("a variable that begins with OTEL_EXPORTER_OTLP_ is wrong", &e))?;
        // Sampler, batches and limits come from their own variables; a full batch queue drops spans and waits for nobody.
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(&variable)).build();
        Ok(Some(Self { provider }))
    }

    /// For the program's subscriber.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("atelier"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET && metadata.is_span()))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(e) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(error = %e, "the last spans may be missing in the traces");
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A setting of the exporter: that of traces goes before that of everything.
fn either(what: &str, variable: Variables) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{what}")).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
}

/// Only who names a collector gets traces: the standard's own default would send them to this machine's port 4318.
fn is_asked_for(variable: Variables) -> bool {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let none = variable("OTEL_TRACES_EXPORTER").is_some_and(|v| v == "none");
    either("ENDPOINT", variable).is_some() && !disabled && !none
}

/// Who sends: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, and where they say nothing, this program.
fn resource(variable: Variables) -> Resource {
    let named =
        variable("OTEL_SERVICE_NAME").is_some() || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|a| a.contains("service.name="));
    let own = [("service.name", "atelier"), ("service.version", env!("CARGO_PKG_VERSION"))];
    let own = own.into_iter().filter(|(name, _)| !(named && *name == "service.name"));
    Resource::builder().with_attributes(own.map(|(name, value)| KeyValue::new(name, value))).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_off_until_a_collector_is_named_and_can_be_switched_off_by_the_standard_variables() {
        let asked = |set: &[(&str, &str)]| is_asked_for(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(!asked(&[]) && !asked(&[("OTEL_SERVICE_NAME", "atelier")]));
        assert!(asked(&[collector]) && asked(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]));
        assert!(!asked(&[collector, ("OTEL_SDK_DISABLED", "True")]) && !asked(&[collector, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
