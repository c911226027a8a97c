//! A tenant's weights, kept between the starts of its model servers: one claim in its namespace, which their pods mount. What is kept there and
//! how it is checked, `atelier task` knows.

use super::quantity;
use serde_json::{Value, json};

/// The claim in the namespace of each tenant.
pub const CLAIM: &str = "atelier-weights";
const KIND: &str = "PersistentVolumeClaim";
const VOLUME: &str = "weights";
const FOLDER: &str = "/atelier/weights";

/// The volume that each tenant gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsCache {
    /// As Kubernetes writes amounts: `500Gi`.
    pub size: String,
    /// `None` = the cluster's own choice.
    pub storage_class: Option<String>,
}

impl WeightsCache {
    /// `None` = that is no size.
    pub fn new(size: &str, storage_class: Option<String>) -> Option<Self> {
        quantity::whole(size).filter(|bytes| *bytes > 0)?;
        Some(Self { size: size.to_owned(), storage_class })
    }

    /// What is asked for, in the fields of a claim. Several pods on several nodes write to it.
    pub fn spec(&self) -> Value {
        let mut spec = json!({ "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": self.size } } });
        if let Some(class) = &self.storage_class {
            spec["storageClassName"] = json!(class);
        }
        spec
    }

    /// The volume, into the pod of a model server.
    pub fn put_into(pod: &mut Value) {
        if let Some(volumes) = pod["volumes"].as_array_mut() {
            volumes.push(json!({ "name": VOLUME, "persistentVolumeClaim": { "claimName": CLAIM } }));
        }
        // Else the node goes through all files of the volume before each start.
        pod["securityContext"]["fsGroupChangePolicy"] = json!("OnRootMismatch");
        let main = &mut pod["containers"][0];
        if let Some(mounts) = main["volumeMounts"].as_array_mut() {
            mounts.push(json!({ "name": VOLUME, "mountPath": FOLDER }));
        }
        if let Some(env) = main["env"].as_array_mut() {
            env.push(json!({ "name": "ATELIER_WEIGHTS_CACHE", "value": FOLDER }));
        }
    }
}

/// Takes out of a claim what the cluster has filled in, before it is compared; other objects stay as they are. A claim can grow and never
/// shrink, so one that has more than is asked for is as it should be.
pub fn compared(wanted: &Value, there: &mut Value) {
    if wanted["kind"] != KIND {
        return;
    }
    if let Some(spec) = there["spec"].as_object_mut() {
        spec.retain(|field, _| wanted["spec"].get(field).is_some());
    }
    let asked = |claim: &Value| claim["spec"]["resources"]["requests"]["storage"].as_str().and_then(quantity::whole);
    if asked(there) > asked(wanted) {
        there["spec"]["resources"] = wanted["spec"]["resources"].clone();
    }
}

/// How a claim is, for people; empty for other objects.
pub fn state(there: &Value) -> String {
    if there["kind"] != KIND {
        return String::new();
    }
    match there["status"]["phase"].as_str() {
        Some("Bound") => format!("; has a volume of {}", there["status"]["capacity"]["storage"].as_str().unwrap_or("unknown size")),
        Some("Lost") => "; its volume is gone: delete the claim, and another is made".into(),
        _ => "; has no volume yet".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::drift;

    fn wanted() -> Value {
        let spec = WeightsCache::new("200Gi", None).unwrap().spec();
        json!({ "apiVersion": "v1", "kind": KIND, "metadata": { "name": CLAIM }, "spec": spec })
    }

    /// How others' fields come out of the API server.
    fn there(size: &str) -> Value {
        let mut there = wanted();
        there["spec"]["resources"]["requests"]["storage"] = json!(size);
        (there["spec"]["volumeName"], there["spec"]["volumeMode"]) = (json!("pv-7"), json!("Filesystem"));
        there["spec"]["storageClassName"] = json!("the-default");
        there["status"] = json!({ "phase": "Bound", "capacity": { "storage": "256Gi" } });
        there
    }

    #[test]
    fn what_the_cluster_fills_in_is_no_change_and_neither_is_more_room() {
        let fields = |size: &str| {
            let mut there = there(size);
            compared(&wanted(), &mut there);
            drift::difference(&wanted(), &there).map(|d| d.fields)
        };
        assert_eq!([fields("200Gi"), fields("300Gi"), fields("204800Mi")], [None, None, None]);
        assert_eq!(fields("100Gi").unwrap(), ["spec.resources.requests.storage"]);
        // Of other objects everything counts.
        let policy = json!({ "kind": "NetworkPolicy", "spec": { "podSelector": {} } });
        let mut opened = json!({ "kind": "NetworkPolicy", "spec": { "podSelector": {}, "egress": [{}] } });
        compared(&policy, &mut opened);
        assert!(drift::difference(&policy, &opened).is_some());
    }

    #[test]
    fn a_claim_says_whether_it_has_a_volume() {
        let mut claim = there("200Gi");
        assert_eq!(state(&claim), "; has a volume of 256Gi");
        claim["status"] = json!({ "phase": "Pending" });
        assert_eq!(state(&claim), "; has no volume yet");
        claim["status"]["phase"] = json!("Lost");
        assert!(state(&claim).contains("delete the claim"));
        assert_eq!(state(&json!({ "kind": "Namespace", "status": { "phase": "Bound" } })), "");
    }

    #[test]
    fn a_size_is_an_amount_of_bytes() {
        assert!(WeightsCache::new("500Gi", None).is_some() && WeightsCache::new("500000000000", None).is_some());
        for bad in ["", "0", "0Gi", "much", "500 Gi", "-1Gi"] {
            assert_eq!(WeightsCache::new(bad, None), None, "{bad:?}");
        }
    }
}
