//! What stands around a tenant's tasks where they run: on a cluster a namespace with its limits, policies and rights. One machine has none.

use crate::{name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};

/// One object as it should be, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantObject {
    /// As the cluster names it: `NetworkPolicy`.
    pub kind: String,
    pub name: String,
    /// What it says, for people.
    pub content: String,
    pub found: Found,
    /// What the cluster said when it refused to show or to change it.
    pub refused: Option<String>,
    /// The portal may not make or change it here: somebody else applies it.
    #[serde(default)]
    pub by_others: bool,
    /// As it should be, as YAML; nothing secret is in it.
    #[serde(default)]
    pub yaml: String,
}

/// How an object was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Found {
    /// As it should be.
    InSync,
    Missing,
    /// Somebody changed it outside the portal.
    Changed {
        /// Paths of the fields: `spec.ingress`.
        fields: Vec<String>,
        /// The programs that have written to it beside the portal, as the cluster noted: `kubectl-edit`.
        by: Vec<String>,
    },
    /// It could not be looked at.
    Unknown,
}

impl Found {
    /// Whether it was put right, or has to be.
    pub const fn differs(&self) -> bool {
        matches!(self, Self::Missing | Self::Changed { .. })
    }

    /// What happened to it outside the portal, for people; empty when nothing did.
    pub fn said(&self) -> String {
        match self {
            Self::InSync | Self::Unknown => String::new(),
            Self::Missing => "was missing".into(),
            Self::Changed { fields, by } => {
                let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
                format!("{} changed outside the portal{by}", fields.join(", "))
            }
        }
    }
}

/// What last happened to an object, beside being as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    pub kind: String,
    pub name: String,
    /// How it was found before it was put right.
    pub found: Found,
    /// What the cluster said, if it refused to have it put right.
    pub refused: Option<String>,
    pub at: Timestamp,
}

/// An object that was put right, in an audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    pub kind: String,
    pub name: String,
    pub found: Found,
}

impl TenantObject {
    /// What somebody else has to do, in a sentence; `None` = nothing, or the portal does it itself.
    pub fn next_step(&self, tenant: &Name) -> Option<String> {
        (self.by_others && self.found.differs()).then(|| {
            format!(
                "The portal may not make it in this cluster. Somebody who may applies the tenant's bundle: atelier tenant bundle {tenant} | \
                 kubectl apply --server-side --force-conflicts -f -"
            )
        })
    }

    /// Whether it keeps something from happening: without it nothing of the tenant may start. The others only let people look, or are waited for
    /// by those who need them.
    pub fn guards(&self) -> bool {
        !matches!(self.kind.as_str(), "Role" | "RoleBinding" | "PersistentVolumeClaim")
    }
}

/// What is to be written down after a look that put right what it could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// To be kept in the place of what was known of these objects.
    pub changes: Vec<ObjectChange>,
    /// To be told: empty when everything was made for the first time.
    pub repaired: Vec<Repaired>,
}

/// `known`: what was written down before, of the same tenant.
pub fn outcome(seen: &[TenantObject], known: &[ObjectChange], at: Timestamp) -> Outcome {
    let mut out = Outcome::default();
    let first = known.is_empty() && seen.first().is_some_and(|o| o.kind == "Namespace" && o.found == Found::Missing);
    for object in seen {
        let before = known.iter().find(|k| k.kind == object.kind && k.name == object.name);
        let was_refused = before.and_then(|k| k.refused.as_ref());
        let TenantObject { kind, name, found, refused, .. } = object.clone();
        // Refused as before, and everything in order as before, is nothing new.
        if refused.as_ref() == was_refused && (refused.is_some() || !found.differs()) {
            continue;
        }
        if found.differs() && refused.is_none() && !first {
            out.repaired.push(Repaired { kind: kind.clone(), name: name.clone(), found: found.clone() });
        }
        out.changes.push(ObjectChange { kind, name, found, refused, at });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, found: Found, refused: Option<&str>) -> TenantObject {
        let refused = refused.map(str::to_owned);
        TenantObject { kind: kind.into(), name: "x".into(), content: String::new(), found, refused, by_others: false, yaml: String::new() }
    }

    fn after(seen: &[TenantObject], known: &[ObjectChange], at: i64) -> (usize, usize, Vec<ObjectChange>) {
        let Outcome { changes, repaired } = outcome(seen, known, Timestamp(at));
        let mut all: Vec<_> = known.iter().filter(|k| !changes.iter().any(|c| c.kind == k.kind)).cloned().collect();
        all.extend(changes.clone());
        (changes.len(), repaired.len(), all)
    }

    #[test]
    fn the_first_making_is_no_repair_and_what_is_in_order_is_not_written_down() {
        let missing = [object("Namespace", Found::Missing, None), object("ResourceQuota", Found::Missing, None)];
        let (changes, repaired, known) = after(&missing, &[], 1);
        assert_eq!((changes, repaired), (2, 0));
        let fine = [object("Namespace", Found::InSync, None), object("ResourceQuota", Found::InSync, None)];
        assert_eq!(outcome(&fine, &known, Timestamp(2)), Outcome::default());
        // Somebody deleted all of it.
        let (changes, repaired, _) = after(&missing, &known, 3);
        assert_eq!((changes, repaired), (2, 2));
        // Of a tenant from before anything was written down.
        let changed = Found::Changed { fields: vec!["spec.hard".into()], by: vec!["kubectl".into()] };
        assert_eq!(changed.said(), "spec.hard changed outside the portal by kubectl");
        let (_, repaired, _) = after(&[object("Namespace", Found::InSync, None), object("ResourceQuota", changed, None)], &[], 4);
        assert_eq!(repaired, 1);
    }

    #[test]
    fn who_has_to_apply_what_the_portal_may_not_is_told_while_it_is_not_there() {
        let tenant: Name = "acme".parse().unwrap();
        let step = |by_others: bool, found: Found| TenantObject { by_others, ..object("Namespace", found, None) }.next_step(&tenant);
        assert!(step(true, Found::Missing).unwrap().contains("atelier tenant bundle acme | kubectl apply"));
        assert_eq!((step(true, Found::InSync), step(true, Found::Unknown), step(false, Found::Missing)), (None, None, None));
    }

    #[test]
    fn a_refusal_is_written_down_once_and_taken_back_when_it_is_over() {
        let refused = [object("Role", Found::Missing, Some("forbidden"))];
        let (changes, repaired, known) = after(&refused, &[], 1);
        assert_eq!((changes, repaired), (1, 0));
        assert_eq!(outcome(&refused, &known, Timestamp(2)), Outcome::default());
        assert_eq!(outcome(&[object("Role", Found::Missing, Some("away"))], &known, Timestamp(2)).changes.len(), 1);
        let (changes, repaired, known) = after(&[object("Role", Found::InSync, None)], &known, 3);
        assert_eq!((changes, repaired, &known[0].refused), (1, 0, &None));
        assert!(!object("RoleBinding", Found::InSync, None).guards() && object("NetworkPolicy", Found::InSync, None).guards());
    }
}
