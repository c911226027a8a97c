//! The objects of tasks as the cluster has them now, for whoever helps: Jobs, Deployments, Services, pods and what the cluster said of them.
//! Values of environment variables are taken out here, and Secrets and ConfigMaps are never read: what is not there cannot get out.

use super::{KubernetesEngine, failed, label, names, namespaces, term};
use crate::Error;
use domain::name::Name;
use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Event, Pod, Service},
    },
};
use kube::{ResourceExt, api::ListParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt::Debug;

/// Stands for the value of an environment variable.
const TAKEN_OUT: &str = "***";
/// What `kubectl apply` keeps of an object: all of it once more, with its values.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What was found; what could not be looked at is said beside it, so that a right that is missing hides nothing else.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// As the cluster shows them: each with `apiVersion` and `kind`.
    pub found: Vec<Value>,
    pub problems: Vec<String>,
}

impl KubernetesEngine {
    /// What belongs to tasks whose name begins so. `tenant`: whose they are; `None` = nobody knows, so all tenants' namespaces are looked into.
    pub async fn objects_of(&self, tenant: Option<&Name>, prefix: &str) -> Objects {
        let namespaces = match tenant {
            Some(tenant) => vec![self.options.namespace(tenant)],
            None => match self.namespaces().await {
                Ok(all) => all,
                Err(e) => return Objects { found: Vec::new(), problems: vec![e.to_string()] },
            },
        };
        let looks = futures::stream::iter(namespaces).map(|namespace| self.objects_in(namespace, prefix));
        let mut looks = looks.buffer_unordered(namespaces::AT_A_TIME);
        let mut all = Objects::default();
        while let Some(Objects { found, problems }) = looks.next().await {
            all.found.extend(found);
            all.problems.extend(problems);
        }
        all
    }

    async fn objects_in(&self, namespace: String, prefix: &str) -> Objects {
        let ours = ListParams::default().labels(&names::all());
        let by_name = |name: &str| name.starts_with(prefix);
        let mut seen = Objects::default();
        self.look::<Job>(&namespace, &ours, "Jobs", &mut seen, |o| by_name(&o.name_any())).await;
        self.look::<Deployment>(&namespace, &ours, "Deployments", &mut seen, |o| by_name(&o.name_any())).await;
        self.look::<Service>(&namespace, &ours, "Services", &mut seen, |o| by_name(&o.name_any())).await;
        self.look::<Pod>(&namespace, &ours, "pods", &mut seen, |o| label(&o.metadata, names::TASK).is_some_and(|t| by_name(&t))).await;
        let of = |e: &Event| e.involved_object.name.as_deref().is_some_and(by_name);
        self.look::<Event>(&namespace, &ListParams::default(), "events", &mut seen, of).await;
        seen
    }

    async fn look<K>(&self, namespace: &str, which: &ListParams, what: &str, into: &mut Objects, wanted: impl Fn(&K) -> bool)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
    {
        match self.api::<K>(namespace).list(which).await {
            Ok(list) => {
                let found = list.items.iter().filter(|o| wanted(o)).filter_map(|o| serde_json::to_value(o).ok());
                into.found.extend(found.map(without_values));
            }
            Err(e) if self.is_absent(namespace, &e).await => {
                into.problems.push(format!("There is no namespace {namespace}, so it has no {what}."));
            }
            Err(e) => into.problems.push(failed(format!("listing the {what} in {namespace}"))(e).to_string()),
        }
    }

    /// The term of leadership that the cluster knows; `None` = nobody has led yet.
    pub async fn term_of_the_cluster(&self) -> Result<Option<i64>, Error> {
        let map = self.api::<ConfigMap>(&self.options.platform_namespace).get_opt(term::OBJECT).await;
        Ok(map.map_err(failed("looking at the term of leadership"))?.as_ref().and_then(term::of))
    }
}

/// Without what an object repeats of itself, and without the values of environment variables.
fn without_values(mut object: Value) -> Value {
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("managedFields");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    take_out(&mut object);
    object
}

fn take_out(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(take_out),
        Value::Object(fields) => {
            if let Some(variables) = fields.get_mut("env").and_then(Value::as_array_mut) {
                for variable in variables.iter_mut().filter_map(|v| v.get_mut("value")) {
                    *variable = TAKEN_OUT.into();
                }
            }
            fields.values_mut().for_each(take_out);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_variables_are_taken_out_wherever_a_container_is_and_their_names_and_references_stay() {
        let container = |value: &str| {
            json!({ "name": "c", "env": [
            { "name": "HF_TOKEN", "value": value },
            { "name": "OTHER", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
        ] })
        };
        let object = json!({
            "metadata": { "name": "x", "managedFields": [{ "manager": "m" }], "annotations": { LAST_APPLIED: "planted-1", "other": "kept" } },
            "spec": { "template": { "spec": { "containers": [container("planted-2")], "initContainers": [container("planted-3")],
                "ephemeralContainers": [container("planted-4")] } } },
        });
        let left = without_values(object);
        let text = left.to_string();
        assert!(!text.contains("planted") && !text.contains("managedFields"), "{text}");
        assert_eq!(left["metadata"]["annotations"], json!({ "other": "kept" }));
        let env = &left["spec"]["template"]["spec"]["initContainers"][0]["env"];
        assert_eq!(env[0], json!({ "name": "HF_TOKEN", "value": "***" }));
        assert_eq!(env[1]["valueFrom"]["secretKeyRef"]["name"], "s");
    }
}
