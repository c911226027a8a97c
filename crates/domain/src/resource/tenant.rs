//! A tenant as a document.

use super::{Difference, Kind, QuotaSpec, Spec, placed};
use crate::{
    call_rules::CallRules,
    people::Role,
    problem::FieldProblem,
    tenant::{Holding, Quota, Tenant, TenantState},
    tenant_groups::{self, GroupRole},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What a platform admin wants of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TenantSpec {
    /// What people read, 1 to 80 characters; of a new tenant without one, its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Nothing new starts and keys stop answering; what is stored stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// What it may hold at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaSpec>,
    /// How its models may be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallsSpec>,
    /// Groups of the identity provider that give a role in it, beside those of the platform's pattern: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupSpec>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallsSpec {
    /// Requests of the whole tenant in any window of 60 s; null = no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub requests_per_minute: Option<Option<u32>>,
    /// Prompt and completion tokens of the whole tenant in any window of 60 s; null = no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub tokens_per_minute: Option<Option<u32>>,
    /// Calls under way at the same time: of the whole tenant. 1 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_calls: Option<u32>,
    /// Of one member, with every key of that member and the playground.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_calls_per_member: Option<u32>,
    /// Of one API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_calls_per_key: Option<u32>,
    /// Answers that one call may ask for. 1 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_per_call: Option<u32>,
    /// Web pages that may call from a browser: `https://chat.example.org`, without a path; at most 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
}

/// A null that was written is not the same as nothing.
pub(super) fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupSpec {
    /// As the provider's tokens name it: `company/research/nlp`.
    pub group: String,
    pub role: Role,
}

impl CallsSpec {
    fn of(rules: &CallRules) -> Self {
        Self {
            requests_per_minute: Some(rules.limits.requests_per_minute),
            tokens_per_minute: Some(rules.limits.tokens_per_minute),
            concurrent_calls: Some(rules.concurrent_calls),
            concurrent_calls_per_member: Some(rules.concurrent_calls_per_member),
            concurrent_calls_per_key: Some(rules.concurrent_calls_per_key),
            answers_per_call: Some(rules.answers_per_call),
            origins: Some(rules.origins.clone()),
        }
    }

    /// The rules of before with what is said here.
    pub fn over(&self, mut rules: CallRules) -> CallRules {
        rules.limits.requests_per_minute = self.requests_per_minute.unwrap_or(rules.limits.requests_per_minute);
        rules.limits.tokens_per_minute = self.tokens_per_minute.unwrap_or(rules.limits.tokens_per_minute);
        rules.concurrent_calls = self.concurrent_calls.unwrap_or(rules.concurrent_calls);
        rules.concurrent_calls_per_member = self.concurrent_calls_per_member.unwrap_or(rules.concurrent_calls_per_member);
        rules.concurrent_calls_per_key = self.concurrent_calls_per_key.unwrap_or(rules.concurrent_calls_per_key);
        rules.answers_per_call = self.answers_per_call.unwrap_or(rules.answers_per_call);
        rules.origins = self.origins.clone().unwrap_or(rules.origins);
        rules
    }
}

impl TenantSpec {
    /// All that is set of a tenant now.
    pub fn of(tenant: &Tenant, rules: &CallRules, groups: &[GroupRole]) -> Self {
        let groups = groups.iter().map(|bound| GroupSpec { group: bound.group.clone(), role: bound.role }).collect();
        Self {
            title: Some(tenant.title.clone()),
            suspended: Some(tenant.state == TenantState::Suspended),
            quota: Some(QuotaSpec::of(&tenant.quota)),
            calls: Some(CallsSpec::of(rules)),
            groups: Some(groups),
        }
        .in_order()
    }

    /// With what has no order, or may be written in several ways, in one.
    fn in_order(mut self) -> Self {
        self.title = self.title.map(|title| title.trim().to_owned());
        for bound in self.groups.iter_mut().flatten() {
            // Keycloak writes full paths with a slash before them.
            bound.group = bound.group.trim_start_matches('/').to_owned();
        }
        if let Some(groups) = &mut self.groups {
            groups.sort();
        }
        self
    }

    pub fn quota_over(&self, quota: Quota) -> Quota {
        match &self.quota {
            Some(said) => said.over(quota),
            None => quota,
        }
    }

    pub fn calls_over(&self, rules: CallRules) -> CallRules {
        match &self.calls {
            Some(said) => said.over(rules),
            None => rules,
        }
    }

    pub fn groups_over(&self, groups: Vec<GroupRole>) -> Vec<GroupRole> {
        match self.clone().in_order().groups {
            Some(said) => said.into_iter().map(|bound| GroupRole { group: bound.group, role: bound.role }).collect(),
            None => groups,
        }
    }

    /// What cannot be, before anything is changed.
    pub fn check(&self) -> Vec<FieldProblem> {
        let mut wrong = QuotaSpec::placed(self.quota_over(Quota::default()).check());
        wrong.extend(placed("spec.calls", self.calls_over(CallRules::default()).check()));
        wrong.extend(placed("spec", tenant_groups::check(&self.groups_over(Vec::new()))));
        let title = self.title.as_deref().map(str::trim);
        if title.is_some_and(|title| title.is_empty() || title.chars().count() > Tenant::TITLE_CHARS) {
            wrong.push(FieldProblem::new("spec.title", format!("A title has 1 to {} characters.", Tenant::TITLE_CHARS)));
        }
        wrong
    }
}

impl Spec for TenantSpec {
    const KIND: Kind = Kind::Tenant;
    type Status = TenantStatus;

    fn differences(&self, now: &Self) -> Vec<Difference> {
        Difference::between(now, &self.clone().in_order())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    pub state: TenantState,
    pub created_at: String,
    /// How much of its quota it holds.
    pub holding: HoldingStatus,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldingStatus {
    pub runs_active: u32,
    pub runs_queued: u32,
    pub storage_bytes: u64,
    pub endpoints: u32,
    pub members: u32,
}

impl TenantStatus {
    pub fn of(tenant: &Tenant, holding: &Holding) -> Self {
        let holding = HoldingStatus {
            runs_active: holding.runs_active,
            runs_queued: holding.runs_queued,
            storage_bytes: holding.storage_bytes,
            endpoints: holding.endpoints,
            members: holding.members,
        };
        Self { state: tenant.state, created_at: tenant.created_at.rfc3339(), holding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn now() -> TenantSpec {
        let tenant = Tenant {
            name: "lumenta".parse().unwrap(),
            title: "Lumenta".into(),
            state: TenantState::Active,
            quota: Quota::default(),
            created_at: Timestamp(0),
        };
        let bound = |group: &str, role| GroupRole { group: group.into(), role };
        let rules =
            CallRules { limits: crate::key::Limits { requests_per_minute: Some(60), ..Default::default() }, ..CallRules::default() };
        TenantSpec::of(&tenant, &rules, &[bound("b", Role::Viewer), bound("a", Role::Owner)])
    }

    fn read(text: &str) -> TenantSpec {
        serde_json::from_str(text).unwrap()
    }

    fn paths(text: &str) -> Vec<String> {
        read(text).differences(&now()).into_iter().map(|d| d.path).collect()
    }

    #[test]
    fn what_is_set_now_is_no_difference_also_in_another_order_and_spelling() {
        assert_eq!(now().differences(&now()), []);
        assert_eq!(read(&serde_json::to_string(&now()).unwrap()), now());
        assert_eq!(paths(r#"{"title":" Lumenta ","groups":[{"group":"/b","role":"viewer"},{"group":"a","role":"owner"}]}"#), [""; 0]);
        assert_eq!(paths("{}"), [""; 0]);
        assert_eq!(paths(r#"{"calls":{"tokensPerMinute":null,"requestsPerMinute":60}}"#), [""; 0]);
    }

    #[test]
    fn a_null_takes_a_limit_away_and_silence_leaves_it() {
        let spec = read(r#"{"calls":{"requestsPerMinute":null,"origins":["https://a.example"]},"quota":{"endpoints":5}}"#);
        assert_eq!(
            spec.differences(&now()).iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "spec.calls.origins: [] -> [\"https://a.example\"]",
                "spec.calls.requestsPerMinute: 60 -> not set",
                "spec.quota.endpoints: 2 -> 5"
            ]
        );
        let rules = spec.calls_over(CallRules { concurrent_calls: 7, ..CallRules::default() });
        assert_eq!((rules.limits.requests_per_minute, rules.concurrent_calls), (None, 7));
        assert_eq!(spec.quota_over(Quota { concurrent_runs: 9, ..Quota::default() }).concurrent_runs, 9);
        assert_eq!(spec.groups_over(Vec::new()), []);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_place() {
        let spec =
            read(r#"{"title":" ","quota":{"endpoints":1001},"calls":{"concurrentCallsPerKey":0},"groups":[{"group":"","role":"owner"}]}"#);
        let fields: Vec<_> = spec.check().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["spec.quota.endpoints", "spec.calls.concurrentCallsPerKey", "spec.groups", "spec.title"]);
        assert_eq!(now().check(), []);
    }
}
