//! Model cards: made from evidence when a version is published, edited by people, exported as Markdown.
//! A field that nothing proves stays a gap; nothing is invented. The Markdown form is in [`markdown`].

mod export;

pub use export::markdown;

use crate::{counted::counted, store::runs::Results};
use domain::{
    base_model::{BaseModel, StoredFile},
    card::{Card, FIELDS, Field, Origin},
    dataset::{DatasetVersion, PersonalData},
    model::WeightsKind,
    people::Person,
    problem::{FieldProblem, Problem},
    report::Outcome,
    run::{Run, StepKind},
    settings::{Entry, FinetuningType, Kind, catalogue},
    time::{Timestamp, span},
};

/// Characters of one field.
const LONGEST: usize = 8_000;

/// Everything that is known when a version is published.
pub(crate) struct Evidence<'a> {
    pub run: &'a Run,
    pub base: &'a BaseModel,
    pub data: &'a DatasetVersion,
    pub results: &'a Results,
    pub digest: &'a str,
    pub files: &'a [StoredFile],
    pub at: Timestamp,
}

pub(crate) fn from_evidence(e: &Evidence<'_>) -> Card {
    let run = || format!("run {}", e.run.name);
    let data = || format!("dataset {} v{}", e.data.dataset_name, e.data.number);
    let base = || format!("base model {}", e.base.name);
    let fields = FIELDS.iter().map(|(key, label, _)| {
        let found: Option<(String, String)> = match *key {
            "base_model" => Some((base_model(e.base), base())),
            "method" => Some((method(e.run), run())),
            "dataset" => Some((dataset(e.data), data())),
            "personal_data" => personal_data(e.data).map(|value| (value, data())),
            "evaluation" => e.run.scores.map(|s| {
                let value = format!(
                    "{} of {} held-out rows right, the base model {}; {} gained, {} lost. Exact match after trimming, greedy decoding.",
                    s.tuned_right, s.rows, s.base_right, s.gained, s.lost
                );
                (value, run())
            }),
            "training" => Some((training(e), run())),
            "compute" => compute(e).map(|value| (value, run())),
            "software" => software(e).map(|value| (value, run())),
            "digest" => Some((format!("blake3:{} over {}", e.digest, counted(e.files.len() as u64, "file", "files")), run())),
            "licence" => non_empty(&e.base.licence).map(|value| (value, base())),
            "languages" => non_empty(&e.data.documentation.languages.join(", ")).map(|value| (value, data())),
            "contact" => non_empty(&e.run.owner_name).map(|value| (value, format!("owner of run {}", e.run.name))),
            // Only people can say what a model is for and where it fails.
            _ => None,
        };
        let (value, origin) = match found {
            Some((value, source)) => (value, Origin::Evidence { source }),
            None => (String::new(), Origin::Missing),
        };
        Field { key: (*key).to_owned(), label: (*label).to_owned(), value, origin, at: e.at }
    });
    Card { fields: fields.collect(), revision: 1 }
}

fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn base_model(b: &BaseModel) -> String {
    let size = match b.parameters {
        0 => String::new(),
        n if n >= 1_000_000_000 => format!(", {:.2} billion parameters", n as f64 / 1e9),
        n => format!(", {:.2} million parameters", n as f64 / 1e6),
    };
    format!("{}, {}{size}, context {} tokens, digest blake3:{}", b.name, b.architecture, b.context, b.digest)
}

fn method(run: &Run) -> String {
    let mut out = match (run.custom(), run.settings.finetuning_type()) {
        // What it did there, nobody here knows.
        (Some(custom), method) => custom.said(method),
        (None, FinetuningType::Lora) => "Supervised fine-tuning with LoRA".to_owned(),
        (None, FinetuningType::Full) => "Supervised fine-tuning of all weights".to_owned(),
    };
    // The choice of the method itself is what the sentence begins with.
    for said in settings_said(run, |e| e.group == METHOD && e.kind != Kind::Choice) {
        out += &format!(", {said}");
    }
    if run.result() == WeightsKind::Merged {
        out += ", merged into the weights of the base model";
    }
    out
}

/// The catalogue's group of settings that say how weights are changed.
const METHOD: &str = "method";

/// Settings that were chosen, as “LoRA rank 16”.
fn settings_said(run: &Run, of: impl Fn(&Entry) -> bool) -> Vec<String> {
    let chosen = catalogue().chosen(&run.settings).into_iter();
    let known = chosen.filter_map(|(key, value)| catalogue().entry(key).filter(|e| of(e)).map(|e| (e, value)));
    known.map(|(e, value)| format!("{} {value} {}", e.label, e.unit).trim_end().to_owned()).collect()
}

fn dataset(v: &DatasetVersion) -> String {
    let mut out = format!("{} v{}", v.dataset_name, v.number);
    if let Some(r) = &v.report {
        let trained = counted(r.train_rows, "row", "rows");
        out += &format!(", {trained} trained on, {} held out, {} of {} rejected", r.held_out_rows, r.rejected, r.rows);
        if r.tokens > 0 {
            out += &format!(", {} tokens", r.tokens);
        }
    }
    if let Some(digest) = &v.digest {
        out += &format!(", digest blake3:{digest}");
    }
    for (label, text) in [("source", &v.documentation.source), ("licence", &v.documentation.licence)] {
        // People end what they say with a full stop, and here it goes on.
        if let Some(text) = non_empty(text.trim().trim_end_matches('.')) {
            out += &format!("; {label}: {text}");
        }
    }
    out
}

fn personal_data(v: &DatasetVersion) -> Option<String> {
    let basis = || non_empty(&v.documentation.legal_basis).map_or_else(|| "legal basis not stated".into(), |b| format!("legal basis: {b}"));
    match v.documentation.personal_data {
        PersonalData::Unknown => None,
        PersonalData::None => Some("None".into()),
        PersonalData::Pseudonymised => Some(format!("Pseudonymised; {}", basis())),
        PersonalData::Yes => Some(format!("Yes; {}", basis())),
    }
}

fn training(e: &Evidence<'_>) -> String {
    let mut said: Vec<_> = e.run.progress.map(|p| counted(p.total_steps, "step", "steps")).into_iter().collect();
    said.extend(settings_said(e.run, |entry| entry.group != METHOD));
    let mut out = said.join(", ");
    let results = training_of(e.run, e.results).map(|o| &o.results);
    for (key, label) in [("train_loss", "mean training loss"), ("eval_loss", "last evaluation loss")] {
        if let Some(value) = results.and_then(|r| r.get(key)) {
            out += &format!("; {label} {value:.4}");
        }
    }
    out
}

/// What the run's training said at its end.
fn training_of<'r>(run: &Run, results: &'r Results) -> Option<&'r Outcome> {
    let step = run.steps.iter().find(|s| s.kind == StepKind::Train)?;
    results.get(step.unit().as_str())
}

fn compute(e: &Evidence<'_>) -> Option<String> {
    let step = e.run.steps.iter().find(|s| s.kind == StepKind::Train)?;
    let took = step.ended_at?.since(step.started_at?);
    let flops = training_of(e.run, e.results)
        .and_then(|o| o.results.get("total_flos"))
        .map(|f| format!(", {f:.2e} FLOP as counted by the trainer"));
    Some(format!("{} of training{}", span(took), flops.unwrap_or_default()))
}

fn software(e: &Evidence<'_>) -> Option<String> {
    let list = &training_of(e.run, e.results)?.software;
    non_empty(&list.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", "))
}

/// Writes what a person says into the card; returns the labels of what changed. All problems at once.
pub(crate) fn edit(card: &mut Card, values: &[(String, String)], person: &Person, at: Timestamp) -> Result<Vec<String>, Problem> {
    let mut wrong = Vec::new();
    for (key, value) in values {
        let Some(field) = card.get(key) else {
            wrong.push(FieldProblem::new(key, format!("The card has no field “{key}”.")));
            continue;
        };
        let peoples = FIELDS.iter().any(|(k, _, peoples)| k == key && *peoples);
        if !peoples && matches!(field.origin, Origin::Evidence { .. }) && value.trim() != field.value {
            wrong.push(FieldProblem::new(key, format!("“{}” comes from a record and cannot be edited.", field.label)));
        }
        if value.chars().count() > LONGEST {
            wrong.push(FieldProblem::new(key, format!("“{}” holds at most {LONGEST} characters.", field.label)));
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let mut changed = Vec::new();
    for field in &mut card.fields {
        let Some((_, value)) = values.iter().rev().find(|(key, _)| *key == field.key) else { continue };
        let value = value.trim().replace('\0', "");
        if value == field.value {
            continue;
        }
        let replaced = match &field.origin {
            Origin::Evidence { .. } => Some(field.value.clone()),
            Origin::Person { replaced, .. } => replaced.clone(),
            Origin::Missing => None,
        };
        (field.value, field.origin) = match (value.is_empty(), replaced) {
            (true, None) => (value, Origin::Missing),
            (true, Some(before)) => (before, Origin::Evidence { source: "the record, after an edit was taken back".into() }),
            (false, replaced) => (value, Origin::Person { person: person.id, name: person.name.clone(), replaced }),
        };
        field.at = at;
        changed.push(field.label.clone());
    }
    if !changed.is_empty() {
        card.revision += 1;
    }
    Ok(changed)
}
