//! An endpoint as a document.

use super::{Difference, Kind, ResourcesSpec, Said, Spec, placed};
use crate::{
    endpoint::{AdapterState, Endpoint, EndpointState},
    name::Name,
    problem::FieldProblem,
    serving::{ParserChoice, ServingSettings},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody wants of an endpoint. It serves one thing for good: a base model, full weights, or models of somebody else's server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EndpointSpec {
    /// Name of the base model that it serves, with adapters or without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<Name>,
    /// The model version whose full weights it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_weights: Option<VersionSpec>,
    /// A server that somebody else runs. Shown only: it is added on its page, because its key is no part of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalSpec>,
    /// The model versions that answer on it beside the base model: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Vec<VersionSpec>>,
    /// How many of its model server there are at once, each with the whole model. 1 to 32, where the portal works on a cluster; else 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// What each replica may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,
    /// Nothing of it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// How it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingSpec>,
}

/// A version of a model of this tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionSpec {
    pub model: Name,
    pub version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalSpec {
    /// `https://llm.example.org`, without the `/v1` behind it.
    pub address: String,
    /// Which of its models answer.
    #[serde(default)]
    pub models: Vec<ExternalModelSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalModelSpec {
    /// Its id at the server.
    pub there: String,
    /// What clients of this tenant write as `model`.
    pub here: Name,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServingSpec {
    /// Seconds that an answer which is not streamed may take in all. 10 to 7200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_seconds: Option<u32>,
    /// `auto` (the one that fits the model's chat template), `off`, or the name of one of vLLM's parsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_parser: Option<String>,
    /// `auto`, `off`, or the name of one of vLLM's parsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_parser: Option<String>,
    /// Hosts from which the model server may fetch pictures, sound and film; at most 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_hosts: Option<Vec<String>>,
    /// Fields of a request that steer the model server itself and are refused unless they stand here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_fields: Option<Vec<String>>,
}

impl ServingSpec {
    fn of(settings: &ServingSettings) -> Self {
        let word = |choice: &ParserChoice| match choice {
            ParserChoice::Auto => "auto".to_owned(),
            ParserChoice::Off => "off".to_owned(),
            ParserChoice::Named(name) => name.clone(),
        };
        Self {
            answer_seconds: Some(settings.answer_seconds),
            tool_call_parser: Some(word(&settings.tool_call_parser)),
            reasoning_parser: Some(word(&settings.reasoning_parser)),
            media_hosts: Some(settings.media_hosts.clone()),
            allowed_fields: Some(settings.allowed_fields.clone()),
        }
    }

    /// The settings of before with what is said here.
    pub fn over(&self, mut settings: ServingSettings) -> ServingSettings {
        let choice = |word: &Option<String>, before: ParserChoice| match word.as_deref() {
            None => before,
            Some("auto") => ParserChoice::Auto,
            Some("off") => ParserChoice::Off,
            Some(name) => ParserChoice::Named(name.to_owned()),
        };
        settings.answer_seconds = self.answer_seconds.unwrap_or(settings.answer_seconds);
        settings.tool_call_parser = choice(&self.tool_call_parser, settings.tool_call_parser);
        settings.reasoning_parser = choice(&self.reasoning_parser, settings.reasoning_parser);
        settings.media_hosts = self.media_hosts.clone().unwrap_or(settings.media_hosts);
        settings.allowed_fields = self.allowed_fields.clone().unwrap_or(settings.allowed_fields);
        settings
    }
}

impl EndpointSpec {
    /// All that is set of an endpoint now. `full_weights`: the version that it serves, where that is what it serves.
    pub fn of(endpoint: &Endpoint, full_weights: Option<(&Name, u32)>) -> Self {
        let base = endpoint.base.as_ref().filter(|_| endpoint.merged_version.is_none());
        let adapters = endpoint.attachments.iter().map(|a| VersionSpec { model: a.model_name.clone(), version: a.number });
        let external = endpoint.external.as_ref().map(|external| ExternalSpec {
            address: external.address.clone(),
            models: external.offered().map(|(m, here)| ExternalModelSpec { there: m.there.clone(), here: here.clone() }).collect(),
        });
        Self {
            base_model: base.map(|base| base.name.clone()),
            full_weights: full_weights.map(|(model, version)| VersionSpec { model: model.clone(), version }),
            external,
            adapters: endpoint.takes_adapters().then(|| adapters.collect()),
            replicas: Some(endpoint.settings.replicas),
            resources: Some(ResourcesSpec::of(&endpoint.settings.resources)).filter(|asked| !asked.is_empty()),
            // One that was given up is still wanted: nobody stopped it.
            stopped: Some(matches!(endpoint.state, EndpointState::Stopping | EndpointState::Stopped)),
            serving: Some(ServingSpec::of(&endpoint.settings)),
        }
        .in_order()
    }

    fn in_order(mut self) -> Self {
        if let Some(adapters) = &mut self.adapters {
            adapters.sort();
            adapters.dedup();
        }
        if let Some(external) = &mut self.external {
            external.models.sort();
        }
        self
    }

    pub fn serving_over(&self, settings: ServingSettings) -> ServingSettings {
        let replicas = self.replicas.unwrap_or(settings.replicas);
        let resources = match &self.resources {
            Some(said) => said.over(settings.resources.clone()),
            None => settings.resources.clone(),
        };
        let settings = match &self.serving {
            Some(said) => said.over(settings),
            None => settings,
        };
        ServingSettings { replicas, resources, ..settings }
    }

    /// Problems of the forms of an endpoint, by their place in its document.
    pub fn placed(problems: Vec<FieldProblem>) -> Vec<FieldProblem> {
        let place = |problem: FieldProblem| match problem.field.as_str() {
            "name" => vec![FieldProblem { field: "metadata.name".into(), ..problem }],
            "base_model" | "endpoint" | "replicas" => placed("spec", vec![problem]),
            _ => match ResourcesSpec::placed(&problem) {
                Some(placed) => vec![placed],
                None => placed("spec.serving", vec![problem]),
            },
        };
        problems.into_iter().flat_map(place).collect()
    }

    /// What cannot be, before anything is changed.
    pub fn check(&self) -> Vec<FieldProblem> {
        let mut wrong = Self::placed(self.serving_over(ServingSettings::default()).check());
        let sources = [self.base_model.is_some(), self.full_weights.is_some(), self.external.is_some()];
        if sources.iter().filter(|said| **said).count() > 1 {
            wrong.push(FieldProblem::new("spec", "An endpoint has one of baseModel, fullWeights and external, not several."));
        }
        if self.base_model.is_none() && (self.full_weights.is_some() || self.external.is_some()) && self.adapters.is_some() {
            wrong.push(FieldProblem::new("spec.adapters", "Only an endpoint of a base model takes adapters."));
        }
        wrong
    }

    /// Of an endpoint that is there, where it wants something else that cannot become another.
    pub fn fixed_differences(&self, now: &Self) -> Vec<Difference> {
        let fixed = ["spec.baseModel", "spec.fullWeights", "spec.external"];
        self.differences(now).into_iter().filter(|d| fixed.iter().any(|field| d.path.starts_with(field))).collect()
    }
}

impl Spec for EndpointSpec {
    const KIND: Kind = Kind::Endpoint;
    type Status = EndpointStatus;

    fn differences(&self, now: &Self) -> Vec<Difference> {
        Difference::between(now, &self.clone().in_order())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    pub id: String,
    pub state: EndpointState,
    /// Why it is where it is.
    pub reason: Said,
    /// Counts changes of what it serves.
    pub revision: u32,
    /// What clients may write as `model`.
    pub models: Vec<String>,
    pub adapters: Vec<AdapterStatus>,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterStatus {
    pub model: Name,
    pub version: u32,
    pub state: AdapterState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Said>,
}

impl EndpointStatus {
    /// `models`: what clients may write as `model` for what it serves.
    pub fn of(endpoint: &Endpoint, models: Vec<String>) -> Self {
        let adapters = endpoint.attachments.iter().map(|a| AdapterStatus {
            model: a.model_name.clone(),
            version: a.number,
            state: a.state,
            reason: a.reason.as_ref().map(|reason| Said::of(reason, reason.said())),
        });
        Self {
            id: endpoint.id.to_string(),
            state: endpoint.state,
            reason: Said::of(&endpoint.reason, endpoint.reason.said()),
            revision: endpoint.revision,
            models,
            adapters: adapters.collect(),
            created_at: endpoint.created_at.rfc3339(),
            ready_at: endpoint.ready_at.map(Timestamp::rfc3339),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> EndpointSpec {
        serde_json::from_str(text).unwrap()
    }

    fn now() -> EndpointSpec {
        read(
            r#"{"baseModel":"world-base","adapters":[{"model":"facts","version":1},{"model":"facts","version":2}],"replicas":2,"stopped":false,
                "serving":{"answerSeconds":600,"toolCallParser":"auto","reasoningParser":"auto","mediaHosts":[],"allowedFields":[]}}"#,
        )
    }

    #[test]
    fn adapters_have_no_order_and_what_is_not_said_stays() {
        let said = |text: &str| read(text).differences(&now()).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said(r#"{"adapters":[{"model":"facts","version":2},{"model":"facts","version":1}]}"#), [""; 0]);
        assert_eq!(
            said(r#"{"serving":{"answerSeconds":60},"stopped":true}"#),
            ["spec.serving.answerSeconds: 600 -> 60", "spec.stopped: false -> true"]
        );
        assert_eq!(said(r#"{"adapters":[]}"#).len(), 1);
        assert_eq!(said(r#"{"replicas":3}"#), ["spec.replicas: 2 -> 3"]);
    }

    #[test]
    fn what_it_serves_cannot_become_another() {
        let fixed = |text: &str| read(text).fixed_differences(&now()).into_iter().map(|d| d.path).collect::<Vec<_>>();
        assert_eq!(fixed(r#"{"baseModel":"world-base","stopped":true}"#), [""; 0]);
        assert_eq!(fixed(r#"{"baseModel":"other"}"#), ["spec.baseModel"]);
        assert_eq!(fixed(r#"{"fullWeights":{"model":"facts","version":1}}"#), ["spec.fullWeights.model", "spec.fullWeights.version"]);
        assert_eq!(fixed(r#"{"external":{"address":"https://a.example"}}"#).len(), 2);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_place() {
        let fields = |text: &str| read(text).check().into_iter().map(|p| p.field).collect::<Vec<_>>();
        assert_eq!(fields(r#"{"baseModel":"a","fullWeights":{"model":"facts","version":1}}"#), ["spec"]);
        assert_eq!(fields(r#"{"fullWeights":{"model":"facts","version":1},"adapters":[]}"#), ["spec.adapters"]);
        assert_eq!(
            fields(r#"{"serving":{"answerSeconds":1,"toolCallParser":"--trust"}}"#),
            ["spec.serving.answerSeconds", "spec.serving.toolCallParser"]
        );
        assert_eq!(fields(r#"{"replicas":0,"serving":{"answerSeconds":1}}"#), ["spec.replicas", "spec.serving.answerSeconds"]);
        assert_eq!(fields(r#"{"resources":{"gpus":2,"migProfile":"1g.10gb"}}"#), ["spec.resources.gpus"]);
        assert_eq!(now().check(), Vec::new());
    }

    #[test]
    fn replicas_are_as_they_were_where_nothing_is_said_of_them() {
        let over = |text: &str| read(text).serving_over(ServingSettings { replicas: 3, ..ServingSettings::default() }).replicas;
        assert_eq!((over("{}"), over(r#"{"serving":{"answerSeconds":60}}"#), over(r#"{"replicas":2}"#)), (3, 3, 2));
    }

    #[test]
    fn resources_are_as_they_were_where_nothing_is_said_of_them() {
        let asked = ServingSettings {
            resources: crate::resource_request::ResourceRequest { gpus: Some(2), cpu: Some(8), ..Default::default() },
            ..ServingSettings::default()
        };
        let over = |text: &str| read(text).serving_over(asked.clone()).resources;
        assert_eq!(over("{}"), asked.resources);
        assert_eq!((over(r#"{"resources":{"gpus":4}}"#).gpus, over(r#"{"resources":{"gpus":4}}"#).cpu), (Some(4), Some(8)));
        assert!(over(r#"{"resources":{"gpus":null,"cpu":null}}"#).is_default());
        let now = EndpointSpec { resources: Some(ResourcesSpec::of(&asked.resources)), ..now() };
        let said = |text: &str| read(text).differences(&now).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said(r#"{"resources":{"cpu":8}}"#), [""; 0]);
        assert_eq!(said(r#"{"resources":{"gpus":1,"memoryBytes":null}}"#), ["spec.resources.gpus: 2 -> 1"]);
    }

    #[test]
    fn a_parser_is_a_word() {
        let spec = read(r#"{"serving":{"toolCallParser":"hermes","reasoningParser":"off"}}"#);
        let settings = spec.serving_over(ServingSettings { answer_seconds: 77, ..ServingSettings::default() });
        assert_eq!(
            (settings.tool_call_parser, settings.reasoning_parser, settings.answer_seconds),
            (ParserChoice::Named("hermes".into()), ParserChoice::Off, 77)
        );
    }
}
