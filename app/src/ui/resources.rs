//! Words and choices of the fields that ask the machines for something; the same for runs and endpoints.

use super::number::some;
use domain::{size, supply::Supply};
use leptos::prelude::*;

/// What may be typed into a field; another text may be too. What somebody typed stays when the list changes.
#[component]
pub fn Offered(id: &'static str, known: Vec<String>) -> impl IntoView {
    view! { <datalist id=id>{known.into_iter().map(|text| view! { <option value=text></option> }).collect_view()}</datalist> }
}

pub fn gpus_help(supply: &Supply) -> String {
    let usual = match supply.default_gpus {
        0 => "Empty or 0 = only the CPU".to_owned(),
        n => format!("0 = only the CPU, empty = {n}, as this portal is set up"),
    };
    let machines = &supply.machines;
    let none = !machines.sizes.is_empty() && !machines.have_gpus();
    let quota = supply.quota.gpus.map(|n| format!("; the tenant has {}", some(n.into(), "GPU", "GPUs"))).unwrap_or_default();
    format!("{usual}{quota}{}", if none { ". No node of this cluster has a GPU now" } else { "" })
}

/// Of products and profiles.
pub fn kind_help(known: &[String]) -> String {
    if known.is_empty() { "Empty = any".into() } else { format!("Empty = any; this cluster has {}", known.join(", ")) }
}

pub fn memory_help(supply: &Supply) -> String {
    let most = supply.most_memory.map(|n| format!(", at most {}", size::bytes(n))).unwrap_or_default();
    format!("A process that takes more is ended. Empty = what there is{most}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        cluster::Amounts,
        compute::Compute,
        supply::{MachineSize, Machines},
    };

    #[test]
    fn a_field_says_what_empty_means_and_what_there_is() {
        let none = Supply::default();
        assert_eq!(gpus_help(&none), "Empty or 0 = only the CPU");
        let sizes = vec![MachineSize { product: None, has: Amounts::default() }];
        let some = Supply {
            default_gpus: 1,
            machines: Machines { sizes, ..Machines::default() },
            quota: Compute { gpus: Some(2), ..Compute::default() },
            most_memory: Some(16 * size::GB),
            queue: None,
        };
        let expected =
            "0 = only the CPU, empty = 1, as this portal is set up; the tenant has 2\u{a0}GPUs. No node of this cluster has a GPU now";
        assert_eq!(gpus_help(&some), expected);
        assert!(memory_help(&some).ends_with("Empty = what there is, at most 16.0\u{a0}GB"));
        assert_eq!(kind_help(&["NVIDIA-H200".to_owned()]), "Empty = any; this cluster has NVIDIA-H200");
    }
}
