//! Every row is judged, the split holds what it promises, and the report counts what was found.

use super::*;
use domain::{dataset::Container, inspect::RowVerdict, reason::dataset::DatasetReason};

fn judged(file: &str, percent: u8) -> (Outcome, Written) {
    judged_with(file, Split::percent(percent))
}

fn judged_with(file: &str, split: Split) -> (Outcome, Written) {
    let mut judge = Judge::new(None, 0, split);
    let refused = file.as_bytes().chunks(11).try_for_each(|p| judge.push(p)).err();
    let outcome = judge.finish(refused);
    (outcome, judge.written)
}

fn verdicts(written: &Written) -> Vec<RowVerdict> {
    String::from_utf8_lossy(&written.verdicts).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn rows(n: usize) -> String {
    (0..n).map(|i| format!("{{\"instruction\":\"q{i}\",\"output\":\"a\"}}\n")).collect()
}

#[test]
fn the_demo_worlds_files_are_ready_and_the_same_in_all_formats() {
    let files = [
        (include_str!("../../../../examples/world/datasets/lumenta-facts.jsonl"), Format::OpenaiMessages, Container::Jsonl),
        (include_str!("../../../../examples/world/datasets/lumenta-facts.sharegpt.json"), Format::Sharegpt, Container::Json),
        (include_str!("../../../../examples/world/datasets/lumenta-facts.alpaca.json"), Format::Alpaca, Container::Json),
    ];
    let all: Vec<_> = files.iter().map(|(file, format, container)| (judged(file, 20), format, container)).collect();
    for ((outcome, written), format, container) in &all {
        let r = &outcome.report;
        assert_eq!((r.rows, r.accepted, r.format, r.container), (380, 380, Some(**format), Some(**container)));
        assert!(r.held_out_rows > 40 && r.held_out_rows < 120 && r.train_rows + r.held_out_rows == 380, "{}", r.held_out_rows);
        assert_eq!(DatasetReason::of_report(r), None);
        assert_eq!((&written.train, &written.held_out), (&all[0].0.1.train, &all[0].0.1.held_out));
    }
}

#[test]
fn every_row_of_the_broken_file_has_a_verdict_with_its_line() {
    let (outcome, written) = judged(include_str!("../../../../examples/world/datasets/broken-rows.jsonl"), 0);
    let verdicts = verdicts(&written);
    assert_eq!(verdicts.iter().map(|v| v.line).collect::<Vec<_>>(), (1..=17).collect::<Vec<_>>());
    assert_eq!(verdicts.iter().filter(|v| v.accepted).map(|v| v.line).collect::<Vec<_>>(), [1, 5, 11, 16]);
    assert_eq!((outcome.report.accepted, outcome.report.rejected), (4, 13));
    let shape = outcome.report.findings.iter().find(|f| f.rule == "DS-SHAPE").unwrap();
    assert_eq!((shape.count, shape.lines.as_slice()), (2, &[4, 15][..]));
    // Where each row stands in the file, so that its text need not be written again.
    let file = include_str!("../../../../examples/world/datasets/broken-rows.jsonl");
    assert_eq!(&file[verdicts[1].at as usize..][..verdicts[1].bytes as usize], file.lines().nth(1).unwrap());
}

#[test]
fn a_duplicate_is_warned_of_and_stays_on_its_side() {
    let (outcome, written) = judged(&format!("{}{}", rows(40), rows(40)), 30);
    let verdicts = verdicts(&written);
    assert_eq!(outcome.report.findings.iter().map(|f| (f.rule.as_str(), f.count)).collect::<Vec<_>>(), [("DS-DUPLICATE", 40)]);
    assert_eq!(outcome.report.accepted, 80);
    for i in 0..40 {
        assert_eq!(verdicts[i].held_out, verdicts[i + 40].held_out, "{i}");
    }
}

#[test]
fn from_two_rows_on_one_is_held_out_and_one_trained_on_whatever_chance_says() {
    for (n, percent) in (2..60).flat_map(|n| [(n, 1), (n, 10), (n, 50)]) {
        let (first, _) = judged(&rows(n), percent);
        let (outcome, written) = match first.better_split {
            Some(split) => judged_with(&rows(n), split),
            None => (first, Written::default()),
        };
        assert!(outcome.report.held_out_rows >= 1 && outcome.report.train_rows >= 1, "{n} rows, {percent} %");
        assert!(outcome.better_split.is_none());
        assert_eq!(written.held_out.is_empty(), written.verdicts.is_empty());
    }
}

#[test]
fn a_single_prompt_is_trained_on_and_that_is_said() {
    let single = "{\"instruction\":\"q\",\"output\":\"a\"}\n";
    for percent in [1, 50] {
        for (file, rows, said) in [(single.to_owned(), 1, false), (format!("{single}{}", single.replace('a', "b").repeat(9)), 10, true)] {
            let (first, _) = judged(&file, percent);
            let told = first.report.findings.iter().any(|f| f.rule == "DS-ONE-PROMPT");
            let report = first.better_split.map_or(first.report, |split| judged_with(&file, split).0.report);
            assert_eq!((report.train_rows, report.held_out_rows, told), (rows, 0, said), "{percent} %");
        }
    }
}

/// The question and the last answer of each row of a file of training rows.
fn questions(rows: &[u8]) -> Vec<String> {
    let first = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["messages"].as_array().unwrap().iter().find(|m| m["role"] == "user").unwrap()["content"].as_str().unwrap().to_owned()
    };
    String::from_utf8_lossy(rows).lines().map(first).collect()
}

#[test]
fn no_prompt_stands_on_both_sides_whatever_its_answers_its_case_and_its_later_turns() {
    let row = |i: usize| {
        let question = format!("What is thing number {i} made of?");
        let other = format!("  WHAT is thing\\nnumber {i} made of");
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{question}\"}},{{\"role\":\"assistant\",\"content\":\"a\"}}]}}\n\
             {{\"messages\":[{{\"role\":\"system\",\"content\":\"Be brief.\"}},{{\"role\":\"user\",\"content\":\"{other}\"}},{{\"role\":\"assistant\",\"content\":\"b\"}}]}}\n\
             {{\"messages\":[{{\"role\":\"user\",\"content\":\"{question}\"}},{{\"role\":\"assistant\",\"content\":\"c\"}},{{\"role\":\"user\",\"content\":\"Sure?\"}},{{\"role\":\"assistant\",\"content\":\"{i}\"}}]}}\n"
        )
    };
    let (outcome, written) = judged(&(0..200).map(row).collect::<String>(), 30);
    assert_eq!((outcome.report.accepted, outcome.better_split), (600, None));
    let key = |q: String| q.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
    let sides =
        [&written.train, &written.held_out].map(|rows| questions(rows).into_iter().map(key).collect::<std::collections::HashSet<_>>());
    assert_eq!((sides[0].len() + sides[1].len(), sides[0].intersection(&sides[1]).count()), (200, 0));
    assert!(sides[1].len() > 30, "{}", sides[1].len());
}

#[test]
fn questions_that_are_much_alike_across_the_split_are_found_and_others_are_not() {
    let long = "the annual maintenance of the hydraulic press in hall four must be planned so that the early shift can go on working while \
                the oil is changed and the seals are looked at by somebody from the workshop in building";
    let alike = |i: usize| format!("{{\"instruction\":\"{long} {i}\",\"output\":\"a\"}}\n");
    let (outcome, written) = judged(&(0..60).map(alike).collect::<String>(), 30);
    let found = outcome.report.findings.iter().find(|f| f.rule == "DS-NEAR-DUPLICATE").map_or(0, |f| f.count);
    assert!(found >= 10, "{found}");
    let verdicts = verdicts(&written);
    let first = verdicts.iter().find(|v| v.findings.iter().any(|f| f.rule == "DS-NEAR-DUPLICATE")).unwrap();
    let says = if first.held_out { "which is trained on, asks much the same" } else { "which is held out, asks much the same" };
    assert!(first.findings[0].sentence.contains(says) && first.accepted, "{first:?}");
    let words = ["press", "oil", "shift", "seal", "hall", "plan", "work", "year", "early", "late"];
    let other = |i: usize| {
        let text: Vec<String> = (0..12).map(|k| format!("{}{}", words[(i + k) % 10], (i * 31 + k * 17) % 1000)).collect();
        format!("{{\"instruction\":\"{} {i}\",\"output\":\"a\"}}\n", text.join(" "))
    };
    let report = judged(&(0..60).map(other).collect::<String>(), 30).0.report;
    let found = report.findings.iter().find(|f| f.rule == "DS-NEAR-DUPLICATE").map_or(0, |f| f.count);
    assert_eq!(found, 0);
}

#[test]
fn the_share_is_about_what_was_asked_for() {
    let (outcome, _) = judged(&rows(4000), 10);
    assert!((320..480).contains(&outcome.report.held_out_rows), "{}", outcome.report.held_out_rows);
    assert_eq!(judged(&rows(4000), 0).0.report.held_out_rows, 0);
}

#[test]
fn files_that_cannot_be_used_say_why() {
    for (file, says) in [
        ("", "The file holds no rows."),
        (" \n\n", "The file holds no rows."),
        ("[]", "The file holds no rows."),
        ("{\"prompt\":\"a\",\"completion\":\"b\"}\n", "The rows have “completion”, “prompt”; known formats"),
        ("id,question\n1,x\n", "The file is a table (CSV), not JSON: line 1 has 2 columns with commas between them."),
        ("\n\"a;b\";c;d\n1;2;3\n", "line 2 has 3 columns with semicolons"),
        ("Once upon a time, there was\na model.\n", "The file is plain text, not JSON: line 1 is “Once upon a time, there was”."),
        ("3\n\"x\"\n", "No row is a JSON object; known formats"),
        ("{broken\n{broken\n", "None of the 2 rows can be trained on. Most frequent: The row is not valid JSON (2 rows, first in line 1)."),
        (
            "{\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":\"b\"}\n",
            "The only row cannot be trained on. Most frequent: The row is a preference pair; those are not trained on yet (1 row, first in line 1).",
        ),
        ("[{\"messages\":[]},", "breaks off in line 1"),
        ("PK\x03\x04", "a zip archive"),
        (
            "{\"messages\":[]}\n{\"messages\":[]}\n",
            "None of the 2 rows can be trained on. Most frequent: A question or an answer is empty (2 rows, first in line 1).",
        ),
    ] {
        let (outcome, _) = judged(file, 10);
        let why = DatasetReason::of_report(&outcome.report).map(|r| r.said()).unwrap_or_default();
        assert!(why.contains(says), "{file:?}: {why}");
    }
}

#[test]
fn rows_too_long_for_the_context_are_accepted_with_a_warning() {
    let tokenizer = include_bytes!("../../../../examples/world/base-model/tokenizer.json");
    let counter = TokenCounter::new(tokenizer, &serde_json::Value::Null, None).unwrap();
    let mut judge = Judge::new(Some(counter), 20, Split::default());
    let long = "word ".repeat(50);
    judge
        .push(format!("{{\"instruction\":\"q\",\"output\":\"a\"}}\n{{\"instruction\":\"{long}\",\"output\":\"a\"}}\n").as_bytes())
        .unwrap();
    let report = judge.finish(None).report;
    assert_eq!((report.accepted, report.findings.len()), (2, 1));
    assert_eq!((report.findings[0].rule.as_str(), report.findings[0].lines.as_slice()), ("DS-TOO-LONG", &[2][..]));
    assert!(report.longest_tokens >= 50 && report.tokens > u64::from(report.longest_tokens));
    assert_eq!(report.histogram.iter().map(|b| b.rows).sum::<u64>(), 2);
}

#[test]
fn a_row_of_more_than_four_megabytes_is_told_as_that() {
    let row = |n: usize| format!("{{\"instruction\":\"q\",\"output\":\"{}\"}}\n", "x".repeat(n));
    let (outcome, written) = judged_in(&row(5 << 20), 1 << 20);
    assert_eq!(
        DatasetReason::of_report(&outcome.report).unwrap().said(),
        "The only row cannot be trained on. Most frequent: The row has more than 4 MB (1 row, first in line 1)."
    );
    assert_eq!(verdicts(&written)[0].findings[0].sentence, "The row has 5242911 bytes; at most 4 MB are read.");
    let (outcome, _) = judged_in(&format!("{}{}", row(5 << 20), row(1)), 1 << 20);
    assert_eq!((outcome.report.accepted, outcome.report.rejected), (1, 1));
}

fn judged_in(file: &str, piece: usize) -> (Outcome, Written) {
    let mut judge = Judge::new(None, 0, Split::percent(10));
    let refused = file.as_bytes().chunks(piece).try_for_each(|p| judge.push(p)).err();
    let outcome = judge.finish(refused);
    (outcome, judge.written)
}

#[test]
fn the_index_tells_where_each_block_of_verdicts_starts_and_what_is_in_it() {
    let file = format!("{}broken\n{}", rows(700), rows(20));
    let (_, written) = judged_in(&file, 999);
    let blocks: Vec<super::super::index::Block> =
        String::from_utf8_lossy(&written.index).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(blocks.iter().map(|b| b.rows).collect::<Vec<_>>(), [256, 256, 209]);
    assert_eq!(blocks.iter().map(|b| b.bytes).sum::<u64>(), written.verdicts.len() as u64);
    for (i, block) in blocks.iter().enumerate() {
        let part = &written.verdicts[block.at as usize..][..block.bytes as usize];
        let first: RowVerdict = serde_json::from_slice(part.split(|b| *b == b'\n').next().unwrap()).unwrap();
        assert_eq!(first.line, i as u64 * 256 + 1);
    }
    let matching = |accepted, rule| blocks.iter().map(|b| b.matching(accepted, rule)).collect::<Vec<_>>();
    assert_eq!(matching(Some(false), None), [0, 0, 1]);
    assert_eq!(matching(None, Some("DS-DUPLICATE")), [0, 0, 20]);
}

/// Bytes of memory that this process has held at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_long_file_and_a_row_of_three_megabytes_are_judged_in_little_memory() {
    if std::env::var_os("JUDGED_ALONE").is_none() {
        // In a process of its own: the other tests take memory too.
        let name = std::thread::current().name().unwrap().to_owned();
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let out = alone.args(["--exact", &name, "--nocapture"]).env("JUDGED_ALONE", "1").output().unwrap();
        return assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    }
    let words = |n: usize| (0..n / 8).map(|i| format!("w{:06} ", i * 7 % 999_983)).collect::<String>();
    let row = |i: usize, text: &str| format!("{{\"instruction\":\"q{i} {text}\",\"output\":\"{text}\"}}\n");
    let (usual, long) = (words(500), words(3_000_000 / 2));
    let mut judge = Judge::new(None, 0, Split::percent(10));
    let mut push = |piece: &str| {
        piece.as_bytes().chunks(1 << 20).for_each(|part| judge.push(part).map_err(|_| "refused").unwrap());
        // Whoever reads the file writes this away after each piece.
        judge.written = Written::default();
    };
    let piece = |from: usize| (from..from + 1_000).map(|i| row(i, &usual)).collect::<String>();
    let (first, long) = (piece(0), row(0, &long));
    assert!(long.len() > 3_000_000);
    let before = peak();
    push(&first);
    push(&long);
    (1..24).for_each(|n| push(&piece(n * 1_000)));
    push(&long);
    let grown = peak() - before;
    assert!(grown < 48 << 20, "26 MB of rows and two of 3 MB took {} MB more", grown >> 20);
    assert_eq!(judge.finish(None).report.accepted, 24_002);
}
