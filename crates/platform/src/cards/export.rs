//! The card as Markdown, with the metadata block that Hugging Face reads. Only what the card and the record say.

use crate::counted::counted;
use domain::{
    card::{Field, Origin},
    model::{ModelVersion, WeightsKind},
};

/// Licences that Hugging Face knows by this id; any other is `other` with its name.
const KNOWN_LICENCES: [&str; 14] = [
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "gpl-3.0",
    "lgpl-3.0",
    "agpl-3.0",
    "mpl-2.0",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "unlicense",
    "isc",
];

pub fn markdown(v: &ModelVersion) -> String {
    let mut out = front_matter(v);
    out += &format!("\n# {} v{}\n\n", v.model_name, v.number);
    if let Some(summary) = v.card.get("summary").filter(|f| !f.value.is_empty()) {
        out += &format!("{}\n\n", summary.value);
    }
    out += &format!(
        "Made by run {} from {} and {} v{}. Stage: {}.\n\n",
        v.run_name,
        v.base_model_name,
        v.dataset_name,
        v.dataset_number,
        v.stage.word()
    );
    if let Some(s) = &v.scores {
        out += "## Evaluation\n\nExact match after trimming, greedy decoding, on the held-out rows.\n\n";
        out += "| | Right | Rows | Share |\n| --- | ---: | ---: | ---: |\n";
        for (who, right) in [("Base model", s.base_right), ("This version", s.tuned_right)] {
            let share = if s.rows == 0 { 0.0 } else { right as f64 * 100.0 / s.rows as f64 };
            out += &format!("| {who} | {right} | {} | {share:.1} % |\n", s.rows);
        }
        out += &format!("\n{} gained, {} lost against the base model.\n\n", counted(s.gained, "row", "rows"), s.lost);
    }
    out += "## Card\n\n| Field | Value | From |\n| --- | --- | --- |\n";
    for f in &v.card.fields {
        let value = if f.value.is_empty() { "*not stated*".to_owned() } else { cell(&f.value) };
        out += &format!("| {} | {value} | {} |\n", cell(&f.label), cell(&origin(f)));
    }
    out += "\n## Files\n\n| File | Bytes | BLAKE3 |\n| --- | ---: | --- |\n";
    for file in &v.files {
        out += &format!("| {} | {} | `{}` |\n", cell(&file.path), file.bytes, file.digest);
    }
    out
}

fn front_matter(v: &ModelVersion) -> String {
    let said = |key: &str| v.card.get(key).map(|f| f.value.trim()).filter(|t| !t.is_empty());
    let mut out = String::from("---\n");
    out += &format!("base_model: {}\n", quoted(v.base_model_name.as_str()));
    if let Some(licence) = said("licence") {
        let id = licence.to_lowercase();
        if KNOWN_LICENCES.contains(&id.as_str()) {
            out += &format!("license: {id}\n");
        } else {
            out += &format!("license: other\nlicense_name: {}\n", quoted(licence));
        }
    }
    let languages: Vec<&str> =
        said("languages").map(|l| l.split(',').map(str::trim).filter(|l| !l.is_empty()).collect()).unwrap_or_default();
    list(&mut out, "language", &languages);
    let (library, kind) = match v.kind {
        WeightsKind::Adapter => ("peft", "lora"),
        WeightsKind::Merged => ("transformers", "full-fine-tune"),
    };
    out += &format!("library_name: {library}\npipeline_tag: text-generation\n");
    list(&mut out, "tags", &[kind, "sft", "llama-factory"]);
    list(&mut out, "datasets", &[v.dataset_name.as_str()]);
    if let Some(s) = v.scores.filter(|s| s.rows > 0) {
        list(&mut out, "metrics", &["exact_match"]);
        let share = s.tuned_right as f64 / s.rows as f64;
        out += &format!(
            "model-index:\n  - name: {}\n    results:\n      - task:\n          type: text-generation\n        dataset:\n          name: {}\n          \
             type: {}\n          split: held_out\n        metrics:\n          - type: exact_match\n            value: {share:.4}\n",
            quoted(&format!("{} v{}", v.model_name, v.number)),
            quoted(&format!("{} v{}", v.dataset_name, v.dataset_number)),
            quoted(v.dataset_name.as_str()),
        );
    }
    out += "---\n";
    out
}

fn list(out: &mut String, key: &str, values: &[&str]) {
    if !values.is_empty() {
        *out += &format!("{key}:\n");
        for value in values {
            *out += &format!("  - {}\n", quoted(value));
        }
    }
}

/// JSON strings are YAML strings, whatever is in them; `no` stays Norwegian.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn origin(f: &Field) -> String {
    match &f.origin {
        Origin::Evidence { source } => source.clone(),
        Origin::Person { name, replaced: None, .. } => format!("{name}, {}", f.at.day()),
        Origin::Person { name, replaced: Some(before), .. } => format!("{name}, {}; the record says: {before}", f.at.day()),
        Origin::Missing => "nobody yet".into(),
    }
}
