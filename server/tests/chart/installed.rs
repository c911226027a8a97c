//! The portal inside the cluster: installed by Helm from the chart, with the program that was built last, on the cluster's PostgreSQL and S3.

use crate::{
    cluster::{Cluster, Kept},
    helm::{self, chart, kind, name, parsed, said},
};
use futures::FutureExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

/// A database of the test's own.
struct Database {
    admin: String,
    name: String,
    url: String,
}

impl Database {
    async fn create(cluster: &Cluster) -> Self {
        let admin = cluster.text("/postgres/url").to_owned();
        let name = format!("chart_{}", std::process::id());
        let (server, _) = admin.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        Self::run(&admin, &format!("CREATE DATABASE {name}")).await;
        Self { admin, name, url }
    }

    async fn run(admin: &str, statement: &str) {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(admin).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    }

    async fn remove(self) {
        Self::run(&self.admin, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

fn secrets(cluster: &Cluster, database: &Database) -> Vec<Value> {
    let key: Value = serde_json::from_slice(&std::fs::read(cluster.text("/s3/portal_key_file")).unwrap()).unwrap();
    let token = std::fs::read_to_string(cluster.text("/s3/admin_token_file")).unwrap();
    let secret =
        |name: &str, data: Value| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data });
    vec![
        secret("atelier-database", json!({ "url": database.url })),
        secret("atelier-token-key", json!({ "token.key": "0123456789abcdef".repeat(4) })),
        secret("atelier-sign-in", json!({ "client-secret": "none" })),
        secret("atelier-store", key),
        secret("atelier-garage", json!({ "admin-token": token.trim() })),
    ]
}

/// As an admin writes them: what this cluster is like, and small.
fn settings(cluster: &Cluster, prefix: &str, api: (&str, &str)) -> Value {
    let image = cluster.text("/images/task");
    let small = json!({ "requests": { "cpu": "20m", "memory": "64Mi" }, "limits": { "memory": "1Gi" } });
    json!({
        "publicUrl": "https://atelier.example.org",
        "images": { "portal": image, "task": image, "trainer": cluster.text("/images/trainer"), "vllm": cluster.text("/images/vllm") },
        "replicas": { "web": 1, "gateway": 1, "controller": 1 },
        "resources": { "web": small, "gateway": small, "controller": small },
        "signIn": { "issuer": "https://sso.example.org/realms/house" },
        "store": {
            "endpoint": cluster.text("/s3/endpoint"),
            "region": cluster.text("/s3/region"),
            "bucketPrefix": prefix,
            "networks": [cluster.text("/s3/network")],
            "garage": { "adminUrl": cluster.text("/s3/admin_endpoint"), "existingSecret": "atelier-garage" },
        },
        "tenants": { "namespacePrefix": prefix },
        // The database, the API server and the store's admin interface, and the store: the portal's pods go nowhere else.
        "networkPolicy": { "egress": [{ "to": [
            { "ipBlock": { "cidr": format!("{}/32", cluster.text("/node_address")) } },
            { "ipBlock": { "cidr": cluster.text("/s3/network") } },
        ] }] },
        "route": { "httpRoute": { "enabled": false }, "trustedProxies": ["10.244.0.0/15"] },
        // Where there is no kube-proxy, the address that pods are told of the API server leads nowhere.
        "extraEnv": [{ "name": "KUBERNETES_SERVICE_HOST", "value": api.0 }, { "name": "KUBERNETES_SERVICE_PORT", "value": api.1 }],
    })
}

fn helm_does(words: &[&str]) -> Option<String> {
    let output = helm::helm()?.args(words).output().unwrap();
    Some(if output.status.success() { String::new() } else { said(&output) })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_runs_inside_the_cluster_from_the_chart() {
    let Some(cluster) = Cluster::find("the portal from the chart") else { return };
    if helm::helm().is_none() {
        return;
    }
    // As the program does at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = Database::create(&cluster).await;
    let done = std::panic::AssertUnwindSafe(installed_and_removed(&cluster, &database)).catch_unwind().await;
    database.remove().await;
    if let Err(why) = done {
        std::panic::resume_unwind(why);
    }
}

async fn installed_and_removed(cluster: &Cluster, database: &Database) {
    let prefix = format!("chart{}-", std::process::id());
    let namespace = format!("{prefix}portal");
    let mut kept = Kept { cluster, namespaces: vec![namespace.clone(), format!("{prefix}acme")], objects: Vec::new() };
    cluster.asked(&["create", "namespace", &namespace]);
    cluster.asked(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    let folder = tempfile::tempdir().unwrap();
    cluster.apply(folder.path(), &secrets(cluster, database), &["-n", &namespace]);
    let api = cluster.text("/api_server").trim_start_matches("https://").split_once(':').unwrap();
    let file = folder.path().join("values.json");
    std::fs::write(&file, settings(cluster, &prefix, api).to_string()).unwrap();
    let (chart, file) = (chart().display().to_string(), file.display().to_string());
    let to = ["--namespace", &namespace, "--kubeconfig", cluster.text("/kubeconfig")];
    let rendered = helm::helm().unwrap().args(["template", "atelier", &chart, "--values", &file]).args(to).output().unwrap();
    let rendered = parsed(&String::from_utf8(rendered.stdout).unwrap());
    kept.objects = rendered
        .iter()
        .filter(|o| kind(o).starts_with("Cluster") || kind(o).starts_with("ValidatingAdmissionPolicy"))
        .map(|o| format!("{}/{}", kind(o), name(o)))
        .collect();

    let words = [&["install", "atelier", &chart, "--values", &file, "--wait", "--timeout", "8m"][..], &to].concat();
    let refused = helm_does(&words).unwrap();
    assert!(refused.is_empty(), "{refused}\n{}", what_happened(cluster, &namespace));
    looks_right(cluster, &namespace).await;
    a_tenant_is_made(cluster, &namespace, &prefix).await;

    // Again, with other settings, as at an upgrade: the schema's Job runs before, and pods are replaced one by one.
    let words =
        [&["upgrade", "atelier", &chart, "--values", &file, "--set", "podAnnotations.again=yes", "--wait", "--timeout", "8m"][..], &to];
    let refused = helm_does(&words.concat()).unwrap();
    assert!(refused.is_empty(), "{refused}\n{}", what_happened(cluster, &namespace));
    looks_right(cluster, &namespace).await;

    let refused = helm_does(&[&["uninstall", "atelier", "--wait"][..], &to].concat()).unwrap();
    assert!(refused.is_empty(), "{refused}");
    let left = cluster.asked(&["-n", &namespace, "get", "deployments,services,jobs,networkpolicies,poddisruptionbudgets", "-o", "name"]);
    assert!(left.trim().is_empty(), "{left}");
    drop(kept);
}

fn what_happened(cluster: &Cluster, namespace: &str) -> String {
    let mut all = String::new();
    for words in [
        &["get", "pods", "-o", "wide"][..],
        &["get", "events", "--sort-by=.lastTimestamp"],
        &["logs", "--all-containers", "--prefix", "--tail=40", "-l", "app.kubernetes.io/name=atelier"],
    ] {
        let output = cluster.kubectl(&[&["-n", namespace], words].concat()).output().unwrap();
        all += &said(&output);
    }
    all
}

/// Each role answers, and the portal's pages are there.
async fn looks_right(cluster: &Cluster, namespace: &str) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(30)).build().unwrap();
    let pods: Value = serde_json::from_str(&cluster.asked(&["-n", namespace, "get", "pods", "-o", "json"])).unwrap();
    let mut seen = Vec::new();
    for pod in pods["items"].as_array().unwrap() {
        let role = pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap().to_owned();
        if pod["metadata"]["deletionTimestamp"].is_string() {
            continue;
        }
        let address = pod["status"]["podIP"].as_str().unwrap();
        let ready = client.get(format!("http://{address}:3000/readyz")).send().await.unwrap();
        let (status, text) = (ready.status(), ready.text().await.unwrap());
        assert!(status == 200 && text.starts_with("ready"), "{role}: {status} {text}");
        let page = client
            .get(format!("http://{address}:3000/login"))
            .header("host", "atelier.example.org")
            .header("x-forwarded-proto", "https")
            .send()
            .await
            .unwrap();
        let (status, text) = (page.status(), page.text().await.unwrap());
        assert_eq!(status == 200 && text.contains("<html"), role == "web", "{role}: {status}");
        let models = client.get(format!("http://{address}:3000/v1/models")).send().await.unwrap();
        assert_eq!(models.status() == 401, role == "gateway", "{role}: {}", models.status());
        let metrics = client.get(format!("http://{address}:9464/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("atelier_build_info"), "{role}");
        seen.push(role);
    }
    seen.sort();
    assert_eq!(seen, ["controller", "gateway", "web"]);
}

/// By the command that the operations guide names, in the pod of the controllers.
async fn a_tenant_is_made(cluster: &Cluster, namespace: &str, prefix: &str) {
    let in_the_pod = |words: &[&str]| {
        let all = [&["-n", namespace, "exec", "deploy/atelier-controller", "--", "atelier"][..], words].concat();
        cluster.kubectl(&all).output().unwrap()
    };
    let made = in_the_pod(&["tenant", "create", "acme"]);
    assert!(made.status.success(), "{}", said(&made));
    // What the doctor says of the cluster and the store, by the rights of the pod's account.
    let doctor = said(&in_the_pod(&["doctor"]));
    let line = |part: &str| doctor.lines().find(|line| line.contains(part)).unwrap_or_default().to_owned();
    assert!(line(" cluster ").starts_with("ok") && line(" cluster ").contains("all rights are there"), "{doctor}");
    assert!(line(" artefact store ").starts_with("ok"), "{doctor}");
    // The controllers make the tenant's bucket.
    let admin = std::fs::read_to_string(cluster.text("/s3/admin_token_file")).unwrap();
    let (url, client) = (format!("{}/v2/ListBuckets", cluster.text("/s3/admin_endpoint")), reqwest::Client::new());
    let end = Instant::now() + PATIENCE;
    loop {
        let buckets = client.get(&url).bearer_auth(admin.trim()).send().await.unwrap().text().await.unwrap();
        if buckets.contains(&format!("{prefix}acme")) {
            return;
        }
        assert!(Instant::now() < end, "{buckets}\n{}", what_happened(cluster, namespace));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
