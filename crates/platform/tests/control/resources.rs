//! What runs and endpoints ask a cluster for: told before the launch where it cannot be met, and in the Job and the Deployment where it can.
//! On a real cluster, with a node of the test's own that has a GPU by its status alone.

use crate::house::{House, plan, until};
use domain::{
    compute::Compute,
    name::Name,
    problem::Problem,
    resource::{EndpointSpec, RunSpec},
    resource_request::ResourceRequest,
    run::NewRun,
    serving::ServingSettings,
    size::GB,
    tenant::Quota,
};
use engine::{
    Engine,
    kubernetes::{Images, KubernetesEngine, Options, Placement, PullPolicy},
};
use platform::{
    access::PlatformScope,
    endpoints::NewEndpoint,
    put::{Outcome, Put},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Takes away from the cluster what the test has made there.
struct Cluster {
    kubectl: String,
    kubeconfig: String,
    prefix: String,
    node: String,
    /// Of the node's GPU.
    product: String,
}

impl Cluster {
    /// `None` = there is none, and that was said.
    fn find() -> Option<(Self, Value)> {
        let Some(file) = std::env::var_os("ATELIER_CLUSTER") else {
            testing::leave_out("what runs ask a cluster for: ATELIER_CLUSTER names none");
            return None;
        };
        let description: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let text = |key: &str| description[key].as_str().unwrap().to_owned();
        let id = std::process::id();
        let cluster = Self {
            kubectl: text("kubectl"),
            kubeconfig: text("kubeconfig"),
            prefix: format!("ask{id}-"),
            node: format!("ask-{id}"),
            product: format!("Test-GPU-{id}"),
        };
        Some((cluster, description))
    }

    fn kubectl(&self, args: &[&str], input: &str) -> String {
        let mut command = Command::new(&self.kubectl);
        command.args(["--kubeconfig", &self.kubeconfig]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A node that nothing is put on, with one GPU.
    fn add_node(&self) {
        let labels = json!({ "nvidia.com/gpu.product": self.product });
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node, "labels": labels }, "spec": { "unschedulable": true } });
        self.kubectl(&["create", "-f", "-"], &node.to_string());
        let has = json!({ "cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1", "pods": "10" });
        let status = json!({ "status": { "capacity": has, "allocatable": has } }).to_string();
        self.kubectl(&["patch", "node", &self.node, "--subresource=status", "--type=merge", "-p", &status], "");
    }

    fn engine_options(&self, description: &Value) -> Options {
        let image = description["images"]["task"].as_str().unwrap().to_owned();
        Options {
            kubeconfig: Some(self.kubeconfig.clone().into()),
            namespace_prefix: self.prefix.clone(),
            platform_namespace: format!("{}platform", self.prefix),
            provision: true,
            account: None,
            reader: None,
            // Nobody has it: the objects are looked at, and nothing runs.
            images: Images { task: "atelier.local/none:none".into(), trainer: image.clone(), vllm: image },
            image_pull_policy: PullPolicy::Never,
            group_prefix: None,
            store_networks: Vec::new(),
            placement: Placement::default(),
            weights_cache: None,
        }
    }

    /// The first container of the pods of the object of this kind whose name begins so, once there is one.
    async fn resources_of(&self, kind: &str, begins: &str) -> (Value, Value) {
        until(|| async {
            let namespace = format!("{}lumenta", self.prefix);
            let list: Value = serde_json::from_str(&self.kubectl(&["get", kind, "-n", &namespace, "-o", "json"], "")).unwrap();
            let named = |o: &&Value| o["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(begins));
            let found = list["items"].as_array().unwrap().iter().find(named).cloned();
            let spec = found.ok_or_else(|| format!("no {kind} {begins} in {list}"))?["spec"]["template"]["spec"].clone();
            Ok((spec["containers"][0]["resources"].clone(), spec["affinity"].clone()))
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let namespaces = ["lumenta", "velkor", "platform"].map(|tenant| format!("{}{tenant}", self.prefix));
        let delete = |args: &[&str]| {
            let mut command = Command::new(&self.kubectl);
            command.args(["--kubeconfig", &self.kubeconfig, "delete", "--wait=false", "--ignore-not-found"]).args(args);
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        delete(&["node", &self.node]);
        delete(&["namespace", &namespaces[0], &namespaces[1], &namespaces[2]]);
    }
}

fn asks(gpus: u32, product: Option<&str>) -> ResourceRequest {
    ResourceRequest { gpus: Some(gpus), gpu_product: product.map(str::to_owned), ..ResourceRequest::default() }
}

fn told<T>(answer: Result<T, Problem>) -> (String, String) {
    let Err(problem) = answer else { panic!("it was taken") };
    let field = problem.fields.first().unwrap_or_else(|| panic!("{problem:?}"));
    (field.field.clone(), field.sentence.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_and_an_endpoint_get_of_a_cluster_what_they_ask_for_and_are_told_before_what_it_has_not() {
    let Some((cluster, description)) = Cluster::find() else { return };
    cluster.add_node();
    let engine = Engine::Kubernetes(KubernetesEngine::new(cluster.engine_options(&description)).await.unwrap());
    let house = House::new(None).await.with_engine(engine).await;
    let quota =
        |gpus| Quota { concurrent_runs: 5, endpoints: 5, compute: Compute { gpus: Some(gpus), ..Compute::default() }, ..Quota::default() };
    let admin = PlatformScope::command_line();
    house.platform.tenants(&admin).set_quota("lumenta", quota(2)).await.unwrap();
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let (runs, endpoints) = (house.platform.runs(&scope), house.platform.endpoints(&scope));
    let product = Some(cluster.product.as_str());

    let supply = house.platform.supply(&scope).await.unwrap();
    assert!(supply.machines.products().contains(&cluster.product), "{supply:?}");
    let asking = |resources: ResourceRequest| NewRun { resources, ..plan("facts-1", 7) };
    let (field, sentence) = told(runs.check(&asking(asks(4, None))).await);
    assert!(field == "gpus" && sentence.starts_with("It asks for 4 GPUs, and the tenant’s quota is 2 GPUs."), "{sentence}");
    let (field, sentence) = told(runs.launch(asking(asks(2, product))).await);
    let expected = format!("No node has 2 GPUs of {}; the largest has 1.", cluster.product);
    assert!(field == "gpus" && sentence.starts_with(&expected), "{sentence}");
    assert_eq!(told(runs.launch(NewRun { nodes: 3, ..asking(asks(1, product)) }).await).0, "gpus", "3 GPUs on 3 nodes");
    assert_eq!(told(runs.launch(asking(asks(1, Some("no such card")))).await).0, "gpu_product");
    assert_eq!(runs.list(&Default::default(), &Default::default()).await.unwrap().rows.len(), 0, "nothing was launched");

    // On the CPU; and the same again by a copy of its form, and by its document.
    let small = ResourceRequest { cpu: Some(2), memory: Some(GB), ..asks(0, None) };
    let on_cpu = runs.launch(asking(small.clone())).await.unwrap();
    assert_eq!((on_cpu.resources(), runs.draft(on_cpu.id).await.unwrap().0.resources), (small.clone(), small.clone()));
    let document = runs.document("facts-1").await.unwrap();
    let first: Name = "facts-1".parse().unwrap();
    let Put { outcome, document } = runs.put(&first, RunSpec { ..document.spec }).await.unwrap();
    assert_eq!(outcome, Outcome::Unchanged);
    assert!(serde_json::to_string(&document.spec).unwrap().contains(r#""resources":{"gpus":0,"cpu":2,"memoryBytes":1000000000}"#));

    let new = |resources| NewEndpoint { name: "helpdesk".into(), base_model: "world".into(), resources };
    assert_eq!(told(endpoints.create(new(asks(3, None))).await).0, "gpus");
    endpoints.create(new(asks(1, product))).await.unwrap();
    let settings = |replicas, resources| ServingSettings { replicas, resources, ..ServingSettings::default() };
    assert_eq!(told(endpoints.set_settings("helpdesk", settings(3, asks(1, product))).await).0, "gpus", "3 replicas, 2 GPUs");
    let desk: Name = "helpdesk".parse().unwrap();
    let spec = |text: &str| serde_json::from_str::<EndpointSpec>(text).unwrap();
    assert_eq!(told(endpoints.put(&desk, spec(r#"{"resources":{"gpus":2}}"#)).await).0, "spec.resources.gpus");
    let shown = endpoints.document("helpdesk").await.unwrap();
    assert_eq!(endpoints.put(&desk, shown.spec.clone()).await.unwrap().outcome, Outcome::Unchanged);
    let changed = endpoints.put(&desk, spec(r#"{"resources":{"cpu":3}}"#)).await.unwrap();
    assert_eq!(changed.outcome, Outcome::Changed);
    assert_eq!(
        changed.document.spec.resources.as_ref().unwrap().gpus,
        shown.spec.resources.as_ref().unwrap().gpus,
        "what is not said stays"
    );

    // A quota that is lowered below what is stored: the run waits and says why, and what was set of an endpoint stays.
    let waiting = runs.launch(NewRun { name: "facts-2".into(), submission: "second".into(), ..asking(asks(1, product)) }).await.unwrap();
    house.platform.tenants(&admin).set_quota("lumenta", quota(0)).await.unwrap();
    let _controller = house.controller("a");
    let (cpu, affinity) = cluster.resources_of("jobs", &format!("run-{}", on_cpu.id.uuid().simple())).await;
    assert_eq!(cpu, json!({ "requests": { "cpu": "2", "memory": "1G" }, "limits": { "memory": "1G" } }));
    assert!(affinity.is_null());
    let (served, affinity) = cluster.resources_of("deployments", "ep-").await;
    assert_eq!((&served["requests"]["cpu"], &served["limits"]["nvidia.com/gpu"]), (&json!("3"), &json!("1")), "{served}");
    assert!(affinity.to_string().contains(&cluster.product), "{affinity}");
    let seen = house.run_until(&scope, &waiting, |run| run.waits_for().is_some_and(|cause| cause.said().starts_with("Cannot start"))).await;
    assert!(seen.said().contains("it needs 1 GPU, and the tenant's quota is 0 GPUs"), "{}", seen.said());
    let owner = house.owner().await;
    let slower = ServingSettings { answer_seconds: 60, ..endpoints.get("helpdesk").await.unwrap().settings };
    house.platform.endpoints(&owner).set_settings("helpdesk", slower).await.unwrap();
}
