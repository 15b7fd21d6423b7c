//! The text format of Prometheus, 0.0.4: what every scraper reads.
//!
//! ```text
//! # HELP strandline_requests_total Requests that have come in.
//! # TYPE strandline_requests_total counter
//! strandline_requests_total{api="Produce"} 12
//! ```

use std::fmt::{Display, Write};
use std::hash::{DefaultHasher, Hash, Hasher};

use strandline_engine::Durations;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in seconds, by buckets.
    Histogram,
}

impl Kind {
    /// As the format and the documentation have it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// With its unit, and `_total` for a counter.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The labels of each of its series.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Metrics as they are written, one after the other.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Writes a metric with all its series: the values of its labels, and the number.
    pub(super) fn write<'a, V: Display, const N: usize>(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = ([&'a str; N], V)>,
    ) {
        assert!(
            metric.kind != Kind::Histogram && metric.labels.len() == N,
            "{} is declared otherwise",
            metric.name
        );
        self.head(metric);
        for (values, number) in series {
            self.series(metric, "", &values, None, number);
        }
    }

    pub(super) fn write_one(&mut self, metric: &Metric, number: impl Display) {
        self.write(metric, [([], number)]);
    }

    pub(super) fn write_histogram<'a, const N: usize>(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = ([&'a str; N], &'a Durations)>,
    ) {
        assert!(
            metric.kind == Kind::Histogram && metric.labels.len() == N,
            "{} is declared otherwise",
            metric.name
        );
        self.head(metric);
        for (values, durations) in series {
            for (bound, count) in durations.cumulative() {
                let bound = bound.as_secs_f64().to_string();
                self.series(metric, "_bucket", &values, Some(&bound), count);
            }
            self.series(metric, "_bucket", &values, Some("+Inf"), durations.count());
            self.series(metric, "_sum", &values, None, durations.sum().as_secs_f64());
            self.series(metric, "_count", &values, None, durations.count());
        }
    }

    fn head(&mut self, metric: &Metric) {
        let Metric { name, kind, help, .. } = metric;
        // A string takes everything.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
    }

    fn series(
        &mut self,
        metric: &Metric,
        suffix: &str,
        values: &[&str],
        bound: Option<&str>,
        number: impl Display,
    ) {
        self.0.push_str(metric.name);
        self.0.push_str(suffix);
        let labels = metric.labels.iter().zip(values).map(|(name, value)| (*name, *value));
        let mut next = '{';
        for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            self.0.push(next);
            self.0.push_str(name);
            self.0.push_str("=\"");
            label(value, &mut self.0);
            self.0.push('"');
            next = ',';
        }
        if next == ',' {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {number}");
    }
}

/// The longest value of a label. Topics' names have 249 bytes at most.
const LABEL_BYTES_MAX: usize = 256;

/// Group ids are whatever clients like, up to 32 kB, and each may stand in hundreds of series: of a long one
/// there is the beginning, and a hash of the whole, so that no two series are the same.
fn label(value: &str, out: &mut String) {
    if value.len() <= LABEL_BYTES_MAX {
        return escape(value, out);
    }
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    escape(&value[..value.floor_char_boundary(LABEL_BYTES_MAX)], out);
    let _ = write!(out, "...#{:016x}", hasher.finish());
}

fn escape(value: &str, out: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LAG: Metric = Metric {
        name: "lag_records",
        kind: Kind::Gauge,
        labels: &["group", "topic"],
        help: "How late it is.",
    };
    const WAIT: Metric =
        Metric { name: "wait_seconds", kind: Kind::Histogram, labels: &[], help: "Waiting." };

    #[test]
    fn a_label_may_hold_whatever_a_client_likes() {
        let mut text = Text::default();
        text.write(&LAG, [(["a\"b\\c\nd", "é"], 7)]);
        let expected = "# HELP lag_records How late it is.\n# TYPE lag_records gauge\n\
                        lag_records{group=\"a\\\"b\\\\c\\nd\",topic=\"é\"} 7\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_long_label_is_cut_and_stays_different_from_others() {
        let series = |last: &str| {
            let mut text = Text::default();
            text.write(&LAG, [(["é".repeat(16_000).as_str(), &("g".repeat(32_000) + last)], 7)]);
            text.finish().lines().last().unwrap().to_owned()
        };
        let (one, other) = (series("1"), series("2"));
        assert!(one != other && one.len() < 700, "{one}\n{other}");
        assert_eq!(one, series("1"));
    }

    #[test]
    fn a_histogram_ends_with_all_of_them() {
        let (mut text, mut durations) = (Text::default(), Durations::default());
        durations.note(Duration::from_millis(3));
        durations.note(Duration::from_secs(60));
        text.write_histogram(&WAIT, [([], &durations)]);
        let text = text.finish();
        for line in [
            "wait_seconds_bucket{le=\"0.0025\"} 0",
            "wait_seconds_bucket{le=\"0.005\"} 1",
            "wait_seconds_bucket{le=\"10\"} 1",
            "wait_seconds_bucket{le=\"+Inf\"} 2",
            "wait_seconds_sum 60.003",
            "wait_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
