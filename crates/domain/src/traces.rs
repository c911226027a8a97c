//! Which spans are for traces (OpenTelemetry), and which for the log.

/// Target of the spans that go to a collector and not into the log. They hold numbers, words of ours, names of tenants and models, and
/// ids; never a prompt, an answer, a key, an address, or the name of a person.
pub const TARGET: &str = "atelier::trace";
