//! `trainer_log.jsonl`: the live figures of a run, and what they say in the end.

use domain::run::MetricPoint;
use domain::time::Timestamp;
use serde_json::Value;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub step: u64,
    pub total_steps: u64,
    /// `None` for the closing line, which has no figures.
    pub metric: Option<MetricPoint>,
    /// Also when it is not a number, which a [`MetricPoint`] cannot hold.
    pub loss: Option<f64>,
}

/// Reads what was appended since the last look; only whole lines.
pub struct Follower {
    path: PathBuf,
    offset: u64,
}

impl Follower {
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    pub fn read_new(&mut self, now: Timestamp) -> Vec<Entry> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.take(1 << 20).read_to_end(&mut bytes)
        });
        // It does not exist until the first step, and is opened and closed for every line.
        let Some(end) = read.ok().and_then(|_| bytes.iter().rposition(|b| *b == b'\n')) else { return Vec::new() };
        self.offset += end as u64 + 1;
        String::from_utf8_lossy(&bytes[..end]).lines().filter_map(|line| parse(line, now)).collect()
    }
}

fn parse(line: &str, now: Timestamp) -> Option<Entry> {
    let value: Value = serde_json::from_str(&with_quoted_non_numbers(line)).ok()?;
    let number = |key: &str| match value.get(key)? {
        Value::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    };
    let finite = |key: &str| number(key).filter(|n| n.is_finite());
    let step = value.get("current_steps")?.as_u64()?;
    let point = MetricPoint {
        step,
        epoch: finite("epoch"),
        loss: finite("loss"),
        eval_loss: finite("eval_loss"),
        learning_rate: finite("lr"),
        tokens_per_second: finite("throughput"),
        total_tokens: value.get("total_tokens").and_then(Value::as_u64),
        at: now,
    };
    let has_figures = number("loss").is_some() || number("eval_loss").is_some();
    Some(Entry { step, total_steps: value.get("total_steps")?.as_u64()?, metric: has_figures.then_some(point), loss: number("loss") })
}

/// Python writes bare `NaN` and `Infinity`, which JSON does not know. The log holds no strings with these words in them.
fn with_quoted_non_numbers(line: &str) -> String {
    if !line.contains("NaN") && !line.contains("Infinity") {
        return line.to_owned();
    }
    line.replace("NaN", "\"NaN\"").replace("Infinity", "\"Infinity\"").replace("-\"Infinity\"", "\"-Infinity\"")
}

/// The losses of a run, in order.
#[derive(Default)]
pub struct Curve(Vec<f64>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Judgement {
    Learnt,
    /// It went sideways: too little to say that it diverged, too much to stay silent.
    Flat {
        first: f64,
        last: f64,
    },
    Diverged {
        first: f64,
        last: f64,
    },
    /// Not one loss was logged.
    Silent,
}

impl Curve {
    pub fn add(&mut self, loss: f64) {
        self.0.push(loss);
    }

    /// `vocabulary`: tokens that the model knows; the natural logarithm of it is the loss of guessing.
    ///
    /// Beginning and end are each the mean of a tenth of the points: single batches scatter, and a run must not fail
    /// because its last batch was a hard one.
    pub fn judge(&self, vocabulary: Option<u64>) -> Judgement {
        let (Some(&first), Some(&last)) = (self.0.first(), self.0.last()) else { return Judgement::Silent };
        if !last.is_finite() || !first.is_finite() {
            return Judgement::Diverged { first, last };
        }
        let some = (self.0.len() / 10).max(1);
        let mean = |points: &[f64]| points.iter().sum::<f64>() / points.len() as f64;
        let (first, last) = (mean(&self.0[..some]), mean(&self.0[self.0.len() - some..]));
        let guessing = vocabulary.is_some_and(|v| v > 1 && ((v as f64).ln() - last).abs() <= 0.01 * (v as f64).ln());
        if !last.is_finite() || guessing || last >= 1.2 * first {
            Judgement::Diverged { first, last }
        } else if self.0.len() > 1 && last >= first {
            Judgement::Flat { first, last }
        } else {
            Judgement::Learnt
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TRAIN: &str = r#"{"current_steps": 5, "total_steps": 12, "loss": 7.23035888671875, "lr": 0.002909538931178863, "epoch": 0.43478260869565216, "percentage": 41.67, "elapsed_time": "0:00:01", "remaining_time": "0:00:01", "throughput": 2600.55, "total_tokens": 3200}"#;
    const EVAL: &str = r#"{"current_steps": 12, "total_steps": 12, "eval_loss": 6.442112922668457, "epoch": 1.0, "percentage": 100.0, "elapsed_time": "0:00:02", "remaining_time": "0:00:00", "throughput": 2574.23, "total_tokens": 7328}"#;
    const LAST: &str = r#"{"current_steps": 12, "total_steps": 12, "epoch": 1.0, "percentage": 100.0, "elapsed_time": "0:00:02", "remaining_time": "0:00:00", "throughput": 2529.87, "total_tokens": 7328}"#;

    #[test]
    fn the_lines_that_the_trainer_really_writes() {
        let now = Timestamp(9);
        let train = parse(TRAIN, now).unwrap();
        assert_eq!((train.step, train.total_steps, train.loss), (5, 12, Some(7.230_358_886_718_75)));
        let point = train.metric.unwrap();
        assert_eq!(
            (point.learning_rate, point.tokens_per_second, point.total_tokens, point.at),
            (Some(0.002_909_538_931_178_863), Some(2600.55), Some(3200), now)
        );
        let eval = parse(EVAL, now).unwrap();
        assert_eq!((eval.loss, eval.metric.unwrap().eval_loss), (None, Some(6.442_112_922_668_457)));
        assert_eq!(parse(LAST, now).unwrap().metric, None);
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_seen_and_not_drawn() {
        for (bare, judge) in [("NaN", f64::is_nan as fn(f64) -> bool), ("Infinity", f64::is_infinite), ("-Infinity", f64::is_infinite)] {
            let entry = parse(&TRAIN.replace("7.23035888671875", bare), Timestamp(0)).unwrap();
            assert!(entry.loss.is_some_and(judge), "{bare}");
            assert_eq!(entry.metric.unwrap().loss, None, "{bare}");
        }
    }

    #[test]
    fn a_torn_line_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainer_log.jsonl");
        let mut follower = Follower::new(path.clone());
        assert_eq!(follower.read_new(Timestamp(0)), [], "there is no file yet");
        let mut file = File::create(&path).unwrap();
        let (begin, end) = EVAL.split_at(30);
        write!(file, "{TRAIN}\nnot json\n{begin}").unwrap();
        assert_eq!(follower.read_new(Timestamp(0)).iter().map(|e| e.step).collect::<Vec<_>>(), [5]);
        assert_eq!(follower.read_new(Timestamp(0)), []);
        writeln!(file, "{end}").unwrap();
        assert_eq!(follower.read_new(Timestamp(0)).iter().map(|e| e.step).collect::<Vec<_>>(), [12]);
    }

    fn judged(losses: &[f64]) -> Judgement {
        Curve(losses.to_vec()).judge(Some(2048))
    }

    #[test]
    fn a_run_that_fell_has_learnt_and_one_that_guesses_has_diverged() {
        assert_eq!(judged(&[1.66, 1.2, 0.9, 0.4]), Judgement::Learnt);
        assert_eq!(judged(&[1.66]), Judgement::Learnt, "one point cannot fall");
        assert_eq!(judged(&[]), Judgement::Silent);
        assert!(matches!(judged(&[2.8, 3.2, 7.625, 7.625]), Judgement::Diverged { .. }), "ln(2048) is guessing");
        assert!(matches!(judged(&[9.0, 7.6, 7.62]), Judgement::Diverged { .. }), "also when it began worse");
        assert!(matches!(judged(&[1.0, 1.5, 2.5]), Judgement::Diverged { .. }));
        assert!(matches!(judged(&[1.0, 0.5, f64::NAN]), Judgement::Diverged { .. }));
        assert_eq!(judged(&[1.0, 0.9, 1.05]), Judgement::Flat { first: 1.0, last: 1.05 });
    }

    #[test]
    fn one_hard_batch_at_the_end_does_not_decide() {
        let mut losses: Vec<f64> = (0..40).map(|i| 2.0 - f64::from(i) * 0.04).collect();
        losses.push(2.1);
        assert_eq!(judged(&losses), Judgement::Learnt);
    }
}
