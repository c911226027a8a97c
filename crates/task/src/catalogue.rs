//! Known ways in which training fails: what the trainer prints, and what that means for a person.

use crate::{failure::Failure, program::Ended};

/// One known failure.
struct Row {
    cause: &'static str,
    /// All of these are in one line of stderr.
    signs: &'static [&'static str],
    /// The text between these two in that line goes where `{}` stands.
    quote: Option<(&'static str, &'static str)>,
    sentence: &'static str,
    next_step: &'static str,
}

const CHANGE: &str = "Clone the run and change this setting.";
const ADMIN: &str = "Ask the platform admin to install it, or clone the run without it.";
const DATA: &str = "Upload a corrected version of the dataset and clone the run.";
const CLONE: &str = "Clone the run; if it fails again, show the evidence to the platform admin.";

/// In this order for one line; the newest line that any of them knows decides.
const ROWS: &[Row] = &[
    Row {
        cause: "out_of_gpu_memory",
        signs: &["CUDA out of memory"],
        quote: None,
        sentence: "The GPU ran out of memory.",
        next_step: "Clone the run with a smaller batch or a shorter cut-off.",
    },
    Row {
        cause: "out_of_memory",
        signs: &["DefaultCPUAllocator", "allocate memory"],
        quote: None,
        sentence: "The machine ran out of memory.",
        next_step: "Clone the run with a smaller batch or a shorter cut-off.",
    },
    Row {
        cause: "out_of_memory",
        signs: &["MemoryError"],
        quote: None,
        sentence: "The machine ran out of memory.",
        next_step: "Clone the run with a smaller batch or a shorter cut-off.",
    },
    Row {
        cause: "disk_full",
        signs: &["No space left on device"],
        quote: None,
        sentence: "The disk is full.",
        next_step: "Ask the platform admin for room, then clone the run.",
    },
    Row {
        cause: "no_bf16",
        signs: &["Your setup doesn't support bf16"],
        quote: None,
        sentence: "This machine has no GPU that supports bf16.",
        next_step: "Choose fp32 or another target.",
    },
    Row {
        cause: "unknown_template",
        signs: &["Template ", " does not exist."],
        quote: Some(("Template ", " does not exist")),
        sentence: "The chat template “{}” is not known.",
        next_step: "Ask the platform admin to correct the template of the base model.",
    },
    Row {
        cause: "base_model_unreadable",
        signs: &["Failed to load tokenizer."],
        quote: None,
        sentence: "The base model is not in the local library or is damaged (downloads are off).",
        next_step: "Ask the platform admin to register the base model again.",
    },
    Row {
        cause: "adapter_missing",
        signs: &["Can't find 'adapter_config.json' at"],
        quote: None,
        sentence: "The adapter to continue from was not found.",
        next_step: CLONE,
    },
    Row {
        cause: "unknown_setting",
        signs: &["Some keys are not used by the HfArgumentParser"],
        quote: Some(("['", "']")),
        sentence: "Unknown setting “{}”.",
        next_step: CHANGE,
    },
    Row {
        cause: "learning_rate_not_a_number",
        signs: &["TypeError: '<=' not supported between instances of 'float' and 'str'"],
        quote: None,
        sentence: "The learning rate must be a number.",
        next_step: CHANGE,
    },
    Row {
        cause: "unknown_dataset",
        signs: &["Undefined dataset ", " in dataset_info.json"],
        quote: Some(("Undefined dataset ", " in dataset_info")),
        sentence: "The dataset “{}” is not part of this run.",
        next_step: CLONE,
    },
    Row {
        cause: "data_not_prepared",
        signs: &["Cannot open ", "dataset_info.json"],
        quote: None,
        sentence: "The data could not be prepared (internal error).",
        next_step: CLONE,
    },
    Row {
        cause: "column_missing",
        signs: &["KeyError: '"],
        quote: Some(("KeyError: '", "'")),
        sentence: "The file has no column “{}”.",
        next_step: "Map the columns, or upload the data as OpenAI messages.",
    },
    Row {
        cause: "bad_json",
        signs: &["JSON parse error"],
        quote: Some(("JSON parse error: ", "\u{0}")),
        sentence: "The file is not valid JSON: {}",
        next_step: DATA,
    },
    Row { cause: "bad_json", signs: &["DatasetGenerationError"], quote: None, sentence: "The file is not valid JSON.", next_step: DATA },
    Row { cause: "dataset_empty", signs: &["corresponds to no data!"], quote: None, sentence: "The dataset is empty.", next_step: DATA },
    Row {
        cause: "data_file_missing",
        signs: &["ValueError: File ", " not found."],
        quote: None,
        sentence: "The data file is missing.",
        next_step: CLONE,
    },
    Row {
        cause: "file_type",
        signs: &["Allowed file types: arrow,csv,json"],
        quote: None,
        sentence: "This file type cannot be used.",
        next_step: "Upload JSON or JSONL.",
    },
    Row {
        cause: "no_usable_row",
        signs: &["Cannot find valid samples"],
        quote: None,
        sentence: "No usable conversation: roles must take turns, starting with the user.",
        next_step: DATA,
    },
    Row {
        cause: "wrong_kind_of_data",
        signs: &["The dataset is not applicable in the current training stage"],
        quote: None,
        sentence: "This data holds answer pairs; it fits DPO or reward models, not this method.",
        next_step: "Choose another dataset.",
    },
    Row {
        cause: "null_content",
        signs: &["Expected a string, got None"],
        quote: None,
        sentence: "A message has no content.",
        next_step: DATA,
    },
    Row {
        cause: "quantisation_not_installed",
        signs: &["pip install bitsandbytes"],
        quote: None,
        sentence: "4-bit training is not installed here.",
        next_step: ADMIN,
    },
    Row {
        cause: "deepspeed_not_installed",
        signs: &["PackageNotFoundError", "deepspeed"],
        quote: None,
        sentence: "DeepSpeed is not installed here.",
        next_step: ADMIN,
    },
    Row {
        cause: "nothing_to_evaluate",
        signs: &["Please make sure eval_dataset be provided or val_size"],
        quote: None,
        sentence: "There is nothing to evaluate on.",
        next_step: "Choose an evaluation set or a validation share.",
    },
    Row {
        cause: "bad_lora_target",
        signs: &["Target modules ", "not found in the base model"],
        quote: Some(("Target modules {'", "'}")),
        sentence: "The model has no layer “{}”.",
        next_step: "Clone the run and use “all” for the LoRA target.",
    },
    Row {
        cause: "validation_share_too_large",
        signs: &["test_size=", "number of samples "],
        quote: Some(("number of samples ", " ")),
        sentence: "The validation part is larger than the dataset ({} rows).",
        next_step: CHANGE,
    },
    Row {
        cause: "unsloth_not_installed",
        signs: &["pip install unsloth"],
        quote: None,
        sentence: "Unsloth is not installed here.",
        next_step: ADMIN,
    },
    Row {
        cause: "output_not_written",
        signs: &["FileNotFoundError: [Errno 2]"],
        quote: None,
        sentence: "Results could not be written (internal error).",
        next_step: CLONE,
    },
    Row {
        cause: "package_missing",
        signs: &["To fix: run `pip install "],
        quote: Some(("pip install ", "`")),
        sentence: "The package {} is not installed here.",
        next_step: ADMIN,
    },
];

/// Why a trainer that ended like this did not succeed. `errors`: what it printed on stderr, oldest line first.
pub fn classify(ended: Ended, errors: &[String]) -> Failure {
    let found =
        errors.iter().enumerate().rev().find_map(|(at, line)| Some((at, ROWS.iter().find(|r| r.signs.iter().all(|s| line.contains(s)))?)));
    let failure = match (found, ended) {
        // A known cause that was printed before the kill is the better answer.
        (Some((at, row)), _) => {
            // The end of a chain of exceptions may hide a line above that says more (pyarrow's position in the file).
            let same = |r: &&Row| r.cause == row.cause && r.quote.is_some() && row.quote.is_none();
            let better = errors[..at]
                .iter()
                .enumerate()
                .rev()
                .find_map(|(at, line)| Some((at, ROWS.iter().filter(same).find(|r| r.signs.iter().all(|s| line.contains(s)))?)));
            let (at, row) = better.unwrap_or((at, row));
            Failure::new(row.cause, fill(row, &errors[at]), row.next_step).with_evidence(evidence(errors, at))
        }
        (None, Ended::Signal(9) | Ended::Exit(137)) => Failure::new(
            "out_of_memory",
            "The trainer was killed by the system, most likely because memory ran out.",
            "Clone the run with a smaller batch or a shorter cut-off, or choose a smaller base model.",
        )
        .with_evidence(evidence(errors, errors.len())),
        (None, Ended::Signal(signal)) => Failure::new("killed", format!("The trainer was ended by signal {signal}."), CLONE)
            .with_evidence(evidence(errors, errors.len())),
        (None, Ended::Exit(_)) => Failure::new(
            "unknown",
            "The trainer failed for a reason that is not known here.",
            "Read the last lines of the log; they are the trainer's own words.",
        )
        .with_evidence(evidence(errors, errors.len())),
    };
    failure.with_exit(ended)
}

fn fill(row: &Row, line: &str) -> String {
    let quoted = row.quote.and_then(|(before, after)| {
        let (_, rest) = line.split_once(before)?;
        Some(rest.split(after).next().unwrap_or(rest).trim())
    });
    // Only the placeholder of the row: what the trainer printed may hold braces of its own.
    match row.sentence.split_once("{}") {
        Some((before, after)) => format!("{before}{}{after}", quoted.unwrap_or("?").chars().take(200).collect::<String>()),
        None => row.sentence.to_owned(),
    }
}

/// The line that says it and what was printed around it, at most 20 lines.
fn evidence(errors: &[String], at: usize) -> Vec<String> {
    let end = (at + 6).min(errors.len());
    errors[end.saturating_sub(20)..end].iter().map(|l| l.chars().take(500).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    /// What 0.9.5 really printed, and what a person must read.
    const SEEN: &[(&str, &str, &str)] = &[
        (
            "ValueError: Your setup doesn't support bf16/gpu. You need to assign use_cpu if you want to train the model on CPU.",
            "no_bf16",
            "This machine has no GPU that supports bf16.",
        ),
        ("ValueError: Template nosuch does not exist.", "unknown_template", "The chat template “nosuch” is not known."),
        (
            "OSError: Failed to load tokenizer.",
            "base_model_unreadable",
            "The base model is not in the local library or is damaged (downloads are off).",
        ),
        ("ValueError: Can't find 'adapter_config.json' at 'w/none'", "adapter_missing", "The adapter to continue from was not found."),
        (
            "ValueError: Some keys are not used by the HfArgumentParser: ['lerning_rate']",
            "unknown_setting",
            "Unknown setting “lerning_rate”.",
        ),
        (
            "TypeError: '<=' not supported between instances of 'float' and 'str'",
            "learning_rate_not_a_number",
            "The learning rate must be a number.",
        ),
        ("ValueError: Undefined dataset nosuch in dataset_info.json.", "unknown_dataset", "The dataset “nosuch” is not part of this run."),
        (
            "ValueError: Cannot open w/none/dataset_info.json due to [Errno 2] No such file or directory: 'w/none/dataset_info.json'.",
            "data_not_prepared",
            "The data could not be prepared (internal error).",
        ),
        ("KeyError: 'instruction'", "column_missing", "The file has no column “instruction”."),
        (
            "datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset",
            "bad_json",
            "The file is not valid JSON.",
        ),
        ("ValueError: Instruction \"train\" corresponds to no data!", "dataset_empty", "The dataset is empty."),
        ("ValueError: File w/data/gone.json not found.", "data_file_missing", "The data file is missing."),
        ("ValueError: Allowed file types: arrow,csv,json,jsonl,parquet,txt.", "file_type", "This file type cannot be used."),
        (
            "RuntimeError: Cannot find valid samples, check `data/README.md` for the data format.",
            "no_usable_row",
            "No usable conversation: roles must take turns, starting with the user.",
        ),
        (
            "ValueError: The dataset is not applicable in the current training stage.",
            "wrong_kind_of_data",
            "This data holds answer pairs; it fits DPO or reward models, not this method.",
        ),
        ("RuntimeError: Expected a string, got None", "null_content", "A message has no content."),
        ("To fix: run `pip install bitsandbytes>=0.39.0`.", "quantisation_not_installed", "4-bit training is not installed here."),
        (
            "importlib.metadata.PackageNotFoundError: The 'deepspeed>=0.9.3' distribution was not found and is required by this application.",
            "deepspeed_not_installed",
            "DeepSpeed is not installed here.",
        ),
        (
            "ValueError: Please make sure eval_dataset be provided or val_size >1e-6",
            "nothing_to_evaluate",
            "There is nothing to evaluate on.",
        ),
        (
            "ValueError: Target modules {'foo'} not found in the base model. Please check the target modules and try again.",
            "bad_lora_target",
            "The model has no layer “foo”.",
        ),
        (
            "ValueError: test_size=500 should be either positive and smaller than the number of samples 200 or a float in the (0, 1) range",
            "validation_share_too_large",
            "The validation part is larger than the dataset (200 rows).",
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'w/none/out'",
            "output_not_written",
            "Results could not be written (internal error).",
        ),
        ("To fix: run `pip install unsloth`.", "unsloth_not_installed", "Unsloth is not installed here."),
        ("To fix: run `pip install galore_torch`.", "package_missing", "The package galore_torch is not installed here."),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.", "out_of_gpu_memory", "The GPU ran out of memory."),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes.",
            "out_of_memory",
            "The machine ran out of memory.",
        ),
        ("MemoryError", "out_of_memory", "The machine ran out of memory."),
        ("OSError: [Errno 28] No space left on device", "disk_full", "The disk is full."),
    ];

    #[test]
    fn every_known_line_gets_its_sentence() {
        for (line, cause, sentence) in SEEN {
            let failure = classify(
                Ended::Exit(1),
                &lines(&format!("[INFO|x.py:1] 2026 >> fine\nTraceback (most recent call last):\n  File \"x\"\n{line}\n")),
            );
            assert_eq!((failure.cause.as_str(), failure.sentence.as_str()), (*cause, *sentence), "{line}");
            assert!(!failure.next_step.is_empty() && failure.exit == "exit 1");
            assert!(failure.evidence.iter().any(|l| l == line), "the evidence lacks the line itself: {:?}", failure.evidence);
        }
    }

    #[test]
    fn every_row_is_reached_by_a_line() {
        for row in ROWS {
            assert!(SEEN.iter().any(|(_, cause, _)| *cause == row.cause), "no line leads to {}", row.cause);
        }
    }

    #[test]
    fn the_newest_known_line_decides() {
        let text = "KeyError: 'x'\nDuring handling of the above exception, another exception occurred:\nOSError: Failed to load tokenizer.\nthe end";
        assert_eq!(classify(Ended::Exit(1), &lines(text)).cause, "base_model_unreadable");
    }

    #[test]
    fn broken_json_shows_where() {
        let text = "pyarrow.lib.ArrowInvalid: JSON parse error: Missing a comma or } after an object member. in row 3\nThe above exception was the direct cause\ndatasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset";
        assert_eq!(
            classify(Ended::Exit(1), &lines(text)).sentence,
            "The file is not valid JSON: Missing a comma or } after an object member. in row 3"
        );
    }

    #[test]
    fn a_kill_without_a_word_is_memory() {
        let failure = classify(Ended::Signal(9), &lines("[INFO|x.py:1] 2026 >> fine"));
        assert_eq!((failure.cause.as_str(), failure.exit.as_str()), ("out_of_memory", "signal 9"));
        assert_eq!(classify(Ended::Signal(11), &[]).cause, "killed");
    }

    #[test]
    fn an_unknown_failure_keeps_what_was_said() {
        let many: Vec<_> = (0..100).map(|i| format!("line {i}")).collect();
        let failure = classify(Ended::Exit(1), &many);
        assert_eq!(failure.cause, "unknown");
        assert_eq!((failure.evidence.len(), failure.evidence[19].as_str()), (20, "line 99"));
    }
}
