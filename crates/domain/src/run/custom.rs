//! A training of somebody's own: an image that trains in place of LLaMA-Factory.

use crate::{
    problem::FieldProblem,
    settings::{FinetuningType, RunSettings},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What runs in place of LLaMA-Factory, in an image that whoever runs the portal allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomTraining {
    /// The container image, as `registry.example.org/team/trainer:1`.
    pub image: String,
    /// The program that it starts: the image's own entry point is not used.
    pub command: Vec<String>,
    /// Arguments behind the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables of the program. No secrets: whoever may see the run reads them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Longest name of an image that registries take, with room for a digest.
const LONGEST_IMAGE: usize = 512;
/// Bytes of command, arguments and environment together: they are part of an object of the cluster.
const MOST_BYTES: usize = 64 * 1024;
/// Variables that say where the program finds and leaves what, or to whom it posts its progress.
const OURS: [&str; 2] = ["ATELIER_", "KUBEFLOW_TRAINER_"];

impl CustomTraining {
    /// Why it cannot run here. `images`: where work runs in images; `prefixes`: how the names of those begin that may run.
    pub fn refused_here(&self, images: bool, prefixes: &[String]) -> Option<FieldProblem> {
        let sentence = if !images {
            "Here trainings are processes of one machine, which runs no images. One of your own needs a portal that works on a cluster."
                .into()
        } else if prefixes.is_empty() {
            "This portal runs no images of your own. Whoever runs it can allow some: ATELIER_CUSTOM_IMAGES.".into()
        } else if !self.is_allowed(prefixes) {
            format!("This portal runs only images whose names begin with {}.", prefixes.join(" or "))
        } else {
            return None;
        };
        Some(FieldProblem::new("custom.image", sentence))
    }

    /// Whether one of the prefixes covers the image: `registry.example.org/team` covers `registry.example.org/team/trainer:1`, and not
    /// `registry.example.org/team-of-others/trainer:1`.
    fn is_allowed(&self, prefixes: &[String]) -> bool {
        let covers = |prefix: &String| {
            let rest = self.image.strip_prefix(prefix.as_str()).filter(|_| !prefix.is_empty());
            rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with(['/', ':', '@']) || rest.starts_with(['/', ':', '@']))
        };
        prefixes.iter().any(covers)
    }

    /// What of it cannot be, wherever it runs.
    pub fn check(&self, settings: &RunSettings, nodes: u32) -> Vec<FieldProblem> {
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, sentence: String| wrong.push(FieldProblem::new(&format!("custom.{field}"), sentence));
        if !is_image(&self.image) {
            refuse("image", "This is no name of a container image. One looks like registry.example.org/team/trainer:1.".into());
        }
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            refuse("command", "Name the program that the image shall start, as [\"python\", \"train.py\"].".into());
        }
        for name in self.env.keys() {
            if !is_variable(name) {
                refuse("env", "A variable’s name has letters, digits and “_”, and begins with none of the digits.".into());
            } else if OURS.iter().any(|ours| name.starts_with(ours)) {
                refuse("env", format!("The platform sets “{name}” and all that begins like it. Remove it, or choose another name."));
            }
        }
        let said = || self.command.iter().chain(&self.args).chain(self.env.keys()).chain(self.env.values());
        if said().any(|text| text.contains('\0')) {
            refuse("command", "Command, arguments and environment cannot hold NUL (U+0000). Remove it.".into());
        }
        if said().map(String::len).sum::<usize>() > MOST_BYTES {
            let sentence =
                format!("Command, arguments and environment have at most {MOST_BYTES} bytes together. Put the rest into the image.");
            refuse("args", sentence);
        }
        let theirs = settings.keys_beside_the_method();
        wrong.extend(theirs.map(|key| {
            let sentence =
                "This is a setting of LLaMA-Factory, which an image of your own does not read. Say it in custom.args or custom.env.";
            FieldProblem::new(key, sentence)
        }));
        if nodes > 1 {
            let sentence = "An image of your own trains on one node. Leave nodes out.";
            wrong.push(FieldProblem::new("nodes", sentence).suggesting("1"));
        }
        wrong
    }

    /// For a person: the image and what it starts.
    pub fn said(&self, method: FinetuningType) -> String {
        let leaves = match method {
            FinetuningType::Lora => "an adapter",
            FinetuningType::Full => "all weights",
        };
        format!("Training by the image {} ({}), which left {leaves}", self.image, self.command.join(" "))
    }
}

/// The characters of a reference; what it refers to, the node asks the registry.
fn is_image(image: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let begins = image.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    begins && image.len() <= LONGEST_IMAGE && image.bytes().all(known) && !image.contains("..") && !image.contains("//")
}

fn is_variable(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.len() <= 256 && name.bytes().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(image: &str) -> CustomTraining {
        CustomTraining { image: image.into(), command: vec!["python".into(), "train.py".into()], ..CustomTraining::default() }
    }

    fn fields(custom: &CustomTraining, settings: &RunSettings, nodes: u32) -> Vec<String> {
        custom.check(settings, nodes).into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn an_image_is_allowed_by_whole_parts_of_its_name_and_none_where_nobody_allows_any() {
        let allowed =
            |image: &str, prefixes: &[&str]| custom(image).is_allowed(&prefixes.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        for image in ["r.example/team/a:1", "r.example/team:1", "r.example/team", "r.example/team@sha256:00"] {
            assert!(allowed(image, &["r.example/team"]), "{image}");
        }
        for image in ["r.example/team-of-others/a:1", "r.example/teams", "evil.example/r.example/team/a", "r.example/other/a"] {
            assert!(!allowed(image, &["r.example/team", "r.example/team/"]), "{image}");
        }
        assert!(allowed("r.example/a", &["r.example/"]) && !allowed("r.example/a", &[]) && !allowed("r.example/a", &[""]));
    }

    #[test]
    fn why_an_image_does_not_run_here_is_said_with_what_would_help() {
        let refused = |images, prefixes: &[&str]| {
            let prefixes: Vec<String> = prefixes.iter().map(|p| (*p).to_owned()).collect();
            custom("r.example/team/a").refused_here(images, &prefixes).map(|problem| (problem.field, problem.sentence))
        };
        assert_eq!(refused(true, &["r.example/team"]), None);
        for (images, prefixes, words) in [
            (false, &["r.example/team"][..], "a portal that works on a cluster"),
            (true, &[], "ATELIER_CUSTOM_IMAGES"),
            (true, &["r.example/x", "other.example"], "begin with r.example/x or other.example."),
        ] {
            let (field, sentence) = refused(images, prefixes).unwrap();
            assert!(field == "custom.image" && sentence.contains(words), "{sentence}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_field_by_field() {
        let none = RunSettings::default();
        assert_eq!(fields(&custom("r.example:5000/team/a@sha256:0f"), &none.clone().with("finetuning_type", "full"), 1), [""; 0]);
        for image in ["", "-a", "a b", "a\0b", "a\nb", "r/../b", "r//b", "a;b", &"a".repeat(513)] {
            assert_eq!(fields(&custom(image), &none, 1), ["custom.image"], "{image:?}");
        }
        for command in [vec![], vec![String::new()], vec![" ".to_owned()]] {
            assert_eq!(fields(&CustomTraining { command, ..custom("r/a") }, &none, 1), ["custom.command"]);
        }
        for name in ["", "1A", "A=B", "A B", "Ä", "A\0", "ATELIER_SECRETS", "KUBEFLOW_TRAINER_SERVER_URL"] {
            let env = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            assert_eq!(fields(&CustomTraining { env, ..custom("r/a") }, &none, 1)[0], "custom.env", "{name:?}");
        }
        assert_eq!(fields(&CustomTraining { args: vec!["a\0".into()], ..custom("r/a") }, &none, 1), ["custom.command"]);
        assert_eq!(fields(&CustomTraining { args: vec!["a".repeat(MOST_BYTES)], ..custom("r/a") }, &none, 1), ["custom.args"]);
        assert_eq!(fields(&custom("r/a"), &none.with("lora_rank", 8), 2), ["lora_rank", "nodes"]);
    }
}
