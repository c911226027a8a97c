//! By what rights the portal works in a tenant's namespace: bindings there, of its service accounts to roles of the cluster. So it has
//! none in the namespaces of others, and a tenant's go with the tenant's namespace.

use super::{
    Account, Options,
    names::{FIELD_MANAGER, MANAGED_BY, RBAC, TENANT},
    wanted::Wanted,
};
use domain::{name::Name, tenant_objects::TenantObject};
use serde_json::json;

/// Of the binding in each namespace of whoever drives tasks.
const DRIVER: &str = "atelier-runtime";
/// Of whoever only shows what is there.
const READER: &str = "atelier-reader";

/// None = whoever the portal is has its rights already.
pub fn bindings(tenant: &Name, options: &Options) -> Vec<Wanted> {
    let driver = options.account.iter().map(|account| (DRIVER, account, "the portal may make and end tasks here"));
    let reader = options.reader.iter().map(|account| (READER, account, "the portal's pages may show what is here"));
    let binding = |(name, account, content): (&str, &Account, &str)| {
        let object = json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "RoleBinding",
            "metadata": {
                "name": name,
                "namespace": options.namespace(tenant),
                "labels": { MANAGED_BY: FIELD_MANAGER, TENANT: tenant.as_str() },
            },
            "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": account.role },
            "subjects": [{ "kind": "ServiceAccount", "name": account.name, "namespace": options.platform_namespace }],
        });
        // What gives us our rights, nobody can give himself.
        let by_others = name == DRIVER && !options.provision;
        Wanted { object, content: content.to_owned(), by_others }
    };
    driver.chain(reader).map(binding).collect()
}

/// Whether it gives us what all that follows needs.
pub fn is_ours(object: &TenantObject) -> bool {
    object.kind == "RoleBinding" && object.name == DRIVER
}
