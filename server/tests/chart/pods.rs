//! What the pods of the portal are.

use crate::helm::{WAYS, kind, name, pods, way};
use serde_json::json;

#[test]
fn every_pod_is_one_that_pod_security_restricted_admits() {
    for way_name in WAYS {
        let Some(objects) = way(way_name) else { return };
        let pods = pods(&objects);
        assert!(!pods.is_empty());
        for (of, pod) in pods {
            let whole = &pod["securityContext"];
            assert_eq!(
                (&whole["runAsNonRoot"], &whole["seccompProfile"]["type"]),
                (&json!(true), &json!("RuntimeDefault")),
                "{way_name} {of}"
            );
            for container in pod["containers"].as_array().unwrap() {
                let own = &container["securityContext"];
                assert_eq!(own["allowPrivilegeEscalation"], false, "{way_name} {of}");
                assert_eq!(own["readOnlyRootFilesystem"], true, "{way_name} {of}");
                assert_eq!(own["capabilities"]["drop"], json!(["ALL"]), "{way_name} {of}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{way_name} {of}");
            }
        }
    }
}

/// The gateway, and the Job, have nothing to say to the API server. Web only looks: `rights.rs`.
#[test]
fn only_what_drives_tasks_or_shows_the_cluster_has_a_token_of_it() {
    let apart = &["atelier-web", "atelier-controller"][..];
    for (way_name, ask) in [("default", apart), ("full", apart), ("minimal", &["atelier-all"][..])] {
        let Some(objects) = way(way_name) else { return };
        for (of, pod) in pods(&objects) {
            assert_eq!(pod["automountServiceAccountToken"], ask.contains(&of), "{way_name} {of}");
        }
        for account in objects.iter().filter(|o| kind(o) == "ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false, "{way_name} {}", name(account));
        }
        for binding in objects.iter().filter(|o| kind(o).ends_with("Binding") && o["subjects"].is_array()) {
            let whose = if name(binding).ends_with("-nodes") { ask[0] } else { ask[ask.len() - 1] };
            let subjects = binding["subjects"].as_array().unwrap();
            assert!(subjects.len() == 1 && subjects[0]["name"] == whose, "{way_name} {} {subjects:?}", name(binding));
        }
    }
}

#[test]
fn a_process_is_given_only_the_secrets_of_its_role() {
    let Some(objects) = way("full") else { return };
    for (of, pod) in pods(&objects) {
        let text = pod.to_string();
        assert_eq!(text.contains("atelier-sign-in"), of == "atelier-web", "{of}");
        assert_eq!(text.contains("atelier-garage"), of == "atelier-controller", "{of}");
        assert!(text.contains("atelier-database") && text.contains("atelier-store") && text.contains("atelier-token-key"), "{of}");
    }
}

#[test]
fn every_role_may_lose_one_pod_at_a_time_and_drains_before_it_goes() {
    let Some(objects) = way("default") else { return };
    let budgets: Vec<_> = objects.iter().filter(|o| kind(o) == "PodDisruptionBudget").collect();
    let deployments: Vec<_> = objects.iter().filter(|o| kind(o) == "Deployment").collect();
    assert_eq!((budgets.len(), deployments.len()), (3, 3));
    for (budget, deployment) in budgets.iter().zip(&deployments) {
        assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        // Waiting, then answers, 20 s for work and 15 s for the last calls (portal.rs).
        let seconds = |name: &str| {
            let env = container["env"].as_array().unwrap().iter().find(|env| env["name"] == name).unwrap();
            env["value"].as_str().unwrap().parse::<u64>().unwrap()
        };
        let (waits, drains) = (seconds("ATELIER_SHUTDOWN_DELAY"), seconds("ATELIER_DRAIN_TIMEOUT"));
        assert_eq!((waits, drains), (5, 20));
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= waits + drains + 35);
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    }
}

#[test]
fn the_controllers_are_reached_by_nobody_but_the_monitoring() {
    let Some(objects) = way("full") else { return };
    let policies: Vec<_> = objects.iter().filter(|o| kind(o) == "NetworkPolicy").collect();
    assert_eq!(policies.len(), 3);
    let controller = policies.iter().find(|p| name(p) == "atelier-controller").unwrap();
    let ports: Vec<_> = controller["spec"]["ingress"].as_array().unwrap().iter().map(|rule| &rule["ports"][0]["port"]).collect();
    assert_eq!(ports, ["metrics"]);
    assert!(!controller["spec"]["egress"].to_string().contains("8000"), "only web and gateway talk to model servers");
    assert!(policies.iter().all(|p| p["spec"]["policyTypes"] == json!(["Ingress", "Egress"])));
}
