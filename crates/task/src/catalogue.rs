//! Known ways in which training fails: what the trainer prints, and which cause that is. What a cause says to people, `domain::reason` knows.

use crate::program::Ended;
use domain::reason::failure::{Cause, Failure};

/// One known failure.
struct Row {
    /// All of these are in one line of stderr.
    signs: &'static [&'static str],
    /// The text between these two in that line is what the cause tells.
    quote: Option<(&'static str, &'static str)>,
    /// Made of the quoted text; empty without one.
    cause: fn(String) -> Cause,
}

const fn row(signs: &'static [&'static str], cause: fn(String) -> Cause) -> Row {
    Row { signs, quote: None, cause }
}
const fn quoting(signs: &'static [&'static str], quote: (&'static str, &'static str), cause: fn(String) -> Cause) -> Row {
    Row { signs, quote: Some(quote), cause }
}

/// What the machine lacks, whatever program says it. In this order for one line; the newest line that any row knows decides.
const OF_ANY_PROGRAM: &[Row] = &[
    row(&["CUDA out of memory"], |_| Cause::OutOfGpuMemory),
    row(&["gloo", " by peer "], |_| Cause::ConnectionLost),
    row(&["ncclRemoteError"], |_| Cause::ConnectionLost),
    row(&["DefaultCPUAllocator", "allocate memory"], |_| Cause::OutOfMemory { killed: false }),
    row(&["MemoryError"], |_| Cause::OutOfMemory { killed: false }),
    row(&["No space left on device"], |_| Cause::DiskFull),
];

/// What LLaMA-Factory means by its own words. In another program a `KeyError` is no column of a dataset.
const OF_LLAMAFACTORY: &[Row] = &[
    row(&["Your setup doesn't support bf16"], |_| Cause::NoBf16),
    quoting(&["Template ", " does not exist."], ("Template ", " does not exist"), |template| Cause::UnknownTemplate { template }),
    row(&["Failed to load tokenizer."], |_| Cause::BaseModelUnreadable),
    row(&["Can't find 'adapter_config.json' at"], |_| Cause::AdapterMissing),
    quoting(&["Some keys are not used by the HfArgumentParser"], ("['", "']"), |setting| Cause::UnknownSetting { setting }),
    row(&["TypeError: '<=' not supported between instances of 'float' and 'str'"], |_| Cause::LearningRateNotANumber),
    quoting(&["Undefined dataset ", " in dataset_info.json"], ("Undefined dataset ", " in dataset_info"), |dataset| {
        Cause::UnknownDataset { dataset }
    }),
    row(&["Cannot open ", "dataset_info.json"], |_| Cause::DataNotPrepared),
    quoting(&["KeyError: '"], ("KeyError: '", "'"), |column| Cause::ColumnMissing { column }),
    quoting(&["JSON parse error"], ("JSON parse error: ", "\u{0}"), |place| Cause::BadJson { place: Some(place) }),
    row(&["DatasetGenerationError"], |_| Cause::BadJson { place: None }),
    row(&["corresponds to no data!"], |_| Cause::DatasetEmpty),
    row(&["ValueError: File ", " not found."], |_| Cause::DataFileMissing),
    row(&["Allowed file types: arrow,csv,json"], |_| Cause::FileType),
    row(&["Cannot find valid samples"], |_| Cause::NoUsableRow),
    row(&["The dataset is not applicable in the current training stage"], |_| Cause::WrongKindOfData),
    row(&["Expected a string, got None"], |_| Cause::NullContent),
    row(&["pip install bitsandbytes"], |_| Cause::QuantisationNotInstalled),
    row(&["PackageNotFoundError", "deepspeed"], |_| Cause::DeepspeedNotInstalled),
    row(&["Please make sure eval_dataset be provided or val_size"], |_| Cause::NothingToEvaluate),
    quoting(&["Target modules ", "not found in the base model"], ("Target modules {'", "'}"), |layer| Cause::BadLoraTarget { layer }),
    quoting(&["test_size=", "number of samples "], ("number of samples ", " "), |rows| Cause::ValidationShareTooLarge { rows }),
    row(&["pip install unsloth"], |_| Cause::UnslothNotInstalled),
    row(&["FileNotFoundError: [Errno 2]"], |_| Cause::OutputNotWritten),
    quoting(&["To fix: run `pip install "], ("pip install ", "`"), |package| Cause::PackageMissing { package }),
];

/// Why a trainer that ended like this did not succeed. `errors`: what it printed on stderr, oldest line first.
pub fn classify(ended: Ended, errors: &[String]) -> Failure {
    classify_by(&[OF_ANY_PROGRAM, OF_LLAMAFACTORY], ended, errors)
}

/// The same of a program that nobody here knows.
pub fn classify_foreign(ended: Ended, errors: &[String]) -> Failure {
    classify_by(&[OF_ANY_PROGRAM], ended, errors)
}

fn classify_by(known: &[&'static [Row]], ended: Ended, errors: &[String]) -> Failure {
    let rows = || known.iter().copied().flatten();
    let found =
        errors.iter().enumerate().rev().find_map(|(at, line)| Some((at, rows().find(|r| r.signs.iter().all(|s| line.contains(s)))?)));
    let (cause, at) = match (found, ended) {
        // A known cause that was printed before the kill is the better answer.
        (Some((at, row)), _) => {
            // The end of a chain of exceptions may hide a line above that says more (pyarrow's position in the file).
            let code = (row.cause)(String::new()).code();
            let same = |r: &&Row| row.quote.is_none() && r.quote.is_some() && (r.cause)(String::new()).code() == code;
            let better = errors[..at]
                .iter()
                .enumerate()
                .rev()
                .find_map(|(at, line)| Some((at, rows().filter(same).find(|r| r.signs.iter().all(|s| line.contains(s)))?)));
            let (at, row) = better.unwrap_or((at, row));
            ((row.cause)(quoted(row, &errors[at])), at)
        }
        (None, Ended::Signal(9) | Ended::Exit(137)) => (Cause::OutOfMemory { killed: true }, errors.len()),
        (None, Ended::Signal(signal)) => (Cause::Killed { signal, by_kernel: false }, errors.len()),
        (None, Ended::Exit(_)) => (Cause::Unknown, errors.len()),
    };
    Failure::of(cause).with_evidence(evidence(errors, at)).with_exit(ended)
}

fn quoted(row: &Row, line: &str) -> String {
    let Some((before, after)) = row.quote else { return String::new() };
    let rest = line.split_once(before).map(|(_, rest)| rest);
    let quoted = rest.map(|rest| rest.split(after).next().unwrap_or(rest).trim());
    quoted.unwrap_or("?").chars().take(200).collect()
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
        (
            "[rank0]: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:20611",
            "connection_lost",
            "The processes of this training lost their connection to each other: one of them ended, or its machine was not reached any more.",
        ),
        // As PyTorch words it; not seen here, where there are no two GPUs.
        (
            "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.",
            "connection_lost",
            "The processes of this training lost their connection to each other: one of them ended, or its machine was not reached any more.",
        ),
    ];

    #[test]
    fn every_known_line_gets_its_sentence() {
        for (line, cause, sentence) in SEEN {
            let failure = classify(
                Ended::Exit(1),
                &lines(&format!("[INFO|x.py:1] 2026 >> fine\nTraceback (most recent call last):\n  File \"x\"\n{line}\n")),
            );
            let said = failure.said();
            assert_eq!((failure.cause.code().as_str(), said.sentence.as_str()), (*cause, *sentence), "{line}");
            assert!(!said.next_step.is_empty() && failure.exit.as_deref() == Some("exit 1"));
            assert!(failure.evidence.iter().any(|l| l == line), "the evidence lacks the line itself: {:?}", failure.evidence);
        }
    }

    #[test]
    fn every_row_is_reached_by_a_line() {
        for row in OF_ANY_PROGRAM.iter().chain(OF_LLAMAFACTORY) {
            let code = (row.cause)(String::new()).code();
            assert!(SEEN.iter().any(|(_, cause, _)| *cause == code), "no line leads to {code}");
        }
    }

    #[test]
    fn of_a_foreign_program_only_what_the_machine_lacks_is_known() {
        assert_eq!(classify_foreign(Ended::Exit(1), &lines("KeyError: 'getpwuid(): uid not found: 1000'")).cause, Cause::Unknown);
        assert_eq!(classify_foreign(Ended::Exit(1), &lines("OSError: [Errno 28] No space left on device")).cause, Cause::DiskFull);
    }

    #[test]
    fn the_newest_known_line_decides() {
        let text = "KeyError: 'x'\nDuring handling of the above exception, another exception occurred:\nOSError: Failed to load tokenizer.\nthe end";
        assert_eq!(classify(Ended::Exit(1), &lines(text)).cause, Cause::BaseModelUnreadable);
    }

    #[test]
    fn broken_json_shows_where() {
        let text = "pyarrow.lib.ArrowInvalid: JSON parse error: Missing a comma or } after an object member. in row 3\nThe above exception was the direct cause\ndatasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset";
        assert_eq!(
            classify(Ended::Exit(1), &lines(text)).said().sentence,
            "The file is not valid JSON: Missing a comma or } after an object member. in row 3"
        );
    }

    #[test]
    fn a_kill_without_a_word_is_memory() {
        let failure = classify(Ended::Signal(9), &lines("[INFO|x.py:1] 2026 >> fine"));
        assert_eq!((failure.cause, failure.exit.as_deref()), (Cause::OutOfMemory { killed: true }, Some("signal 9")));
        assert_eq!(classify(Ended::Signal(11), &[]).cause.code(), "killed");
    }

    #[test]
    fn an_unknown_failure_keeps_what_was_said() {
        let many: Vec<_> = (0..100).map(|i| format!("line {i}")).collect();
        let failure = classify(Ended::Exit(1), &many);
        assert_eq!(failure.cause, Cause::Unknown);
        assert_eq!((failure.evidence.len(), failure.evidence[19].as_str()), (20, "line 99"));
    }
}
