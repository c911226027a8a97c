//! From the provider's groups to roles: which group means what is configured, the rest is ignored.

use crate::config::Groups;
use domain::{
    name::Name,
    people::{PlatformRole, Role},
};
use serde_json::Value;

/// How group names are read.
#[derive(Clone, Debug)]
pub struct GroupRules {
    pub claim: String,
    admin: String,
    auditor: String,
    /// What stands before, between and after the two placeholders.
    before: String,
    between: String,
    after: String,
    tenant_first: bool,
}

/// What a person's groups give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub platform_role: Option<PlatformRole>,
    /// One role a tenant, the highest, ordered by tenant.
    pub memberships: Vec<(Name, Role)>,
}

impl GroupRules {
    /// `groups.tenant` holds `{tenant}` and `{role}`, as the configuration has checked.
    pub fn new(groups: &Groups) -> Self {
        let pattern = groups.tenant.trim_start_matches('/');
        let (tenant, role) = (pattern.find("{tenant}").unwrap_or(0), pattern.find("{role}").unwrap_or(0));
        let tenant_first = tenant < role;
        let (first, second) = if tenant_first { ("{tenant}", "{role}") } else { ("{role}", "{tenant}") };
        let (before, rest) = pattern.split_once(first).unwrap_or((pattern, ""));
        let (between, after) = rest.split_once(second).unwrap_or((rest, ""));
        Self {
            claim: groups.claim.clone(),
            admin: groups.admin.trim_start_matches('/').to_owned(),
            auditor: groups.auditor.trim_start_matches('/').to_owned(),
            before: before.to_owned(),
            between: between.to_owned(),
            after: after.to_owned(),
            tenant_first,
        }
    }

    /// The groups in the claim: a list of texts, or one text. Keycloak writes full paths with a slash before them.
    pub fn groups(&self, claims: &serde_json::Map<String, Value>) -> Vec<String> {
        let said = match claims.get(&self.claim) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        said.into_iter().filter(|g: &String| g.len() <= 300).take(500).collect()
    }

    pub fn rights(&self, groups: &[String]) -> Rights {
        let mut rights = Rights::default();
        let plain = |g: &String| g.trim_start_matches('/').to_owned();
        for group in groups.iter().map(plain) {
            if group == self.admin {
                rights.platform_role = Some(PlatformRole::Admin);
            } else if group == self.auditor {
                rights.platform_role = rights.platform_role.or(Some(PlatformRole::Auditor));
            } else if let Some((tenant, role)) = self.membership(&group) {
                match rights.memberships.iter_mut().find(|(t, _)| *t == tenant) {
                    Some((_, held)) => *held = role.max(*held),
                    None => rights.memberships.push((tenant, role)),
                }
            }
        }
        rights.memberships.sort_by(|a, b| a.0.cmp(&b.0));
        rights
    }

    fn membership(&self, group: &str) -> Option<(Name, Role)> {
        let middle = group.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        // The separator may occur inside a tenant's name: the cut at which both sides make sense counts.
        let cuts: Vec<usize> = if self.between.is_empty() {
            middle.char_indices().map(|(at, _)| at).collect()
        } else {
            middle.match_indices(&self.between).map(|(at, _)| at).collect()
        };
        cuts.into_iter().find_map(|at| {
            let (left, right) = (&middle[..at], &middle[at + self.between.len()..]);
            let (tenant, role) = if self.tenant_first { (left, right) } else { (right, left) };
            Some((tenant.parse().ok()?, Role::from_word(role)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(tenant: &str) -> GroupRules {
        GroupRules::new(&Groups {
            claim: "groups".into(),
            admin: "atelier-admins".into(),
            auditor: "atelier-auditors".into(),
            tenant: tenant.into(),
        })
    }
    fn rights(tenant: &str, groups: &[&str]) -> Rights {
        rules(tenant).rights(&groups.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>())
    }
    fn member(tenant: &str, role: Role) -> (Name, Role) {
        (tenant.parse().unwrap(), role)
    }

    #[test]
    fn groups_give_roles_with_and_without_a_leading_slash() {
        let got = rights("atelier/{tenant}/{role}", &["/atelier/lumenta/engineer", "atelier/velkor/viewer", "staff"]);
        assert_eq!(got.memberships, [member("lumenta", Role::Engineer), member("velkor", Role::Viewer)]);
        assert_eq!(got.platform_role, None);
    }

    #[test]
    fn the_highest_of_several_roles_counts() {
        let got = rights("atelier/{tenant}/{role}", &["atelier/a/owner", "atelier/a/viewer"]);
        assert_eq!(got.memberships, [member("a", Role::Owner)]);
    }

    #[test]
    fn nothing_that_only_looks_like_a_right_gives_one() {
        for group in [
            "atelier/lumenta/admin",
            "atelier/Lumenta/owner",
            "atelier//owner",
            "x/atelier/lumenta/owner",
            "atelier/lumenta/owner/x",
            "atelier-admins2",
            "",
        ] {
            assert_eq!(rights("atelier/{tenant}/{role}", &[group]), Rights::default(), "{group}");
        }
    }

    #[test]
    fn other_patterns_work_even_when_the_separator_is_part_of_the_name() {
        assert_eq!(rights("{role}-{tenant}", &["owner-my-team"]).memberships, [member("my-team", Role::Owner)]);
        assert_eq!(rights("ml-{tenant}-{role}s", &["ml-my-team-engineers"]).memberships, [member("my-team", Role::Engineer)]);
    }

    #[test]
    fn platform_groups_give_platform_roles() {
        assert_eq!(rights("a/{tenant}/{role}", &["atelier-auditors"]).platform_role, Some(PlatformRole::Auditor));
        assert_eq!(rights("a/{tenant}/{role}", &["/atelier-admins"]).platform_role, Some(PlatformRole::Admin));
    }

    #[test]
    fn the_claim_may_be_a_list_or_one_text() {
        let read = |text: &str| rules("a/{tenant}/{role}").groups(&serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"groups":["a",7,"b"]}"#), ["a", "b"]);
        assert_eq!(read(r#"{"groups":"a"}"#), ["a"]);
        assert!(read(r#"{"other":["a"]}"#).is_empty());
    }
}
