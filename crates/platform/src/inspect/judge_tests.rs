//! Every row is judged, the split holds what it promises, and the report counts what was found.

use super::*;
use domain::dataset::Container;

fn judged(file: &str, percent: u8) -> (Outcome, Written) {
    judged_with(file, Split { percent, ..Split::default() })
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
        assert_eq!(refusal(r), None);
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
    assert_eq!(verdicts[1].raw.len(), include_str!("../../../../examples/world/datasets/broken-rows.jsonl").lines().nth(1).unwrap().len());
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
fn a_single_row_is_trained_on_and_of_equal_rows_one_is_on_each_side() {
    let single = "{\"instruction\":\"q\",\"output\":\"a\"}\n";
    for percent in [1, 50] {
        let (first, _) = judged(single, percent);
        let report = first.better_split.map_or(first.report, |split| judged_with(single, split).0.report);
        assert_eq!((report.train_rows, report.held_out_rows), (1, 0), "{percent} %");
    }
    // Ten times the same row: all fall on one side.
    let same = "{\"instruction\":\"q\",\"output\":\"a\"}\n".repeat(10);
    for percent in [1, 50] {
        let (outcome, _) = judged_with(&same, judged(&same, percent).0.better_split.unwrap());
        assert!(outcome.report.held_out_rows >= 1 && outcome.report.train_rows >= 1);
    }
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
        ("id,question\n1,x\n", "No row is a JSON object; known formats"),
        ("[{\"messages\":[]},", "breaks off in line 1"),
        ("PK\x03\x04", "a zip archive"),
        (
            "{\"messages\":[]}\n{\"messages\":[]}\n",
            "None of the 2 rows can be trained on. Most frequent: A question or an answer is empty (2 rows, first in line 1).",
        ),
    ] {
        let (outcome, _) = judged(file, 10);
        let why = refusal(&outcome.report).unwrap_or_default();
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
