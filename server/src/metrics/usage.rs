//! Calls on their way from the spool into the database.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// A cheap clone of the same counters.
#[derive(Clone, Default)]
pub struct UsageWritten {
    pub written: Counter,
    /// The database refused them; they wait for the platform's admin.
    pub set_aside: Counter,
    /// Batches that the database did not take, so that they are tried again.
    pub failures: Counter,
}

impl UsageWritten {
    /// A batch of `records`, of which some were set aside.
    pub fn taken(&self, records: usize, set_aside: u64) {
        self.written.inc_by(records as u64);
        self.set_aside.inc_by(set_aside);
    }

    pub fn register(&self, registry: &mut Registry) {
        let Self { written, set_aside, failures } = self.clone();
        registry.register("atelier_usage_records", "Usage records that the database has taken, those set aside included", written);
        let help = "Usage records that the database refused, so that they were set aside for the platform's admin";
        registry.register("atelier_usage_records_set_aside", help, set_aside);
        registry.register(
            "atelier_usage_write_failures",
            "Batches of usage records that could not be written and are tried again",
            failures,
        );
    }
}
