//! Every address of the portal, made in one place. Parts are names and ids, which need no escaping in a path;
//! what people type goes through [`query`].

use domain::lineage::Target;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Display;

pub fn home(tenant: &impl Display) -> String {
    format!("/t/{tenant}")
}
pub fn datasets(tenant: &impl Display) -> String {
    format!("/t/{tenant}/datasets")
}
/// `name` = the dataset that gets a further version, or empty.
pub fn dataset_new(tenant: &impl Display, name: &str) -> String {
    with(format!("/t/{tenant}/datasets-new"), &[("name", name)])
}
pub fn dataset(tenant: &impl Display, name: &impl Display) -> String {
    format!("/t/{tenant}/datasets/{name}")
}
pub fn dataset_version(tenant: &impl Display, name: &impl Display, number: u32) -> String {
    format!("/t/{tenant}/datasets/{name}?v={number}")
}
/// A plain link to the bytes.
pub fn dataset_file(tenant: &impl Display, name: &impl Display, number: u32, file: domain::dataset::DatasetFile) -> String {
    format!("/t/{tenant}/datasets/{name}/files/{}?v={number}", file.word())
}
/// Where a file is posted that becomes a version.
pub fn datasets_upload(tenant: &impl Display) -> String {
    format!("/t/{tenant}/datasets-upload")
}
pub fn runs(tenant: &impl Display) -> String {
    format!("/t/{tenant}/runs")
}
pub fn run_new(tenant: &impl Display) -> String {
    format!("/t/{tenant}/runs-new")
}
/// Where the settings of a new run are posted that come back as a file.
pub fn run_file(tenant: &impl Display) -> String {
    format!("/t/{tenant}/runs-file")
}
/// Where a file with settings is posted that a new run is to have.
pub fn run_file_open(tenant: &impl Display) -> String {
    format!("/t/{tenant}/runs-file-open")
}
pub fn run(tenant: &impl Display, id: &impl Display) -> String {
    format!("/t/{tenant}/runs/{id}")
}
pub fn models(tenant: &impl Display) -> String {
    format!("/t/{tenant}/models")
}
pub fn model(tenant: &impl Display, name: &impl Display) -> String {
    format!("/t/{tenant}/models/{name}")
}
pub fn model_version(tenant: &impl Display, name: &impl Display, number: u32) -> String {
    format!("/t/{tenant}/models/{name}?v={number}")
}
pub fn card_edit(tenant: &impl Display, name: &impl Display, number: u32) -> String {
    format!("/t/{tenant}/models/{name}/card/edit?v={number}")
}
pub fn card_markdown(tenant: &impl Display, name: &impl Display, number: u32) -> String {
    format!("/t/{tenant}/models/{name}/card.md?v={number}")
}
pub fn endpoints(tenant: &impl Display) -> String {
    format!("/t/{tenant}/endpoints")
}
pub fn endpoint_external(tenant: &impl Display) -> String {
    format!("/t/{tenant}/endpoints-external")
}
pub fn endpoint_new(tenant: &impl Display) -> String {
    format!("/t/{tenant}/endpoints-new")
}
pub fn endpoint(tenant: &impl Display, name: &impl Display) -> String {
    format!("/t/{tenant}/endpoints/{name}")
}
pub fn playground(tenant: &impl Display) -> String {
    format!("/t/{tenant}/playground")
}
pub fn chat(tenant: &impl Display, id: &impl Display) -> String {
    format!("/t/{tenant}/playground/{id}")
}
/// Where a question is posted.
pub fn playground_ask(tenant: &impl Display) -> String {
    format!("/t/{tenant}/playground/chat")
}
/// The stream of what changes.
pub fn events(tenant: &impl Display) -> String {
    format!("/t/{tenant}/events")
}
pub fn keys(tenant: &impl Display) -> String {
    format!("/t/{tenant}/keys")
}
pub fn key_new(tenant: &impl Display) -> String {
    format!("/t/{tenant}/keys-new")
}
pub fn usage(tenant: &impl Display) -> String {
    format!("/t/{tenant}/usage")
}
pub fn lineage(tenant: &impl Display) -> String {
    format!("/t/{tenant}/lineage")
}
pub fn members(tenant: &impl Display) -> String {
    format!("/t/{tenant}/members")
}
pub fn audit(tenant: &impl Display) -> String {
    format!("/t/{tenant}/audit")
}
pub fn base_models(tenant: &impl Display) -> String {
    format!("/t/{tenant}/base-models")
}
pub fn admin_tenants() -> String {
    "/admin/tenants".into()
}
pub fn admin_tenant_new() -> String {
    "/admin/tenants-new".into()
}
pub fn admin_tenant(name: &impl Display) -> String {
    format!("/admin/tenants/{name}")
}
pub fn admin_base_models() -> String {
    "/admin/base-models".into()
}
pub fn admin_cluster() -> String {
    "/admin/cluster".into()
}
pub fn admin_usage() -> String {
    "/admin/usage".into()
}
/// The calls that could not be recorded, as a file.
pub fn admin_set_aside_file() -> String {
    "/admin/usage/set-aside.jsonl".into()
}
pub fn admin_audit() -> String {
    "/admin/audit".into()
}
/// What a link of the lineage strip leads to.
pub fn target(tenant: &impl Display, target: &Target) -> String {
    match target {
        Target::Datasets => datasets(tenant),
        Target::DatasetVersion { name, number } => dataset_version(tenant, name, *number),
        Target::Runs => runs(tenant),
        Target::Run(id) => run(tenant, id),
        Target::Models => models(tenant),
        Target::ModelVersion { name, number } => model_version(tenant, name, *number),
        Target::Endpoints => endpoints(tenant),
        Target::Endpoint(name) => endpoint(tenant, name),
        Target::Keys => keys(tenant),
        Target::Usage => usage(tenant),
    }
}

/// The tenant in a path of ours.
pub fn tenant_of(path: &str) -> Option<&str> {
    path.strip_prefix("/t/")?.split(['/', '?']).next().filter(|t| !t.is_empty())
}

/// Through the identity provider and back to `return_to`, a path of ours.
pub fn sign_in(return_to: &str) -> String {
    with("/auth/login".into(), &[("return_to", return_to)])
}
/// Where signing out is posted.
pub fn sign_out() -> String {
    "/auth/logout".into()
}
/// The page that offers signing in, and leads back to `return_to`.
pub fn login(return_to: &str) -> String {
    with("/login".into(), &[("return_to", return_to)])
}

/// `path` with the pairs that have a value, escaped.
pub fn with(path: String, pairs: &[(&str, &str)]) -> String {
    let mut out = path;
    for (key, value) in pairs.iter().filter(|(_, v)| !v.is_empty()) {
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(key);
        out.push('=');
        out.push_str(&query(value));
    }
    out
}

/// What stands in a query string as it is; everything else becomes `%XX`.
const IN_A_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A value for a query string.
pub fn query(value: &str) -> String {
    utf8_percent_encode(value, IN_A_QUERY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_read_from_where_it_is_written() {
        assert_eq!(
            [home(&"acme"), usage(&"acme")].map(|path| tenant_of(&path).map(str::to_owned)),
            [Some("acme".into()), Some("acme".into())]
        );
        assert_eq!(["/t/", "/admin/tenants", "/login"].map(tenant_of), [None, None, None]);
    }

    #[test]
    fn a_value_cannot_add_parameters_or_lines() {
        assert_eq!(
            with("/t/a/runs".into(), &[("q", "x&admin=1\r\nä"), ("state", ""), ("b", "2")]),
            "/t/a/runs?q=x%26admin%3D1%0D%0A%C3%A4&b=2"
        );
    }
}
