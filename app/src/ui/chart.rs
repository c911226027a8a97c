//! Charts: an SVG that stretches, and words as HTML in percent positions, so that nothing blurs and no script measures.

use super::number::{count, figure, some};
use leptos::prelude::*;

/// One line of a chart, in the units of its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// At the end of the line: `train`.
    pub label: &'static str,
    /// 1 to 6.
    pub colour: u8,
    /// Dashed, with a dot at every point: sparse measures.
    pub dashed: bool,
    /// Also draws a smoothed line; the points themselves become faint.
    pub smoothed: bool,
    pub points: Vec<(f64, f64)>,
}

/// What a chart shows, all of it known when it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub title: &'static str,
    /// The newest values in words, beside the title.
    pub caption: String,
    /// The whole chart in a sentence or two, for those who do not see it.
    pub says: String,
    pub series: Vec<Series>,
    /// End of the horizontal axis, in steps.
    pub steps: u64,
    /// What is done of it; the rest is shaded. Equal to `steps` when nothing is left.
    pub done: u64,
    pub log: bool,
    /// CSS height of the plot.
    pub height: &'static str,
    /// Ruler ticks and a label at the end of each line.
    pub detailed: bool,
}

/// The vertical axis: what its ends are, and where the lines go.
struct Axis {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, log: bool) -> Self {
        let positive = values.clone().filter(|v| v.is_finite() && *v > 0.0);
        let (least, most) = positive.fold((f64::MAX, 0.0_f64), |(l, m), v| (l.min(v), m.max(v)));
        if most <= 0.0 {
            return Self { low: 0.0, high: 1.0, log: false, ticks: vec![0.0, 0.5, 1.0] };
        }
        if !log {
            let high = round_up(most);
            return Self { low: 0.0, high, log: false, ticks: vec![0.0, high / 2.0, high] };
        }
        let mut all: Vec<f64> = Vec::new();
        for exponent in -9..=9 {
            all.extend([1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(exponent)));
        }
        let from = all.iter().rposition(|t| *t <= least).unwrap_or(0);
        let to = all.iter().position(|t| *t >= most).unwrap_or(all.len() - 1).max(from + 1);
        let ticks: Vec<f64> = all[from..=to].to_vec();
        let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
        // Over three powers of ten only the powers themselves are written.
        let sparse = ticks.len() > 8;
        let ticks = ticks.into_iter().filter(|t| !sparse || (t.log10() - t.log10().round()).abs() < 1e-9).collect();
        Self { low, high, log: true, ticks }
    }

    /// Percent from the top.
    fn y(&self, value: f64) -> f64 {
        let share =
            if self.log { (self.high.ln() - value.max(self.low).ln()) / (self.high.ln() - self.low.ln()) } else { 1.0 - value / self.high };
        (share * 100.0).clamp(0.0, 100.0)
    }
}

/// The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].into_iter().map(|m| m * power).find(|v| *v >= value * 0.999_999).unwrap_or(value)
}

/// Distance of the labels on the horizontal axis: about five of them.
fn stride(steps: u64) -> u64 {
    let rough = (steps / 4).max(1);
    let power = 10_u64.pow(rough.ilog10());
    [1, 2, 5, 10].into_iter().map(|m| m * power).rfind(|s| *s <= rough).unwrap_or(1)
}

fn path(points: &[(f64, f64)], x: impl Fn(f64) -> f64, axis: &Axis) -> String {
    let mut out = String::with_capacity(points.len() * 12 + 1);
    for (i, (step, value)) in points.iter().enumerate() {
        out.push_str(if i == 0 { "M" } else { " " });
        out.push_str(&format!("{:.2} {:.2}", x(*step), axis.y(*value)));
    }
    out
}

/// Exponential mean, light enough to follow.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut mean = None;
    points
        .iter()
        .map(|(x, y)| {
            let m: f64 = mean.map_or(*y, |m| 0.6 * m + 0.4 * y);
            mean = Some(m);
            (*x, m)
        })
        .collect()
}

#[component]
pub fn ChartView(chart: Chart, #[prop(optional)] tools: Option<ViewFn>) -> impl IntoView {
    let steps = chart.steps.max(1);
    let x = move |step: f64| (step / steps as f64 * 100.0).clamp(0.0, 100.0);
    let axis = Axis::new(chart.series.iter().flat_map(|s| s.points.iter().map(|p| p.1)).collect::<Vec<_>>().into_iter(), chart.log);
    let done = x(chart.done as f64);
    let open = done < 99.99;
    let grid: String = axis.ticks.iter().map(|t| format!("M0 {:.2}H100", axis.y(*t))).collect();
    let every = stride(steps);
    let ruler: String = if chart.detailed {
        let minor = (every / 10).max(1);
        (0..=steps / minor).map(|i| format!("M{:.2} 100v{}", x((i * minor) as f64), if i % 5 == 0 { "2.6" } else { "1.6" })).collect()
    } else {
        String::new()
    };
    let lines = chart.series.iter().map(|s| {
        let colour = format!("--c:var(--color-series-{})", s.colour);
        if s.dashed {
            let dots: String = s.points.iter().map(|p| format!("M{:.2} {:.2}h0", x(p.0), axis.y(p.1))).collect();
            view! { <path class="l dash" style=colour.clone() d=path(&s.points, x, &axis)/><path class="pt" style=colour d=dots/> }.into_any()
        } else if s.smoothed && s.points.len() > 20 {
            view! { <path class="l raw" style=colour.clone() d=path(&s.points, x, &axis)/><path class="l" style=colour d=path(&smooth(&s.points), x, &axis)/> }.into_any()
        } else {
            view! { <path class="l" style=colour d=path(&s.points, x, &axis)/> }.into_any()
        }
    });
    let lines = lines.collect_view();
    let marks: Vec<f64> = axis.ticks.clone();
    let labels = (1..)
        .map(|i| i * every)
        .take_while(|s| x(*s as f64) < 80.0)
        .map(|s| view! { <span class="x" class:late={x(s as f64) > 62.5} style=format!("left:{:.2}%", x(s as f64))>{count(s)}</span> });
    let labels = if chart.detailed { labels.collect_view() } else { Vec::new() };
    let ends = if chart.detailed { line_ends(&chart.series, x, &axis) } else { Vec::new() };
    let last = if chart.detailed { some(steps, "step", "steps") } else { count(steps) };
    view! {
        <figure class="chart" style=format!("--h:{};--pad-l:{};--pad-r:{}", chart.height, if chart.detailed { "2.25rem" } else { "2.5rem" }, if chart.detailed && done > 80.0 { "5.75rem" } else { "0rem" })>
            <figcaption><b>{chart.title}</b><span class="subtle">{chart.caption}</span>{tools.map(|t| view! { <span class="end row row-tight">{t.run()}</span> })}</figcaption>
            <div class="plot" role="img" aria-label=chart.says>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
                    {open.then(|| view! { <rect class="rest" x=format!("{done:.2}") y="0" width=format!("{:.2}", 100.0 - done) height="100"/> })}
                    <path class="grid" d=grid/>
                    <path class="tick" d=ruler/>
                    <path class="axis" d="M0 100H100"/>
                    {open.then(|| view! { <path class="now" d=format!("M{done:.2} 0V100")/> })}
                    {lines}
                </svg>
                {marks.into_iter().map(|t| view! { <span class="y" style=format!("top:{:.2}%", axis.y(t))>{axis_label(t)}</span> }).collect_view()}
                <span class="x first" style="left:0%">"0"</span>
                {labels}
                <span class="x last" style="left:100%">{last}</span>
                {ends}
            </div>
        </figure>
    }
}

/// The names of the lines at their ends; kept apart where two end close to each other.
fn line_ends(series: &[Series], x: impl Fn(f64) -> f64, axis: &Axis) -> Vec<AnyView> {
    let mut ends: Vec<(f64, f64, &Series, f64)> =
        series.iter().filter_map(|s| s.points.last().map(|(px, py)| (x(*px), axis.y(*py), s, *py))).collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    for i in 1..ends.len() {
        if ends[i].1 - ends[i - 1].1 < 6.0 {
            ends[i].1 = ends[i - 1].1 + 6.0;
        }
    }
    let right = ends.iter().map(|e| e.0).fold(0.0, f64::max);
    ends.into_iter()
        .map(|(_, y, s, value)| {
            let style = format!(
                "left:{right:.2}%;top:{y:.2}%;--c:var(--color-series-{});--s:{}",
                s.colour,
                if s.dashed { "dashed" } else { "solid" }
            );
            view! { <span class="on" style=style><i></i>{format!("{} {}", s.label, figure(value))}</span> }.into_any()
        })
        .collect()
}

fn axis_label(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if v >= 1000.0 => count(v as u64),
        v if v < 0.01 => format!("{v:.1e}").replace(".0e", "e"),
        v => {
            let s = format!("{v:.3}");
            s.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// A line in a table row: `says` for those who do not see it.
#[component]
pub fn Spark(points: Vec<(f64, f64)>, steps: u64, #[prop(into)] says: String) -> impl IntoView {
    let axis = Axis::new(points.iter().map(|p| p.1).collect::<Vec<_>>().into_iter(), true);
    let x = move |step: f64| 2.0 + step / steps.max(1) as f64 * 96.0;
    let squeezed: Vec<(f64, f64)> = points.iter().map(|(s, v)| (x(*s), 8.0 + axis.y(*v) * 0.9)).collect();
    let d: String = squeezed.iter().enumerate().map(|(i, (a, b))| format!("{}{a:.1} {b:.1}", if i == 0 { "M" } else { " " })).collect();
    let dot = squeezed.last().map(|(a, b)| format!("M{a:.1} {b:.1}h0"));
    view! {
        <svg class="spark" style="--w:100%" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label=says>
            <path class="base" d="M2 98H98"/><path d=d/><path class="pt" d=dot/>
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_axis_ends_on_round_values_around_the_data() {
        let axis = Axis::new([3.6, 0.118, 0.061].into_iter(), true);
        assert_eq!((axis.low, axis.high), (0.05, 5.0));
        assert!((axis.y(5.0), axis.y(0.05)) == (0.0, 100.0) && axis.y(0.5) > 49.9 && axis.y(0.5) < 50.1);
    }

    #[test]
    fn a_linear_axis_starts_at_zero_and_nothing_leaves_the_plot() {
        let axis = Axis::new([0.9, 1_492.0].into_iter(), false);
        assert_eq!((axis.low, axis.high), (0.0, 1_500.0));
        assert_eq!([axis.y(-1.0), axis.y(9_999.0)], [100.0, 0.0]);
    }

    #[test]
    fn no_data_still_makes_an_axis() {
        assert_eq!(Axis::new(std::iter::empty(), true).ticks, [0.0, 0.5, 1.0]);
        assert_eq!([1, 7, 420, 12_345].map(stride), [1, 1, 100, 2_000]);
    }

    #[test]
    fn a_label_on_the_axis_is_the_value_it_stands_at() {
        assert_eq!([0.0, 0.0015, 0.003, 0.05, 2.0, 1_500.0].map(axis_label), ["0", "1.5e-3", "3e-3", "0.05", "2", "1\u{a0}500"]);
    }
}
