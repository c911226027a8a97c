//! What a job of the queue is: one enum, and how it stands in the columns of its row.

use domain::{
    ids::{BaseModelId, DatasetVersionId},
    name::Name,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Work that follows from a change. The names of kinds and fields are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Job {
    /// Judges every row of a version, or clears up after an upload whose portal died.
    Inspect {
        tenant: Name,
        #[serde(rename = "object")]
        version: DatasetVersionId,
    },
    /// Copies a base model's files into the artefact store, and hashes them.
    RegisterBaseModel {
        #[serde(rename = "object")]
        model: BaseModelId,
        folder: PathBuf,
        /// Names in the folder.
        files: Vec<String>,
    },
}

/// The columns that say what is to be done. Kind, tenant and object stand by themselves, so that the queue can be shared out among
/// tenants and read by people; what else a kind needs is JSON, `null` where it needs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub kind: String,
    pub tenant: Option<Name>,
    pub object: String,
    pub payload: String,
}

impl Job {
    /// Fails only for a path that is no text.
    pub fn columns(&self) -> Result<Columns, serde_json::Error> {
        let mut fields: Map<String, Value> = serde_json::from_value(serde_json::to_value(self)?)?;
        let mut taken = |name: &str| fields.remove(name).unwrap_or_default();
        let (kind, tenant, object) = (taken("kind"), taken("tenant"), taken("object"));
        Ok(Columns {
            kind: serde_json::from_value(kind)?,
            tenant: serde_json::from_value(tenant)?,
            object: serde_json::from_value(object)?,
            payload: if fields.is_empty() { "null".into() } else { serde_json::to_string(&fields)? },
        })
    }

    /// Fails for what a later program has written.
    pub fn of(columns: &Columns) -> Result<Self, serde_json::Error> {
        let mut fields: Map<String, Value> = serde_json::from_str::<Option<_>>(&columns.payload)?.unwrap_or_default();
        fields.insert("kind".into(), columns.kind.clone().into());
        fields.insert("object".into(), columns.object.clone().into());
        if let Some(tenant) = &columns.tenant {
            fields.insert("tenant".into(), tenant.as_str().into());
        }
        serde_json::from_value(fields.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(kind: &str, tenant: Option<&str>, object: &str, payload: &str) -> Columns {
        Columns { kind: kind.into(), tenant: tenant.map(|t| t.parse().unwrap()), object: object.into(), payload: payload.into() }
    }

    #[test]
    fn a_job_stands_in_its_row_as_earlier_versions_wrote_it() {
        let (id, model) = ("dsv_00000000000000000000000000000009", "base_00000000000000000000000000000003");
        let inspect = Job::Inspect { tenant: "acme".parse().unwrap(), version: id.parse().unwrap() };
        let register =
            Job::RegisterBaseModel { model: model.parse().unwrap(), folder: "/models/tiny".into(), files: vec!["config.json".into()] };
        for (job, row) in [
            (inspect, columns("inspect", Some("acme"), id, "null")),
            (register, columns("register_base_model", None, model, r#"{"files":["config.json"],"folder":"/models/tiny"}"#)),
        ] {
            assert_eq!(job.columns().unwrap(), row);
            assert_eq!(Job::of(&row).unwrap(), job);
        }
    }

    #[test]
    fn a_row_of_a_later_version_is_no_job_of_ours() {
        assert!(Job::of(&columns("quantize", Some("acme"), "x", "null")).is_err());
        assert!(Job::of(&columns("inspect", None, "dsv_00000000000000000000000000000009", "null")).is_err());
    }
}
