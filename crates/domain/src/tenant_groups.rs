//! Groups of the identity provider that a tenant is bound to by name, beside those that follow the platform's pattern: nobody renames the
//! groups of a company.

use crate::{
    name::Name,
    people::{GROUP_CHARS, Role},
    problem::FieldProblem,
};
use serde::{Deserialize, Serialize};

/// Most groups of one tenant.
pub const MOST: usize = 50;

/// Whoever is in the group has at least this role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRole {
    /// As the provider's tokens name it, without the slash before a path: `company/research/nlp`.
    pub group: String,
    pub role: Role,
}

impl GroupRole {
    /// `group = role`, as people write it.
    pub fn said(&self) -> String {
        format!("{} = {}", self.group, self.role.word())
    }

    /// Every line, or what is wrong with each that cannot be read. Names of groups may hold `=` themselves: the last one counts.
    pub fn read(text: &str) -> Result<Vec<Self>, Vec<FieldProblem>> {
        let (mut read, mut wrong) = (Vec::new(), Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let parts = line.rsplit_once('=').map(|(group, role)| (plain(group.trim()), Role::from_word(role.trim())));
            match parts {
                Some((group, Some(role))) => read.push(Self { group: group.to_owned(), role }),
                Some((_, None)) => {
                    let sentence = format!("“{line}”: the role must be viewer, engineer or owner.");
                    wrong.push(FieldProblem::new("groups", sentence));
                }
                None => wrong.push(FieldProblem::new("groups", format!("“{line}” must be a group, then = and a role."))),
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }
}

/// Keycloak writes full paths with a slash before them.
fn plain(group: &str) -> &str {
    group.trim_start_matches('/')
}

/// What keeps these from being a tenant's groups.
pub fn check(groups: &[GroupRole]) -> Vec<FieldProblem> {
    let mut wrong = Vec::new();
    let mut no = |sentence: String| wrong.push(FieldProblem::new("groups", sentence));
    if groups.len() > MOST {
        no(format!("At most {MOST} groups."));
    }
    for (at, GroupRole { group, .. }) in groups.iter().enumerate() {
        if group.is_empty() || group.chars().count() > GROUP_CHARS || group.contains(char::is_control) || group.starts_with('/') {
            no(format!("“{}” is no name of a group: 1 to {GROUP_CHARS} characters.", group.chars().take(40).collect::<String>()));
        } else if groups[..at].iter().any(|before| before.group == *group) {
            no(format!("The group “{group}” is there twice."));
        }
    }
    wrong
}

/// The roles of somebody in `groups`: those held already, and what the tenants' own groups add. The highest counts.
pub fn with_bound(bound: &[(Name, GroupRole)], groups: &[String], mut held: Vec<(Name, Role)>) -> Vec<(Name, Role)> {
    for (tenant, GroupRole { group, role }) in bound {
        if !groups.iter().any(|one| plain(one) == group) {
            continue;
        }
        match held.iter_mut().find(|(t, _)| t == tenant) {
            Some((_, has)) => *has = (*role).max(*has),
            None => held.push((tenant.clone(), *role)),
        }
    }
    held.sort_by(|a, b| a.0.cmp(&b.0));
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(group: &str, role: Role) -> GroupRole {
        GroupRole { group: group.into(), role }
    }

    #[test]
    fn a_line_is_a_group_and_a_role_and_each_that_is_not_is_named() {
        let read = GroupRole::read("/company/nlp = engineer\n\n  cn=ml,dc=example=owner  \n").unwrap();
        assert_eq!(read, [bound("company/nlp", Role::Engineer), bound("cn=ml,dc=example", Role::Owner)]);
        assert_eq!(GroupRole::read(&read[1].said()).unwrap(), [read[1].clone()], "what is shown reads back");
        let wrong = GroupRole::read("company/nlp\nstaff = admin\nfine = viewer").unwrap_err();
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].sentence.contains("company/nlp") && wrong[1].sentence.contains("viewer, engineer or owner"), "{wrong:?}");
    }

    #[test]
    fn names_that_are_none_and_names_twice_are_refused() {
        assert_eq!(check(&[bound("a", Role::Owner), bound("b", Role::Owner)]), []);
        let long = "x".repeat(GROUP_CHARS + 1);
        for bad in ["", "/a", "a\u{0}b", &long] {
            assert_eq!(check(&[bound(bad, Role::Owner)]).len(), 1, "{bad:?}");
        }
        assert_eq!(check(&[bound("a", Role::Owner), bound("a", Role::Viewer)]).len(), 1);
        let many: Vec<_> = (0..=MOST).map(|i| bound(&i.to_string(), Role::Viewer)).collect();
        assert_eq!(check(&many).len(), 1);
    }

    #[test]
    fn a_bound_group_adds_a_role_and_takes_none_away() {
        let tenant = |name: &str| -> Name { name.parse().unwrap() };
        let all = [(tenant("beta"), bound("company/nlp", Role::Engineer)), (tenant("acme"), bound("company/nlp", Role::Viewer))];
        let of = |groups: &[&str], held: &[(&str, Role)]| {
            let groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
            with_bound(&all, &groups, held.iter().map(|(t, r)| (tenant(t), *r)).collect())
        };
        assert_eq!(of(&["/company/nlp"], &[]), [(tenant("acme"), Role::Viewer), (tenant("beta"), Role::Engineer)]);
        assert_eq!(
            of(&["company/nlp"], &[("acme", Role::Owner), ("beta", Role::Viewer)]),
            [(tenant("acme"), Role::Owner), (tenant("beta"), Role::Engineer)]
        );
        for other in ["company/nlp2", "company", "x/company/nlp", "Company/nlp"] {
            assert_eq!(of(&[other], &[]), [], "{other}");
        }
    }
}
