//! Why a task of the engine waits, and how it ended.

use crate::{counted::counted, size};
use serde::{Deserialize, Serialize};

/// Why a task does not run yet. The engine tells it; no other words reach a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum PendingCause {
    /// Nothing is in its way: a machine is chosen for it, and what it runs from is brought there.
    Starting,
    /// The tenant's quota of `what` (`memory`, `gpus`) leaves no room for it.
    Quota {
        what: String,
        /// The numbers of each resource that is short; empty where the engine does not tell them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        short: Vec<Shortage>,
        /// What of the tenant has it now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        holders: Vec<String>,
    },
    /// It needs more of a resource than any machine has.
    NoNodeFits { needs: Amount, has: Amount },
    /// Machines are large enough, but what it needs of this is in use on all of them.
    Busy { needs: Amount },
    /// No machine takes it, for another reason than its size.
    Unschedulable { why: String },
    /// What it should run from cannot be had here.
    Image { image: String, why: String },
    /// A disk that it needs is not there.
    Volume { volume: String, why: String },
    /// A secret that it refers to is not known to the engine.
    Secret { secret: String },
    /// A rule of the cluster refuses it.
    Admission { why: String },
    /// It waits in a queue of the cluster, whose quota is in use.
    Queue {
        /// 1 = the next; 0 = the cluster does not tell it.
        position: u32,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        queue: String,
        /// How much more of each resource it needs than is free; empty where the cluster does not tell it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        short: Vec<Amount>,
        /// It was at work, and the cluster took its place away for something else.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
    },
    /// Somebody in the cluster holds it back.
    Suspended,
    /// Of its pods, which start together, only so many have a place; the others wait for this.
    Partly { running: u32, of: u32, cause: Box<PendingCause> },
}

/// A resource of which a quota has too little left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    pub needs: Amount,
    /// In use of the quota.
    pub used: Amount,
    /// The quota.
    pub most: Amount,
}

/// So much of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Amount {
    /// Thousandths of a core.
    Cpu {
        milli: u64,
    },
    Memory {
        bytes: u64,
    },
    Gpus {
        count: u32,
        product: Option<String>,
    },
    SharedMemory {
        bytes: u64,
    },
    EphemeralDisk {
        bytes: u64,
    },
    Nodes {
        count: u32,
    },
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum End {
    /// By itself, with this status.
    Exited { status: i32 },
    /// By a signal; 9 is the kernel or a person.
    Signalled { signal: i32 },
    /// It reached its memory limit.
    OutOfMemory,
    /// The machine needed the room for something else.
    Evicted { why: String },
    /// It took longer than it may.
    Deadline,
    /// The machine restarted or is gone, and nobody saw how it ended.
    NodeLost,
    /// Somebody took it away from outside the portal.
    Removed,
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu { milli: 1000 } => f.write_str("1 CPU core"),
            Self::Cpu { milli } => write!(f, "{} CPU cores", *milli as f64 / 1000.0),
            Self::Memory { bytes } => write!(f, "{} of memory", size::bytes(*bytes)),
            Self::Gpus { count, product } => {
                write!(f, "{}", counted((*count).into(), "GPU", "GPUs"))?;
                product.as_ref().map_or(Ok(()), |product| write!(f, " ({product})"))
            }
            Self::SharedMemory { bytes } => write!(f, "{} of shared memory", size::bytes(*bytes)),
            Self::EphemeralDisk { bytes } => write!(f, "{} of free disk", size::bytes(*bytes)),
            Self::Nodes { count: 1 } => f.write_str("1 node"),
            Self::Nodes { count } => write!(f, "{count} nodes"),
        }
    }
}

impl PendingCause {
    /// The same in a few words, for a headline.
    pub fn title(&self) -> String {
        match self {
            Self::Starting => "Is being started".into(),
            Self::Quota { short, .. } if short.len() == 1 => format!("Quota: {} of {} in use", short[0].used, short[0].most),
            Self::Quota { what, .. } => format!("Quota: {what} in use"),
            Self::NoNodeFits { needs, .. } => format!("No machine has {needs}"),
            Self::Busy { needs } => format!("No machine has {needs} free"),
            Self::Unschedulable { .. } => "No machine takes it".into(),
            Self::Image { .. } => "Image: it cannot be fetched".into(),
            Self::Volume { volume, .. } => format!("Volume: {volume} is not there"),
            Self::Secret { secret } => format!("Secret: “{secret}” is not there"),
            Self::Admission { .. } => "Admission: the cluster refused the pod".into(),
            Self::Queue { interrupted: true, .. } => "Interrupted: waits in the queue again".into(),
            Self::Queue { position: 0, .. } => "Queue: its quota is in use".into(),
            Self::Queue { position, .. } => format!("Queue: place {position}"),
            Self::Suspended => "Suspended by somebody in the cluster".into(),
            Self::Partly { running, of, cause } => format!("{} ({running} of {of} pods run)", cause.title()),
        }
    }

    /// It does not end by itself: somebody has to do something.
    pub const fn needs_somebody(&self) -> bool {
        match self {
            Self::NoNodeFits { .. }
            | Self::Unschedulable { .. }
            | Self::Image { .. }
            | Self::Volume { .. }
            | Self::Secret { .. }
            | Self::Admission { .. }
            | Self::Suspended => true,
            Self::Starting | Self::Quota { .. } | Self::Busy { .. } | Self::Queue { .. } => false,
            Self::Partly { cause, .. } => cause.needs_somebody(),
        }
    }

    /// What else of the tenant is at work, holds what this waits for.
    pub fn is_held_by_the_tenant(&self) -> bool {
        match self {
            // Where the engine names them itself, its sentence does.
            Self::Quota { holders, .. } => holders.is_empty(),
            Self::Partly { cause, .. } => cause.is_held_by_the_tenant(),
            _ => false,
        }
    }

    /// One sentence, with the next step where a person can do something.
    pub fn said(&self) -> String {
        match self {
            Self::Starting => "Is being started: a machine is chosen, and what it runs from is brought there.".into(),
            Self::Busy { needs } => format!("Waits for {needs}: all of it is in use. It starts when something else ends."),
            Self::Unschedulable { why } => {
                format!("Waits, because no machine of the cluster takes it: {why}. Whoever runs this portal has to look at it.")
            }
            Self::Quota { what, short, holders } => quota(what, short, holders),
            Self::NoNodeFits { needs, has } => {
                format!(
                    "Waits: it needs {needs}, and the machine has {has}. Ask whoever runs this portal for a lower limit or a larger machine."
                )
            }
            Self::Image { image, why } => {
                format!("Waits for the image {image}: {why}. Whoever runs this portal has to make it available.")
            }
            Self::Volume { volume, why } => {
                format!("Waits for the volume {volume}: {why}. Whoever runs this portal has to look at it.")
            }
            Self::Secret { secret } => {
                format!("Waits for the secret “{secret}”, which is not there. Whoever runs this portal has to add it.")
            }
            Self::Admission { why } => format!("Not let in by the cluster: {why}. Whoever runs this portal has to look at it."),
            Self::Queue { position, queue, short, interrupted } => in_queue(*position, queue, short, *interrupted),
            Self::Suspended => {
                "Waits, because somebody in the cluster has suspended its Job. It starts when that is resumed; whoever runs this portal has to look at it.".into()
            }
            Self::Partly { running, of, cause } => format!("{running} of {of} pods run. {}", cause.said()),
        }
    }
}

fn quota(what: &str, short: &[Shortage], holders: &[String]) -> String {
    if let Some(never) = short.iter().find(|s| s.needs.number() > s.most.number()) {
        let Shortage { needs, most, .. } = never;
        return format!(
            "Cannot start: it needs {needs}, and the tenant's quota is {most}. Ask the platform admin for more, or ask for less."
        );
    }
    let waits = match short {
        [] => format!("Waits, because the tenant's quota of {what} is in use"),
        short => {
            let joined = |amount: fn(&Shortage) -> &Amount| short.iter().map(|s| amount(s).to_string()).collect::<Vec<_>>().join(" and ");
            let (needs, used, most) = (joined(|s| &s.needs), joined(|s| &s.used), joined(|s| &s.most));
            format!("Waits for {needs}: the tenant has {used} in use, and a quota of {most}")
        }
    };
    let by = if holders.is_empty() { String::new() } else { format!(" ({})", named(holders)) };
    format!("{waits}{by}. It starts when something of that ends, or the platform admin allows more.")
}

fn in_queue(position: u32, queue: &str, short: &[Amount], interrupted: bool) -> String {
    let waits = if interrupted { "Was interrupted to make room for something else. It waits again" } else { "Waits" };
    let name = if queue.is_empty() { String::new() } else { format!(" “{queue}”") };
    let place = if position == 0 { String::new() } else { format!(", place {position}") };
    let needs = short.iter().map(Amount::to_string).collect::<Vec<_>>().join(" and ");
    let needs = if needs.is_empty() { String::new() } else { format!(": it needs {needs} more than the queue’s quota has free") };
    format!("{waits} in the cluster’s queue{name}{place}{needs}. It starts when what is before it has ended.")
}

/// The first few of them.
fn named(holders: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = holders.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match holders.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

impl Amount {
    /// In its own unit.
    pub fn number(&self) -> u64 {
        match self {
            Self::Cpu { milli } => *milli,
            Self::Memory { bytes } | Self::SharedMemory { bytes } | Self::EphemeralDisk { bytes } => *bytes,
            Self::Gpus { count, .. } | Self::Nodes { count } => (*count).into(),
        }
    }
}

impl End {
    /// A task that ended like this was told to stop by the machine or the cluster, if it was told.
    pub const fn explains_a_stop(&self) -> bool {
        match self {
            Self::OutOfMemory | Self::Evicted { .. } | Self::Deadline | Self::NodeLost | Self::Removed => true,
            Self::Exited { .. } | Self::Signalled { .. } => false,
        }
    }

    /// Half a sentence about the one that ended: `it was ended by signal 15`.
    pub fn said(&self) -> String {
        match self {
            Self::Exited { status } => format!("it ended with status {status}"),
            Self::Signalled { signal: 9 } => "it was killed by the kernel or a person (signal 9), often because memory ran out".into(),
            Self::Signalled { signal } => format!("it was ended by signal {signal}"),
            Self::OutOfMemory => "it reached its memory limit".into(),
            Self::Evicted { why } => format!("it was evicted from the machine ({why})"),
            Self::Deadline => "it took longer than it may".into(),
            Self::NodeLost => "it is gone; the machine may have restarted".into(),
            Self::Removed => "its processes were killed from outside the portal".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_stored_as_a_code_with_parameters_and_read_again() {
        let cause = PendingCause::NoNodeFits { needs: Amount::Memory { bytes: 64 << 30 }, has: Amount::Memory { bytes: 16 << 30 } };
        let json = serde_json::to_string(&cause).unwrap();
        assert!(json.contains(r#""code":"no_node_fits""#) && !json.contains("Waits"), "{json}");
        assert_eq!(serde_json::from_str::<PendingCause>(&json).unwrap(), cause);
        let end = serde_json::to_string(&End::Exited { status: 3 }).unwrap();
        assert_eq!(end, r#"{"code":"exited","status":3}"#);
        assert_eq!(serde_json::to_string(&End::OutOfMemory).unwrap(), r#"{"code":"out_of_memory"}"#);
    }

    #[test]
    fn a_quota_says_what_is_short_and_who_has_it_and_what_can_never_start() {
        let gpus = |count| Amount::Gpus { count, product: None };
        let short = |needs, used| vec![Shortage { needs: gpus(needs), used: gpus(used), most: gpus(2) }];
        let cause = |short, holders: &[&str]| PendingCause::Quota {
            what: "gpus".into(),
            short,
            holders: holders.iter().map(|h| (*h).to_owned()).collect(),
        };
        assert_eq!(
            cause(short(1, 2), &["run facts-6", "endpoint support"]).said(),
            "Waits for 1 GPU: the tenant has 2 GPUs in use, and a quota of 2 GPUs (run facts-6, endpoint support). \
             It starts when something of that ends, or the platform admin allows more."
        );
        assert!(cause(short(1, 2), &["a", "b", "c", "d", "e", "f"]).said().contains("a, b, c, d and 2 more"));
        assert!(cause(short(4, 0), &[]).said().starts_with("Cannot start: it needs 4 GPUs, and the tenant's quota is 2 GPUs."));
        // As it was stored before there were numbers.
        let old: PendingCause = serde_json::from_str(r#"{"code":"quota","what":"memory"}"#).unwrap();
        assert_eq!(old, PendingCause::Quota { what: "memory".into(), short: Vec::new(), holders: Vec::new() });
        assert!(old.said().contains("quota of memory is in use"));
        assert_eq!((old.title().as_str(), old.needs_somebody()), ("Quota: memory in use", false));
        assert_eq!(cause(short(1, 2), &[]).title(), "Quota: 2 GPUs of 2 GPUs in use");
    }

    #[test]
    fn a_queue_says_the_place_what_is_short_and_that_it_was_interrupted() {
        let cause = |position, short: &[Amount], interrupted| PendingCause::Queue {
            position,
            queue: "research".into(),
            short: short.to_vec(),
            interrupted,
        };
        let gpu = Amount::Gpus { count: 1, product: None };
        assert_eq!(
            cause(2, &[gpu, Amount::Cpu { milli: 1000 }], false).said(),
            "Waits in the cluster’s queue “research”, place 2: it needs 1 GPU and 1 CPU core more than the queue’s quota has free. \
             It starts when what is before it has ended."
        );
        assert_eq!(
            cause(0, &[], true).said(),
            "Was interrupted to make room for something else. It waits again in the cluster’s queue “research”. \
             It starts when what is before it has ended."
        );
        assert_eq!((cause(2, &[], false).title().as_str(), cause(0, &[], false).needs_somebody()), ("Queue: place 2", false));
        // As it was written before there were queues, and for the version of then.
        let old: PendingCause = serde_json::from_str(r#"{"code":"queue","position":3}"#).unwrap();
        let cause = PendingCause::Queue { position: 3, queue: String::new(), short: Vec::new(), interrupted: false };
        assert_eq!((serde_json::to_string(&old).unwrap().as_str(), old), (r#"{"code":"queue","position":3}"#, cause));
    }

    #[test]
    fn pods_that_start_together_are_counted_before_what_the_rest_waits_for() {
        let cause = Box::new(PendingCause::Busy { needs: Amount::Gpus { count: 4, product: None } });
        let said = PendingCause::Partly { running: 1, of: 2, cause }.said();
        assert_eq!(said, "1 of 2 pods run. Waits for 4 GPUs: all of it is in use. It starts when something else ends.");
    }

    #[test]
    fn each_end_has_words_of_its_own() {
        let all = [
            End::Exited { status: 1 },
            End::Signalled { signal: 9 },
            End::Signalled { signal: 15 },
            End::OutOfMemory,
            End::Evicted { why: "disk pressure".into() },
            End::Deadline,
            End::NodeLost,
            End::Removed,
        ];
        let said: std::collections::BTreeSet<_> = all.iter().map(End::said).collect();
        assert_eq!(said.len(), all.len());
    }
}
