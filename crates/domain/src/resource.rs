//! Tenants, runs and endpoints as documents, in the style of Kubernetes: `spec` is what somebody wants, `status` what is. The API
//! (`/api/v1`), `atelier apply` and `atelier export` speak of nothing else. Not for the browser.
//!
//! What a spec does not say stays as it is, and has its default in something new. So a document holds what its writer looks after, and a
//! field of a later version is not reset by a document of an earlier one. A run cannot be changed: its spec is compared whole.

mod difference;
mod endpoint;
mod quota;
mod resources;
mod run;
mod schema;
mod tenant;

pub use difference::Difference;
pub use endpoint::{EndpointSpec, EndpointStatus, ExternalModelSpec, ExternalSpec, ServingSpec, VersionSpec};
pub use quota::QuotaSpec;
pub use resources::ResourcesSpec;
pub use run::{RunSpec, RunStatus};
pub use schema::schema;
pub use tenant::{CallsSpec, GroupSpec, HoldingStatus, TenantSpec, TenantStatus};

use crate::{name::Name, page::Page, problem::FieldProblem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    #[default]
    #[serde(rename = "atelier.dev/v1")]
    V1,
}

impl ApiVersion {
    pub const TEXT: &str = "atelier.dev/v1";
}

/// In the order in which one needs the other.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString, JsonSchema,
)]
#[strum(const_into_str)]
pub enum Kind {
    Tenant,
    Run,
    Endpoint,
}

// As documents write it.
worded!(Kind);

impl Kind {
    pub const ALL: [Self; 3] = [Self::Tenant, Self::Run, Self::Endpoint];
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Lower-case letters, digits, “-” and “.”; at most 63. It never changes.
    pub name: Name,
    /// The tenant that it belongs to; not of a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
}

/// What a spec is of.
pub trait Spec: Serialize + DeserializeOwned {
    const KIND: Kind;
    type Status: Serialize;

    /// What of it is another than now, by the paths of the document.
    fn differences(&self, now: &Self) -> Vec<Difference>;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document<S> {
    pub api_version: ApiVersion,
    pub kind: Kind,
    pub metadata: Metadata,
    pub spec: S,
    /// What is; told by the portal, and passed over when it is sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}

impl<S: Spec> Document<S> {
    /// `tenant`: none for a tenant.
    pub fn new(tenant: Option<&Name>, name: &Name, spec: S, status: &S::Status) -> Self {
        Self {
            api_version: ApiVersion::V1,
            kind: S::KIND,
            metadata: Metadata { name: name.clone(), tenant: tenant.cloned() },
            spec,
            status: serde_json::to_value(status).ok(),
        }
    }

    /// Only what somebody wants.
    pub fn without_status(self) -> Self {
        Self { status: None, ..self }
    }
}

/// A page of documents, as Kubernetes writes lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<S> {
    pub api_version: ApiVersion,
    /// `RunList`.
    pub kind: String,
    pub metadata: ListMetadata,
    pub items: Vec<Document<S>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMetadata {
    /// For `?continue=`; none on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<S: Spec> List<S> {
    pub fn of(page: Page<Document<S>>) -> Self {
        let next = page.next.map(|next| next.as_str().to_owned());
        Self { api_version: ApiVersion::V1, kind: format!("{}List", S::KIND.word()), metadata: ListMetadata { next }, items: page.rows }
    }
}

/// What a state says of itself: a code with parameters for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    #[serde(flatten)]
    pub code: serde_json::Value,
    pub message: String,
}

impl Said {
    pub fn of(code: &impl Serialize, message: String) -> Self {
        Self { code: serde_json::to_value(code).unwrap_or_default(), message }
    }
}

/// Problems of a form's fields by their place in a document: `storage_bytes` of the quota is `spec.quota.storageBytes`.
pub fn placed(under: &str, problems: Vec<FieldProblem>) -> Vec<FieldProblem> {
    problems.into_iter().map(|p| FieldProblem { field: format!("{under}.{}", camel(&p.field)), ..p }).collect()
}

/// A problem of a field that the form takes in GB, and a document in bytes; others as they are.
fn in_bytes(problem: FieldProblem) -> FieldProblem {
    let Some(field) = problem.field.strip_suffix("_gb") else { return problem };
    let suggestion = problem.suggestion.and_then(|gb| gb.parse::<f64>().ok()).map(|gb| format!("{:.0}", gb * 1e9));
    FieldProblem { field: format!("{field}_bytes"), suggestion, sentence: problem.sentence }
}

fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_by_its_place_in_the_document() {
        let fields = placed("spec.quota", vec![FieldProblem::new("concurrent_runs", "x"), FieldProblem::new("endpoints", "x")]);
        assert_eq!(fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), ["spec.quota.concurrentRuns", "spec.quota.endpoints"]);
    }

    #[test]
    fn a_document_is_written_as_kubernetes_writes_them() {
        let name: Name = "lumenta".parse().unwrap();
        let document = Document {
            api_version: ApiVersion::V1,
            kind: Kind::Tenant,
            metadata: Metadata { name, tenant: None },
            spec: TenantSpec { suspended: Some(false), ..TenantSpec::default() },
            status: None,
        };
        let text = r#"{"apiVersion":"atelier.dev/v1","kind":"Tenant","metadata":{"name":"lumenta"},"spec":{"suspended":false}}"#;
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
        assert_eq!(serde_json::from_str::<Document<TenantSpec>>(text).unwrap(), document);
        assert_eq!(ApiVersion::TEXT, serde_json::to_value(ApiVersion::V1).unwrap());
        for wrong in [text.replace("suspended", "suspendet"), text.replace("/v1", "/v2"), text.replace("metadata", "meta")] {
            assert!(serde_json::from_str::<Document<TenantSpec>>(&wrong).is_err(), "{wrong}");
        }
    }
}
