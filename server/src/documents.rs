//! Documents of tenants, runs and endpoints as text: what the API takes and gives, and what `atelier apply` and `export` read and write.

use domain::{
    problem::Problem,
    resource::{ApiVersion, Document, Kind, Spec},
    text,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
}

impl Format {
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }

    pub fn write(self, value: &impl Serialize) -> Result<String, String> {
        match self {
            Self::Json => serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|e| e.to_string()),
            Self::Yaml => serde_yaml_ng::to_string(value).map_err(|e| e.to_string()),
        }
    }

    /// The error says where, by line and column.
    fn read<T: DeserializeOwned>(self, text: &str) -> Result<T, String> {
        match self {
            Self::Json => serde_json::from_str(text).map_err(|e| e.to_string()),
            Self::Yaml => serde_yaml_ng::from_str(text).map_err(|e| e.to_string()),
        }
    }
}

/// What has to be known of a document before the rest of it can be read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: Option<String>,
    kind: Option<String>,
}

/// What it is a document of; or why it is none, as a sentence.
pub fn kind(format: Format, text: &str) -> Result<Kind, String> {
    let Head { api_version, kind } = format.read(text).map_err(|why| format!("It cannot be read: {why}."))?;
    let ours = ApiVersion::TEXT;
    match api_version.as_deref() {
        Some(ApiVersion::TEXT) => {}
        Some(other) => return Err(format!("Its apiVersion is “{}”; this program knows {ours}.", short(other))),
        None => return Err(format!("It has no apiVersion: write “apiVersion: {ours}”.")),
    }
    let known = Kind::ALL.map(Kind::word).join(", ");
    let kind = kind.ok_or_else(|| format!("It has no kind: write one of {known}."))?;
    Kind::from_word(&kind).ok_or_else(|| format!("Its kind is “{}”; there are {known}.", short(&kind)))
}

/// The document of a kind that is known, or why it cannot be read, as a sentence.
pub fn read<S: Spec>(format: Format, text: &str) -> Result<Document<S>, String> {
    let found = kind(format, text)?;
    if found != S::KIND {
        return Err(format!("It is a document of a {}, and one of a {} is wanted.", found.word(), S::KIND.word()));
    }
    let document: Document<S> = format.read(text).map_err(|why| format!("It cannot be read: {why}."))?;
    // Where text is read from JSON, the layer `text` has looked; YAML has escapes of its own.
    let storable = serde_json::to_vec(&document).map_or(Ok(()), |json| text::check_json(&json));
    storable.map_err(|Problem { sentence, .. }| sentence)?;
    Ok(document)
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::resource::{RunSpec, TenantSpec};

    const TENANT: &str = "apiVersion: atelier.dev/v1\nkind: Tenant\nmetadata:\n  name: lumenta\nspec:\n  quota:\n    endpoints: 3\n";

    #[test]
    fn a_document_is_read_from_yaml_and_from_json_and_written_as_it_was() {
        let document = read::<TenantSpec>(Format::Yaml, TENANT).unwrap();
        assert_eq!(Format::Yaml.write(&document).unwrap(), TENANT);
        let json = Format::Json.write(&document).unwrap();
        assert_eq!(read::<TenantSpec>(Format::Json, &json).unwrap(), document);
    }

    #[test]
    fn settings_of_a_run_keep_their_kinds() {
        let text = "apiVersion: atelier.dev/v1\nkind: Run\nmetadata: {name: facts-1, tenant: lumenta}\nspec:\n  baseModel: world-base\n  \
            dataset: facts\n  model: facts\n  settings:\n    learning_rate: 2e-4\n    lora_rank: 16\n    packing: true\n    lora_target: all\n";
        let run = read::<RunSpec>(Format::Yaml, text).unwrap();
        let back = read::<RunSpec>(Format::Yaml, &Format::Yaml.write(&run).unwrap()).unwrap();
        assert_eq!(run, back);
        let said: Vec<String> = run.spec.settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
        assert_eq!(said, ["learning_rate 2.0e-4", "lora_rank 16", "lora_target all", "packing true"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let said = |text: &str| read::<TenantSpec>(Format::Yaml, text).unwrap_err();
        for (text, words) in [
            (TENANT.replace("endpoints: 3", "endpoint: 3"), "unknown field `endpoint`"),
            (TENANT.replace("endpoints: 3", "endpoint: 3"), "line 7"),
            (TENANT.replace("endpoints: 3", "endpoints: many"), "line 7"),
            (TENANT.replace("kind: Tenant", "kind: Tenent"), "there are Tenant, Run, Endpoint"),
            (TENANT.replace("kind: Tenant", "kind: Run"), "a document of a Run"),
            (TENANT.replace("kind: Tenant\n", ""), "no kind"),
            (TENANT.replace("/v1", "/v2"), "atelier.dev/v2"),
            (TENANT.replace("apiVersion: atelier.dev/v1\n", ""), "no apiVersion"),
            (TENANT.replace("lumenta", "Lumenta GmbH"), "lumenta-gmbh"),
            (TENANT.replace("quota:", "quota: ["), "line"),
            (format!("{TENANT}---\n{TENANT}"), "more than one document"),
            (TENANT.replace("  quota:\n    endpoints: 3", "  title: \"a\\0b\""), "NUL"),
            ("- a\n".into(), "cannot be read"),
            (String::new(), "no apiVersion"),
        ] {
            let sentence = said(&text);
            assert!(sentence.contains(words), "{words}: {sentence}");
        }
    }
}
