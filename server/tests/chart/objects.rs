//! What holds for the chart as a whole.

use crate::helm::{self, NAMESPACE, WAYS, chart, kind, name, parsed, rendered, said, values, way};
use std::collections::BTreeSet;

#[test]
fn helm_itself_finds_nothing_wrong_in_any_way_to_install() {
    for way in WAYS {
        let Some(mut helm) = helm::helm() else { return };
        let output = helm.args(["lint", "--strict"]).arg(chart()).arg("--values").arg(values(way)).output().unwrap();
        assert!(output.status.success(), "{way}: {}", said(&output));
    }
}

#[test]
fn what_nobody_else_can_know_is_asked_for_by_name() {
    let all = std::fs::read_to_string(values("default")).unwrap();
    let default = values("default").display().to_string();
    let setting = |path: &str| format!("{path}=");
    for path in ["publicUrl", "images.portal", "images.task", "images.trainer", "images.vllm", "signIn.issuer", "store.endpoint"] {
        assert!(all.contains(path.rsplit('.').next().unwrap()), "{path}");
        let Some(mut helm) = helm::helm() else { return };
        let output =
            helm.args(["template", "atelier"]).arg(chart()).args(["--values", &default, "--set", &setting(path)]).output().unwrap();
        let words = said(&output);
        assert!(!output.status.success() && words.contains(&format!("{path} is missing: ")), "{path}: {words}");
    }
}

#[test]
fn a_setting_that_does_not_exist_or_cannot_be_meant_is_refused() {
    for wrong in [
        "replicas.wbe=2",
        "publicURL=https://a.example.org",
        "publicUrl=atelier.example.org",
        "publicUrl=https://atelier.example.org/portal",
        "tenants.namespacePrefix=Atelier_",
        "images.pullPolicy=Sometimes",
        "store.networks={here}",
        "signIn.tenantGroup=teams",
        "database.password=secret",
    ] {
        let Some(mut helm) = helm::helm() else { return };
        let default = values("default").display().to_string();
        let output = helm.args(["template", "atelier"]).arg(chart()).args(["--values", &default, "--set", wrong]).output().unwrap();
        let setting = wrong.split(['=', '.']).next().unwrap();
        assert!(!output.status.success() && said(&output).contains(setting), "{wrong}: {}", said(&output));
    }
}

#[test]
fn no_secret_is_made_and_none_stands_in_an_object() {
    for way_name in WAYS {
        let Some(objects) = way(way_name) else { return };
        assert!(objects.iter().all(|o| kind(o) != "Secret"), "{way_name}");
        for (of, pod) in helm::pods(&objects) {
            for env in pod["containers"][0]["env"].as_array().unwrap() {
                let variable = env["name"].as_str().unwrap();
                let secret = ["SECRET", "ACCESS_KEY_ID", "DATABASE_URL", "PASSWORD"].iter().any(|word| variable.contains(word));
                assert_eq!(secret, env["valueFrom"]["secretKeyRef"].is_object(), "{way_name} {of} {variable}");
            }
        }
    }
}

/// Two portals on one cluster: what belongs to no namespace must have a name of its own.
#[test]
fn two_portals_on_one_cluster_share_no_object() {
    let full = values("full").display().to_string();
    let shared = |namespace: &str| -> Option<BTreeSet<String>> {
        let objects = rendered(&["--values", &full, "--namespace", namespace])?;
        let of_the_cluster = |o: &&serde_json::Value| kind(o).starts_with("Cluster") || kind(o).starts_with("ValidatingAdmissionPolicy");
        Some(objects.iter().filter(of_the_cluster).map(|o| format!("{} {}", kind(o), name(o))).collect())
    };
    let (Some(one), Some(other)) = (shared("one"), shared("other")) else { return };
    assert!(one.len() >= 5 && one.is_disjoint(&other), "{one:?} {other:?}");
}

#[test]
fn in_a_network_without_a_way_out_every_image_comes_from_the_mirror_by_its_digest() {
    let Some(objects) = way("air-gapped") else { return };
    let mut seen = 0;
    for (of, pod) in helm::pods(&objects) {
        let container = &pod["containers"][0];
        let of_tasks = container["env"].as_array().unwrap().iter().filter(|e| e["name"].as_str().unwrap().ends_with("_IMAGE"));
        for image in of_tasks.map(|e| &e["value"]).chain([&container["image"]]) {
            let image = image.as_str().unwrap();
            assert!(image.starts_with("mirror.house.internal/ai/") && image.contains("@sha256:"), "{of}: {image}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4 * 4, "three roles and the Job, with four images each");
    let text = serde_json::to_string(&objects).unwrap();
    assert!(!text.contains("docker.io") && !text.contains("example.org"));
}

#[test]
fn the_schema_is_brought_up_to_date_before_anything_new_starts() {
    let Some(objects) = way("default") else { return };
    let jobs: Vec<_> = objects.iter().filter(|o| kind(o) == "Job").collect();
    let [job] = jobs[..] else { panic!("{jobs:?}") };
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["args"], serde_json::json!(["migrate"]));
    // At that time there is nothing of the release yet.
    assert!(job["spec"]["template"]["spec"]["serviceAccountName"].is_null());
}

#[test]
fn calls_go_to_the_gateway_and_pages_to_the_web_role_by_route_and_by_ingress() {
    let Some(objects) = way("full") else { return };
    let find = |wanted: &str, called: &str| objects.iter().find(|o| kind(o) == wanted && name(o) == called).unwrap();
    let route = find("HTTPRoute", "atelier");
    let to = |rule: usize| route["spec"]["rules"][rule]["backendRefs"][0]["name"].as_str().unwrap();
    assert_eq!((to(0), to(1)), ("atelier-gateway", "atelier-web"));
    assert_eq!(route["spec"]["rules"][0]["matches"][0]["path"]["value"], "/v1");
    assert_eq!(route["spec"]["hostnames"], serde_json::json!(["atelier.example.org"]));
    // A stream has no end that a proxy may set.
    assert_eq!(route["spec"]["rules"][0]["timeouts"]["request"], "0s");
    assert_eq!(find("HTTPRoute", "atelier-gateway")["spec"]["hostnames"], serde_json::json!(["api.atelier.example.org"]));
    let paths = &find("Ingress", "atelier")["spec"]["rules"][0]["http"]["paths"];
    assert_eq!((&paths[0]["path"], &paths[0]["backend"]["service"]["name"]), (&"/v1".into(), &"atelier-gateway".into()));
    assert_eq!((&paths[1]["path"], &paths[1]["backend"]["service"]["name"]), (&"/".into(), &"atelier-web".into()));
    assert_eq!(find("Ingress", "atelier")["metadata"]["annotations"]["cert-manager.io/cluster-issuer"], "house");
    for object in objects.iter().filter(|o| kind(o) == "Service") {
        assert!(object["metadata"]["namespace"].is_null() || object["metadata"]["namespace"] == NAMESPACE);
    }
}

#[test]
fn the_examples_name_the_secrets_that_the_chart_reads() {
    let Some(objects) = way("default") else { return };
    let wanted = serde_json::to_string(&objects).unwrap();
    let example = |name: &str| std::fs::read_to_string(chart().join("examples").join(name)).unwrap();
    let external = parsed(&example("external-secrets.yaml"));
    let vault = parsed(&example("vault-csi.yaml"));
    let of_vault = vault[0]["extraObjects"][0]["spec"]["secretObjects"].as_array().unwrap();
    let (one, other): (BTreeSet<_>, BTreeSet<_>) =
        (external.iter().map(name).collect(), of_vault.iter().map(|s| s["secretName"].as_str().unwrap()).collect());
    assert_eq!(one, other);
    for secret in one {
        assert!(wanted.contains(&format!("\"{secret}\"")), "{secret}");
    }
    // The second is a file of values.
    let file = chart().join("examples/vault-csi.yaml").display().to_string();
    rendered(&["--values", &values("default").display().to_string(), "--values", &file]);
}
