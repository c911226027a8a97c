//! JSON Schema (draft 7, which editors know best) of documents: from the types that read them, and the settings of a run from the catalogue.

use super::{Document, EndpointSpec, Kind, RunSpec, Spec, TenantSpec};
use crate::{
    model::WeightsKind,
    name::Name,
    people::Role,
    settings::{Entry, Kind as SettingKind, RunSettings, catalogue},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Tenant => document::<TenantSpec>(),
        Kind::Run => document::<RunSpec>(),
        Kind::Endpoint => document::<EndpointSpec>(),
    }
}

fn document<S: Spec + JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Document<S>>().to_value();
    let word = S::KIND.word();
    schema["title"] = word.into();
    schema["properties"]["kind"] = json!({ "type": "string", "const": word });
    schema["properties"]["status"]["readOnly"] = true.into();
    let metadata = &mut schema["properties"]["metadata"];
    if S::KIND == Kind::Tenant {
        if let Some(properties) = metadata["properties"].as_object_mut() {
            properties.remove("tenant");
        }
    } else if let Some(required) = metadata["required"].as_array_mut() {
        required.push("tenant".into());
    }
    schema
}

macro_rules! words {
    ($type:ty, $name:literal, $words:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": $words })
            }
        }
    };
}

words!(Role, "Role", Role::ALL.map(Role::word));
words!(WeightsKind, "Result", [WeightsKind::Adapter, WeightsKind::Merged].map(WeightsKind::word));

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "maxLength": 63 })
    }
}

impl JsonSchema for RunSettings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let entries = catalogue().ordered().filter(|entry| entry.is_persons());
        let properties: Map<String, Value> = entries.map(|entry| (entry.key.clone(), setting(entry))).collect();
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

fn setting(entry: &Entry) -> Value {
    let kind = match entry.kind {
        SettingKind::Bool => "boolean",
        SettingKind::Int => "integer",
        SettingKind::Float => "number",
        SettingKind::Choice | SettingKind::Text | SettingKind::List | SettingKind::Map => "string",
    };
    let words = if entry.words.is_empty() { &entry.help } else { &entry.words };
    let mut schema = json!({ "type": kind, "title": entry.label, "description": words });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            schema[name] = value;
        }
    };
    let number = |bound: Option<f64>| bound.map(|n| if n.fract() == 0.0 && n.abs() < 1e15 { json!(n as i64) } else { json!(n) });
    let range = entry.range.unwrap_or_default();
    set("minimum", number(range.least));
    set("exclusiveMinimum", number(range.above));
    set("maximum", number(range.most));
    set("exclusiveMaximum", number(range.below));
    set("default", entry.default.as_ref().and_then(|value| serde_json::to_value(value).ok()));
    let choices: Vec<&str> = entry.choices.iter().map(|choice| choice.value.as_str()).collect();
    set("enum", (!choices.is_empty()).then(|| json!(choices)));
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_described_with_every_setting_that_a_person_may_set() {
        let run = schema(Kind::Run);
        assert_eq!((&run["title"], &run["additionalProperties"]), (&json!("Run"), &json!(false)));
        assert_eq!(run["properties"]["kind"]["const"], "Run");
        let settings = &run["properties"]["spec"]["properties"]["settings"]["properties"];
        assert_eq!((&settings["lora_rank"]["type"], &settings["lora_rank"]["minimum"]), (&json!("integer"), &json!(1)));
        assert!(settings["output_dir"].is_null(), "the platform's own");
        let persons = catalogue().entries.iter().filter(|e| e.is_persons()).count();
        assert_eq!(settings.as_object().unwrap().len(), persons);
        let required = run["properties"]["spec"]["required"].as_array().unwrap();
        assert!(required.contains(&json!("baseModel")) && !required.contains(&json!("datasetVersion")), "{required:?}");
        assert!(run["properties"]["metadata"]["required"].as_array().unwrap().contains(&json!("tenant")));
    }

    #[test]
    fn what_a_document_may_say_is_described_in_words() {
        let tenant = schema(Kind::Tenant);
        let spec = &tenant["properties"]["spec"]["properties"];
        assert!(spec["suspended"]["description"].as_str().unwrap().contains("Nothing new starts"), "{spec}");
        assert!(tenant["properties"]["metadata"]["properties"]["tenant"].is_null(), "{tenant}");
        let endpoint = schema(Kind::Endpoint);
        assert!(endpoint["properties"]["spec"]["properties"]["serving"].to_string().contains("answerSeconds"));
    }

    #[test]
    fn the_committed_schemas_are_fresh() {
        let committed = [
            (Kind::Tenant, include_str!("../../../../docs/schema/tenant.json")),
            (Kind::Run, include_str!("../../../../docs/schema/run.json")),
            (Kind::Endpoint, include_str!("../../../../docs/schema/endpoint.json")),
        ];
        for (kind, text) in committed {
            let committed: Value = serde_json::from_str(text).unwrap_or_default();
            let word = kind.word().to_lowercase();
            assert!(committed == schema(kind), "docs/schema/{word}.json is stale: `atelier schema {word} > docs/schema/{word}.json`");
        }
    }
}
