//! Secrets of a tenant as Secret objects of its namespace. Pods read them as files; nothing else of the engine ever does.

use super::{
    Options,
    names::{self, FIELD_MANAGER, MANAGED_BY, TENANT},
};
use domain::name::Name;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// The one key in the object.
pub const KEY: &str = "value";

pub fn secret(tenant: &Name, name: &str, text: &str, options: &Options) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names::secret(name),
            "namespace": options.namespace(tenant),
            "labels": { MANAGED_BY: FIELD_MANAGER, TENANT: tenant.as_str() },
        },
        "type": "Opaque",
        "data": { KEY: ByteString(text.as_bytes().to_vec()) },
    })
}
