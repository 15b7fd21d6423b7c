//! Lines over the last day, as SVG that is made here: they need no script, and say in words what they show.

use maud::{Markup, html};

/// A small line, without axes.
const SPARK: (f32, f32) = (96.0, 20.0);

/// A line with a frame.
const CHART: (f32, f32) = (600.0, 120.0);

/// Points of a small line.
pub(super) const SPARK_POINTS: usize = 48;

/// Fewer points, each the mean of those that it stands for.
pub(super) fn thinned(points: &[Option<f32>], count: usize) -> Vec<Option<f32>> {
    let each = points.len().div_ceil(count.max(1)).max(1);
    let mean = |points: &[Option<f32>]| {
        let known: Vec<f32> = points.iter().flatten().copied().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f32>() / known.len() as f32)
    };
    points.chunks(each).map(mean).collect()
}

/// The largest of what is known.
pub(super) fn largest(points: &[Option<f32>]) -> Option<f32> {
    points.iter().flatten().copied().filter(|point| point.is_finite()).reduce(f32::max)
}

/// The line as a path: it is broken off where nothing is known.
fn path(points: &[Option<f32>], (width, height): (f32, f32)) -> String {
    use std::fmt::Write as _;
    let most = largest(points).unwrap_or(0.0).max(f32::MIN_POSITIVE);
    let step = width / (points.len().max(2) - 1) as f32;
    let (mut path, mut is_down) = (String::new(), false);
    for (at, point) in points.iter().enumerate() {
        let Some(point) = point.filter(|point| point.is_finite()) else {
            is_down = false;
            continue;
        };
        let x = at as f32 * step;
        let y = 1.0 + (height - 2.0) * (1.0 - (point / most).clamp(0.0, 1.0));
        let _ = write!(path, "{}{x:.0} {y:.0}", if is_down { 'L' } else { 'M' });
        if !is_down {
            // A point without neighbours is seen as well, the newest one too.
            path.push_str(if x < width { "h2" } else { "h-2" });
        }
        is_down = true;
    }
    path
}

/// A small line of the last day; `words` say what it shows.
pub(super) fn spark(points: &[Option<f32>], words: &str) -> Markup {
    let points = thinned(points, SPARK_POINTS);
    let box_of = format!("0 0 {} {}", SPARK.0, SPARK.1);
    html! {
        svg.spark viewBox=(box_of) role="img" aria-label=(words) { path d=(path(&points, SPARK)) {} }
    }
}

/// A line of the last day with its name, and its largest and newest value in words.
pub(super) fn chart(name: &str, points: &[Option<f32>], shown: impl Fn(f64) -> String) -> Markup {
    let newest = points.iter().rev().flatten().next();
    let words = match (largest(points), newest) {
        (Some(largest), Some(newest)) => {
            format!("now {}, at most {}", shown(f64::from(*newest)), shown(f64::from(largest)))
        }
        _ => "nothing is known yet".to_owned(),
    };
    let label = format!("{name} over the last 24 hours: {words}");
    let box_of = format!("0 0 {} {}", CHART.0, CHART.1);
    html! {
        figure.chart {
            figcaption { strong { (name) } " " span.quiet { (words) } }
            svg viewBox=(box_of) preserveAspectRatio="none" role="img" aria-label=(label) {
                path d=(path(points, CHART)) {}
            }
            p.axis aria-hidden="true" { span { "24 h ago" } span { "now" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_off_where_nothing_is_known_and_never_leaves_its_frame() {
        let points = [Some(0.0), Some(10.0), None, Some(5.0), Some(f32::NAN), Some(f32::INFINITY)];
        assert_eq!(path(&points, (50.0, 22.0)), "M0 21h2L10 1M30 11h2");
        assert_eq!(path(&[None, Some(1.0)], (50.0, 22.0)), "M50 1h-2");
        assert_eq!(path(&[], CHART), "");
        assert_eq!(path(&[None; 3], CHART), "");
        assert_eq!(path(&[Some(0.0)], CHART), "M0 119h2");
    }

    #[test]
    fn thinning_keeps_the_mean_and_the_gaps() {
        let points = [Some(1.0), Some(3.0), None, None, Some(5.0), None];
        assert_eq!(thinned(&points, 3), [Some(2.0), None, Some(5.0)]);
        assert_eq!(thinned(&points, 100).len(), 6);
        assert!(thinned(&[], 3).is_empty());
    }

    #[test]
    fn a_small_line_of_a_day_is_small() {
        let points: Vec<_> = (0..288).map(|at| Some((at * 7919 % 1000) as f32)).collect();
        assert!(spark(&points, "so").into_string().len() < 600);
    }
}
