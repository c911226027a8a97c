//! What the trainer prints, made fit to read: levels found, bars and repeated dumps dropped, the figures left to the log file.

use crate::program::Stream;
use domain::run::LogLevel;
use std::collections::{HashSet, VecDeque};

/// Lines of a run's log that are only information; after them only warnings and errors are kept.
const MOST_INFO: usize = 3_000;
const MOST: usize = 6_000;
/// Lines kept to find the cause of a failure.
const KEPT: usize = 4_000;

#[derive(Default)]
pub struct Console {
    said: HashSet<String>,
    count: usize,
    inside: Inside,
    raw: VecDeque<String>,
    rows_trained: Option<u64>,
}

#[derive(Default, PartialEq)]
enum Inside {
    #[default]
    Nothing,
    /// `Model config LlamaConfig {` ... `}`
    Dump,
    /// The first row, token by token, up to the next line with a level: data of the tenant that explains nothing.
    Example,
    Traceback,
}

impl Console {
    /// What of this line belongs into the log.
    pub fn hear(&mut self, stream: Stream, line: &str) -> Option<(LogLevel, String)> {
        if is_bar(line) {
            return None;
        }
        if stream == Stream::Err {
            if self.raw.len() == KEPT {
                self.raw.pop_front();
            }
            self.raw.push_back(line.to_owned());
        }
        if self.rows_trained.is_none() {
            self.rows_trained = rows_trained(line);
        }
        let (level, text) = self.judge(line)?;
        // Five times the same configuration, and so on; an error is never too much.
        if level == LogLevel::Info && !self.said.insert(text.clone()) {
            return None;
        }
        self.count += 1;
        match self.count {
            MOST_INFO => Some((LogLevel::Warning, "The trainer says much; from here on only warnings and errors are kept.".into())),
            n if n > MOST || (n > MOST_INFO && level == LogLevel::Info) => None,
            _ => Some((level, text)),
        }
    }

    /// What it printed on stderr, oldest first, without bars.
    pub fn errors(&self) -> Vec<String> {
        self.raw.iter().cloned().collect()
    }

    /// Rows that the trainer took, as it said.
    pub fn rows_trained(&self) -> Option<u64> {
        self.rows_trained
    }

    fn judge(&mut self, line: &str) -> Option<(LogLevel, String)> {
        let marked = marked(line);
        match self.inside {
            Inside::Dump if marked.is_none() => {
                if line.starts_with('}') {
                    self.inside = Inside::Nothing;
                }
                return None;
            }
            Inside::Example if marked.is_none() && !line.starts_with("Traceback") => return None,
            Inside::Traceback if marked.is_none() => {
                // The line after the indented ones is the exception itself.
                if !line.starts_with(' ') {
                    self.inside = Inside::Nothing;
                }
                return Some((LogLevel::Error, line.to_owned()));
            }
            _ => self.inside = Inside::Nothing,
        }
        if line.starts_with("Traceback (most recent call last)") {
            self.inside = Inside::Traceback;
            return Some((LogLevel::Error, line.to_owned()));
        }
        if line == "training example:" || line == "eval example:" {
            self.inside = Inside::Example;
            return None;
        }
        if is_noise(line) {
            return None;
        }
        let (level, text) = marked.unwrap_or((LogLevel::Info, line));
        if let Some(head) = text.strip_suffix('{') {
            self.inside = Inside::Dump;
            return Some((level, format!("{} (not shown)", head.trim_end())));
        }
        Some((level, text.trim().to_owned()))
    }
}

/// `[WARNING|2026-11-21 02:00:52] llamafactory.hparams.parser:149 >> text` and `[INFO|trainer.py:2511] 2026-... >> text`
fn marked(line: &str) -> Option<(LogLevel, &str)> {
    let (mark, rest) = line.strip_prefix('[')?.split_once('|')?;
    let level = match mark {
        "INFO" | "DEBUG" => LogLevel::Info,
        "WARNING" => LogLevel::Warning,
        "ERROR" | "CRITICAL" => LogLevel::Error,
        _ => return None,
    };
    Some((level, rest.split_once(">> ").map_or(rest, |(_, text)| text)))
}

fn is_bar(line: &str) -> bool {
    line.contains("%|") || ["it/s]", "s/it]", "examples/s]", "?it/s]"].iter().any(|end| line.contains(end))
}

fn is_noise(line: &str) -> bool {
    let figures = ["{'loss'", "{'eval_loss'", "{'train_runtime'", "{'task'"];
    let words = [
        "Offline mode: forcing",
        "pkg_resources",
        "llamafactory.train.callbacks:144 >> {'",
        "Dropping the following result as it does not have",
    ];
    figures.iter().any(|f| line.starts_with(f)) || words.iter().any(|w| line.contains(w))
}

/// `Num examples = 329`, said once before training; evaluations say `Num examples = 51` later.
fn rows_trained(line: &str) -> Option<u64> {
    let (_, number) = line.split_once("Num examples = ")?;
    number.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Err, Out};

    fn heard(lines: &[(Stream, &str)]) -> Vec<(LogLevel, String)> {
        let mut console = Console::default();
        lines.iter().filter_map(|(stream, line)| console.hear(*stream, line)).collect()
    }

    #[test]
    fn levels_are_found_and_marks_are_dropped() {
        let said = heard(&[
            (Out, "[WARNING|2026-11-21 02:00:52] llamafactory.hparams.parser:149 >> We recommend enable mixed precision training."),
            (Err, "[INFO|trainer.py:2511] 2026-11-21 02:00:53,979 >>   Num examples = 329"),
        ]);
        let expected = [(LogLevel::Warning, "We recommend enable mixed precision training."), (LogLevel::Info, "Num examples = 329")];
        assert_eq!(said, expected.map(|(l, t)| (l, t.to_owned())));
    }

    #[test]
    fn bars_figures_dumps_and_rows_are_not_in_the_log() {
        let dump = "[INFO|configuration_utils.py:847] 2026-11-21 02:00:52,984 >> Model config LlamaConfig {";
        let said = heard(&[
            (Err, "  7%|▋         | 22/336 [00:05<01:33,  3.37it/s]"),
            (Err, "Generating train split: 329 examples [00:00, 32421.55 examples/s]"),
            (Out, "{'loss': '1.658', 'grad_norm': '1.131'}"),
            (Err, dump),
            (Err, "  \"vocab_size\": 2048"),
            (Err, "}"),
            (Err, dump),
            (Err, "  \"vocab_size\": 2048"),
            (Err, "}"),
            (Out, "training example:"),
            (Out, "input_ids:"),
            (Out, "Anna Kowalska, 12 Long Street"),
            (Out, "[INFO|2026-11-21 02:00:53] llamafactory.model.adapter:144 >> Fine-tuning method: LoRA"),
            (Err, "[INFO|hub.py:364] 2026-11-21 02:00:52,998 >> Offline mode: forcing local_files_only=True"),
        ]);
        let texts: Vec<_> = said.iter().map(|(_, t)| t.as_str()).collect();
        assert_eq!(texts, ["Model config LlamaConfig (not shown)", "Fine-tuning method: LoRA"]);
    }

    #[test]
    fn a_traceback_is_an_error_down_to_its_last_line() {
        let said = heard(&[
            (Err, "Traceback (most recent call last):"),
            (Err, "  File \"x.py\", line 1, in <module>"),
            (Err, "ValueError: Template nosuch does not exist."),
            (Err, "bye"),
        ]);
        let levels: Vec<_> = said.iter().map(|(l, _)| *l).collect();
        assert_eq!(levels, [LogLevel::Error, LogLevel::Error, LogLevel::Error, LogLevel::Info]);
    }

    #[test]
    fn a_flood_ends_but_errors_still_come_through() {
        let mut console = Console::default();
        let kept = (0..20_000).filter(|i| console.hear(Out, &format!("line {i}")).is_some()).count();
        assert_eq!(kept, MOST_INFO);
        assert_eq!(console.errors().len(), 0);
        let mut console = Console::default();
        for i in 0..MOST_INFO {
            console.hear(Err, &format!("line {i}"));
        }
        assert!(console.hear(Err, "[ERROR|x.py:1] 2026 >> no").is_some());
        assert_eq!(console.errors().last().map(String::as_str), Some("[ERROR|x.py:1] 2026 >> no"));
    }

    #[test]
    fn the_rows_that_were_taken_are_the_first_number() {
        let mut console = Console::default();
        for line in ["[INFO|trainer.py:1] 2026 >>   Num examples = 1,329", "[INFO|trainer.py:1] 2026 >>   Num examples = 51"] {
            console.hear(Err, line);
        }
        assert_eq!(console.rows_trained(), Some(1329));
    }
}
