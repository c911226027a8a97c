//! The rights in the chart are what the program's engine says that it needs, and no more.

use crate::helm::{WAYS, kind, name, way};
use engine::kubernetes::{IN_PLATFORM, IN_TENANTS, IN_THE_CLUSTER, READ_IN_TENANTS, READ_IN_THE_CLUSTER, Right};
use serde_json::Value;
use std::collections::BTreeSet;

/// `create jobs.batch`
type Rights = BTreeSet<String>;

fn right(verb: &str, resource: &str, group: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

fn needed(rights: &[Right]) -> Rights {
    rights.iter().flat_map(|(verbs, group, resource)| verbs.iter().map(|verb| right(verb, resource, group))).collect()
}

/// Of a role of the chart.
fn granted(role: &Value) -> Rights {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        rule[key].as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut all = Rights::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                all.extend(texts(rule, "verbs").iter().map(|verb| right(verb, &resource, &group)));
            }
        }
    }
    all
}

fn role<'a>(objects: &'a [Value], of: &str, end: &str) -> &'a Value {
    objects.iter().find(|o| kind(o) == of && name(o).ends_with(end)).unwrap_or_else(|| panic!("no {of} {end}"))
}

#[test]
fn the_chart_grants_what_the_engine_needs_and_no_more() {
    let Some(objects) = way("default") else { return };
    assert_eq!(granted(role(&objects, "ClusterRole", "-runtime")), needed(&IN_TENANTS));
    assert_eq!(granted(role(&objects, "Role", "-controller")), needed(&IN_PLATFORM));
    let mut in_the_cluster = needed(&IN_THE_CLUSTER);
    // To give itself the first of them in a namespace that it has made.
    in_the_cluster.insert("bind clusterroles.rbac.authorization.k8s.io".into());
    assert_eq!(granted(role(&objects, "ClusterRole", "-provisioner")), in_the_cluster);
}

#[test]
fn the_pages_of_the_cluster_are_shown_by_rights_that_change_nothing() {
    let Some(objects) = way("default") else { return };
    let (in_tenants, in_the_cluster) =
        (granted(role(&objects, "ClusterRole", "-reader")), granted(role(&objects, "ClusterRole", "-nodes")));
    assert_eq!(in_tenants, needed(&READ_IN_TENANTS));
    assert_eq!(in_the_cluster, needed(&READ_IN_THE_CLUSTER));
    let only_looks = |right: &String| right.starts_with("get ") || right.starts_with("list ");
    assert!(in_tenants.union(&in_the_cluster).all(|right| only_looks(right) && !right.contains("secrets")));
    // Whoever gives it must have it: by the role above alone, no `bind` on this one.
    assert!(in_tenants.is_subset(&needed(&IN_TENANTS)));
    // One process for all has the rights of whoever drives tasks.
    let Some(objects) = way("minimal") else { return };
    assert!(!objects.iter().any(|o| kind(o) == "ClusterRole" && (name(o).ends_with("-reader") || name(o).ends_with("-nodes"))));
}

#[test]
fn where_somebody_else_makes_the_namespaces_the_portal_changes_nothing_of_the_cluster() {
    let Some(objects) = way("minimal") else { return };
    let of_the_cluster = granted(role(&objects, "ClusterRole", "-provisioner"));
    assert_eq!(
        of_the_cluster,
        ["get clusterqueues.kueue.x-k8s.io", "get namespaces", "list namespaces", "list nodes", "watch namespaces"]
            .map(str::to_owned)
            .into()
    );
    // A tenant's limits are set in the portal all the same.
    assert_eq!(granted(role(&objects, "ClusterRole", "-runtime")), needed(&IN_TENANTS));
}

#[test]
fn no_right_is_a_wildcard_or_lets_the_portal_be_somebody_else() {
    for way_name in WAYS {
        let Some(objects) = way(way_name) else { return };
        for role in objects.iter().filter(|o| kind(o) == "ClusterRole" || kind(o) == "Role") {
            for right in granted(role) {
                let forbidden = ["*", "impersonate", "escalate", "pods/exec", "pods/portforward", "serviceaccounts/token", "list secrets"];
                assert!(!forbidden.iter().any(|word| right.contains(word)), "{way_name} {}: {right}", name(role));
            }
        }
        // Only what belongs to no namespace is bound in all of them.
        for binding in objects.iter().filter(|o| kind(o) == "ClusterRoleBinding") {
            let bound = binding["roleRef"]["name"].as_str().unwrap();
            let bound = objects.iter().find(|o| kind(o) == "ClusterRole" && name(o) == bound).unwrap();
            for right in granted(bound) {
                let resource = right.split_once(' ').unwrap().1;
                assert!(
                    ["nodes", "namespaces", "clusterqueues.kueue.x-k8s.io"].contains(&resource) || resource.contains("rbac"),
                    "{way_name}: {right} in all namespaces"
                );
            }
            let bind = bound["rules"].as_array().unwrap().iter().find(|r| r["verbs"][0] == "bind");
            assert!(bind.is_none_or(|r| r["resourceNames"].as_array().is_some_and(|names| names.len() == 1)), "{way_name}");
        }
    }
}
