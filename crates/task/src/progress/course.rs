//! What the posts of a training say, as the same lines in which LLaMA-Factory's progress is told.

use domain::{report::TaskMessage, run::MetricPoint, time::Timestamp};
use serde::Deserialize;

/// More steps than any training has.
const MOST_STEPS: f64 = 1e12;
/// Of a loss, and of a count of tokens that is still exact.
const LARGEST: f64 = 1e12;
const MOST_TOKENS: f64 = 9_007_199_254_740_992.0;
/// Metrics of one post that are looked at; transformers sends about a dozen.
const MOST_METRICS: usize = 200;

/// `trainerStatus` of a post. What else is in it (its own time, its guess of what is left), the portal knows better.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    progress_percentage: Option<f64>,
    metrics: Vec<Metric>,
}

/// Numbers come as text, as Python writes them: `nan` and `inf` too.
#[derive(Debug, Deserialize)]
struct Metric {
    name: String,
    value: String,
}

impl Status {
    fn number(&self, name: &str, most: f64) -> Option<f64> {
        let metric = self.metrics.iter().take(MOST_METRICS).find(|m| m.name == name)?;
        metric.value.trim().parse::<f64>().ok().filter(|n| n.is_finite() && n.abs() <= most)
    }

    fn positive(&self, name: &str, most: f64) -> Option<f64> {
        self.number(name, most).filter(|n| *n >= 0.0)
    }

    fn whole(&self, name: &str, most: f64) -> Option<u64> {
        self.positive(name, most).map(|n| n as u64)
    }
}

/// What was posted so far. A post repeats the figures that were logged last until others are, so only others are points of the curves.
#[derive(Debug, Default)]
pub struct Course {
    total: Option<u64>,
    said: Option<(u64, u64)>,
    /// Loss and learning rate.
    trained: Option<(f64, Option<f64>)>,
    eval_loss: Option<f64>,
}

impl Course {
    /// What is new in it; nothing that a page could not draw or a database not hold.
    pub fn take(&mut self, status: &Status, at: Timestamp) -> Vec<TaskMessage> {
        let percent = status.progress_percentage.filter(|p| p.is_finite()).map(|p| p.clamp(0.0, 100.0));
        self.total = status.whole("total_steps", MOST_STEPS).filter(|n| *n > 0).or(self.total);
        // A program that posts nothing but a percentage has a hundred steps.
        let total = self.total.unwrap_or(100);
        let told = status.whole("current_step", MOST_STEPS).map(|step| step.min(total));
        let by_percent = || percent.map(|p| (p / 100.0 * total as f64) as u64);
        let Some(step) = told.or_else(by_percent).or(self.said.map(|(step, _)| step)) else { return Vec::new() };

        let epoch = status.positive("epoch", LARGEST).or_else(|| status.positive("current_epoch", LARGEST));
        let point = MetricPoint { step, epoch, at, ..MetricPoint::default() };
        let mut points = Vec::new();
        let learning_rate = status.positive("learning_rate", LARGEST);
        if let Some(loss) = status.number("loss", LARGEST)
            && self.trained.replace((loss, learning_rate)) != Some((loss, learning_rate))
        {
            let total_tokens = status.whole("num_input_tokens_seen", MOST_TOKENS);
            points.push(MetricPoint { loss: Some(loss), learning_rate, total_tokens, ..point });
        }
        if let Some(eval_loss) = status.number("eval_loss", LARGEST)
            && self.eval_loss.replace(eval_loss) != Some(eval_loss)
        {
            points.push(MetricPoint { eval_loss: Some(eval_loss), ..point });
        }
        let moved = self.said.replace((step, total)) != Some((step, total));
        let metrics = if points.is_empty() && moved { vec![None] } else { points.into_iter().map(Some).collect() };
        metrics.into_iter().map(|metric| TaskMessage::Progress { step, total_steps: total, metric }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(course: &mut Course, percent: &str, metrics: &[(&str, &str)]) -> Vec<(u64, u64, Option<MetricPoint>)> {
        let metrics: Vec<_> = metrics.iter().map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
        let text = format!(
            r#"{{"lastUpdatedTime":"2026-11-22T18:00:00+00:00","progressPercentage":{percent},"metrics":{}}}"#,
            serde_json::to_string(&metrics).unwrap()
        );
        let status: Status = serde_json::from_str(&text).unwrap();
        let said = course.take(&status, Timestamp(7)).into_iter();
        said.map(|message| match message {
            TaskMessage::Progress { step, total_steps, metric } => (step, total_steps, metric),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn a_training_as_transformers_posts_it() {
        let mut course = Course::default();
        assert_eq!(taken(&mut course, "0", &[("total_steps", "8")]), [(0, 8, None)]);
        assert_eq!(taken(&mut course, "12", &[("current_step", "1"), ("total_steps", "8"), ("current_epoch", "0.25")]), [(1, 8, None)]);
        let logged = [
            ("loss", "2.5"),
            ("grad_norm", "1.2"),
            ("learning_rate", "0.0003"),
            ("epoch", "0.75"),
            ("current_step", "4"),
            ("total_steps", "8"),
            ("current_epoch", "1.0"),
        ];
        let first = MetricPoint {
            step: 4,
            epoch: Some(0.75),
            loss: Some(2.5),
            learning_rate: Some(0.0003),
            at: Timestamp(7),
            ..MetricPoint::default()
        };
        assert_eq!(taken(&mut course, "50", &logged), [(4, 8, Some(first))]);
        let later = [("loss", "2.5"), ("learning_rate", "0.0003"), ("epoch", "0.75"), ("current_step", "5"), ("total_steps", "8")];
        assert_eq!(taken(&mut course, "62", &later), [(5, 8, None)], "the same figures again are no point");
        assert_eq!(taken(&mut course, "62", &later), [], "and nothing new is nothing");
        let both = [
            ("loss", "2.0"),
            ("learning_rate", "0.0002"),
            ("eval_loss", "2.25"),
            ("epoch", "1.5"),
            ("current_step", "7"),
            ("total_steps", "8"),
        ];
        let said = taken(&mut course, "87", &both);
        assert_eq!(
            said.iter().map(|s| s.2.map(|m| (m.step, m.loss, m.eval_loss))).collect::<Vec<_>>(),
            [Some((7, Some(2.0), None)), Some((7, None, Some(2.25)))]
        );
        // At the end it names no step, and its summary.
        let end = [("loss", "2.0"), ("learning_rate", "0.0002"), ("eval_loss", "2.25"), ("train_loss", "2.2"), ("train_runtime", "9.5")];
        assert_eq!(taken(&mut course, "100", &end), [(8, 8, None)]);
    }

    #[test]
    fn numbers_that_nothing_can_hold_are_left_out_and_the_rest_counts() {
        for value in ["nan", "NaN", "inf", "-inf", "Infinity", "1e400", "1e13", "-1e13", "", "loss", "1,5", "\u{0}", "١"] {
            let mut course = Course::default();
            let metrics = [
                ("loss", value),
                ("eval_loss", value),
                ("learning_rate", value),
                ("epoch", value),
                ("current_step", "3"),
                ("total_steps", "8"),
            ];
            assert_eq!(taken(&mut course, "37", &metrics), [(3, 8, None)], "{value:?}");
        }
        let mut course = Course::default();
        let metrics = [
            ("loss", "-0.5"),
            ("learning_rate", "-1"),
            ("epoch", "-1"),
            ("num_input_tokens_seen", "-1"),
            ("current_step", "3"),
            ("total_steps", "8"),
        ];
        let point = MetricPoint { step: 3, loss: Some(-0.5), at: Timestamp(7), ..MetricPoint::default() };
        assert_eq!(taken(&mut course, "37", &metrics), [(3, 8, Some(point))], "a loss may be negative, nothing else");
    }

    #[test]
    fn steps_that_cannot_be_are_never_said() {
        let one = |percent: &str, metrics: &[(&str, &str)]| taken(&mut Course::default(), percent, metrics).first().map(|s| (s.0, s.1));
        assert_eq!(one("1e300", &[("total_steps", "8")]), Some((8, 8)));
        assert_eq!(one("-5", &[("total_steps", "8")]), Some((0, 8)));
        assert_eq!(one("40", &[("total_steps", "0")]), Some((40, 100)), "nothing but a percentage");
        assert_eq!(one("40", &[("total_steps", "-8"), ("current_step", "-1")]), Some((40, 100)));
        assert_eq!(one("null", &[("total_steps", "8"), ("current_step", "9")]), Some((8, 8)));
        assert_eq!(one("null", &[("total_steps", "1e18"), ("current_step", "1e18")]), None);
        assert_eq!(one("null", &[]), None);
        let many: Vec<_> = (0..MOST_METRICS).map(|_| ("x", "1")).chain([("total_steps", "8")]).collect();
        assert_eq!(one("50", &many), Some((50, 100)), "what comes after so many is not looked for");
    }
}
