//! What a tenant may hold at once, in its document.

use super::{in_bytes, placed, tenant::said};
use crate::{compute::Compute, problem::FieldProblem, tenant::Quota};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct QuotaSpec {
    /// Runs that train at the same time; further ones wait in the queue. 0 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_runs: Option<u32>,
    /// Bytes in the artefact store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Endpoints that are wanted at the same time. 0 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
    /// Whole GPUs, of any product, of all its tasks together. 0 to 100000; null = no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub gpus: Option<Option<u32>>,
    /// Slices of GPUs by their profile, as NVIDIA names it: `1g.10gb: 2`. Only a cluster has them. A profile that is not named stays as it
    /// is, one with null has no limit; null for all of it = no profile has one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub mig: Option<Option<BTreeMap<String, Option<u32>>>>,
    /// CPU cores that are asked for; what is free beyond that may be used. 0 to 100000; null = no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub cpu: Option<Option<u32>>,
    /// Bytes of memory; null = no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub memory_bytes: Option<Option<u64>>,
    /// Bytes of the machines' own disks; null = no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub disk_bytes: Option<Option<u64>>,
}

impl QuotaSpec {
    pub(super) fn of(quota: &Quota) -> Self {
        let Compute { gpus, mig, cpu, memory, disk } = &quota.compute;
        let profiles = mig.iter().map(|(profile, count)| (profile.clone(), Some(*count))).collect();
        Self {
            concurrent_runs: Some(quota.concurrent_runs),
            storage_bytes: Some(quota.storage_bytes),
            endpoints: Some(quota.endpoints),
            gpus: Some(*gpus),
            mig: Some((!mig.is_empty()).then_some(profiles)),
            cpu: Some(*cpu),
            memory_bytes: Some(*memory),
            disk_bytes: Some(*disk),
        }
    }

    /// The quota of before with what is said here.
    pub fn over(&self, mut quota: Quota) -> Quota {
        quota.concurrent_runs = self.concurrent_runs.unwrap_or(quota.concurrent_runs);
        quota.storage_bytes = self.storage_bytes.unwrap_or(quota.storage_bytes);
        quota.endpoints = self.endpoints.unwrap_or(quota.endpoints);
        let compute = &mut quota.compute;
        compute.gpus = self.gpus.unwrap_or(compute.gpus);
        compute.cpu = self.cpu.unwrap_or(compute.cpu);
        compute.memory = self.memory_bytes.unwrap_or(compute.memory);
        compute.disk = self.disk_bytes.unwrap_or(compute.disk);
        match &self.mig {
            None => {}
            Some(None) => compute.mig.clear(),
            Some(Some(said)) => {
                for (profile, count) in said {
                    match count {
                        Some(count) => compute.mig.insert(profile.clone(), *count),
                        None => compute.mig.remove(profile),
                    };
                }
            }
        }
        quota
    }

    /// Problems of the form of a quota, by their place in the document and as it writes values.
    pub fn placed(problems: Vec<FieldProblem>) -> Vec<FieldProblem> {
        let as_written = |problem: FieldProblem| {
            let suggestion = match problem.field.as_str() {
                "mig" => problem.suggestion.map(|line| line.replace(" = ", ": ")),
                _ => problem.suggestion,
            };
            in_bytes(FieldProblem { suggestion, ..problem })
        };
        placed("spec.quota", problems.into_iter().map(as_written).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Spec, TenantSpec};

    /// Two GPUs, four slices and 64 GB.
    fn limited() -> Quota {
        let compute = Compute { gpus: Some(2), mig: [("1g.10gb".into(), 4)].into(), memory: Some(64_000_000_000), ..Compute::default() };
        Quota { compute, ..Quota::default() }
    }

    fn quota(text: &str) -> QuotaSpec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn limits_of_the_machines_are_as_they_were_where_nothing_is_said_of_them_and_null_takes_them_away() {
        let over = |text: &str| quota(text).over(limited()).compute;
        assert_eq!(over(r#"{"endpoints":5}"#), limited().compute, "a document of before there were such limits");
        assert_eq!(over(r#"{"mig":{}}"#), limited().compute);
        let other = over(r#"{"gpus":0,"mig":{"3g.40gb":1},"cpu":96,"memoryBytes":null,"diskBytes":7}"#);
        let mig = [("1g.10gb".to_owned(), 4), ("3g.40gb".to_owned(), 1)].into();
        assert_eq!(other, Compute { gpus: Some(0), mig, cpu: Some(96), memory: None, disk: Some(7) });
        assert!(over(r#"{"mig":{"1g.10gb":null,"2g.20gb":null}}"#).mig.is_empty());
        assert!(over(r#"{"gpus":null,"mig":null,"cpu":null,"memoryBytes":null,"diskBytes":null}"#).is_unlimited());
    }

    #[test]
    fn limits_of_the_machines_are_compared_and_shown_as_they_are() {
        let now = |quota: &Quota| TenantSpec { quota: Some(QuotaSpec::of(quota)), ..TenantSpec::default() };
        let said = |text: &str, now_is: &Quota| {
            let spec = TenantSpec { quota: Some(quota(text)), ..TenantSpec::default() };
            spec.differences(&now(now_is)).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for same in ["{}", r#"{"gpus":2,"mig":{"1g.10gb":4}}"#, r#"{"mig":{},"cpu":null}"#, r#"{"mig":{"3g.40gb":null}}"#] {
            assert_eq!(said(same, &limited()), [""; 0], "{same}");
        }
        for same in [r#"{"mig":null}"#, r#"{"mig":{}}"#, r#"{"mig":{"1g.10gb":null}}"#, r#"{"gpus":null,"diskBytes":null}"#] {
            assert_eq!(said(same, &Quota::default()), [""; 0], "{same}");
        }
        assert_eq!(
            said(r#"{"gpus":null,"mig":{"1g.10gb":null,"3g.40gb":1},"memoryBytes":1000}"#, &limited()),
            [
                "spec.quota.gpus: 2 -> not set",
                "spec.quota.memoryBytes: 64000000000 -> 1000",
                "spec.quota.mig.1g.10gb: 4 -> not set",
                "spec.quota.mig.3g.40gb: not set -> 1"
            ]
        );
        assert_eq!(said(r#"{"mig":null}"#, &limited()), ["spec.quota.mig: {\"1g.10gb\":4} -> not set"]);
        for quota in [Quota::default(), limited()] {
            let written = serde_json::to_string(&QuotaSpec::of(&quota)).unwrap();
            let read: QuotaSpec = serde_json::from_str(&written).unwrap();
            assert_eq!(
                (read.over(limited()).compute == quota.compute, now(&quota).differences(&now(&quota)).len()),
                (true, 0),
                "{written}"
            );
        }
    }

    #[test]
    fn a_limit_of_the_machines_that_cannot_be_is_named_by_its_place_with_what_works() {
        let text = r#"{"gpus":100001,"cpu":100001,"memoryBytes":18446744073709551615,"diskBytes":9223372036854775808,"mig":{"1G.10GB":1}}"#;
        let wrong: Vec<_> = TenantSpec { quota: Some(quota(text)), ..TenantSpec::default() }
            .check()
            .into_iter()
            .map(|p| (p.field, p.suggestion.unwrap_or_default()))
            .collect();
        let at = |field: &str, works: &str| (format!("spec.quota.{field}"), works.to_owned());
        let (gpus, cpu, mig) = (at("gpus", "100000"), at("cpu", "100000"), at("mig", "1g.10gb: 2"));
        assert_eq!(wrong, [gpus, cpu, at("memoryBytes", ""), at("diskBytes", ""), mig]);
        assert!(serde_json::from_str::<QuotaSpec>(r#"{"gpu":1}"#).unwrap_err().to_string().contains("gpus"));
    }
}
