//! Says what happens: a JSON line on standard output, and the same in a file that is kept with the results.

use domain::{
    reason::run::Reason,
    report::{Line, Phase, TaskMessage},
    run::LogLevel,
    time::Timestamp,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

/// Longest text of one log line, in characters. The rest is not worth a page that cannot be read.
const LONGEST: usize = 2_000;

pub struct Reporter {
    path: PathBuf,
    /// Which of several processes of one server this is.
    replica: Option<String>,
    to: Mutex<(File, Box<dyn Write + Send>)>,
}

impl Reporter {
    /// `out`: standard output; every line is flushed.
    pub fn new(path: &Path, out: impl Write + Send + 'static) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { path: path.to_owned(), replica: std::env::var("ATELIER_REPLICA").ok(), to: Mutex::new((file, Box::new(out))) })
    }

    /// Where the lines are kept.
    pub fn file(&self) -> &Path {
        &self.path
    }

    /// Neither a closed standard output nor a full disk may end the work: what counts goes to the store.
    pub fn say(&self, message: TaskMessage) {
        let Ok(mut line) = serde_json::to_vec(&Line { at: now(), replica: self.replica.clone(), message }) else { return };
        line.push(b'\n');
        if let Ok(mut to) = self.to.lock() {
            let (file, out) = &mut *to;
            let _ = file.write_all(&line);
            let _ = out.write_all(&line).and_then(|()| out.flush());
        }
    }

    /// What a model server does now, in words.
    pub fn phase(&self, phase: Phase, detail: impl Into<String>) {
        self.say(TaskMessage::Phase { phase, detail: detail.into(), reason: None });
    }

    /// What a job does now.
    pub fn does(&self, phase: Phase, reason: Reason) {
        self.say(TaskMessage::Phase { phase, detail: String::new(), reason: Some(reason) });
    }

    pub fn log(&self, level: LogLevel, text: impl Into<String>) {
        let text: String = text.into();
        let text = match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        self.say(TaskMessage::Log { level, text });
    }
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `15.7 MB`, `480 B`: decimal units, as disks are sold.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 || unit == "GB" {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_unit_that_fits() {
        assert_eq!([0, 999, 1_000, 15_741_944, 16_000_000_000].map(size), ["0 B", "999 B", "1.0 kB", "15.7 MB", "16.0 GB"]);
    }

    #[test]
    fn every_line_is_one_json_object_and_a_long_text_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let reporter = Reporter::new(&folder.path().join("log.jsonl"), io::sink()).unwrap();
        reporter.log(LogLevel::Info, "ä\n".repeat(5_000));
        reporter.does(Phase::Train, Reason::Trains { steps: 336, gpu: false });
        let text = std::fs::read_to_string(reporter.file()).unwrap();
        let lines: Vec<Line> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(matches!(&lines[0].message, TaskMessage::Log { text, .. } if text.chars().count() == LONGEST + 1));
        assert_eq!(
            lines[1].message,
            TaskMessage::Phase { phase: Phase::Train, detail: String::new(), reason: Some(Reason::Trains { steps: 336, gpu: false }) }
        );
    }
}
