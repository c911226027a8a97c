//! How an endpoint serves: what a person may set of it, and which of vLLM's parsers fit a chat template.

use crate::{
    call_rules::is_host,
    counted::{counted, listed},
    problem::FieldProblem,
    resource_request::ResourceRequest,
};
use serde::{Deserialize, Serialize};

mod parsers;
pub use parsers::{REASONING_PARSERS, TOOL_CALL_PARSERS, reasoning_parser_for, tool_call_parser_for};

/// Which of the model server's parsers an endpoint uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParserChoice {
    /// The one that fits the model's chat template; none where none is known to fit.
    #[default]
    Auto,
    Off,
    Named(String),
}

/// What can be set of an endpoint. Fields that an older row lacks have their default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServingSettings {
    /// How many of the server there are at once, each with the whole model. 1 to 32, where the engine can do several.
    pub replicas: u32,
    /// What each replica may use.
    #[serde(skip_serializing_if = "ResourceRequest::is_default")]
    pub resources: ResourceRequest,
    /// Seconds that an answer which is not streamed may take in all. 10 to 7200.
    pub answer_seconds: u32,
    /// Counts from the next start of the server, as does `reasoning_parser`.
    pub tool_call_parser: ParserChoice,
    pub reasoning_parser: ParserChoice,
    /// Hosts (`host` or `host:port`) from which the model server may fetch pictures, sound and film; at most 50.
    pub media_hosts: Vec<String>,
    /// Fields of a request that steer the model server itself and are refused unless they stand here.
    pub allowed_fields: Vec<String>,
}

impl Default for ServingSettings {
    fn default() -> Self {
        Self {
            replicas: 1,
            resources: ResourceRequest::default(),
            answer_seconds: 600,
            tool_call_parser: ParserChoice::Auto,
            reasoning_parser: ParserChoice::Auto,
            media_hosts: Vec::new(),
            allowed_fields: Vec::new(),
        }
    }
}

/// Fields of a request that change how the server renders, routes or schedules, or that it decodes as
/// tensors or code, also within a message: refused
/// unless the endpoint allows them.
pub const GUARDED_FIELDS: [&str; 16] = [
    "add_generation_prompt",
    "audio_embeds",
    "chat_template",
    "chat_template_kwargs",
    "data_parallel_rank",
    "ec_transfer_params",
    "image_embeds",
    "image_pil",
    "kv_transfer_params",
    "logits_processors",
    "media_io_kwargs",
    "mm_processor_kwargs",
    "priority",
    "prompt_embeds",
    "request_id",
    "vllm_xargs",
];

/// Whether a field of a request is refused unless the endpoint allows it. A newer server's fields of the same families count too.
pub fn is_guarded(field: &str) -> bool {
    GUARDED_FIELDS.contains(&field)
        || ["chat_template", "kv_transfer", "ec_transfer", "mm_processor", "media_io"].iter().any(|family| field.starts_with(family))
}

impl ServingSettings {
    const SECONDS: std::ops::RangeInclusive<u32> = 10..=7200;
    const MOST_HOSTS: usize = 50;
    /// More than a tenant's quota mostly holds.
    pub const MOST_REPLICAS: u32 = 32;

    pub fn check(&self) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        if !(1..=Self::MOST_REPLICAS).contains(&self.replicas) {
            out.push(FieldProblem::new("replicas", format!("An endpoint has 1 to {} replicas.", Self::MOST_REPLICAS)).suggesting("1"));
        }
        out.extend(self.resources.check());
        if !Self::SECONDS.contains(&self.answer_seconds) {
            out.push(FieldProblem::new("answer_seconds", "An answer may take 10 to 7200 seconds.").suggesting("600"));
        }
        for (field, choice, known) in [
            ("tool_call_parser", &self.tool_call_parser, TOOL_CALL_PARSERS),
            ("reasoning_parser", &self.reasoning_parser, REASONING_PARSERS),
        ] {
            if let ParserChoice::Named(name) = choice
                && !known.contains(&name.as_str())
            {
                out.push(FieldProblem::new(field, "The model server has no parser of this name. Choose one from the list."));
            }
        }
        if self.media_hosts.len() > Self::MOST_HOSTS {
            out.push(FieldProblem::new("media_hosts", format!("At most {} hosts.", Self::MOST_HOSTS)));
        }
        if let Some(bad) = self.media_hosts.iter().find(|h| !is_host(h)) {
            let bad: String = bad.chars().take(60).collect();
            let sentence = format!("“{bad}” is not a host. Write only the name, in lower case, with the port if it is not the usual one.");
            out.push(FieldProblem::new("media_hosts", sentence).suggesting("images.example.org"));
        }
        if let Some(bad) = self.allowed_fields.iter().find(|f| !is_guarded(f) || f.len() > 60) {
            let bad: String = bad.chars().take(60).collect();
            let sentence = format!("“{bad}” needs no permission. What can be allowed: {}.", GUARDED_FIELDS.join(", "));
            out.push(FieldProblem::new("allowed_fields", sentence).suggesting("chat_template_kwargs"));
        }
        out
    }

    /// In words, for the audit log.
    pub fn said(&self) -> String {
        let parser = |choice: &ParserChoice| match choice {
            ParserChoice::Auto => "automatic".to_owned(),
            ParserChoice::Off => "off".to_owned(),
            ParserChoice::Named(name) => name.clone(),
        };
        let resources: String = self.resources.said().iter().map(|asked| format!(", {asked}")).collect();
        format!(
            "{}{resources}; answers within {} s; tool-call parser {}; reasoning parser {}; media hosts: {}; allowed fields: {}",
            counted(self.replicas.into(), "replica", "replicas"),
            self.answer_seconds,
            parser(&self.tool_call_parser),
            parser(&self.reasoning_parser),
            listed(&self.media_hosts),
            listed(&self.allowed_fields),
        )
    }

    /// Whether a running server has to be replaced for these to count, after `before`.
    pub fn needs_other_server(&self, before: &Self) -> bool {
        let started_with = |s: &Self| (s.resources.clone(), s.tool_call_parser.clone(), s.reasoning_parser.clone(), s.media_hosts.clone());
        started_with(self) != started_with(before)
    }

    pub fn allows_field(&self, field: &str) -> bool {
        self.allowed_fields.iter().any(|f| f == field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_set_is_named_by_field() {
        let wrong = ServingSettings {
            replicas: 0,
            resources: ResourceRequest { gpus: Some(1000), ..ResourceRequest::default() },
            answer_seconds: 5,
            tool_call_parser: ParserChoice::Named("--trust-remote-code".into()),
            reasoning_parser: ParserChoice::Off,
            media_hosts: vec!["https://example.org/".into()],
            allowed_fields: vec!["temperature".into()],
        };
        let fields: Vec<_> = wrong.check().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["replicas", "gpus", "answer_seconds", "tool_call_parser", "media_hosts", "allowed_fields"]);
        let right = ServingSettings {
            tool_call_parser: ParserChoice::Named("hermes".into()),
            media_hosts: vec!["images.example.org:8443".into()],
            allowed_fields: vec!["chat_template_kwargs".into(), "kv_transfer_params".into()],
            ..ServingSettings::default()
        };
        assert_eq!(right.check(), []);
        assert_eq!(serde_json::from_str::<ServingSettings>("{}").unwrap(), ServingSettings::default());
    }

    #[test]
    fn other_resources_need_another_server_and_another_number_of_replicas_does_not() {
        let before = ServingSettings::default();
        let asked = ServingSettings { resources: ResourceRequest { gpus: Some(2), ..ResourceRequest::default() }, ..before.clone() };
        assert!(asked.needs_other_server(&before) && before.needs_other_server(&asked));
        assert!(asked.said().starts_with("1 replica, 2 GPUs; answers"), "{}", asked.said());
        assert!(!ServingSettings { replicas: 2, ..before.clone() }.needs_other_server(&before));
        let stored = serde_json::to_string(&before).unwrap();
        assert!(!stored.contains("resources"), "an audit record of before reads and hashes as it did: {stored}");
    }

    #[test]
    fn families_of_guarded_fields_are_guarded_whole() {
        assert!(["chat_template", "chat_template_content_format", "kv_transfer_params", "priority"].into_iter().all(is_guarded));
        assert!(!["temperature", "top_k", "structured_outputs", "messages"].into_iter().any(is_guarded));
    }
}
