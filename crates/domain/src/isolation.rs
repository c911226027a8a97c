//! Whether a tenant's pods are kept apart from all that is not theirs: what is tried from inside of one, what came of it, and what that
//! means. When a check is made, and how it ends, is in [`check`].

mod check;

pub use check::{AT_MOST, Check, CheckState, Ending, Waits};

use crate::name::Name;
use serde::{Deserialize, Serialize};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A model server of another tenant.
    OtherEndpoint,
    /// The bucket of another tenant, with this tenant's key.
    OtherBucket,
    ApiServer,
    /// The portal's.
    Database,
    /// Where clouds hand out credentials to whoever asks from one of their machines.
    Metadata,
    /// A host outside of the cluster.
    Outside,
    Dns,
    OwnBucket,
}

/// Where clouds have it, and many of those who build like them.
pub const METADATA: &str = "169.254.169.254:80";

impl Probe {
    /// As the page shows them: what must be out of reach, then what must pass.
    pub const ALL: [Self; 8] = [
        Self::OtherEndpoint,
        Self::OtherBucket,
        Self::ApiServer,
        Self::Database,
        Self::Metadata,
        Self::Outside,
        Self::Dns,
        Self::OwnBucket,
    ];

    /// Without it nothing of the tenant could work: that it passes shows that the others were really tried.
    pub const fn must_pass(self) -> bool {
        matches!(self, Self::Dns | Self::OwnBucket)
    }

    /// Policies of the network decide it; whose bucket may be read, the store does.
    const fn is_of_the_network(self) -> bool {
        !matches!(self, Self::OtherBucket | Self::OwnBucket)
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::OtherEndpoint => "A model server of another tenant",
            Self::OtherBucket => "The bucket of another tenant, with this tenant's key",
            Self::ApiServer => "The Kubernetes API server",
            Self::Database => "The portal's database",
            Self::Metadata => "The metadata address",
            Self::Outside => "A host outside",
            Self::Dns => "Names (DNS)",
            Self::OwnBucket => "The tenant's own bucket: write, read, delete",
        }
    }
}

/// One thing to try, as the pod is told. Nothing here is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Way {
    /// A TCP connection: `10.244.0.7:8000`.
    Connect { address: String },
    /// An address for this name.
    Resolve { host: String },
    /// What is in the store's folder of this tenant.
    List { tenant: Name },
    /// A small object in the store's folder of this tenant.
    Write { tenant: Name },
}

/// What is to be tried, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub probe: Probe,
    /// What of that kind, for people: `endpoint support of globex`; empty = there is only one.
    pub what: String,
    /// `Err`: why there is nothing to try.
    pub way: Result<Way, LeftOut>,
    /// Whether the portal's own policies let pods reach it.
    pub allowed: bool,
}

/// Why something is not tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum LeftOut {
    NoOtherTenant,
    /// Of no other tenant a model server runs now.
    NoOtherEndpoint,
    /// Of no other tenant there is a bucket yet.
    NoOtherBucket,
    /// There are no buckets, and no keys: all tenants' folders are in one.
    StoreIsFolder,
    /// It is a file, or is reached without a network.
    DatabaseIsLocal,
    NoOutsideAddress,
    /// The portal itself finds no address for this name.
    NoAddress {
        host: String,
    },
}

impl LeftOut {
    pub fn said(&self) -> String {
        match self {
            Self::NoOtherTenant => "There is no other tenant to try.".into(),
            Self::NoOtherEndpoint => "No model server of another tenant runs now. Try again while one does.".into(),
            Self::NoOtherBucket => "No other tenant has a bucket yet.".into(),
            Self::StoreIsFolder => {
                "The artefact store is a folder: there are no buckets and no keys, and pods of all tenants see the same files. Use a store \
                 in S3 where tenants must be apart."
                    .into()
            }
            Self::DatabaseIsLocal => "The portal's database is on its own machine, and not reached by a network.".into(),
            Self::NoOutsideAddress => "No host was named. Set ATELIER_OUTSIDE_HOST to a host and port outside of the cluster.".into(),
            Self::NoAddress { host } => format!("The portal itself finds no address for {host}."),
        }
    }
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Outcome {
    Reached,
    /// By whoever is there, or by a policy that refuses instead of keeping silent.
    Refused,
    TimedOut,
    /// No way leads there.
    NoRoute,
    /// There is no such name, or no such bucket.
    NotThere,
    /// Anything else.
    Failed {
        why: String,
    },
}

impl Outcome {
    pub fn said(&self) -> String {
        match self {
            Self::Reached => "reached".into(),
            Self::Refused => "refused".into(),
            Self::TimedOut => "timed out".into(),
            Self::NoRoute => "no way leads there".into(),
            Self::NotThere => "not there".into(),
            Self::Failed { why } => format!("failed: {why}"),
        }
    }
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub target: Target,
    /// `None` = nothing is known of it (yet).
    pub outcome: Option<Outcome>,
}

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    AsExpected,
    NotAsExpected,
    Undecided,
}

impl Line {
    pub fn judgement(&self) -> Judgement {
        let Some(outcome) = self.outcome.as_ref().filter(|_| self.target.way.is_ok()) else { return Judgement::Undecided };
        match (self.target.probe, outcome) {
            (probe, Outcome::Reached) if probe.must_pass() => Judgement::AsExpected,
            (probe, _) if probe.must_pass() => Judgement::NotAsExpected,
            (_, Outcome::Reached) => Judgement::NotAsExpected,
            (_, Outcome::Refused) => Judgement::AsExpected,
            // That the store did not answer says nothing of whom it lets in.
            (Probe::OtherBucket, _) => Judgement::Undecided,
            (_, Outcome::TimedOut | Outcome::NoRoute) => Judgement::AsExpected,
            (_, Outcome::NotThere | Outcome::Failed { .. }) => Judgement::Undecided,
        }
    }

    pub const fn expected(&self) -> &'static str {
        match self.target.probe {
            probe if probe.must_pass() => "reached",
            Probe::OtherBucket => "refused",
            _ => "refused or timed out",
        }
    }

    /// What happened, in a sentence: `Reached, expected: refused or timed out.`
    pub fn said(&self, is_over: bool) -> String {
        let happened = match (&self.target.way, &self.outcome) {
            (Err(why), _) => return why.said(),
            (Ok(_), None) if is_over => return "Not told: the check ended before.".into(),
            (Ok(_), None) => return "Is being tried.".into(),
            (Ok(_), Some(outcome)) => outcome.said(),
        };
        let mut letters = happened.chars();
        let happened: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        match self.judgement() {
            Judgement::AsExpected => format!("{happened}, as expected."),
            Judgement::NotAsExpected => format!("{happened}, expected: {}.", self.expected()),
            Judgement::Undecided => format!("{happened}: that decides nothing."),
        }
    }
}

/// What all lines together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing that could be tried was reached that must not be, and what must pass does.
    Apart,
    /// Something was reached that must not be.
    NotApart,
    /// What must pass does not, so that nothing else was reached proves nothing.
    Unproven,
}

pub fn finding(lines: &[Line]) -> Finding {
    let any = |must_pass: bool| lines.iter().any(|l| l.target.probe.must_pass() == must_pass && l.judgement() == Judgement::NotAsExpected);
    let counter_proof = lines.iter().any(|l| l.target.probe.must_pass() && l.judgement() == Judgement::AsExpected);
    match (any(false), any(true) || !counter_proof) {
        (true, _) => Finding::NotApart,
        (false, true) => Finding::Unproven,
        (false, false) => Finding::Apart,
    }
}

/// What has to be done about what was reached, each in a sentence with the next step.
pub fn advice(lines: &[Line]) -> Vec<String> {
    let reached = |allowed: bool| -> Vec<String> {
        let open = lines.iter().filter(|l| !l.target.probe.must_pass() && l.outcome == Some(Outcome::Reached));
        let open = open.filter(|l| l.target.probe.is_of_the_network() && l.target.allowed == allowed);
        open.map(|l| in_a_sentence(&l.target)).collect()
    };
    let mut out = Vec::new();
    let (against, allowed) = (reached(false), reached(true));
    if !against.is_empty() {
        out.push(format!(
            "The cluster does not enforce network policies: pods reach {}. Install a network plugin that does (Calico, Cilium, kube-router), \
             then check again.",
            joined(&against)
        ));
    }
    if !allowed.is_empty() {
        out.push(format!(
            "The portal's own policy “store” lets pods reach {}. Set ATELIER_STORE_NETWORKS to the networks of the object store and of \
             nothing else, then check again.",
            joined(&allowed)
        ));
    }
    if lines.iter().any(|l| l.target.probe == Probe::OtherBucket && l.outcome == Some(Outcome::Reached)) {
        out.push(
            "The store lets this tenant's key into the bucket of another tenant. Give each tenant a key of its own bucket (“atelier tenant \
             store-key”)."
                .into(),
        );
    }
    if finding(lines) == Finding::Unproven {
        out.push(
            "What every run needs was not reached, so that the rest was not proves nothing. Look at DNS and the object store first.".into(),
        );
    }
    out
}

fn in_a_sentence(target: &Target) -> String {
    match target.probe {
        Probe::OtherEndpoint => target.what.clone(),
        Probe::ApiServer => "the Kubernetes API server".into(),
        Probe::Database => "the portal's database".into(),
        Probe::Metadata => "the metadata address".into(),
        Probe::Outside => format!("the outside host {}", target.what),
        Probe::OtherBucket | Probe::Dns | Probe::OwnBucket => target.probe.title().into(),
    }
}

fn joined(all: &[String]) -> String {
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => all.concat(),
    }
}

#[cfg(test)]
mod tests;
