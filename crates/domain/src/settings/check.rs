//! What is wrong with settings, in words: the same judgement in the form, in the YAML and at the launch.

use super::{
    Document, FinetuningType, Kind, RunSettings, SettingValue,
    catalogue::{Catalogue, Entry, Range},
    computed::{CUTOFF_LEN, LEARNING_RATE, WARMUP_STEPS},
};
use crate::problem::FieldProblem;

/// Field of a problem that belongs to a line and to no key.
pub const YAML_FIELD: &str = "yaml";

impl Catalogue {
    /// The settings that stand in a text, and what cannot be read as one. A setting that cannot be read keeps its default.
    pub fn read(&self, document: &Document) -> (RunSettings, Vec<FieldProblem>) {
        let mut settings = RunSettings::default();
        let mut problems: Vec<_> =
            document.unread().into_iter().map(|(line, why)| FieldProblem::new(YAML_FIELD, format!("Line {line} {why}."))).collect();
        for pair in document.pairs() {
            let Some(raw) = pair.value else { continue };
            match self.entry(&pair.key) {
                Some(entry) => match entry.kind.read(&raw) {
                    _ if !entry.is_persons() => problems.extend(self.refused(&pair.key)),
                    Some(value) => settings = settings.with(&pair.key, value),
                    None => {
                        let sentence = format!("“{}” cannot be used. {}", short(&raw), must_be(entry, 0));
                        problems.push(suggesting(FieldProblem::new(&pair.key, sentence), entry, 0));
                    }
                },
                None => problems.extend(self.refused(&pair.key)),
            }
        }
        (settings, problems)
    }

    /// All problems at once, in the order of the form. `context` is the base model's, in tokens; 0 = not known.
    pub fn check(&self, settings: &RunSettings, context: u32) -> Vec<FieldProblem> {
        let method = settings.finetuning_type().word();
        let known = self.ordered().filter_map(|e| settings.get(&e.key).map(|value| (e, value)));
        let mut out: Vec<_> = known
            .filter_map(|(e, value)| match () {
                () if !e.is_persons() => self.refused(&e.key),
                () if !e.applies(method) || allowed(e, value, context) => None,
                () => Some(suggesting(FieldProblem::new(&e.key, must_be(e, context)), e, context)),
            })
            .collect();
        out.extend(settings.keys().filter(|key| self.entry(key).is_none()).filter_map(|key| self.refused(key)));
        for rule in &self.rules {
            if rule.when.iter().all(|c| self.value(settings, &c.key) == Some(&c.equals)) {
                out.push(FieldProblem::new(&rule.field, &rule.sentence).suggesting(&rule.usual));
            }
        }
        out
    }

    /// Why a person cannot set this key: it is the platform's, or nobody's. None for a person's key, and for one that this part of
    /// the catalogue does not know.
    fn refused(&self, key: &str) -> Option<FieldProblem> {
        match self.entry(key) {
            Some(entry) => {
                let reason = entry.platform.as_ref()?;
                Some(FieldProblem::new(key, format!("The platform sets “{key}”. {reason} Remove the line.")))
            }
            None if !self.whole => None,
            None => {
                let problem = FieldProblem::new(key, format!("{} has no setting “{}”.", self.trainer, short(key)));
                Some(match self.nearest(key) {
                    Some(near) => FieldProblem { sentence: format!("{} Did you mean “{near}”?", problem.sentence), ..problem },
                    None => problem,
                })
            }
        }
    }
}

fn allowed(entry: &Entry, value: &SettingValue, context: u32) -> bool {
    let in_range = |n: f64| range(entry, context).is_none_or(|r| r.contains(n));
    match (entry.kind, value) {
        (Kind::Bool, SettingValue::Flag(_)) => true,
        (Kind::Int, SettingValue::Whole(n)) => in_range(*n as f64),
        (Kind::Float, SettingValue::Whole(_) | SettingValue::Number(_)) => value.as_f64().is_some_and(in_range),
        (Kind::Choice, SettingValue::Text(word)) => entry.choices.iter().any(|c| c.value == *word),
        // Module names: the trainer splits at commas, and reads `${` as a reference.
        (Kind::List, SettingValue::Text(names)) => are_names(names),
        (Kind::Text, SettingValue::Text(names)) => are_names(names),
        _ => false,
    }
}

fn are_names(text: &str) -> bool {
    (1..=400).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b'.' | b'-'))
}

fn range(entry: &Entry, context: u32) -> Option<Range> {
    let range = entry.range?;
    Some(if entry.key == CUTOFF_LEN && context > 0 { Range { most: Some(context.into()), ..range } } else { range })
}

/// What a value must be, for a person: the same sentence when it is out of its range and when it is no number at all.
fn must_be(entry: &Entry, context: u32) -> String {
    if entry.key == CUTOFF_LEN {
        let least = entry.range.and_then(|r| r.least).unwrap_or(1.0);
        let of = if context > 0 { format!(" of {context} tokens") } else { String::new() };
        return format!("{} must be a whole number between {least} and the model’s context{of}.", entry.label);
    }
    let what = match entry.kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Choice => {
            let words: Vec<_> = entry.choices.iter().map(|c| c.value.as_str()).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::Text | Kind::List | Kind::Map => return "Name the layers with commas and no blanks, or use “all”.".to_owned(),
        Kind::Int | Kind::Float => {
            let number = if entry.kind == Kind::Int { "a whole number" } else { "a number" };
            format!("{number}{}", bounds(entry.range.unwrap_or_default()))
        }
    };
    format!("{} must be {what}.", entry.label)
}

fn bounds(range: Range) -> String {
    let lower = range.least.map(|n| format!("at least {n}")).or(range.above.map(|n| format!("more than {n}")));
    let upper = range.most.map(|n| format!("at most {n}")).or(range.below.map(|n| format!("less than {n}")));
    match (range.least, range.most, lower, upper) {
        (Some(least), Some(most), ..) => format!(" between {least} and {most}"),
        (_, _, Some(lower), Some(upper)) => format!(", {lower} and {upper}"),
        (_, _, Some(one), None) | (_, _, None, Some(one)) => format!(", {one}"),
        _ => String::new(),
    }
}

fn suggesting(problem: FieldProblem, entry: &Entry, context: u32) -> FieldProblem {
    let usual = entry.usual.clone().or_else(|| entry.default.as_ref().map(ToString::to_string));
    let fits = usual.filter(|raw| entry.kind.read(raw).is_some_and(|value| allowed(entry, &value, context)));
    match fits.or_else(|| (entry.key == CUTOFF_LEN && context > 0).then(|| context.to_string())) {
        Some(value) => problem.suggesting(value),
        None => problem,
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

impl RunSettings {
    /// What is allowed and can hardly be meant; each with what would be usual. `total_steps` as of [`Self::total_steps`], 0 = not known.
    pub fn doubts(&self, total_steps: u64) -> Vec<FieldProblem> {
        let mut out = Vec::new();
        let (most, least, usual) = match self.finetuning_type() {
            FinetuningType::Lora => (1e-2, 1e-6, "2e-4"),
            FinetuningType::Full => (1e-3, 1e-8, "5e-5"),
        };
        let rate = self.learning_rate();
        if rate > most {
            out.push(FieldProblem::new(LEARNING_RATE, "So high a learning rate usually destroys the model.").suggesting(usual));
        } else if rate > 0.0 && rate < least {
            out.push(FieldProblem::new(LEARNING_RATE, "With so low a learning rate the model hardly changes.").suggesting(usual));
        }
        // Below 1 it is a share of the steps, not a number of them.
        let warmup = self.number(WARMUP_STEPS).filter(|n| *n >= 1.0).unwrap_or(0.0) as u64;
        if total_steps > 0 && warmup > 0 {
            let usual = (total_steps / 10).to_string();
            if warmup >= total_steps {
                let sentence =
                    format!("The run has {total_steps} steps, so all of it would be warm-up and the learning rate is never reached.");
                out.push(FieldProblem::new(WARMUP_STEPS, sentence).suggesting(usual));
            } else if warmup * 2 > total_steps {
                let sentence = format!("More than half of the {total_steps} steps would be warm-up.");
                out.push(FieldProblem::new(WARMUP_STEPS, sentence).suggesting(usual));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{catalogue, preset};

    fn lora() -> RunSettings {
        preset("lora").unwrap()
    }
    fn said(settings: &RunSettings) -> Vec<(String, String, String)> {
        catalogue().check(settings, 512).into_iter().map(|p| (p.field, p.sentence, p.suggestion.unwrap_or_default())).collect()
    }
    fn one(field: &str, sentence: &str, suggestion: &str) -> Vec<(String, String, String)> {
        vec![(field.into(), sentence.into(), suggestion.into())]
    }

    #[test]
    fn each_value_is_held_to_its_type_its_choices_and_its_range() {
        let lora = || lora().within(512);
        assert_eq!(said(&lora()), []);
        assert_eq!(said(&lora().with("lora_rank", 0)), one("lora_rank", "LoRA rank must be a whole number between 1 and 256.", "16"));
        assert_eq!(said(&lora().with("lora_rank", 8.5)), one("lora_rank", "LoRA rank must be a whole number between 1 and 256.", "16"));
        assert_eq!(
            said(&lora().with("learning_rate", 7.0)),
            one("learning_rate", "Learning rate must be a number, more than 0 and at most 1.", "2e-4")
        );
        assert_eq!(
            said(&lora().with("cutoff_len", 513)),
            one("cutoff_len", "Cut-off length must be a whole number between 16 and the model’s context of 512 tokens.", "512")
        );
        assert_eq!(said(&lora().with("packing", "yes")), one("packing", "Packing must be true or false.", ""));
        assert_eq!(said(&lora().with("optim", "lion_8bit"))[0].0, "optim", "the trainer knows it, and it is not offered");
        assert_eq!(said(&lora().with("lora_target", "a b ${c}"))[0].2, "all");
        // An adapter's settings have no effect on a training of all weights, and stay out of the trainer's file.
        assert_eq!(said(&lora().with("finetuning_type", "full").with("lora_rank", 0)), []);
    }

    #[test]
    fn a_key_of_the_platforms_and_an_unknown_one_are_refused_by_name_with_the_reason() {
        assert_eq!(
            said(&lora().within(512).with("output_dir", "/mnt/shared/out")),
            one(
                "output_dir",
                "The platform sets “output_dir”. The platform lays out the folder of a run and stores what comes out of it. Remove the line.",
                ""
            )
        );
        assert_eq!(
            said(&lora().within(512).with("lora_rnk", 64)),
            one("lora_rnk", "LLaMA-Factory 0.9.5 has no setting “lora_rnk”. Did you mean “lora_rank”?", "")
        );
        let (settings, problems) =
            catalogue().read(&Document::new("lora_rank: -4\nlearning_rate: fast\ntrust_remote_code: true\nfoo: 1\nbar\n"));
        assert_eq!(settings, RunSettings::default().with("lora_rank", -4));
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["yaml", "learning_rate", "trust_remote_code", "foo"]);
        assert_eq!(problems[1].sentence, "“fast” cannot be used. Learning rate must be a number, more than 0 and at most 1.");
    }

    #[test]
    fn values_that_do_not_go_together_are_refused_although_each_is_allowed() {
        for rule in &catalogue().rules {
            let settings = rule.when.iter().fold(lora().within(512), |s, c| s.with(&c.key, c.equals.clone()));
            assert_eq!(said(&settings), one(&rule.field, &rule.sentence, &rule.usual));
            let mended = settings.with(&rule.field, catalogue().entry(&rule.field).unwrap().kind.read(&rule.usual).unwrap());
            assert_eq!(said(&mended), [], "the suggestion does not help");
        }
    }

    #[test]
    fn what_can_hardly_be_meant_is_asked_about_and_holds_nothing_up() {
        let doubted = |settings: RunSettings, steps| {
            let doubts = settings.doubts(steps);
            assert!(catalogue().check(&settings, 0).is_empty(), "doubted, and allowed");
            doubts.into_iter().map(|p| (p.field, p.suggestion.unwrap_or_default())).collect::<Vec<_>>()
        };
        let rate = |rate: f64| lora().with("learning_rate", rate);
        assert_eq!(doubted(rate(0.5), 0), [("learning_rate".to_owned(), "2e-4".to_owned())]);
        assert_eq!(doubted(rate(1e-9), 0), [("learning_rate".to_owned(), "2e-4".to_owned())]);
        let full = preset("full").unwrap().with("learning_rate", 5e-3);
        assert_eq!(doubted(full, 0), [("learning_rate".to_owned(), "5e-5".to_owned())]);
        let warm = |steps: u32| lora().with("warmup_steps", steps);
        assert_eq!(doubted(warm(50), 40), [("warmup_steps".to_owned(), "4".to_owned())]);
        assert_eq!(doubted(warm(21), 40), [("warmup_steps".to_owned(), "4".to_owned())]);
        assert!(doubted(warm(20), 40).is_empty());
        assert!(doubted(warm(90_000), 0).is_empty(), "the number of steps is not known");
        assert!(doubted(lora().with("warmup_steps", 0.9), 40).is_empty(), "a share");
    }
}
