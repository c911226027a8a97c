//! What there is to ask the machines for, and why a request cannot be met: told before anything waits for it.

use crate::{
    cluster::{Amounts, Machine},
    compute::Compute,
    counted::{counted, listed},
    problem::FieldProblem,
    queue::QueueLimits,
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
    /// The queue of the cluster in which the tenant's runs wait; `None` = there is none.
    pub queue: Option<QueueLimits>,
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
        for problem in self.over_queue(request, times) {
            if wrong.iter().all(|w| w.field != problem.field) {
                wrong.push(problem);
            }
        }
        if wrong.is_empty() {
            wrong.extend(self.on_no_machine(request));
        }
        wrong
    }

    fn profile<'a>(&'a self, request: &'a ResourceRequest) -> Option<&'a str> {
        request.mig_profile.as_deref().or(self.machines.mig_profile.as_deref())
    }

    fn over_quota(&self, request: &ResourceRequest, times: Times) -> Vec<FieldProblem> {
        let quota = &self.quota;
        let gpus = self.profile(request).map_or(quota.gpus, |profile| quota.mig.get(profile).copied());
        self.over(request, times, [gpus.map(u64::from), quota.cpu.map(u64::from), quota.memory], |asked, most| {
            format!("It asks for {asked}, and the tenant’s quota is {most}. Ask for less, or ask the platform admin for a larger quota.")
        })
    }

    /// Model servers wait in no queue.
    fn over_queue(&self, request: &ResourceRequest, times: Times) -> Vec<FieldProblem> {
        let (Some(queue), Times::Nodes(_)) = (&self.queue, times) else { return Vec::new() };
        let gpus = self.profile(request).map_or(queue.gpus, |profile| queue.mig.get(profile).copied());
        self.over(request, times, [gpus.map(u64::from), queue.cpu.map(u64::from), queue.memory], |asked, most| {
            format!(
                "It asks for {asked}, and the cluster’s queue “{}” never gives more than {most}. Ask for less, or ask the platform admin for a \
                 larger quota of that queue.",
                short(&queue.name)
            )
        })
    }

    /// What is beyond the limits of GPUs, cores and memory; `said`: the sentence, from what is asked for and the most.
    fn over(
        &self,
        request: &ResourceRequest,
        times: Times,
        limits: [Option<u64>; 3],
        sentence: impl Fn(&str, &str) -> String,
    ) -> Vec<FieldProblem> {
        let n = u64::from(times.count());
        let profile = self.profile(request);
        let gpus_said = move |n: u64| match profile {
            Some(profile) => format!("{n} × MIG {profile}"),
            None => counted(n, "GPU", "GPUs"),
        };
        let cores = |n: u64| counted(n, "CPU core", "CPU cores");
        let bytes = |n: u64| format!("{} of memory", size::bytes(n));
        /// The field, what each asks for, such an amount in words, and as the field takes it.
        type Asked<'a> = (&'static str, u64, &'a dyn Fn(u64) -> String, fn(u64) -> String);
        let plain: fn(u64) -> String = |n| n.to_string();
        let asked: [Asked<'_>; 3] = [
            ("gpus", self.gpus(request).into(), &gpus_said, plain),
            ("cpu", request.cpu.unwrap_or(0).into(), &cores, plain),
            ("memory_gb", request.memory.unwrap_or(0), &bytes, gigabytes),
        ];
        let mut wrong = Vec::new();
        for ((field, each, said, typed), most) in asked.into_iter().zip(limits) {
            let all = each.saturating_mul(n);
            let Some(most) = most.filter(|most| all > *most) else { continue };
            let each_said = if field == "gpus" { plain(each) } else { said(each) };
            let sentence = sentence(&format!("{}{}", said(all), times.said(&each_said)), &said(most));
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
mod tests;
