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

/// Why the claim gives fewer groups than it may be meant to; for the log, which is read by whoever runs the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimProblem {
    claim: String,
    what: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    Absent,
    NoList(&'static str),
    NotAllTexts(usize),
}

impl std::fmt::Display for ClaimProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let claim = &self.claim;
        match self.what {
            Wrong::Absent => write!(f, "the token has no claim “{claim}”, so no group gives a role; {}", mapper(claim)),
            Wrong::NoList(what) => write!(
                f,
                "the claim “{claim}” is {what} and no list of texts, so no group gives a role; name the list with ATELIER_GROUPS_CLAIM, with dots between the parts where it lies deeper (realm_access.roles)"
            ),
            Wrong::NotAllTexts(n) => {
                write!(f, "{n} entries of the claim “{claim}” are no texts and give no role; the portal reads names of groups only")
            }
        }
    }
}

/// How the claim gets into the token.
pub fn mapper(claim: &str) -> String {
    format!(
        "add it at the identity provider (Keycloak: Clients, the portal's client, Client scopes, its dedicated scope, Add mapper, Group Membership; token claim name “{claim}”, Full group path on, Add to ID token on), or name the claim that is there with ATELIER_GROUPS_CLAIM"
    )
}

/// The claim of this name; where there is none, the dots in the name lead into objects: `realm_access.roles`. Names of claims may hold
/// dots themselves (`https://example.org/groups`), so every cut is tried.
pub fn at<'a>(claims: &'a serde_json::Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| match claims.get(&path[..dot])? {
            Value::Object(inner) => at(inner, &path[dot + 1..]),
            _ => None,
        })
    })
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

    /// The groups in the claim: a list of texts, or one text. Keycloak writes full paths with a slash before them. All are read: a token
    /// is bounded by the bytes of the provider's answer.
    pub fn groups(&self, claims: &serde_json::Map<String, Value>) -> (Vec<String>, Option<ClaimProblem>) {
        let problem = |what| Some(ClaimProblem { claim: self.claim.clone(), what });
        match at(claims, &self.claim) {
            None => (Vec::new(), problem(Wrong::Absent)),
            Some(Value::String(one)) => (vec![one.clone()], None),
            Some(Value::Array(list)) => {
                let groups: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                let others = list.len() - groups.len();
                (groups, if others > 0 { problem(Wrong::NotAllTexts(others)) } else { None })
            }
            Some(Value::Null) => (Vec::new(), problem(Wrong::NoList("null"))),
            Some(Value::Bool(_)) => (Vec::new(), problem(Wrong::NoList("true or false"))),
            Some(Value::Number(_)) => (Vec::new(), problem(Wrong::NoList("a number"))),
            Some(Value::Object(_)) => (Vec::new(), problem(Wrong::NoList("an object"))),
        }
    }

    /// Whether the token says anything of groups.
    pub fn are_told(&self, claims: &serde_json::Map<String, Value>) -> bool {
        at(claims, &self.claim).is_some()
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

    fn read(claim: &str, token: &str) -> (Vec<String>, Option<Wrong>) {
        let rules = GroupRules { claim: claim.into(), ..rules("a/{tenant}/{role}") };
        let (groups, problem) = rules.groups(&serde_json::from_str(token).unwrap());
        (groups, problem.map(|p| p.what))
    }

    #[test]
    fn the_claim_may_be_a_list_or_one_text() {
        assert_eq!(read("groups", r#"{"groups":["a","b"]}"#), (vec!["a".into(), "b".into()], None));
        assert_eq!(read("groups", r#"{"groups":"a"}"#), (vec!["a".into()], None));
        assert_eq!(read("groups", r#"{"groups":[]}"#), (vec![], None), "nobody is wrong who is in no group");
    }

    #[test]
    fn a_claim_that_is_absent_or_of_another_type_is_told() {
        assert_eq!(read("groups", r#"{"other":["a"]}"#), (vec![], Some(Wrong::Absent)));
        assert_eq!(read("groups", r#"{"groups":{"a":1}}"#), (vec![], Some(Wrong::NoList("an object"))));
        assert_eq!(read("groups", r#"{"groups":7}"#), (vec![], Some(Wrong::NoList("a number"))));
        assert_eq!(read("groups", r#"{"groups":["a",7,{}]}"#), (vec!["a".into()], Some(Wrong::NotAllTexts(2))));
        let words = ClaimProblem { claim: "groups".into(), what: Wrong::Absent }.to_string();
        assert!(words.contains("“groups”") && words.contains("Add mapper") && words.contains("ATELIER_GROUPS_CLAIM"), "{words}");
    }

    #[test]
    fn dots_lead_into_claims_and_may_be_part_of_their_names() {
        let keycloak = r#"{"realm_access":{"roles":["x"]},"resource_access":{"my.app":{"roles":["y"]}}}"#;
        assert_eq!(read("realm_access.roles", keycloak).0, ["x"]);
        assert_eq!(read("resource_access.my.app.roles", keycloak).0, ["y"]);
        assert_eq!(read("realm_access.groups", keycloak), (vec![], Some(Wrong::Absent)));
        assert_eq!(read("https://example.org/groups", r#"{"https://example.org/groups":["z"]}"#).0, ["z"]);
        assert_eq!(read("a.b", r#"{"a.b":["whole"],"a":{"b":["parts"]}}"#).0, ["whole"]);
    }

    #[test]
    fn the_last_of_ten_thousand_groups_gives_its_role() {
        let mut groups: Vec<String> = (0..10_000).map(|i| format!("staff-{i}")).collect();
        groups.push("atelier/lumenta/owner".into());
        let token = serde_json::json!({ "groups": groups });
        let (read, problem) = rules("atelier/{tenant}/{role}").groups(token.as_object().unwrap());
        assert_eq!((read.len(), problem), (10_001, None));
        assert_eq!(rules("atelier/{tenant}/{role}").rights(&read).memberships, [member("lumenta", Role::Owner)]);
    }
}
