//! What is read at the moment when somebody asks: ages, places, connections, this process.

use super::process::Process;
use crate::listener::{Full, Slots};
use gateway::UsageSink;
use platform::Platform;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use std::{fmt, sync::Arc, time::Duration};

/// A collector: asked with every scrape, it touches neither database nor disk but for `/proc`.
pub struct Now {
    pub platform: Platform,
    pub connections: Arc<Slots>,
    /// With the gateway role.
    pub spool: Option<UsageSink>,
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Now").finish_non_exhaustive()
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.listener(&mut encoder)?;
        self.platform(&mut encoder)?;
        self.spool(&mut encoder)?;
        process(&mut encoder)
    }
}

impl Now {
    fn listener(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        gauge(encoder, "atelier_connections_open", "Connections that are open", self.connections.open() as f64)?;
        let help = "Connections that were turned away, because all places (all) or those of the address (address) were taken";
        let turned_away = [("all", self.connections.turned_away(Full::All)), ("address", self.connections.turned_away(Full::Address))];
        let counter = |count| ConstCounter::new(count);
        let mut family = encoder.encode_descriptor("atelier_connections_turned_away", help, None, counter(0_u64).metric_type())?;
        for (reason, count) in turned_away {
            counter(count).encode(family.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }

    /// An age is left out where this process has no part in it.
    fn platform(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let (ages, pool) = (self.platform.ages(), self.platform.database_pool());
        if let Some(age) = ages.directory {
            seconds(encoder, "atelier_directory_age", "Since the gateway's directory was last compared with the database", age)?;
        }
        if let Some(age) = ages.lease {
            seconds(
                encoder,
                "atelier_lease_age",
                "Since the controllers' lease was last taken, renewed, or seen with another holder",
                age,
            )?;
        }
        let help = "Open connections to the database, by state";
        let connections = |count: u32| ConstGauge::new(i64::from(count));
        let mut family = encoder.encode_descriptor("atelier_database_connections", help, None, connections(0).metric_type())?;
        for (state, count) in [("idle", pool.idle), ("used", pool.open.saturating_sub(pool.idle))] {
            connections(count).encode(family.encode_family(&[("state", state)])?)?;
        }
        gauge(encoder, "atelier_database_connections_max", "The most connections to the database that this process opens", pool.most.into())
    }

    fn spool(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let Some(spool) = self.spool.as_ref().map(UsageSink::status) else { return Ok(()) };
        gauge(encoder, "atelier_usage_spool_records", "Usage records that wait for the database", spool.records as f64)?;
        let bytes = |encoder: &mut DescriptorEncoder, name, help, bytes: u64| {
            let bytes = ConstGauge::new(bytes as f64);
            bytes.encode(encoder.encode_descriptor(name, help, Some(&Unit::Bytes), bytes.metric_type())?)
        };
        bytes(encoder, "atelier_usage_spool", "Bytes of usage records that wait for the database", spool.bytes)?;
        bytes(encoder, "atelier_usage_spool_max", "Bytes at which calls are refused", spool.max_bytes)?;
        let age = spool.oldest.map_or(0, |ended| self.platform.now().since(ended));
        let age = Duration::from_millis(age.unsigned_abs());
        seconds(encoder, "atelier_usage_spool_oldest_age", "Since the oldest call ended whose record the database has not taken", age)
    }
}

fn process(encoder: &mut DescriptorEncoder) -> fmt::Result {
    let process = Process::now();
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory of this process in bytes", process.resident),
        ("process_open_fds", "Open files of this process", process.open_files),
        ("process_max_fds", "The most files that this process may open", process.most_files),
    ] {
        if let Some(value) = value {
            gauge(encoder, name, help, value as f64)?;
        }
    }
    let Some(cpu) = process.cpu else { return Ok(()) };
    let cpu = ConstCounter::new(cpu.as_secs_f64());
    cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time of this process in seconds", None, cpu.metric_type())?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: f64) -> fmt::Result {
    let value = ConstGauge::new(value);
    value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
}

/// `name` without its unit.
fn seconds(encoder: &mut DescriptorEncoder, name: &str, help: &str, age: Duration) -> fmt::Result {
    let age = ConstGauge::new(age.as_secs_f64());
    age.encode(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), age.metric_type())?)
}
