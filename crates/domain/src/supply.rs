//! What there is to ask the machines for, and why a request cannot be met: told before anything waits for it.

use crate::{
    cluster::{Amounts, Machine},
    compute::Compute,
    counted::{counted, listed},
    problem::FieldProblem,
    resource_request::{ResourceRequest, is_of_product, one_slice, short},
    size,
};
use serde::{Deserialize, Serialize};

/// The machines of a cluster, and what a GPU is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machines {
    /// Each size once. Empty = nobody could tell.
    pub sizes: Vec<MachineSize>,
    /// A GPU of a task that does not say more is a slice of this profile.
    pub mig_profile: Option<String>,
    /// Of which product the GPUs of a task are that does not say it.
    pub gpu_product: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSize {
    /// The label of its GPUs' product.
    pub product: Option<String>,
    /// What tasks may have of it, all together.
    pub has: Amounts,
}

/// Of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    pub machines: Machines,
    /// GPUs of what does not say how many.
    pub default_gpus: u32,
    /// Bytes that this portal allows one process.
    pub most_memory: Option<u64>,
    pub quota: Compute,
}

/// How many times a request is needed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Nodes(u32),
    Replicas(u32),
}

impl Times {
    const fn count(self) -> u32 {
        match self {
            Self::Nodes(n) | Self::Replicas(n) => n,
        }
    }

    /// ` (4 on each of 2 nodes)`; empty for one.
    fn said(self, each: &str) -> String {
        match self {
            Self::Nodes(0 | 1) | Self::Replicas(0 | 1) => String::new(),
            Self::Nodes(n) => format!(" ({each} on each of {n} nodes)"),
            Self::Replicas(n) => format!(" ({each} for each of {n} replicas)"),
        }
    }
}

impl Machines {
    /// Each size once, whatever holds the machines now: one that does not answer may come back.
    pub fn of(machines: impl IntoIterator<Item = Machine>) -> Self {
        let mut sizes: Vec<MachineSize> = Vec::new();
        for machine in machines {
            let size = MachineSize { product: machine.product.filter(|_| machine.has.has_gpus()), has: machine.has };
            if !sizes.contains(&size) {
                sizes.push(size);
            }
        }
        Self { sizes, ..Self::default() }
    }

    /// The products of their GPUs.
    pub fn products(&self) -> Vec<String> {
        sorted(self.sizes.iter().filter_map(|m| m.product.clone()))
    }

    /// The profiles of slices of GPUs.
    pub fn profiles(&self) -> Vec<String> {
        sorted(self.sizes.iter().flat_map(|m| m.has.mig.iter().filter(|(_, n)| **n > 0).map(|(profile, _)| profile.clone())))
    }

    pub fn have_gpus(&self) -> bool {
        self.sizes.iter().any(|m| m.has.has_gpus())
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    names
}

impl Supply {
    /// GPUs that a request comes to.
    pub fn gpus(&self, request: &ResourceRequest) -> u32 {
        request.gpus.unwrap_or(self.default_gpus)
    }

    /// All that keeps a request from ever being met, with a value that can be where there is one.
    pub fn check(&self, request: &ResourceRequest, times: Times) -> Vec<FieldProblem> {
        let wrong = request.check();
        if !wrong.is_empty() {
            return wrong;
        }
        let gpus = self.gpus(request);
        let kind = request.gpu_product.as_ref().or(request.mig_profile.as_ref());
        if let (0, Some(kind)) = (gpus, kind) {
            let sentence = format!("It asks for {}, and this portal gives no GPU unless asked: say how many.", short(kind));
            return vec![FieldProblem::new("gpus", sentence).suggesting("1")];
        }
        if gpus > 1 && request.mig_profile.is_some() {
            return vec![one_slice()];
        }
        let mut wrong = Vec::new();
        if let (Some(asked), Some(most)) = (request.memory, self.most_memory)
            && asked > most
        {
            let sentence = format!("It asks for {}, and this portal allows one process {}.", size::bytes(asked), size::bytes(most));
            wrong.push(FieldProblem::new("memory_gb", sentence).suggesting(gigabytes(most)));
        }
        wrong.extend(self.over_quota(request, times));
        if wrong.is_empty() {
            wrong.extend(self.on_no_machine(request));
        }
        wrong
    }

    fn profile<'a>(&'a self, request: &'a ResourceRequest) -> Option<&'a str> {
        request.mig_profile.as_deref().or(self.machines.mig_profile.as_deref())
    }

    fn over_quota(&self, request: &ResourceRequest, times: Times) -> Vec<FieldProblem> {
        let (gpus, quota, n) = (self.gpus(request), &self.quota, u64::from(times.count()));
        let profile = self.profile(request);
        let gpu_limit = match profile {
            Some(profile) => quota.mig.get(profile).copied(),
            None => quota.gpus,
        };
        let gpus_said = move |n: u64| match profile {
            Some(profile) => format!("{n} × MIG {profile}"),
            None => counted(n, "GPU", "GPUs"),
        };
        let cores = |n: u64| counted(n, "CPU core", "CPU cores");
        let bytes = |n: u64| format!("{} of memory", size::bytes(n));
        /// The field, what each asks for, the quota, such an amount in words, and as the field takes it.
        type Limit<'a> = (&'static str, u64, Option<u64>, &'a dyn Fn(u64) -> String, fn(u64) -> String);
        let plain: fn(u64) -> String = |n| n.to_string();
        let limits: [Limit<'_>; 3] = [
            ("gpus", gpus.into(), gpu_limit.map(u64::from), &gpus_said, plain),
            ("cpu", request.cpu.unwrap_or(0).into(), quota.cpu.map(u64::from), &cores, plain),
            ("memory_gb", request.memory.unwrap_or(0), quota.memory, &bytes, gigabytes),
        ];
        let mut wrong = Vec::new();
        for (field, each, most, said, typed) in limits {
            let all = each.saturating_mul(n);
            let Some(most) = most.filter(|most| all > *most) else { continue };
            let each_said = if field == "gpus" { plain(each) } else { said(each) };
            let sentence = format!(
                "It asks for {}{}, and the tenant’s quota is {}. Ask for less, or ask the platform admin for a larger quota.",
                said(all),
                times.said(&each_said),
                said(most)
            );
            let problem = FieldProblem::new(field, sentence);
            let fits = most / n.max(1);
            let can_be = match field {
                "gpus" => fits > 0 || request.gpu_product.is_none() && request.mig_profile.is_none(),
                "cpu" => fits > 0,
                _ => fits >= ResourceRequest::LEAST_MEMORY,
            };
            wrong.push(if can_be { problem.suggesting(typed(fits)) } else { problem });
        }
        wrong
    }

    /// Only of what somebody asked for: what the portal gives by itself may be on machines that are not there yet.
    fn on_no_machine(&self, request: &ResourceRequest) -> Option<FieldProblem> {
        let machines = &self.machines;
        if machines.sizes.is_empty() {
            return None;
        }
        let asks_for_gpus = request.gpus.is_some() || request.gpu_product.is_some() || request.mig_profile.is_some();
        let gpus = if asks_for_gpus { self.gpus(request) } else { 0 };
        let mut fitting: Vec<&MachineSize> = machines.sizes.iter().collect();
        if gpus > 0 {
            let product = request.gpu_product.as_deref().or(machines.gpu_product.as_deref());
            let of_product = |m: &&MachineSize| product.is_none_or(|asked| m.product.as_deref().is_some_and(|p| is_of_product(p, asked)));
            fitting.retain(of_product);
            if let (Some(asked), true) = (product, fitting.is_empty()) {
                let there = listed(&machines.products());
                let sentence = format!("No node has a GPU of the product “{}”. Products of this cluster: {there}.", short(asked));
                let problem = FieldProblem::new("gpu_product", sentence);
                let other = machines.products().into_iter().next().filter(|_| request.gpu_product.is_some());
                return Some(FieldProblem { suggestion: other, ..problem });
            }
            let profile = self.profile(request);
            let count = |m: &MachineSize| match profile {
                Some(profile) => m.has.mig.get(profile).copied().unwrap_or(0),
                None => m.has.gpus,
            };
            let most = fitting.iter().map(|m| count(m)).max().unwrap_or(0);
            if most < gpus {
                return Some(too_few_gpus(gpus, most, product, profile, &machines.profiles()));
            }
            fitting.retain(|m| count(m) >= gpus);
        }
        let with = if gpus > 0 { format!(" with {}", counted(gpus.into(), "such GPU", "such GPUs")) } else { String::new() };
        if let Some(cores) = request.cpu {
            let most = fitting.iter().map(|m| m.has.cpu_milli / 1000).max().unwrap_or(0);
            if most < u64::from(cores) {
                let asked = counted(cores.into(), "CPU core", "CPU cores");
                let sentence = format!("No node{with} has {asked} for runs and endpoints; the largest has {most}. Ask for less.");
                return Some(FieldProblem::new("cpu", sentence).suggesting(most.max(1).to_string()));
            }
            fitting.retain(|m| m.has.cpu_milli / 1000 >= u64::from(cores));
        }
        let asked = request.memory?;
        let most = fitting.iter().map(|m| m.has.memory).max().unwrap_or(0);
        (most < asked).then(|| {
            let and_cores = request.cpu.map(|n| counted(n.into(), "CPU core", "CPU cores"));
            let with = match (with.is_empty(), and_cores) {
                (true, Some(cores)) => format!(" with {cores}"),
                (false, Some(cores)) => format!("{with} and {cores}"),
                (_, None) => with,
            };
            let (asked, largest) = (size::bytes(asked), size::bytes(most));
            let sentence = format!("No node{with} has {asked} of memory for runs and endpoints; the largest has {largest}. Ask for less.");
            FieldProblem::new("memory_gb", sentence).suggesting(gigabytes(most / size::GB * size::GB))
        })
    }
}

fn too_few_gpus(gpus: u32, most: u32, product: Option<&str>, profile: Option<&str>, profiles: &[String]) -> FieldProblem {
    let kind = match (product, profile) {
        (_, Some(profile)) => format!(" of the MIG profile {}", short(profile)),
        (Some(product), None) => format!(" of {}", short(product)),
        (None, None) => String::new(),
    };
    let field = if profile.is_some() { "mig_profile" } else { "gpus" };
    let asked = match profile {
        Some(_) => counted(gpus.into(), "slice", "slices"),
        None => counted(gpus.into(), "GPU", "GPUs"),
    };
    let (sentence, fits) = match (most, profile) {
        (0, Some(_)) => (format!("No node has {asked}{kind}. Profiles of this cluster: {}.", listed(profiles)), profiles.first().cloned()),
        (0, None) => {
            (format!("No node of this cluster has {asked}{kind}. Run it on CPUs (0), or ask the platform admin."), Some("0".into()))
        }
        (most, _) => (
            format!("No node has {asked}{kind}; the largest has {most}. Ask for fewer on each, or for several nodes."),
            Some(most.to_string()),
        ),
    };
    FieldProblem { suggestion: fits.filter(|_| product.is_none() || most > 0), ..FieldProblem::new(field, sentence) }
}

/// As the form takes it: `16`, `68.719476736`.
pub fn gigabytes(bytes: u64) -> String {
    let text = format!("{}.{:09}", bytes / size::GB, bytes % size::GB);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sized(product: Option<&str>, gpus: u32, cores: u64, gb: u64) -> MachineSize {
        let has = Amounts { gpus, mig: BTreeMap::new(), cpu_milli: cores * 1000, memory: gb * size::GB };
        MachineSize { product: product.map(str::to_owned), has }
    }

    /// A cluster of H200 by fours, of L4, of slices, and of CPUs; a tenant without limits.
    fn supply() -> Supply {
        let mut slices = sized(Some("NVIDIA-A100"), 0, 16, 64);
        slices.has.mig.insert("1g.10gb".into(), 7);
        let sizes = vec![sized(Some("NVIDIA-H200"), 4, 96, 1000), sized(Some("NVIDIA-L4"), 1, 8, 32), slices, sized(None, 0, 64, 512)];
        Supply { machines: Machines { sizes, ..Machines::default() }, ..Supply::default() }
    }

    fn asks(gpus: u32) -> ResourceRequest {
        ResourceRequest { gpus: Some(gpus), ..ResourceRequest::default() }
    }

    fn one(supply: &Supply, request: &ResourceRequest, times: Times) -> (String, String, Option<String>) {
        let mut wrong = supply.check(request, times);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        let FieldProblem { field, sentence, suggestion } = wrong.remove(0);
        (field, sentence, suggestion)
    }

    #[test]
    fn more_than_the_quota_is_told_with_what_would_fit() {
        let two = Supply { quota: Compute { gpus: Some(2), ..Compute::default() }, ..supply() };
        let (field, sentence, fits) = one(&two, &asks(4), Times::Nodes(1));
        assert_eq!(
            (field.as_str(), sentence.as_str(), fits.as_deref()),
            (
                "gpus",
                "It asks for 4 GPUs, and the tenant’s quota is 2 GPUs. Ask for less, or ask the platform admin for a larger quota.",
                Some("2")
            )
        );
        let (_, sentence, fits) = one(&two, &asks(2), Times::Nodes(2));
        assert!(sentence.starts_with("It asks for 4 GPUs (2 on each of 2 nodes), and"), "{sentence}");
        assert_eq!(fits.as_deref(), Some("1"));
        let (_, sentence, _) = one(&two, &asks(1), Times::Replicas(3));
        assert!(sentence.starts_with("It asks for 3 GPUs (1 for each of 3 replicas), and"), "{sentence}");
        assert_eq!(two.check(&asks(2), Times::Replicas(1)), []);
        // A portal that gives one by itself, and a tenant with none: 0 is what can be.
        let none = Supply { default_gpus: 1, quota: Compute { gpus: Some(0), ..Compute::default() }, ..supply() };
        assert_eq!(one(&none, &ResourceRequest::default(), Times::Nodes(1)).2.as_deref(), Some("0"));
        assert_eq!(none.check(&asks(0), Times::Nodes(1)), []);
        let quota =
            Compute { cpu: Some(2), memory: Some(8 * size::GB), mig: BTreeMap::from([("1g.10gb".into(), 0)]), ..Compute::default() };
        let small = Supply { quota, ..supply() };
        let asked = ResourceRequest {
            gpus: Some(1),
            mig_profile: Some("1g.10gb".into()),
            cpu: Some(4),
            memory: Some(16 * size::GB),
            ..ResourceRequest::default()
        };
        let said: Vec<_> = small.check(&asked, Times::Nodes(1)).into_iter().map(|p| (p.field, p.suggestion.unwrap_or_default())).collect();
        let expected = [("gpus", ""), ("cpu", "2"), ("memory_gb", "8")].map(|(f, s)| (f.to_owned(), s.to_owned()));
        assert_eq!(said, expected);
    }

    #[test]
    fn what_no_node_has_is_told_with_what_the_largest_has() {
        let supply = supply();
        let of = |gpus, product: &str| ResourceRequest { gpu_product: Some(product.into()), ..asks(gpus) };
        for fits in [asks(4), asks(0), of(4, "H200"), of(1, "nvidia l4"), ResourceRequest::default()] {
            assert_eq!(supply.check(&fits, Times::Nodes(2)), [], "{fits:?}");
        }
        let said = |request: &ResourceRequest| one(&supply, request, Times::Nodes(1));
        let (field, sentence, fits) = said(&of(4, "L4"));
        assert_eq!((field.as_str(), fits.as_deref()), ("gpus", Some("1")));
        assert_eq!(sentence, "No node has 4 GPUs of L4; the largest has 1. Ask for fewer on each, or for several nodes.");
        assert_eq!(said(&asks(8)).1, "No node has 8 GPUs; the largest has 4. Ask for fewer on each, or for several nodes.");
        let (field, sentence, fits) = said(&of(1, "B300"));
        assert_eq!((field.as_str(), fits.as_deref()), ("gpu_product", Some("NVIDIA-A100")));
        assert_eq!(sentence, "No node has a GPU of the product “B300”. Products of this cluster: NVIDIA-A100, NVIDIA-H200, NVIDIA-L4.");
        let slice = |profile: &str| ResourceRequest { mig_profile: Some(profile.into()), ..asks(1) };
        assert_eq!(supply.check(&slice("1g.10gb"), Times::Nodes(1)), []);
        assert_eq!(said(&slice("3g.40gb")).2.as_deref(), Some("1g.10gb"));
        // Of nodes that have the GPUs.
        let (field, sentence, fits) = said(&ResourceRequest { cpu: Some(16), ..of(1, "L4") });
        assert_eq!((field.as_str(), fits.as_deref()), ("cpu", Some("8")));
        assert_eq!(sentence, "No node with 1 such GPU has 16 CPU cores for runs and endpoints; the largest has 8. Ask for less.");
        let (field, _, fits) = said(&ResourceRequest { cpu: Some(90), memory: Some(2000 * size::GB), ..ResourceRequest::default() });
        assert_eq!((field.as_str(), fits.as_deref()), ("memory_gb", Some("1000")));
    }

    #[test]
    fn nothing_is_held_against_a_request_where_nobody_can_tell_what_there_is() {
        let blind = Supply { machines: Machines::default(), ..supply() };
        assert_eq!(blind.check(&asks(64), Times::Nodes(1)), []);
        let by_itself = Supply { default_gpus: 8, ..supply() };
        assert_eq!(by_itself.check(&ResourceRequest::default(), Times::Nodes(1)), [], "nobody asked for these");
        let limited = Supply { most_memory: Some(16 * size::GB), ..supply() };
        let asked = ResourceRequest { memory: Some(17 * size::GB), ..ResourceRequest::default() };
        assert_eq!(one(&limited, &asked, Times::Nodes(1)).2.as_deref(), Some("16"));
        let product = ResourceRequest { gpu_product: Some("L4".into()), ..ResourceRequest::default() };
        assert_eq!(one(&supply(), &product, Times::Nodes(1)).0, "gpus");
        assert_eq!(Supply { default_gpus: 1, ..supply() }.check(&product, Times::Nodes(1)), []);
    }

    #[test]
    fn where_a_gpu_is_a_slice_the_slices_count() {
        let mut sliced = supply();
        sliced.machines.mig_profile = Some("1g.10gb".into());
        sliced.quota = Compute { gpus: Some(0), mig: BTreeMap::from([("1g.10gb".into(), 2)]), ..Compute::default() };
        assert_eq!(sliced.check(&asks(1), Times::Replicas(2)), []);
        assert!(one(&sliced, &asks(1), Times::Replicas(3)).1.starts_with("It asks for 3 × MIG 1g.10gb (1 for each of 3 replicas)"));
    }

    #[test]
    fn a_size_is_typed_as_it_is_shown() {
        assert_eq!([16 * size::GB, 64 << 30, 500_000_000].map(gigabytes), ["16", "68.719476736", "0.5"]);
    }
}
