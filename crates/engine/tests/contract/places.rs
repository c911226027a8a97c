//! What stands around a tenant's tasks on a real cluster, while others work on it too.

use crate::cluster::{Cluster, Kept, engine, verifying_engine};
use domain::{
    compute::Compute,
    people::Role,
    tenant_objects::{Found, TenantObject},
};
use engine::Place;
use std::time::Duration;

/// How each object was found, those that were as they should be left out.
fn differing(objects: &[TenantObject]) -> Vec<(String, Found)> {
    for object in objects {
        assert_eq!(object.refused, None, "{} {}", object.kind, object.name);
    }
    let others = objects.iter().filter(|o| o.found != Found::InSync);
    others.map(|o| (format!("{} {}", o.kind, o.name), o.found.clone())).collect()
}

#[tokio::test]
async fn what_others_change_of_a_tenants_objects_is_found_named_and_put_right() {
    let Some(cluster) = Cluster::find("the objects of a tenant") else { return };
    let (prefix, engine) = engine(&cluster, "none".into()).await;
    let namespace = format!("{prefix}acme");
    let kept = Kept { cluster, namespaces: vec![namespace.clone(), format!("{prefix}platform")] };
    let kubectl = |args: &[&str]| {
        let output = kept.cluster.kubectl().args(["-n", &namespace]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let compute = Compute { gpus: Some(2), mig: [("1g.10gb".to_owned(), 4)].into(), memory: Some(1 << 36), ..Compute::default() };
    let place = Place { compute, groups: vec![("tenants/acme/owner".into(), Role::Owner)], ..Place::of("acme".parse().unwrap()) };

    let made = engine.ensure_tenant(&place).await.unwrap();
    assert!(made.len() > 10 && made.iter().all(|o| o.found == Found::Missing), "{made:?}");
    // What the API server adds of its own is nobody's change, however it writes amounts.
    assert_eq!(differing(&engine.ensure_tenant(&place).await.unwrap()), []);
    let subjects = kubectl(&["get", "rolebinding", "atelier-engineer", "-o", "jsonpath={.subjects[*].name}"]);
    assert_eq!(subjects, "oidc:/tenants/acme/owner");

    // Opens what is to be closed, without touching any field that was ever sent.
    let open = r#"{"spec":{"egress":[{}],"podSelector":{"matchLabels":{"nobody":"this"}}}}"#;
    kubectl(&["patch", "networkpolicy", "default-deny", "--type=merge", "--field-manager=somebody", "-p", open]);
    kubectl(&["patch", "resourcequota", "atelier", "--type=merge", "-p", r#"{"spec":{"hard":{"requests.nvidia.com/gpu":"20"}}}"#]);
    kubectl(&["delete", "limitrange", "atelier"]);
    kubectl(&["label", "namespace", &namespace, "--overwrite", "pod-security.kubernetes.io/enforce=privileged"]);
    let seen = engine.tenant_objects(&place).await.unwrap().unwrap();
    let fixed = engine.ensure_tenant(&place).await.unwrap();
    assert_eq!(differing(&seen), differing(&fixed), "looking changes nothing");
    let found: std::collections::BTreeMap<_, _> = differing(&fixed).into_iter().collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found["LimitRange atelier"], Found::Missing);
    let Found::Changed { fields, by } = &found["NetworkPolicy default-deny"] else { panic!("{found:?}") };
    assert!(fields.contains(&"spec.egress".to_owned()) && fields.len() == 2 && by.contains(&"somebody".to_owned()), "{found:?}");
    let Found::Changed { fields, .. } = &found["ResourceQuota atelier"] else { panic!("{found:?}") };
    assert_eq!(fields, &["spec.hard.requests.nvidia.com/gpu"]);
    assert_eq!(differing(&engine.ensure_tenant(&place).await.unwrap()), []);
    assert_eq!(kubectl(&["get", "networkpolicy", "default-deny", "-o", "jsonpath={.spec.egress}{.spec.podSelector}"]), "{}");
    let gpus =
        |hard: &str| kubectl(&["get", "resourcequota", "atelier", "-o", &format!("jsonpath={{.{hard}.hard.requests\\.nvidia\\.com/gpu}}")]);
    assert_eq!(gpus("spec"), "2");

    // No limit any more, by the admin's own setting.
    let unlimited = Place { compute: Compute::default(), ..place };
    engine.ensure_tenant(&unlimited).await.unwrap();
    assert_eq!(gpus("spec"), "");
    assert_eq!(differing(&engine.tenant_objects(&unlimited).await.unwrap().unwrap()), []);
}

#[tokio::test]
async fn a_tenant_that_is_removed_takes_its_namespace_along_and_nobody_elses() {
    let Some(cluster) = Cluster::find("removing a tenant") else { return };
    let (prefix, engine) = engine(&cluster, "none".into()).await;
    let namespaces = ["acme", "other", "platform"].map(|name| format!("{prefix}{name}"));
    let kept = Kept { cluster, namespaces: namespaces.to_vec() };
    let done = |args: &[&str]| kept.cluster.kubectl().args(args).output().unwrap().status.success();
    let (acme, other): (domain::name::Name, domain::name::Name) = ("acme".parse().unwrap(), "other".parse().unwrap());
    engine.ensure_tenant(&Place::of(acme.clone())).await.unwrap();
    engine.put_secret(&acme, "store", "hush").await.unwrap();
    // Somebody else's, whatever it is called.
    assert!(done(&["create", "namespace", &namespaces[1]]));

    let gone = async {
        while engine.remove_tenant(&acme).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), gone).await.expect("the namespace goes");
    assert!(!done(&["get", "namespace", &namespaces[0]]));
    assert_eq!(engine.remove_tenant(&acme).await.unwrap(), None, "asked again");
    assert_eq!(engine.remove_tenant(&other).await.unwrap(), None);
    assert!(done(&["get", "namespace", &namespaces[1]]));
}

#[tokio::test]
async fn where_the_portal_may_make_no_namespace_it_says_what_is_missing_and_goes_on_when_somebody_has_applied_it() {
    let Some(cluster) = Cluster::find("the bundle of a tenant") else { return };
    let (prefix, engine) = verifying_engine(&cluster).await;
    let namespace = format!("{prefix}acme");
    let kept = Kept { cluster, namespaces: vec![namespace.clone(), format!("{prefix}platform")] };
    let kubectl = |args: &[&str]| {
        let output = kept.cluster.kubectl().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let place = Place::of("acme".parse().unwrap());

    let seen = engine.ensure_tenant(&place).await.unwrap();
    let [whole] = &seen[..] else { panic!("nothing else is tried without it: {seen:?}") };
    assert_eq!((whole.kind.as_str(), &whole.found, whole.by_others), ("Namespace", &Found::Missing, true));
    assert!(whole.refused.as_ref().unwrap().contains("atelier tenant bundle acme"), "{whole:?}");
    assert_eq!(engine.tenant_objects(&place).await.unwrap().unwrap()[0].found, Found::Missing, "and none was made");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.yaml");
    std::fs::write(&file, engine.tenant_bundle(&place).unwrap().unwrap()).unwrap();
    let file = file.display().to_string();
    // Its namespace has to be there before an API server takes what is in it.
    kubectl(&["apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", &file]);
    assert_eq!(differing(&engine.ensure_tenant(&place).await.unwrap()), [], "nothing is left to do");

    // What is inside is the portal's to keep, what is not is only told.
    kubectl(&["-n", &namespace, "delete", "limitrange", "atelier"]);
    kubectl(&["-n", &namespace, "delete", "rolebinding", "atelier-runtime"]);
    let seen = engine.ensure_tenant(&place).await.unwrap();
    let differs: Vec<_> = seen.iter().filter(|o| o.found.differs()).map(|o| (o.name.as_str(), o.refused.is_some(), o.guards())).collect();
    assert_eq!(differs, [("atelier-runtime", true, false), ("atelier", false, true)], "{seen:?}");
    kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce-"]);
    let seen = engine.ensure_tenant(&place).await.unwrap();
    assert!(seen.len() == 1 && seen[0].refused.is_some() && seen[0].found.differs(), "without its label nothing starts: {seen:?}");

    let kept_there = engine.remove_tenant(&place.tenant).await.unwrap_err().to_string();
    assert!(kept_there.contains(&format!("kubectl delete namespace {namespace}")), "{kept_there}");
    kubectl(&["get", "namespace", &namespace]);
}
